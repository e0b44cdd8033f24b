//! Steps that are not done and may have acted all the same: passed over while nobody knew, or failed after something of them
//! had been done. Must never take one of them for a step that did nothing.

use super::amendment::STATEMENT_INTENDED;
use super::outcome::Failure;
use super::reversal::{Effects, Reversal, effects, reversal};
use super::state::{Entry, State};
use super::transition::StepState;
use crate::plan::{Action, Step, StepId};

/// The code of what such a step is asked about on the way back.
pub const MAY_HAVE_ACTED: &str = "runplan::undo::may_have_acted";
/// The code of an undo that nobody knows the outcome of.
pub const UNDO_UNKNOWN: &str = "runplan::undo::unknown";

/// What a step notes before it sends a statement that builds an index beside the readers of its table: what was there before.
/// It outlives the attempt, so that the next one knows what this one left.
pub const INDEX_INTENDED: &str = "index_intended";

/// What a step notes whose program or request was interrupted and is taken for nothing only because it may be done twice.
pub const MAY_BE_HALF_DONE: &str = "may_be_half_done";

/// The fact of an undo: the code of what it would lose, which somebody has to give to agree.
pub const ASKED_LOSS: &str = "loss";

/// The code of the loss that an undo asks about. None: it does not ask, or its journal is of an older version.
pub fn asked_loss(entry: &Entry) -> Option<&str> {
    let failure = entry.failure.as_ref().filter(|_| entry.state == StepState::UndoFailed)?;
    if !matches!(failure.code.as_str(), "runplan::swap::written" | "runplan::swap::unproved") {
        return None;
    }
    let fact = entry.facts.iter().rev().find(|fact| fact.name.strip_prefix("undo.") == Some(ASKED_LOSS))?;
    fact.data["code"].as_str()
}

/// Why the step may have acted although it is not done; nothing: it is done, or it certainly changed nothing.
pub fn doubt(step: &Step, entry: &Entry) -> Option<&'static str> {
    match entry.state {
        _ if effects(step) == Effects::Reads => None,
        StepState::Skipped if entry.evidence.is_some() => {
            Some("was skipped while it was not known whether it took effect")
        }
        StepState::Skipped if acted_before_it_failed(step, entry) => {
            Some("was skipped after it had failed, and may have changed something before")
        }
        StepState::Failed | StepState::Waiting | StepState::Retrying { .. }
            if entry.failure.is_some() && acted_before_it_failed(step, entry) =>
        {
            Some("failed, and may have changed something before")
        }
        StepState::Waiting if entry.may_be_half_done => {
            Some("was interrupted, and may have changed something before")
        }
        StepState::Waiting if may_have_left_an_index(entry) => {
            Some("was interrupted while it built an index, and may have left an invalid one")
        }
        _ => None,
    }
}

/// Whether an attempt failed after something of it had been done: a program that ran, a request that was answered,
/// statements that were sent outside a transaction; or was interrupted in the midst of what may be done twice.
pub fn acted_before_it_failed(step: &Step, entry: &Entry) -> bool {
    if entry.may_be_half_done {
        return true;
    }
    let Some(failure) = &entry.failure else { return false };
    match &step.action.value {
        Action::Shell(_) => {
            matches!(failure.code.as_str(), "runplan::shell::exit_code" | "runplan::shell::output")
        }
        Action::Http(_) => matches!(failure.code.as_str(), "runplan::http::answer" | "runplan::http::until"),
        Action::Sql(sql) => {
            let sent = entry.facts.iter().any(|fact| fact.name == STATEMENT_INTENDED);
            !sql.transaction && (sent || may_have_left_an_index(entry))
        }
        _ => false,
    }
}

fn may_have_left_an_index(entry: &Entry) -> bool {
    entry.facts.iter().any(|fact| fact.name == INDEX_INTENDED)
}

/// The steps in doubt, with why.
pub fn doubtful(state: &State) -> impl Iterator<Item = (&StepId, &'static str)> {
    indices(state).filter_map(|(at, why)| Some((state.id_at(at)?, why)))
}

fn indices(state: &State) -> impl Iterator<Item = (usize, &'static str)> {
    let steps = state.shape.flow.steps().iter().zip(state.entries());
    steps.enumerate().filter_map(|(at, (step, (_, entry)))| Some((at, doubt(step, entry)?)))
}

/// Everything that an undo comes by, the newest first: what is done, and what may have acted, with why. `to` and what was
/// before it is not among it.
pub fn way_back<'s>(state: &'s State, to: Option<&StepId>) -> Vec<(&'s StepId, Option<&'static str>)> {
    let mut order: Vec<(usize, Option<&'static str>)> =
        state.done_order.iter().rev().map(|at| (*at, None)).collect();
    for (doubtful, why) in indices(state) {
        // Before the first that it came after.
        let place = order.iter().position(|(at, _)| is_after(state, doubtful, *at));
        order.insert(place.unwrap_or(order.len()), (doubtful, Some(why)));
    }
    let named = order.into_iter().filter_map(|(at, why)| Some((state.id_at(at)?, why)));
    named.take_while(|(id, _)| Some(*id) != to).collect()
}

/// Whether the one began, or ended, after the other: what the plan says of it counts more than a clock.
fn is_after(state: &State, one: usize, other: usize) -> bool {
    let graph = &state.shape.graph;
    if graph.is_before(other, one) || graph.is_before(one, other) {
        return graph.is_before(other, one);
    }
    let ended = |at: usize| state.entry_at(at).and_then(|entry| entry.finished_at.or(entry.attempt_at));
    ended(one) >= ended(other)
}

/// What a person is asked when the undo comes by a step in doubt.
pub(super) fn question(state: &State, step: &Step, why: &str) -> Failure {
    let (run, id) = (&state.run, &step.id.value);
    let entry = state.entry(id);
    let said = entry.and_then(|entry| {
        let known = entry.evidence.as_ref().map(|evidence| &evidence.message);
        known.or(entry.failure.as_ref().map(|failure| &failure.message))
    });
    let said = said.and_then(|said| said.lines().next()).map(|said| format!(" ({said})")).unwrap_or_default();
    let own = match reversal(step) {
        Reversal::Given(_) => format!(
            "; `runplan resolve {run} {id} --retry --reason 'it took effect'` lets the plan's own undo of it run"
        ),
        Reversal::BuiltIn(words) => format!(
            "; `runplan resolve {run} {id} --retry --reason 'it took effect'` undoes it all the same ({words})"
        ),
        Reversal::Nothing | Reversal::None(_) => String::new(),
    };
    Failure::new(MAY_HAVE_ACTED, format!("it {why}{said}; what it did, if anything, was not reversed")).help(
        format!(
            "look what it left; is that nothing, or put right by hand: `runplan resolve {run} {id} --done --reason 'nothing is \
             left of it'`{own}; `runplan resolve {run} {id} --skip --reason 'it stays as it is'` leaves it"
        ),
    )
}
