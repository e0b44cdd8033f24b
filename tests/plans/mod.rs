//! The shipped plans, run by the program against the real PostgreSQL.

mod guarded_migration;
mod maintenance;
mod method_1;
mod method_2;
mod method_3;
mod method_4;
mod railway;
mod salvage;
mod scenario_1;
mod scenario_2;
mod scenario_3;
mod verify_suite;

use crate::support::cluster;
use crate::support::sandbox::Sandbox;
use runplan::postgres::{Settings, escape_identifier};

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A shipped plan, by its name.
fn plan(name: &str) -> String {
    format!("{}/plans/{name}.yaml", env!("CARGO_MANIFEST_DIR"))
}

/// A backup of `DATABASE_URL`, made by the program; no trace of that run stays.
fn backed_up(sandbox: &Sandbox) -> String {
    sandbox.write(
        "backup.yaml",
        "runplan: 1\nname: before\nsecrets: { DATABASE_URL: { env: DATABASE_URL } }\n\
         databases: { app: { url: \"{{ secrets.DATABASE_URL }}\" } }\n\
         steps: [ { id: before, backup: { database: app, to: backups } } ]\n",
    );
    sandbox.run("backup.yaml --plain").code(0);
    let run = sandbox.only_run();
    let status = sandbox.run(&format!("status {run} --format json")).code(0).json();
    std::fs::remove_dir_all(sandbox.state()).unwrap();
    status["steps"][0]["outputs"]["path"].as_str().unwrap().to_owned()
}

/// The databases beside this one that were made from its name.
fn beside(database: &Settings) -> Vec<String> {
    block(async {
        let server = cluster::connect(&database.with_database("postgres")).await;
        let name = database.database();
        let sql = format!("SELECT datname FROM pg_database WHERE datname LIKE '{name}\\_%' ORDER BY 1");
        let found = server.last(&sql).await.unwrap();
        found.rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
    })
}

/// Nothing of a test stays on the server that all share.
fn drop_beside(database: &Settings) {
    let names = beside(database);
    block(async {
        let server = cluster::connect(&database.with_database("postgres")).await;
        for name in names {
            let _ = server.execute(&format!("DROP DATABASE {} WITH (FORCE)", escape_identifier(&name))).await;
        }
    });
}
