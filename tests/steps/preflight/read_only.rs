//! Preflight changes nothing, although its role could.

use super::{APP, ask, has_fact, shown};
use crate::support::cluster::{connect, options};
use crate::support::stage::plan;
use runplan::postgres::{Cluster, ClusterOptions, Connection};

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

/// Everything of a cluster that a write would move: the next transaction id, rows, sequences, databases and their
/// settings, locks that outlive a session.
async fn state(connection: &Connection) -> Vec<String> {
    let mut state = Vec::new();
    for sql in [
        "SELECT pg_snapshot_xmax(pg_current_snapshot())",
        "SELECT string_agg(u::text, ' ' ORDER BY u.id) FROM users u",
        "SELECT last_value || ' ' || is_called FROM users_id",
        "SELECT count(*) FROM noted",
        "SELECT string_agg(d::text || coalesce(shobj_description(d.oid, 'pg_database'), ''), ' ' ORDER BY oid) FROM pg_database d",
        "SELECT string_agg(s::text, ' ') FROM pg_db_role_setting s",
        "SELECT string_agg(c::text, ' ' ORDER BY c.oid) FROM pg_class c",
        "SELECT string_agg(r::text, ' ' ORDER BY r.oid) FROM pg_roles r",
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
        "SELECT count(*) FROM pg_prepared_xacts",
        "SELECT sum(tup_inserted + tup_updated + tup_deleted) FROM pg_stat_database",
    ] {
        state.push(connection.value(sql).await.unwrap().unwrap_or_default());
    }
    state
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
    let stage = plan(&format!("{APP}{PLAN}")).database("app", &app).set();
    // What these sessions did is counted before anything is compared.
    for session in [&admin, &before_it] {
        session.execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    }
    let before = state(&before_it).await;
    let all = ask(&stage).await;
    assert_eq!(state(&before_it).await, before);
    assert!(!stage.path("backups").exists(), "no directory was made");

    has_fact(&all, "changed", "`UPDATE users SET name = 'x' WHERE id < 50` changes about");
    has_fact(
        &all,
        "changed",
        "`INSERT INTO users SELECT g, 'new' FROM generate_series(1, 5)…` changes about 5 rows",
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
