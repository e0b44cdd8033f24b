//! Statistics for what was loaded, in several sessions as `vacuumdb --analyze-only --jobs` does it, so that what comes next is
//! as fast as it should be. Must never run before everything is in.

use super::super::attempt::{Attempt, Unit};
use super::super::stop::{self, Stop};
use super::super::targets::application_name;
use super::load;
use crate::plan::action::Restore;
use crate::postgres::{Connection, Error};
use futures_util::future::join_all;
use std::sync::Mutex;

/// The tables there are, the largest first. A partitioned table's ANALYZE sees to its partitions.
const TABLES: &str = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
     WHERE c.relkind IN ('r', 'm', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' \
     AND n.nspname OPERATOR(pg_catalog.<>) 'pg_toast' \
     ORDER BY c.relkind OPERATOR(pg_catalog.=) 'p' DESC, pg_catalog.pg_relation_size(c.oid) DESC";

/// A table that is gone meanwhile.
const UNDEFINED_TABLE: &str = "42P01";

/// Analyses every table of the database that `inside` is connected to, in as many sessions as the restore has jobs.
///
/// # Errors
/// What the server says of the first table that it could not analyse; a cancellation.
pub async fn tables(attempt: &Attempt, action: &Restore, inside: Connection) -> Result<(), Stop> {
    let found = inside.last(TABLES).await?;
    let names: Vec<String> =
        found.rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    let queue = Queue::new(attempt, names);
    let jobs = usize::from(load::jobs_of(action)).min(queue.total.max(1));
    let label = application_name(&attempt.world, attempt.step.id.value.as_str());
    let settings = inside.settings().clone();
    let others = join_all((1..jobs).map(|_| Connection::connect(&settings, &label))).await;
    // Fewer sessions than wished for do the same work.
    let sessions = std::iter::once(inside).chain(others.into_iter().flatten());
    join_all(sessions.map(|session| queue.work_off(session))).await.into_iter().collect()
}

/// What is still to be analysed, shared by the sessions.
struct Queue<'a> {
    attempt: &'a Attempt,
    left: Mutex<std::vec::IntoIter<String>>,
    total: usize,
}

impl<'a> Queue<'a> {
    fn new(attempt: &'a Attempt, names: Vec<String>) -> Self {
        let total = names.len();
        Self { attempt, left: Mutex::new(names.into_iter()), total }
    }

    async fn work_off(&self, session: Connection) -> Result<(), Stop> {
        while let Some(name) = self.next() {
            let sql = format!("ANALYZE {name}");
            let work = async { session.execute(&sql).await.map(drop).or_else(unless_gone) };
            stop::cancel_on_server(self.attempt, &session, work).await?;
        }
        Ok(())
    }

    fn next(&self) -> Option<String> {
        let mut left = self.left.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let name = left.next();
        let done = self.total - left.len();
        self.attempt.progress("analysing", done as u64, Some(self.total as u64), Unit::Items);
        name
    }
}

fn unless_gone(error: Error) -> Result<(), Error> {
    if error.sqlstate() == Some(UNDEFINED_TABLE) { Ok(()) } else { Err(error) }
}
