//! Restoring into a real server: beside the live database and over it.

use super::backup::sample;
use crate::support::cluster::connect;
use crate::support::stage::{Stage, failed, plan};
use runplan::postgres::Settings;

/// A plan that saves a database in a format and restores it.
fn stage(settings: &Settings, saved: &str, restored: &str) -> Stage {
    plan(&format!(
        "databases: {{ app: {{ url: unused }} }}
steps:
  - id: saved
    backup: {{ database: app, to: ./backups{saved} }}
  - id: restored
    restore: {{ from: '{{{{ steps.saved.path }}}}', database: app{restored} }}
    unguarded: test
"
    ))
    .database("app", settings)
    .set()
}

#[tokio::test]
async fn every_format_is_restored_beside() {
    for saved in ["", ", format: custom", ", format: plain", ", format: plain, compress: lz4"] {
        let settings = sample("restore_side").await;
        let stage = stage(&settings, saved, "");
        stage.done("saved").await;
        let outputs = stage.done("restored").await;
        let side = outputs["database"].as_str().unwrap();
        assert_eq!(outputs["of"], "app");
        let inside = connect(&settings.with_database(side)).await;
        assert_eq!(inside.one("SELECT count(*) FROM messages").await.unwrap(), "100", "{saved}");
        crate::support::stage::done(stage.undo("restored").await);
    }
}

#[tokio::test]
async fn in_place_puts_everything_back_in_one_transaction() {
    for saved in ["", ", format: plain"] {
        let settings = sample("restore_place").await;
        let stage = stage(&settings, saved, ", into: in_place");
        stage.done("saved").await;
        let app = connect(&settings).await;
        app.execute("DELETE FROM messages; CREATE TABLE later (); DROP TABLE escrows").await.unwrap();
        stage.done("restored").await;
        let app = connect(&settings).await;
        assert_eq!(app.one("SELECT count(*) FROM messages").await.unwrap(), "100", "{saved}");
        assert_eq!(app.one("SELECT count(*) FROM escrows").await.unwrap(), "100", "{saved}");
        assert_eq!(app.value("SELECT to_regclass('later')").await.unwrap(), None);
    }
}

#[tokio::test]
async fn some_tables_come_with_the_whole_schema_and_never_go_live() {
    let settings = sample("restore_some").await;
    let stage = plan(
        "databases: { app: { url: unused } }
steps:
  - id: saved
    backup: { database: app, to: ./backups }
  - id: restored
    restore: { from: '{{ steps.saved.path }}', database: app, tables: [escrows] }
  - id: switched
    swap: { database: app, with: '{{ steps.restored.database }}' }
",
    )
    .database("app", &settings)
    .set();
    stage.done("saved").await;
    let outputs = stage.done("restored").await;
    let inside = connect(&settings.with_database(outputs["database"].as_str().unwrap())).await;
    assert_eq!(inside.one("SELECT count(*) FROM escrows").await.unwrap(), "100");
    assert_eq!(inside.one("SELECT count(*) FROM users").await.unwrap(), "0");
    drop(inside);
    let failure = failed(stage.act("switched").await);
    assert!(failure.message.contains("holds the rows of some tables only"), "{}", failure.message);
}

/// The feeder's process, by the file that it was given.
fn feeder(stage: &Stage) -> Option<rustix::process::Pid> {
    let file = stage.world.state.join("files/restored.1.feed.json");
    std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let is = line.starts_with(crate::support::cluster::RUNPLAN.as_bytes())
            && String::from_utf8_lossy(&line).contains(&file.display().to_string());
        rustix::process::Pid::from_raw(entry.file_name().to_str()?.parse().ok().filter(|_| is)?)
    })
}

#[tokio::test]
async fn a_feeder_that_is_killed_commits_nothing() {
    let settings = sample("restore_killed").await;
    let app = connect(&settings).await;
    app.execute("INSERT INTO messages (body) SELECT repeat('x', 200) FROM generate_series(1, 200000)")
        .await
        .unwrap();
    let stage = stage(&settings, ", format: plain, compress: none", ", into: in_place");
    stage.done("saved").await;
    app.execute("DELETE FROM messages WHERE body LIKE 'x%'").await.unwrap();
    let before = app.one("SELECT count(*) FROM messages").await.unwrap();
    let kill = async {
        loop {
            if let Some(pid) = feeder(&stage) {
                runplan::clock::sleep(std::time::Duration::from_millis(60)).await;
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
                return;
            }
            runplan::clock::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let (outcome, ()) = tokio::join!(stage.act("restored"), kill);
    let failure = failed(outcome);
    assert!(failure.message.contains("signal 9"), "{}", failure.message);
    assert_eq!(app.one("SELECT count(*) FROM messages").await.unwrap(), before);
}
