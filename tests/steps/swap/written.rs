//! Whatever is written after the freeze is noticed, whoever wrote it and however.

use super::super::backup::sample;
use super::blocked::cluster;
use super::{maintenance, oid_of, stage};
use crate::support::cluster::connect;
use crate::support::stage::{done, failed, plan};
use runplan::postgres::{Connection, Settings};
use runplan::run::Outcome;
use runplan::steps::Attempt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[tokio::test]
async fn every_way_to_write() {
    let (_cluster, app) = cluster().await;
    connect(&app)
        .await
        .execute(
            "CREATE ROLE batch LOGIN PASSWORD 'b' SUPERUSER; ALTER ROLE batch SET default_transaction_read_only = off;
             CREATE UNLOGGED TABLE cache (x int); CREATE TABLE wide (t text);
             CREATE MATERIALIZED VIEW seen AS SELECT count(*) FROM users",
        )
        .await
        .unwrap();
    let stage = stage(&app);
    for id in ["saved", "restored"] {
        stage.done(id).await;
    }
    let ways: [(&str, &[&str]); 11] = [
        ("one row", &["INSERT INTO messages (body) VALUES ('x')"]),
        ("an update", &["UPDATE users SET name = name WHERE id = 1"]),
        ("a row by COPY", &["COPY messages (body) FROM PROGRAM 'echo copied'"]),
        ("TRUNCATE", &["TRUNCATE wide"]),
        ("a large object", &["SELECT lo_from_bytea(0, 'x')"]),
        (
            "two phases",
            &["BEGIN; DELETE FROM messages WHERE body = 'x'; PREPARE TRANSACTION 'p'", "COMMIT PREPARED 'p'"],
        ),
        ("an unlogged table", &["INSERT INTO cache VALUES (1)"]),
        ("a new table", &["CREATE TABLE fresh (x int)"]),
        ("a refreshed view", &["REFRESH MATERIALIZED VIEW seen"]),
        ("in a function", &["DO $$ BEGIN INSERT INTO wide SELECT repeat('w', 9000); END $$"]),
        (
            "replication's role",
            &["SET session_replication_role = replica", "DELETE FROM escrows WHERE id = 100"],
        ),
    ];
    for (what, statements) in ways {
        stage.done("frozen").await;
        let settings = app.with_setting("default_transaction_read_only", "off");
        let writer = connect(&settings).await;
        for statement in statements {
            writer.execute(statement).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        // Still connected: it may not have reported what it wrote.
        let failure = failed(stage.act("switched").await);
        assert_eq!(failure.code, "runplan::swap::written", "{what}");
        assert!(
            failure.message.contains("app was written to since the freeze"),
            "{what}: {}",
            failure.message
        );
    }
    // A role that ignores the freeze by its own setting.
    stage.done("frozen").await;
    let host = &app.hosts()[0];
    let url = format!("postgres://batch:b@{}:{}/app", host.name, host.port);
    let batch = connect(&runplan::postgres::Settings::parse(&url, &|_| None).unwrap()).await;
    batch.execute("INSERT INTO messages (body) VALUES ('batch')").await.unwrap();
    assert_eq!(failed(stage.act("switched").await).code, "runplan::swap::written");
    // Who only reads is not in the way.
    stage.done("frozen").await;
    connect(&app).await.one("SELECT count(*) FROM messages").await.unwrap();
    stage.done("switched").await;
}

#[tokio::test]
async fn a_database_that_was_open_for_a_while_is_no_longer_frozen() {
    let settings = sample("opened").await;
    let name = settings.database().to_owned();
    let text = "databases: { app: { url: unused } }
steps:
  - id: saved
    backup: { database: app, to: ./backups }
  - id: restored
    restore: { from: '{{ steps.saved.path }}', database: app }
  - id: frozen
    freeze: { database: app, mode: no_connections, quiet: 300ms }
  - id: switched
    swap: { database: app, with: '{{ steps.restored.database }}', keep_old: 7d }
";
    let stage = plan(text).database("app", &settings).set();
    for id in ["saved", "restored", "frozen"] {
        stage.done(id).await;
    }
    let server = maintenance(&settings).await;
    server.execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await.unwrap();
    let failure = failed(stage.act("switched").await);
    assert_eq!(failure.code, "runplan::swap::reopened");
    assert!(failure.message.contains("was opened to connections again"), "{}", failure.message);
    connect(&settings).await.execute("INSERT INTO messages (body) VALUES ('unseen')").await.unwrap();
    server.execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await.unwrap();
    let failure = failed(stage.act("switched").await);
    assert_eq!(failure.code, "runplan::swap::reopened");
    assert!(failure.help.unwrap().contains("ALLOW_CONNECTIONS true; then `runplan resume`"));
    assert!(failure.message.contains("may have been open to connections for a while"), "{}", failure.message);
    // A setting, a comment and a vacuum let nobody in.
    stage.done("frozen").await;
    server
        .execute(&format!(
            "ALTER DATABASE {name} SET work_mem = '5MB'; COMMENT ON DATABASE {name} IS 'the shop'"
        ))
        .await
        .unwrap();
    server.execute("VACUUM FREEZE pg_database").await.unwrap();
    let old = oid_of(&server, &name).await;
    stage.done("switched").await;
    assert_ne!(oid_of(&server, &name).await, old);
}

#[tokio::test]
async fn an_undo_that_dies_while_it_compares_shuts_the_old_database_again() {
    let settings = sample("compared").await;
    let mut stage = stage(&settings);
    for id in ["saved", "restored", "frozen"] {
        stage.done(id).await;
    }
    let old = stage.done("switched").await["old_database"].as_str().unwrap().to_owned();
    connect(&settings).await.execute("INSERT INTO messages (body) VALUES ('after')").await.unwrap();
    let server = maintenance(&settings).await;
    let open = format!("SELECT datallowconn FROM pg_database WHERE datname = '{old}'");
    stage.undo_until("switched", "undo.opening").await;
    // Where it died: opened, and nobody left to shut it.
    server.execute(&format!("ALTER DATABASE {old} ALLOW_CONNECTIONS true")).await.unwrap();
    stage.restart().await;
    let failure = failed(stage.undo("switched").await);
    assert_eq!(failure.code, "runplan::swap::written");
    assert_eq!(server.one(&open).await.unwrap(), "f");
}

/// A client that ignores the maintenance page and the freeze, and begins again whenever it is thrown out.
struct Writer {
    go_on: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Vec<String>>,
}

impl Writer {
    #[allow(clippy::disallowed_methods, reason = "a client of the application is a task of the test")]
    fn start(settings: &Settings, round: usize) -> Self {
        let settings = settings.with_setting("default_transaction_read_only", "off");
        let go_on = Arc::new(AtomicBool::new(true));
        let more = go_on.clone();
        let task = tokio::spawn(async move {
            let (mut said, mut number) = (Vec::new(), 0);
            while more.load(Ordering::Relaxed) {
                let Ok(session) = Connection::connect(&settings, "stubborn").await else { continue };
                while more.load(Ordering::Relaxed) {
                    number += 1;
                    let body = format!("round {round} write {number}");
                    match session.execute(&format!("INSERT INTO messages (body) VALUES ('{body}')")).await {
                        Ok(_) => said.push(body),
                        Err(_) => break,
                    }
                }
            }
            said
        });
        Self { go_on, task }
    }

    /// What the server told it is committed.
    async fn stop(self) -> Vec<String> {
        self.go_on.store(false, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

/// At whatever instant of the swap somebody begins to write: what the server said is committed is under the live name
/// afterwards, or the swap was refused.
#[tokio::test]
async fn whoever_writes_all_the_time_loses_nothing_without_a_word() {
    let settings = sample("stubborn").await;
    let stage = stage(&settings);
    for id in ["saved", "restored"] {
        stage.done(id).await;
    }
    let (mut refused, mut swapped) = (0, 0);
    for (round, delay) in [0, 1, 3, 8, 20, 40, 80, 150, 300, 600].into_iter().enumerate() {
        stage.done("frozen").await;
        let late = async {
            runplan::clock::sleep(Duration::from_millis(delay)).await;
            Writer::start(&settings, round)
        };
        let (outcome, writer) = tokio::join!(stage.act("switched"), late);
        let said = writer.stop().await;
        let live = connect(&settings).await;
        let there = live.last("SELECT body FROM messages").await.unwrap();
        let there: BTreeSet<String> = there.rows.into_iter().filter_map(|row| row[0].clone()).collect();
        let lost: Vec<&String> = said.iter().filter(|body| !there.contains(*body)).collect();
        assert!(lost.is_empty(), "round {round}: {} of {} are lost: {outcome:?}", lost.len(), said.len());
        drop(live);
        match outcome {
            Outcome::Failed(failure) => {
                assert!(
                    ["runplan::swap::written", "runplan::swap::refused", "runplan::swap::sessions"]
                        .contains(&failure.code.as_str()),
                    "round {round}: {failure:?}"
                );
                refused += 1;
            }
            Outcome::Done(_) => {
                swapped += 1;
                // What it wrote to the new one is in the way back, until somebody agrees.
                if let Outcome::Failed(failure) = stage.undo("switched").await {
                    assert_eq!(failure.code, "runplan::swap::written");
                    let help = failure.help.unwrap();
                    let code =
                        help.split("--accept-loss ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
                    let agreed =
                        Attempt { undoing: true, accepted_loss: Some(code), ..stage.attempt("switched", 1) };
                    done(runplan::steps::undo(&agreed).await);
                }
                // The side database has its own again.
                let side = settings.with_database(&stage.database_of("restored"));
                connect(&side).await.execute("DELETE FROM messages WHERE body LIKE 'round%'").await.unwrap();
            }
            other => panic!("round {round}: {other:?}"),
        }
        println!("round {round}, {delay} ms: {} writes, {refused} refused, {swapped} swapped", said.len());
    }
    assert!(refused + swapped == 10);
}

/// A freeze is not proved while somebody, a superuser too, begins to write again and again.
#[tokio::test]
async fn a_freeze_under_a_stubborn_writer_is_taken_back_and_names_it() {
    let settings = sample("stubborn_freeze").await;
    let text = "databases: { app: { url: unused } }
steps:
  - { id: frozen, timeout: 3s, freeze: { database: app, quiet: 400ms } }
";
    let stage = plan(text).database("app", &settings).set();
    let writer = Writer::start(&settings, 0);
    let attempt = stage.attempt("frozen", 1);
    let (outcome, ()) = tokio::join!(runplan::steps::act(&attempt), async {
        while !stage.warnings().iter().any(|warning| warning.contains("still written to")) {
            runplan::clock::sleep(Duration::from_millis(20)).await;
        }
        attempt.cancelled.cancel();
    });
    assert!(!writer.stop().await.is_empty());
    failed(outcome);
    let said = stage.warnings().join("\n");
    assert!(said.contains("stubborn") || said.contains("public.messages"), "{said}");
    // Thawed: an ordinary session writes again.
    connect(&settings).await.execute("INSERT INTO messages (body) VALUES ('thawed')").await.unwrap();
}
