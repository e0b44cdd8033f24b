//! What a swap would lose, compared on a real server.

use super::backup::sample;
use super::swap::stage;
use crate::support::cluster::connect;
use runplan::plan::Text;
use runplan::steps::{LostReport, TableLoss, Wish, compare};

async fn report(stage: &crate::support::stage::Stage, tables: Option<&[String]>) -> LostReport {
    let attempt = stage.attempt("switched", 1);
    let world = &stage.world;
    let live = world.targets.find(world, &Text::made("app")).await.unwrap();
    let side = world.targets.find(world, &Text::made("{{ steps.restored.database }}")).await.unwrap();
    compare(&attempt, &live, &side, &Wish { tables, ..Wish::default() }).await.unwrap()
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
        found.summary.starts_with("the side would lose 15 rows (12 of messages, 2 of later, 1 of tags)"),
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
    let found = compare(&attempt, &live, &side, &Wish { most_rows: 50, ..Wish::default() }).await.unwrap();
    assert!(found.estimate && of(&found, "public.messages").estimate);
    assert_eq!(of(&found, "public.messages").only_side, 10);
    assert!(found.summary.contains("an estimate"), "{}", found.summary);
}

/// Tables of every sort before, and what is done to them after the backup.
const SHAPES: &str = "
    CREATE TABLE parts (id int, at date, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE parts_2025 PARTITION OF parts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    INSERT INTO parts VALUES (1, '2025-05-01', 'old'), (2, '2025-06-01', 'old');
    CREATE TABLE sums (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED);
    INSERT INTO sums SELECT g, g FROM generate_series(1, 5) g;
    CREATE TABLE log (line text);
    INSERT INTO log SELECT 'same' FROM generate_series(1, 3);
    CREATE DOMAIN code AS text;
    CREATE TABLE pairs (a code, b text, v text, PRIMARY KEY (a, b));
    INSERT INTO pairs VALUES ('a,b', 'c', 'first'), ('a', 'b,c', 'second');
    CREATE TABLE wide (id int PRIMARY KEY, gone text);
    INSERT INTO wide SELECT g, 'x' FROM generate_series(1, 4) g;
    CREATE TABLE dropped (id int PRIMARY KEY);
    INSERT INTO dropped VALUES (1);
    CREATE TABLE keyed (id int PRIMARY KEY, other int NOT NULL);
    INSERT INTO keyed VALUES (1, 10);
    CREATE TABLE nothing ()";

const AFTERWARDS: &str = "
    CREATE TABLE parts_2026 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    INSERT INTO parts VALUES (3, '2026-05-01', 'new');
    UPDATE parts SET note = 'new' WHERE id = 1;
    UPDATE sums SET n = 7 WHERE id = 2;
    INSERT INTO log VALUES ('same'), ('other');
    UPDATE pairs SET v = 'changed';
    ALTER TABLE wide DROP COLUMN gone; ALTER TABLE wide ADD COLUMN mail text; UPDATE wide SET mail = 'm' WHERE id < 4;
    DROP TABLE dropped;
    CREATE TABLE empty_one (id int);
    ALTER TABLE keyed DROP CONSTRAINT keyed_pkey; ALTER TABLE keyed ADD PRIMARY KEY (other); UPDATE keyed SET id = 2";

#[tokio::test]
async fn tables_of_every_sort() {
    let settings = sample("lost_shapes").await;
    connect(&settings).await.execute(SHAPES).await.unwrap();
    let stage = stage(&settings);
    stage.done("saved").await;
    stage.done("restored").await;
    assert!(report(&stage, None).await.is_same());
    connect(&settings).await.execute(AFTERWARDS).await.unwrap();
    let found = report(&stage, None).await;
    for (table, only_live, only_side, changed) in [
        ("public.parts_2025", 0, 0, 1),
        ("public.parts_2026", 1, 0, 0),
        ("public.sums", 0, 0, 1),
        ("public.log", 2, 0, 0),
        ("public.pairs", 0, 0, 2),
        ("public.dropped", 0, 1, 0),
        ("public.empty_one", 0, 0, 0),
        ("public.keyed", 1, 1, 0),
        ("public.nothing", 0, 0, 0),
    ] {
        let loss = of(&found, table);
        assert_eq!(
            (loss.only_live, loss.only_side, loss.changed),
            (only_live, only_side, changed),
            "{loss:?}"
        );
    }
    let wide = of(&found, "public.wide");
    assert_eq!((wide.changed, wide.columns[0].column.as_str(), wide.columns[0].values), (0, "mail", 3));
    assert!(
        wide.differs() && of(&found, "public.empty_one").differs() && !of(&found, "public.nothing").differs()
    );
    for said in ["lose the columns wide.mail (3 values)", "make or drop the empty tables empty_one"] {
        assert!(found.summary.contains(said), "{}", found.summary);
    }
    let sheet = std::fs::read_to_string(found.file.as_ref().unwrap()).unwrap();
    let first = sheet.lines().find(|line| line.contains("\"\"v\"\":\"\"first\"\"")).unwrap();
    assert!(first.contains("\"\"a\"\":\"\"a,b\"\"") && !first.contains("second"), "{first}");
    assert!(sheet.contains("\"\"twice\"\":14"), "{sheet}");
}

#[tokio::test]
async fn a_table_that_only_has_another_column_is_not_the_same() {
    let settings = sample("lost_column").await;
    let stage = stage(&settings);
    stage.done("saved").await;
    stage.done("restored").await;
    connect(&settings).await.execute("ALTER TABLE users ADD COLUMN mail text DEFAULT 'x'").await.unwrap();
    let found = report(&stage, None).await;
    assert!(!found.is_same() && found.values() > 0, "{found:?}");
    assert!(found.summary.starts_with("the side would lose the columns users.mail ("), "{}", found.summary);
}

#[tokio::test]
async fn what_is_masked_is_in_no_file_and_no_answer() {
    let settings = sample("lost_masked").await;
    let plan = "databases: { app: { url: unused } }
steps:
  - id: saved
    backup: { database: app, to: ./backups }
  - id: restored
    restore: { from: '{{ steps.saved.path }}', database: app }
  - id: lost
    verify:
      database: app
      report_only: true
      checks:
        - { name: lost rows, mask: [name, mail], lost: { side: '{{ steps.restored.database }}' } }
";
    let stage = crate::support::stage::plan(plan).database("app", &settings).set();
    connect(&settings)
        .await
        .execute("CREATE TABLE people (mail text PRIMARY KEY, n int); INSERT INTO people VALUES ('secret@one', 1), ('secret@two', 2)")
        .await
        .unwrap();
    stage.done("saved").await;
    stage.done("restored").await;
    connect(&settings)
        .await
        .execute("UPDATE users SET name = 'secret name' WHERE id = 5; UPDATE people SET n = 3; DELETE FROM people WHERE n = 9")
        .await
        .unwrap();
    let outputs = stage.done("lost").await;
    let said = serde_json::to_string(&outputs).unwrap();
    assert!(!said.contains("secret"), "{said}");
    let file = outputs["results"][0]["file"].as_str().unwrap_or_else(|| panic!("{said}"));
    let sheet = std::fs::read_to_string(file).unwrap();
    assert!(!sheet.contains("secret"), "{sheet}");
    assert!(sheet.contains("\"public.users\",\"changed back\",\"5\"") && sheet.contains("***"), "{sheet}");
    assert_eq!(sheet.matches("\"public.people\",\"changed back\",\"***\"").count(), 2, "{sheet}");
}

#[tokio::test]
async fn the_file_has_the_rows_of_every_table_that_differs() {
    let settings = sample("lost_file").await;
    let app = connect(&settings).await;
    app.execute(
        "CREATE TABLE bare (n int, note text); INSERT INTO bare VALUES (1, 'kept'), (2, 'twice'), (2, 'twice');
         CREATE TABLE going (n int); INSERT INTO going VALUES (41)",
    )
    .await
    .unwrap();
    let stage = stage(&settings);
    stage.done("saved").await;
    stage.done("restored").await;
    app.execute(
        "CREATE TABLE later (id int PRIMARY KEY, word text); INSERT INTO later VALUES (7, 'new table');
         INSERT INTO bare VALUES (3, 'written, twice'), (3, 'written, twice'); DELETE FROM bare WHERE n = 2;
         ALTER TABLE users ADD COLUMN phone text; UPDATE users SET phone = '555-0100' WHERE id = 5; DROP TABLE going",
    )
    .await
    .unwrap();
    let found = report(&stage, None).await;
    let sheet = std::fs::read_to_string(found.file.as_ref().unwrap()).unwrap();
    let has =
        |line: &str| assert!(sheet.lines().any(|found| found.starts_with(line)), "{line} is not in {sheet}");
    has(r#""public.later","lost","7","{""id"":7,""word"":""new table""}","""#);
    has(r#""public.going","brought back","","","{""n"":41}""#);
    has(r#""public.bare","lost","no key; 2 such rows","{""n"":3,""note"":""written, twice""}","""#);
    has(r#""public.bare","brought back","no key; 2 such rows","","{""n"":2,""note"":""twice""}""#);
    has(r#""public.users","values lost: phone","5","{"#);
    assert!(sheet.contains("555-0100"), "{sheet}");
    assert_eq!(sheet.matches("values lost").count(), 1, "{sheet}");
}

#[tokio::test]
async fn tables_whose_names_have_dots_are_each_compared() {
    let settings = sample("lost_dots").await;
    let app = connect(&settings).await;
    app.execute(
        "CREATE SCHEMA a; CREATE SCHEMA \"a.b\"; CREATE TABLE a.\"b.c\" (n int PRIMARY KEY);
         CREATE TABLE \"a.b\".c (n int PRIMARY KEY)",
    )
    .await
    .unwrap();
    let stage = stage(&settings);
    stage.done("saved").await;
    stage.done("restored").await;
    app.execute("INSERT INTO a.\"b.c\" VALUES (1); INSERT INTO \"a.b\".c VALUES (1), (2)").await.unwrap();
    let found = report(&stage, None).await;
    assert_eq!((of(&found, "a.\"b.c\"").only_live, of(&found, "\"a.b\".c").only_live), (1, 2));
}
