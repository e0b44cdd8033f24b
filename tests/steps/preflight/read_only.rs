//! Preflight changes nothing, although its role could.

use super::{APP, ask, has_fact, shown};
use crate::support::cluster::{connect, options};
use crate::support::stage::plan;
use runplan::postgres::{Cluster, ClusterOptions, Connection};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const PLAN: &str = r#"
checks:
  integrity:
    - { name: bumped, sql: SELECT bump(), expect: empty }
    - { name: folded, sql: SELECT sly(), expect: empty }
steps:
  - id: backed_up
    backup: { database: app, to: backups, record: [integrity] }
  - id: side
    restore: { from: "{{ steps.backed_up.path }}", database: app }
  - id: older
    restore: { from: older.sql, database: app }
  - id: checked
    verify: { database: app, use: [integrity] }
  - id: frozen
    freeze: { database: app }
  - id: changed
    sql:
      database: app
      statement: |
        SET search_path = public;
        INSERT INTO users SELECT g, 'new' FROM generate_series(1, 5) g;
        UPDATE users SET name = 'x' WHERE id < 50;
        DELETE FROM users WHERE id IN (SELECT id FROM users FOR UPDATE);
        SELECT nextval('users_id'), bump();
        TRUNCATE users;
        DROP TABLE users
    undo: { sql: { database: app, statement: "UPDATE users SET name = 'y'" } }
  - id: switched
    swap: { database: app, with: "{{ steps.side.database }}" }
  - id: over
    restore: { from: "{{ steps.backed_up.path }}", database: app, into: in_place }
"#;

/// What a write would move: the next transaction id, rows, counters, sequences, locks that outlive a session.
const MOVED: &[&str] = &[
    "SELECT pg_snapshot_xmax(pg_current_snapshot())",
    "SELECT string_agg(u::text, ' ' ORDER BY u.id) FROM users u",
    "SELECT last_value || ' ' || is_called FROM users_id",
    "SELECT count(*) FROM noted",
    "SELECT string_agg(concat_ws(' ', relname, n_tup_ins, n_tup_upd, n_tup_del), ', ' ORDER BY relid) FROM pg_stat_all_tables",
    "SELECT sum(tup_inserted + tup_updated + tup_deleted) FROM pg_stat_database",
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
    "SELECT count(*) FROM pg_prepared_xacts",
    "SELECT count(*) FROM pg_replication_slots",
    "SELECT string_agg(name || '=' || coalesce(setting, ''), ' ' ORDER BY name) FROM pg_settings WHERE source <> 'session'",
];

/// Everything of a cluster that a write would move, each under its name: what is asked above, every row of the catalog, the
/// files of the databases and their sizes, the files of settings.
async fn state(connection: &Connection) -> BTreeMap<String, String> {
    let mut state = BTreeMap::new();
    for sql in MOVED {
        state.insert((*sql).to_owned(), connection.value(sql).await.unwrap().unwrap_or_default());
    }
    let catalog =
        "SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'";
    for row in connection.last(catalog).await.unwrap().rows {
        let table = row[0].clone().unwrap();
        let rows = format!("SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM pg_catalog.{table} t");
        state.insert(table, connection.value(&rows).await.unwrap().unwrap_or_default());
    }
    let data = connection.one("SHOW data_directory").await.unwrap();
    files(Path::new(&data), &mut state);
    state
}

/// Hint bits change a page that is read, so of the databases' files only names and sizes count.
fn files(directory: &Path, state: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        let passing = [
            "pg_wal",
            "pg_stat",
            "pg_stat_tmp",
            "postmaster.pid",
            "postmaster.opts",
            "pg_internal.init",
            "pg_subtrans",
        ];
        // Something a session needs only while it lives may be gone again.
        let Ok(meta) = path.symlink_metadata() else { continue };
        if passing.contains(&name.as_str()) || name.starts_with("pgsql_tmp") || name.ends_with(".log") {
            continue;
        }
        if meta.is_dir() {
            files(&path, state);
        } else if name.ends_with(".conf") {
            state.insert(path.display().to_string(), std::fs::read_to_string(&path).unwrap_or_default());
        } else if path.components().any(|part| part.as_os_str() == "base" || part.as_os_str() == "pg_tblspc")
        {
            state.insert(path.display().to_string(), meta.len().to_string());
        }
    }
}

/// What is not as it was, a short line each: all of it would be megabytes.
fn moved(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let short =
        |text: Option<&String>| text.map_or("absent".to_owned(), |text| text.chars().take(120).collect());
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| format!("{name}: {} is now {}", short(before.get(name)), short(after.get(name))))
        .collect()
}

#[tokio::test]
async fn nothing_is_changed_by_a_superusers_preflight() {
    let settings = vec![("autovacuum".to_owned(), "off".to_owned())];
    let cluster = Cluster::start(ClusterOptions { settings, ..options() }).unwrap();
    let app = cluster.settings("postgres").unwrap().with_database("app");
    let admin = connect(&cluster.settings("postgres").unwrap()).await;
    admin.execute("CREATE DATABASE app").await.unwrap();
    let before_it = connect(&app).await;
    before_it
        .execute(
            "CREATE SEQUENCE users_id; CREATE TABLE users (id int PRIMARY KEY, name text);
             INSERT INTO users SELECT g, 'user ' || g FROM generate_series(1, 100) g; CREATE TABLE noted (at int);
             CREATE FUNCTION bump() RETURNS bigint LANGUAGE plpgsql VOLATILE AS
               $$ BEGIN INSERT INTO noted VALUES (1); RETURN nextval('users_id'); END $$;
             CREATE FUNCTION sly() RETURNS int LANGUAGE plpgsql IMMUTABLE AS
               $$ BEGIN RETURN bump(); END $$;
             ANALYZE users",
        )
        .await
        .unwrap();
    let stage =
        plan(&format!("{APP}{PLAN}")).database("app", &app).file("older.sql", "DROP TABLE users;").set();
    // What these sessions did is counted before anything is compared.
    for session in [&admin, &before_it] {
        session.execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    }
    // Looking at the catalog fills its caches, which has files of its own.
    state(&before_it).await;
    let before = state(&before_it).await;
    assert!(before.len() > 60, "{}", before.len());
    let all = ask(&stage).await;
    before_it.execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    assert_eq!(moved(&before, &state(&before_it).await), Vec::<String>::new());
    assert!(!stage.path("backups").exists(), "no directory was made");

    has_fact(&all, "changed", "`UPDATE users SET name = 'x' WHERE id < 50` changes about");
    has_fact(
        &all,
        "changed",
        "`INSERT INTO users SELECT g, 'new' FROM generate_series(1, 5)…` changes about 5 rows",
    );
    has_fact(
        &all,
        "changed",
        "locks ROW EXCLUSIVE on users, which blocks neither readers nor writers of other rows",
    );
    has_fact(&all, "changed", "locks ACCESS EXCLUSIVE on users, which blocks all reading and writing");
    has_fact(&all, "side", "not checkable before backed_up");
    // A function that lies about itself is run by the planner: it cannot write there, and that is told.
    let sly: Vec<_> =
        all.findings.iter().filter(|concern| concern.message.contains("read-only transaction")).collect();
    assert_eq!(sly.len(), 2, "of the backup's record and of the verify:\n{}", shown(&all));
    let disk = all.findings.iter().filter(|concern| concern.short_code().starts_with("disk")).count();
    assert_eq!(disk, 0, "the server's disk is seen here:\n{}", shown(&all));
}
