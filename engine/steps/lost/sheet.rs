//! The differing rows, in a CSV file of the run: for each the table, what the swap would do to it, its key, and the row as it
//! is live and in the side database. Capped; what does not fit is said in the last line.

use super::Both;
use super::table::{Difference, Table};
use crate::postgres::{Connection, escape_identifier, escape_literal};
use crate::run::Failure;
use crate::steps::attempt::Attempt;
use crate::steps::failures::file;
use crate::steps::stop::Stop;
use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Rows of one table, and in all.
const MOST_OF_TABLE: usize = 1_000;
const MOST: usize = 20_000;
/// So many rows are fetched with one query.
const BATCH: usize = 200;

/// A differing row by its key; by its hash where there is no key.
pub struct Found {
    pub difference: Difference,
    pub shown: Vec<String>,
}

pub struct Sheet {
    path: PathBuf,
    out: Option<BufWriter<std::fs::File>>,
    rows: usize,
    full: bool,
}

impl Sheet {
    pub fn new(attempt: &Attempt) -> Result<Self, Failure> {
        let path = attempt.world.files()?.join(format!("{}.lost.csv", attempt.key));
        Ok(Self { path, out: None, rows: 0, full: false })
    }

    /// Whether one more of a table may be kept.
    pub fn has_room(&mut self, kept: usize) -> bool {
        let room = kept < MOST_OF_TABLE && self.rows + kept < MOST;
        self.full |= !room;
        room
    }

    /// Fetches the rows that were found and writes them down.
    pub async fn add(
        &mut self,
        both: &Both,
        live: &Table,
        side: &Table,
        key: &[String],
        found: &[Found],
    ) -> Result<(), Stop> {
        for batch in found.chunks(BATCH) {
            let of = |skip: Difference| {
                batch
                    .iter()
                    .filter(move |row| row.difference != skip)
                    .map(|row| &row.shown)
                    .collect::<Vec<_>>()
            };
            let here = rows(&both.live, live, key, &of(Difference::OnlySide)).await?;
            let there = rows(&both.side, side, key, &of(Difference::OnlyLive)).await?;
            for row in batch {
                let at = row.shown.join(",");
                let text = |rows: &HashMap<String, String>| rows.get(&at).cloned().unwrap_or_default();
                let shown = if key.is_empty() { String::new() } else { at.clone() };
                self.write(&[&live.name, row.difference.word(), &shown, &text(&here), &text(&there)])?;
            }
        }
        self.rows += found.len();
        Ok(())
    }

    fn write(&mut self, fields: &[&str]) -> Result<(), Failure> {
        let line = |fields: &[&str]| {
            let quoted: Vec<String> =
                fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
            format!("{}\n", quoted.join(","))
        };
        let out = match &mut self.out {
            Some(out) => out,
            None => {
                let mut options = std::fs::File::options();
                let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&self.path);
                let mut out = BufWriter::new(opened.map_err(|error| file(&self.path, &error))?);
                let head = line(&["table", "the swap", "key", "live", "side"]);
                out.write_all(head.as_bytes()).map_err(|error| file(&self.path, &error))?;
                self.out.insert(out)
            }
        };
        out.write_all(line(fields).as_bytes()).map_err(|error| file(&self.path, &error))
    }

    /// The file, if any row differs.
    pub fn finish(mut self) -> Result<Option<PathBuf>, Failure> {
        if self.full {
            self.write(&["...", "more rows differ than are listed here", "", "", ""])?;
        }
        let Some(mut out) = self.out else { return Ok(None) };
        out.flush().map_err(|error| file(&self.path, &error))?;
        Ok(Some(self.path))
    }
}

/// The rows of these keys as JSON; without a key, those of these hashes are not looked for again.
async fn rows(
    connection: &Connection,
    table: &Table,
    key: &[String],
    wanted: &[&Vec<String>],
) -> Result<HashMap<String, String>, Stop> {
    if key.is_empty() || wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let columns: Vec<String> = key.iter().map(|name| format!("t.{}", escape_identifier(name))).collect();
    let type_of = |name: &String| {
        table
            .columns
            .iter()
            .find(|(column, _)| column == name)
            .map_or("text", |(_, of)| of.as_str())
            .to_owned()
    };
    let types: Vec<String> = key.iter().map(type_of).collect();
    let tuple = |values: &Vec<String>| {
        let parts: Vec<String> =
            values.iter().zip(&types).map(|(value, of)| format!("{}::{of}", escape_literal(value))).collect();
        format!("({})", parts.join(", "))
    };
    let tuples: Vec<String> = wanted.iter().map(|values| tuple(values)).collect();
    let shown: Vec<String> = columns.iter().map(|column| format!("{column}::text")).collect();
    let found = connection
        .last(&format!(
            "SELECT concat_ws(',', {}), row_to_json(t)::text FROM ONLY {} t WHERE ({}) IN ({})",
            shown.join(", "),
            table.sql,
            columns.join(", "),
            tuples.join(", ")
        ))
        .await?;
    let pair = |row: Vec<Option<String>>| {
        let mut row = row.into_iter().map(Option::unwrap_or_default);
        Some((row.next()?, row.next()?))
    };
    Ok(found.rows.into_iter().filter_map(pair).collect())
}
