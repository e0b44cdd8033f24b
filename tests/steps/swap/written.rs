//! Whatever is written after the freeze is noticed, whoever wrote it and however.

use super::blocked::cluster;
use super::stage;
use crate::support::cluster::connect;
use crate::support::stage::failed;

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
