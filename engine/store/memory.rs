//! A journal in memory that keeps every promise of the real one but durability, and fails on request: for tests that
//! stop a run at every instant. Never used by the program.

use super::journal::prove_sequence;
use super::{Error, Journal, PostId, Posted};
use crate::run::{Actor, Post, Record};
use jiff::Timestamp;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// When the failing append fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written, as if the process had died before.
    Before,
    /// Everything is written, and nobody hears of it.
    After,
}

/// One holder of a journal in memory; `reopen` gives the next one, with what endured.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    shared: Arc<Mutex<Shared>>,
    lost: AtomicBool,
}

#[derive(Debug, Default)]
struct Shared {
    records: Vec<Record>,
    inbox: Vec<(Posted, Option<u64>)>,
    /// Appends that still succeed before the one that fails.
    fault: Option<(u64, Fault)>,
}

impl MemoryJournal {
    pub fn new() -> Self {
        Self::default()
    }

    /// The n-th append from now fails; 1 is the next.
    pub fn fail(&self, nth: u64, fault: Fault) {
        self.lock().fault = Some((nth.saturating_sub(1), fault));
    }

    /// Takes the same journal up again, as another process would. No fault is left.
    #[must_use]
    pub fn reopen(&self) -> Self {
        self.lock().fault = None;
        Self { shared: self.shared.clone(), lost: AtomicBool::new(false) }
    }

    /// All that endured.
    pub fn records(&self) -> Vec<Record> {
        self.lock().records.clone()
    }

    pub fn post(&self, at: Timestamp, actor: &Actor, post: &Post) -> PostId {
        let mut shared = self.lock();
        let id = PostId(shared.inbox.len() as u64 + 1);
        shared.inbox.push((Posted { id, at, actor: actor.clone(), post: post.clone() }, None));
        id
    }

    /// As that of the real one.
    ///
    /// # Errors
    /// `NoPost`.
    pub fn outcome_of(&self, id: PostId) -> Result<Option<Range<u64>>, Error> {
        let shared = self.lock();
        let found = shared.inbox.iter().find(|(posted, _)| posted.id == id);
        let later = shared.inbox.iter().filter(|(posted, _)| posted.id > id);
        let next = later.filter_map(|(_, taken)| *taken).min().unwrap_or(u64::MAX);
        found.map(|(_, taken)| taken.map(|first| first..next)).ok_or(Error::NoPost { id: id.0 })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn append(&mut self, expected: u64, records: &[Record], taken: &[PostId]) -> Result<(), Error> {
        prove_sequence(expected, records)?;
        let due = self.due();
        if due == Some(Fault::Before) {
            return Err(failure());
        }
        let found = self.records.len() as u64;
        if found != expected {
            return Err(Error::Conflict { expected, found });
        }
        for (at, id) in taken.iter().enumerate() {
            let waits = |(posted, seq): &(Posted, Option<u64>)| posted.id == *id && seq.is_none();
            if taken[..at].contains(id) || !self.inbox.iter().any(waits) {
                return Err(Error::NoPost { id: id.0 });
            }
        }
        self.records.extend_from_slice(records);
        for (posted, seq) in &mut self.inbox {
            if taken.contains(&posted.id) {
                *seq = Some(expected + 1);
            }
        }
        if due == Some(Fault::After) { Err(failure()) } else { Ok(()) }
    }

    /// Whether this append is the one that fails.
    fn due(&mut self) -> Option<Fault> {
        match &mut self.fault {
            Some((0, fault)) => {
                let fault = *fault;
                self.fault = None;
                Some(fault)
            }
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        }
    }
}

impl Journal for MemoryJournal {
    async fn append_taking(&self, expected: u64, records: &[Record], taken: &[PostId]) -> Result<(), Error> {
        if self.is_lost() {
            return Err(Error::Lost);
        }
        let done = self.lock().append(expected, records, taken);
        if done.is_err() {
            self.lost.store(true, Ordering::Release);
        }
        done
    }

    async fn inbox(&self) -> Result<Vec<Posted>, Error> {
        let waiting = |(posted, taken): &(Posted, Option<u64>)| taken.is_none().then(|| posted.clone());
        Ok(self.lock().inbox.iter().filter_map(waiting).collect())
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

fn failure() -> Error {
    Error::Io { path: PathBuf::from("memory"), reason: "it was told to fail".to_owned() }
}
