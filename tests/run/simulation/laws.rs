//! What must hold of every event, told from what the events before it said and not from the state that they made.

use runplan::plan::StepId;
use runplan::run::{Actor, Event, Finish, Phase, Record, Resolution, State, StepState};
use std::collections::{HashMap, HashSet};

/// Its own, simpler memory of the run.
#[derive(Default)]
pub struct Laws {
    /// Steps that are done, in their order.
    done: Vec<StepId>,
    unknown: HashSet<StepId>,
    attempts: HashMap<StepId, u32>,
    /// Who agreed since the question was asked.
    agreed: HashMap<StepId, Vec<Actor>>,
    finished: bool,
    released: bool,
    parked: bool,
    backward: bool,
    undo_to: Option<StepId>,
    started: bool,
    /// Attempts whose end is not written down.
    open: HashSet<StepId>,
    /// The run goes on elsewhere.
    moved: bool,
    epoch: u64,
}

impl Laws {
    /// Whether the event may follow in this state.
    pub fn hold(&mut self, state: &State, record: &Record) {
        let event = &record.event;
        assert!(self.started != matches!(event, Event::RunStarted(_)), "a run starts once");
        self.started = true;
        if self.finished {
            let may = matches!(
                event,
                Event::UndoRequested { .. }
                    | Event::TargetsReleased
                    | Event::Warned { .. }
                    | Event::HandlerFinished { .. }
                    | Event::DecisionRefused { .. }
                    | Event::RunResumed { .. }
            );
            assert!(may, "{} after the end", event.kind());
        }
        let begins = matches!(
            event,
            Event::StepStarted { .. } | Event::UndoStarted { .. } | Event::SettleStarted { .. }
        );
        if self.moved {
            let may = matches!(
                event,
                Event::RunTakenOver { .. }
                    | Event::TargetsReleased
                    | Event::Warned { .. }
                    | Event::HandlerFinished { .. }
                    | Event::DecisionRefused { .. }
            );
            assert!(may, "{} of a run that goes on elsewhere", event.kind());
        }
        self.keep_open(event);
        assert!(!begins || !self.parked, "{} while the run is parked", event.kind());
        assert!(!begins || !state.is_stopping() || matches!(event, Event::SettleStarted { .. }), "stopped");
        assert_eq!(self.backward, state.phase == Phase::Backward, "the direction is kept");
        match event {
            Event::StepStarted { .. } | Event::UndoStarted { .. } | Event::SettleStarted { .. } => {
                self.begins(state, event);
            }
            Event::StepDone { step, .. } => self.step_done(state, step),
            Event::StepUnknown { step, .. } => {
                self.unknown.insert(step.clone());
            }
            Event::StepResolved { step, resolution, .. } => self.resolved(state, step, *resolution),
            Event::UndoDone { step, .. } => self.undone(step),
            Event::RetryScheduled { step, .. } | Event::StepReopened { step, .. } => {
                assert!(!self.unknown.contains(step), "{step} is not known, and is tried again");
            }
            Event::ApprovalRequested { step, .. } => drop(self.agreed.remove(step)),
            Event::ApprovalGiven { step, .. } => {
                let agreed = self.agreed.entry(step.clone()).or_default();
                assert!(!agreed.contains(&record.actor), "one person, one vote");
                agreed.push(record.actor.clone());
                self.may_decide(state, step, &record.actor);
            }
            Event::StepRenewed { step, .. } => {
                assert!(!self.backward, "{step} is taken anew on the way back");
                self.done.retain(|done| done != step);
            }
            Event::Parked { .. } => self.parked = true,
            Event::RunResumed { .. } => self.parked = false,
            Event::UndoRequested { to, .. } => {
                (self.parked, self.backward, self.finished, self.released) = (false, true, false, false);
                self.undo_to.clone_from(to);
                assert_eq!(self.unknown.len(), 0, "an undo with something unknown");
                assert_eq!(state.running().count(), 0, "an undo with something under way");
            }
            Event::RunFinished { result } => self.run_finished(state, *result),
            Event::TargetsReleased => {
                assert!(self.finished && !self.released, "let go once, at the end");
                self.released = true;
            }
            Event::RunExported { .. } => self.moved = true,
            Event::RunTakenOver { epoch, .. } => {
                assert!(*epoch > self.epoch.max(1), "the epoch rises");
                (self.moved, self.epoch) = (false, *epoch);
            }
            Event::PlanAmended(_) => assert!(!self.backward && !self.finished, "amended on the way back"),
            _ => {}
        }
    }

    fn keep_open(&mut self, event: &Event) {
        let Some(step) = event.step() else { return };
        match event {
            Event::StepStarted { .. } | Event::UndoStarted { .. } | Event::SettleStarted { .. } => {
                self.open.insert(step.clone());
            }
            Event::StepDone { .. }
            | Event::StepFailed { .. }
            | Event::StepUnknown { .. }
            | Event::StepSkipped { .. }
            | Event::StepReopened { .. }
            | Event::RetryScheduled { .. }
            | Event::ApprovalRequested { .. }
            | Event::UndoDone { .. }
            | Event::UndoFailed { .. } => drop(self.open.remove(step)),
            _ => {}
        }
    }

    /// Steps that took effect, or may have: they must stay what they were.
    pub fn acted(&self) -> impl Iterator<Item = &StepId> {
        self.done.iter().chain(&self.unknown).chain(&self.open)
    }

    fn begins(&mut self, state: &State, event: &Event) {
        match event {
            Event::StepStarted { step, attempt } => {
                assert!(!self.backward, "{step} starts on the way back");
                assert!(!self.done.contains(step), "{step} is done and is started again");
                assert!(!self.unknown.contains(step), "{step} is not known, and is started again");
                let last = self.attempts.insert(step.clone(), *attempt).unwrap_or(0);
                assert_eq!(*attempt, last + 1, "attempts are counted");
                needs_are_met(state, step);
            }
            Event::UndoStarted { step, .. } => {
                assert!(self.backward, "{step} is undone on the way forward");
                assert_eq!(self.done.last(), Some(step), "newest first, and only what was done");
                assert_ne!(self.undo_to.as_ref(), Some(step), "not further than asked");
            }
            Event::SettleStarted { step, .. } => drop(self.unknown.remove(step)),
            _ => {}
        }
    }

    fn step_done(&mut self, state: &State, step: &StepId) {
        assert!(!self.done.contains(step), "{step} is done twice");
        self.done.push(step.clone());
        let Some(ask) = &state.entry(step).unwrap().ask else { return };
        let agreed = self.agreed.get(step).map_or(0, Vec::len);
        assert_eq!(agreed, usize::from(ask.count), "{step} has the votes it wants");
    }

    fn may_decide(&self, state: &State, step: &StepId, actor: &Actor) {
        let ask = state.entry(step).unwrap().ask.as_ref().unwrap();
        assert!(ask.people.is_empty() || ask.people.contains(&actor.name), "{} is not asked", actor.name);
        let own = state.requester.as_ref() == Some(actor);
        assert!(!own || ask.allow_requester || ask.people.is_empty(), "the requester agrees");
    }

    fn resolved(&mut self, state: &State, step: &StepId, resolution: Resolution) {
        let before = state.entry(step).unwrap().state;
        self.unknown.remove(step);
        match (before, resolution) {
            (StepState::UndoFailed, Resolution::Retry) => {
                // It is undone again, first.
                self.done.retain(|done| done != step);
                self.done.push(step.clone());
            }
            (StepState::UndoFailed, _) => self.done.retain(|done| done != step),
            (_, Resolution::Done) => self.done.push(step.clone()),
            (_, Resolution::Skip) if !self.backward => {
                let guarded = dangerous_behind(state, step);
                assert_eq!(guarded, None, "{step} is skipped and guards something");
            }
            _ => {}
        }
    }

    fn undone(&mut self, step: &StepId) {
        assert_eq!(self.done.pop().as_ref(), Some(step), "newest first, and only what was done");
        assert_ne!(self.undo_to.as_ref(), Some(step), "not further than asked");
    }

    fn run_finished(&mut self, state: &State, result: Finish) {
        assert_eq!(state.running().count(), 0, "something runs at the end");
        (self.finished, self.backward, self.parked) = (true, false, false);
        match result {
            Finish::Done => {
                for (id, entry) in state.entries() {
                    let may_fail = state.shape.flow.step(id.as_str()).unwrap().continue_on_failure;
                    let fine = matches!(entry.state, StepState::Done | StepState::Skipped)
                        || (may_fail && entry.state == StepState::Failed);
                    assert!(fine, "done, but {id} is {}", entry.state.word());
                }
            }
            Finish::Undone => {
                assert_eq!(self.done.last(), self.undo_to.as_ref(), "all that was asked is undone")
            }
            Finish::Failed => {}
        }
    }

    /// The state agrees with the simpler memory.
    pub fn agree(&self, state: &State) {
        let undoing = |step: &StepId| {
            matches!(state.entry(step).unwrap().state, StepState::Undoing | StepState::UndoFailed)
        };
        assert!(state.done().eq(self.done.iter().filter(|step| !undoing(step))), "what is done");
        assert_eq!(state.unknown().count(), self.unknown.len(), "what is unknown");
        assert_eq!((state.parked.is_some(), state.released), (self.parked, self.released));
        assert_eq!(state.phase == Phase::Finished, self.finished);
    }
}

fn needs_are_met(state: &State, step: &StepId) {
    let at = state.shape.flow.index(step.as_str()).unwrap();
    for need in state.shape.graph.needs(at) {
        let need = &state.shape.flow.steps()[*need];
        let fine = match state.entry(&need.id.value).unwrap().state {
            StepState::Done | StepState::Skipped => true,
            StepState::Failed => need.continue_on_failure,
            _ => false,
        };
        assert!(fine, "{step} is started before {}", need.id.value);
    }
}

/// What comes after an approval or a check and destroys something.
fn dangerous_behind<'s>(state: &'s State, step: &StepId) -> Option<&'s StepId> {
    use runplan::plan::Action;
    let flow = &state.shape.flow;
    let at = flow.index(step.as_str()).unwrap();
    if !matches!(flow.steps()[at].action.value, Action::Approve(_) | Action::Verify(_)) {
        return None;
    }
    let mut behind = vec![at];
    let mut seen = HashSet::new();
    while let Some(at) = behind.pop() {
        for next in state.shape.graph.dependents(at) {
            let step = &flow.steps()[*next];
            if matches!(&step.action.value, Action::Shell(shell) if shell.destructive) {
                return Some(&step.id.value);
            }
            if seen.insert(*next) {
                behind.push(*next);
            }
        }
    }
    None
}
