//! A database's definitions against a backup's: alike after every way of backing up and restoring, and each difference told.
#![allow(clippy::disallowed_methods, reason = "pg_dump is run as a user would run it")]

use super::{result, sample};
use crate::support::cluster::{connect, database, programs};
use crate::support::stage::{Stage, failed, plan};
use runplan::postgres::Settings;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const RICH: &str = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE EXTENSION pgcrypto; CREATE SCHEMA other; CREATE SEQUENCE loose START 5;
CREATE TABLE people (id serial PRIMARY KEY, state varchar(10) DEFAULT 'new' CHECK (state IN ('new', 'old')),
  feeling mood, size positive, born date NOT NULL, doubled int GENERATED ALWAYS AS (id * 2) STORED,
  CONSTRAINT grown CHECK (born < DATE '2020-01-01' OR (state = 'new' AND id > 0)));
CREATE TABLE \"other\".\"Odd ,(Name\" (\"a b\" int REFERENCES people ON DELETE CASCADE, note text DEFAULT 'x, (y');
CREATE TABLE escrows (note varchar(10));
CREATE TABLE parted (at date, n int) PARTITION BY RANGE (at);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE INDEX people_state ON people (lower(state)) WHERE state IN ('new', 'old'); CREATE INDEX parted_n ON parted (n);
CREATE VIEW adults AS SELECT p.id, p.state FROM people p WHERE p.state IN ('old', 'new');
CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM people;
CREATE FUNCTION twice(a int, b text DEFAULT 'q') RETURNS int LANGUAGE sql AS $$ SELECT a * 2;  SELECT a  $$;
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION touched();
ALTER TABLE people ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON people USING (id = 1);
INSERT INTO people (born) SELECT '2001-01-01' FROM generate_series(1, 1000);
COMMENT ON TABLE people IS 'all; of them';";

async fn rich(stem: &str) -> Settings {
    let settings = database(stem).await;
    connect(&settings).await.execute(RICH).await.unwrap();
    settings
}

/// Dumps a database as a user would, without a manifest.
fn dump(settings: &Settings, arguments: &[&str]) {
    let program = programs().find("pg_dump", 0).unwrap();
    let variables =
        settings.client_environment().into_iter().map(|(name, value)| (name, value.expose().to_owned()));
    let output = Command::new(program.path).args(arguments).envs(variables).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn stage(settings: &Settings, backup: &Path, more: &str) -> Stage {
    let text = format!(
        "steps:\n- id: s\n  verify: {{ database: app, report_only: true, checks: [
    {{ name: schema, schema: {{ matches: \"{{{{ params.backup }}}}\"{more} }} }} ] }}"
    );
    plan(&text).database("app", settings).param("backup", backup.to_str().unwrap()).set()
}

async fn checked(settings: &Settings, backup: &Path, more: &str) -> Value {
    let outputs = stage(settings, backup, more).done("s").await;
    result(&outputs, "schema").clone()
}

/// `missing index public.people_state`
fn differences(result: &Value) -> Vec<String> {
    let rows = result["rows"].as_array().unwrap().iter();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    rows.map(|row| format!("{} {} {}", text(row, "difference"), text(row, "kind"), text(row, "object")))
        .collect()
}

#[tokio::test]
async fn a_database_is_as_in_its_backup_in_every_format() {
    let settings = rich("schema_formats").await;
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (name, flags) in [
        ("custom", &["-Fc"][..]),
        ("directory", &["-Fd"]),
        ("tar", &["-Ft"]),
        ("plain", &["-Fp"]),
        ("inserts", &["-Fp", "--inserts"]),
        ("clean", &["-Fp", "--clean", "--if-exists"]),
    ] {
        let path = at(name);
        let mut arguments = flags.to_vec();
        let file = format!("--file={}", path.display());
        arguments.push(&file);
        dump(&settings, &arguments);
        let result = checked(&settings, &path, "").await;
        assert_eq!(result["passed"], true, "{name}: {result}");
        assert!(result["actual"].as_str().unwrap().contains("objects are as in the backup"), "{result}");
        assert!(result["objects"].as_u64().unwrap() > 40, "{result}");
    }
    let plain = std::fs::read(at("plain")).unwrap();
    std::fs::write(at("plain.zst"), zstd::encode_all(plain.as_slice(), 1).unwrap()).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &plain).unwrap();
    std::fs::write(at("plain.gz"), encoder.finish().unwrap()).unwrap();
    for name in ["plain.zst", "plain.gz"] {
        assert_eq!(checked(&settings, &at(name), "").await["passed"], true, "{name}");
    }
}

/// A CHECK with IN over varchar is written otherwise after it was dumped and loaded.
#[tokio::test]
async fn a_restored_database_is_as_the_backup_and_as_the_live_one() {
    let settings = rich("schema_restored").await;
    let text = "steps:
- { id: saved, backup: { database: app, to: \"{{ params.to }}\" } }
- { id: restored, restore: { from: \"{{ steps.saved.path }}\", database: app } }
- id: same
  verify: { database: \"{{ steps.restored.database }}\", checks: [ { name: schema, schema: { matches: \"{{ steps.saved.path }}\" } } ] }
- { id: again, backup: { database: \"{{ steps.restored.database }}\", to: \"{{ params.to }}\" } }
- id: back
  verify: { database: app, checks: [ { name: schema, schema: { matches: \"{{ steps.again.path }}\" } } ] }";
    let directory = tempfile::tempdir().unwrap();
    let stage = plan(text).database("app", &settings).param("to", directory.path().to_str().unwrap()).set();
    for step in ["saved", "restored", "same", "again", "back"] {
        stage.done(step).await;
    }
    stage.end().await;
}

#[tokio::test]
async fn every_difference_is_told() {
    let settings = rich("schema_differs").await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dump");
    dump(&settings, &["-Fc", &format!("--file={}", path.display())]);
    let cases = [
        ("ALTER TABLE people DROP COLUMN feeling", "missing column public.people.feeling"),
        ("ALTER TABLE people ADD extra int", "extra column public.people.extra"),
        ("ALTER TABLE escrows ALTER note TYPE varchar(20)", "changed column public.escrows.note"),
        ("ALTER TABLE people ALTER born DROP NOT NULL", "changed column public.people.born"),
        ("ALTER TABLE people ALTER id DROP DEFAULT", "missing default public.people.id"),
        ("DROP INDEX people_state", "missing index public.people_state"),
        ("DROP TABLE other.\"Odd ,(Name\"", "missing table other.Odd ,(Name"),
        ("ALTER TYPE mood ADD VALUE 'good'", "changed enum public.mood"),
        ("ALTER SEQUENCE loose INCREMENT 2", "changed sequence public.loose"),
        ("CREATE OR REPLACE VIEW adults AS SELECT id, state FROM people", "changed view public.adults"),
        (
            "CREATE OR REPLACE FUNCTION twice(a int, b text DEFAULT 'q') RETURNS int LANGUAGE sql AS 'SELECT a'",
            "changed function public.twice(a integer, b text DEFAULT 'q'::text)",
        ),
        ("ALTER TABLE people DROP CONSTRAINT grown", "missing constraint public.people.grown"),
        (
            "ALTER TABLE people DISABLE ROW LEVEL SECURITY",
            "missing table setting public.people ENABLE ROW LEVEL SECURITY",
        ),
        ("DROP POLICY mine ON people", "missing policy public.people.mine"),
        ("DROP TRIGGER touch ON people", "missing trigger public.people.touch"),
        ("DROP EXTENSION pgcrypto", "missing extension pgcrypto"),
        ("CREATE EXTENSION citext", "extra extension citext"),
        ("ALTER TABLE parted DETACH PARTITION parted_1", "missing partition public.parted_1"),
        ("ALTER DOMAIN positive DROP CONSTRAINT positive_check", "changed domain public.positive"),
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'people_state'::regclass",
            "invalid index public.people_state",
        ),
        (
            "ALTER TABLE people ADD CONSTRAINT late CHECK (id < 5000) NOT VALID",
            "invalid constraint public.people.late",
        ),
    ];
    for (sql, wanted) in cases {
        // Each in a copy of its own.
        let copy = crate::support::cluster::unique("schema_copy");
        let admin = connect(&settings.with_database("postgres")).await;
        admin.execute(&format!("CREATE DATABASE {copy} TEMPLATE {}", settings.database())).await.unwrap();
        let changed = settings.with_database(&copy);
        connect(&changed).await.execute(sql).await.unwrap();
        let result = checked(&changed, &path, "").await;
        assert_eq!(result["passed"], false, "{sql}: {result}");
        let told = differences(&result);
        assert!(told.iter().any(|told| told == wanted), "{sql}: {told:#?}");
        assert!(told.len() <= 3, "{sql}: {told:#?}");
    }
}

#[tokio::test]
async fn what_cannot_be_compared_is_no_success() {
    let settings = sample("schema_refused").await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hand.sql");
    std::fs::write(&path, "CREATE TABLE users (id int);\n").unwrap();
    let result = checked(&settings, &path, "").await;
    assert!(result["actual"].as_str().unwrap().contains("not written by pg_dump"), "{result}");
    dump(&settings, &[&format!("--file={}", path.display())]);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(checked(&settings, &path, "").await["passed"], false);
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(
        checked(&settings, &path, ", tables: [nothing]").await["actual"],
        "the backup holds no table nothing"
    );
    connect(&settings).await.execute("DROP INDEX escrows_buyer; CREATE TABLE more (a int)").await.unwrap();
    assert_eq!(checked(&settings, &path, ", tables: [users]").await["passed"], true);
    assert_eq!(
        differences(&checked(&settings, &path, ", tables: [escrows]").await),
        ["missing index public.escrows_buyer"]
    );
}

/// A user who may only read compares, and nobody's database is changed by it.
#[tokio::test]
async fn reading_is_enough() {
    let settings = sample("schema_reader").await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dump");
    dump(&settings, &["-Fd", &format!("--file={}", path.display())]);
    let role = crate::support::cluster::unique("schema_role");
    connect(&settings).await.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'reader'")).await.unwrap();
    let reader = Settings::parse(
        &format!(
            "host={} port={} dbname={} user={role} password=reader",
            host(&settings),
            port(&settings),
            settings.database()
        ),
        &|_| None,
    )
    .unwrap();
    let result = checked(&reader, &path, "").await;
    assert!(result["actual"].as_str().unwrap().contains("permission denied"), "{result}");
    connect(&settings).await.execute(&format!("GRANT pg_read_all_data TO {role}")).await.unwrap();
    assert_eq!(checked(&reader, &path, "").await["passed"], true);
}

fn variable(settings: &Settings, wanted: &str) -> String {
    let mut all = settings.client_environment().into_iter();
    all.find(|(name, _)| name == wanted).map(|(_, value)| value.expose().to_owned()).unwrap()
}

fn host(settings: &Settings) -> String {
    variable(settings, "PGHOST")
}

fn port(settings: &Settings) -> String {
    variable(settings, "PGPORT")
}

#[tokio::test]
async fn a_foreign_key_whose_triggers_are_disabled_is_named() {
    let settings = database("schema_triggers").await;
    let connection = connect(&settings).await;
    connection
        .execute("CREATE TABLE one (id int PRIMARY KEY); CREATE TABLE many (id int, one int CONSTRAINT its REFERENCES one)")
        .await
        .unwrap();
    let text = "steps:
  - { id: kept, backup: { database: app, to: backups } }
  - { id: same, verify: { database: app, checks: [ { name: s, schema: { matches: \"{{ steps.kept.path }}\" } } ] } }
";
    let stage = plan(text).database("app", &settings).set();
    stage.done("kept").await;
    stage.done("same").await;
    connection.execute("ALTER TABLE many DISABLE TRIGGER ALL").await.unwrap();
    let failure = failed(stage.act("same").await);
    assert!(failure.message.contains("invalid foreign key public.many.its"), "{}", failure.message);
    stage.end().await;
}

#[tokio::test]
async fn a_backup_is_asked_whether_it_holds_everything() {
    let settings = rich("schema_extra").await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dump");
    dump(&settings, &["-Fc", &format!("--file={}", path.display())]);
    let app = connect(&settings).await;
    // What is missing or changed is not asked about.
    app.execute("DROP VIEW adults; ALTER TABLE escrows ALTER note TYPE text").await.unwrap();
    let held = checked(&settings, &path, ", only: [extra]").await;
    assert_eq!(held["passed"], true, "{held}");
    app.execute(
        "CREATE VIEW later AS SELECT 1 AS one; CREATE PROCEDURE p(a int) LANGUAGE sql AS 'SELECT 1'; \
                 CREATE TABLE extra (id serial); CREATE DOMAIN short AS varchar(3)",
    )
    .await
    .unwrap();
    let lacks = checked(&settings, &path, ", only: [extra]").await;
    let found = differences(&lacks);
    for name in
        ["view public.later", "procedure public.p(IN a integer)", "table public.extra", "domain public.short"]
    {
        assert!(found.contains(&format!("extra {name}")), "{found:?}");
        assert!(lacks["actual"].as_str().unwrap().contains(name), "{lacks}");
    }
    // A backup of a part has an excuse for what it does not hold, but not when that is what is asked.
    let stage = plan(
        "steps:
  - { id: kept, backup: { database: app, to: backups, tables: [people] } }
  - { id: some, verify: { database: app, checks: [ { name: s, schema: { matches: \"{{ steps.kept.path }}\" } } ] } }
  - { id: all, verify: { database: app, checks: [ { name: s, schema: { matches: \"{{ steps.kept.path }}\", only: [extra] } } ] } }
",
    )
    .database("app", &settings)
    .set();
    stage.done("kept").await;
    stage.done("some").await;
    let failure = failed(stage.act("all").await);
    assert!(failure.message.contains("table public.escrows"), "{}", failure.message);
    stage.end().await;
}
