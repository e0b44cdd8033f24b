//! Copying rows between real databases: exactly, once, and back again.

use crate::support::cluster::{connect, database, shared};
use crate::support::proxy::{Cut, Proxy};
use crate::support::stage::{Setting, Stage, done, failed, plan};
use runplan::postgres::{Connection, Settings};
use runplan::run::Outcome;
use runplan::steps;
use serde_json::json;

/// Two databases with the same tables, and sessions on both.
struct Pair {
    old: Settings,
    app: Settings,
    there: Connection,
    here: Connection,
}

async fn pair(stem: &str, sql: &str) -> Pair {
    let (old, app) = (database(&format!("{stem}_old")).await, database(stem).await);
    let (there, here) = (connect(&old).await, connect(&app).await);
    there.execute(sql).await.unwrap();
    here.execute(sql).await.unwrap();
    Pair { old, app, there, here }
}

fn setting(pair: &Pair, fields: &str) -> Setting {
    let text = format!(
        "databases: {{ app: {{ url: unused }}, old: {{ url: unused }} }}
params: {{ name: {{ type: string, default: nobody }} }}
steps:
  - {{ id: go, approve: {{ message: Copy? }} }}
  - id: copied
    copy: {{ from: old, to: app, {fields} }}
"
    );
    plan(&text).database("app", &pair.app).database("old", &pair.old)
}

fn stage(pair: &Pair, fields: &str) -> Stage {
    setting(pair, fields).set()
}

/// One copy, after which another stage may have the databases.
async fn once(pair: &Pair, fields: &str) -> Outcome {
    let stage = stage(pair, fields);
    let outcome = stage.act("copied").await;
    stage.end().await;
    outcome
}

async fn all(connection: &Connection, table: &str) -> String {
    let sql = format!("SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '') FROM {table} t");
    connection.one(&sql).await.unwrap()
}

const EVERYTHING: &str = r#"
CREATE TYPE mood AS ENUM ('sad', 'o"k', 'happy');
CREATE DOMAIN short AS text CHECK (length(VALUE) < 20);
CREATE TYPE place AS (x int, label text);
CREATE SCHEMA "Odd Schema";
CREATE TABLE "Odd Schema"."Things" (
  "Tenant" uuid, "No" bigint GENERATED ALWAYS AS IDENTITY, note text COLLATE "C", j jsonb, js json, ints int[], texts text[][],
  bin bytea, num numeric, money_ money, at timestamptz, day date, span interval, f float8, r real, m mood, d short, p place,
  pt point, c char(5), v varchar(7), b bit(3), x xml, ip inet, rng int4range, "double" numeric GENERATED ALWAYS AS (num * 2) STORED,
  PRIMARY KEY ("Tenant", "No"));
"#;

const ROWS: &str = r#"
INSERT INTO "Odd Schema"."Things" ("Tenant", "No", note, j, js, ints, texts, bin, num, money_, at, day, span, f, r, m, d, p, pt, c, v, b, x, ip, rng)
OVERRIDING SYSTEM VALUE VALUES
 ('00000000-0000-0000-0000-000000000001', 1, E'it''s "q" \\ \t tab\n\\.\n', '{"a": [1, null, "é"], "n": 12345678901234567890.10}', '{"b":1,  "b":2}',
  '{1,NULL,-3}', '{{a,"b c"},{"\"","\\"}}', '\x00ff5c0a', 'NaN', '-1234.56', 'infinity', '-infinity', '1 mon -2 days 03:04:05.000006',
  1e-307, 'Infinity', 'o"k', 'short', '(3,"a ""b"", c")', '(1.5,-2)', 'ab', 'seven77', '101', '<a>&amp;</a>', '10.0.0.0/8', '[1,5)'),
 ('00000000-0000-0000-0000-000000000001', 2, NULL, 'null', NULL, '{}', NULL, '', 0.1000, NULL, '2026-03-29 01:30:00.123456+00', NULL, NULL,
  0.1, 0.1, NULL, NULL, NULL, NULL, '', '', NULL, NULL, NULL, 'empty'),
 ('00000000-0000-0000-0000-000000000002', 7, '', '{}', '[]', NULL, '{}', NULL, -99999999999999999999.99999, 0, '4713-01-01 BC', '5874897-12-31', '-1 year',
  '-0', 'NaN', 'sad', '', '(,)', NULL, 'abcde', NULL, '000', NULL, '::1', NULL);
"#;

const THINGS: &str = r#""Odd Schema"."Things""#;

#[tokio::test]
async fn every_type_comes_over_exactly_and_goes_back_exactly() {
    let pair = pair("copy_types", "SELECT").await;
    // Some servers are built without libxml.
    let has_xml = pair.here.execute("SELECT '<a/>'::xml").await.is_ok();
    let tables = if has_xml { EVERYTHING.to_owned() } else { EVERYTHING.replace("x xml", "x text") };
    pair.there.execute(&tables).await.unwrap();
    pair.here.execute(&tables).await.unwrap();
    pair.there.execute(ROWS).await.unwrap();
    pair.here.execute(ROWS).await.unwrap();
    pair.here
        .execute(&format!(
            "DELETE FROM {THINGS} WHERE \"No\" = 7; UPDATE {THINGS} SET num = 1.0, note = 'mine', j = '{{\"a\": 1}}', at = now(), \
             texts = '{{z}}', c = 'mine' WHERE \"No\" = 2"
        ))
        .await
        .unwrap();
    let (before, wanted) = (all(&pair.here, THINGS).await, all(&pair.there, THINGS).await);
    assert_ne!(before, wanted);
    let stage = stage(&pair, r#"table: '"Odd Schema"."Things"', on_conflict: update"#);
    let outputs = stage.done("copied").await;
    assert_eq!(all(&pair.here, THINGS).await, wanted);
    let counted: Vec<_> = ["rows", "inserted", "updated", "skipped"].map(|name| outputs[name].clone()).into();
    assert_eq!(counted, [3, 1, 1, 1], "the third is the same already");
    assert_eq!(outputs["sequences"], json!(["\"Odd Schema\".\"Things_No_seq\""]));
    pair.here
        .execute(&format!(
            "INSERT INTO {THINGS} (\"Tenant\") VALUES ('00000000-0000-0000-0000-000000000003')"
        ))
        .await
        .unwrap();
    let next = format!("SELECT max(\"No\") FROM {THINGS}");
    assert_eq!(pair.here.one(&next).await.unwrap(), "8", "7 was moved past");
    pair.here.execute(&format!("DELETE FROM {THINGS} WHERE \"No\" = 8")).await.unwrap();
    let undone = done(stage.undo("copied").await);
    assert_eq!((undone["removed"].clone(), undone["put_back"].clone()), (json!(1), json!(1)));
    assert_eq!(all(&pair.here, THINGS).await, before);
}

const USERS: &str =
    "CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL, status text DEFAULT 'new', n int);
    CREATE TABLE notes (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE, body text)";

async fn users(stem: &str) -> Pair {
    let pair = pair(stem, USERS).await;
    pair.there
        .execute("INSERT INTO users (name, status, n) SELECT 'user ' || n, 'good', n FROM generate_series(1, 10) n")
        .await
        .unwrap();
    pair.here
        .execute(
            "INSERT INTO users (name, status, n) SELECT 'user ' || n, 'bad', n FROM generate_series(1, 6) n",
        )
        .await
        .unwrap();
    pair
}

#[tokio::test]
async fn a_row_that_is_there_fails_it_or_is_skipped_or_overwritten() {
    let pair = users("copy_conflict").await;
    let before = all(&pair.here, "users").await;
    let failure = failed(once(&pair, "table: users").await);
    assert_eq!(failure.code, "runplan::copy::conflict");
    assert_eq!(failure.message, "6 rows are in public.users already (id: 1; 2; 3; 4; 5; ...)");
    assert_eq!(all(&pair.here, "users").await, before);
    let failure = failed(once(&pair, "table: users, on_conflict: update, max_rows: 9").await);
    assert_eq!(failure.code, "runplan::copy::max_rows");
    assert!(
        failure.message.starts_with("more than 9 rows of public.users in copy_conflict_old"),
        "{}",
        failure.message
    );
    assert_eq!(all(&pair.here, "users").await, before);
    let outputs =
        done(once(&pair, "table: users, where: 'id IN (5, 6, 7)', on_conflict: skip, max_rows: 3").await);
    assert_eq!(
        (&outputs["inserted"], &outputs["updated"], &outputs["skipped"]),
        (&json!(1), &json!(0), &json!(2))
    );
    let statuses = "SELECT string_agg(status, ' ' ORDER BY id) FROM users";
    assert_eq!(pair.here.one(statuses).await.unwrap(), "bad bad bad bad bad bad good");
    let fields = "table: public.users, where: \"name = {{ params.name }} OR id = 2\", columns: [status], on_conflict: update";
    let stage = setting(&pair, fields).param("name", "user 1' OR 'x' = 'x").set();
    let outputs = stage.done("copied").await;
    stage.end().await;
    assert_eq!((&outputs["rows"], &outputs["updated"]), (&json!(1), &json!(1)));
    assert_eq!(pair.here.one(statuses).await.unwrap(), "bad good bad bad bad bad good");
    let outputs = done(once(&pair, "table: users, where: 'false', on_conflict: update").await);
    assert_eq!(outputs["rows"], 0);
    // Another key than the primary one, and columns that the source's table has not.
    pair.here.execute("ALTER TABLE users ADD COLUMN added text DEFAULT 'here'").await.unwrap();
    let outputs = done(
        once(&pair, "table: users, key: [name], columns: [status], where: n > 8, on_conflict: update").await,
    );
    assert_eq!(outputs["inserted"], 2);
    assert_eq!(
        pair.here
            .one("SELECT string_agg(concat(id, added), ' ') FROM users WHERE name IN ('user 9', 'user 10')")
            .await
            .unwrap(),
        "8here 9here"
    );
}

#[tokio::test]
async fn what_cannot_be_copied_is_said_before_anything_is_written() {
    let pair = users("copy_refused").await;
    for connection in [&pair.here, &pair.there] {
        connection
            .execute(
                "CREATE TABLE bare (a int, b int); CREATE TABLE calc (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);
                 CREATE VIEW seen AS SELECT 1 AS id; CREATE TABLE twins (id int PRIMARY KEY, k int)",
            )
            .await
            .unwrap();
        connection.execute("INSERT INTO bare VALUES (1, 1), (1, 2), (NULL, 3)").await.unwrap();
    }
    pair.here.execute("INSERT INTO twins VALUES (1, 5), (2, 5)").await.unwrap();
    pair.there
        .execute("INSERT INTO twins VALUES (3, 5); INSERT INTO notes VALUES (1, 9, 'of nobody here')")
        .await
        .unwrap();
    let before = all(&pair.here, "bare").await;
    for (fields, code, said) in [
        ("table: nothing", "no_table", "there is no table nothing in copy_refused_old"),
        ("table: seen", "no_table", "seen in copy_refused_old"),
        ("table: bare", "no_key", "public.bare has no primary key"),
        ("table: bare, key: [a]", "key", "1 rows have NULL in their key (a)"),
        ("table: bare, key: [a], where: a IS NOT NULL", "key", "several with the same key (a): 1"),
        (
            "table: twins, key: [k], on_conflict: update",
            "key",
            "in the target there are several with the same key (k): 5",
        ),
        ("table: users, columns: [nam]", "no_column", "public.users has no column nam"),
        (
            "table: calc, columns: [twice]",
            "generated",
            "the column twice of public.calc is computed by the server",
        ),
    ] {
        let failure = failed(once(&pair, fields).await);
        assert_eq!(failure.code, format!("runplan::copy::{code}"), "{fields}: {}", failure.message);
        assert!(failure.message.contains(said), "{fields}: {}", failure.message);
    }
    let failure = failed(once(&pair, "table: notes").await);
    assert!(
        failure.message.contains("Key (user_id)=(9) is not present in table \"users\""),
        "{}",
        failure.message
    );
    let failure = failed(once(&pair, "table: users, where: 'nosuch = 1', on_conflict: skip").await);
    assert!(failure.message.contains("column \"nosuch\" does not exist"), "{}", failure.message);
    assert_eq!(all(&pair.here, "bare").await, before);
    let same = Pair { old: pair.app.clone(), ..pair };
    assert_eq!(failed(once(&same, "table: users").await).code, "runplan::copy::same");
}

#[tokio::test]
async fn triggers_fire_and_are_named_and_one_that_keeps_rows_out_fails_it() {
    let pair = users("copy_triggers").await;
    pair.here
        .execute(
            "CREATE TABLE audit (what text);
             CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit VALUES (NEW.name); RETURN NEW; END $$;
             CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN NEW.id > 9 THEN NULL ELSE NEW END; END $$;
             CREATE TRIGGER audited AFTER INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION noted();
             CREATE TRIGGER quiet AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION noted()",
        )
        .await
        .unwrap();
    let stage = stage(&pair, "table: users, on_conflict: skip");
    let outputs = stage.done("copied").await;
    assert_eq!(outputs["triggers"], json!(["audited"]));
    assert!(
        stage.warnings().iter().any(|said| said.contains("fired for the rows: audited")),
        "{:?}",
        stage.warnings()
    );
    assert_eq!(pair.here.one("SELECT count(*) FROM audit").await.unwrap(), "4");
    stage.end().await;
    pair.here
        .execute("DROP TRIGGER quiet ON users; DELETE FROM users WHERE id > 6; CREATE TRIGGER never BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION never()")
        .await
        .unwrap();
    let failure = failed(once(&pair, "table: users, on_conflict: skip").await);
    assert_eq!(failure.message, "3 of 4 rows were inserted: a trigger keeps others out (audited, never)");
    assert_eq!(pair.here.one("SELECT count(*) FROM users").await.unwrap(), "6");
}

#[tokio::test]
async fn partitions_and_children_are_told_apart() {
    let pair = pair(
        "copy_parts",
        "CREATE TABLE events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
         CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
         CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
         CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child () INHERITS (parent)",
    )
    .await;
    pair.there
        .execute("INSERT INTO events VALUES (1, '2026-01-05'), (2, '2026-02-05'); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2)")
        .await
        .unwrap();
    let stage_events = stage(&pair, "table: events");
    assert_eq!(stage_events.done("copied").await["inserted"], 2);
    assert_eq!(pair.here.one("SELECT count(*) FROM events_2").await.unwrap(), "1");
    done(stage_events.undo("copied").await);
    assert_eq!(pair.here.one("SELECT count(*) FROM events").await.unwrap(), "0");
    stage_events.end().await;
    assert_eq!(done(once(&pair, "table: parent").await)["inserted"], 1);
    assert_eq!(pair.here.one("SELECT count(*) FROM parent").await.unwrap(), "1");
}

#[tokio::test]
async fn the_way_back_is_refused_where_rows_were_changed_or_used_since() {
    let pair = users("copy_back").await;
    let stage = stage(&pair, "table: users, on_conflict: update");
    let outputs = stage.done("copied").await;
    pair.here
        .execute("UPDATE users SET status = 'newer' WHERE id IN (3, 9); DELETE FROM users WHERE id = 10")
        .await
        .unwrap();
    let failure = failed(stage.undo("copied").await);
    assert_eq!(failure.code, "runplan::copy::changed");
    assert_eq!(
        failure.message,
        "3 rows of public.users were changed since the copy (id: 3; 9; 10); putting them back would lose that"
    );
    pair.here
        .execute("UPDATE users SET status = 'good' WHERE id IN (3, 9); INSERT INTO users VALUES (10, 'user 10', 'good', 10); INSERT INTO notes VALUES (1, 8, 'new')")
        .await
        .unwrap();
    let failure = failed(stage.undo("copied").await);
    assert!(
        failure.message.starts_with("1 rows of notes refer to rows that came with the copy"),
        "{}",
        failure.message
    );
    pair.here.execute("DELETE FROM notes; ALTER TABLE users ADD COLUMN more int").await.unwrap();
    assert!(failed(stage.undo("copied").await).message.contains("the columns of public.users were changed"));
    pair.here.execute("ALTER TABLE users DROP COLUMN more").await.unwrap();
    let path = outputs["before_images"]["path"].as_str().unwrap();
    let whole = std::fs::read(path).unwrap();
    std::fs::write(path, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(failed(stage.undo("copied").await).code, "runplan::copy::images");
    std::fs::write(path, &whole).unwrap();
    done(stage.undo("copied").await);
    assert_eq!(
        pair.here.one("SELECT string_agg(concat(id, status), ' ' ORDER BY id) FROM users").await.unwrap(),
        "1bad 2bad 3bad 4bad 5bad 6bad"
    );
}

#[tokio::test]
async fn it_happens_exactly_once_whatever_dies() {
    let pair = users("copy_once").await;
    let fields = "table: users, on_conflict: update";
    let before = all(&pair.here, "users").await;
    let mut stage_ = stage(&pair, fields);
    for durable in [false, true] {
        stage_.act_until("copied", "commit_intended", durable).await;
        let images = stage_.path("state/files/copied.1.before.copy");
        assert!(std::fs::metadata(&images).unwrap().len() > 100, "on disk before the COMMIT");
        stage_.restart().await;
        assert!(matches!(stage_.settle("copied").await, Outcome::Again(_)), "it was never committed");
        assert_eq!(all(&pair.here, "users").await, before);
    }
    stage_.end().await;
    let proxy = Proxy::start(shared().port());
    let url = shared().url(pair.app.database());
    let url = url.expose().replace(&format!(":{}/", shared().port()), &format!(":{}/", proxy.port()));
    let through = setting(&pair, fields).database("app", &Settings::parse(&url, &|_| None).unwrap()).set();
    proxy.cut(Cut::BeforeCommit);
    failed(through.act("copied").await);
    assert_eq!(all(&pair.here, "users").await, before);
    proxy.cut(Cut::AfterCommit);
    let outputs = through.done("copied").await;
    assert_eq!((&outputs["inserted"], &outputs["updated"]), (&json!(4), &json!(6)));
    assert_eq!(all(&pair.here, "users").await, all(&pair.there, "users").await);
    // The way back, its answer lost too.
    proxy.cut(Cut::AfterCommit);
    done(through.undo("copied").await);
    assert_eq!(all(&pair.here, "users").await, before);
}

#[tokio::test]
async fn a_table_that_somebody_holds_is_not_waited_for_for_ever_and_a_cancelled_copy_leaves_nothing() {
    let pair = users("copy_locked").await;
    let before = all(&pair.here, "users").await;
    let stage = stage(&pair, "table: users, on_conflict: update");
    pair.here.execute("BEGIN; UPDATE users SET n = 0 WHERE id = 1").await.unwrap();
    let attempt = stage.attempt("copied", 1);
    let cancelled = attempt.cancelled.clone();
    let waiting = async {
        let look = connect(&pair.app).await;
        while look
            .one("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass")
            .await
            .unwrap()
            == "0"
        {
            tokio::task::yield_now().await;
        }
        cancelled.cancel();
    };
    let (outcome, ()) = tokio::join!(steps::act(&attempt), waiting);
    assert_eq!(failed(outcome).code, "runplan::step::cancelled");
    pair.here.execute("ROLLBACK").await.unwrap();
    assert_eq!(all(&pair.here, "users").await, before);
}

#[tokio::test]
async fn a_row_that_others_wrote_since_is_left_as_it_is_and_named() {
    let pair = pair("copy_still", "CREATE TABLE t (id int PRIMARY KEY, wallet text, other text)").await;
    pair.there
        .execute("INSERT INTO t VALUES (1, 'a', 'x'), (2, 'b', 'x'), (3, 'c', 'x'), (4, 'd', 'x')")
        .await
        .unwrap();
    // 1 is still wrong, 2 was written since, 3 is right already, 4 is gone.
    let now = "INSERT INTO t VALUES (1, NULL, 'y'), (2, 'new', 'y'), (3, 'c', 'y')";
    pair.here.execute(now).await.unwrap();
    let before = all(&pair.here, "t").await;
    let fields = "table: t, columns: [wallet], on_conflict: update, still: wallet IS NULL";
    let stage = stage(&pair, fields);
    let outputs = stage.done("copied").await;
    assert_eq!(all(&pair.here, "t").await, "(1,a,y)\n(2,new,y)\n(3,c,y)");
    let told =
        ["rows", "inserted", "updated", "skipped", "left", "left_keys"].map(|name| outputs[name].clone());
    assert_eq!(told.to_vec(), [json!(4), json!(0), json!(1), json!(3), json!(2), json!(["2", "4"])]);
    done(stage.undo("copied").await);
    assert_eq!(all(&pair.here, "t").await, before);
    stage.end().await;
}
