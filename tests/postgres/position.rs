//! Where a server stands, and whether it was set back since: after a crash, a promotion, a copy put in its place, a recovery.

use crate::support::backup;
use crate::support::cluster::{connect, options};
use crate::support::standby::Standby;
use runplan::clock;
use runplan::postgres::position::{set_back, take};
use runplan::postgres::{Cluster, ClusterOptions, Connection, Position, Settings, Stop, identity};
use std::time::Duration;

const PLAIN: &str = "CREATE ROLE plain; SET ROLE plain";

fn replicated() -> Cluster {
    let settings = [("wal_level", "replica"), ("max_wal_senders", "4"), ("autovacuum", "off")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Cluster::start(ClusterOptions { settings, ..options() }).unwrap()
}

/// Asked by a superuser, and by a role that may do nothing special.
async fn told(settings: &Settings, then: &Position) -> [Option<String>; 2] {
    let (one, two) = (connect(settings).await, connect(settings).await);
    two.execute("SET ROLE plain").await.unwrap();
    [set_back(&one, then).await.unwrap(), set_back(&two, then).await.unwrap()]
}

#[track_caller]
fn prove(told: [Option<String>; 2], words: [&str; 2]) {
    for (told, words) in told.into_iter().zip(words) {
        let told = told.expect("set back");
        assert!(told.contains(words), "{words}: {told}");
    }
}

/// Writes until its WAL is longer than that.
async fn overrun(settings: &Settings, lsn: &str) {
    let connection = connect(settings).await;
    connection.execute("CREATE TABLE overrun (a text)").await.unwrap();
    for _ in 0..20 {
        connection
            .execute("INSERT INTO overrun SELECT repeat('x', 500) FROM generate_series(1, 40)")
            .await
            .unwrap();
    }
    let beyond = format!("SELECT pg_current_wal_flush_lsn() > '{lsn}'");
    assert_eq!(connection.one(&beyond).await.unwrap(), "t");
}

#[tokio::test]
async fn a_server_that_crashed_was_not_set_back() {
    let mut cluster = replicated();
    let settings = cluster.settings("postgres").unwrap();
    let session = connect(&settings).await;
    session.execute(PLAIN).await.unwrap();
    let then = take(&session).await.unwrap();
    assert_eq!(then.rolled_back.len(), 4);
    for stop in [Stop::Immediate, Stop::Fast] {
        cluster.stop_server(stop).unwrap();
        cluster.start_server().unwrap();
        assert_eq!(told(&settings, &then).await, [None, None], "{stop:?}");
    }
    overrun(&settings, &then.lsn).await;
    assert_eq!(told(&settings, &then).await, [None, None]);
}

#[tokio::test]
async fn a_copy_from_before_is_told_by_its_wal_and_later_by_its_transactions() {
    let mut cluster = replicated();
    let settings = cluster.settings("postgres").unwrap();
    connect(&settings).await.execute(PLAIN).await.unwrap();
    let early = take(&connect(&settings).await).await.unwrap();
    backup::copy(&mut cluster);
    let session = connect(&settings).await;
    session.execute("CREATE TABLE later AS SELECT generate_series(1, 1000)").await.unwrap();
    let late = take(&session).await.unwrap();
    drop(session);
    backup::set_back(&mut cluster);
    assert_eq!(told(&settings, &early).await, [None, None], "what was before the copy is there");
    prove(told(&settings, &late).await, ["ends at", "ends at"]);
    // It has gone on, and written more than was lost.
    let session = connect(&settings).await;
    session.execute("CREATE TABLE other AS SELECT generate_series(1, 100000)").await.unwrap();
    let beyond = Position { lsn: early.lsn.clone(), ..late.clone() };
    prove(told(&settings, &beyond).await, ["has never had transaction", "has never had transaction"]);
    overrun(&settings, &late.lsn).await;
    prove(told(&settings, &late).await, ["committed, and it was aborted", "committed, and it was aborted"]);
    assert_eq!(told(&settings, &early).await, [None, None]);
}

async fn caught_up(standby: &Standby, then: &Position) -> Connection {
    let settings = standby.settings("postgres");
    loop {
        if let Ok(session) = Connection::connect(&settings, "test").await {
            let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{}'", then.lsn);
            if session.one(&sql).await.unwrap() == "t" {
                return session;
            }
        }
        clock::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_promoted_standby_that_has_everything_goes_on_and_one_that_was_promoted_before_does_not() {
    let cluster = replicated();
    let primary = cluster.settings("postgres").unwrap();
    let session = connect(&primary).await;
    session.execute(PLAIN).await.unwrap();
    let standby = Standby::start(&cluster);
    let there = standby.settings("postgres");
    let then = take(&session).await.unwrap();
    let copy = caught_up(&standby, &then).await;
    assert_eq!(told(&there, &then).await, [None, None], "as a standby");
    copy.execute("SELECT pg_promote()").await.unwrap();
    while identity::read(&copy).await.unwrap().standby {
        clock::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(told(&there, &then).await, [None, None], "promoted");

    // What the old one does from here on, the promoted one does not have.
    let late = take(&connect(&primary).await).await.unwrap();
    assert_eq!(late.timeline, "00000001");
    prove(told(&there, &late).await, ["", ""]);
    overrun(&there, &late.lsn).await;
    prove(told(&there, &late).await, ["left 00000001 at", "committed, and it was aborted"]);
    // And the other way round: what the promoted one did, the old one does not have.
    let newer = take(&connect(&there).await).await.unwrap();
    assert_eq!(newer.timeline, "00000002");
    prove(told(&primary, &newer).await, ["is on timeline 00000001", "is on timeline 00000001"]);
}
