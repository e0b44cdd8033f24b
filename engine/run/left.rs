//! What an undo leaves where it is, and why: a backup that may still be the only way back, a step that somebody passed
//! over. Must never call a run reversed that was not, nor let the last copy go while anything it secures still stands.

use super::doubt::doubtful;
use super::reversal::{Effects, effects};
use super::state::{Entry, State};
use super::transition::StepState;
use crate::plan::{Action, Step, StepId, action};

/// Why the undo of a backup leaves it. None: it is removed.
pub fn kept_backup(state: &State, id: &StepId) -> Option<String> {
    let step = state.shape.flow.step(id.as_str())?;
    let Action::Backup(backup) = &step.action.value else { return None };
    if step.undo.is_some() || step.irreversible.is_some() {
        return None;
    }
    if let Some(keep) = backup.keep {
        return Some(format!(
            "the backup stays: it is kept for {keep} at least, then `runplan prune` removes it"
        ));
    }
    if let Some(approval) = promised_in(state, id) {
        return Some(format!("the backup stays: it was named to whoever was asked by {approval}"));
    }
    let began = state.entry(id)?.started_at;
    let stands = state.entries().find(|(other, entry)| {
        let before = entry.finished_at.zip(began).is_some_and(|(ended, began)| ended < began);
        let step = state.shape.flow.step(other.as_str());
        *other != id && !before && step.is_some_and(|step| may_stand(step, entry))
    });
    stands.map(|(other, _)| {
        format!("the backup stays: when its turn came {other} still stood, and this may be the only way back")
    })
}

/// An approval that was asked, and whose words have to do with the backup.
fn promised_in<'s>(state: &'s State, backup: &StepId) -> Option<&'s StepId> {
    let name = format!("steps.{backup}");
    let names = |text: &Option<crate::plan::Text>| {
        text.as_ref().is_some_and(|text| {
            let mut rest = text.raw.split(&name).skip(1);
            rest.any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    };
    let asked = state.entries().filter(|(_, entry)| entry.ask.is_some());
    asked.map(|(id, _)| id).find(|id| {
        let step = state.shape.flow.step(id.as_str());
        step.is_some_and(|step| match &step.action.value {
            Action::Approve(approve) => names(&approve.message) || names(&approve.confirm),
            _ => false,
        })
    })
}

/// Whether something that the step changed may still be there.
fn may_stand(step: &Step, entry: &Entry) -> bool {
    if effects(step) == Effects::Reads || matches!(step.action.value, Action::Backup(_)) {
        return false;
    }
    match entry.state {
        StepState::Waiting | StepState::Retrying { .. } | StepState::AwaitingApproval => {
            entry.attempts > 0 && !is_whole(step)
        }
        StepState::Undone => false,
        // Whoever passed over one in doubt did not say what became of it.
        StepState::Skipped => entry.evidence.is_some() || entry.failure.is_some() && !is_whole(step),
        StepState::Failed => !is_whole(step),
        StepState::Running
        | StepState::Done
        | StepState::Unknown
        | StepState::Undoing
        | StepState::UndoFailed
        | StepState::Left => true,
    }
}

/// Whether a failed attempt certainly changed nothing of what is in use.
fn is_whole(step: &Step) -> bool {
    match &step.action.value {
        Action::Sql(sql) => sql.transaction,
        Action::Restore(restore) => restore.into == action::restore::Into::Side,
        Action::Shell(_) | Action::Http(_) => false,
        Action::Backup(_)
        | Action::Swap(_)
        | Action::Copy(_)
        | Action::Freeze(_)
        | Action::Verify(_)
        | Action::Approve(_)
        | Action::Notify(_) => true,
    }
}

/// Steps that somebody passed over on the way back: what they did is still there.
pub fn passed_over(state: &State) -> impl Iterator<Item = &StepId> {
    use super::input::Resolution;
    let passed = |entry: &Entry| matches!(entry.resolved, Some((Resolution::Skip, _)));
    state
        .entries()
        .filter(move |(_, entry)| entry.state == StepState::Left && passed(entry))
        .map(|(id, _)| id)
}

/// Steps whose way back is a message: what they did is still there, and somebody was told.
fn only_told(state: &State) -> impl Iterator<Item = &StepId> {
    let told = |id: &StepId| {
        let undo = state.shape.flow.step(id.as_str()).and_then(|step| step.undo.as_ref());
        undo.is_some_and(|undo| matches!(undo.action.value, Action::Notify(_)))
    };
    let undone = state.entries().filter(|(_, entry)| entry.state == StepState::Undone);
    undone.map(|(id, _)| id).filter(move |id| told(id))
}

/// ` except replaced (skipped)`, or nothing: what has to be said wherever a run is called undone.
pub fn except(state: &State) -> String {
    let passed = passed_over(state).map(|id| format!("{id} (skipped)"));
    let told = only_told(state).map(|id| format!("{id} (only told)"));
    let names: Vec<String> =
        passed.chain(told).chain(doubtful(state).map(|(id, _)| format!("{id} (may have acted)"))).collect();
    if names.is_empty() { String::new() } else { format!(" except {}", names.join(", ")) }
}

/// What an undo that came to its end reversed, in a few words.
pub fn reversed(state: &State) -> String {
    match &state.undo_to {
        Some(to) => format!("what it did after {to} was reversed{}", except(state)),
        None if except(state).is_empty() => "everything it did was reversed".to_owned(),
        None => format!("what it did was reversed{}", except(state)),
    }
}
