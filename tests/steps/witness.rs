//! SQL exactly once on a server that changes under it: promoted, exchanged, put back in time, or silent at COMMIT; and tried
//! again only where the server said that nothing was committed.

use super::backup::fill;
use crate::support::cluster::{connect, database, options, shared};
use crate::support::proxy::{Cut, Proxy};
use crate::support::stage::{Stage, done, failed, plan};
use crate::support::standby::Standby;
use runplan::clock;
use runplan::postgres::{Cluster, ClusterOptions, Connection, Settings, Stop};
use runplan::run::{Evidence, Outcome};
use runplan::steps::{self, Attempt};
use std::path::Path;
use std::time::Duration;

/// A stage with one step `s`; its statements end in a comma-free YAML string.
fn step(settings: &Settings, more: &str, sql: &str) -> Stage {
    let sql = serde_json::to_string(sql).unwrap();
    plan(&format!("steps:\n- id: s\n  sql: {{ database: app, statement: {sql}{more} }}"))
        .database("app", settings)
        .set()
}

/// A table of two rows; and a sequence that counts the tries, for a rollback does not take it back.
async fn with_tries(stem: &str) -> (Settings, Connection) {
    let settings = database(stem).await;
    let look = connect(&settings).await;
    look.execute(
        "CREATE TABLE t (id int, a text); INSERT INTO t VALUES (1, 'a'), (2, 'b'); CREATE SEQUENCE tries",
    )
    .await
    .unwrap();
    (settings, look)
}

async fn tries(look: &Connection) -> String {
    look.one("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tries").await.unwrap()
}

async fn rows(look: &Connection) -> String {
    look.one("SELECT string_agg(a, ' ' ORDER BY id) FROM t").await.unwrap()
}

async fn until(look: &Connection, condition: &str) {
    let watch = clock::Stopwatch::start();
    while look.one(&format!("SELECT {condition}")).await.unwrap() != "t" {
        assert!(watch.elapsed().as_secs() < 120, "waited too long for: {condition}");
        clock::sleep(Duration::from_millis(5)).await;
    }
}

/// Somebody of this database waits for the advisory lock, or for another's row.
const GATE: &str = "EXISTS (SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
     WHERE d.datname = current_database() AND locktype = 'advisory' AND NOT granted)";

/// Transactions of new sessions begin so.
async fn isolated(look: &Connection, settings: &Settings, level: &str) {
    let sql = format!("ALTER DATABASE {} SET default_transaction_isolation = '{level}'", settings.database());
    look.execute(&sql).await.unwrap();
}

#[tokio::test]
async fn a_serialization_failure_is_tried_again() {
    let (settings, look) = with_tries("retry_serial").await;
    isolated(&look, &settings, "repeatable read").await;
    look.execute("SELECT pg_advisory_lock(42)").await.unwrap();
    let stage = step(
        &settings,
        ", lock_timeout: 60s",
        "SELECT nextval('tries'); SELECT count(*) FROM t; \
         SELECT pg_advisory_xact_lock(42); UPDATE t SET a = a || 'z' WHERE id = 1",
    );
    let (outcome, ()) = tokio::join!(stage.act("s"), async {
        until(&look, GATE).await;
        look.execute("UPDATE t SET a = a || 'y' WHERE id = 1; SELECT pg_advisory_unlock(42)").await.unwrap();
    });
    done(outcome);
    assert_eq!((tries(&look).await, rows(&look).await), ("2".into(), "ayz b".into()));
    let meant = stage.facts("s", 1).into_iter().filter(|fact| fact.name == "commit_intended");
    assert_eq!(meant.count(), 1, "only one COMMIT was meant");
}

#[tokio::test]
async fn a_serialization_failure_at_commit_is_tried_again() {
    let (settings, look) = with_tries("retry_commit").await;
    isolated(&look, &settings, "serializable").await;
    look.execute("SELECT pg_advisory_lock(42)").await.unwrap();
    let rival = connect(&settings).await;
    // Each reads what the other writes; the rival commits first.
    let stage = step(
        &settings,
        ", lock_timeout: 60s",
        "SELECT nextval('tries'); \
         UPDATE t SET a = (SELECT a FROM t WHERE id = 1) || 'z' WHERE id = 2; SELECT pg_advisory_xact_lock(42)",
    );
    let (outcome, ()) = tokio::join!(stage.act("s"), async {
        until(&look, GATE).await;
        rival
            .execute(
                "BEGIN ISOLATION LEVEL SERIALIZABLE; \
                 UPDATE t SET a = (SELECT a FROM t WHERE id = 2) || 'y' WHERE id = 1; COMMIT; \
                 SELECT pg_advisory_unlock_all()",
            )
            .await
            .unwrap();
        look.execute("SELECT pg_advisory_unlock(42)").await.unwrap();
    });
    done(outcome);
    assert_eq!((tries(&look).await, rows(&look).await), ("2".into(), "by byz".into()));
}

#[tokio::test]
async fn the_victim_of_a_deadlock_is_tried_again() {
    let (settings, look) = with_tries("retry_deadlock").await;
    let (rival, gate) = (connect(&settings).await, connect(&settings).await);
    // The rival never looks for deadlocks, so the step is the one that finds it.
    rival.execute("SET deadlock_timeout = '1h'").await.unwrap();
    let name = settings.database();
    look.execute(&format!("ALTER DATABASE {name} SET deadlock_timeout = '20ms'")).await.unwrap();
    gate.execute("SELECT pg_advisory_lock(42)").await.unwrap();
    rival.execute("BEGIN; UPDATE t SET a = a || 'y' WHERE id = 2").await.unwrap();
    let stage = step(
        &settings,
        ", lock_timeout: 60s",
        "SELECT nextval('tries'); UPDATE t SET a = a || 'z' WHERE id = 1; SELECT pg_advisory_xact_lock(42); \
         UPDATE t SET a = a || 'z' WHERE id = 2",
    );
    let (outcome, (), ()) = tokio::join!(
        stage.act("s"),
        async {
            until(&look, GATE).await;
            rival.execute("UPDATE t SET a = a || 'y' WHERE id = 1").await.unwrap();
            rival.execute("COMMIT").await.unwrap();
        },
        async {
            let pid = rival.backend().pid;
            until(&gate, &format!("cardinality(pg_blocking_pids({pid})) > 0")).await;
            gate.execute("SELECT pg_advisory_unlock(42)").await.unwrap();
        }
    );
    done(outcome);
    assert_eq!((tries(&look).await, rows(&look).await), ("2".into(), "ayz byz".into()));
}

#[tokio::test]
async fn a_lock_timeout_is_tried_again() {
    let (settings, look) = with_tries("retry_lock").await;
    let rival = connect(&settings).await;
    rival.execute("BEGIN; UPDATE t SET a = a || 'y' WHERE id = 1").await.unwrap();
    let stage = step(
        &settings,
        ", lock_timeout: 300ms",
        "SELECT nextval('tries'); UPDATE t SET a = a || 'z' WHERE id = 1",
    );
    let (outcome, ()) = tokio::join!(stage.act("s"), async {
        until(&look, "(SELECT last_value >= 2 FROM tries)").await;
        rival.execute("COMMIT").await.unwrap();
    });
    done(outcome);
    assert!(tries(&look).await.parse::<u32>().unwrap() >= 2);
    assert_eq!(rows(&look).await, "ayz b");
}

/// The server is asked what became of the COMMIT; the statements are never sent again, whichever it was.
#[tokio::test]
async fn a_connection_lost_at_commit_is_never_tried_again() {
    for cut in [Cut::BeforeCommit, Cut::AfterCommit] {
        let (settings, look) = with_tries("retry_lost").await;
        let proxy = Proxy::start(shared().port());
        let url = shared().url(settings.database());
        let url = url.expose().replace(&format!(":{}/", shared().port()), &format!(":{}/", proxy.port()));
        let through = Settings::parse(&url, &|_| None).unwrap();
        let stage = step(&through, "", "SELECT nextval('tries'); UPDATE t SET a = a || 'z' WHERE id = 1");
        let world = &stage.world;
        let target = world.targets.find(world, &runplan::plan::Text::made("app")).await.unwrap();
        world.targets.claim(world, &target).await.unwrap();
        proxy.cut(cut);
        let outcome = stage.act("s").await;
        assert_eq!(tries(&look).await, "1", "{cut:?}: it was sent again");
        match cut {
            Cut::BeforeCommit => {
                let failure = failed(outcome);
                assert_eq!(failure.code, "runplan::postgres::lost", "{failure:?}");
                assert_eq!(rows(&look).await, "a b");
            }
            Cut::AfterCommit => {
                done(outcome);
                assert_eq!(rows(&look).await, "az b");
            }
        }
    }
}

/// The interrupted attempt of one stage as another server's stage finds it in the journal.
async fn settle_at(from: &Stage, settings: &Settings) -> Outcome {
    let stage = step(settings, "", INSERT);
    steps::settle(&Attempt { facts: from.facts("s", 1), ..stage.attempt("s", 1) }).await
}

const INSERT: &str = "INSERT INTO t VALUES (1)";

#[track_caller]
fn unknown(outcome: Outcome, words: &[&str]) -> Evidence {
    let Outcome::Unknown(evidence) = outcome else { panic!("{outcome:?}") };
    assert_eq!(evidence.message, "whether the transaction was committed is not known");
    for word in words {
        assert!(evidence.facts.iter().any(|fact| fact.contains(word)), "{word}: {evidence:?}");
    }
    evidence
}

async fn replicated() -> (Cluster, Settings, Connection) {
    let settings = [("wal_level", "replica"), ("max_wal_senders", "4")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::start(ClusterOptions { settings, ..options() }).unwrap();
    connect(&cluster.settings("postgres").unwrap()).await.execute("CREATE DATABASE app").await.unwrap();
    let app = cluster.settings("app").unwrap();
    let look = connect(&app).await;
    look.execute("CREATE TABLE t (a int)").await.unwrap();
    (cluster, app, look)
}

#[tokio::test]
async fn a_standby_promoted_between_the_intent_and_the_question_cannot_tell() {
    let (mut cluster, app, look) = replicated().await;
    let standby = Standby::start(&cluster);
    let there = standby.settings("app");
    let mut stage = step(&app, "", INSERT);
    stage.act_until("s", "commit_intended", true).await;
    let position = look.one("SELECT pg_current_wal_flush_lsn()").await.unwrap();
    let copy = loop {
        match Connection::connect(&there, "copy").await {
            Ok(copy) => break copy,
            Err(_) => clock::sleep(Duration::from_millis(20)).await,
        }
    };
    until(&copy, &format!("pg_last_wal_replay_lsn() >= '{position}'")).await;
    unknown(settle_at(&stage, &there).await, &["is a standby now"]);
    cluster.stop_server(Stop::Immediate).unwrap();
    copy.execute("SELECT pg_promote()").await.unwrap();
    drop(copy);
    let evidence = unknown(
        settle_at(&stage, &there).await,
        &["timeline 00000002, it was 00000001", "timeline 00000001, WAL at", "backend"],
    );
    assert!(evidence.facts.iter().any(|fact| fact.starts_with("transaction ")), "{evidence:?}");
    // The old primary, back again, can.
    cluster.start_server().unwrap();
    stage.restart().await;
    assert!(matches!(stage.settle("s").await, Outcome::Again(why) if why.contains("rolled back")));
}

#[tokio::test]
async fn another_server_under_the_same_address_cannot_tell() {
    let (_cluster, app, _) = replicated().await;
    let stage = step(&app, "", INSERT);
    stage.act_until("s", "commit_intended", true).await;
    let elsewhere = database("witness_elsewhere").await;
    unknown(settle_at(&stage, &elsewhere).await, &["is another server: system identifier"]);
}

/// A snapshot of the machine's disk takes everything back, the server's own memory of the transaction too.
#[tokio::test]
async fn a_server_put_back_in_time_cannot_tell() {
    let (mut cluster, app, _) = replicated().await;
    let (data, kept) = (cluster.directory().join("data"), tempfile::tempdir_in("/tmp").unwrap());
    cluster.stop_server(Stop::Fast).unwrap();
    copy(&data, &kept.path().join("data"));
    cluster.start_server().unwrap();
    connect(&app).await.execute("SELECT pg_switch_wal()").await.unwrap();
    let mut stage = step(&app, "", INSERT);
    stage.done("s").await;
    cluster.stop_server(Stop::Fast).unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&kept.path().join("data"), &data);
    cluster.start_server().unwrap();
    stage.restart().await;
    unknown(stage.settle("s").await, &["went back in time", "it was at"]);
    assert_eq!(connect(&app).await.one("SELECT count(*) FROM t").await.unwrap(), "0");
}

/// With owners and times.
#[allow(clippy::disallowed_methods, reason = "a program that keeps owners and times")]
fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

/// A COMMIT that waits for a standby that never comes: it is not waited for without end, and not guessed.
#[tokio::test]
async fn a_commit_that_hangs_is_asked_about_or_unknown() {
    let (cluster, app, look) = replicated().await;
    fill(&app).await;
    let sql = step(&app, "", INSERT);
    let mut place = plan(
        "databases: { app: { url: unused } }
steps:
  - id: saved
    backup: { database: app, to: ./backups }
  - id: restored
    restore: { from: '{{ steps.saved.path }}', database: app, into: in_place }
    unguarded: test
",
    )
    .database("app", &app)
    .run("test-20261122-0312-m2p8")
    .set();
    let outputs = place.done("saved").await;
    assert!(outputs["path"].is_string());
    place.world.targets.release(&place.world).await;
    look.execute("INSERT INTO messages (body) VALUES ('later')").await.unwrap();
    let server = connect(&cluster.settings("postgres").unwrap()).await;
    server.execute("SET synchronous_commit = off").await.unwrap();
    let hangs = |step: &str| {
        format!(
            "EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = 'app' \
                 AND application_name LIKE 'runplan:%:{step}')"
        )
    };
    for (stage, id) in [(&sql, "s"), (&place, "restored")] {
        let world = &stage.world;
        let target = world.targets.find(world, &runplan::plan::Text::made("app")).await.unwrap();
        world.targets.claim(world, &target).await.unwrap();
        server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await.unwrap();
        server.execute("SELECT pg_reload_conf()").await.unwrap();
        until(&server, "current_setting('synchronous_standby_names') = 'nobody'").await;
        let attempt = stage.attempt(id, 1);
        let (outcome, ()) = tokio::join!(steps::act(&attempt), async {
            until(&server, &hangs(id)).await;
            attempt.cancelled.cancel();
        });
        match id {
            // Ended, its wait for the standby is over, and the server says that it is committed.
            "s" => drop(done(outcome)),
            _ => {
                let Outcome::Unknown(evidence) = outcome else { panic!("{outcome:?}") };
                assert_eq!(evidence.message, "whether the restore was committed is not known");
                let said = |word: &str| evidence.facts.iter().any(|fact| fact.contains(word));
                assert!(said("transaction ") && said("synchronous_standby_names"), "{evidence:?}");
            }
        }
        drop(attempt);
        server.execute("ALTER SYSTEM RESET synchronous_standby_names").await.unwrap();
        server.execute("SELECT pg_reload_conf()").await.unwrap();
        until(&server, "current_setting('synchronous_standby_names') = ''").await;
        stage.world.targets.release(&stage.world).await;
    }
    assert_eq!(
        connect(&app).await.one("SELECT count(*) FROM t").await.unwrap(),
        "0",
        "the backup was taken before"
    );
    place.restart().await;
    done(place.settle("restored").await);
    assert_eq!(connect(&app).await.one("SELECT count(*) FROM messages").await.unwrap(), "100");
}
