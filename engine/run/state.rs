//! The state of a run: the fold of its events and nothing else. `apply` is the only writer.

mod entry;
mod fold;
mod values;

pub use entry::{Decision, Entry};

use super::event::{Finish, Started};
use super::parked::Why;
use super::record::Actor;
use super::shape::Shape;
use super::transition::StepState;
use super::untold::Untold;
use crate::plan::{Name, RunId, StepId};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Which way the run goes. Parking keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Forward,
    Backward,
    Finished,
}

impl Phase {
    pub fn word(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::Finished => "finished",
        }
    }
}

/// Where a run went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The file it was written to.
    pub to: String,
    pub by: Actor,
    pub at: Timestamp,
}

/// The fold of a run's events.
#[derive(Debug, Clone)]
pub struct State {
    pub run: RunId,
    pub shape: Shape,
    pub started: Option<Arc<Started>>,
    pub started_at: Option<Timestamp>,
    /// When a process took it up the last time.
    pub resumed_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub requester: Option<Actor>,
    pub phase: Phase,
    pub parked: Option<Why>,
    pub result: Option<Finish>,
    /// A person at this process's terminal can be asked.
    pub attended: bool,
    /// Approvals are waited for.
    pub wait: bool,
    pub warnings: Vec<String>,
    /// The run is over, and its targets are let go.
    pub released: bool,
    /// Whether the targets were ever let go: then a claim that is missing tells nothing.
    pub was_released: bool,
    /// Rises with every machine that takes the run over.
    pub epoch: u64,
    /// When it was taken over the last time.
    pub taken_at: Option<Timestamp>,
    /// It goes on elsewhere: here nothing is done any more.
    pub moved: Option<Moved>,
    /// How many roles were told that its deadline by the decision matrix has passed.
    pub escalations: usize,
    /// Those that were told last.
    pub told: Vec<Name>,
    /// An approval that went past those who should have given it, not told yet: the step, who, why.
    pub broken_glass: Option<(StepId, String, String)>,
    /// What the site's channels are still to be told, the oldest first.
    pub untold: Vec<Untold>,
    /// Where the servers of its databases stood when it last changed something there.
    pub(super) positions: BTreeMap<String, Value>,
    /// The last line of the journal.
    pub seq: u64,
    pub head: String,
    pub(super) stopping: Option<String>,
    pub(super) undo_to: Option<StepId>,
    entries: Vec<Entry>,
    pub(super) ready: BTreeSet<usize>,
    pub(super) running: BTreeSet<usize>,
    pub(super) retrying: BTreeMap<(Timestamp, usize), ()>,
    pub(super) awaiting: BTreeSet<usize>,
    pub(super) failed: BTreeSet<usize>,
    pub(super) unknown: BTreeSet<usize>,
    /// Steps whose proof is taken anew and not there yet.
    pub(super) renewing: BTreeSet<usize>,
    /// Finished steps, oldest first; an undo takes them from the end.
    pub(super) done_order: Vec<usize>,
    /// How often steps were tried that an amendment took away: one of that name is tried under a number that was never used.
    retired: BTreeMap<StepId, u32>,
    unsettled: usize,
}

impl State {
    /// A run before its first event.
    pub fn new(run: RunId, shape: Shape) -> Self {
        let entries: Vec<Entry> = (0..shape.flow.len())
            .map(|at| Entry {
                state: StepState::Waiting,
                attempts: 0,
                started_at: None,
                finished_at: None,
                attempt_at: None,
                outputs: Map::new(),
                facts: Vec::new(),
                failure: None,
                may_be_half_done: false,
                evidence: None,
                ask: None,
                asked_at: None,
                decisions: Vec::new(),
                skipped_because: None,
                resolved: None,
                undo_note: None,
                undone_at: None,
                accepted_loss: None,
                renewed: false,
                is_ahead: false,
                pending: shape.graph.needs(at).len(),
                cancelled: false,
            })
            .collect();
        let ready =
            entries.iter().enumerate().filter(|(_, entry)| entry.pending == 0).map(|(at, _)| at).collect();
        Self {
            run,
            unsettled: entries.len(),
            shape,
            started: None,
            started_at: None,
            resumed_at: None,
            finished_at: None,
            requester: None,
            phase: Phase::Forward,
            parked: None,
            result: None,
            attended: false,
            wait: false,
            warnings: Vec::new(),
            released: false,
            was_released: false,
            epoch: 1,
            taken_at: None,
            moved: None,
            escalations: 0,
            told: Vec::new(),
            broken_glass: None,
            untold: Vec::new(),
            positions: BTreeMap::new(),
            seq: 0,
            head: String::new(),
            stopping: None,
            undo_to: None,
            entries,
            ready,
            running: BTreeSet::new(),
            retrying: BTreeMap::new(),
            awaiting: BTreeSet::new(),
            failed: BTreeSet::new(),
            unknown: BTreeSet::new(),
            renewing: BTreeSet::new(),
            done_order: Vec::new(),
            retired: BTreeMap::new(),
        }
    }

    pub fn entry(&self, id: &StepId) -> Option<&Entry> {
        self.shape.flow.index(id.as_str()).and_then(|at| self.entries.get(at))
    }

    pub fn entries(&self) -> impl Iterator<Item = (&StepId, &Entry)> {
        self.shape.flow.steps().iter().map(|step| &step.id.value).zip(&self.entries)
    }

    pub(super) fn entry_at(&self, at: usize) -> Option<&Entry> {
        self.entries.get(at)
    }

    pub(super) fn id_at(&self, at: usize) -> Option<&StepId> {
        self.shape.flow.steps().get(at).map(|step| &step.id.value)
    }

    /// Steps that are being tried right now.
    pub fn running(&self) -> impl Iterator<Item = &StepId> {
        self.running.iter().filter_map(|at| self.id_at(*at))
    }

    /// Steps whose failed attempt is tried again, and when, the next one first.
    pub fn retrying(&self) -> impl Iterator<Item = (Timestamp, &StepId)> {
        self.retrying.keys().filter_map(|(at, step)| Some((*at, self.id_at(*step)?)))
    }

    /// How many steps are done or passed over.
    pub fn settled(&self) -> usize {
        self.entries.len() - self.unsettled
    }

    pub fn awaiting(&self) -> impl Iterator<Item = &StepId> {
        self.awaiting.iter().filter_map(|at| self.id_at(*at))
    }

    pub fn failed(&self) -> impl Iterator<Item = &StepId> {
        self.failed.iter().filter_map(|at| self.id_at(*at))
    }

    pub fn unknown(&self) -> impl Iterator<Item = &StepId> {
        self.unknown.iter().filter_map(|at| self.id_at(*at))
    }

    /// Steps that are done, oldest first.
    pub fn done(&self) -> impl Iterator<Item = &StepId> {
        self.done_order.iter().filter_map(|at| self.id_at(*at))
    }

    /// Why it stops after what runs.
    pub fn stop_reason(&self) -> Option<&str> {
        self.stopping.as_deref()
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.unsettled == 0
    }

    pub(super) fn is_cancelled(&self, at: usize) -> bool {
        self.entries.get(at).is_some_and(|entry| entry.cancelled)
    }
}
