//! The way back: one step after the other, newest first. Must never undo what was not done.

use super::super::doubt::{UNDO_UNKNOWN, question, way_back};
use super::super::event::{Event, Finish};
use super::super::left::kept_backup;
use super::super::outcome::{Failure, Outcome};
use super::super::parked::Why;
use super::super::reversal::{Reversal, reversal};
use super::super::state::State;
use super::super::transition::StepState;
use crate::plan::StepId;

/// One step after the other, newest first.
pub fn backward(state: &State) -> Vec<Event> {
    if let Some(reason) = &state.stopping {
        return match state.running.is_empty() {
            true => vec![Event::Parked { why: Why::Stopped { reason: reason.clone() } }],
            false => Vec::new(),
        };
    }
    if !state.running.is_empty() {
        return Vec::new();
    }
    if let Some(step) = state.failed().find(|id| is_undo_failed(state, id)) {
        return vec![Event::Parked { why: Why::UndoFailed { step: step.clone() } }];
    }
    let newest = way_back(state, state.undo_to.as_ref()).into_iter().next();
    let Some((id, doubt)) = newest else { return vec![Event::RunFinished { result: Finish::Undone }] };
    let Some(at) = state.shape.flow.index(id.as_str()) else { return Vec::new() };
    let steps = state.shape.flow.steps();
    vec![match doubt.zip(steps.get(at)) {
        Some((why, step)) => {
            let attempt = state.entry_at(at).map_or(1, |entry| entry.attempts);
            Event::UndoFailed { step: id.clone(), attempt, failure: question(state, step, why) }
        }
        None => undo_of(state, at, id.clone()),
    }]
}

fn is_undo_failed(state: &State, id: &StepId) -> bool {
    state.entry(id).is_some_and(|entry| entry.state == StepState::UndoFailed)
}

fn undo_of(state: &State, at: usize, id: StepId) -> Event {
    let attempt = state.entry_at(at).map_or(1, |entry| entry.attempts);
    let Some(step) = state.shape.flow.steps().get(at) else {
        return Event::UndoDone { step: id, attempt, note: String::new(), left: false };
    };
    if let Some(note) = kept_backup(state, &id) {
        return Event::UndoDone { step: id, attempt, note, left: true };
    }
    match reversal(step) {
        Reversal::Nothing => {
            Event::UndoDone { step: id, attempt, note: "nothing to undo".to_owned(), left: false }
        }
        Reversal::BuiltIn(_) | Reversal::Given(_) => Event::UndoStarted { step: id, attempt },
        Reversal::None(reason) => {
            let run = &state.run;
            let failure = Failure::new("runplan::undo::no_way_back", format!("it cannot be undone: {reason}"))
                .help(format!(
                    "`runplan resolve {run} {id} --skip --reason 'it stays as it is'` goes on with the steps before it and \
                     leaves what it did; was it undone by hand: `runplan resolve {run} {id} --done --reason 'undone by hand'`"
                ));
            Event::UndoFailed { step: id, attempt, failure }
        }
    }
}

pub fn undone(state: &State, step: StepId, attempt: u32, outcome: Outcome) -> Vec<Event> {
    if !state.entry(&step).is_some_and(|entry| entry.state == StepState::Undoing) {
        return Vec::new();
    }
    vec![match outcome {
        Outcome::Done(outputs) => {
            let note = outputs.get("note").and_then(|note| note.as_str()).unwrap_or("undone").to_owned();
            Event::UndoDone { step, attempt, note, left: false }
        }
        Outcome::Skipped(note) => Event::UndoDone { step, attempt, note, left: false },
        Outcome::Failed(failure) => Event::UndoFailed { step, attempt, failure },
        Outcome::Unknown(evidence) => {
            let message = format!("{}; {}", evidence.message, evidence.facts.join("; "));
            Event::UndoFailed { step, attempt, failure: Failure::new(UNDO_UNKNOWN, message) }
        }
        Outcome::Asked(_) | Outcome::Again(_) => {
            let failure = Failure::new("runplan::undo::odd", "the undo gave no result");
            Event::UndoFailed { step, attempt, failure }
        }
    }]
}
