//! Backups of a real database: made, read back, recognised, removed.

use crate::support::cluster::{connect, database, programs};
use crate::support::stage::{Stage, done, failed, plan};
use runplan::postgres::Settings;
use runplan::steps::{PreflightOptions, preflight};

/// A database with three tables of the usual sort, and 300 rows.
pub async fn sample(stem: &str) -> Settings {
    let settings = database(stem).await;
    fill(&settings).await;
    settings
}

/// Its tables and rows.
pub async fn fill(settings: &Settings) {
    connect(settings)
        .await
        .execute(
            "CREATE TABLE users (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text NOT NULL, wallet text);
             CREATE TABLE escrows (id serial PRIMARY KEY, buyer_id int REFERENCES users, amount numeric(10,2));
             CREATE TABLE messages (body text, at timestamptz DEFAULT now());
             CREATE INDEX escrows_buyer ON escrows (buyer_id);
             INSERT INTO users (name, wallet) SELECT 'user ' || n, 'w' || n FROM generate_series(1, 100) n;
             INSERT INTO escrows (buyer_id, amount) SELECT n, n * 1.5 FROM generate_series(1, 100) n;
             INSERT INTO messages (body) SELECT E'line\\nwith \\\\ and \\t ' || n FROM generate_series(1, 100) n;",
        )
        .await
        .unwrap();
}

/// A plan with one backup step.
fn stage(settings: &Settings, options: &str) -> Stage {
    let text = format!("steps:\n  - id: saved\n    backup: {{ database: app, to: ./backups{options} }}\n");
    plan(&format!("databases: {{ app: {{ url: unused }} }}\n{text}")).database("app", settings).set()
}

#[tokio::test]
async fn every_format_is_made_and_read_back() {
    let settings = sample("backup_formats").await;
    for options in [
        "",
        ", jobs: 2, compress: gzip",
        ", format: custom, compress: none",
        ", format: plain",
        ", format: plain, compress: zstd",
        ", format: plain, compress: lz4",
        ", format: plain, compress: none, keep: 7d",
    ] {
        let stage = stage(&settings, options);
        let outputs = stage.done("saved").await;
        assert_eq!(outputs["rows"], 300, "{options}");
        assert_eq!(outputs["tables"], 3, "{options}");
        let path = outputs["path"].as_str().unwrap();
        assert!(std::path::Path::new(path).exists());
        let left: Vec<String> = std::fs::read_dir(stage.path("backups"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(left.len(), 2, "the backup and its manifest: {left:?}");
        done(stage.undo("saved").await);
        assert_eq!(std::fs::read_dir(stage.path("backups")).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn named_checks_are_recorded_and_parts_are_chosen() {
    let settings = sample("backup_record").await;
    let stage = plan(
        "databases: { app: { url: unused } }
checks:
  sums:
    - { name: all escrows, sql: SELECT sum(amount) AS total FROM escrows, expect: 7575.00 }
    - { name: odd, sql: SELECT nothing FROM nowhere, expect: empty }
steps:
  - id: saved
    backup: { database: app, to: ./backups, tables: [users, public.escrows], record: [sums], keep: 7d }
  - id: missing
    backup: { database: app, to: ./backups, tables: [no_such_table] }
",
    )
    .database("app", &settings)
    .set();
    let outputs = stage.done("saved").await;
    assert_eq!((&outputs["tables"], &outputs["rows"]), (&2.into(), &200.into()));
    let manifest =
        std::fs::read_to_string(format!("{}.manifest.json", outputs["path"].as_str().unwrap())).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["record"]["all escrows"], 7575.0);
    assert!(manifest["record"]["odd"]["failed"].as_str().unwrap().contains("nowhere"), "{manifest}");
    assert_eq!(manifest["tables"], serde_json::json!({ "public.escrows": 100, "public.users": 100 }));
    assert_eq!(manifest["scope"]["tables"][1], "public.escrows");
    let failure = failed(stage.act("missing").await);
    assert!(failure.message.contains("no matching tables were found"), "{}", failure.message);
    assert_eq!(std::fs::read_dir(stage.path("backups")).unwrap().count(), 2);
}

/// Whether this pg_dump writes such an archive, found out by having it write one.
async fn can(settings: &Settings, format: &str, word: &str) -> bool {
    let server = connect(settings).await;
    let major = runplan::postgres::identity::server_version(&server).await.unwrap() / 10_000;
    let program = programs().find("pg_dump", major).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x").display().to_string();
    let mut command = runplan::process::plain::command(program.path);
    command.args([
        &format!("--compress={word}"),
        &format!("--format={format}"),
        &format!("--file={file}"),
        &format!("--dbname={}", settings.client_conninfo()),
    ]);
    for (name, value) in settings.client_environment() {
        command.env(name, value.expose());
    }
    command.output().unwrap().status.success()
}

#[tokio::test]
async fn each_format_with_each_compression_is_made_or_refused_before_the_run() {
    let settings = sample("backup_compressions").await;
    for format in ["directory", "custom", "plain"] {
        for word in ["zstd", "lz4", "gzip", "none"] {
            let what = format!("{format}, {word}");
            let stage = stage(&settings, &format!(", format: {format}, compress: {word}"));
            let by_itself = word == "gzip" || word == "none" || format == "plain";
            let asked = preflight(&stage.world, &PreflightOptions::default()).await;
            let refusal = asked.findings.iter().find(|one| one.code == "runplan::backup::compress");
            if by_itself || can(&settings, format, word).await {
                assert!(refusal.is_none(), "{what}: {refusal:?}");
                assert_eq!(stage.done("saved").await["rows"], 300, "{what}");
                continue;
            }
            let refusal = refusal.unwrap_or_else(|| panic!("{what} is not refused"));
            assert!(
                refusal.is_final()
                    && refusal.stops()
                    && refusal.message.contains(&format!("a {format} archive with {word}: "))
            );
            assert!(
                refusal.help.as_ref().unwrap().contains(&format!("`format: plain, compress: {word}`")),
                "{refusal:?}"
            );
            assert_eq!(failed(stage.act("saved").await).code, "runplan::backup::compress", "{what}");
            assert!(std::fs::read_dir(stage.path("backups")).map_or(0, Iterator::count) == 0, "{what}");
        }
    }
}

#[tokio::test]
async fn what_a_backup_recorded_is_compared_with_later() {
    let settings = sample("backup_compared").await;
    let stage = plan(
        "databases: { app: { url: unused } }
checks:
  sums:
    - { name: all escrows, sql: SELECT sum(amount) AS total FROM escrows, expect: { unchanged_since: \"{{ steps.saved.record }}\" } }
    - { name: names, sql: SELECT name FROM users ORDER BY id, mask: [name], expect: { unchanged_since: \"{{ steps.saved.record }}\" } }
steps:
  - id: saved
    backup: { database: app, to: ./backups, record: [sums] }
  - id: same
    verify:
      database: app
      use: [sums]
      checks: [ { name: counts, counts: { matches: \"{{ steps.saved.path }}\" } } ]
",
    )
    .database("app", &settings)
    .set();
    let outputs = stage.done("saved").await;
    assert_eq!(outputs["record"]["all escrows"], 7575.0);
    assert!(outputs["record"]["names"]["sha256"].is_string(), "masked values are kept nowhere: {outputs:?}");
    stage.done("same").await;
    connect(&settings)
        .await
        .execute("UPDATE escrows SET amount = 0 WHERE id = 1; UPDATE users SET name = 'x' WHERE id = 2")
        .await
        .unwrap();
    let failure = failed(stage.act("same").await);
    for said in ["2 of 3 checks failed", "all escrows", "as before: 7575", "names"] {
        assert!(failure.message.contains(said), "{said}: {}", failure.message);
    }
    connect(&settings).await.execute("DELETE FROM messages WHERE body LIKE '%7'").await.unwrap();
    assert!(failed(stage.act("same").await).message.contains("3 of 3 checks failed"));
}
