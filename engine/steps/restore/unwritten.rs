//! Before everything is replaced: nothing was written since the freeze that the plan relies on. Looked at before the load, and
//! again when the transaction holds every table that it drops: from then on nobody else can write to one. Must never pass on
//! counters that a session has still to report.

use super::super::attempt::Attempt;
use super::super::database::Database;
use super::super::freeze::{self, Counters, Watch, Writes};
use super::super::sessions;
use super::super::stop::{self, Stop};
use super::super::targets::Target;
use crate::plan::action::Restore;
use crate::plan::action::restore::Into;
use crate::postgres::Connection;
use crate::run::Failure;
use std::time::Duration;

/// How long sessions may take to end.
const ENDING: Duration = Duration::from_secs(20);

/// What the freeze counted, if there was one.
pub struct Proof {
    counted: Option<Counters>,
    database: String,
    oid: u32,
    writes: Writes,
}

impl Proof {
    /// # Errors
    /// The freeze let nobody in, and here we are in; or what it counted cannot be read.
    pub fn of(attempt: &Attempt, action: &Restore, target: &Target, live: &Database) -> Result<Self, Stop> {
        // An attempt that was rolled back has been in the catalogs; the rows are as they were.
        let writes = if attempt.number > 1 { Writes::Rows } else { Writes::All };
        let none = Self { counted: None, database: live.name.clone(), oid: live.oid, writes };
        if action.into != Into::InPlace {
            return Ok(none);
        }
        let Some(frozen) = freeze::before(attempt, target) else { return Ok(none) };
        let counted = freeze::counted(&frozen)
            .map_err(|error| Failure::new("runplan::restore::counters", error.to_string()))?;
        if counted.is_none() {
            let message = format!("{} was opened to connections again since the freeze", live.name);
            return Err(Failure::new("runplan::restore::reopened", message)
                .help(freeze::reopened(&live.name, live.open))
                .into());
        }
        Ok(Self { counted, ..none })
    }

    /// What is known already: soon said, before anything is locked.
    pub async fn look(&self, attempt: &Attempt, inside: &Connection) -> Result<(), Stop> {
        let Some(then) = &self.counted else { return Ok(()) };
        let now = stop::unless_cancelled(attempt, Watch::take(inside)).await?.counters(self.oid);
        let why = freeze::refusal(&self.database);
        Ok(freeze::unwritten("restore", &self.database, then, &now, self.writes, &why)?)
    }

    /// For certain, while the transaction holds the tables: every other session is ended, which makes it report.
    pub async fn settle(&self, attempt: &Attempt, other: &Connection) -> Result<(), Stop> {
        if self.counted.is_none() {
            return Ok(());
        }
        let ending = sessions::end(other, &attempt.world, self.oid, ENDING);
        let ended = stop::unless_cancelled(attempt, ending).await?;
        if !ended.refused.is_empty() {
            let message = format!(
                "sessions that may have written cannot be ended: {}; nothing was changed",
                ended.refused.join("; ")
            );
            return Err(Failure::new("runplan::restore::sessions", message)
                .help("run as a superuser, or grant this role pg_signal_backend and end the superusers' sessions by hand")
                .into());
        }
        self.look(attempt, other).await
    }
}
