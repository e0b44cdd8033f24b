//! With a streaming standby: its sessions on the old database are ended when it has come to the swap.

use super::{filled, maintenance, stage_of};
use crate::support::cluster::connect;
use crate::support::stage::{done, failed};
use crate::support::standby::Standby;
use runplan::postgres::Connection;

const STREAMING: [(&str, &str); 2] = [("wal_level", "replica"), ("max_wal_senders", "4")];

#[tokio::test]
async fn they_are_waited_for_and_their_sessions_ended() {
    let (cluster, _, app) = filled(&STREAMING).await;
    let standby = Standby::start(&cluster);
    let there = standby.settings("app");
    let reader = loop {
        match Connection::connect(&there, "reader").await {
            Ok(reader) => break reader,
            Err(_) => runplan::clock::sleep(std::time::Duration::from_millis(20)).await,
        }
    };
    let more = format!("    replicas: [\"{}\"]\n", standby.url("app"));
    let stage = stage_of(&app, &more).set();
    for id in ["saved", "restored"] {
        stage.done(id).await;
    }
    connect(&app).await.execute("INSERT INTO messages (body) VALUES ('lost')").await.unwrap();
    while reader.one("SELECT count(*) FROM messages").await.unwrap() != "101" {
        tokio::task::yield_now().await;
    }
    let outputs = stage.done("switched").await;
    let replica = &outputs["replicas"][0];
    assert_eq!(replica["sessions_ended"], 1, "{outputs:?}");
    assert!(reader.one("SELECT 1").await.is_err(), "it read the old database");
    let again = connect(&there).await;
    assert_eq!(again.one("SELECT count(*) FROM messages").await.unwrap(), "100");
    let outputs = done(stage.undo("switched").await);
    assert_eq!(outputs["replicas"][0]["sessions_ended"], 1, "{outputs:?}");
    assert_eq!(connect(&there).await.one("SELECT count(*) FROM messages").await.unwrap(), "101");
    let replica = connect(&standby.settings("postgres")).await;
    replica.execute("SELECT pg_wal_replay_pause()").await.unwrap();
    while replica.one("SELECT pg_is_wal_replay_paused()").await.unwrap() != "t" {
        tokio::task::yield_now().await;
    }
    let failure = failed(stage.act("switched").await);
    assert!(failure.message.contains("cannot be waited for: its replay is paused"), "{}", failure.message);
    drop((replica, standby));
    let failure = failed(stage.act("switched").await);
    assert!(failure.message.contains("cannot be waited for: nothing listens"), "{}", failure.message);
    drop(maintenance(&app).await);
}

/// What somebody reads there can hold the replay for as long as it takes; here the test does, until the reader is gone.
#[tokio::test]
async fn a_reader_does_not_hold_the_replay() {
    let (cluster, server, app) = filled(&STREAMING).await;
    let standby = Standby::start(&cluster);
    let reader = loop {
        match Connection::connect(&standby.settings("app"), "reader").await {
            Ok(reader) => break reader,
            Err(_) => runplan::clock::sleep(std::time::Duration::from_millis(20)).await,
        }
    };
    let replica = connect(&standby.settings("postgres")).await;
    let stage = stage_of(&app, &format!("    replicas: [\"{}\"]\n", standby.url("app"))).set();
    for id in ["saved", "restored"] {
        stage.done(id).await;
    }
    // The swap stands still behind this lock, after it has looked at the replicas.
    server.execute("BEGIN; LOCK TABLE pg_catalog.pg_db_role_setting IN SHARE MODE").await.unwrap();
    let holds = async {
        let waits = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'pg_db_role_setting'::regclass";
        while server.one(waits).await.unwrap() != "t" {
            tokio::task::yield_now().await;
        }
        replica.execute("SELECT pg_wal_replay_pause()").await.unwrap();
        while replica.one("SELECT pg_get_wal_replay_pause_state()").await.unwrap() != "paused" {
            tokio::task::yield_now().await;
        }
        server.execute("ROLLBACK").await.unwrap();
        for _ in 0..900 {
            if reader.one("SELECT 1").await.is_err() {
                break;
            }
            runplan::clock::sleep(std::time::Duration::from_millis(100)).await;
        }
        replica.execute("SELECT pg_wal_replay_resume()").await.unwrap();
    };
    let (outputs, ()) = tokio::join!(stage.done("switched"), holds);
    let followed = &outputs["replicas"][0];
    assert!(followed["problem"].is_null() && followed["sessions_ended"] == 1, "{outputs:?}");
    assert!(
        followed["replayed_ms"].as_u64().unwrap() > outputs["downtime_ms"].as_u64().unwrap(),
        "{outputs:?}"
    );
}

#[tokio::test]
async fn a_primary_is_no_replica() {
    let settings = super::sample("swap_no_replica").await;
    let url = crate::support::cluster::shared().url(settings.database());
    let more = "    replicas: [\"{{ secrets.REPLICA }}\"]\nsecrets: { REPLICA: { env: UNUSED } }\n";
    let stage = stage_of(&settings, more).secret("REPLICA", url.expose()).set();
    for id in ["saved", "restored"] {
        stage.done(id).await;
    }
    let failure = failed(stage.act("switched").await);
    assert!(failure.message.ends_with("cannot be waited for: it is no standby"), "{}", failure.message);
}
