//! Who can use a copy that was restored without owners and grants.

use super::backup::sample;
use crate::support::cluster::{connect, unique};
use crate::support::stage::{done, failed, plan};
use runplan::steps::{PreflightOptions, preflight};

#[tokio::test]
async fn a_copy_that_the_application_cannot_use_does_not_go_live() {
    let settings = sample("access").await;
    let (app, reader) = (unique("access_app"), unique("access_reader"));
    let live = connect(&settings).await;
    live.execute(&format!(
        "CREATE ROLE {app} LOGIN; CREATE ROLE {reader} LOGIN; ALTER TABLE users OWNER TO {app};
         GRANT SELECT ON escrows TO {reader}"
    ))
    .await
    .unwrap();
    let stage = plan(
        "databases: { app: { url: unused } }
steps:
  - id: saved
    backup: { database: app, to: ./backups }
  - id: restored
    restore: { from: '{{ steps.saved.path }}', database: app, owners: skip }
  - id: switched
    swap: { database: app, with: '{{ steps.restored.database }}' }
",
    )
    .database("app", &settings)
    .set();
    let answer = preflight(&stage.world, &PreflightOptions::default()).await;
    let found = answer.findings.iter().find(|finding| finding.short_code() == "copy_unreadable").unwrap();
    assert!(found.stops() && found.message.contains(&app) && found.message.contains(&reader), "{found:?}");
    stage.done("saved").await;
    let side = stage.done("restored").await["database"].as_str().unwrap().to_owned();
    let told = stage.warnings().join("\n");
    let both = format!("{app} (could read and write, can do neither), {reader} (could read)");
    assert!(told.contains(&both), "{told}");
    let failure = failed(stage.act("switched").await);
    assert_eq!(failure.code, "runplan::swap::access");
    assert!(failure.message.contains(&both), "{}", failure.message);
    // With what they need it goes live.
    let inside = connect(&settings.with_database(&side)).await;
    inside
        .execute(&format!("ALTER TABLE users OWNER TO {app}; GRANT SELECT ON escrows TO {reader}"))
        .await
        .unwrap();
    drop((inside, live));
    done(runplan::steps::act(&stage.attempt("switched", 2)).await);
    let now = connect(&settings).await;
    assert_eq!(
        now.one(&format!("SELECT has_table_privilege('{reader}', 'escrows', 'SELECT')")).await.unwrap(),
        "t"
    );
    drop(now);
    stage.end().await;
}
