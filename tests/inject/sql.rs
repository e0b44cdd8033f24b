//! Values in SQL: the `sql` action as a run starts it, on a real server, read back as bytes.

use super::batch::{Batch, argument, assert_checked, is_same};
use super::values::params;
use super::{chance, many};
use crate::support::cluster::{connect, database};
use crate::support::stage::{Stage, plan};
use runplan::postgres::{Connection, Settings};
use runplan::run::Outcome;
use runplan::steps;
use serde_json::Value;

/// Values in one statement.
const AT_ONCE: usize = 1_000;

/// Where a text may stand; every one of them gives the text itself, if it stayed what it was.
const TEXTS: &[&str] = &[
    "{{ x }}",
    "concat({{ x }}, '')",
    "{{ x }}::text || ''",
    "CASE {{ x }} WHEN {{ x }} THEN {{ x }} END",
    "CASE WHEN {{ x }} IN ('x', {{ x }}) THEN {{ x }} END",
    "jsonb_build_object('k', {{ x }}::text) ->> 'k'",
    "CASE WHEN {{ x }} LIKE {{ x | like }} AND NOT {{ x }} || '!' LIKE {{ x | like }} THEN {{ x }} END",
    "CASE WHEN 'a' || {{ x }} || 'b' LIKE 'a' || {{ x | like }} || '_' THEN {{ x }} END",
    "(ARRAY[{{ x }}, 'b'])[1]",
    "coalesce(NULL,{{ x }})",
    "-- ' it's\n{{ x }}",
    "/* ' */{{ x }}/* $$ */",
    "set_config('inject.v', {{ x }}, true)",
    "$$a$$ || substr('a' || {{ x }}, 2, 0) || substr({{ x }} || '', 1, 0) || {{ x }} || E'\\''",
];

fn place(kind: &str, at: usize, name: &str) -> String {
    let expression = match kind {
        "integer" => {
            ["{{ x }}::text", "(0::numeric -(0::numeric -{{ x }}))::text", "format('%s', {{ x }})"][at % 3]
        }
        "number" => ["{{ x }}::text", "(0::numeric -(0::numeric -{{ x }}))::text"][at % 2],
        "boolean" => ["{{ x }}::text", "(NOT NOT {{ x }})::text"][at % 2],
        "words" | "integers" | "numbers" | "booleans" => "to_json({{ x }})::text",
        _ => TEXTS[at % TEXTS.len()],
    };
    // A text that looks like a setting's value is one; the others have no such place.
    let expression = match expression.strip_prefix("$$a$$ || ") {
        Some(rest) => format!("substr($$a$$ || {}, 2, length({{{{ x }}}}))", rest.replace(" || E'\\''", "")),
        None => expression.to_owned(),
    };
    expression.replace("{{ x", &format!("{{{{ params.{name}"))
}

fn stage(declared: &str, statement: &str, settings: &Settings) -> Stage {
    let statement = statement.replace('\n', "\n      ");
    let text = format!(
        "{declared}databases: {{ app: {{ url: 'postgres://h/app' }} }}\nsteps:\n- id: s\n  irreversible: a test\n  sql:\n    database: app\n    statement: |\n      {statement}\n"
    );
    plan(&text).database("app", settings).set()
}

async fn act(stage: &Stage, number: u32) {
    match steps::act(&stage.attempt("s", number)).await {
        Outcome::Done(_) => {}
        other => panic!("{}", format!("{other:?}").chars().take(3_000).collect::<String>()),
    }
}

async fn arrived(connection: &Connection) -> Vec<(usize, Vec<u8>)> {
    let rows = connection.last("SELECT n, encode(convert_to(t, 'UTF8'), 'hex') FROM got ORDER BY n").await;
    let rows = rows.unwrap().rows.into_iter();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    rows.map(|mut row| {
        let hex = row.remove(1).unwrap_or_else(|| panic!("value {:?} is NULL", row[0]));
        let number = row.remove(0).unwrap().parse().unwrap();
        (number, hex.as_bytes().chunks(2).map(byte).collect())
    })
    .collect()
}

/// What a statement with these values left in the table `got` is what was given.
async fn compare(look: &Connection, batch: &Batch, told: &str) {
    let found = arrived(look).await;
    assert_eq!(found.len(), batch.values.len());
    for (at, bytes) in found {
        let text = String::from_utf8(bytes).expect("UTF-8");
        let given = &batch.values[at];
        let same = match given {
            Value::Array(items) if items.iter().all(|item| !item.is_f64()) => {
                serde_json::from_str::<Value>(&text).ok().as_ref() == Some(given)
            }
            given => is_same(given, &text),
        };
        assert!(same, "{told}, p{at}: {:?} became {text:?}", argument(given));
    }
}

#[tokio::test]
async fn every_value_arrives_in_sql_as_it_was_given() {
    let settings = database("inject_sql").await;
    let look = connect(&settings).await;
    look.execute("CREATE TABLE got (n int, t text)").await.unwrap();
    let (declared, kinds) = params(AT_ONCE);
    let rows: Vec<String> = kinds
        .iter()
        .enumerate()
        .map(|(at, kind)| format!("({at}, {})", place(kind, at / 2, &format!("p{at}"))))
        .collect();
    let mut stage = stage(&declared, &format!("INSERT INTO got VALUES\n{}", rows.join(",\n")), &settings);
    assert_checked(&stage);
    let mut chance = chance(1);
    let (mut tried, mut refused, mut number) = (0, 0, 0);
    while tried < many(60_000) {
        number += 1;
        let batch = Batch::new(&stage, &kinds, &mut chance, |_| true);
        batch.give(&mut stage);
        look.execute("TRUNCATE got").await.unwrap();
        act(&stage, number).await;
        compare(&look, &batch, &format!("statement {number}")).await;
        tried += batch.values.len();
        refused += batch.refused;
    }
    assert!(refused > tried / 200, "only {refused} of {tried} values were refused");
    println!("sql: {tried} values arrived, {refused} were refused");
}

/// Names that PostgreSQL gives every table.
const SYSTEM: [&str; 7] = ["tableoid", "cmax", "xmax", "cmin", "xmin", "ctid", "oid"];

#[tokio::test]
async fn every_name_arrives_as_it_was_given() {
    const COLUMNS: usize = 250;
    let settings = database("inject_names").await;
    let look = connect(&settings).await;
    look.execute("CREATE TABLE got (n int, t text)").await.unwrap();
    let mut declared = "params:\n".to_owned();
    let mut columns = Vec::new();
    for at in 0..COLUMNS {
        declared.push_str(&format!("  p{at}: {{ type: string, required: true }}\n"));
        columns.push(format!("{{{{ params.p{at} | ident }}}} int"));
    }
    let statement = format!(
        "CREATE TEMPORARY TABLE names ({}) ON COMMIT DROP;\nINSERT INTO got SELECT attnum - 1, attname \
         FROM pg_attribute WHERE attrelid = 'names'::regclass AND attnum > 0",
        columns.join(",\n")
    );
    let mut stage = stage(&declared, &statement, &settings);
    assert_checked(&stage);
    let mut chance = chance(5);
    let (mut tried, mut number) = (0, 0);
    while tried < many(5_000) {
        number += 1;
        let seen = std::cell::RefCell::new(std::collections::HashSet::new());
        // Longer ones, and the empty one, are refused: see the last lines.
        let fits = |value: &Value| {
            let name = value.as_str().unwrap_or_default();
            (1..=63).contains(&name.len())
                && !SYSTEM.contains(&name)
                && seen.borrow_mut().insert(name.to_owned())
        };
        let batch = Batch::new(&stage, &["string"; COLUMNS], &mut chance, fits);
        batch.give(&mut stage);
        look.execute("TRUNCATE got").await.unwrap();
        act(&stage, number).await;
        compare(&look, &batch, &format!("names {number}")).await;
        tried += batch.values.len();
    }
    println!("names: {tried} arrived");
    for wrong in [String::new(), "x".repeat(64), "é".repeat(32)] {
        let mut params: serde_json::Map<String, Value> =
            (0..COLUMNS).map(|at| (format!("p{at}"), Value::from(format!("c{at}")))).collect();
        params.insert("p7".to_owned(), wrong.clone().into());
        stage.give(params);
        number += 1;
        let outcome = steps::act(&stage.attempt("s", number)).await;
        assert!(matches!(outcome, Outcome::Failed(_)), "{wrong:?}: {outcome:?}");
    }
}
