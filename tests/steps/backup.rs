//! Backups of a real database: made, read back, recognised, removed.

use crate::support::cluster::{connect, database};
use crate::support::stage::{Stage, done, failed, plan};
use runplan::postgres::Settings;

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
