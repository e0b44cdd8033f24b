//! Restoring into a real server: beside the live database and over it.

use super::backup::sample;
use crate::support::cluster::{connect, database, programs, unique};
use crate::support::stage::{Stage, failed, plan};
use runplan::postgres::Settings;

/// A plan that saves a database in a format and restores it.
fn stage(settings: &Settings, saved: &str, restored: &str) -> Stage {
    plan(&format!(
        "databases: {{ app: {{ url: unused }} }}
steps:
  - id: saved
    backup: {{ database: app, to: ./backups{saved} }}
  - id: restored
    restore: {{ from: '{{{{ steps.saved.path }}}}', database: app{restored} }}
    unguarded: test
"
    ))
    .database("app", settings)
    .set()
}

#[tokio::test]
async fn every_format_is_restored_beside() {
    for saved in ["", ", format: custom", ", format: plain", ", format: plain, compress: lz4"] {
        let settings = sample("restore_side").await;
        let stage = stage(&settings, saved, "");
        stage.done("saved").await;
        let outputs = stage.done("restored").await;
        let side = outputs["database"].as_str().unwrap();
        assert_eq!(outputs["of"], "app");
        let inside = connect(&settings.with_database(side)).await;
        assert_eq!(inside.one("SELECT count(*) FROM messages").await.unwrap(), "100", "{saved}");
        crate::support::stage::done(stage.undo("restored").await);
    }
}

#[tokio::test]
async fn in_place_puts_everything_back_in_one_transaction() {
    for saved in ["", ", format: plain"] {
        let settings = sample("restore_place").await;
        let stage = stage(&settings, saved, ", into: in_place");
        stage.done("saved").await;
        let app = connect(&settings).await;
        app.execute("DELETE FROM messages; CREATE TABLE later (); DROP TABLE escrows").await.unwrap();
        stage.done("restored").await;
        let app = connect(&settings).await;
        assert_eq!(app.one("SELECT count(*) FROM messages").await.unwrap(), "100", "{saved}");
        assert_eq!(app.one("SELECT count(*) FROM escrows").await.unwrap(), "100", "{saved}");
        assert_eq!(app.value("SELECT to_regclass('later')").await.unwrap(), None);
    }
}

/// Tables of every kind, with rows, a name that needs quotes among them.
const KINDS: &str = "CREATE SCHEMA \"Odd \"\"one\";
CREATE TABLE \"Odd \"\"one\".\"a.b\" AS SELECT n FROM generate_series(1, 50) n;
CREATE TABLE parted (n int) PARTITION BY RANGE (n);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (100);
INSERT INTO parted SELECT n FROM generate_series(1, 50) n;
CREATE MATERIALIZED VIEW seen AS SELECT n FROM parted";

/// Those that have no statistics of their own.
const BARE: &str = "SELECT coalesce(string_agg(c.oid::regclass::text, ', '), 'none') FROM pg_class c
    WHERE c.relkind IN ('r', 'm', 'p') AND c.relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
    AND NOT EXISTS (SELECT 1 FROM pg_statistic s WHERE s.starelid = c.oid)";

#[tokio::test]
async fn every_table_has_statistics_afterwards() {
    for (saved, restored) in
        [("", ", jobs: 3"), (", format: plain", ""), (", format: custom", ", into: in_place")]
    {
        let settings = sample("restore_stats").await;
        connect(&settings).await.execute(KINDS).await.unwrap();
        let stage = stage(&settings, saved, restored);
        stage.done("saved").await;
        let outputs = stage.done("restored").await;
        let beside = outputs["database"].as_str().filter(|_| !restored.contains("in_place"));
        let name = beside.unwrap_or_else(|| settings.database());
        let inside = connect(&settings.with_database(name)).await;
        assert_eq!(inside.one(BARE).await.unwrap(), "none", "{saved}{restored}");
    }
}

#[tokio::test]
async fn some_tables_come_with_the_whole_schema_and_never_go_live() {
    let settings = sample("restore_some").await;
    let stage = plan(
        "databases: { app: { url: unused } }
steps:
  - id: saved
    backup: { database: app, to: ./backups }
  - id: restored
    restore: { from: '{{ steps.saved.path }}', database: app, tables: [escrows] }
  - id: switched
    swap: { database: app, with: '{{ steps.restored.database }}' }
",
    )
    .database("app", &settings)
    .set();
    stage.done("saved").await;
    let outputs = stage.done("restored").await;
    let inside = connect(&settings.with_database(outputs["database"].as_str().unwrap())).await;
    assert_eq!(inside.one("SELECT count(*) FROM escrows").await.unwrap(), "100");
    assert_eq!(inside.one("SELECT count(*) FROM users").await.unwrap(), "0");
    drop(inside);
    let failure = failed(stage.act("switched").await);
    assert!(failure.message.contains("holds a part of the database only"), "{}", failure.message);
}

#[tokio::test]
async fn the_copy_of_a_partial_backup_never_goes_live() {
    let settings = sample("restore_part").await;
    let stage = plan(
        "databases: { app: { url: unused } }
steps:
  - id: saved
    backup: { database: app, to: ./backups, tables: [users] }
  - id: restored
    restore: { from: '{{ steps.saved.path }}', database: app }
  - id: switched
    swap: { database: app, with: '{{ steps.restored.database }}' }
",
    )
    .database("app", &settings)
    .set();
    stage.done("saved").await;
    stage.done("restored").await;
    let warned = "holds a part of restore_part";
    assert!(stage.warnings().iter().any(|said| said.contains(warned)), "{:?}", stage.warnings());
    let failure = failed(stage.act("switched").await);
    assert!(failure.message.contains("holds a part of the database only"), "{}", failure.message);
    stage.end().await;
}

/// A freeze, and what is put in the place of what it froze.
fn frozen_stage(settings: &Settings) -> Stage {
    plan(
        "databases: { app: { url: unused } }
steps:
  - id: saved
    backup: { database: app, to: ./backups }
  - id: frozen
    freeze: { database: app, quiet: 300ms }
  - id: restored
    restore: { from: '{{ steps.saved.path }}', database: app, into: in_place }
    unguarded: test
",
    )
    .database("app", settings)
    .set()
}

#[tokio::test]
async fn what_was_written_since_the_freeze_is_not_replaced_unseen() {
    let settings = sample("place_written").await;
    let stage = frozen_stage(&settings);
    for id in ["saved", "frozen"] {
        stage.done(id).await;
    }
    // Still connected: it may not have reported what it wrote.
    let writer = connect(&settings).await;
    writer.execute("BEGIN READ WRITE; INSERT INTO messages (body) VALUES ('paid'); COMMIT").await.unwrap();
    let failure = failed(stage.act("restored").await);
    assert_eq!(failure.code, "runplan::restore::written");
    assert!(failure.message.contains("was written to since the freeze"), "{}", failure.message);
    assert!(failure.help.unwrap().contains("runplan resume"));
    let app = connect(&settings).await;
    assert_eq!(app.one("SELECT count(*) FROM messages WHERE body = 'paid'").await.unwrap(), "1");
    drop(app);
    // Whoever only reads is not in the way.
    stage.done("frozen").await;
    connect(&settings).await.one("SELECT count(*) FROM messages").await.unwrap();
    crate::support::stage::done(runplan::steps::act(&stage.attempt("restored", 2)).await);
    let app = connect(&settings).await;
    assert_eq!(app.one("SELECT count(*) FROM messages WHERE body = 'paid'").await.unwrap(), "0");
}

/// The feeder's process, by the file that it was given.
fn feeder(stage: &Stage) -> Option<rustix::process::Pid> {
    let file = stage.world.state.join("files/restored.1.feed.json");
    std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let is = line.starts_with(crate::support::cluster::RUNPLAN.as_bytes())
            && String::from_utf8_lossy(&line).contains(&file.display().to_string());
        rustix::process::Pid::from_raw(entry.file_name().to_str()?.parse().ok().filter(|_| is)?)
    })
}

#[tokio::test]
async fn a_feeder_that_is_killed_commits_nothing() {
    let settings = sample("restore_killed").await;
    let app = connect(&settings).await;
    app.execute("INSERT INTO messages (body) SELECT repeat('x', 200) FROM generate_series(1, 200000)")
        .await
        .unwrap();
    let stage = stage(&settings, ", format: plain, compress: none", ", into: in_place");
    stage.done("saved").await;
    app.execute("DELETE FROM messages WHERE body LIKE 'x%'").await.unwrap();
    let before = app.one("SELECT count(*) FROM messages").await.unwrap();
    let kill = async {
        loop {
            if let Some(pid) = feeder(&stage) {
                runplan::clock::sleep(std::time::Duration::from_millis(60)).await;
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
                return;
            }
            runplan::clock::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let (outcome, ()) = tokio::join!(stage.act("restored"), kill);
    let failure = failed(outcome);
    assert!(failure.message.contains("signal 9"), "{}", failure.message);
    assert_eq!(app.one("SELECT count(*) FROM messages").await.unwrap(), before);
}

/// Runs one of the client programs of the version under test on a database.
pub fn client(settings: &Settings, name: &str, arguments: &[&str]) -> Vec<u8> {
    let program = programs().find(name, programs().server_programs(None).unwrap().major).unwrap();
    let mut command = runplan::process::plain::command(program.path);
    for (name, value) in settings.client_environment() {
        command.env(name, value.expose());
    }
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A plan that restores a file.
fn foreign(settings: &Settings, more: &str) -> Stage {
    plan(&format!(
        "databases: {{ app: {{ url: unused }}, other: {{ url: unused }} }}
params: {{ backup: {{ type: path, required: true }} }}
steps:
  - id: restored
    restore: {{ from: '{{{{ params.backup }}}}', database: app{more} }}
    unguarded: test
"
    ))
    .database("app", settings)
    .param("backup", "backup")
    .set()
}

#[tokio::test]
async fn backups_that_others_made_are_known_by_their_content() {
    let settings = sample("foreign_formats").await;
    let app = connect(&settings).await;
    app.execute("SELECT lo_from_bytea(4711, 'a large object'); COMMENT ON TABLE users IS E'\\\\! rm -rf /'")
        .await
        .unwrap();
    let sql = client(&settings, "pg_dump", &[]);
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &sql).unwrap();
        encoder.finish().unwrap()
    };
    let lz4 = {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        std::io::Write::write_all(&mut encoder, &sql).unwrap();
        encoder.finish().unwrap()
    };
    let inserts = client(&settings, "pg_dump", &["--inserts", "--rows-per-insert=7"]);
    for (what, bytes) in [
        ("plain SQL", sql.clone()),
        ("gzip", gzip),
        ("zstd", zstd::encode_all(sql.as_slice(), 3).unwrap()),
        ("lz4", lz4),
        ("inserts", inserts),
        ("custom", client(&settings, "pg_dump", &["-Fc"])),
        ("tar", client(&settings, "pg_dump", &["-Ft"])),
    ] {
        let stage = foreign(&settings, "");
        std::fs::write(stage.path("backup"), bytes).unwrap();
        let outputs = stage.done("restored").await;
        assert_eq!(outputs["tables"], 3, "{what}");
        let inside = connect(&settings.with_database(outputs["database"].as_str().unwrap())).await;
        let counts =
            inside.one("SELECT (SELECT count(*) FROM users) || ' ' || (SELECT count(*) FROM messages)");
        assert_eq!(counts.await.unwrap(), "100 100", "{what}");
        let text = inside.one("SELECT convert_from(lo_get(4711), 'UTF8')").await.unwrap();
        assert_eq!(text, "a large object", "{what}");
        drop(inside);
        crate::support::stage::done(stage.undo("restored").await);
    }
    let stage = foreign(&settings, "");
    let everything = stage.path("backup").display().to_string();
    client(&settings, "pg_dump", &["-Fd", "-j2", "-f", &everything]);
    assert_eq!(stage.done("restored").await["tables"], 3);
    crate::support::stage::done(stage.undo("restored").await);
}

/// A database whose tables belong to a role that is gone by the time of the restore.
async fn of_a_lost_role(stem: &str, arguments: &[&str]) -> (Settings, String, String, Vec<u8>) {
    let settings = sample(stem).await;
    let (lost, heir) = (unique("lost_owner"), unique("heir"));
    let app = connect(&settings).await;
    app.execute(&format!(
        "CREATE ROLE {lost}; CREATE ROLE {heir}; ALTER TABLE users OWNER TO {lost}; GRANT SELECT ON escrows TO {lost};
         ALTER TABLE messages ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON messages TO {lost} USING (true)"
    ))
    .await
    .unwrap();
    let dump = client(&settings, "pg_dump", arguments);
    app.execute(&format!("DROP OWNED BY {lost} CASCADE; DROP ROLE {lost}")).await.unwrap();
    (settings, lost, heir, dump)
}

#[tokio::test]
async fn roles_that_are_missing_are_told_before_anything_is_made_and_can_have_others_in_their_place() {
    for arguments in [["-Fc"], ["-Fp"]] {
        let (settings, lost, heir, dump) = of_a_lost_role("lost_role", &arguments).await;
        let stage = foreign(&settings, "");
        std::fs::write(stage.path("backup"), &dump).unwrap();
        let failure = failed(stage.act("restored").await);
        assert_eq!(failure.code, "runplan::restore::needs");
        assert!(failure.message.contains(&lost) && failure.permanent, "{}", failure.message);
        assert_eq!(stage.facts("restored", 1), [], "nothing was begun");

        let stage = foreign(&settings, &format!(", owners: {{ map: {{ {lost}: {heir} }} }}"));
        std::fs::write(stage.path("backup"), &dump).unwrap();
        let outputs = stage.done("restored").await;
        let inside = connect(&settings.with_database(outputs["database"].as_str().unwrap())).await;
        let owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'users'";
        assert_eq!(inside.one(owner).await.unwrap(), heir);
        let may = format!("SELECT has_table_privilege('{heir}', 'escrows', 'SELECT')");
        assert_eq!(inside.one(&may).await.unwrap(), "t");
        let policy = "SELECT roles::text FROM pg_policies WHERE policyname = 'p'";
        assert_eq!(inside.one(policy).await.unwrap(), format!("{{{heir}}}"));
        assert_eq!(inside.one("SELECT count(*) FROM users").await.unwrap(), "100");
    }
}

#[tokio::test]
async fn without_owners_everything_belongs_to_whoever_restores() {
    let settings = sample("no_owners").await;
    let lost = unique("lost_owner");
    let app = connect(&settings).await;
    app.execute(&format!(
        "CREATE ROLE {lost}; ALTER TABLE users OWNER TO {lost}; GRANT SELECT ON escrows TO {lost}"
    ))
    .await
    .unwrap();
    let dumps = [client(&settings, "pg_dump", &["-Fc"]), client(&settings, "pg_dump", &[])];
    app.execute(&format!("DROP OWNED BY {lost} CASCADE; DROP ROLE {lost}")).await.unwrap();
    for dump in dumps {
        let stage = foreign(&settings, ", owners: skip");
        std::fs::write(stage.path("backup"), &dump).unwrap();
        let outputs = stage.done("restored").await;
        let inside = connect(&settings.with_database(outputs["database"].as_str().unwrap())).await;
        let owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'users'";
        assert_eq!(inside.one(owner).await.unwrap(), "postgres");
        assert_eq!(inside.one("SELECT count(*) FROM users").await.unwrap(), "100");
    }
}

#[tokio::test]
async fn an_extension_that_the_server_lacks_is_told_before() {
    let settings = sample("no_extension").await;
    let stage = foreign(&settings, "");
    let text = "CREATE EXTENSION IF NOT EXISTS nowhere_to_be_found WITH SCHEMA public;\n";
    std::fs::write(stage.path("backup"), text).unwrap();
    let failure = failed(stage.act("restored").await);
    assert_eq!(failure.code, "runplan::restore::needs");
    assert!(failure.message.contains("nowhere_to_be_found"), "{}", failure.message);
}

#[tokio::test]
async fn another_database_is_filled_when_it_is_empty_and_emptied_again() {
    for arguments in [["-Fc"], ["-Fp"]] {
        let settings = sample("elsewhere_from").await;
        let dump = client(&settings, "pg_dump", &arguments);
        let other = database("elsewhere_to").await;
        let stage = plan(
            "databases: { app: { url: unused }, other: { url: unused } }
steps:
  - id: restored
    restore: { from: backup, database: app, into: other }
",
        )
        .database("app", &settings)
        .database("other", &other)
        .set();
        std::fs::write(stage.path("backup"), &dump).unwrap();
        let inside = connect(&other).await;
        inside.execute("CREATE TABLE mine ()").await.unwrap();
        let failure = failed(stage.act("restored").await);
        assert_eq!(failure.code, "runplan::restore::not_empty");
        inside.execute("DROP TABLE mine").await.unwrap();
        assert_eq!(stage.done("restored").await["database"], "other");
        assert_eq!(inside.one("SELECT count(*) FROM messages").await.unwrap(), "100");
        crate::support::stage::done(stage.undo("restored").await);
        assert_eq!(inside.value("SELECT to_regclass('messages')").await.unwrap(), None);
        let may = "SELECT has_schema_privilege('public', 'USAGE')";
        assert_eq!(inside.one(may).await.unwrap(), "t");
        drop(inside);
        stage.end().await;
    }
}

#[tokio::test]
async fn the_first_error_ends_it_in_words_with_its_statement() {
    let settings = sample("first_error").await;
    let stage = foreign(&settings, "");
    let text = "CREATE TABLE a (n int);\nINSERT INTO a VALUES (1);\nCREATE TABLE b (n nonsense);\nCREATE TABLE c ();\n";
    std::fs::write(stage.path("backup"), text).unwrap();
    let failure = failed(stage.act("restored").await);
    assert!(failure.message.contains("type \"nonsense\" does not exist"), "{}", failure.message);
    assert!(failure.message.contains("CREATE TABLE b (n nonsense)"), "{}", failure.message);
    assert_eq!(super::damage::sides(&settings).await, "0");
}

/// Where a program connects is in its environment, as its password is; only that one is a secret.
#[tokio::test]
async fn what_a_program_says_is_whole_but_for_secrets() {
    let settings = sample("whole_words").await;
    let stage = foreign(&settings, "");
    let host = settings.client_environment().into_iter().find(|(name, _)| name == "PGHOST").unwrap();
    let name = format!("{} {} {}", settings.user(), settings.database(), host.1.expose());
    std::fs::write(stage.path("backup"), format!("CREATE TABLE a (n \"{name}\");\n")).unwrap();
    let failure = failed(stage.act("restored").await);
    assert!(failure.message.contains(&format!("type \"{name}\" does not exist")), "{}", failure.message);
}

/// A backup that says of itself that it needs more than any disk has.
#[tokio::test]
async fn a_disk_that_is_too_small_is_refused_before_anything_is_made() {
    let settings = sample("restore_room").await;
    let stage = super::swap::stage(&settings);
    let path = stage.done("saved").await["path"].as_str().unwrap().to_owned();
    let manifest = format!("{path}.manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let mut changed: serde_json::Value = serde_json::from_str(&text).unwrap();
    changed["database_bytes"] = 900_000_000_000_000_000_u64.into();
    std::fs::write(&manifest, changed.to_string()).unwrap();
    let failure = failed(stage.act("restored").await);
    assert_eq!(failure.code, "runplan::restore::disk");
    assert!(
        failure.message.contains("the restore needs about 900000.0 TB (as large as the database was"),
        "{}",
        failure.message
    );
    assert_eq!(stage.facts("restored", 1), [], "nothing was begun");
    // Somebody has looked at the disk himself.
    stage.world.set_run_values(serde_json::json!({ "accepted": ["runplan::preflight::disk_full"] }));
    stage.done("restored").await;
    assert!(stage.warnings().iter().any(|warning| warning.contains("900000.0 TB")), "{:?}", stage.warnings());
}
