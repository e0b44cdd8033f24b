//! `restore`: loads a backup, beside the live database or over it. A backup is proved before anything is touched. Must never
//! leave half a database under the live name, and never drop a database that is not this step's own.

mod analyse;
mod elsewhere;
mod in_place;
mod load;
pub(super) mod needs;
mod packages;
pub(super) mod room;
mod side;
mod unwritten;

pub use in_place::standing;

use super::archive::{Format, Inspection, Reading};
use super::attempt::{Attempt, Unit};
use super::stop::{self, Stop};
use crate::plan::action::Restore;
use crate::plan::action::restore::Into;
use crate::run::{Failure, Outcome};
use std::path::PathBuf;
use std::sync::Arc;

pub async fn act(attempt: &Attempt, action: &Restore) -> Outcome {
    stop::outcome(match &action.into {
        Into::Side => side::begin(attempt, action).await,
        Into::InPlace | Into::Other(_) => in_place::begin(attempt, action).await,
    })
}

/// Side: its comment says whose it is and whether it is complete. In place: the server says whether the one transaction
/// committed.
pub async fn settle(attempt: &Attempt, action: &Restore) -> Outcome {
    let settled = match &action.into {
        Into::Side => side::take_up(attempt, action).await,
        Into::InPlace | Into::Other(_) => in_place::ask(attempt, action).await,
    };
    stop::outcome(settled.map_err(Stop::in_doubt))
}

/// Drops the side database, or empties the other one; what was overwritten in place does not come back.
pub async fn undo(attempt: &Attempt, action: &Restore) -> Outcome {
    stop::outcome(match &action.into {
        Into::Other(_) => elsewhere::empty_again(attempt, action).await,
        Into::Side => side::remove(attempt, action).await,
        Into::InPlace => {
            Err(Failure::new("runplan::restore::no_way_back", "a restore in place cannot be undone")
                .help("restore the safety backup instead")
                .permanent()
                .into())
        }
    })
}

/// A backup that was proved.
struct Source {
    path: PathBuf,
    found: Inspection,
    /// Only the rows of these tables, `schema.table`.
    tables: Option<Vec<String>>,
}

/// Proves the backup, and that it can do what is asked of it.
async fn source(attempt: &Attempt, action: &Restore) -> Result<Source, Stop> {
    let path = attempt.path(&action.from).await?;
    let path = std::path::absolute(&path).unwrap_or(path);
    let teller = attempt.clone();
    let reading = Reading {
        progress: Arc::new(move |bytes| teller.progress("checking the backup", bytes, None, Unit::Bytes)),
        ..Reading::new(&attempt.world.programs, &attempt.cancelled)
    };
    let found = attempt.world.proofs.standing(&reading, &path).await?;
    if !found.complete {
        attempt.warn(format!(
            "{} was not written by pg_dump: it can be read to its end, but nothing proves that this is all of it",
            path.display()
        ));
    }
    let outside = found.needs.iter().filter_map(|needs| needs.made.as_ref()).flat_map(|made| &made.outside);
    let outside: Vec<&str> = outside.map(String::as_str).collect();
    if !outside.is_empty() {
        attempt.warn(format!(
            "the backup defines what can act outside the database when it is used: {}",
            outside.join(", ")
        ));
    }
    if matches!(found.format, Format::Plain(_)) {
        refuse_choice(action, &found)?;
    }
    let tables = match &action.tables {
        None => None,
        Some(texts) => {
            let mut tables = Vec::new();
            for text in texts {
                tables.push(attempt.plain(text).await?);
            }
            Some(tables)
        }
    };
    Ok(Source { path, found, tables })
}

/// What only an archive can do.
fn refuse_choice(action: &Restore, found: &Inspection) -> Result<(), Stop> {
    if action.tables.is_none() {
        return Ok(());
    }
    let message = format!("`tables` needs an archive, and this backup is {}", found.format);
    Err(Failure::new("runplan::restore::plain", message)
        .help("make backups with `format: directory` or `custom` (pg_dump -Fd, -Fc)")
        .permanent()
        .into())
}
