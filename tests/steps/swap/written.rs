//! Whatever is written after the freeze is noticed, whoever wrote it and however.

use super::super::backup::sample;
use super::blocked::cluster;
use super::{maintenance, oid_of, stage};
use crate::support::cluster::connect;
use crate::support::stage::{failed, plan};

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
    assert!(failure.message.contains("was opened to connections again"), "{}", failure.message);
    connect(&settings).await.execute("INSERT INTO messages (body) VALUES ('unseen')").await.unwrap();
    server.execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await.unwrap();
    let failure = failed(stage.act("switched").await);
    assert_eq!(failure.code, "runplan::swap::written");
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
