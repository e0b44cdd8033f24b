//! What a swap would lose, compared on a real server.

use super::backup::sample;
use super::swap::stage;
use crate::support::cluster::connect;
use runplan::plan::Text;
use runplan::steps::{LostReport, TableLoss, compare, compare_up_to};

async fn report(stage: &crate::support::stage::Stage, tables: Option<&[String]>) -> LostReport {
    let attempt = stage.attempt("switched", 1);
    let world = &stage.world;
    let live = world.targets.find(world, &Text::made("app")).await.unwrap();
    let side = world.targets.find(world, &Text::made("{{ steps.restored.database }}")).await.unwrap();
    compare(&attempt, &live, &side, tables).await.unwrap()
}

fn of<'r>(report: &'r LostReport, table: &str) -> &'r TableLoss {
    report.tables.iter().find(|loss| loss.table == table).unwrap()
}

#[tokio::test]
async fn both_directions_and_changes_are_counted_and_listed() {
    let settings = sample("lost").await;
    connect(&settings)
        .await
        .execute(
            "CREATE TABLE tags (name text COLLATE \"C\" PRIMARY KEY, n float8);
             INSERT INTO tags SELECT chr(n) || chr(n + 1), n / 3.0 FROM generate_series(33, 500) n;",
        )
        .await
        .unwrap();
    let stage = stage(&settings);
    stage.done("saved").await;
    stage.done("restored").await;
    assert!(report(&stage, None).await.is_same());
    connect(&settings)
        .await
        .execute(
            "INSERT INTO messages (body) SELECT 'new' FROM generate_series(1, 12);
             DELETE FROM messages WHERE body LIKE '%7';
             UPDATE users SET name = 'Robert, \"Bob\"' WHERE id IN (5, 6, 7);
             DELETE FROM tags WHERE n > 160; UPDATE tags SET n = n + 1e-9 WHERE n < 12;
             INSERT INTO tags VALUES ('a tab\t and \\ more', 0);
             CREATE TABLE later (x int); INSERT INTO later VALUES (1), (2);",
        )
        .await
        .unwrap();
    let found = report(&stage, None).await;
    let numbers = |table: &str| {
        let loss = of(&found, table);
        (loss.only_live, loss.only_side, loss.changed)
    };
    assert_eq!(numbers("public.messages"), (12, 10, 0));
    assert_eq!(numbers("public.users"), (0, 0, 3));
    assert_eq!(numbers("public.escrows"), (0, 0, 0));
    assert_eq!(numbers("public.tags"), (1, 20, 3));
    assert_eq!(numbers("public.later"), (2, 0, 0));
    assert!(
        found.summary.starts_with("the swap would lose 15 rows (12 of messages, 2 of later, 1 of tags)"),
        "{}",
        found.summary
    );
    assert!(found.summary.contains("loss window 20"), "{}", found.summary);
    let sheet = std::fs::read_to_string(found.file.as_ref().unwrap()).unwrap();
    assert!(sheet.contains("\"public.users\",\"changed back\",\"5\""), "{sheet}");
    assert!(sheet.contains("Robert, \\\"\"Bob\\\"\""), "{sheet}");
    let only = report(&stage, Some(&["users".to_owned()])).await;
    assert_eq!((only.tables.len(), only.changed), (1, 3));
}

#[tokio::test]
async fn a_large_table_is_only_counted() {
    let settings = sample("lost_large").await;
    let stage = stage(&settings);
    stage.done("saved").await;
    stage.done("restored").await;
    connect(&settings).await.execute("DELETE FROM messages WHERE body LIKE '%7'; ANALYZE").await.unwrap();
    let attempt = stage.attempt("switched", 1);
    let live = stage.world.targets.find(&stage.world, &Text::made("app")).await.unwrap();
    let side =
        stage.world.targets.find(&stage.world, &Text::made("{{ steps.restored.database }}")).await.unwrap();
    let found = compare_up_to(&attempt, &live, &side, None, 50).await.unwrap();
    assert!(found.estimate && of(&found, "public.messages").estimate);
    assert_eq!(of(&found, "public.messages").only_side, 10);
    assert!(found.summary.contains("an estimate"), "{}", found.summary);
}
