//! Evidence goes stale: a backup, an approval or a verification that is too old on a resume is taken anew before the next
//! destructive step that relies on it; and a freeze that was written through, with all that followed it. Must never let that step begin before the evidence is there again.

use super::event::Event;
use super::guarding::is_dangerous;
use super::state::{Entry, State};
use super::transition::StepState;
use crate::plan::action::freeze::Mode;
use crate::plan::{Action, Duration, Step, Text};
use jiff::Timestamp;

const HOUR: Duration = Duration::from_ms(3_600_000);
const QUARTER: Duration = Duration::from_ms(900_000);

/// With which a step says that its freeze holds no longer.
const WRITTEN: [&str; 4] = [
    "runplan::restore::unproved",
    "runplan::restore::written",
    "runplan::swap::unproved",
    "runplan::swap::written",
];

/// The same of a freeze that let nobody in: its database was opened.
const REOPENED: [&str; 2] = ["runplan::restore::reopened", "runplan::swap::reopened"];

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
    let Some(step) = steps.get(at).filter(|_| state.resumed_at.is_some()) else { return Freshness::Fresh };
    // Once nobody gets in any more it is too late to look again.
    let closed = closes(step).filter(|_| leads_to_danger(state, at));
    if closed.is_none() && !is_dangerous(&step.action.value) {
        return Freshness::Fresh;
    }
    let matters = |step: &Step| closed.is_none_or(|database| is_about(state, step, database));
    let done = |before: &usize| state.entry_at(*before).is_some_and(|entry| entry.state == StepState::Done);
    let behind: Vec<usize> =
        (0..steps.len()).filter(done).filter(|before| graph.is_before(*before, at)).collect();
    // What was proved of a server that was replaced since cannot be proved anew.
    let replaced = |before: &usize| {
        let since = |by: &&usize| replaces(&steps[**by]) && graph.is_before(*before, **by);
        behind.iter().any(|by| since(&by))
    };
    let behind: Vec<usize> = behind.iter().copied().filter(|before| !replaced(before)).collect();
    let mut stale: Vec<(usize, String)> = Vec::new();
    for before in &behind {
        let (Some(step), Some(entry)) = (steps.get(*before), state.entry_at(*before)) else { continue };
        if let Some(why) = too_old(state, step, entry).filter(|_| matters(step)) {
            stale.push((*before, why));
        }
    }
    for before in written_through(state, at, &behind) {
        if !stale.iter().any(|(stale, _)| *stale == before) {
            stale.push((before, "something was written since the freeze".to_owned()));
        }
    }
    stale.sort_by_key(|(at, _)| *at);
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

/// The freeze that a step refused to rely on, and what was found and decided after it: proved anew by a resume. Behind a freeze
/// that lets nobody in nothing can be looked at again, so what looked at its database before it is done again too, and first.
fn written_through(state: &State, at: usize, behind: &[usize]) -> Vec<usize> {
    let steps = state.shape.flow.steps();
    let (Some(step), Some(entry)) = (steps.get(at), state.entry_at(at)) else { return Vec::new() };
    let database = match &step.action.value {
        Action::Swap(swap) => swap.database.raw.trim(),
        Action::Restore(restore) => restore.database.raw.trim(),
        _ => return Vec::new(),
    };
    let code = entry.failure.as_ref().map_or("", |failure| failure.code.as_str());
    let was_opened = REOPENED.contains(&code);
    let mode = if was_opened { Mode::NoConnections } else { Mode::ReadOnly };
    let refused = was_opened || WRITTEN.contains(&code);
    let Some(refused_at) = entry.finished_at.filter(|_| refused) else { return Vec::new() };
    let is_older = |at: usize| {
        let finished = state.entry_at(at).and_then(|entry| entry.finished_at);
        finished.is_some_and(|finished| finished <= refused_at)
    };
    let is_freeze = |at: &usize| match &steps[*at].action.value {
        Action::Freeze(freeze) => freeze.mode == mode && freeze.database.raw.trim() == database,
        _ => false,
    };
    let frozen = behind.iter().rev().copied().find(|at| is_freeze(at));
    let Some(frozen) = frozen.filter(|frozen| is_older(*frozen)) else { return Vec::new() };
    let follows = |after: &usize| {
        let looks =
            matches!(steps[*after].action.value, Action::Backup(_) | Action::Verify(_) | Action::Approve(_));
        looks && is_older(*after) && state.shape.graph.is_before(frozen, *after)
    };
    let looked =
        |before: &usize| was_opened && is_older(*before) && is_about(state, &steps[*before], database);
    let others = behind.iter().copied().filter(|other| follows(other) || looked(other));
    std::iter::once(frozen).chain(others).collect()
}

fn replaces(step: &Step) -> bool {
    match &step.action.value {
        Action::Shell(shell) => shell.replaces.is_some(),
        Action::Http(http) => http.replaces.is_some(),
        _ => false,
    }
}

fn leads_to_danger(state: &State, at: usize) -> bool {
    let later = state.shape.flow.steps().iter().enumerate();
    later
        .into_iter()
        .any(|(later, step)| is_dangerous(&step.action.value) && state.shape.graph.is_before(at, later))
}

/// The database that a step lets nobody into any more.
fn closes(step: &Step) -> Option<&str> {
    match &step.action.value {
        Action::Freeze(freeze) if freeze.mode == Mode::NoConnections => Some(freeze.database.raw.trim()),
        _ => None,
    }
}

/// Whether evidence is about a database, so that it cannot be taken anew when nobody gets into that.
fn is_about(state: &State, step: &Step, database: &str) -> bool {
    let is = |text: &Text| text.raw.trim() == database;
    match &step.action.value {
        Action::Backup(backup) => is(&backup.database),
        Action::Verify(verify) => {
            let named =
                verify.use_.iter().filter_map(|name| state.shape.plan.checks.get(name.value.as_str()));
            let checks = named.flatten().chain(&verify.checks);
            verify.database.iter().chain(checks.filter_map(|check| check.database.as_ref())).any(is)
        }
        _ => false,
    }
}

/// Whether this run has closed the database that the step looked at, after it had: nothing was written since, nobody can look
/// again, and what was too old when it was about to be closed was taken anew then.
fn is_closed_since(state: &State, step: &Step, finished: Timestamp) -> bool {
    let steps = state.shape.flow.steps();
    let closed = |at: &usize| {
        let database = steps.get(*at).and_then(|freeze| closes(freeze));
        let since = state.entry_at(*at).and_then(|entry| entry.finished_at);
        database.is_some_and(|database| is_about(state, step, database))
            && since.is_some_and(|since| since >= finished)
    };
    state.done_order.iter().any(closed)
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
    let why = if until < resumed {
        format!("it is older than {limit}")
    } else if entry.is_ahead {
        "the clock was set back since, so nobody knows how old it is".to_owned()
    } else {
        return None;
    };
    (!is_closed_since(state, step, finished)).then_some(why)
}
