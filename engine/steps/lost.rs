//! What swapping a side database in would lose, and what it would bring back: every table compared with its twin, row by row,
//! by key and by a hash of the row, in one pass over both and in constant memory. Large tables are counted, and that is called
//! an estimate. Large objects are compared too. Must never write to either database.

mod compare;
mod difference;
mod objects;
mod rows;
mod sheet;
mod table;

pub use table::{ColumnLoss, Difference, LostReport, TableLoss};

use super::attempt::{Attempt, Unit};
use super::database::server_time;
use super::earlier;
use super::stop::{self, Stop};
use super::targets::{Target, application_name};
use crate::plan::Action;
use crate::postgres::Connection;
use crate::run::Failure;
use serde_json::Value;
use std::collections::BTreeSet;

/// Tables with more rows than this are only counted.
pub const MOST_ROWS: u64 = 5_000_000;

/// What is to be compared, and how.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// None: every table.
    pub tables: Option<&'a [String]>,
    /// Columns whose values are not written down, in whichever table they are.
    pub mask: &'a [String],
    /// Tables with more rows than this are only counted.
    pub most_rows: u64,
}

impl Default for Wish<'_> {
    fn default() -> Self {
        Self { tables: None, mask: &[], most_rows: MOST_ROWS }
    }
}

/// Compares the live database with a side one. The differing rows are in a file of the run, capped.
///
/// # Errors
/// A database cannot be read, a chosen table is in neither, or the attempt was cancelled.
pub async fn compare(
    attempt: &Attempt,
    live: &Target,
    side: &Target,
    wish: &Wish<'_>,
) -> Result<LostReport, Failure> {
    match stop::unless_cancelled(attempt, run(attempt, live, side, wish)).await {
        Ok(report) => Ok(report),
        Err(Stop::Failed(failure)) => Err(failure),
        Err(stop) => Err(Failure::new("runplan::lost::interrupted", stop.message())),
    }
}

/// Both sides, each in one snapshot that cannot write.
struct Both {
    live: Connection,
    side: Connection,
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; \
    SET LOCAL extra_float_digits = 1; SET LOCAL datestyle = 'ISO, MDY'; SET LOCAL intervalstyle = 'postgres'; \
    SET LOCAL timezone = 'UTC'; SET LOCAL bytea_output = 'hex'; SET LOCAL xmloption = 'content'; \
    SET LOCAL search_path = pg_catalog; SET LOCAL lc_monetary = 'C'; SET LOCAL row_security = off";

async fn open(attempt: &Attempt, target: &Target) -> Result<Connection, Stop> {
    let name = application_name(&attempt.world, attempt.step.id.value.as_str());
    let work = async {
        let connection = Connection::connect(&target.settings, &name).await?;
        connection.execute(BEGIN).await?;
        Ok::<Connection, crate::postgres::Error>(connection)
    };
    stop::unless_cancelled(attempt, work).await
}

async fn run(attempt: &Attempt, live: &Target, side: &Target, wish: &Wish<'_>) -> Result<LostReport, Stop> {
    let chosen = wish.tables;
    let both = Both { live: open(attempt, live).await?, side: open(attempt, side).await? };
    let until = server_time(&both.live).await?;
    let (here, there) = (table::list(&both.live).await?, table::list(&both.side).await?);
    let names: BTreeSet<&String> =
        here.keys().chain(there.keys()).filter(|name| is_chosen(name, chosen)).collect();
    refuse_missing(chosen, &names)?;
    let mut report = LostReport::new(loss_window(attempt, side), frozen_at(attempt, live).unwrap_or(until));
    let mut sheet = sheet::Sheet::new(attempt, wish.mask)?;
    let total = u64::try_from(names.len()).ok();
    for (at, name) in names.into_iter().enumerate() {
        attempt.progress("comparing tables", at as u64, total, Unit::Items);
        let loss = match (here.get(name), there.get(name)) {
            (Some(live), Some(side)) => {
                let work = difference::of(&both, live, side, wish.most_rows, &mut sheet);
                stop::unless_cancelled(attempt, work).await?
            }
            (Some(live), None) => {
                let work = difference::alone(&both.live, live, Difference::OnlyLive, &mut sheet);
                stop::unless_cancelled(attempt, work).await?
            }
            (None, Some(side)) => {
                let work = difference::alone(&both.side, side, Difference::OnlySide, &mut sheet);
                stop::unless_cancelled(attempt, work).await?
            }
            (None, None) => continue,
        };
        report.tables.push(loss);
    }
    // Of chosen tables nobody asked for more.
    if chosen.is_none() {
        attempt.progress("comparing large objects", total.unwrap_or(0), total, Unit::Items);
        report.objects =
            stop::unless_cancelled(attempt, objects::of(&both, wish.most_rows, &mut sheet)).await?;
    }
    report.file = sheet.finish()?;
    report.sum_up(&live.database);
    Ok(report)
}

/// `users` means every table of that name, `public.users` just the one.
fn is_chosen(name: &str, chosen: Option<&[String]>) -> bool {
    chosen.is_none_or(|chosen| chosen.iter().any(|table| matches(name, table)))
}

fn matches(name: &str, table: &str) -> bool {
    name == table || name.split_once('.').is_some_and(|(_, bare)| bare == table)
}

fn refuse_missing(chosen: Option<&[String]>, names: &BTreeSet<&String>) -> Result<(), Stop> {
    let missing = chosen.into_iter().flatten().find(|table| !names.iter().any(|name| matches(name, table)));
    match missing {
        None => Ok(()),
        Some(missing) => {
            let message = format!("there is no table {missing} in either database");
            Err(Failure::new("runplan::lost::no_table", message).permanent().into())
        }
    }
}

/// When the backup in the side database was taken.
fn loss_window(attempt: &Attempt, side: &Target) -> Option<String> {
    let restored = earlier::newest(attempt, |step, results| {
        matches!(step.action.value, Action::Restore(_))
            && results.get("database").and_then(Value::as_str) == Some(&side.database)
    });
    restored?.get("taken_at")?.as_str().map(str::to_owned)
}

/// Since when nobody writes.
fn frozen_at(attempt: &Attempt, live: &Target) -> Option<String> {
    super::freeze::before(attempt, live)?.get("frozen_at")?.as_str().map(str::to_owned)
}
