//! Rows found again, each as JSON for people. Must never ask for a masked column.

use super::table::Table;
use crate::postgres::{Connection, Error, escape_identifier, escape_literal};
use std::collections::HashMap;

/// So many rows are fetched at once.
pub const BATCH: usize = 200;

const MASK: &str = "***";

/// What tells the rows of a table apart.
pub struct By<'a> {
    /// Empty: the hash of the row.
    pub key: &'a [String],
    /// The row as SQL has it, `t` being the table.
    pub row: &'a str,
}

/// Rows as JSON, by the texts of their keys, or by their hash.
pub type Rows = HashMap<Vec<String>, String>;

/// The rows of these keys, or of these hashes.
pub async fn find(
    connection: &Connection,
    table: &Table,
    by: &By<'_>,
    mask: &[String],
    wanted: &[&Vec<String>],
) -> Result<Rows, Error> {
    if wanted.is_empty() {
        return Ok(Rows::new());
    }
    let (shown, condition) = match by.key {
        [] => of_hash(by.row, wanted),
        key => of_key(table, key, wanted),
    };
    let sql = format!("SELECT {shown}, {} FROM ONLY {} t WHERE {condition}", json(table, mask), table.sql);
    let found = connection.last(&sql).await?;
    Ok(found.rows.into_iter().filter_map(split).collect())
}

/// The first rows there are, at most `most`, with their keys. Within a transaction.
pub async fn first(
    connection: &Connection,
    table: &Table,
    key: &[String],
    mask: &[String],
    condition: &str,
    most: usize,
) -> Result<Vec<(Vec<String>, String)>, Error> {
    let mut shown: Vec<String> =
        key.iter().map(|name| format!("t.{}::pg_catalog.text", escape_identifier(name))).collect();
    shown.push(json(table, mask));
    let sql = format!(
        "DECLARE runplan_rows NO SCROLL CURSOR FOR SELECT {} FROM ONLY {} t WHERE {condition} LIMIT {most}",
        shown.join(", "),
        table.sql
    );
    connection.execute(&sql).await?;
    let mut rows = Vec::new();
    loop {
        let found = connection.last(&format!("FETCH {BATCH} FROM runplan_rows")).await?;
        if found.rows.is_empty() {
            break;
        }
        rows.extend(found.rows.into_iter().filter_map(split));
    }
    connection.execute("CLOSE runplan_rows").await?;
    Ok(rows)
}

/// A key's value as it may be shown.
pub fn shown<'a>(column: &String, value: &'a str, mask: &[String]) -> &'a str {
    if mask.contains(column) { MASK } else { value }
}

/// The last value is the row.
fn split(row: Vec<Option<String>>) -> Option<(Vec<String>, String)> {
    let mut values: Vec<String> = row.into_iter().map(Option::unwrap_or_default).collect();
    let text = values.pop()?;
    Some((values, text))
}

fn of_hash(row: &str, wanted: &[&Vec<String>]) -> (String, String) {
    let hashes: Vec<String> =
        wanted.iter().flat_map(|hash| hash.iter()).map(|hash| escape_literal(hash)).collect();
    (format!("md5({row})"), format!("md5({row}) IN ({})", hashes.join(", ")))
}

fn of_key(table: &Table, key: &[String], wanted: &[&Vec<String>]) -> (String, String) {
    let columns: Vec<String> = key.iter().map(|name| format!("t.{}", escape_identifier(name))).collect();
    let shown: Vec<String> = columns.iter().map(|column| format!("{column}::text")).collect();
    // What compares values of an extension's type is not on the search path; its text always is.
    let types: Vec<&str> = key.iter().map(|name| table.type_of(name)).collect();
    let plain = types.iter().all(|of| !of.contains(['.', '"']));
    let compared = if plain { &columns } else { &shown };
    let value = |(value, of): (&String, &&str)| match plain {
        true => format!("{}::{of}", escape_literal(value)),
        false => escape_literal(value),
    };
    let tuple = |values: &&Vec<String>| {
        format!("({})", values.iter().zip(&types).map(value).collect::<Vec<_>>().join(", "))
    };
    let tuples: Vec<String> = wanted.iter().map(tuple).collect();
    (shown.join(", "), format!("({}) IN ({})", compared.join(", "), tuples.join(", ")))
}

/// The row as JSON.
fn json(table: &Table, mask: &[String]) -> String {
    let columns = table.columns.iter().map(|(name, _)| match mask.contains(name) {
        true => format!("'{MASK}'::text AS {}", escape_identifier(name)),
        false => format!("t.{0} AS {0}", escape_identifier(name)),
    });
    format!("(SELECT row_to_json(r)::text FROM (SELECT {}) r)", columns.collect::<Vec<_>>().join(", "))
}
