//! Freezing a real database: proved, refused while somebody writes, thawed.

use super::backup::sample;
use crate::support::cluster::connect;
use crate::support::stage::{Stage, done, plan};
use runplan::postgres::Settings;

fn stage(settings: &Settings, options: &str) -> Stage {
    let text = format!("steps:\n  - id: frozen\n    freeze: {{ database: app{options} }}\n");
    plan(&format!("databases: {{ app: {{ url: unused }} }}\n{text}")).database("app", settings).set()
}

#[tokio::test]
async fn nobody_writes_any_more_and_undo_thaws() {
    let settings = sample("freeze").await;
    let stage = stage(&settings, ", quiet: 300ms");
    let old = connect(&settings).await;
    let outputs = stage.done("frozen").await;
    assert_eq!(outputs["sessions_ended"], 1);
    assert!(old.one("SELECT 1").await.is_err(), "the session from before is ended");
    let error = connect(&settings).await.execute("DELETE FROM messages").await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("25006"));
    done(stage.undo("frozen").await);
    connect(&settings).await.execute("DELETE FROM messages").await.unwrap();
}
