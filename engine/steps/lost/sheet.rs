//! The differing rows, in a CSV file of the run: for each the table, what the swap would do to it, its key, and the row as it
//! is live and in the side database. Capped; what does not fit is said in the last line. Must never hold a value of a masked
//! column: the server is not even asked for it.

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

const MASK: &str = "***";

/// A differing row by its key; by its hash where there is no key.
pub struct Found {
    pub difference: Difference,
    pub shown: Vec<String>,
}

pub struct Sheet {
    path: PathBuf,
    mask: Vec<String>,
    out: Option<BufWriter<std::fs::File>>,
    rows: usize,
    full: bool,
}

impl Sheet {
    pub fn new(attempt: &Attempt, mask: &[String]) -> Result<Self, Failure> {
        let path = attempt.world.files()?.join(format!("{}.lost.csv", attempt.key));
        Ok(Self { path, mask: mask.to_vec(), out: None, rows: 0, full: false })
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
            let here = self.read(&both.live, live, key, &of(Difference::OnlySide)).await?;
            let there = self.read(&both.side, side, key, &of(Difference::OnlyLive)).await?;
            for row in batch {
                let text = |rows: &Rows| rows.get(&row.shown).cloned().unwrap_or_default();
                let shown = self.key(key, &row.shown);
                self.write(&[&live.name, row.difference.word(), &shown, &text(&here), &text(&there)])?;
            }
        }
        self.rows += found.len();
        Ok(())
    }

    /// Writes down what differs and has no row: its key only.
    pub fn list(&mut self, name: &str, found: &[(Difference, Vec<String>)]) -> Result<(), Failure> {
        for (difference, shown) in found {
            self.write(&[name, difference.word(), &shown.join(", "), "", ""])?;
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
                let head = line(&["table", "the side would", "key", "live", "side"]);
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

    /// A row's key, for people.
    fn key(&self, key: &[String], shown: &[String]) -> String {
        let shown = key.iter().zip(shown).map(|(column, value)| match self.mask.contains(column) {
            true => MASK,
            false => value,
        });
        shown.collect::<Vec<_>>().join(",")
    }

    /// The rows of these keys as JSON; without a key, those of these hashes are not looked for again.
    async fn read(
        &self,
        connection: &Connection,
        table: &Table,
        key: &[String],
        wanted: &[&Vec<String>],
    ) -> Result<Rows, Stop> {
        if key.is_empty() || wanted.is_empty() {
            return Ok(Rows::new());
        }
        let found = connection.last(&self.query(table, key, wanted)).await?;
        let row = |row: Vec<Option<String>>| {
            let mut values: Vec<String> = row.into_iter().map(Option::unwrap_or_default).collect();
            let text = values.pop()?;
            Some((values, text))
        };
        Ok(found.rows.into_iter().filter_map(row).collect())
    }

    /// The key's columns, then the row.
    fn query(&self, table: &Table, key: &[String], wanted: &[&Vec<String>]) -> String {
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
        let row: Vec<String> = table
            .columns
            .iter()
            .map(|(name, _)| match self.mask.contains(name) {
                true => format!("'{MASK}'::text AS {}", escape_identifier(name)),
                false => format!("t.{0} AS {0}", escape_identifier(name)),
            })
            .collect();
        format!(
            "SELECT {}, (SELECT row_to_json(r)::text FROM (SELECT {}) r) FROM ONLY {} t WHERE ({}) IN ({})",
            shown.join(", "),
            row.join(", "),
            table.sql,
            compared.join(", "),
            wanted.iter().map(tuple).collect::<Vec<_>>().join(", ")
        )
    }
}

/// Rows as JSON, by the texts of their keys.
type Rows = HashMap<Vec<String>, String>;
