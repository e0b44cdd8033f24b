//! An error is no proof that nothing happened: what cannot be found out is said to be unknown, and what took effect is not
//! done again by itself.

use super::backup::sample;
use super::swap::{maintenance, stage};
use crate::support::cluster::{RUNPLAN, connect, database, shared};
use crate::support::server::Server;
use crate::support::stage::{Stage, done, failed, plan};
use runplan::clock;
use runplan::postgres::Settings;
use runplan::run::Outcome;
use runplan::steps;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// Settles while the attempt is cancelled, as when the server cannot be reached: it cannot ask anybody.
async fn settle_in_vain(stage: &Stage, id: &str) {
    let attempt = stage.attempt(id, 1);
    attempt.cancelled.cancel();
    let outcome = steps::settle(&attempt).await;
    assert!(matches!(outcome, Outcome::Unknown(_)), "{id}: {outcome:?}");
}

#[tokio::test]
async fn a_settlement_that_cannot_ask_does_not_call_it_failed() {
    let settings = sample("doubt").await;
    let mut stage = stage(&settings);
    for (id, fact) in
        [("saved", ""), ("restored", "side_made"), ("frozen", "freezing"), ("switched", "swapping")]
    {
        if !fact.is_empty() {
            stage.act_until(id, fact, true).await;
            stage.restart().await;
            settle_in_vain(&stage, id).await;
            stage.restart().await;
        }
        match stage.settle(id).await {
            Outcome::Done(outputs) => stage.learn(id, &outputs),
            Outcome::Again(_) => drop(stage.done(id).await),
            other => panic!("{id}: {other:?}"),
        }
    }
    assert!(connect(&settings).await.one("SELECT count(*) FROM users").await.is_ok());
}

#[tokio::test]
async fn a_freeze_that_cannot_be_taken_back_is_not_forgotten() {
    let settings = database("doubt_freeze").await;
    let (name, server) = (settings.database().to_owned(), maintenance(&settings).await);
    let role = format!("{name}_owner");
    let url = shared().url(&name);
    let (_, rest) = url.expose().split_once("://postgres:").unwrap();
    let (password, _) = rest.split_once('@').unwrap();
    server
        .execute(&format!(
            "CREATE ROLE {role} LOGIN IN ROLE pg_signal_backend PASSWORD '{password}'; ALTER DATABASE {name} OWNER TO {role}"
        ))
        .await
        .unwrap();
    let owner = Settings::parse(&format!("postgresql://{role}:{rest}"), &|_| None).unwrap();
    let mut stage =
        plan("databases: { app: { url: unused } }\nsteps:\n  - id: frozen\n    freeze: { database: app, quiet: 3s }\n")
            .database("app", &owner)
            .set();
    let left = format!(
        "SELECT count(*) FROM pg_db_role_setting s, pg_database d, unnest(s.setconfig) c \
        WHERE d.oid = s.setdatabase AND d.datname = '{name}' AND c LIKE 'default_transaction_read_only%'"
    );
    let attempt = stage.attempt("frozen", 1);
    let cancelled = attempt.cancelled.clone();
    let (outcome, ()) = tokio::join!(steps::act(&attempt), async {
        // As soon as it is frozen, its owner is locked out.
        while server.one(&left).await.unwrap() == "0" {
            clock::sleep(Duration::from_millis(5)).await;
        }
        server.execute(&format!("ALTER ROLE {role} NOLOGIN")).await.unwrap();
        cancelled.cancel();
    });
    assert!(
        matches!(&outcome, Outcome::Unknown(evidence) if evidence.facts[0].contains("may still be frozen")),
        "{outcome:?}"
    );
    drop(attempt);
    server.execute(&format!("ALTER ROLE {role} LOGIN")).await.unwrap();
    stage.restart().await;
    // Asked again, it is proved, and what stood there before us is still known.
    let outputs = done(stage.settle("frozen").await);
    assert_eq!(outputs["previous"], serde_json::Value::Null);
    done(stage.undo("frozen").await);
    assert_eq!(server.one(&left).await.unwrap(), "0");
}

#[tokio::test]
async fn a_word_that_was_meant_for_another_transaction_is_none() {
    let settings = sample("doubt_place").await;
    let mut stage = plan(
        "databases: { app: { url: unused } }
steps:
  - id: saved
    backup: { database: app, to: ./backups }
  - id: restored
    restore: { from: '{{ steps.saved.path }}', database: app, into: in_place }
    unguarded: test
",
    )
    .database("app", &settings)
    .set();
    stage.done("saved").await;
    connect(&settings).await.execute("DELETE FROM messages").await.unwrap();
    std::fs::write(stage.world.files().unwrap().join("restored.1.go"), "1").unwrap();
    stage.act_until("restored", "commit_intended", false).await;
    stage.restart().await;
    let outcome = stage.settle("restored").await;
    assert!(matches!(outcome, Outcome::Again(_)), "{outcome:?}");
    assert_eq!(connect(&settings).await.one("SELECT count(*) FROM messages").await.unwrap(), "0");
}

#[tokio::test]
async fn a_supervisor_that_dies_at_the_start_leaves_the_program_in_doubt() {
    let directory = tempfile::tempdir().unwrap();
    let exe = directory.path().join("runplan");
    // Dies as soon as it has recorded what it is about to start.
    let text = format!(
        "#!/bin/bash\n{RUNPLAN} \"$@\" <&0 >&1 &\nuntil [ -s \"$2/s.1.jsonl\" ]; do :; done\nkill -9 $!\n"
    );
    std::fs::write(&exe, text).unwrap();
    std::fs::set_permissions(&exe, std::fs::Permissions::from_mode(0o755)).unwrap();
    let stage = plan("steps:\n- id: s\n  shell: { argv: [sh, -c, 'sleep 30'] }").exe(&exe).set();
    let outcome = stage.act("s").await;
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
}

#[tokio::test]
async fn what_succeeded_is_not_retried_for_what_it_said() {
    let printed = plan("steps:\n- id: s\n  shell: { argv: [echo, x], outputs: { v: { json: a } } }").set();
    assert!(failed(printed.act("s").await).permanent);
    let server = Server::start(|asked| match asked.path.as_str() {
        "/broken" => Some((500, String::new())),
        "/no" => Some((409, String::new())),
        _ => Some((200, "{\"state\": \"queued\"}".to_owned())),
    });
    let post = |path: &str| {
        plan(&format!(
            "params: {{ base: {{ type: string }} }}\nsteps:\n- id: s\n  http: {{ method: POST, url: \"{{{{ params.base }}}}{path}\", expect: {{ json: {{ state: done }} }} }}"
        ))
        .param("base", server.url.as_str())
        .set()
    };
    assert!(
        matches!(post("/").act("s").await, Outcome::Unknown(_)),
        "it was taken on, and is not what was wanted"
    );
    assert!(!failed(post("/no").act("s").await).permanent, "it was refused");
    assert!(matches!(post("/broken").act("s").await, Outcome::Unknown(_)), "it may have gone through");
}

#[tokio::test]
async fn a_secret_that_a_statement_gives_back_is_blotted_out() {
    let settings = database("doubt_secret").await;
    let stage = plan(
        "secrets: { TOKEN: { env: TOKEN } }
databases: { app: { url: unused } }
steps:
- id: s
  sql: { database: app, statement: \"SELECT 'hunter2-long' AS t\", transaction: false }
- id: w
  shell: { argv: [\"true\"], env: { T: \"{{ secrets.TOKEN }}\" } }",
    )
    .database("app", &settings)
    .secret("TOKEN", "hunter2-long")
    .set();
    let outputs = stage.done("s").await;
    assert_eq!(outputs["first"]["t"], "[redacted]");
    stage.attempt("s", 1).warn("the server said hunter2-long");
    assert_eq!(stage.warnings(), ["the server said [redacted]"]);
}
