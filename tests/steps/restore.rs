//! Restoring into a real server: beside the live database and over it.

use super::backup::sample;
use crate::support::cluster::connect;
use crate::support::stage::{Stage, plan};
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
