//! `runplan preflight`, and what it keeps from starting.

use crate::support::cluster::{connect, database, shared};
use crate::support::sandbox::Sandbox;
use serde_json::Value;

const WANTS: &str = r#"
requires: [no_such_program]
steps:
  - { id: go, approve: { message: "Go on?" } }
"#;

#[test]
fn a_reason_not_to_start_stops_a_run_until_it_is_accepted_with_a_reason() {
    let sandbox = Sandbox::new();
    sandbox.plan(WANTS);
    sandbox
        .run("preflight plan.yaml")
        .code(6)
        .says("`no_such_program`, which is not on PATH")
        .says("1 reason not to start");
    sandbox.run("plan.yaml").code(6).complains("--accept program_missing").complains("nothing was done");
    sandbox.run("plan.yaml --accept program_missing").code(2).complains("--reason");
    sandbox
        .run("preflight plan.yaml --accept program_missing --accept odd")
        .code(0)
        .complains("--accept odd");
    assert!(
        !sandbox.state().join("runs").read_dir().is_ok_and(|mut runs| runs.next().is_some()),
        "no run began"
    );

    let events =
        sandbox.run("plan.yaml --accept program_missing --reason 'not needed' --format json").code(4).lines();
    let accepted = &events[0]["accepted"][0];
    assert_eq!(accepted["code"], "runplan::preflight::program_missing", "{}", events[0]);
    assert_eq!(events[0]["reason"], "not needed");
}

#[test]
fn the_answer_for_programs_has_every_concern_and_no_password() {
    let settings =
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let settings = database("cli_preflight").await;
            connect(&settings).await.execute("CREATE TABLE users (id int)").await.unwrap();
            settings
        });
    let url = shared().url(settings.database());
    let sandbox = Sandbox::new().variable("DATABASE_URL", url.expose());
    sandbox.plan(
        r#"
secrets: { DATABASE_URL: { env: DATABASE_URL } }
databases: { app: { url: "{{ secrets.DATABASE_URL }}" } }
params: { id: { type: integer, default: 7 } }
steps:
  - { id: read, sql: { database: app, read_only: true, statement: "SELECT id FROM users WHERE id = {{ params.id }}" } }
  - { id: wrong, sql: { database: app, read_only: true, statement: SELECT nmae FROM users } }
  - { id: shown, sql: { database: app, read_only: true, statement: SELECT * FROM gone } }
"#,
    );
    let ran = sandbox.run("preflight plan.yaml --format json").code(6);
    let answer = ran.json();
    assert_eq!((&answer["format"], &answer["may_start"]), (&Value::from(1), &Value::from(false)));
    let steps: Vec<&str> =
        answer["findings"].as_array().unwrap().iter().filter_map(|one| one["step"].as_str()).collect();
    assert_eq!(steps, ["wrong", "shown"], "{answer:#}");
    let facts = answer["facts"].as_array().unwrap();
    assert!(
        facts
            .iter()
            .any(|fact| fact["about"] == "read" && fact["text"].as_str().unwrap().contains("returns about")),
        "{answer:#}"
    );
    let human = sandbox
        .run("preflight plan.yaml")
        .code(6)
        .says("column \"nmae\" does not exist")
        .says("2 reasons not to start");
    for text in [&ran.stdout, &ran.stderr, &human.stdout, &human.stderr] {
        assert!(!text.contains(shared().password().expose()), "{text}");
    }
}

/// A run remembers its server; the same plan does not go to another one by itself.
#[test]
fn the_first_server_is_remembered() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime.block_on(database("cli_first_server"));
    let other = runplan::postgres::Cluster::start(crate::support::cluster::options()).unwrap();
    let sandbox = Sandbox::new();
    sandbox.plan(
        r#"
secrets: { URL: { file: url } }
databases: { app: { url: "{{ secrets.URL }}" } }
steps:
  - { id: made, sql: { database: app, statement: CREATE TABLE t (a int) }, irreversible: a test }
"#,
    );
    sandbox.write("url", shared().url(first.database()).expose());
    sandbox.run("preflight plan.yaml").code(0).says("never rehearsed").says("not pinned");
    sandbox.run("plan.yaml").code(0).complains("never rehearsed");
    sandbox.write("url", other.url("postgres").expose());
    sandbox.run("plan.yaml").code(6).complains("of this very plan was on").complains("--retarget");
    sandbox.run("plan.yaml --retarget").code(2).complains("--reason").complains("to another server than");
    sandbox.run("plan.yaml --retarget --reason moved").code(0);
    sandbox.run("preflight plan.yaml").says("the same server as in run");
    other.stop().unwrap();
}
