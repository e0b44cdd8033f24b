//! What a plain role lacks for each kind of step; the help, executed, mends it.

use super::{APP, ask, codes, of, role, run, shown};
use crate::support::cluster::{connect, database};
use crate::support::stage::{Stage, plan};
use runplan::postgres::Settings;
use runplan::steps::Preflight;

const TABLES: &str = "CREATE SCHEMA shop; CREATE TABLE shop.escrows (id int); CREATE TABLE users (id int, name text); \
     CREATE SEQUENCE numbers; ALTER TABLE shop.escrows ENABLE ROW LEVEL SECURITY; ANALYZE users";

/// A plan's steps, asked about as a role that may only log in, on a database with tables of somebody else.
async fn asked(stem: &str, steps: &str) -> (Stage, Settings, Settings) {
    let settings = database(stem).await;
    let admin = connect(&settings).await;
    admin.execute(TABLES).await.unwrap();
    let (_, login) = role(&admin, &settings).await;
    (plan(&format!("{APP}steps:\n{steps}")).database("app", &login).set(), settings, login)
}

/// Executes what the help says until nothing is missing any more, as a superuser.
async fn mend(stage: &Stage, admin: &Settings, code: &str) -> Preflight {
    for _ in 0..8 {
        let all = ask(stage).await;
        let Some(concern) = of(&all, code).first().copied().cloned() else { return all };
        let help = concern.help.clone().unwrap_or_default();
        let statements = help.split_once("superuser: ").map(|(_, sql)| sql).unwrap_or_default();
        let statements =
            statements.split(", or ").next().unwrap_or_default().split("; or ").next().unwrap_or_default();
        assert!(!statements.is_empty(), "nothing to execute: {concern:?}");
        run(admin, statements).await;
    }
    panic!("the help does not mend it:\n{}", shown(&ask(stage).await));
}

#[tokio::test]
async fn a_backup_reads_every_table_and_every_row() {
    let steps = "  - { id: kept, backup: { database: app, to: . } }\n";
    let (stage, admin, _) = asked("preflight_backup", steps).await;
    let all = ask(&stage).await;
    let missing = super::one(&all, "missing_privilege");
    assert!(missing.message.contains("may not read 3 of the tables and sequences"), "{}", missing.message);
    assert!(missing.message.contains("public.numbers, public.users and shop.escrows"), "{}", missing.message);
    assert!(!all.may_start());
    mend(&stage, &admin, "missing_privilege").await;
    let rows = super::one(&ask(&stage).await, "row_security").message.clone();
    assert!(rows.contains("shop.escrows"), "{rows}");
    let mended = mend(&stage, &admin, "row_security").await;
    assert!(mended.may_start(), "{}", shown(&mended));
}

#[tokio::test]
async fn a_backup_of_some_tables_needs_only_those() {
    let steps = "  - { id: kept, backup: { database: app, to: ., tables: [\"public.u*\"] } }\n";
    let (stage, admin, login) = asked("preflight_some", steps).await;
    let all = ask(&stage).await;
    let missing = &super::one(&all, "missing_privilege").message;
    assert!(missing.contains("1 of the tables and sequences: public.users"), "{missing}");
    run(&admin, &format!("GRANT SELECT ON users TO {}", login.user())).await;
    assert!(ask(&stage).await.may_start());
}

#[tokio::test]
async fn restore_swap_and_freeze() {
    let steps = r#"
  - { id: side, restore: { from: backup.sql, database: app } }
  - { id: frozen, freeze: { database: app } }
  - { id: switched, swap: { database: app, with: "{{ steps.side.database }}" } }
"#;
    let (stage, admin, login) = asked("preflight_swap", steps).await;
    std::fs::write(stage.path("backup.sql"), "SELECT 1;").unwrap();
    let all = ask(&stage).await;
    let messages: Vec<&str> =
        of(&all, "missing_privilege").iter().map(|concern| concern.message.as_str()).collect();
    for part in [
        "has not CREATEDB, needed for side and switched",
        "is not a member of postgres, who owns the database",
        "does not own database",
        "may end only its own sessions, and frozen and switched must end all",
    ] {
        assert!(messages.iter().any(|message| message.contains(part)), "{part}:\n{}", shown(&all));
    }
    // A production role is the owner of its database, not a member of `postgres`.
    let (name, role) = (admin.database(), login.user());
    run(
        &admin,
        &format!(
            "ALTER DATABASE {name} OWNER TO {role}; ALTER TABLE users OWNER TO {role}; \
                          ALTER TABLE shop.escrows OWNER TO {role}; ALTER SEQUENCE numbers OWNER TO {role}; \
                          ALTER SCHEMA shop OWNER TO {role}; CREATE ROLE {name}_app; \
             ALTER DATABASE {name} SET log_min_duration_statement = 250; ALTER DATABASE {name} SET my.custom = 'x'; \
             ALTER ROLE {name}_app IN DATABASE {name} SET work_mem = '5MB'"
        ),
    )
    .await;
    let all = ask(&stage).await;
    for setting in ["log_min_duration_statement", "my.custom", &format!("work_mem of role {name}_app")] {
        let part =
            format!("role {role} may not give the copy the setting {setting}, which switched carries over");
        assert!(
            of(&all, "missing_privilege").iter().any(|one| one.message.contains(&part)),
            "{}",
            shown(&all)
        );
    }
    let mended = mend(&stage, &admin, "missing_privilege").await;
    assert!(mended.may_start(), "{}", shown(&mended));

    // Even then a superuser's session is not his to end.
    let superuser = connect(&admin).await;
    let all = ask(&stage).await;
    let session = super::one(&all, "session_not_ours");
    assert!(
        session.message.contains(&format!("postgres (pid {}, runplan-test)", superuser.backend().pid)),
        "{session:?}"
    );
    assert!(!all.may_start());
    let on_it = all
        .facts
        .iter()
        .any(|fact| fact.text == "1 session, ended by frozen and switched: 1 of postgres (runplan-test)");
    assert!(on_it, "{}", shown(&all));
}

#[tokio::test]
async fn sql_says_the_grant_that_is_missing() {
    let steps = r#"
  - { id: changed, sql: { database: app, statement: "UPDATE users SET name = 'x' WHERE id = 1; TRUNCATE users" } }
  - { id: read, sql: { database: app, read_only: true, statement: "SELECT * FROM shop.escrows" } }
"#;
    let (stage, admin, _) = asked("preflight_sql", steps).await;
    let all = ask(&stage).await;
    let helps: Vec<&str> =
        of(&all, "missing_privilege").iter().filter_map(|concern| concern.help.as_deref()).collect();
    assert_eq!(helps.len(), 3, "{}", shown(&all));
    assert!(
        helps[0].contains(r#"GRANT UPDATE ON "public"."users" TO"#) && helps[0].contains("GRANT SELECT ON"),
        "{helps:?}"
    );
    let mended = mend(&stage, &admin, "missing_privilege").await;
    assert_eq!(codes(&mended), Vec::<&str>::new(), "{}", shown(&mended));
}

#[tokio::test]
async fn a_definition_is_changed_by_the_tables_owner() {
    let steps =
        "  - { id: altered, sql: { database: app, statement: \"ALTER TABLE users ADD COLUMN a int\" } }\n";
    let (stage, admin, _) = asked("preflight_ddl", steps).await;
    let all = ask(&stage).await;
    let message = &super::one(&all, "missing_privilege").message;
    assert!(message.contains("users belongs to postgres"), "{message}");
    let mended = mend(&stage, &admin, "missing_privilege").await;
    assert!(mended.may_start(), "{}", shown(&mended));
}
