//! Large objects: through backup, restore, swap and back, and what a swap would lose of them.

use super::backup::sample;
use super::swap::{maintenance, stage};
use crate::support::cluster::connect;
use crate::support::stage::{Stage, done, failed};
use runplan::plan::Text;
use runplan::postgres::Settings;
use runplan::steps::{Attempt, LostReport, Wish, compare};

/// A small one, an empty one, one of several chunks with a hole in it, and one of many pages.
const OBJECTS: &str = "SELECT lo_from_bytea(4711, 'a large object'); SELECT lo_create(4712);
    SELECT lo_from_bytea(4713, 'begin'); SELECT lo_put(4713, 700000, 'end');
    SELECT lo_from_bytea(4714, decode(repeat('0badcafe', 150000), 'hex'))";

/// Every object with what it holds.
async fn content(settings: &Settings) -> String {
    let sql =
        "SELECT string_agg(oid || ' ' || md5(lo_get(oid)), ', ' ORDER BY oid) FROM pg_largeobject_metadata";
    connect(settings).await.value(sql).await.unwrap().unwrap_or_default()
}

async fn report(stage: &Stage, live: &str, most_rows: u64) -> LostReport {
    let world = &stage.world;
    let live = world.targets.find(world, &Text::made(live)).await.unwrap();
    let side = world.targets.find(world, &Text::made("{{ steps.restored.database }}")).await.unwrap();
    compare(&stage.attempt("switched", 1), &live, &side, &Wish { most_rows, ..Wish::default() })
        .await
        .unwrap()
}

#[tokio::test]
async fn large_objects_survive_backup_restore_swap_and_undo() {
    let settings = sample("objects").await;
    connect(&settings).await.execute(OBJECTS).await.unwrap();
    let before = content(&settings).await;
    let stage = stage(&settings);
    stage.done("saved").await;
    let side = stage.done("restored").await["database"].as_str().unwrap().to_owned();
    assert_eq!(content(&settings.with_database(&side)).await, before);
    let same = report(&stage, "app", 1_000).await;
    assert!(same.is_same() && !same.estimate, "{same:?}");
    assert!(same.summary.starts_with("the side would change no row and no large object"), "{}", same.summary);
    // What the application did since the backup.
    let app = connect(&settings).await;
    app.execute(
        "SELECT lo_put(4714, 299999, 'x'); SELECT lo_unlink(4712); SELECT lo_from_bytea(5000, 'new')",
    )
    .await
    .unwrap();
    drop(app);
    let later = content(&settings).await;
    stage.done("frozen").await;
    let found = report(&stage, "app", 1_000).await;
    assert_eq!((found.only_live, found.only_side, found.changed), (1, 1, 1));
    assert!(
        found.summary.starts_with(
            "the side would lose 1 large object, take back changes to 1 large object, bring back 1 large object; "
        ),
        "{}",
        found.summary
    );
    let sheet = std::fs::read_to_string(found.file.unwrap()).unwrap();
    assert!(sheet.contains("\"large objects\",\"changed back\",\"4714\""), "{sheet}");
    stage.done("switched").await;
    assert_eq!(content(&settings).await, before);
    // Written since the swap: nobody takes that back unasked, and it is told what it is.
    connect(&settings).await.execute("SELECT lo_put(4711, 0, 'A')").await.unwrap();
    let failure = failed(stage.undo("switched").await);
    assert_eq!(failure.code, "runplan::swap::written");
    for said in ["lose 1 large object", "take back changes to 2 large objects", "bring back 1 large object"] {
        assert!(failure.message.contains(said), "{}", failure.message);
    }
    let help = failure.help.unwrap();
    let code = help.split("--accept-loss ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let agreed = Attempt { undoing: true, accepted_loss: Some(code), ..stage.attempt("switched", 1) };
    done(runplan::steps::undo(&agreed).await);
    assert_eq!(content(&settings).await, later);
}

#[tokio::test]
async fn too_many_and_hidden_objects_are_said_to_be_estimated() {
    let settings = sample("objects_many").await;
    connect(&settings).await.execute(OBJECTS).await.unwrap();
    let stage = stage(&settings);
    stage.done("saved").await;
    let side = stage.done("restored").await["database"].as_str().unwrap().to_owned();
    connect(&settings).await.execute("SELECT lo_put(4714, 0, 'x'); SELECT lo_unlink(4712)").await.unwrap();
    let found = report(&stage, "app", 2).await;
    let objects = found.objects.as_ref().unwrap();
    assert_eq!((objects.only_live, objects.only_side, objects.changed, objects.estimate), (0, 1, 0, true));
    // Somebody who may read the tables and none of the objects.
    let role = format!("{}_reader", settings.database());
    let server = maintenance(&settings).await;
    server
        .execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT pg_read_all_data TO {role}"))
        .await
        .unwrap();
    drop(server);
    let text = format!(
        "postgresql://{role}:p@127.0.0.1:{}/{}",
        crate::support::cluster::shared().port(),
        settings.database()
    );
    let theirs = Settings::parse(&text, &|_| None).unwrap();
    let stage = super::swap::stage_of(&theirs, "").set();
    let mut outputs = runplan::run::Outputs::new();
    outputs.insert("database".to_owned(), side.into());
    outputs.insert("of".to_owned(), "app".into());
    stage.learn("restored", &outputs);
    let found = report(&stage, "app", 1_000).await;
    let objects = found.objects.as_ref().unwrap();
    assert_eq!((objects.only_live, objects.only_side, objects.changed), (0, 1, 0), "{objects:?}");
    assert!(
        found.summary.contains("an estimate: of the large objects, 7 of them may not be read by this role"),
        "{}",
        found.summary
    );
}
