//! The fold: a line of the journal changes the state. Nothing else does.

use super::super::doubt::acted_before_it_failed;
use super::super::event::{Event, reclaimed};
use super::super::record::Record;
use super::super::shape::Shape;
use super::super::transition::{Impossible, StepState, transition};
use super::super::untold;
use super::{Entry, Moved, Phase, State};
use crate::plan::StepId;
use std::collections::BTreeMap;
use std::sync::Arc;

impl State {
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
        let mut untold = std::mem::take(&mut self.untold);
        untold::fold(&mut untold, record, self);
        self.untold = untold;
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
                self.entries.iter_mut().for_each(|entry| entry.compare_clock(record.at));
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
            Event::DeadlinePassed { role, roles, .. } => {
                self.told.clone_from(roles);
                if roles.is_empty() {
                    self.told.extend(role.clone());
                }
                self.escalations += self.told.len().max(1);
            }
            Event::TargetsReleased => {
                self.released = true;
                self.was_released = true;
            }
            Event::Warned { message, .. } => self.warnings.push(message.clone()),
            Event::TargetsReclaimed { reason, positions } => {
                self.positions.extend(positions.clone());
                self.warnings.push(reclaimed(reason));
            }
            Event::ProgramsNamed { pg_bin } => {
                if let Some(started) = &mut self.started {
                    Arc::make_mut(started).pg_bin = Some(pg_bin.clone());
                }
            }
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
        if let Event::StepStarted { .. } = &record.event {
            // What this attempt comes to says nothing of what the one before it did.
            let acted = acted_before_it_failed(&self.shape.flow.steps()[at], &self.entries[at]);
            self.entries[at].may_be_half_done = acted;
        }
        self.entries[at].remember(record);
        self.note_broken_glass(&record.event);
        if let Event::FactNoted { fact, .. } = &record.event {
            self.note_position(fact);
        }
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

    fn note_broken_glass(&mut self, event: &Event) {
        match event {
            Event::ApprovalGiven { step, by, break_glass: Some(reason), .. } => {
                self.broken_glass = Some((step.clone(), by.clone(), reason.clone()));
            }
            Event::GlassBroken { .. } => self.broken_glass = None,
            _ => {}
        }
    }

    /// A need is satisfied by a step that is done, was skipped, or may fail.
    fn is_satisfied(&self, at: usize) -> bool {
        match self.entries[at].state {
            StepState::Done | StepState::Skipped => true,
            StepState::Failed => self.shape.flow.steps()[at].continue_on_failure,
            // Backward: what was done was done.
            StepState::Undoing | StepState::Undone | StepState::UndoFailed | StepState::Left => true,
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
            StepState::Skipped | StepState::Undone | StepState::Left => {}
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
            StepState::Skipped | StepState::Undone | StepState::Left => {}
        }
    }

    /// Another plan's steps: what is known about those of the same name goes with them.
    pub(in crate::run) fn reshape(&mut self, shape: Shape) {
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
