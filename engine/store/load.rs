//! Reads a journal back and proves it, line by line, whoever holds the run. It never mends anything.

use super::head::{Head, Headless};
use super::{Error, database};
use crate::plan::RunId;
use crate::run::{Record, RecordError};
use rusqlite::{Connection, ErrorCode};
use std::ops::Range;
use std::path::Path;

/// A long journal is proved in so many parts at most.
const MOST_PARTS: usize = 4;
/// Fewer lines are proved sooner than a thread begins.
const SHORTEST_PART: usize = 512;

/// What a journal holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub run: RunId,
    /// All lines that are proved: everything, or everything before the damage.
    pub records: Vec<Record>,
    pub damage: Option<Damage>,
}

/// What `status --verify` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Lines that are proved.
    pub lines: u64,
    /// The hash of the last of them, to compare with one that is kept elsewhere; empty for none.
    pub head: String,
    /// The first thing that is wrong.
    pub damage: Option<Damage>,
}

/// The first thing that is wrong about a journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("{0}")]
    Line(RecordError),
    #[error("line {seq} of the journal belongs to another run, {other}")]
    OtherRun { seq: u64, other: RunId },
    #[error("line {seq} of the journal is missing")]
    Missing { seq: u64 },
    #[error("the journal ends after line {last}, but line {acknowledged} was written: its end was cut off")]
    Cut { last: u64, acknowledged: u64 },
    #[error("line {seq} of the journal is not the one that was written: it was replaced")]
    Replaced { seq: u64 },
    #[error(
        "the head that says which line was the last is {fault}: whether lines after line {last} were cut off is not known"
    )]
    Headless { last: u64, fault: Headless },
    #[error("the database is damaged after line {last} of the journal: {reason}")]
    Database { last: u64, reason: String },
}

impl Damage {
    /// The first line that cannot be trusted.
    pub fn line(&self) -> u64 {
        match self {
            Self::Line(
                RecordError::Damaged { seq, .. }
                | RecordError::Format { seq, .. }
                | RecordError::UnknownEvent { seq, .. }
                | RecordError::Chain { seq },
            )
            | Self::OtherRun { seq, .. }
            | Self::Missing { seq }
            | Self::Replaced { seq } => *seq,
            Self::Cut { last, .. } | Self::Headless { last, .. } | Self::Database { last, .. } => last + 1,
        }
    }

    /// Whether nothing is broken: the journal is only newer than this program.
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::Line(RecordError::Format { .. } | RecordError::UnknownEvent { .. }))
    }
}

impl Loaded {
    /// All records, for going on with the run.
    ///
    /// # Errors
    /// If the journal is damaged, or holds what this version does not know.
    pub fn whole(self) -> Result<Vec<Record>, Error> {
        let run = self.run;
        match self.damage {
            None => Ok(self.records),
            Some(damage) if damage.is_newer() => Err(Error::Newer { run, damage }),
            Some(damage) => Err(Error::Damaged { run, damage }),
        }
    }
}

/// Reads and proves the journal in that directory.
pub(super) fn load(run: &RunId, directory: &Path) -> Result<Loaded, Error> {
    // Before the lines: it may only be older than they are.
    let head = Head::read(directory).ok();
    let (lines, broken) = match database::read(directory, lines) {
        Ok(found) => found,
        Err(Error::Corrupt { reason, .. }) => (Vec::new(), Some(reason)),
        Err(error) => return Err(error),
    };
    let mut loaded = Loaded { run: run.clone(), records: Vec::with_capacity(lines.len()), damage: None };
    for part in proof(run, &lines) {
        loaded.records.extend(part.records);
        if part.damage.is_some() {
            loaded.damage = part.damage;
            return Ok(loaded);
        }
    }
    let last = loaded.records.len() as u64;
    loaded.damage = match broken {
        Some(reason) => Some(Damage::Database { last, reason }),
        None => head.and_then(|head| contradiction(&head, &loaded.records)),
    };
    Ok(loaded)
}

/// What `load` found, without the lines. There is one way to look, so that nothing is gone on with that this would warn of: a
/// run without its head can be looked at, and is not taken.
pub(super) fn verify(run: &RunId, directory: &Path) -> Result<Verdict, Error> {
    // Before the lines, as there: the head of a journal that is being begun is older than its first line.
    let head = Head::read(directory);
    let loaded = load(run, directory)?;
    let last = loaded.records.len() as u64;
    let headless = head.err().filter(|_| last > 0).map(|fault| Damage::Headless { last, fault });
    let head = loaded.records.last().map(|record| record.hash.clone()).unwrap_or_default();
    Ok(Verdict { lines: last, head, damage: loaded.damage.or(headless) })
}

/// Why there is no word of which line was the last, of a journal that has lines.
pub(super) fn headless(directory: &Path) -> Result<Option<Headless>, Error> {
    let Err(fault) = Head::read(directory) else { return Ok(None) };
    let some = |connection: &Connection| {
        connection.query_row("SELECT EXISTS (SELECT 1 FROM journal)", [], |row| row.get::<_, bool>(0))
    };
    Ok(database::read(directory, some)?.then_some(fault))
}

type Lines = (Vec<(u64, Vec<u8>)>, Option<String>);

/// Every line that SQLite can still reach, and why it could not go on; else what it says of the pages that hold no line: what
/// is appended goes through them.
fn lines(connection: &Connection) -> Result<Lines, rusqlite::Error> {
    let mut lines = Vec::new();
    let mut reach = || {
        let mut select = connection.prepare("SELECT seq, line FROM journal ORDER BY seq")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            // A damaged page may give any type; what is not text is not a line.
            let line = row.get_ref(1)?.as_bytes().map(<[u8]>::to_vec).unwrap_or_default();
            lines.push((row.get::<_, i64>(0)?.unsigned_abs(), line));
        }
        let sound: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        Ok(Some(sound).filter(|answer| answer != "ok"))
    };
    match reach() {
        Ok(reason) => Ok((lines, reason)),
        Err(error) if is_damage(&error) => Ok((lines, Some(error.to_string()))),
        Err(error) => Err(error),
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    let damage = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];
    error.sqlite_error_code().is_some_and(|code| damage.contains(&code))
}

/// A stretch of lines that are proved, and what ends it too early.
struct Part {
    records: Vec<Record>,
    damage: Option<Damage>,
}

/// Proves the lines, a long journal on several processors at once: a line goes with the hash that the one before it bears, and
/// that this is its true hash is proved where that line is. The parts in their order, good up to the first damage.
fn proof(run: &RunId, lines: &[(u64, Vec<u8>)]) -> Vec<Part> {
    let most = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_PARTS);
    let size = lines.len().div_ceil(most).max(SHORTEST_PART);
    if lines.len() <= size {
        return vec![stretch(run, lines, 0..lines.len())];
    }
    std::thread::scope(|scope| {
        let whole = |first: usize| first..lines.len().min(first + size);
        let begun: Vec<_> = (0..lines.len())
            .step_by(size)
            .map(|first| (first, scope.spawn(move || stretch(run, lines, whole(first)))))
            .collect();
        let ended = begun.into_iter().map(|(first, part)| {
            // Whatever ended the thread, it is met again here.
            part.join().unwrap_or_else(|_| stretch(run, lines, whole(first)))
        });
        ended.collect()
    })
}

fn stretch(run: &RunId, lines: &[(u64, Vec<u8>)], part: Range<usize>) -> Part {
    let mut records = Vec::with_capacity(part.len());
    for at in part {
        match line(run, lines, at) {
            Ok(record) => records.push(record),
            Err(damage) => return Part { records, damage: Some(damage) },
        }
    }
    Part { records, damage: None }
}

/// The line at that place, taken for granted that those before it are sound.
fn line(run: &RunId, lines: &[(u64, Vec<u8>)], at: usize) -> Result<Record, Damage> {
    let (seq, expected) = (lines[at].0, at as u64 + 1);
    if seq != expected {
        return Err(Damage::Missing { seq: expected });
    }
    let previous = match at.checked_sub(1) {
        Some(before) => Record::hash_of(&lines[before].1).ok_or(Damage::Line(RecordError::Chain { seq }))?,
        None => "",
    };
    let not_text = |_| RecordError::Damaged { seq, why: "it is not text".to_owned() };
    let line = std::str::from_utf8(&lines[at].1).map_err(not_text).map_err(Damage::Line)?;
    let record = Record::read(line, seq, previous).map_err(Damage::Line)?;
    if record.run != *run {
        return Err(Damage::OtherRun { seq, other: record.run });
    }
    Ok(record)
}

fn contradiction(head: &Head, records: &[Record]) -> Option<Damage> {
    let last = records.len() as u64;
    let at = head.seq.checked_sub(1)?;
    match usize::try_from(at).ok().and_then(|at| records.get(at)) {
        None => Some(Damage::Cut { last, acknowledged: head.seq }),
        Some(record) if record.hash != head.hash => Some(Damage::Replaced { seq: head.seq }),
        Some(_) => None,
    }
}
