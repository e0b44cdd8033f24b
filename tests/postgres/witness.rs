//! The commit witness: every answer, on a real server, and why the WAL must be flushed.

use crate::support::cluster::{connect, database, options, unique};
use runplan::postgres::witness::{Verdict, ask, prepare};
use runplan::postgres::{Cluster, Kind, Settings, Stop, Witness, identity};
use std::time::Duration;

const GRACE: Duration = Duration::from_millis(200);

async fn with_table(stem: &str) -> Settings {
    let settings = database(stem).await;
    connect(&settings).await.execute("CREATE TABLE t (a int)").await.unwrap();
    settings
}

#[tokio::test]
async fn a_commit_is_told_and_the_witness_survives_the_journal() {
    let settings = with_table("committed").await;
    let (one, two) = (connect(&settings).await, connect(&settings).await);
    one.execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let witness = prepare(&one, &two).await.unwrap();
    one.execute("COMMIT").await.unwrap();
    let json = serde_json::to_string(&witness).unwrap();
    let witness = serde_json::from_str(&json).unwrap();
    assert_eq!(ask(&two, &witness, GRACE).await.unwrap(), Verdict::Committed);
}

#[tokio::test]
async fn a_killed_client_never_committed() {
    let settings = with_table("aborted").await;
    let (one, two) = (connect(&settings).await, connect(&settings).await);
    one.execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let witness = prepare(&one, &two).await.unwrap();
    drop(one);
    assert_eq!(ask(&two, &witness, Duration::from_secs(30)).await.unwrap(), Verdict::Aborted);
    assert_eq!(two.one("SELECT count(*) FROM t").await.unwrap(), "0");
}

#[tokio::test]
async fn what_stays_in_progress_is_ended_after_the_grace() {
    let settings = with_table("progress").await;
    let (one, two) = (connect(&settings).await, connect(&settings).await);
    one.execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let witness = prepare(&one, &two).await.unwrap();
    assert_eq!(ask(&two, &witness, GRACE).await.unwrap(), Verdict::Aborted);
    assert!(one.execute("COMMIT").await.is_err());
}

#[tokio::test]
async fn a_process_with_the_same_pid_that_began_later_is_left_alone() {
    let settings = with_table("innocent").await;
    let (one, two) = (connect(&settings).await, connect(&settings).await);
    one.execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let mut witness = prepare(&one, &two).await.unwrap();
    witness.backend.started = "2001-01-01T00:00:00.000000Z".to_owned();
    let patience = tokio::time::timeout(Duration::from_secs(1), ask(&two, &witness, GRACE)).await;
    assert!(patience.is_err(), "it is still waiting");
    one.execute("COMMIT").await.unwrap();
    assert_eq!(ask(&two, &witness, GRACE).await.unwrap(), Verdict::Committed);
}

#[tokio::test]
async fn another_server_and_another_time_are_unknown() {
    let settings = with_table("unknown").await;
    let (one, two) = (connect(&settings).await, connect(&settings).await);
    one.execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let witness = prepare(&one, &two).await.unwrap();
    one.execute("COMMIT").await.unwrap();
    let asked = async |change: &dyn Fn(&mut runplan::postgres::Witness), word: &str| {
        let mut changed = witness.clone();
        change(&mut changed);
        let verdict = ask(&two, &changed, GRACE).await.unwrap();
        assert!(matches!(&verdict, Verdict::Unknown(why) if why.contains(word)), "{verdict:?}");
    };
    asked(&|w| w.identity.system_identifier = "1".to_owned(), "another server").await;
    asked(&|w| w.identity.timeline = "00000009".to_owned(), "promoted or restored").await;
    asked(&|w| w.identity.lsn = "FFFFFFFF/0".to_owned(), "went back in time").await;
    asked(&|w| w.xid = "99999999999".to_owned(), "in the future").await;
    asked(&|w| w.xid = "0; DROP TABLE t".to_owned(), "not a transaction id").await;
}

#[tokio::test]
async fn a_role_set_in_the_transaction_does_not_hide_it() {
    let settings = with_table("role").await;
    let (one, two) = (connect(&settings).await, connect(&settings).await);
    let role = unique("writer");
    two.execute(&format!("CREATE ROLE {role}; GRANT ALL ON t TO {role}")).await.unwrap();
    one.execute(&format!("BEGIN; SET LOCAL ROLE {role}; INSERT INTO t VALUES (1)")).await.unwrap();
    let witness = prepare(&one, &two).await.unwrap();
    assert_eq!(&witness.backend, one.backend());
    assert_eq!(ask(&two, &witness, GRACE).await.unwrap(), Verdict::Aborted);
}

#[tokio::test]
async fn the_second_session_must_be_on_the_same_server() {
    let settings = with_table("elsewhere").await;
    let cluster = Cluster::start(options()).unwrap();
    let one = connect(&settings).await;
    let two = connect(&cluster.settings("postgres").unwrap()).await;
    one.execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let error = prepare(&one, &two).await.unwrap_err();
    assert!(error.message().contains("on another server"), "{error}");
}

#[tokio::test]
async fn without_a_transaction_there_is_no_witness() {
    let settings = with_table("outside").await;
    let (one, two) = (connect(&settings).await, connect(&settings).await);
    let error = prepare(&one, &two).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Shape);
    assert!(error.message().contains("there is no open transaction"), "{error}");
}

#[tokio::test]
async fn what_commits_within_the_grace_is_waited_for() {
    let settings = with_table("awaited").await;
    let (one, two) = (connect(&settings).await, connect(&settings).await);
    one.execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let witness = prepare(&one, &two).await.unwrap();
    let asked = ask(&two, &witness, Duration::from_secs(60));
    let look = connect(&settings).await;
    let (verdict, ()) = tokio::join!(asked, async {
        let asking = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND query LIKE '%pg_xact_status(''%' AND pid <> pg_backend_pid()";
        while look.one(asking).await.unwrap() == "0" {
            tokio::task::yield_now().await;
        }
        one.execute("COMMIT").await.unwrap();
    });
    assert_eq!(verdict.unwrap(), Verdict::Committed);
}

/// The ways in which a server dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// As `pg_ctl stop -m immediate`.
    Immediate,
    /// `kill -9` of the postmaster.
    Killed,
}

impl Death {
    async fn and_back(self, cluster: &mut Cluster) {
        match self {
            Self::Immediate => cluster.stop_server(Stop::Immediate).unwrap(),
            Self::Killed => kill_postmaster(cluster.server_pid()).await,
        }
        cluster.start_server().unwrap();
    }
}

/// Kills it, and waits until its children have noticed: until then no other may use its memory.
async fn kill_postmaster(pid: u32) {
    let pid = pid.to_string();
    let left = |of: &dyn Fn(&[&str]) -> bool| {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let stats = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
        let is_left = |text: &String| {
            let (own, rest) = text.split_once(" (").unwrap_or_default();
            let mut words = vec![own];
            words.extend(rest.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' '));
            words.get(1) != Some(&"Z") && of(&words)
        };
        let own = |text: String| text.split_once(' ').map(|(own, _)| own.to_owned());
        stats.filter(is_left).filter_map(own).collect::<Vec<String>>()
    };
    let children = left(&|words| words.get(2) == Some(&pid.as_str()));
    assert!(!children.is_empty());
    let number = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::kill_process(number, rustix::process::Signal::KILL).unwrap();
    while !left(&|words| words[0] == pid || children.iter().any(|child| child == words[0])).is_empty() {
        runplan::clock::sleep(Duration::from_millis(10)).await;
    }
}

/// What the flush is for: a crashed server gives an id whose WAL never reached the disk to somebody else.
async fn an_id_is_reused_unless_flushed(death: Death) {
    let mut options = options();
    // Nothing else may flush the WAL in between.
    for (name, value) in
        [("autovacuum", "off"), ("wal_writer_delay", "10s"), ("wal_writer_flush_after", "2GB")]
    {
        options.settings.push((name.to_owned(), value.to_owned()));
    }
    let mut cluster = Cluster::start(options).unwrap();
    let settings = cluster.settings("postgres").unwrap();
    connect(&settings).await.execute("CREATE TABLE t (a int); CHECKPOINT").await.unwrap();

    // The naive way: everything of the witness but the flush.
    let one = connect(&settings).await;
    one.execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let naked = Witness {
        xid: one.one("SELECT pg_current_xact_id()").await.unwrap(),
        backend: one.backend().clone(),
        identity: identity::read(&one).await.unwrap(),
    };
    death.and_back(&mut cluster).await;
    let after = connect(&settings).await;
    after.execute("INSERT INTO t VALUES (2)").await.unwrap();
    let status = after.one(&format!("SELECT pg_xact_status('{}')", naked.xid)).await.unwrap();
    assert_eq!(status, "committed", "{death:?}: the id of a lost transaction was given to another one");
    let lost = after.one("SELECT count(*) FROM t WHERE a = 1").await.unwrap();
    assert_eq!(lost, "0", "{death:?}: and this is what the naive answer would call committed");

    let (one, two) = (connect(&settings).await, connect(&settings).await);
    one.execute("BEGIN; INSERT INTO t VALUES (3)").await.unwrap();
    let witness = prepare(&one, &two).await.unwrap();
    death.and_back(&mut cluster).await;
    let after = connect(&settings).await;
    after.execute("INSERT INTO t VALUES (4)").await.unwrap();
    assert_eq!(ask(&after, &witness, GRACE).await.unwrap(), Verdict::Aborted, "{death:?}");

    // And a commit that was made stays one through a crash.
    let (one, two) = (connect(&settings).await, connect(&settings).await);
    one.execute("BEGIN; INSERT INTO t VALUES (5)").await.unwrap();
    let witness = prepare(&one, &two).await.unwrap();
    one.execute("COMMIT").await.unwrap();
    death.and_back(&mut cluster).await;
    let after = connect(&settings).await;
    assert_eq!(ask(&after, &witness, GRACE).await.unwrap(), Verdict::Committed, "{death:?}");
    assert_eq!(after.one("SELECT string_agg(a::text, ' ' ORDER BY a) FROM t").await.unwrap(), "2 4 5");
}

#[tokio::test]
async fn a_server_stopped_at_once_reuses_an_id_unless_the_wal_was_flushed_past_it() {
    an_id_is_reused_unless_flushed(Death::Immediate).await;
}

#[tokio::test]
async fn a_server_killed_with_its_postmaster_reuses_an_id_unless_the_wal_was_flushed_past_it() {
    an_id_is_reused_unless_flushed(Death::Killed).await;
}

/// The server remembers the transaction; what it did went with its database.
#[tokio::test]
async fn a_database_that_was_made_anew_makes_its_transactions_unknown() {
    let settings = with_table("made_anew").await;
    let (one, two) = (connect(&settings).await, connect(&settings).await);
    one.execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let witness = prepare(&one, &two).await.unwrap();
    one.execute("COMMIT").await.unwrap();
    drop((one, two));
    let name = settings.database();
    let admin = connect(&settings.with_database("postgres")).await;
    // Asked from another database of the server, it is still the one that counts.
    assert_eq!(ask(&admin, &witness, GRACE).await.unwrap(), Verdict::Committed);
    admin.execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
    admin.execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let verdict = ask(&connect(&settings).await, &witness, GRACE).await.unwrap();
    let Verdict::Unknown(why) = verdict else { panic!("{verdict:?}") };
    let told =
        format!("the database {name} in which it ran (OID {}) was dropped", witness.identity.database_oid);
    assert!(why.contains(&told) && why.contains(&format!("what is called {name} now has OID")), "{why}");
}

/// A swap puts another one in the place of the database, and that one keeps what was committed in it.
#[tokio::test]
async fn a_database_that_was_swapped_out_still_tells() {
    let settings = with_table("swapped_out").await;
    let (one, two) = (connect(&settings).await, connect(&settings).await);
    one.execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let witness = prepare(&one, &two).await.unwrap();
    one.execute("COMMIT").await.unwrap();
    drop((one, two));
    let name = settings.database();
    let admin = connect(&settings.with_database("postgres")).await;
    admin
        .execute(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"))
        .await
        .unwrap();
    admin.execute(&format!("ALTER DATABASE {name} RENAME TO {name}_old")).await.unwrap();
    admin.execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    assert_eq!(ask(&connect(&settings).await, &witness, GRACE).await.unwrap(), Verdict::Committed);
}
