//! The lock on a target: one holder, told to the second, and noticed when it is lost.

use crate::support::cluster::{connect, database, options, shared, unique};
use runplan::postgres::{Acquired, Cluster, Kind, Settings, Stop, TargetLock};

async fn held(settings: &Settings, target: &str) -> TargetLock {
    match TargetLock::acquire(settings, target).await.unwrap() {
        Acquired::Held(lock) => lock,
        busy => panic!("{busy:?}"),
    }
}

#[tokio::test]
async fn the_second_is_told_who_is_first() {
    let settings = shared().settings("postgres").unwrap();
    let target = unique("target");
    let first = held(&settings.with_application_name("runplan:one"), &target).await;
    first.check().await.unwrap();
    match TargetLock::acquire(&settings, &target).await.unwrap() {
        Acquired::Busy { pid, application_name, since, client, started } => {
            assert_eq!(
                (pid, application_name.as_str(), client.as_str()),
                (first.pid(), "runplan:one", "127.0.0.1")
            );
            assert_eq!(started, first.session().backend().started);
            assert!(since.ends_with('Z') && since.starts_with("20"), "{since}");
        }
        held => panic!("{held:?}"),
    }
    // Another target is free, and so is this one when it is given back.
    held(&settings, &unique("target")).await.check().await.unwrap();
    first.release().await.unwrap();
    held(&settings, &target).await.check().await.unwrap();
}

#[tokio::test]
async fn it_works_over_the_unix_socket() {
    let cluster = shared();
    let (directory, port) = (cluster.directory().display(), cluster.port());
    let text = format!("host={directory} port={port} user=postgres password={}", cluster.password().expose());
    let settings = Settings::parse(&text, &|_| None).unwrap();
    held(&settings, &unique("socket")).await.check().await.unwrap();
}

#[tokio::test]
async fn any_role_in_any_database_can_see_whether_it_is_held() {
    let settings = shared().settings("postgres").unwrap();
    let lock = held(&settings, &unique("seen")).await;
    let sql = format!("SELECT {}", lock.check_sql());
    let elsewhere = connect(&database("elsewhere").await).await;
    let role = unique("plain");
    elsewhere.execute(&format!("CREATE ROLE {role}; SET ROLE {role}")).await.unwrap();
    assert_eq!(elsewhere.one(&sql).await.unwrap(), "t");
    // Somebody else who takes the same lock later is not us.
    let target = lock.target().to_owned();
    lock.release().await.unwrap();
    let later = held(&settings, &target).await;
    assert_eq!(elsewhere.one(&sql).await.unwrap(), "f");
    later.check().await.unwrap();
}

#[tokio::test]
async fn a_terminated_holder_knows_that_it_lost() {
    let settings = shared().settings("postgres").unwrap();
    let lock = held(&settings, &unique("ended")).await;
    let admin = connect(&settings).await;
    let sql = format!("SELECT {}", lock.check_sql());
    admin.one(&format!("SELECT pg_terminate_backend({})", lock.pid())).await.unwrap();
    while admin.one(&sql).await.unwrap() == "t" {
        tokio::task::yield_now().await;
    }
    let error = lock.check().await.unwrap_err();
    assert_eq!(error.kind(), Kind::LockLost);
    assert!(error.message().contains("is lost"), "{error}");
}

#[tokio::test]
async fn a_restart_of_the_server_loses_the_lock() {
    let mut cluster = Cluster::start(options()).unwrap();
    let settings = cluster.settings("postgres").unwrap();
    let lock = held(&settings, "app").await;
    lock.check().await.unwrap();
    cluster.stop_server(Stop::Fast).unwrap();
    cluster.start_server().unwrap();
    assert_eq!(lock.check().await.unwrap_err().kind(), Kind::LockLost);
    let again = held(&settings, "app").await;
    let other = connect(&settings).await;
    assert_eq!(other.one(&format!("SELECT {}", lock.check_sql())).await.unwrap(), "f");
    assert_eq!(other.one(&format!("SELECT {}", again.check_sql())).await.unwrap(), "t");
}

/// Servers that end idle transactions, or that make every one a snapshot, must not disturb.
#[tokio::test]
async fn the_servers_defaults_neither_end_it_nor_let_it_hold_back_vacuum() {
    let mut options = options();
    for (name, value) in
        [("idle_in_transaction_session_timeout", "200ms"), ("default_transaction_isolation", "serializable")]
    {
        options.settings.push((name.to_owned(), value.to_owned()));
    }
    let cluster = Cluster::start(options).unwrap();
    let settings = cluster.settings("postgres").unwrap();
    let lock = held(&settings, "app").await;
    let admin = connect(&settings).await;
    // Another idle transaction proves that the server's limit works and has passed.
    let victim = connect(&settings).await;
    victim.execute("BEGIN").await.unwrap();
    let there = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {}", victim.backend().pid);
    while admin.one(&there).await.unwrap() != "0" {
        tokio::task::yield_now().await;
    }
    lock.check().await.unwrap();
    let horizon = format!(
        "SELECT backend_xmin IS NULL AND backend_xid IS NULL FROM pg_stat_activity WHERE pid = {}",
        lock.pid()
    );
    assert_eq!(admin.one(&horizon).await.unwrap(), "t");
}
