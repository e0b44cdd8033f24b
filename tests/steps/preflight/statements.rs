//! SQL that is asked about without being run.

use super::{APP, ask, codes, has_fact, of, one, shown};
use crate::support::cluster::{connect, database};
use crate::support::stage::{Stage, plan};

async fn stage(stem: &str, steps: &str) -> Stage {
    let settings = database(stem).await;
    let admin = connect(&settings).await;
    admin
        .execute("CREATE TABLE users (id int PRIMARY KEY, name text); INSERT INTO users SELECT g, 'n' FROM generate_series(1, 1000) g; ANALYZE users")
        .await
        .unwrap();
    plan(&format!("{APP}{steps}")).database("app", &settings).set()
}

#[tokio::test]
async fn what_the_server_refuses_is_told_with_its_place() {
    let steps = r#"
checks:
  odd: [ { name: odd ids, sql: "SELECT id FROM users WHERE id = 'x'", expect: empty } ]
steps:
  - id: wrong
    sql:
      database: app
      statement: |
        UPDATE users SET name = 'a' WHERE id = 1;
        -- ünïcode before it
        SELECT lower(nmae) FROM users
  - { id: checked, verify: { database: app, use: [odd] } }
"#;
    let stage = stage("preflight_refused", steps).await;
    let all = ask(&stage).await;
    let missing = one(&all, "missing_object");
    assert_eq!(
        missing.message,
        "statement, line 3, column 14: the server says: column \"nmae\" does not exist"
    );
    assert!(missing.help.as_deref().is_some_and(|help| help.contains("users.name")), "{missing:?}");
    assert_eq!(missing.step.as_ref().map(|step| step.as_str()), Some("wrong"));
    let refused = one(&all, "statement_refused");
    assert_eq!(
        refused.message,
        "check `odd ids`, line 1, column 33: the server says: invalid input syntax for type integer: \"x\""
    );
    has_fact(&all, "wrong", "statement: `UPDATE users SET name = 'a' WHERE id = 1` changes about 1 row");
}

#[tokio::test]
async fn what_an_earlier_step_makes_is_not_missing() {
    let steps = r#"
steps:
  - id: made
    sql:
      database: app
      statement: |
        CREATE TABLE kept (id int);
        INSERT INTO kept SELECT id FROM users
  - { id: used, sql: { database: app, read_only: true, statement: SELECT * FROM kept } }
  - { id: side, restore: { from: backup.sql, database: app } }
  - { id: beside, sql: { database: "{{ steps.side.database }}", read_only: true, statement: SELECT * FROM anything } }
  - { id: late, sql: { database: app, read_only: true, statement: "SELECT * FROM users WHERE id = {{ steps.used.row_count }}" } }
"#;
    let stage = stage("preflight_made", steps).await;
    std::fs::write(stage.path("backup.sql"), "SELECT 1;").unwrap();
    let all = ask(&stage).await;
    assert_eq!(codes(&all), Vec::<&str>::new(), "{}", shown(&all));
    has_fact(&all, "made", "not checkable before the statements above it (relation \"kept\" does not exist)");
    has_fact(&all, "used", "not checkable before made");
    has_fact(&all, "beside", "not checkable before side");
    has_fact(&all, "late", "not checkable before used");
}

#[tokio::test]
async fn nobody_makes_it() {
    let steps = r#"
steps:
  - { id: elsewhere, needs: [], sql: { database: app, statement: CREATE TABLE kept (id int) } }
  - { id: used, needs: [], sql: { database: app, read_only: true, statement: SELECT * FROM kept } }
"#;
    let all = ask(&stage("preflight_nobody", steps).await).await;
    let missing = one(&all, "missing_object");
    assert_eq!(
        missing.message,
        "statement, line 1, column 15: the server says: relation \"kept\" does not exist"
    );
    assert!(!all.may_start());
}

#[tokio::test]
async fn more_rows_than_may_change_and_what_a_script_sets() {
    let steps = r#"
steps:
  - id: many
    sql: { database: app, statement: "UPDATE users SET name = 'x' WHERE id > 10", expect: { max_rows: 300 } }
  - id: elsewhere
    sql:
      database: app
      statement: |
        SET LOCAL search_path = other;
        SELECT * FROM things;
        SET LOCAL search_path = public;
        SELECT count(*) FROM users
"#;
    let stage = stage("preflight_many", steps).await;
    let admin = connect(&stage.world.targets.settings(&stage.world, "app").await.unwrap()).await;
    admin.execute("CREATE SCHEMA other; CREATE TABLE other.things (id int)").await.unwrap();
    let all = ask(&stage).await;
    let many = one(&all, "many_rows");
    assert!(
        many.message.contains("would change about 990 rows") && many.message.contains("max_rows is 300"),
        "{many:?}"
    );
    assert!(all.may_start(), "a warning stops nothing:\n{}", shown(&all));
    assert_eq!(of(&all, "missing_object"), [] as [&_; 0], "{}", shown(&all));
    has_fact(&all, "elsewhere", "`SELECT * FROM things` returns about");
    has_fact(&all, "elsewhere", "`SELECT count(*) FROM users` returns about 1 row");
}

#[tokio::test]
async fn a_step_that_will_be_skipped_is_not_asked_about() {
    let steps = r#"
params:
  deep: { type: boolean, default: false }
steps:
  - { id: skipped, when: params.deep, sql: { database: app, read_only: true, statement: SELECT * FROM nowhere } }
"#;
    let settings = database("preflight_skipped").await;
    let shallow = plan(&format!("{APP}{steps}")).database("app", &settings).param("deep", false).set();
    assert_eq!(codes(&ask(&shallow).await), Vec::<&str>::new());
    let deep = plan(&format!("{APP}{steps}")).database("app", &settings).param("deep", true).set();
    assert_eq!(codes(&ask(&deep).await), ["missing_object"]);
}

#[tokio::test]
async fn a_lock_that_somebody_holds_is_told_and_not_waited_for() {
    let steps =
        "steps:\n  - { id: read, sql: { database: app, read_only: true, statement: SELECT * FROM users } }\n";
    let stage = stage("preflight_locked", steps).await;
    let holder = connect(&stage.world.targets.settings(&stage.world, "app").await.unwrap()).await;
    holder.execute("BEGIN; LOCK TABLE users").await.unwrap();
    let all = ask(&stage).await;
    assert_eq!(codes(&all), ["locked_now"], "{}", shown(&all));
}
