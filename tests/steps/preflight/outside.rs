//! What is asked of this machine and the network: programs, secrets, backups, disks, channels.

use super::{APP, ask, codes, has_fact, of, one, shown};
use crate::support::cluster::{connect, database};
use crate::support::stage::plan;
use runplan::steps::{PreflightOptions, preflight};
use std::os::unix::fs::PermissionsExt;

#[tokio::test]
async fn programs_that_are_not_there() {
    let text = r#"
requires: [sh, no_such_program]
steps:
  - { id: fine, shell: { argv: [./tool], changes: none } }
  - { id: not_executable, shell: { argv: [./data], changes: none } }
  - { id: elsewhere, shell: { argv: [./tool], cwd: sub, changes: none } }
  - { id: script, shell: { run: "true", changes: none } }
  - { id: late, shell: { argv: ["{{ steps.fine.stdout }}"], changes: none } }
  - id: undone
    shell: { argv: ["true"], changes: none }
    undo: { shell: { argv: [no_such_undo] } }
handlers:
  failed: [ { shell: { argv: [no_such_handler] } } ]
"#;
    let stage = plan(text).file("tool", "#!/bin/sh\n").file("data", "x").set();
    std::fs::set_permissions(stage.path("tool"), PermissionsExt::from_mode(0o755)).unwrap();
    let all = ask(&stage).await;
    let steps: Vec<(&str, &str)> = of(&all, "program_missing")
        .iter()
        .map(|one| (one.step.as_ref().map_or("", |step| step.as_str()), one.message.as_str()))
        .collect();
    let wanted = [
        ("", "the plan requires `no_such_program`, which is not on PATH"),
        ("not_executable", "may not be executed"),
        ("elsewhere", "is not there"),
        ("undone", "the step starts `no_such_undo`, which is not on PATH"),
        ("handlers", "the step starts `no_such_handler`, which is not on PATH"),
    ];
    assert_eq!(steps.len(), wanted.len(), "{}", shown(&all));
    for ((step, message), (wanted_step, part)) in steps.iter().zip(wanted) {
        assert!(*step == wanted_step && message.contains(part), "{step}: {message}");
    }
}

/// The program that closes the application is the one that is looked for at three in the morning.
#[tokio::test]
async fn programs_that_a_script_starts() {
    let text = r#"
params:
  closed_by: { type: choice, choices: [script, railway], default: script }
  maintenance: { type: path, default: ./maintenance }
steps:
  - { id: open, shell: { run: "[ {{ params.closed_by }} = railway ] || {{ params.maintenance }} on", changes: none }, undo: { shell: { run: "./back" } } }
  - { id: later, shell: { run: "sleep 0; ./tool; no_such_program", cwd: sub, changes: none } }
  - { id: guarded, shell: { run: "if command -v no_such_program; then no_such_program; fi", changes: none } }
  - { id: own_path, shell: { run: "no_such_program", env: { PATH: /elsewhere }, changes: none } }
  - { id: not_known, shell: { run: "{{ steps.open.stdout }} on", changes: none } }
  - { id: python, shell: { run: "no_such_program", shell: [python3], changes: none } }
  - { id: made_before, shell: { run: "./data", changes: none } }
"#;
    let stage = |closed_by: &str| {
        plan(text).param("closed_by", closed_by).param("maintenance", "./maintenance").file("data", "x").set()
    };
    let found = async |closed_by: &str| {
        let all = ask(&stage(closed_by)).await;
        let told = |one: &&runplan::steps::Concern| {
            let message = one.message.split(" (").next().unwrap();
            format!("{:?} {}: {message}", one.severity, one.step.as_ref().unwrap())
        };
        let told: Vec<String> = of(&all, "program_missing").iter().map(told).collect();
        (told, all.may_start())
    };
    let late = [
        "Warning later: the script starts `./tool`, which is not there",
        "Warning later: the script starts `no_such_program`, which is not on PATH; something before it would have to make it",
        "Warning made_before: the script starts `./data`, which may not be executed",
    ];
    let (script, may_start) = found("script").await;
    assert!(!may_start);
    let missing = "Error open: the script starts `./maintenance`, which is not there";
    assert_eq!(script[0], missing);
    assert_eq!(script[1], "Error open: the script starts `./back`, which is not there");
    assert_eq!(script[2..], late);
    // What the value makes unnecessary is not asked for.
    let (railway, _) = found("railway").await;
    assert!(!railway.contains(&missing.to_owned()), "{railway:?}");
    assert_eq!(railway[1..], late);
}

#[tokio::test]
async fn secrets_are_read_and_never_shown() {
    let text = r#"
secrets:
  FROM_FILE: { file: secret.txt }
  ABSENT: { file: absent.txt }
  UNUSED: { file: absent_too.txt }
  EMPTY: { command: [printf, ""] }
steps:
  - { id: one, shell: { argv: ["true"], env: { A: "{{ secrets.FROM_FILE }}", B: "{{ secrets.ABSENT }}" }, changes: none } }
  - { id: two, shell: { argv: ["true"], stdin: "{{ secrets.EMPTY }}", changes: none } }
"#;
    let stage = plan(text).file("secret.txt", "hunter2-is-long").set();
    let all = ask(&stage).await;
    assert_eq!(codes(&all), ["runplan::secret::missing", "secret_empty"], "{}", shown(&all));
    assert!(all.findings[0].message.contains("the secret ABSENT cannot be read"));
    has_fact(&all, "secrets", "1 readable");
    assert!(!shown(&all).contains("hunter2") && !serde_json::to_string(&all).unwrap().contains("hunter2"));
}

#[tokio::test]
async fn a_backup_is_looked_at_from_outside() {
    let text = r#"
params:
  backup: { type: path, required: true }
steps:
  - id: looked
    verify:
      checks:
        - { name: young, backup: { path: "{{ params.backup }}", max_age: 1h } }
  - id: made
    shell: { argv: ["true"], changes: none }
  - { id: later, verify: { checks: [ { name: made, backup: { path: "{{ steps.made.stdout }}" } } ] } }
"#;
    let with = |name: &str| {
        plan(text)
            .param("backup", name)
            .file("cut.sql", "--\n-- PostgreSQL database dump\n--\n")
            .file("old.sql", "SELECT 1;")
            .set()
    };
    let missing = ask(&with("nowhere.sql")).await;
    assert_eq!(codes(&missing), ["runplan::archive::unreadable"], "{}", shown(&missing));
    has_fact(&missing, "later", "not checkable before made");
    assert_eq!(codes(&ask(&with("cut.sql")).await), ["runplan::archive::cut_short"]);
    let fine = with("old.sql");
    let all = ask(&fine).await;
    assert!(all.may_start(), "{}", shown(&all));
    has_fact(&all, &fine.path("old.sql").display().to_string(), "plain SQL, 9 bytes, written at");
    let hours_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    std::fs::File::options()
        .append(true)
        .open(fine.path("old.sql"))
        .unwrap()
        .set_modified(hours_ago)
        .unwrap();
    assert_eq!(codes(&ask(&fine).await), ["backup_old"]);
}

/// What only reading to the end shows: the outside of each of these is that of a good one.
#[tokio::test]
async fn a_backup_is_read_to_its_end() {
    let settings = crate::steps::backup::sample("preflight_damage").await;
    let made = plan(
        "steps:\n- { id: directory, backup: { database: app, to: b, format: directory } }\n\
        - { id: custom, backup: { database: app, to: b, format: custom } }\n\
        - { id: plain, backup: { database: app, to: b, format: plain, compress: gzip } }\n",
    )
    .database("app", &settings)
    .set();
    let mut paths = std::collections::BTreeMap::new();
    for step in ["directory", "custom", "plain"] {
        paths.insert(step, std::path::PathBuf::from(made.done(step).await["path"].as_str().unwrap()));
    }
    let about = async |path: &std::path::Path| {
        let steps =
            format!("{APP}steps:\n  - {{ id: side, restore: {{ from: {path:?}, database: app }} }}\n");
        ask(&plan(&steps).database("app", &settings).set()).await
    };
    // A bit that changed keeps the size: only the checksum tells.
    let mut bytes = std::fs::read(&paths["custom"]).unwrap();
    let (half, good) = (bytes.len() / 2, bytes.clone());
    bytes[half] ^= 1;
    std::fs::write(&paths["custom"], &bytes).unwrap();
    assert_eq!(codes(&about(&paths["custom"]).await), ["runplan::archive::damaged"]);
    std::fs::write(&paths["custom"], &good).unwrap();
    let all = about(&paths["custom"]).await;
    assert!(all.may_start(), "{}", shown(&all));
    has_fact(&all, &paths["custom"].display().to_string(), "its checksums are right");
    for path in paths.values() {
        std::fs::remove_file(format!("{}.manifest.json", path.display())).unwrap();
        let all = about(path).await;
        assert!(all.may_start(), "{}", shown(&all));
        has_fact(&all, &path.display().to_string(), "no manifest, read to its end");
    }
    for step in ["custom", "plain"] {
        let whole = std::fs::read(&paths[step]).unwrap();
        std::fs::write(&paths[step], &whole[..whole.len() - whole.len() / 4]).unwrap();
        assert_eq!(codes(&about(&paths[step]).await), ["runplan::archive::damaged"], "{step}");
    }
    let file = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().path();
    let mut rows: Vec<_> = std::fs::read_dir(&paths["directory"]).unwrap().map(file).collect();
    rows.retain(|path| path.file_name().is_some_and(|name| name != "toc.dat"));
    let largest = rows.iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let whole = std::fs::read(largest).unwrap();
    std::fs::write(largest, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(codes(&about(&paths["directory"]).await), ["runplan::archive::damaged"]);
    std::fs::remove_file(largest).unwrap();
    assert_eq!(codes(&about(&paths["directory"]).await), ["runplan::archive::damaged"]);
    // gzip of nothing.
    let empty = [31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    std::fs::write(&paths["plain"], empty).unwrap();
    assert_eq!(codes(&about(&paths["plain"]).await), ["runplan::archive::empty"]);
    // Far behind the place to which anybody would look.
    let rows = "INSERT INTO t VALUES (1);\n".repeat(40_000);
    std::fs::write(&paths["plain"], format!("CREATE TABLE t (a int);\n{rows}\\! echo here\n")).unwrap();
    let all = about(&paths["plain"]).await;
    assert!(!all.may_start() && all.findings[0].is_final(), "{}", shown(&all));
    assert!(all.findings[0].message.contains("\\!"), "{}", shown(&all));
    made.end().await;
}

#[tokio::test]
async fn a_restore_needs_room_for_what_the_backup_was_made_of() {
    let settings = crate::steps::backup::sample("preflight_large").await;
    let made =
        plan("steps:\n- { id: a, backup: { database: app, to: b } }\n").database("app", &settings).set();
    let path = made.done("a").await["path"].as_str().unwrap().to_owned();
    let manifest = format!("{path}.manifest.json");
    let mut said: serde_json::Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    said["database_bytes"] = (1_u64 << 60).into();
    std::fs::write(&manifest, said.to_string()).unwrap();
    let steps = format!("{APP}steps:\n  - {{ id: side, restore: {{ from: {path:?}, database: app }} }}\n");
    let all = ask(&plan(&steps).database("app", &settings).set()).await;
    let full = one(&all, "disk_full");
    assert!(full.message.contains("free, and side needs about"), "{full:?}");
    assert!(full.message.ends_with("(as large as the database was when it was backed up)"), "{full:?}");
    made.end().await;
}

#[tokio::test]
async fn where_a_backup_goes_there_must_be_room() {
    let settings = database("preflight_room").await;
    connect(&settings)
        .await
        .execute("CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
        .await
        .unwrap();
    let to = |to: &str| {
        let steps = format!(
            "{APP}steps:\n  - {{ id: kept, backup: {{ database: app, to: {to:?}, format: plain, compress: none }} }}\n"
        );
        plan(&steps).database("app", &settings).file("file", "x").set()
    };
    let all = ask(&to("new/directory")).await;
    assert!(all.may_start(), "{}", shown(&all));
    has_fact(&all, "kept", "free in");
    has_fact(&all, "app", "in all");
    assert_eq!(codes(&ask(&to("file/below")).await), ["backup_directory"]);
    // A file system without any room; only root gets as far as that.
    let wanted = if rustix::process::getuid().is_root() { "disk_full" } else { "backup_directory" };
    let full = ask(&to("/proc")).await;
    assert_eq!(codes(&full), [wanted], "{}", shown(&full));
}

#[tokio::test]
async fn a_disk_that_cannot_be_seen_is_said_and_may_be_accepted() {
    let settings = database("preflight_unseen").await;
    let admin = connect(&settings).await;
    let (name, login) = super::role(&admin, &settings).await;
    admin
        .execute(&format!(
            "ALTER DATABASE {} OWNER TO {name}; ALTER ROLE {name} CREATEDB",
            settings.database()
        ))
        .await
        .unwrap();
    let steps = format!("{APP}steps:\n  - {{ id: side, restore: {{ from: backup.sql, database: app }} }}\n");
    let stage = plan(&steps).database("app", &login).file("backup.sql", "SELECT 1;").set();
    let all = ask(&stage).await;
    let unknown = one(&all, "disk_unknown");
    assert!(unknown.message.contains("may not see data_directory") && all.may_start(), "{}", shown(&all));
    let accept = PreflightOptions { accept: vec!["disk_unknown".to_owned()], ..PreflightOptions::default() };
    let all = preflight(&stage.world, &accept).await;
    assert!(one(&all, "disk_unknown").accepted && all.unused.is_empty());
}

#[tokio::test]
async fn a_channel_that_nobody_hears() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let site = format!(
        "channels:\n  team: {{ type: webhook, url: \"http://127.0.0.1:{port}/secret-path\" }}\n  oncall: {{ type: slack, url: \"http://127.0.0.1:1/secret-path\" }}\n  unused: {{ type: slack, url: \"http://127.0.0.1:2/\" }}\n"
    );
    let text = "steps:\n  - { id: told, notify: { channels: [console, team, oncall], message: hello } }\n";
    let all = ask(&plan(text).site(&site).set()).await;
    assert_eq!(codes(&all), ["channel_unreachable"], "{}", shown(&all));
    assert!(all.may_start() && all.findings[0].message.contains("oncall cannot be reached: 127.0.0.1:1"));
    has_fact(&all, "team", &format!("127.0.0.1:{port} answers"));
    assert!(!shown(&all).contains("secret-path"));
    listener.set_nonblocking(true).unwrap();
    let (mut socket, _) = listener.accept().expect("somebody knocked");
    let mut said = Vec::new();
    std::io::Read::read_to_end(&mut socket, &mut said).unwrap();
    assert_eq!(said, b"", "nothing is sent");
}

#[tokio::test]
async fn a_backup_must_hold_what_the_plan_needs_of_it() {
    let settings = crate::steps::backup::sample("preflight_content").await;
    let made = plan(
        "steps:\n- { id: a, backup: { database: app, to: b, format: directory } }\n\
        - { id: c, backup: { database: app, to: b, format: custom, tables: [users] } }\n",
    )
    .database("app", &settings)
    .set();
    let mut paths = Vec::new();
    for step in ["a", "c"] {
        let path = made.done(step).await["path"].as_str().unwrap().to_owned();
        // Without its manifest the archive itself is asked.
        std::fs::remove_file(format!("{path}.manifest.json")).unwrap();
        paths.push(path);
    }
    let text = format!(
        "{APP}steps:\n- {{ id: whole, restore: {{ from: \"{0}\", database: app, tables: [users, public.escrows] }} }}
- {{ id: part, restore: {{ from: \"{1}\", database: app, tables: [users, escrows] }} }}
- {{ id: schema, verify: {{ database: app, checks: [ {{ name: s, schema: {{ matches: \"{1}\", tables: [messages] }} }} ] }} }}\n",
        paths[0], paths[1]
    );
    let stage = plan(&text).database("app", &settings).set();
    let all = ask(&stage).await;
    let found: Vec<(&str, &str)> = of(&all, "backup_incomplete")
        .iter()
        .map(|one| (one.step.as_ref().unwrap().as_str(), one.message.rsplit(" does ").next().unwrap()))
        .collect();
    assert_eq!(found, [("part", "not hold escrows"), ("schema", "not hold messages")], "{}", shown(&all));
    assert!(of(&all, "backup_incomplete")[0].help.as_deref().unwrap().contains("it holds public.users"));
    has_fact(&all, "pg_dump", "pg_dump");
    made.end().await;
}
