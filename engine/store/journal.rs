//! What every journal can do, wherever it is kept. The loop that drives a run knows nothing else of the store.

use super::Error;
use crate::run::{Actor, Post, Record};
use jiff::Timestamp;
use std::future::Future;

/// The journal of one run, held by the one process that may write to it.
///
/// After a failed append nothing more can be appended through the same journal: what the caller has in memory is no
/// longer known to be true, so it stops, and the run is taken up anew from what endured.
pub trait Journal {
    /// Makes the records durable, all or none, and `taken` as taken with them.
    ///
    /// `expected_seq` is the number of the last line the caller knows of, 0 for none; the records follow it without a
    /// gap. It is not cancelled by dropping the future.
    ///
    /// # Errors
    /// `Conflict` if the journal ends elsewhere; no room, no disk, no directory; `Lost` ever after.
    fn append_taking(
        &self,
        expected_seq: u64,
        records: &[Record],
        taken: &[PostId],
    ) -> impl Future<Output = Result<(), Error>>;

    /// What was posted to the run and not taken yet, oldest first.
    ///
    /// # Errors
    /// If the inbox cannot be read; the journal can still be written to.
    fn inbox(&self) -> impl Future<Output = Result<Vec<Posted>, Error>>;

    /// Whether nothing can be appended any more. Cheap: asked before every effect.
    fn is_lost(&self) -> bool;

    /// `append_taking` nothing.
    ///
    /// # Errors
    /// As `append_taking`.
    fn append(&self, expected_seq: u64, records: &[Record]) -> impl Future<Output = Result<(), Error>> {
        self.append_taking(expected_seq, records, &[])
    }
}

/// A journal that somebody else keeps.
impl<J: Journal> Journal for &J {
    fn append_taking(
        &self,
        expected_seq: u64,
        records: &[Record],
        taken: &[PostId],
    ) -> impl Future<Output = Result<(), Error>> {
        (**self).append_taking(expected_seq, records, taken)
    }

    fn inbox(&self) -> impl Future<Output = Result<Vec<Posted>, Error>> {
        (**self).inbox()
    }

    fn is_lost(&self) -> bool {
        (**self).is_lost()
    }
}

/// The number of a message in a run's inbox, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PostId(pub u64);

impl std::fmt::Display for PostId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What another process said to the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    pub id: PostId,
    pub at: Timestamp,
    pub actor: Actor,
    pub post: Post,
}

/// Refuses records that do not follow `expected` one after the other.
pub(super) fn prove_sequence(expected: u64, records: &[Record]) -> Result<(), Error> {
    for (record, seq) in records.iter().zip(expected + 1..) {
        if record.seq != seq {
            return Err(Error::Conflict { expected: seq, found: record.seq });
        }
    }
    Ok(())
}
