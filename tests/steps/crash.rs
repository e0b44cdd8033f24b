//! Backup, restore, freeze and swap interrupted at every fact and at any instant, then settled: done, or certainly not.

use super::backup::sample;
use super::damage::sides;
use super::swap::{maintenance, oid_of, stage};
use crate::support::chance::Chance;
use crate::support::cluster::connect;
use crate::support::stage::{Stage, done, plan};
use runplan::clock;
use runplan::postgres::Settings;
use runplan::run::Outcome;
use std::time::Duration;

#[track_caller]
fn again(outcome: Outcome) {
    assert!(matches!(outcome, Outcome::Again(_)), "{outcome:?}");
}

/// Lets a step run for a while and dies there. True: it was done before.
async fn act_for(stage: &Stage, id: &str, time: Duration) -> Option<Outcome> {
    let attempt = stage.attempt(id, 1);
    tokio::select! {
        outcome = runplan::steps::act(&attempt) => Some(outcome),
        () = clock::sleep(time) => None,
    }
}

fn count(stage: &Stage) -> usize {
    std::fs::read_dir(stage.path("backups")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_backup_killed_at_its_fact_left_nothing() {
    let settings = sample("crash_backup").await;
    for durable in [false, true] {
        let mut stage = stage(&settings);
        stage.act_until("saved", "chosen", durable).await;
        stage.restart().await;
        again(stage.settle("saved").await);
        assert_eq!(count(&stage), 0);
    }
}

#[tokio::test]
async fn a_dump_that_goes_on_is_taken_up() {
    let settings = sample("crash_dump").await;
    let mut stage = stage(&settings);
    let blocker = connect(&settings).await;
    blocker.execute("BEGIN").await.unwrap();
    blocker.execute("LOCK TABLE users").await.unwrap();
    assert!(
        act_for(&stage, "saved", Duration::from_millis(700)).await.is_none(),
        "pg_dump waits for the lock"
    );
    stage.restart().await;
    blocker.execute("ROLLBACK").await.unwrap();
    let outputs = done(stage.settle("saved").await);
    assert_eq!(outputs["rows"], 300);
    // And once more: it is recognised by its manifest.
    assert_eq!(done(stage.settle("saved").await), outputs);
    std::fs::write(format!("{}/toc.dat", outputs["path"].as_str().unwrap()), "flipped").unwrap();
    assert!(
        matches!(stage.settle("saved").await, Outcome::Failed(failure) if failure.code == "runplan::archive::damaged")
    );
}

#[tokio::test]
async fn a_cancelled_backup_leaves_neither_file_nor_session() {
    let settings = sample("cancel_backup").await;
    let stage = stage(&settings);
    let blocker = connect(&settings).await;
    blocker.execute("BEGIN").await.unwrap();
    blocker.execute("LOCK TABLE users").await.unwrap();
    let attempt = stage.attempt("saved", 1);
    let cancelled = attempt.cancelled.clone();
    let (outcome, ()) = tokio::join!(runplan::steps::act(&attempt), async {
        clock::sleep(Duration::from_millis(500)).await;
        cancelled.cancel();
    });
    assert!(matches!(outcome, Outcome::Failed(failure) if failure.code == "runplan::step::cancelled"));
    assert_eq!(count(&stage), 0);
    blocker.execute("ROLLBACK").await.unwrap();
    let left = blocker
        .one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        .await
        .unwrap();
    assert_eq!(left, "1");
}

#[tokio::test]
async fn a_restore_killed_at_each_fact_is_dropped_and_redone() {
    let settings = sample("crash_restore").await;
    for (fact, durable) in
        [("side_chosen", false), ("side_chosen", true), ("side_made", false), ("side_made", true)]
    {
        let mut stage = stage(&settings);
        stage.done("saved").await;
        stage.act_until("restored", fact, durable).await;
        stage.restart().await;
        again(stage.settle("restored").await);
        assert_eq!(sides(&settings).await, "0", "{fact} {durable}");
        let outputs = done(runplan::steps::act(&stage.attempt("restored", 2)).await);
        let side = settings.with_database(outputs["database"].as_str().unwrap());
        assert_eq!(connect(&side).await.one("SELECT count(*) FROM users").await.unwrap(), "100");
        maintenance(&settings)
            .await
            .execute(&format!("DROP DATABASE {} WITH (FORCE)", side.database()))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_restore_killed_at_any_instant_is_done_or_gone() {
    let settings = sample("crash_load").await;
    let mut chance = Chance::new(11);
    for saved in ["", ", format: plain"] {
        for _ in 0..8 {
            let mut stage = plan(&format!(
                "databases: {{ app: {{ url: unused }} }}
steps:
  - id: saved
    backup: {{ database: app, to: ./backups{saved} }}
  - id: restored
    restore: {{ from: '{{{{ steps.saved.path }}}}', database: app }}
"
            ))
            .database("app", &settings)
            .set();
            stage.done("saved").await;
            let time = Duration::from_millis(chance.below(500) as u64);
            let outcome = act_for(&stage, "restored", time).await;
            stage.restart().await;
            let settled = stage.settle("restored").await;
            match (&outcome, &settled) {
                (Some(_), Outcome::Done(_)) | (None, Outcome::Done(_)) => {
                    assert_eq!(sides(&settings).await, "1");
                    done(stage.undo("restored").await);
                }
                (None, Outcome::Again(_)) => {}
                other => panic!("after {time:?}: {other:?}"),
            }
            assert_eq!(sides(&settings).await, "0");
        }
    }
}

#[tokio::test]
async fn somebody_elses_database_is_never_dropped() {
    let settings = sample("crash_other").await;
    let mut stage = stage(&settings);
    stage.done("saved").await;
    stage.act_until("restored", "side_chosen", true).await;
    stage.restart().await;
    let server = maintenance(&settings).await;
    let name = stage.facts("restored", 1)[0].data["name"].as_str().unwrap().to_owned();
    server.execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    server.execute(&format!("COMMENT ON DATABASE {name} IS 'mine'")).await.unwrap();
    let outcome = stage.settle("restored").await;
    assert!(
        matches!(&outcome, Outcome::Unknown(evidence) if evidence.facts[0].contains("mine")),
        "{outcome:?}"
    );
    assert!(oid_of(&server, &name).await.is_some());
    assert!(matches!(stage.undo("restored").await, Outcome::Failed(_)));
    assert!(oid_of(&server, &name).await.is_some());
}

fn in_place(settings: &Settings) -> Stage {
    plan(
        "databases: { app: { url: unused } }
steps:
  - id: saved
    backup: { database: app, to: ./backups }
  - id: restored
    restore: { from: '{{ steps.saved.path }}', database: app, into: in_place }
    unguarded: test
",
    )
    .database("app", settings)
    .set()
}

#[tokio::test]
async fn a_restore_in_place_commits_only_on_our_word() {
    let settings = sample("crash_place").await;
    for (fact, durable) in [("loading", true), ("commit_intended", false), ("commit_intended", true)] {
        let mut stage = in_place(&settings);
        stage.done("saved").await;
        connect(&settings).await.execute("INSERT INTO messages (body) VALUES ('later')").await.unwrap();
        let rows = connect(&settings).await.one("SELECT count(*) FROM messages").await.unwrap();
        stage.act_until("restored", fact, durable).await;
        stage.restart().await;
        again(stage.settle("restored").await);
        let app = connect(&settings).await;
        assert_eq!(app.one("SELECT count(*) FROM messages").await.unwrap(), rows, "{fact} {durable}");
        app.execute("LOCK TABLE messages NOWAIT").await.ok();
    }
    // Killed after the word was given: the server knows that it was committed.
    let mut stage = in_place(&settings);
    stage.done("saved").await;
    let outputs = stage.done("restored").await;
    stage.restart().await;
    let mut settled = done(stage.settle("restored").await);
    // The database's size is what it is when it is looked at.
    settled.insert("bytes".to_owned(), outputs["bytes"].clone());
    assert_eq!(settled, outputs);
}

#[tokio::test]
async fn a_freeze_killed_at_its_fact_is_proved_again() {
    let settings = sample("crash_freeze").await;
    let server = maintenance(&settings).await;
    server
        .execute(&format!("ALTER DATABASE {} SET default_transaction_read_only = off", settings.database()))
        .await
        .unwrap();
    let mut stage = stage(&settings);
    stage.act_until("frozen", "freezing", false).await;
    stage.restart().await;
    again(stage.settle("frozen").await);
    stage.act_until("frozen", "freezing", true).await;
    stage.restart().await;
    done(stage.settle("frozen").await);
    let sql = "SHOW default_transaction_read_only";
    assert_eq!(connect(&settings).await.one(sql).await.unwrap(), "on");
    done(stage.undo("frozen").await);
    assert_eq!(connect(&settings).await.one(sql).await.unwrap(), "off");
    let setting = server
        .one(&format!(
            "SELECT setconfig[1] FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase
             WHERE datname = '{}'",
            settings.database()
        ))
        .await
        .unwrap();
    assert_eq!(setting, "default_transaction_read_only=off", "what stood there before stands there again");
}

#[tokio::test]
async fn a_swap_killed_at_any_instant_is_before_or_after() {
    let settings = sample("crash_swap").await;
    let name = settings.database().to_owned();
    let server = maintenance(&settings).await;
    let mut chance = Chance::new(13);
    let (mut before, mut after) = (0, 0);
    for round in 0..16 {
        let mut stage = stage(&settings);
        for id in ["saved", "restored", "frozen"] {
            stage.done(id).await;
        }
        let live = oid_of(&server, &name).await;
        if round == 0 {
            stage.act_until("switched", "swapping", false).await;
        } else if round == 1 {
            stage.act_until("switched", "swapping", true).await;
        } else {
            act_for(&stage, "switched", Duration::from_millis(30 + chance.below(120) as u64)).await;
        }
        stage.restart().await;
        let settled = stage.settle("switched").await;
        let now = oid_of(&server, &name).await;
        match settled {
            Outcome::Done(_) => {
                assert_ne!(now, live);
                after += 1;
                done(stage.undo("switched").await);
                assert_eq!(oid_of(&server, &name).await, live);
            }
            Outcome::Again(_) => {
                assert_eq!(now, live);
                before += 1;
            }
            other => panic!("{other:?}"),
        }
        let open = format!("SELECT datallowconn FROM pg_database WHERE datname = '{name}'");
        assert_eq!(server.one(&open).await.unwrap(), "t");
        done(stage.undo("frozen").await);
        done(stage.undo("restored").await);
        assert_eq!(stage.world.targets.release(&stage.world).await, Vec::<String>::new());
    }
    assert!(before >= 2, "{before} before, {after} after");
}
