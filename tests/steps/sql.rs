//! SQL steps: exactly once, whatever dies; counted, limited, cancelled; values that stay values.

use crate::support::cluster::{connect, database, shared};
use crate::support::proxy::{Cut, Proxy};
use crate::support::stage::{Stage, done, failed, lock_of, plan};
use runplan::plan::Text;
use runplan::postgres::{Connection, Settings, claim};
use runplan::run::Outcome;
use runplan::steps;
use serde_json::json;
use std::time::Duration;

async fn with_table(stem: &str) -> (Settings, Connection) {
    let settings = database(stem).await;
    let connection = connect(&settings).await;
    connection.execute("CREATE TABLE t (id int PRIMARY KEY, a text)").await.unwrap();
    (settings, connection)
}

/// A stage with one step `s` on the database `app`.
fn step(fields: &str, settings: &Settings) -> Stage {
    plan(&format!("steps:\n- id: s\n  sql: {{ database: app, {fields} }}")).database("app", settings).set()
}

/// Runs one such step, and lets go of the database.
async fn once(fields: &str, settings: &Settings) -> Outcome {
    let stage = step(fields, settings);
    let outcome = stage.act("s").await;
    stage.end().await;
    outcome
}

/// The same, reached through a proxy.
fn through(proxy: &Proxy, fields: &str, settings: &Settings) -> Stage {
    let url = shared().url(settings.database());
    let url = url.expose().replace(&format!(":{}/", shared().port()), &format!(":{}/", proxy.port()));
    step(fields, &Settings::parse(&url, &|_| None).unwrap())
}

async fn count(connection: &Connection) -> String {
    connection.one("SELECT count(*) FROM t").await.unwrap()
}

const INSERT: &str = "statement: \"INSERT INTO t VALUES (1, 'x') RETURNING id, a\"";

#[tokio::test]
async fn all_statements_are_one_transaction_and_rows_keep_their_types() {
    let (settings, look) = with_table("sql_types").await;
    let sql = "INSERT INTO t SELECT n, 'v' || n FROM generate_series(1, 3) n;
      UPDATE t SET a = NULL WHERE id = 2;
      SELECT id, a, id = 1 AS one, id / 2.0 AS half, jsonb_build_object('n', id) AS j, now() IS NULL AS id FROM t ORDER BY t.id";
    let text = format!("steps:\n- id: s\n  sql:\n    database: app\n    statement: |\n      {sql}");
    let stage = plan(&text).database("app", &settings).set();
    let outputs = stage.done("s").await;
    assert_eq!(outputs["row_count"], 3);
    assert_eq!(
        outputs["first"],
        json!({ "id": 1, "a": "v1", "one": true, "half": 0.5, "j": { "n": 1 }, "id_2": false })
    );
    assert_eq!(outputs["rows"][1]["a"], json!(null));
    assert_eq!(count(&look).await, "3");
    stage.end().await;
    let twice = "statement: \"INSERT INTO t VALUES (7, ''); INSERT INTO t VALUES (7, '')\"";
    let failure = failed(once(twice, &settings).await);
    assert!(failure.message.starts_with("statement 2 of 2: duplicate key"), "{}", failure.message);
    assert!(failure.message.contains("(id)=(7)"), "{}", failure.message);
    assert_eq!(count(&look).await, "3");
    assert_eq!(done(once("statement: UPDATE t SET a = 'z'", &settings).await)["row_count"], 3);
}

#[tokio::test]
async fn too_many_or_too_few_rows_roll_back() {
    let (settings, look) = with_table("sql_expect").await;
    look.execute("INSERT INTO t SELECT n, 'v' FROM generate_series(1, 10) n").await.unwrap();
    look.execute("CREATE FUNCTION clean() RETURNS void LANGUAGE sql AS 'DELETE FROM t'").await.unwrap();
    for statement in [
        "UPDATE t SET a = 'w'",
        "WITH d AS (DELETE FROM t RETURNING id) SELECT count(*) FROM d",
        "DO $$ BEGIN DELETE FROM t WHERE id > 0; END $$",
        "SELECT clean()",
        "DELETE FROM t WHERE id < 4; DELETE FROM t WHERE id > 8",
    ] {
        let fields = format!("statement: \"{statement}\", expect: {{ max_rows: 4 }}");
        let failure = failed(once(&fields, &settings).await);
        assert_eq!(failure.code, "runplan::sql::expect", "{statement}: {failure:?}");
    }
    let of = async |fields: &str| failed(once(fields, &settings).await);
    assert!(of("statement: TRUNCATE t, expect: { max_rows: 100 }").await.permanent);
    let failure = of("statement: \"SELECT id FROM t WHERE id < 4\", expect: { rows: 2 }").await;
    assert!(failure.message.contains("3 rows were returned"), "{failure:?}");
    assert_eq!(look.one("SELECT count(*) FROM t WHERE a = 'v'").await.unwrap(), "10");
    let exactly = "statement: \"DELETE FROM t WHERE id < 4\", expect: { rows: 3, max_rows: 3 }";
    done(once(exactly, &settings).await);
    assert_eq!(count(&look).await, "7");
}

#[tokio::test]
async fn killed_before_its_commit_is_journaled_it_certainly_did_not_happen() {
    let (settings, look) = with_table("sql_before").await;
    let mut stage = step(INSERT, &settings);
    stage.act_until("s", "commit_intended", false).await;
    stage.restart().await;
    assert!(matches!(stage.settle("s").await, Outcome::Again(_)));
    assert_eq!(count(&look).await, "0");
    stage.done("s").await;
    assert_eq!(count(&look).await, "1");
}

#[tokio::test]
async fn killed_between_the_intent_and_the_commit_it_is_rolled_back() {
    let (settings, look) = with_table("sql_between").await;
    let mut stage = step(INSERT, &settings);
    stage.act_until("s", "commit_intended", true).await;
    stage.restart().await;
    assert!(matches!(stage.settle("s").await, Outcome::Again(why) if why.contains("rolled back")));
    assert_eq!(count(&look).await, "0");
}

#[tokio::test]
async fn killed_after_the_commit_it_is_done_with_the_journaled_outputs() {
    let (settings, look) = with_table("sql_after").await;
    let mut stage = step(INSERT, &settings);
    let outputs = stage.done("s").await;
    stage.restart().await;
    assert_eq!(done(stage.settle("s").await), outputs);
    assert_eq!(
        (outputs["first"].clone(), count(&look).await),
        (json!({ "id": 1, "a": "x" }), "1".to_owned())
    );
}

/// The claim is a commit of its own; what is cut here is the step's.
async fn claimed(stage: &Stage) {
    let world = &stage.world;
    let target = world.targets.find(world, &Text::made("app")).await.unwrap();
    world.targets.claim(world, &target).await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_to_commit_is_asked_about() {
    let (settings, look) = with_table("sql_lost").await;
    let proxy = Proxy::start(shared().port());
    let stage = through(&proxy, INSERT, &settings);
    claimed(&stage).await;
    proxy.cut(Cut::BeforeCommit);
    let failure = failed(stage.act("s").await);
    assert!(failure.help.as_ref().is_some_and(|help| help.contains("rolled back")), "{failure:?}");
    assert_eq!(count(&look).await, "0");
    proxy.cut(Cut::AfterCommit);
    let outputs = done(stage.act("s").await);
    assert_eq!((outputs["first"]["a"].clone(), count(&look).await), (json!("x"), "1".to_owned()));
}

#[tokio::test]
async fn a_lost_answer_and_a_lost_server_are_unknown_until_it_is_back() {
    let (settings, look) = with_table("sql_gone").await;
    let proxy = Proxy::start(shared().port());
    let mut stage = through(&proxy, INSERT, &settings);
    claimed(&stage).await;
    proxy.cut_and_close(Cut::AfterCommit);
    let attempt = stage.attempt("s", 1);
    let cancelled = attempt.cancelled.clone();
    let (outcome, ()) = tokio::join!(steps::act(&attempt), async {
        while stage.facts("s", 1).is_empty() {
            runplan::clock::sleep(Duration::from_millis(20)).await;
        }
        cancelled.cancel();
    });
    let Outcome::Unknown(evidence) = outcome else { panic!("{outcome:?}") };
    assert!(evidence.facts.iter().any(|fact| fact.contains("system identifier")), "{evidence:?}");
    proxy.open();
    drop(attempt);
    stage.restart().await;
    done(stage.settle("s").await);
    assert_eq!(count(&look).await, "1");
}

#[tokio::test]
async fn a_lock_that_is_let_go_is_waited_for_and_one_that_is_not_fails_with_advice() {
    let (settings, look) = with_table("sql_locks").await;
    look.execute("INSERT INTO t VALUES (1, 'x')").await.unwrap();
    look.execute("BEGIN; UPDATE t SET a = 'y'").await.unwrap();
    let stage = step("statement: \"UPDATE t SET a = a || 'z'\", lock_timeout: 100ms", &settings);
    let failure = failed(stage.act("s").await);
    assert!(
        failure.message.contains("5 tries")
            && failure.help.is_some_and(|help| help.contains("pg_blocking_pids"))
    );
    let (outcome, ()) = tokio::join!(stage.act("s"), async {
        runplan::clock::sleep(Duration::from_millis(150)).await;
        look.execute("COMMIT").await.unwrap();
    });
    done(outcome);
    assert_eq!(look.one("SELECT a FROM t").await.unwrap(), "yz");
}

#[tokio::test]
async fn cancelled_it_is_cancelled_on_the_server() {
    let (settings, look) = with_table("sql_cancel").await;
    let stage = step("statement: \"INSERT INTO t VALUES (1, 'x'); SELECT pg_sleep(600)\"", &settings);
    let attempt = stage.attempt("s", 1);
    let running = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep(600)%'";
    let (outcome, ()) = tokio::join!(steps::act(&attempt), async {
        while look.one(running).await.unwrap() == "0" {
            runplan::clock::sleep(Duration::from_millis(20)).await;
        }
        attempt.cancelled.cancel();
    });
    assert_eq!(failed(outcome).code, "runplan::step::cancelled");
    assert_eq!(look.one(&format!("{running} AND state = 'active'")).await.unwrap(), "0");
    assert_eq!(count(&look).await, "0");
}

#[tokio::test]
async fn read_only_cannot_be_talked_out_of_it() {
    let (settings, look) = with_table("sql_read_only").await;
    for statement in
        ["INSERT INTO t VALUES (1, 'x')", "SET TRANSACTION READ WRITE; INSERT INTO t VALUES (1, 'x')"]
    {
        failed(once(&format!("read_only: true, statement: \"{statement}\""), &settings).await);
    }
    assert_eq!(count(&look).await, "0");
    let stage = step("read_only: true, statement: SELECT 1 AS one", &settings);
    assert_eq!(stage.done("s").await["first"]["one"], 1);
    assert_eq!(stage.facts("s", 1), []);
    let admin = connect(&settings.with_database("postgres")).await;
    assert_eq!(claim::read(&admin, settings.database()).await.unwrap(), None, "reading claims nothing");
}

#[tokio::test]
async fn a_target_that_was_taken_over_is_not_changed() {
    let (settings, look) = with_table("sql_taken").await;
    let stage = step(INSERT, &settings);
    stage.done("s").await;
    let admin = connect(&settings.with_database("postgres")).await;
    let own = claim::read(&admin, settings.database()).await.unwrap().expect("a claim");
    let raised = runplan::postgres::Claim { epoch: own.epoch + 1, ..own.clone() };
    claim::write(&admin, settings.database(), Some(&own), &raised, "true").await.unwrap();
    let other =
        plan("steps:\n- id: s\n  sql: { database: app, statement: \"INSERT INTO t VALUES (2, 'x')\" }")
            .database("app", &settings)
            .run("test-20261122-0312-m2p8")
            .set();
    let failure = failed(other.act("s").await);
    assert_eq!(failure.code, "runplan::target::held", "another run holds the lock: {failure:?}");
    look.execute("DELETE FROM t").await.unwrap();
    let failure = failed(stage.act("s").await);
    assert!(
        failure.code == "runplan::target::taken_over" && failure.message.contains("epoch"),
        "{failure:?}"
    );
    assert_eq!(count(&look).await, "0");
}

#[tokio::test]
async fn without_its_lock_nothing_is_committed() {
    let (settings, look) = with_table("sql_lock_lost").await;
    let stage = plan(
        "steps:\n- id: s\n  sql: { database: app, statement: \"INSERT INTO t VALUES (1, 'x'); SELECT pg_sleep(0.6)\" }",
    )
    .database("app", &settings)
    .set();
    let end_lock = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE {}",
        lock_of(settings.database())
    );
    let (outcome, ()) = tokio::join!(stage.act("s"), async {
        let in_step = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep%'";
        while look.one(in_step).await.unwrap() == "0" {
            runplan::clock::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(look.one(&end_lock).await.unwrap(), "1");
    });
    let failure = failed(outcome);
    assert!(failure.message.contains("the lock on") && failure.permanent, "{failure:?}");
    assert_eq!(count(&look).await, "0");
}

#[tokio::test]
async fn outside_a_transaction_the_probe_decides() {
    let (settings, look) = with_table("sql_alone").await;
    let fields = "statement: CREATE INDEX CONCURRENTLY i ON t (a), transaction: false,
        probe: { sql: \"SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass\", expect: true }";
    let mut stage = step(fields, &settings);
    assert!(matches!(stage.settle("s").await, Outcome::Again(_)), "nothing was sent");
    stage.act_until("s", "statement_intended", true).await;
    stage.restart().await;
    assert!(matches!(stage.settle("s").await, Outcome::Again(why) if why.contains("does not exist")));
    stage.done("s").await;
    done(stage.settle("s").await);
    // It exists already: the statement fails, and the probe says that what was wanted is there.
    done(stage.act("s").await);
    stage.end().await;
    let blind = once("statement: CREATE INDEX CONCURRENTLY i ON t (a), transaction: false", &settings).await;
    assert!(failed(blind).message.contains("already exists"));
    drop(look);
}

const LEFT_OVER: &str = "statement: CREATE UNIQUE INDEX CONCURRENTLY left_over ON t (length(a)), transaction: false,
    probe: { sql: \"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('left_over')\", expect: true }";

async fn with_twins(stem: &str) -> (Settings, Connection) {
    let (settings, look) = with_table(stem).await;
    look.execute("INSERT INTO t VALUES (7, 'x'), (8, 'x')").await.unwrap();
    (settings, look)
}

/// The OID and whether it is valid.
async fn left_over(look: &Connection) -> String {
    let asked = "SELECT concat(indexrelid, ' ', indisvalid) FROM pg_index WHERE indexrelid = to_regclass('left_over')";
    look.row_if_any(asked).await.unwrap().map_or_else(String::new, |row| row.text(0).unwrap())
}

#[tokio::test]
async fn the_invalid_index_that_an_attempt_left_is_named_and_the_next_attempt_builds_it_again() {
    let (settings, look) = with_twins("sql_remains").await;
    let stage = step(LEFT_OVER, &settings);
    for again in [false, true] {
        let before = left_over(&look).await;
        let failure = failed(stage.act("s").await);
        assert!(failure.message.contains("could not create unique index"), "{again}: {failure:?}");
        assert!(failure.message.contains("it left the invalid index public.left_over"), "{failure:?}");
        let help = failure.help.unwrap_or_default();
        assert!(help.contains("`runplan resume` drops it"), "{help}");
        assert!(help.contains("DROP INDEX CONCURRENTLY public.left_over"), "{help}");
        let now = left_over(&look).await;
        assert!(now.ends_with(" f") && now != before, "it was built again: {before} {now}");
    }
    look.execute("DELETE FROM t WHERE id = 8").await.unwrap();
    // Somebody works on the table: it may be this very index.
    let other = connect(&settings).await;
    other.execute("BEGIN; LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE").await.unwrap();
    let invalid = left_over(&look).await;
    let (outcome, ()) = tokio::join!(stage.act("s"), async {
        let asks = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND application_name LIKE 'runplan:%:s' AND query LIKE '%ShareUpdateExclusiveLock%'";
        while look.one(asks).await.unwrap() == "0" {
            runplan::clock::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(left_over(&look).await, invalid);
        other.execute("COMMIT").await.unwrap();
    });
    done(outcome);
    assert!(left_over(&look).await.ends_with(" t"));
}

#[tokio::test]
async fn an_invalid_index_that_was_there_before_is_named_and_never_dropped() {
    let (settings, look) = with_twins("sql_foreign_remains").await;
    let built = look.execute("CREATE UNIQUE INDEX CONCURRENTLY left_over ON t (length(a))").await;
    assert!(built.is_err());
    let foreign = left_over(&look).await;
    look.execute("DELETE FROM t WHERE id = 8").await.unwrap();
    let stage = step(LEFT_OVER, &settings);
    for _ in 0..2 {
        let failure = failed(stage.act("s").await);
        assert!(
            failure.message.contains("before it there was the invalid index public.left_over"),
            "{failure:?}"
        );
        let help = failure.help.unwrap_or_default();
        assert!(help.starts_with("by hand: DROP INDEX CONCURRENTLY public.left_over"), "{help}");
        assert_eq!(left_over(&look).await, foreign);
    }
    stage.end().await;
    let lenient = LEFT_OVER.replace("CONCURRENTLY left_over", "CONCURRENTLY IF NOT EXISTS left_over");
    let failure = failed(once(&lenient, &settings).await);
    assert_eq!(failure.code, "runplan::sql::invalid_index", "{failure:?}");
    assert_eq!(left_over(&look).await, foreign);
}

#[tokio::test]
async fn a_probe_that_looks_for_the_name_alone_does_not_take_an_invalid_index_for_the_wanted_one() {
    let (settings, look) = with_twins("sql_credulous").await;
    let credulous =
        "statement: CREATE UNIQUE INDEX CONCURRENTLY left_over ON t (length(a)), transaction: false,
        probe: { sql: \"SELECT count(*) FROM pg_class WHERE relname = 'left_over'\", expect: 1 }";
    let mut stage = step(credulous, &settings);
    let failure = failed(stage.act("s").await);
    assert!(failure.message.contains("it left the invalid index public.left_over"), "{failure:?}");
    stage.restart().await;
    let settled = stage.settle("s").await;
    assert!(matches!(&settled, Outcome::Again(why) if why.contains("is not valid")), "{settled:?}");
    look.execute("DELETE FROM t WHERE id = 8").await.unwrap();
    done(stage.act("s").await);
    assert!(left_over(&look).await.ends_with(" t"));
    done(stage.settle("s").await);
}

#[tokio::test]
async fn what_a_reindex_left_is_named() {
    let (settings, look) = with_twins("sql_reindex_remains").await;
    let built = look.execute("CREATE UNIQUE INDEX CONCURRENTLY left_over ON t (length(a))").await;
    assert!(built.is_err());
    let fields = "statement: REINDEX INDEX CONCURRENTLY left_over, transaction: false";
    let failure = failed(once(fields, &settings).await);
    assert!(failure.message.contains("there is the invalid index public.left_over_ccnew"), "{failure:?}");
    let help = failure.help.unwrap_or_default();
    assert!(help.contains("DROP INDEX CONCURRENTLY public.left_over_ccnew"), "{help}");
}

#[tokio::test]
async fn an_orphaned_statement_is_over_before_the_probe_is_asked() {
    let (settings, look) = with_table("sql_orphan").await;
    let fields = "statement: CREATE INDEX CONCURRENTLY i ON t (a), transaction: false, lock_timeout: 1h,
        probe: { sql: \"SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass\", expect: true }";
    let mut stage = step(fields, &settings);
    look.execute("BEGIN; INSERT INTO t VALUES (1, 'x')").await.unwrap();
    let other = connect(&settings).await;
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CREATE INDEX%'";
    tokio::select! {
        outcome = stage.act("s") => panic!("{outcome:?}"),
        () = async {
            while other.one(&format!("{waiting} AND wait_event_type = 'Lock'")).await.unwrap() == "0" {
                runplan::clock::sleep(Duration::from_millis(10)).await;
            }
        } => {}
    }
    stage.restart().await;
    let outcome = stage.settle("s").await;
    assert!(matches!(&outcome, Outcome::Again(_)), "{outcome:?}");
    assert_eq!(other.one(waiting).await.unwrap(), "0", "it is no longer running");
}

#[tokio::test]
async fn an_undo_is_settled_by_its_own_witness_and_not_by_the_steps() {
    let (settings, look) = with_table("sql_undo").await;
    let text = "steps:\n- id: s\n  sql: { database: app, statement: \"INSERT INTO t VALUES (1, 'x')\" }
  undo: { sql: { database: app, statement: \"DELETE FROM t WHERE id = 1\" } }";
    let mut stage = plan(text).database("app", &settings).set();
    stage.done("s").await;
    stage.restart().await;
    let attempt = steps::Attempt { undoing: true, ..stage.attempt("s", 1) };
    done(steps::settle_undo(&attempt).await);
    assert_eq!(count(&look).await, "0", "the undo was carried out, not taken for done");
    done(steps::settle_undo(&steps::Attempt { undoing: true, ..stage.attempt("s", 1) }).await);
}

#[tokio::test]
async fn a_secret_neither_leaves_by_a_row_nor_by_an_error() {
    let (settings, look) = with_table("sql_secret").await;
    let text = |sql: &str| format!("steps:\n- id: s\n  sql: {{ database: app, statement: \"{sql}\" }}");
    let stage = |sql: &str| plan(&text(sql)).secret("TOKEN", "hunter2-long").database("app", &settings).set();
    let selects = stage("INSERT INTO t VALUES (1, {{ secrets.TOKEN }}) RETURNING a");
    let failure = failed(selects.act("s").await);
    selects.end().await;
    assert!(failure.message.contains("secret"), "{failure:?}");
    assert_eq!(count(&look).await, "0");
    let failure = failed(stage("SELECT {{ secrets.TOKEN }}::int").act("s").await);
    assert!(failure.message.contains("[redacted]"), "{failure:?}");
}

#[tokio::test]
async fn statements_come_from_a_file_that_was_read_with_the_plan() {
    let (settings, look) = with_table("sql_file").await;
    let stage = plan("steps:\n- id: s\n  sql: { database: app, file: clean.sql }")
        .file("clean.sql", "INSERT INTO t VALUES ({{ params.id }}, 'x');\n-- done\n")
        .param("id", 5)
        .database("app", &settings)
        .set();
    std::fs::write(stage.path("clean.sql"), "DROP TABLE t").unwrap();
    stage.done("s").await;
    assert_eq!(look.one("SELECT id FROM t").await.unwrap(), "5");
}

#[tokio::test]
async fn wrong_servers_and_wrong_words_are_told_apart() {
    let (settings, _) = with_table("sql_wrong").await;
    let failure = failed(once("statement: SELEC 1", &settings).await);
    assert_eq!(failure.code, "runplan::postgres::sql");
    let failure = failed(once("statement: COMMIT", &settings).await);
    assert_eq!(failure.code, "runplan::sql::text");
    let gone = settings.with_database("nowhere_at_all");
    let failure = failed(step("statement: SELECT 1", &gone).act("s").await);
    assert!(failure.message.contains("nowhere_at_all"), "{failure:?}");
}

mod values {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn hostile() -> impl Strategy<Value = Value> {
        let pieces = prop::sample::select(vec![
            "'", "''", "\"", "\\", "\\'", "--", "/*", "*/", ";", "$$", "$a$", "{{", "}}", "\n", "E'", "é",
            "😀", "%", "_", "a", " ", "COMMIT", "\u{1}", "::text", "(", ")",
        ]);
        let text = prop::collection::vec(pieces, 0..12).prop_map(|parts| parts.concat());
        prop_oneof![
            text.clone().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
            prop::collection::vec(text, 0..4).prop_map(|list| list.into_iter().map(Value::from).collect()),
        ]
    }

    #[test]
    fn every_value_comes_back_as_it_was() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let settings = runtime.block_on(database("sql_values"));
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
        let checked = runner.run(&prop::collection::vec(hostile(), 3), |values| {
            let text = "steps:\n- id: s\n  sql: { database: app, read_only: true, statement: \"SELECT to_jsonb({{ params.a }}) AS a, to_jsonb({{ params.b }}) AS b, 3 -{{ params.n }} AS n, to_jsonb({{ params.c }}) AS c\" }";
            let text = text.replace("to_jsonb({{ params.a }})", "to_jsonb(x.a)").replace(
                "{{ params.n }} AS n, to_jsonb({{ params.c }}) AS c",
                "{{ params.n }} AS n, to_jsonb({{ params.c }}) AS c FROM (SELECT {{ params.a }} AS a) x",
            );
            // A bare literal has no type; text stands for it.
            let typed = |name: &str, value: &Value| match value {
                Value::String(_) | Value::Null => format!("{{{{ params.{name} }}}}::text"),
                _ => format!("{{{{ params.{name} }}}}"),
            };
            let text = ["a", "b", "c"].iter().zip(&values).fold(text, |text, (name, value)| {
                text.replace(&format!("{{{{ params.{name} }}}}"), &typed(name, value))
            });
            let stage = plan(&text)
                .database("app", &settings)
                .param("a", values[0].clone())
                .param("b", values[1].clone())
                .param("c", values[2].clone())
                .param("n", -5)
                .set();
            let first = runtime.block_on(stage.done("s"))["first"].clone();
            for (name, value) in ["a", "b", "c"].iter().zip(&values) {
                prop_assert_eq!(&first[*name], value);
            }
            prop_assert_eq!(&first["n"], &json!(8));
            Ok(())
        });
        checked.unwrap();
    }
}

#[tokio::test]
async fn an_isolation_level_reaches_the_statements_after_it() {
    let (settings, _) = with_table("sql_isolation").await;
    for read_only in ["", "read_only: true, "] {
        for (level, shown) in [("SERIALIZABLE", "serializable"), ("REPEATABLE READ", "repeatable read")] {
            let text = format!(
                "{read_only}statement: \"SET LOCAL transaction_isolation = '{level}'; SELECT current_setting('transaction_isolation') AS level\""
            );
            let stage = step(&text, &settings);
            assert_eq!(stage.done("s").await["first"]["level"], shown, "{text}");
        }
    }
    let late = "statement: \"SELECT 1; SET LOCAL transaction_isolation = 'serializable'\"";
    let failure = failed(once(late, &settings).await);
    assert!(failure.message.contains("called before any query"), "{}", failure.message);
}

/// A server that waits for a standby which is not there.
#[tokio::test]
async fn a_commit_that_stopped_waiting_for_its_standby_says_so() {
    let cluster = runplan::postgres::Cluster::launch(crate::support::cluster::options()).await.unwrap();
    let admin = connect(&cluster.settings("postgres").unwrap()).await;
    admin.execute("CREATE DATABASE alone").await.unwrap();
    let settings = cluster.settings("alone").unwrap();
    let look = connect(&settings).await;
    look.execute("CREATE TABLE t (a int, b text)").await.unwrap();
    admin.execute("ALTER DATABASE postgres SET synchronous_commit = local").await.unwrap();
    let admin = connect(&cluster.settings("postgres").unwrap()).await;
    admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await.unwrap();
    admin.execute("SELECT pg_reload_conf()").await.unwrap();
    let stage =
        step("statement: \"SET LOCAL synchronous_commit = on; INSERT INTO t VALUES (1, 'x')\"", &settings);
    let waits = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = 'COMMIT'";
    let (outcome, ()) = tokio::join!(stage.act("s"), async {
        loop {
            if let Some(row) = admin.row_if_any(waits).await.unwrap() {
                admin.one(&format!("SELECT pg_cancel_backend({})", row.text(0).unwrap())).await.unwrap();
                return;
            }
            runplan::clock::sleep(Duration::from_millis(20)).await;
        }
    });
    crate::support::stage::done(outcome);
    assert_eq!(count(&look).await, "1");
    let said = stage.warnings().join("\n");
    assert!(said.contains("canceling wait for synchronous replication"), "{said}");
    assert!(said.contains("might not have been replicated to the standby"), "{said}");
    cluster.stop().unwrap();
}
