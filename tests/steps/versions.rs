//! What touches databases, once more on every other version of PostgreSQL: this test program again, with that version's
//! programs and a server of its own.

use crate::support::cluster::{RUNPLAN, connect, database, programs};
use crate::support::stage::plan;
use crate::support::versions::version;
use runplan::postgres::{Cluster, ClusterOptions, Programs};
use runplan::process::plain;

/// The tests that are repeated. Those of processes and HTTP do not care for the server.
const MODULES: [&str; 7] = [
    "steps::backup::",
    "steps::restore::",
    "steps::swap::",
    "steps::freeze::",
    "steps::objects::",
    "steps::sql::",
    "steps::copy::",
];

#[track_caller]
fn pass_on(major: u32) {
    let Some(version) = version(major) else { return };
    let mut command = plain::command(std::env::current_exe().unwrap());
    command
        .args(MODULES)
        .args(["--test-threads=3", "--color=never"])
        .env("RUNPLAN_TEST_PG_BIN", &version.bin);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "on PostgreSQL {major}:\n{said}");
    // A filter that matches nothing passes too.
    let passed = said.split(" passed;").next().and_then(|before| before.rsplit(' ').next());
    let passed: u32 = passed.and_then(|count| count.parse().ok()).unwrap_or(0);
    assert!(passed >= 20, "on PostgreSQL {major} only {passed} tests ran:\n{said}");
}

#[test]
fn everything_that_touches_databases_passes_on_16() {
    pass_on(16);
}

#[test]
fn everything_that_touches_databases_passes_on_18() {
    pass_on(18);
}

/// From one server to one of another version, and back: the client programs are chosen to fit both.
#[tokio::test]
async fn a_backup_of_one_version_is_restored_into_another() {
    let Some(version) = version(18) else { return };
    let mine = super::backup::sample("versions_mine").await;
    let views = "CREATE VIEW of_users AS SELECT id, name FROM users WHERE id > 3;
         CREATE MATERIALIZED VIEW of_both AS SELECT u.id, e.id AS escrow FROM users u JOIN escrows e ON e.id = u.id;
         CREATE VIEW nested AS SELECT id FROM of_users WHERE EXISTS (SELECT 1 FROM escrows e WHERE e.id = of_users.id)";
    connect(&mine).await.execute(views).await.unwrap();
    let server = version.programs().server_programs(None).unwrap();
    let cluster = Cluster::launch(ClusterOptions::new(server, RUNPLAN.into())).await.unwrap();
    let theirs = cluster.settings("app18").unwrap();
    connect(&cluster.settings("postgres").unwrap()).await.execute("CREATE DATABASE app18").await.unwrap();
    let directory = |programs: &Programs| programs.server_programs(None).unwrap().directory;
    let path = std::env::join_paths([directory(&programs()), version.bin.clone()]).unwrap();
    let both = Programs::new(None, Some(path));
    for format in ["directory", "custom", "plain"] {
        let back = database("versions_back").await;
        let stage = plan(&format!(
            "databases: {{ mine: {{ url: unused }}, theirs: {{ url: unused }}, back: {{ url: unused }} }}
steps:
  - {{ id: saved, backup: {{ database: mine, to: ./backups, format: {format} }} }}
  - {{ id: over, restore: {{ from: '{{{{ steps.saved.path }}}}', database: mine, into: theirs }} }}
  - {{ id: saved_there, backup: {{ database: theirs, to: ./backups, format: {format} }} }}
  - {{ id: beside, restore: {{ from: '{{{{ steps.saved_there.path }}}}', database: mine }} }}
  - id: alike
    verify: {{ checks: [{{ name: alike, database: theirs, schema: {{ matches: '{{{{ steps.saved.path }}}}' }} }}] }}
  - id: changed
    verify: {{ checks: [{{ name: changed, database: theirs, schema: {{ matches: '{{{{ steps.saved.path }}}}' }} }}] }}
  - id: except
    verify:
      checks:
        - {{ name: except, database: theirs, schema: {{ matches: '{{{{ steps.saved.path }}}}', only: [missing, extra, invalid] }} }}
  - {{ id: home, restore: {{ from: '{{{{ steps.saved_there.path }}}}', database: mine, into: back }} }}
"
        ))
        .database("mine", &mine)
        .database("theirs", &theirs)
        .database("back", &back)
        .programs(both.clone())
        .set();
        for id in ["saved", "over", "saved_there", "beside", "home"] {
            let outputs = stage.done(id).await;
            if id.starts_with("saved") {
                assert_eq!(outputs["rows"], 300, "{format} {id}");
            }
        }
        // Each version writes its views its own way; what was changed is found all the same.
        stage.done("alike").await;
        let change = "CREATE OR REPLACE VIEW of_users AS SELECT id, name FROM users WHERE id > 4";
        connect(&theirs).await.execute(change).await.unwrap();
        let failure = crate::support::stage::failed(stage.act("changed").await);
        let said = format!("{failure:?}");
        assert!(said.contains("1 changed") && said.contains("`only: [missing, extra, invalid]`"), "{said}");
        stage.done("except").await;
        assert!(
            stage.warnings().iter().any(|warning| warning.contains("only the newer one knows"))
                || format == "plain"
        );
        assert_eq!(connect(&back).await.one("SELECT count(*) FROM messages").await.unwrap(), "100");
        crate::support::stage::done(stage.undo("over").await);
        stage.end().await;
    }
    cluster.stop().unwrap();
}
