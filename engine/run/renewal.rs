//! Evidence goes stale: a backup, an approval or a verification that is too old on a resume is taken anew before the next
//! destructive step that relies on it. Must never let that step begin before the evidence is there again.

use super::event::Event;
use super::guarding::is_dangerous;
use super::state::{Entry, State};
use super::transition::StepState;
use crate::plan::action::freeze::Mode;
use crate::plan::{Action, Duration, Step};
use jiff::Timestamp;

const HOUR: Duration = Duration::from_ms(3_600_000);
const QUARTER: Duration = Duration::from_ms(900_000);

/// What stands between a step and its start.
pub enum Freshness {
    Fresh,
    /// Evidence that is taken anew first.
    Stale(Vec<Event>),
    /// It is being taken anew.
    Coming,
}

/// Whether a step whose needs are met may begin.
pub fn freshness(state: &State, at: usize) -> Freshness {
    let graph = &state.shape.graph;
    if state.renewing.iter().any(|renewed| *renewed != at && graph.is_before(*renewed, at)) {
        return Freshness::Coming;
    }
    let steps = state.shape.flow.steps();
    let is_due =
        state.resumed_at.is_some() && steps.get(at).is_some_and(|step| is_dangerous(&step.action.value));
    if !is_due {
        return Freshness::Fresh;
    }
    let done = |before: &usize| state.entry_at(*before).is_some_and(|entry| entry.state == StepState::Done);
    let behind: Vec<usize> =
        (0..steps.len()).filter(done).filter(|before| graph.is_before(*before, at)).collect();
    let mut stale: Vec<(usize, String)> = Vec::new();
    for before in &behind {
        let (Some(step), Some(entry)) = (steps.get(*before), state.entry_at(*before)) else { continue };
        if let Some(why) = too_old(state, step, entry) {
            stale.push((*before, why));
        }
    }
    let old: Vec<usize> = stale.iter().map(|(at, _)| *at).collect();
    // Who approved saw what the steps before it had found.
    for before in behind {
        let is_approval = matches!(steps[before].action.value, Action::Approve(_));
        if is_approval && !old.contains(&before) && old.iter().any(|old| graph.is_before(*old, before)) {
            stale.push((before, "what it was given for is proved anew".to_owned()));
        }
    }
    let events = stale
        .into_iter()
        .filter_map(|(at, reason)| Some(Event::StepRenewed { step: state.id_at(at)?.clone(), reason }));
    match events.collect::<Vec<_>>() {
        events if events.is_empty() => Freshness::Fresh,
        events => Freshness::Stale(events),
    }
}

/// Since when a freeze of this run lets nobody into the database that the step backed up: nothing was written since.
fn closed_at(state: &State, step: &Step) -> Option<Timestamp> {
    let Action::Backup(backup) = &step.action.value else { return None };
    let closes = |at: &usize| {
        let action = state.shape.flow.steps().get(*at).map(|step| &step.action.value);
        matches!(action, Some(Action::Freeze(freeze))
            if freeze.mode == Mode::NoConnections && freeze.database.raw == backup.database.raw)
    };
    let done = state.done_order.iter().filter(|at| closes(at));
    done.filter_map(|at| state.entry_at(*at)?.finished_at).min()
}

/// By the clock of the resume: what is taken anew afterwards is fresh, however long the rest takes.
fn too_old(state: &State, step: &Step, entry: &Entry) -> Option<String> {
    let usual = match &step.action.value {
        Action::Backup(_) | Action::Approve(_) => HOUR,
        Action::Verify(_) => QUARTER,
        _ => return None,
    };
    let limit = step.fresh_for.unwrap_or(usual);
    let (resumed, finished) = (state.resumed_at?, entry.finished_at?);
    let until = finished.checked_add(limit.std()).ok()?;
    // Of a closed database no other can be taken; it is as good as it was when the database was closed.
    let aged = closed_at(state, step).filter(|closed| *closed >= finished).unwrap_or(resumed);
    (until < aged).then(|| format!("it is older than {limit}"))
}
