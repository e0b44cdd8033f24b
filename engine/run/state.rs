//! The state of a run: the fold of its events and nothing else. `apply` is the only writer.

use super::event::{Event, Finish, Started};
use super::input::Resolution;
use super::outcome::{Ask, Evidence, Fact, Failure, Outputs};
use super::parked::Why;
use super::record::{Actor, Record};
use super::shape::Shape;
use super::signature::Signed;
use super::transition::{Impossible, StepState, transition};
use crate::plan::{RunId, StepId};
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

/// A person's answer to an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub by: String,
    pub actor: Actor,
    pub approved: bool,
    pub comment: String,
    pub at: Timestamp,
    pub signed: Option<Signed>,
    pub break_glass: Option<String>,
}

impl Decision {
    /// The decision that a line of the journal is.
    pub fn of(record: &Record) -> Option<Self> {
        let (by, comment, approved, signed, break_glass) = match &record.event {
            Event::ApprovalGiven { by, comment, signed, break_glass, .. } => {
                (by, comment, true, signed, break_glass.clone())
            }
            Event::ApprovalRejected { by, reason, signed, .. } => (by, reason, false, signed, None),
            _ => return None,
        };
        Some(Self {
            by: by.clone(),
            actor: record.actor.clone(),
            approved,
            comment: comment.clone(),
            at: record.at,
            signed: signed.clone(),
            break_glass,
        })
    }
}

/// Everything known about one step.
#[derive(Debug, Clone)]
pub struct Entry {
    pub state: StepState,
    /// Attempts begun, forward.
    pub attempts: u32,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// When the running attempt began.
    pub attempt_at: Option<Timestamp>,
    pub outputs: Outputs,
    /// What the last attempt noted.
    pub facts: Vec<Fact>,
    pub failure: Option<Failure>,
    pub evidence: Option<Evidence>,
    pub ask: Option<Ask>,
    /// The journal's line that asks, and its hash.
    pub asked_at: Option<(u64, String)>,
    pub decisions: Vec<Decision>,
    pub skipped_because: Option<String>,
    pub resolved: Option<(Resolution, String)>,
    pub undo_note: Option<String>,
    /// What the undo may lose, as it said itself and a person agreed.
    pub accepted_loss: Option<String>,
    /// What it proved is proved anew.
    pub renewed: bool,
    /// Needs that are not satisfied yet.
    pending: usize,
    cancelled: bool,
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
    /// Rises with every machine that takes the run over.
    pub epoch: u64,
    /// When it was taken over the last time.
    pub taken_at: Option<Timestamp>,
    /// It goes on elsewhere: here nothing is done any more.
    pub moved: Option<Moved>,
    /// Its deadline by the decision matrix has passed, and was told.
    pub escalated: bool,
    /// An approval that went past those who should have given it, not told yet: the step, who, why.
    pub broken_glass: Option<(StepId, String, String)>,
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
                evidence: None,
                ask: None,
                asked_at: None,
                decisions: Vec::new(),
                skipped_because: None,
                resolved: None,
                undo_note: None,
                accepted_loss: None,
                renewed: false,
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
            epoch: 1,
            taken_at: None,
            moved: None,
            escalated: false,
            broken_glass: None,
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

    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.unsettled == 0
    }

    pub(super) fn is_cancelled(&self, at: usize) -> bool {
        self.entries.get(at).is_some_and(|entry| entry.cancelled)
    }

    /// The value of `steps.<id>` in templates. None: the step has no result.
    pub fn results(&self, id: &StepId) -> Option<Value> {
        let entry = self.entry(id)?;
        match entry.state {
            // What it gave is what its undo goes by.
            StepState::Done | StepState::Undoing | StepState::UndoFailed => {}
            // What it gave before counts until it gives something new.
            StepState::Waiting | StepState::Running | StepState::Retrying { .. } if entry.renewed => {}
            // A step that may fail has results when it gave some.
            StepState::Failed if !entry.outputs.is_empty() => {}
            _ => return None,
        }
        let mut results = entry.outputs.clone();
        let time = |at: Option<Timestamp>| at.map_or(Value::Null, |at| at.to_string().into());
        results.insert("started_at".to_owned(), time(entry.started_at));
        results.insert("finished_at".to_owned(), time(entry.finished_at));
        if let (Some(start), Some(end)) = (entry.started_at, entry.finished_at) {
            results.insert("elapsed".to_owned(), elapsed(start, end).into());
        }
        results.insert("attempts".to_owned(), entry.attempts.into());
        Some(Value::Object(results))
    }

    /// The value of `run` in templates.
    pub fn run_values(&self, now: Timestamp) -> Value {
        let started = self.started.as_deref();
        let waiting: Vec<String> = self
            .awaiting()
            .map(|id| {
                self.entry(id)
                    .and_then(|entry| entry.ask.as_ref())
                    .map_or_else(String::new, |ask| ask.message.clone())
            })
            .collect();
        let text = |value: Option<&String>| value.cloned().unwrap_or_default();
        let failed = self.failed().next().or_else(|| self.unknown().next());
        serde_json::json!({
            "id": self.run.as_str(),
            "plan": self.shape.plan.name.as_str(),
            "reason": text(started.and_then(|started| started.reason.as_ref())),
            // Not for templates: what the operator took upon himself.
            "accepted": started.iter().flat_map(|started| &started.accepted).map(|one| &one.code).collect::<Vec<_>>(),
            "severity": text(started.and_then(|started| started.severity.as_ref())),
            "requester": self.requester.as_ref().map(|actor| actor.name.clone()).unwrap_or_default(),
            "started_at": self.started_at.map(|at| at.to_string()).unwrap_or_default(),
            "elapsed": self.started_at.map(|start| elapsed(start, self.finished_at.unwrap_or(now))).unwrap_or_default(),
            "waiting_for": waiting.join("; "),
            "failed_step": failed.map(|id| id.as_str().to_owned()).unwrap_or_default(),
        })
    }

    /// Folds a line of the journal into the state.
    ///
    /// # Errors
    /// The event cannot follow: the journal is not of this plan, or was changed.
    pub fn apply(&mut self, record: &Record) -> Result<(), Impossible> {
        if record.seq != self.seq + 1 {
            return Err(Impossible::new(&record.event, format!("line {} after {}", record.seq, self.seq)));
        }
        match record.event.step() {
            Some(step) if !matches!(record.event, Event::Warned { .. }) => {
                let at =
                    self.shape.flow.index(step.as_str()).ok_or_else(|| {
                        Impossible::new(&record.event, format!("the plan has no step {step}"))
                    })?;
                self.apply_to_step(at, record)?;
            }
            _ => self.apply_to_run(record)?,
        }
        self.seq = record.seq;
        self.head.clone_from(&record.hash);
        Ok(())
    }

    fn apply_to_run(&mut self, record: &Record) -> Result<(), Impossible> {
        match &record.event {
            Event::RunStarted(started) => {
                self.attended = started.attended;
                self.wait = started.wait;
                self.started = Some(Arc::new((**started).clone()));
                self.started_at = Some(record.at);
                self.requester = Some(record.actor.clone());
            }
            Event::RunResumed { attended, wait } => {
                self.attended = *attended;
                self.wait = *wait;
                self.resumed_at = Some(record.at);
                self.parked = None;
                self.stopping = None;
            }
            Event::StopRequested { reason, .. } => self.stopping = Some(reason.clone()),
            Event::Parked { why } => {
                self.parked = Some(why.clone());
                self.stopping = None;
            }
            Event::UndoRequested { to, .. } => {
                self.phase = Phase::Backward;
                self.released = false;
                self.undo_to.clone_from(to);
                self.parked = None;
                self.result = None;
                self.finished_at = None;
            }
            Event::RunFinished { result } => {
                self.phase = Phase::Finished;
                self.result = Some(*result);
                self.parked = None;
                self.finished_at = Some(record.at);
            }
            Event::DeadlinePassed { .. } => self.escalated = true,
            Event::TargetsReleased => self.released = true,
            Event::Warned { message, .. } => self.warnings.push(message.clone()),
            Event::RunExported { to } => {
                self.moved = Some(Moved { to: to.clone(), by: record.actor.clone(), at: record.at });
            }
            Event::RunTakenOver { epoch, directory, .. } => {
                if let (Some(started), Some(directory)) = (&self.started, directory) {
                    let mut started = (**started).clone();
                    started.directory.clone_from(directory);
                    self.started = Some(Arc::new(started));
                }
                self.epoch = *epoch;
                self.taken_at = Some(record.at);
                self.moved = None;
            }
            Event::PlanAmended(amended) => {
                self.amend(amended).map_err(|why| Impossible::new(&record.event, why))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn apply_to_step(&mut self, at: usize, record: &Record) -> Result<(), Impossible> {
        let before = self.entries[at].state;
        let after = transition(before, &record.event)?;
        let satisfied_before = self.is_satisfied(at);
        self.remember(at, record);
        if before != after {
            self.leave(at, before);
            self.entries[at].state = after;
            self.enter(at, after);
            if satisfied_before != self.is_satisfied(at) {
                self.propagate(at, !satisfied_before);
            }
        }
        Ok(())
    }

    /// A need is satisfied by a step that is done, was skipped, or may fail.
    fn is_satisfied(&self, at: usize) -> bool {
        match self.entries[at].state {
            StepState::Done | StepState::Skipped => true,
            StepState::Failed => self.shape.flow.steps()[at].continue_on_failure,
            // Backward: what was done was done.
            StepState::Undoing | StepState::Undone | StepState::UndoFailed => true,
            StepState::Waiting
            | StepState::Running
            | StepState::Retrying { .. }
            | StepState::AwaitingApproval
            | StepState::Unknown => false,
        }
    }

    fn propagate(&mut self, at: usize, satisfied: bool) {
        self.unsettled = if satisfied { self.unsettled - 1 } else { self.unsettled + 1 };
        if satisfied {
            self.renewing.remove(&at);
        } else if self.entries[at].renewed {
            self.renewing.insert(at);
        }
        let graph = self.shape.graph.clone();
        for &dependent in graph.dependents(at) {
            let entry = &mut self.entries[dependent];
            if satisfied {
                entry.pending = entry.pending.saturating_sub(1);
                if entry.pending == 0 && entry.state == StepState::Waiting {
                    self.ready.insert(dependent);
                }
            } else {
                entry.pending += 1;
                self.ready.remove(&dependent);
            }
        }
    }

    fn leave(&mut self, at: usize, state: StepState) {
        match state {
            StepState::Waiting => drop(self.ready.remove(&at)),
            StepState::Running | StepState::Undoing => drop(self.running.remove(&at)),
            StepState::Retrying { at: time } => drop(self.retrying.remove(&(time, at))),
            StepState::AwaitingApproval => drop(self.awaiting.remove(&at)),
            StepState::Failed | StepState::UndoFailed => drop(self.failed.remove(&at)),
            StepState::Unknown => drop(self.unknown.remove(&at)),
            StepState::Done => {
                if self.done_order.last() == Some(&at) {
                    self.done_order.pop();
                } else {
                    self.done_order.retain(|done| *done != at);
                }
            }
            StepState::Skipped | StepState::Undone => {}
        }
    }

    fn enter(&mut self, at: usize, state: StepState) {
        match state {
            StepState::Waiting => {
                if self.entries[at].pending == 0 {
                    self.ready.insert(at);
                }
            }
            StepState::Running | StepState::Undoing => drop(self.running.insert(at)),
            StepState::Retrying { at: time } => drop(self.retrying.insert((time, at), ())),
            StepState::AwaitingApproval => drop(self.awaiting.insert(at)),
            StepState::Failed => {
                if !self.shape.flow.steps()[at].continue_on_failure {
                    self.failed.insert(at);
                }
            }
            StepState::UndoFailed => drop(self.failed.insert(at)),
            StepState::Unknown => drop(self.unknown.insert(at)),
            StepState::Done => self.done_order.push(at),
            StepState::Skipped | StepState::Undone => {}
        }
    }

    fn remember(&mut self, at: usize, record: &Record) {
        let entry = &mut self.entries[at];
        match &record.event {
            Event::StepStarted { attempt, .. } => {
                entry.attempts = *attempt;
                entry.started_at.get_or_insert(record.at);
                entry.attempt_at = Some(record.at);
                entry.finished_at = None;
                entry.facts.clear();
                entry.failure = None;
                entry.evidence = None;
                entry.cancelled = false;
            }
            Event::StepSkipped { reason, .. } => {
                entry.skipped_because = Some(reason.clone());
                entry.finished_at = Some(record.at);
            }
            Event::FactNoted { fact, .. } => entry.facts.push(fact.clone()),
            Event::StepDone { outputs, .. } => {
                entry.outputs.clone_from(outputs);
                entry.finished_at = Some(record.at);
                entry.evidence = None;
                entry.renewed = false;
            }
            Event::StepFailed { failure, .. } => {
                entry.failure = Some(failure.clone());
                entry.finished_at = Some(record.at);
            }
            Event::RetryScheduled { failure, .. } => entry.failure = Some(failure.clone()),
            Event::StepUnknown { evidence, .. } => {
                entry.evidence = Some(evidence.clone());
                entry.finished_at = Some(record.at);
            }
            Event::StepRenewed { .. } => {
                entry.renewed = true;
                entry.ask = None;
                entry.decisions.clear();
            }
            Event::StepReopened { .. } => {
                entry.ask = None;
                entry.decisions.clear();
            }
            Event::ApprovalRequested { ask, .. } => {
                entry.ask = Some(ask.clone());
                entry.asked_at = Some((record.seq, record.hash.clone()));
                entry.decisions.clear();
            }
            Event::ApprovalGiven { .. } | Event::ApprovalRejected { .. } => {
                entry.decisions.extend(Decision::of(record));
                if let Event::ApprovalGiven { step, by, break_glass: Some(reason), .. } = &record.event {
                    self.broken_glass = Some((step.clone(), by.clone(), reason.clone()));
                }
            }
            Event::GlassBroken { .. } => self.broken_glass = None,
            Event::StepResolved { resolution, reason, loss, .. } => {
                entry.accepted_loss.clone_from(loss);
                entry.resolved = Some((*resolution, reason.clone()));
                if *resolution == Resolution::Done && entry.outputs.is_empty() {
                    entry.outputs = entry.intended();
                }
                match resolution {
                    Resolution::Skip => entry.skipped_because = Some(reason.clone()),
                    Resolution::Failed => {
                        entry.failure = Some(Failure::new("runplan::run::resolved_failed", reason.clone()));
                    }
                    Resolution::Done | Resolution::Retry => {}
                }
            }
            Event::CancelRequested { .. } => entry.cancelled = true,
            Event::UndoStarted { .. } => {
                entry.attempt_at = Some(record.at);
                entry.cancelled = false;
            }
            Event::UndoDone { note, .. } => entry.undo_note = Some(note.clone()),
            Event::UndoFailed { failure, .. } => entry.failure = Some(failure.clone()),
            _ => {}
        }
    }
}

/// `3m12s`, to the second; below a second in milliseconds.
fn elapsed(start: Timestamp, end: Timestamp) -> String {
    let ms = u64::try_from(end.duration_since(start).as_millis().max(0)).unwrap_or(0);
    let ms = if ms >= 1000 { ms / 1000 * 1000 } else { ms };
    crate::plan::Duration::from_ms(ms).to_string()
}

impl Entry {
    /// What the step was about to give when it was interrupted: the outputs beside its witness.
    fn intended(&self) -> Outputs {
        let found = self.facts.iter().rev().find_map(|fact| fact.data.get("outputs")?.as_object());
        found.cloned().unwrap_or_default()
    }
}

impl State {
    /// Another plan's steps: what is known about those of the same name goes with them.
    pub(super) fn reshape(&mut self, shape: Shape) {
        let mut old: BTreeMap<StepId, Entry> =
            self.entries().map(|(id, entry)| (id.clone(), entry.clone())).collect();
        let finished: Vec<StepId> = self.done().cloned().collect();
        let fresh = Self::new(self.run.clone(), shape);
        self.shape = fresh.shape;
        self.entries = fresh.entries;
        self.unsettled = self.entries.len();
        for set in [
            &mut self.ready,
            &mut self.running,
            &mut self.awaiting,
            &mut self.failed,
            &mut self.unknown,
            &mut self.renewing,
        ] {
            set.clear();
        }
        self.retrying.clear();
        self.done_order.clear();
        for at in 0..self.entries.len() {
            let Some(id) = self.id_at(at).cloned() else { continue };
            if let Some(known) = old.remove(&id) {
                self.entries[at] = Entry { pending: self.entries[at].pending, ..known };
            } else if let Some(tried) = self.retired.remove(&id) {
                self.entries[at].attempts = tried;
            }
        }
        let tried = old.into_iter().filter(|(_, entry)| entry.attempts > 0);
        self.retired.extend(tried.map(|(id, entry)| (id, entry.attempts)));
        for at in 0..self.entries.len() {
            if self.is_satisfied(at) {
                self.propagate(at, true);
            } else if self.entries[at].renewed {
                self.renewing.insert(at);
            }
        }
        for at in 0..self.entries.len() {
            let state = self.entries[at].state;
            if state != StepState::Done {
                self.enter(at, state);
            }
        }
        // A step that is not there any more was not done.
        self.done_order = finished.iter().filter_map(|id| self.shape.flow.index(id.as_str())).collect();
    }
}
