//! The real PostgreSQL of the tests: one cluster for the whole binary, a database for each test.

use runplan::postgres::{Cluster, ClusterOptions, Connection, Programs, Settings, escape_identifier};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The program under test, which is also the guard of its clusters.
pub const RUNPLAN: &str = env!("CARGO_BIN_EXE_runplan");

/// The programs of the version under test: the newest installed, or those in RUNPLAN_TEST_PG_BIN.
pub fn programs() -> Programs {
    let bin = std::env::var_os("RUNPLAN_TEST_PG_BIN").map(Into::into);
    Programs::new(bin, std::env::var_os("PATH"))
}

/// What a test of its own cluster starts from.
pub fn options() -> ClusterOptions {
    ClusterOptions::new(programs().server_programs(None).expect("server programs"), RUNPLAN.into())
}

/// The same with the installed programs, whatever version is under test: not every build of a server has TLS.
pub fn installed_options() -> ClusterOptions {
    let programs = Programs::new(None, std::env::var_os("PATH"));
    ClusterOptions::new(programs.server_programs(None).expect("server programs"), RUNPLAN.into())
}

/// The shared cluster. Statics are not dropped: the guard stops it when this process ends.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| {
        let mut options = options();
        // All tests are its clients at once.
        options.settings.push(("max_connections".to_owned(), "400".to_owned()));
        Cluster::start(options).expect("the shared cluster")
    })
}

/// A name that no other test has.
pub fn unique(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{stem}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A new, empty database on the shared cluster.
pub async fn database(stem: &str) -> Settings {
    let name = unique(stem);
    let postgres = shared().settings("postgres").expect("settings");
    let admin = connect(&postgres).await;
    admin
        .execute(&format!("CREATE DATABASE {} TEMPLATE template0", escape_identifier(&name)))
        .await
        .expect("create database");
    postgres.with_database(&name)
}

pub async fn connect(settings: &Settings) -> Connection {
    Connection::connect(settings, "runplan-test").await.expect("connect")
}
