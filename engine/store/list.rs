//! A run at a glance, for lists: read from the ends of its journal, without proving the middle.

use super::{Error, database};
use crate::plan::{Name, RunId};
use crate::run::{Event, Finish, Phase, Record, Why};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What may stand after the end of a run (its handlers) and after its parking.
const TAIL: usize = 64;

/// A run at a glance.
#[derive(Debug, Clone, PartialEq)]
pub struct Brief {
    pub run: RunId,
    /// Nothing if the journal cannot be read, or is still empty.
    pub summary: Option<Summary>,
    /// Why the journal, or its end, cannot be read.
    pub problem: Option<String>,
}

/// What the ends of a journal say.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    pub plan: Name,
    pub title: Option<String>,
    pub reason: Option<String>,
    /// Who started it.
    pub operator: String,
    pub rehearsal: bool,
    /// Of the plan without its parameters.
    pub plan_digest: String,
    /// The servers that its databases were on, by their system identifiers.
    pub targets: BTreeMap<String, String>,
    pub started_at: Timestamp,
    pub last_at: Timestamp,
    pub phase: Phase,
    /// How it ended, and when.
    pub finished: Option<(Timestamp, Finish)>,
    /// Why it stands still, if nothing went on after it parked.
    pub parked: Option<Why>,
    /// Lines of the journal.
    pub lines: u64,
}

#[derive(Deserialize)]
struct Date {
    at: Timestamp,
}

pub(super) fn brief(run: &RunId, directory: &Path) -> Brief {
    let brief = |summary, problem| Brief { run: run.clone(), summary, problem };
    match database::read(directory, ends) {
        Err(error) => brief(None, Some(error.to_string())),
        Ok(None) => brief(None, Some("its journal is empty".to_owned())),
        Ok(Some(ends)) => match summary(&ends) {
            Ok(summary) => brief(Some(summary), None),
            Err(problem) => brief(None, Some(problem)),
        },
    }
}

struct Ends {
    first: String,
    lines: u64,
    /// The last lines, the last first.
    tail: Vec<String>,
    turned: bool,
}

fn ends(connection: &Connection) -> Result<Option<Ends>, rusqlite::Error> {
    let first = "SELECT line FROM journal WHERE seq = 1";
    let Some(first) = connection.query_row(first, [], |row| row.get(0)).optional()? else { return Ok(None) };
    let lines = connection.query_row("SELECT max(seq) FROM journal", [], |row| row.get(0))?;
    let mut select = connection.prepare("SELECT line FROM journal ORDER BY seq DESC LIMIT ?1")?;
    let mut tail: Vec<String> = Vec::new();
    let mut rows = select.query([TAIL])?;
    // One line is enough, but for what handlers and messages add after it.
    while let Some(row) = rows.next()? {
        tail.push(row.get(0)?);
        if tail.last().is_some_and(|line| !is_trailing(line)) {
            break;
        }
    }
    let finished = tail.last().is_some_and(|line| line.contains(r#""kind":"run_finished""#));
    let turned = r#"SELECT EXISTS (SELECT 1 FROM journal WHERE instr(line, '"kind":"undo_requested"') > 0)"#;
    let turned = !finished && connection.query_row(turned, [], |row| row.get(0))?;
    Ok(Some(Ends { first, lines, tail, turned }))
}

fn is_trailing(line: &str) -> bool {
    ["handler_finished", "warned", "decision_refused", "targets_released"]
        .iter()
        .any(|kind| line.contains(&format!(r#""kind":"{kind}""#)))
}

fn summary(ends: &Ends) -> Result<Summary, String> {
    let first = Record::read(&ends.first, 1, "").map_err(|error| error.to_string())?;
    let Event::RunStarted(started) = first.event else {
        return Err("its journal does not begin with the start of a run".to_owned());
    };
    let date = |line: &String| serde_json::from_str::<Date>(line).map(|date| date.at);
    let event = |line: &String| serde_json::from_str::<Event>(line).ok();
    let unreadable = |_| format!("line {} of its journal cannot be read", ends.lines);
    let last_at = ends.tail.first().map_or(Ok(first.at), date).map_err(unreadable)?;
    let significant = ends.tail.last();
    let at = significant.map_or(Ok(first.at), date).map_err(unreadable)?;
    let (finished, parked) = match significant.and_then(event) {
        Some(Event::RunFinished { result }) => (Some((at, result)), None),
        Some(Event::Parked { why }) => (None, Some(why)),
        _ => (None, None),
    };
    let phase = match (finished.is_some(), ends.turned) {
        (true, _) => Phase::Finished,
        (false, true) => Phase::Backward,
        (false, false) => Phase::Forward,
    };
    Ok(Summary {
        plan: started.plan,
        title: started.title,
        reason: started.reason,
        operator: first.actor.name,
        rehearsal: started.rehearsal,
        plan_digest: started.plan_digest,
        targets: started.targets,
        started_at: first.at,
        last_at,
        phase,
        finished,
        parked,
        lines: ends.lines,
    })
}

/// Whether a run may be meant: by the whole id, its beginning, or its end (the four letters).
pub fn may_mean(wanted: &str, run: &str) -> bool {
    !wanted.is_empty() && (run.starts_with(wanted) || run.ends_with(wanted))
}

/// The one run that is meant.
pub(super) fn find(wanted: &str, runs: &[RunId], directory: &Path) -> Result<RunId, Error> {
    if let Some(run) = runs.iter().find(|run| run.as_str() == wanted) {
        return Ok(run.clone());
    }
    let mut among: Vec<RunId> = runs.iter().filter(|run| may_mean(wanted, run.as_str())).cloned().collect();
    match among.len() {
        0 => Err(Error::NoRun { wanted: wanted.to_owned(), directory: directory.to_path_buf() }),
        1 => Ok(among.remove(0)),
        _ => Err(Error::Ambiguous { wanted: wanted.to_owned(), among }),
    }
}
