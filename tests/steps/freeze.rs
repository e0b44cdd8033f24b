//! Freezing a real database: proved, refused while somebody writes, thawed.

use super::backup::sample;
use crate::support::cluster::connect;
use crate::support::stage::{Stage, done, failed, plan};
use runplan::postgres::{Connection, Settings};

fn stage(settings: &Settings, options: &str) -> Stage {
    let text = format!("steps:\n  - id: frozen\n    freeze: {{ database: app{options} }}\n");
    plan(&format!("databases: {{ app: {{ url: unused }} }}\n{text}")).database("app", settings).set()
}

#[tokio::test]
async fn nobody_writes_any_more_and_undo_thaws() {
    let settings = sample("freeze").await;
    let stage = stage(&settings, ", quiet: 300ms");
    let old = connect(&settings).await;
    let outputs = stage.done("frozen").await;
    assert_eq!(outputs["sessions_ended"], 1);
    assert!(old.one("SELECT 1").await.is_err(), "the session from before is ended");
    let error = connect(&settings).await.execute("DELETE FROM messages").await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("25006"));
    done(stage.undo("frozen").await);
    connect(&settings).await.execute("DELETE FROM messages").await.unwrap();
}

#[tokio::test]
async fn who_loses_the_server_and_thaws_again_is_not_in_doubt() {
    let settings = sample("freeze_lost").await;
    let text = "databases: { app: { url: unused } }\nsteps:\n  - { id: lost, freeze: { database: app, quiet: 30s } }\n";
    let stage = plan(text).database("app", &settings).set();
    let look = connect(&settings.with_database("postgres")).await;
    let (outcome, ()) = tokio::join!(stage.act("lost"), async {
        let frozen = format!(
            "SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = '{}') \
             AND 'default_transaction_read_only=on' = ANY (setconfig)",
            settings.database()
        );
        while look.one(&frozen).await.unwrap() == "0" {
            runplan::clock::sleep(std::time::Duration::from_millis(10)).await;
        }
        look.execute(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'runplan:%:lost' \
             AND datname IN ('postgres', '{}')",
            settings.database()
        ))
        .await
        .unwrap();
    });
    let failure = failed(outcome);
    assert!(failure.message.contains("the database was thawed again"), "{failure:?}");
    assert!(!failure.help.clone().unwrap_or_default().contains("not known"), "{failure:?}");
    connect(&settings).await.execute("DELETE FROM messages").await.expect("it is thawed");
}

#[tokio::test]
async fn a_writer_that_asks_for_it_is_named_and_the_database_is_thawed() {
    let settings = sample("freeze_writer").await;
    let stage = plan(
        "databases: { app: { url: unused } }
steps:
  - id: frozen
    freeze: { database: app, quiet: 1s }
",
    )
    .database("app", &settings)
    .set();
    let attempt = stage.attempt("frozen", 1);
    let cancelled = attempt.cancelled.clone();
    let rogue = async {
        // As some applications do: writable whatever the default is, and back again after each end.
        let begun = runplan::clock::Stopwatch::start();
        while begun.elapsed() < std::time::Duration::from_secs(4) {
            if let Ok(session) = Connection::connect(&settings, "rogue").await {
                let _ = session
                    .execute("BEGIN READ WRITE; INSERT INTO messages (body) VALUES ('x'); COMMIT")
                    .await;
            }
            runplan::clock::sleep(std::time::Duration::from_millis(50)).await;
        }
        cancelled.cancel();
    };
    let (outcome, ()) = tokio::join!(runplan::steps::act(&attempt), rogue);
    let failure = failed(outcome);
    assert_eq!(failure.code, "runplan::step::cancelled");
    assert!(failure.message.contains("the database was thawed again"), "{failure:?}");
    let warnings = stage.warnings();
    let named = failure.message + &warnings.concat() + &stage.said().concat();
    assert!(named.contains("public.messages") || named.contains("rogue"), "{named}");
    let rounds = |said: &[String]| said.iter().filter(|line| line.contains("still written to")).count();
    assert_eq!(rounds(&warnings), 1, "once for good: {warnings:?}");
    assert!(rounds(&stage.said()) <= 2, "seldom: {:?}", stage.said());
    connect(&settings).await.execute("DELETE FROM messages").await.expect("it is thawed");
}

#[tokio::test]
async fn roles_that_begin_writable_are_named() {
    let settings = sample("freeze_roles").await;
    let name = settings.database().to_owned();
    let server = connect(&settings.with_database("postgres")).await;
    let role = format!("{name}_batch");
    server
        .execute(&format!(
            "CREATE ROLE {role} LOGIN; ALTER ROLE {role} SET default_transaction_read_only = off"
        ))
        .await
        .unwrap();
    let stage = stage(&settings, ", quiet: 300ms");
    let outputs = stage.done("frozen").await;
    let named = outputs["could_write"][0].as_str().unwrap();
    assert_eq!(named, format!("role {role} (its own default_transaction_read_only is off)"));
    server.execute(&format!("DROP ROLE {role}")).await.unwrap();
}

#[tokio::test]
async fn without_connections_nobody_is_in() {
    let settings = sample("freeze_closed").await;
    let stage = stage(&settings, ", mode: no_connections, quiet: 300ms");
    let app = connect(&settings).await;
    stage.done("frozen").await;
    assert!(app.one("SELECT 1").await.is_err());
    assert!(Connection::connect(&settings, "app").await.is_err());
    done(stage.undo("frozen").await);
    connect(&settings).await.execute("DELETE FROM messages").await.unwrap();
}

#[tokio::test]
async fn superusers_and_every_spelling_of_off_are_named() {
    let settings = sample("freeze_super").await;
    let name = settings.database().to_owned();
    let server = connect(&settings.with_database("postgres")).await;
    let (boss, batch, group) = (format!("{name}_boss"), format!("{name}_batch"), format!("{name}_group"));
    server
        .execute(&format!(
            "CREATE ROLE {boss} LOGIN SUPERUSER; CREATE ROLE {batch} LOGIN;
             ALTER ROLE {batch} IN DATABASE {name} SET default_transaction_read_only = 'Fal';
             CREATE ROLE {group} NOLOGIN; ALTER ROLE {group} SET default_transaction_read_only = off"
        ))
        .await
        .unwrap();
    let stage = stage(&settings, ", quiet: 300ms");
    let named = stage.done("frozen").await["could_write"].to_string();
    assert!(named.contains(&format!("role {batch} (its own")), "{named}");
    assert!(named.contains(&format!("superuser {boss} (may lift the freeze")), "{named}");
    assert!(!named.contains(&group), "it cannot begin a session: {named}");
    server.execute(&format!("DROP OWNED BY {batch}; DROP ROLE {boss}, {batch}, {group}")).await.unwrap();
}
