//! Indexes and tables read through: what is whole passes, what is damaged is named, and nobody takes silence for a check.

use super::{result, sample};
use crate::support::cluster::{connect, unique};
use crate::support::stage::plan;
use runplan::postgres::Settings;
use serde_json::Value;

async fn checked(settings: &Settings, fields: &str) -> Value {
    let text = format!(
        "steps:\n- id: s\n  verify: {{ database: app, report_only: true, checks: [ {{ name: read, amcheck: {{ {fields} }} }} ] }}"
    );
    let outputs = plan(&text).database("app", settings).set().done("s").await;
    result(&outputs, "read").clone()
}

fn actual(result: &Value) -> &str {
    result["actual"].as_str().unwrap()
}

#[tokio::test]
async fn an_index_that_is_out_of_order_is_found() {
    let settings = sample("amcheck").await;
    let admin = connect(&settings).await;
    let absent = checked(&settings, "required: false").await;
    assert_eq!((&absent["passed"], &absent["left_out"]), (&true.into(), &true.into()));
    assert_eq!(
        actual(&absent),
        "left out: amcheck is not installed in this database, nothing was read through"
    );
    assert_eq!(checked(&settings, "required: true").await["passed"], false);
    let text = "steps:\n- id: s\n  verify:\n    database: app\n    checks:\n    - { name: read, amcheck: { required: false } }\n    - { name: one, sql: SELECT 1, expect: 1 }\n";
    let outputs = plan(text).database("app", &settings).set().done("s").await;
    assert_eq!((&outputs["passed"], &outputs["failed"]), (&1.into(), &0.into()));
    let summary = outputs["summary"].as_str().unwrap();
    assert!(summary.starts_with("1 of 2 checks passed, 1 left out"), "{summary}");

    admin.execute("CREATE EXTENSION amcheck").await.unwrap();
    let whole = checked(&settings, "heap: true").await;
    assert_eq!(whole["passed"], true, "{whole}");
    assert!(
        actual(&whole).contains(" indexes and ") && actual(&whole).ends_with("were read through"),
        "{whole}"
    );
    assert_eq!(actual(&checked(&settings, "tables: [escrows]").await), "2 indexes were read through");

    // The function that an index was built over gives the other order now.
    admin
        .execute(
            "CREATE FUNCTION smaller(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN btint4cmp($1, $2); END';
             CREATE OPERATOR CLASS own FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =,
               OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 smaller(int, int);
             CREATE INDEX turned ON escrows (id own);
             CREATE OR REPLACE FUNCTION smaller(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN btint4cmp($2, $1); END'",
        )
        .await
        .unwrap();
    let damaged = checked(&settings, "required: true").await;
    assert_eq!(damaged["passed"], false);
    assert!(actual(&damaged).starts_with("1 damaged; "), "{damaged}");
    assert_eq!(damaged["rows"][0]["object"], "public.turned");
    assert_eq!(checked(&settings, "tables: [users]").await["passed"], true);
    assert!(actual(&checked(&settings, "tables: [nothing]").await).contains("no table nothing"));
}

#[tokio::test]
async fn who_may_not_call_it_is_told_the_grant() {
    let settings = sample("amcheck_grant").await;
    let admin = connect(&settings).await;
    let role = unique("amcheck_role");
    admin
        .execute(&format!("CREATE EXTENSION amcheck; CREATE ROLE {role} LOGIN PASSWORD 'reader'"))
        .await
        .unwrap();
    let port = crate::support::cluster::shared().port();
    let url = format!("postgresql://{role}:reader@127.0.0.1:{port}/{}?sslmode=disable", settings.database());
    let reader = Settings::parse(&url, &|_| None).unwrap();
    let refused = checked(&reader, "heap: true").await;
    assert_eq!(refused["passed"], false);
    assert!(actual(&refused).contains("may not call its functions"), "{refused}");
    admin.execute(&format!("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {role}")).await.unwrap();
    let passed = checked(&reader, "heap: true").await;
    assert_eq!(passed["passed"], true, "{passed}");
}
