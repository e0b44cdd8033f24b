//! Checks: all of them run, each says what it wanted and what it found, and none changes anything.

mod amcheck;
mod schema;

use super::backup::sample;
use crate::support::cluster::{connect, database};
use crate::support::server::Server;
use crate::support::stage::{Stage, done, failed, plan};
use runplan::plan::Text;
use runplan::postgres::Settings;
use runplan::run::{Outcome, Outputs};
use runplan::steps;
use serde_json::{Value, json};

async fn people(stem: &str) -> Settings {
    let settings = database(stem).await;
    connect(&settings)
        .await
        .execute(
            "CREATE TABLE people (id int PRIMARY KEY, email text, wallet text);
             INSERT INTO people SELECT n, 'p' || n || '@example.com', CASE WHEN n > 3 THEN 'w' END
             FROM generate_series(1, 30) n",
        )
        .await
        .unwrap();
    settings
}

fn stage(settings: &Settings, checks: &str, fields: &str) -> Stage {
    plan(&format!(
        "checks:\n  integrity:\n  - {{ name: wallets, sql: SELECT id FROM people WHERE wallet IS NULL, expect: empty }}
steps:\n- id: s\n  verify:\n    database: app\n    {fields}\n    checks:\n{checks}"
    ))
    .database("app", settings)
    .set()
}

fn result<'o>(outputs: &'o Outputs, name: &str) -> &'o Value {
    outputs["results"].as_array().unwrap().iter().find(|result| result["name"] == name).unwrap()
}

#[tokio::test]
async fn all_checks_run_and_all_failures_are_reported() {
    let settings = people("verify_all").await;
    let checks = "    - { name: count, sql: SELECT count(*) FROM people, expect: 30 }
    - { name: typo, sql: SELECT id FROM peeple, expect: empty }
    - { name: true it is, sql: SELECT count(*) = 30 FROM people }
    - { name: nobody, sql: \"SELECT 1 WHERE false\" }
    - { name: between, sql: SELECT max(id) FROM people, expect: { between: [1, 29] } }";
    let stage = stage(&settings, checks, "use: [integrity]");
    let failure = failed(stage.act("s").await);
    for words in [
        "4 of 6 checks failed",
        "wallets: 3 rows (wanted: nothing), such as id=1; id=2; id=3",
        "typo: relation \"peeple\" does not exist",
        "nobody: no rows (wanted: one row that says true)",
        "between: 30 (wanted: between 1 and 29)",
    ] {
        assert!(failure.message.contains(words), "{words} in {}", failure.message);
    }
    let facts = stage.facts("s", 1);
    let noted = facts.iter().find(|fact| fact.name == "results").unwrap();
    assert_eq!((&noted.data["passed"], &noted.data["failed"]), (&json!(2), &json!(4)));
}

#[tokio::test]
async fn report_only_records_and_masks() {
    let settings = people("verify_report").await;
    let checks = "    - { name: emails, sql: \"SELECT id, email FROM people\", expect: empty, mask: [email] }
    - { name: one, sql: SELECT email FROM people WHERE id = 1, expect: nobody, mask: [email] }
    - { name: fine, sql: SELECT 1, expect: 1 }";
    let outputs = stage(&settings, checks, "report_only: true").done("s").await;
    assert_eq!((&outputs["passed"], &outputs["failed"]), (&json!(1), &json!(2)));
    assert_eq!(outputs["summary"], "2 of 3 checks failed: emails (30 rows), one (***)");
    let emails = result(&outputs, "emails");
    assert_eq!((emails["rows"].as_array().unwrap().len(), &emails["row_count"]), (20, &json!(30)));
    assert_eq!(emails["rows"][0], json!({ "id": 1, "email": "***" }));
    assert!(!Value::Object(outputs.clone()).to_string().contains("example.com"));
}

#[tokio::test]
async fn a_check_cannot_write() {
    let settings = people("verify_write").await;
    let checks = "    - { name: cte, sql: \"WITH d AS (DELETE FROM people RETURNING 1) SELECT count(*) FROM d\", expect: 30 }
    - { name: mode, sql: \"SET TRANSACTION READ WRITE; DELETE FROM people\", expect: empty }
    - { name: commit, sql: \"COMMIT; DELETE FROM people\", expect: empty }
    - { name: after them, sql: SELECT count(*) FROM people, expect: 30 }";
    let outputs = stage(&settings, checks, "report_only: true").done("s").await;
    assert_eq!((&outputs["passed"], &outputs["failed"]), (&json!(1), &json!(3)), "{outputs:?}");
    assert_eq!(connect(&settings).await.one("SELECT count(*) FROM people").await.unwrap(), "30");
}

#[tokio::test]
async fn unchanged_since_compares_with_an_earlier_step() {
    let settings = people("verify_since").await;
    let text = "steps:
- id: before
  verify: { database: app, report_only: true, checks: [ { name: sum, sql: SELECT sum(id) FROM people, expect: 0 },
    { name: all, sql: SELECT * FROM people ORDER BY id, expect: empty, mask: [email] },
    { name: few, sql: \"SELECT id, email FROM people WHERE id >= 29 ORDER BY id\", expect: empty } ] }
- id: after
  verify: { database: app, checks: [
    { name: sum, sql: SELECT sum(id) FROM people, expect: { unchanged_since: \"{{ steps.before.results }}\" } },
    { name: all, sql: SELECT * FROM people ORDER BY id, expect: { unchanged_since: \"{{ steps.before.results }}\" }, mask: [email] },
    { name: few, sql: \"SELECT id, email FROM people WHERE id >= 29 ORDER BY id\", expect: { unchanged_since: \"{{ steps.before.results }}\" } } ] }";
    let stage = plan(text).database("app", &settings).set();
    stage.done("before").await;
    stage.done("after").await;
    connect(&settings).await.execute("UPDATE people SET email = 'x' WHERE id = 30").await.unwrap();
    let failure = failed(stage.act("after").await);
    assert!(failure.message.starts_with("2 of 3 checks failed: all: it has changed"), "{failure:?}");
    let few = "few: 1 changed (wanted: the rows as before)";
    assert!(failure.message.contains(few) && failure.message.contains(" → x"), "{failure:?}");
}

#[tokio::test]
async fn a_check_is_tried_again_and_gives_up_in_time() {
    let mut count = 0;
    let server = Server::start(move |_| {
        count += 1;
        Some((if count < 3 { 503 } else { 200 }, "{\"status\": \"healthy\"}".to_owned()))
    });
    let text = |attempts: u32| {
        format!(
            "steps:\n- id: s\n  verify: {{ checks: [ {{ name: health, http: {{ url: \"{}\" }},
             expect: {{ status: 200, json: {{ status: healthy }} }}, retry: {{ attempts: {attempts}, every: 5ms }} }} ] }}",
            server.url
        )
    };
    let failure = failed(plan(&text(2)).set().act("s").await);
    assert!(failure.message.contains("health: status 503"), "{failure:?}");
    plan(&text(2)).set().done("s").await;
    let settings = people("verify_slow").await;
    let slow = "    - { name: slow, sql: SELECT true FROM pg_sleep(60), timeout: 200ms }
    - { name: next, sql: SELECT true }";
    let outputs = stage(&settings, slow, "report_only: true").done("s").await;
    assert!(
        result(&outputs, "slow")["actual"].as_str().unwrap().contains("statement timeout"),
        "{outputs:?}"
    );
    assert_eq!(result(&outputs, "next")["passed"], true);
}

#[tokio::test]
async fn cancelled_in_the_middle_it_says_how_far_it_came() {
    let settings = people("verify_cancel").await;
    let checks = "    - { name: one, sql: SELECT true }
    - { name: slow, sql: SELECT true FROM pg_sleep(60) }";
    let stage = stage(&settings, checks, "report_only: true");
    let attempt = stage.attempt("s", 1);
    let look = connect(&settings).await;
    let running = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()";
    let (outcome, ()) = tokio::join!(steps::act(&attempt), async {
        while look.one(running).await.unwrap() == "0" {
            runplan::clock::sleep(std::time::Duration::from_millis(10)).await;
        }
        attempt.cancelled.cancel();
    });
    assert!(failed(outcome).message.contains("after 1 of 2 checks"));
}

#[tokio::test]
async fn files_and_programs_are_asked_too() {
    let text = "steps:\n- id: s\n  verify:\n    report_only: true\n    checks:
    - { name: there, file: { path: a.txt, contains: \"two\" } }
    - { name: not there, file: { path: b.txt, exists: false } }
    - { name: digest, file: { path: a.txt, sha256: \"00\" } }
    - { name: program, shell: { argv: [sh, -c, 'echo 42'] }, expect: { equals: 42 } }
    - { name: json, shell: { argv: [echo, '{\"a\": [1, 2]}'] }, expect: { json: { a.1: 2 } } }
    - { name: fails, shell: { argv: [sh, -c, 'echo why >&2; exit 2'] } }
    - { name: slow, shell: { argv: [sleep, '60'] }, timeout: 200ms }
    - { name: refused, http: { url: \"http://127.0.0.1:9/\" } }";
    let outputs = plan(text).file("a.txt", "one two three").set().done("s").await;
    for (name, passed, actual) in [
        ("there", true, ""),
        ("not there", true, ""),
        ("digest", false, "another SHA-256"),
        ("program", true, "42"),
        ("json", true, ""),
        ("fails", false, "exit code 2: why"),
        ("slow", false, "within 0.2 s"),
        ("refused", false, "nothing listens"),
    ] {
        let result = result(&outputs, name);
        assert_eq!(result["passed"], passed, "{result}");
        assert!(result["actual"].as_str().unwrap().contains(actual), "{result}");
    }
}

#[tokio::test]
async fn a_program_that_answers_wrongly_is_quoted_whole() {
    let text = "steps:\n- id: s\n  verify: { checks: [
      { name: proof, shell: { argv: [sh, -c, 'echo the reason; echo loading >&2; exit 1'] } } ] }";
    let failure = failed(plan(text).set().act("s").await);
    assert!(failure.message.contains("exit code 1: loading (on stdout: the reason)"), "{failure:?}");
    let help = failure.help.unwrap();
    assert!(help.starts_with("proof: its output is in ") && help.contains(".stdout and "), "{help}");
}

#[tokio::test]
async fn a_check_that_is_tried_again_says_so() {
    let text = "steps:\n- id: s\n  verify: { checks: [ { name: there, file: { path: a.txt }, \
                retry: { attempts: 2, every: 10ms } } ] }";
    let stage = plan(text).set();
    failed(stage.act("s").await);
    let told = stage.progress();
    let waits = |(doing, _): &(String, u64)| doing.starts_with("waiting for the check there (last: ");
    assert!(told.iter().any(waits), "{told:?}");
}

/// Names may have dots in them, and two tables look alike then.
#[tokio::test]
async fn rows_are_counted_table_by_table_whatever_these_are_called() {
    let settings = database("verify_dots").await;
    let connection = connect(&settings).await;
    let made = r#"CREATE SCHEMA "a.b"; CREATE TABLE "a.b".c (id int PRIMARY KEY); INSERT INTO "a.b".c VALUES (1);
        CREATE SCHEMA a; CREATE TABLE a."b.c" (id int PRIMARY KEY); INSERT INTO a."b.c" VALUES (1), (2)"#;
    connection.execute(made).await.unwrap();
    let text = "steps:
- { id: saved, backup: { database: app, to: \"{{ params.to }}\", format: custom } }
- { id: same, verify: { database: app, checks: [ { name: counts, counts: { matches: \"{{ steps.saved.path }}\" } } ] } }
- { id: restored, restore: { from: \"{{ steps.saved.path }}\", database: app, tables: ['\"a.b\".c'] } }";
    let directory = tempfile::tempdir().unwrap();
    let stage = plan(text).database("app", &settings).param("to", directory.path().to_str().unwrap()).set();
    assert_eq!(stage.done("saved").await["rows"], 3);
    stage.done("same").await;
    let side = settings.with_database(stage.done("restored").await["database"].as_str().unwrap());
    let restored = r#"SELECT (SELECT count(*) FROM "a.b".c) || ' ' || (SELECT count(*) FROM a."b.c")"#;
    assert_eq!(connect(&side).await.one(restored).await.unwrap(), "1 0");
    // One more here, one less there: no sum tells.
    connection.execute(r#"INSERT INTO "a.b".c VALUES (2); DELETE FROM a."b.c" WHERE id = 2"#).await.unwrap();
    let failure = failed(stage.act("same").await);
    assert!(failure.message.contains("2 of 2 tables"), "{failure:?}");
}

#[tokio::test]
async fn backups_counts_and_losses_are_checks() {
    let settings = sample("verify_backup").await;
    let text = "steps:
- id: saved
  backup: { database: app, to: \"{{ params.to }}\" }
- id: restored
  restore: { from: \"{{ steps.saved.path }}\", database: app }
- id: whole
  verify: { database: app, checks: [
    { name: backup, backup: { path: \"{{ steps.saved.path }}\", max_age: 1h, tables: [users] } },
    { name: counts, counts: { matches: \"{{ steps.saved.path }}\" } },
    { name: side counts, database: \"{{ steps.restored.database }}\", counts: { matches: \"{{ steps.saved.path }}\" } } ] }
- id: lost
  verify: { database: app, report_only: true, checks: [ { name: rows, lost: { side: \"{{ steps.restored.database }}\" } } ] }
- id: near
  verify: { database: app, checks: [ { name: counts, counts: { matches: \"{{ steps.saved.path }}\", tolerance: 50% } } ] }
- id: few
  verify: { database: app, checks: [ { name: rows, lost: { side: \"{{ steps.restored.database }}\" }, expect: { at_most: 1 } } ] }
- id: bad
  verify: { database: app, checks: [ { name: backup, backup: { path: \"{{ steps.saved.path }}\", tables: [nothing] } },
    { name: none, backup: { path: ./nowhere } } ] }";
    let directory = tempfile::tempdir().unwrap();
    let stage = plan(text).database("app", &settings).param("to", directory.path().to_str().unwrap()).set();
    stage.done("saved").await;
    stage.done("restored").await;
    stage.done("whole").await;
    assert_eq!(stage.done("lost").await["failed"], 0);
    connect(&settings)
        .await
        .execute("INSERT INTO messages (body) SELECT 'new' FROM generate_series(1, 2)")
        .await
        .unwrap();
    let failure = failed(stage.act("whole").await);
    assert!(failure.message.contains("1 of 3 checks failed: counts"), "{failure:?}");
    stage.done("near").await;
    let outputs = stage.done("lost").await;
    let summary = outputs["summary"].as_str().unwrap();
    assert!(summary.starts_with("the side would lose 2 rows"), "{summary}");
    let file = result(&outputs, "rows")["file"].as_str().unwrap();
    assert!(std::path::Path::new(file).exists());
    assert!(failed(stage.act("few").await).message.contains("wanted: at most 1"));
    let failure = failed(stage.act("bad").await);
    assert!(
        failure.message.contains("does not hold nothing") && failure.message.contains("2 of 2"),
        "{failure:?}"
    );
    // What nobody could look for is not what a person may decide by.
    let side =
        stage.world.targets.find(&stage.world, &Text::made("{{ steps.restored.database }}")).await.unwrap();
    let gone = format!("DROP DATABASE \"{}\" WITH (FORCE)", side.database);
    connect(&settings).await.execute(&gone).await.unwrap();
    let failure = failed(stage.act("lost").await);
    assert!(failure.message.contains("does not exist"), "{failure:?}");
    stage.end().await;
}

#[tokio::test]
async fn a_check_without_a_database_and_an_unknown_set_are_told() {
    let text = "steps:\n- id: s\n  verify: { checks: [ { name: n, sql: SELECT true } ] }";
    assert!(failed(plan(text).set().act("s").await).message.contains("no `database`"));
    let outcome = plan("steps:\n- id: s\n  verify: { use: [nothing] }").set().act("s").await;
    assert!(matches!(outcome, Outcome::Failed(failure) if failure.permanent));
    let empty = plan("steps:\n- id: s\n  verify: { checks: [] }").set().act("s").await;
    assert_eq!(done(empty)["passed"], 0);
}
