//! The differing rows, in a CSV file of the run: for each the table, what the swap would do to it, its key, and the row as it
//! is live and in the side database. Capped; what does not fit is said in the last line. Must never hold a value of a masked
//! column: the server is not even asked for it.

use super::Both;
use super::rows::{self, BATCH, By, Rows};
use super::table::{Difference, Table};
use crate::postgres::{Connection, escape_identifier};
use crate::run::Failure;
use crate::steps::attempt::Attempt;
use crate::steps::failures::file;
use crate::steps::stop::Stop;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Rows of one table, and in all.
const MOST_OF_TABLE: usize = 1_000;
const MOST: usize = 20_000;
/// A differing row by its key; by its hash where there is no key.
pub struct Found {
    pub difference: Difference,
    pub shown: Vec<String>,
    /// How many such rows there are, of the side that has more.
    pub count: u64,
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
        by: &By<'_>,
        found: &[Found],
    ) -> Result<(), Stop> {
        // Each look for hashes reads the whole table.
        for batch in found.chunks(if by.key.is_empty() { MOST_OF_TABLE } else { BATCH }) {
            let of = |skip: Difference| {
                batch
                    .iter()
                    .filter(move |row| row.difference != skip)
                    .map(|row| &row.shown)
                    .collect::<Vec<_>>()
            };
            let here = rows::find(&both.live, live, by, &self.mask, &of(Difference::OnlySide)).await?;
            let there = rows::find(&both.side, side, by, &self.mask, &of(Difference::OnlyLive)).await?;
            for row in batch {
                let text = |rows: &Rows| rows.get(&row.shown).cloned().unwrap_or_default();
                let shown = match (by.key, row.count) {
                    ([], 1) => "no key".to_owned(),
                    ([], many) => format!("no key; {many} such rows"),
                    (key, _) => self.key(key, &row.shown),
                };
                self.write(&[&live.name, row.difference.word(), &shown, &text(&here), &text(&there)])?;
            }
        }
        self.rows += found.len();
        Ok(())
    }

    /// Writes down the rows of a table that the other database does not have.
    pub async fn alone(
        &mut self,
        connection: &Connection,
        table: &Table,
        difference: Difference,
    ) -> Result<(), Stop> {
        for (shown, row) in self.first(connection, table, "true").await? {
            let key = self.key(&table.key, &shown);
            let (here, there) = match difference {
                Difference::OnlySide => ("", row.as_str()),
                Difference::OnlyLive | Difference::Changed => (row.as_str(), ""),
            };
            self.write(&[&table.name, difference.word(), &key, here, there])?;
        }
        Ok(())
    }

    /// Writes down the rows with values in columns that only the live table has.
    pub async fn values(
        &mut self,
        connection: &Connection,
        table: &Table,
        columns: &[String],
    ) -> Result<(), Stop> {
        let any: Vec<String> =
            columns.iter().map(|name| format!("t.{} IS NOT NULL", escape_identifier(name))).collect();
        let word = format!("values lost: {}", columns.join(", "));
        for (shown, row) in self.first(connection, table, &any.join(" OR ")).await? {
            let key = self.key(&table.key, &shown);
            self.write(&[&table.name, &word, &key, &row, ""])?;
        }
        Ok(())
    }

    /// As many rows as there is room for; whether there are more is remembered.
    async fn first(
        &mut self,
        connection: &Connection,
        table: &Table,
        condition: &str,
    ) -> Result<Vec<(Vec<String>, String)>, Stop> {
        let room = MOST_OF_TABLE.min(MOST.saturating_sub(self.rows));
        let mut found = rows::first(connection, table, &table.key, &self.mask, condition, room + 1).await?;
        self.full |= found.len() > room;
        found.truncate(room);
        self.rows += found.len();
        Ok(found)
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
        let shown = key.iter().zip(shown).map(|(column, value)| rows::shown(column, value, &self.mask));
        shown.collect::<Vec<_>>().join(",")
    }
}
