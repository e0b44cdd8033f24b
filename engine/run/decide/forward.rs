//! The way forward: what is started, what an attempt that ended leads to, and why nothing goes on. Must never start a step
//! whose outcome is not known, or whose needs are not met.

use super::super::event::{Event, Finish};
use super::super::outcome::{Failure, Outcome};
use super::super::parked::Why;
use super::super::renewal::{Freshness, freshness};
use super::super::state::State;
use super::super::transition::StepState;
use super::free;
use crate::plan::template::{self, Results, Scope};
use crate::plan::{OnFailure, Step, StepId};
use jiff::Timestamp;

pub fn forward(state: &State, now: Timestamp) -> Vec<Event> {
    if let Some(reason) = &state.stopping {
        return match state.running.is_empty() {
            true => vec![Event::Parked { why: Why::Stopped { reason: reason.clone() } }],
            false => Vec::new(),
        };
    }
    let mut started = Vec::new();
    let mut room = free(state);
    for at in &state.ready {
        if room == 0 {
            break;
        }
        match freshness(state, *at) {
            Freshness::Fresh => {}
            Freshness::Coming => continue,
            // One after the other: what is stale for one may be so for the next.
            Freshness::Stale(events) if started.is_empty() => return events,
            Freshness::Stale(_) => break,
        }
        room -= 1;
        started.extend(start(state, *at, now));
    }
    if !started.is_empty() {
        return started;
    }
    if !state.running.is_empty() || !state.retrying.is_empty() {
        return Vec::new();
    }
    if state.is_complete() {
        return vec![Event::RunFinished { result: Finish::Done }];
    }
    stand_still(state)
}

/// Nothing can go on by itself.
fn stand_still(state: &State) -> Vec<Event> {
    if let Some(step) = state.unknown().next() {
        // On a terminal the operator is being asked.
        return match state.attended {
            true => Vec::new(),
            false => vec![Event::Parked { why: Why::Unknown { step: step.clone() } }],
        };
    }
    if state.awaiting().next().is_some() && (state.attended || state.wait) {
        return Vec::new();
    }
    if let Some(step) = state.failed().next() {
        if state.shape.plan.on_failure == OnFailure::Undo {
            let reason = format!("step {step} failed, and the plan says `on_failure: undo`");
            return vec![Event::UndoRequested { to: None, reason }];
        }
        return vec![Event::Parked { why: Why::Failed { step: step.clone() } }];
    }
    if let Some(step) = state.awaiting().next() {
        return vec![Event::Parked { why: Why::Approval { step: step.clone() } }];
    }
    Vec::new()
}

fn start(state: &State, at: usize, now: Timestamp) -> Option<Event> {
    let step = state.shape.flow.steps().get(at)?;
    let id = step.id.value.clone();
    let attempt = state.entry_at(at)?.attempts + 1;
    match is_wanted(state, step, now) {
        Ok(true) => Some(Event::StepStarted { step: id, attempt }),
        Ok(false) => {
            let condition = step.when.as_ref().map(|when| when.raw.trim().to_owned()).unwrap_or_default();
            Some(Event::StepSkipped { step: id, reason: format!("`when` is false: {condition}") })
        }
        Err(error) => {
            let failure = Failure::new("runplan::run::when", format!("`when` cannot be computed: {error}"));
            Some(Event::StepFailed { step: id, attempt, failure: failure.permanent() })
        }
    }
}

fn is_wanted(state: &State, step: &Step, now: Timestamp) -> Result<bool, template::Error> {
    let Some(when) = &step.when else { return Ok(true) };
    let references = template::condition_references(&when.raw)?;
    let scope = scope(state, &references, now);
    template::condition(&when.raw, &scope)
}

/// What a condition may read: no secrets, and of the steps only those it names.
fn scope(state: &State, references: &[template::Reference], now: Timestamp) -> Scope {
    let value = |value: serde_json::Value| template::value_of(&value);
    let steps = Results::default();
    for reference in references {
        if let Some(id) = step_of_path(&reference.path, state)
            && let Some(results) = state.results(&id)
        {
            steps.set(id.as_str(), Some(&results));
        }
    }
    let params = state.started.as_ref().map(|started| started.params.clone()).unwrap_or_default();
    Scope::new([
        ("params".to_owned(), value(params.into())),
        ("steps".to_owned(), steps.value()),
        ("run".to_owned(), value(state.run_values(now))),
    ])
}

/// The step that `steps.a.database` or `steps.maintenance.open.exit_code` names.
fn step_of_path(path: &str, state: &State) -> Option<StepId> {
    let rest = path.strip_prefix("steps.")?;
    let mut parts = rest.split('.');
    let one = parts.next()?;
    if let Some(step) = state.shape.flow.step(one) {
        return Some(step.id.value.clone());
    }
    let two = format!("{one}.{}", parts.next()?);
    state.shape.flow.step(&two).map(|step| step.id.value.clone())
}

pub fn finish(state: &State, step: &StepId, attempt: u32, outcome: Outcome, now: Timestamp) -> Vec<Event> {
    let Some(at) = state.shape.flow.index(step.as_str()) else { return Vec::new() };
    let Some(entry) = state.entry_at(at) else { return Vec::new() };
    if entry.state != StepState::Running || entry.attempts != attempt {
        return Vec::new();
    }
    let step = step.clone();
    vec![match outcome {
        Outcome::Done(outputs) => Event::StepDone { step, attempt, outputs },
        Outcome::Unknown(evidence) => Event::StepUnknown { step, attempt, evidence },
        Outcome::Asked(ask) => Event::ApprovalRequested { step, attempt, ask: *ask },
        Outcome::Skipped(reason) => Event::StepSkipped { step, reason },
        Outcome::Again(reason) => Event::StepReopened { step, reason },
        Outcome::Failed(failure) => match retry_at(state, at, attempt, &failure, now) {
            Some(at) => Event::RetryScheduled { step, attempt, at, failure },
            None => Event::StepFailed { step, attempt, failure },
        },
    }]
}

/// Only a certain failure is ever tried again.
fn retry_at(state: &State, at: usize, attempt: u32, failure: &Failure, now: Timestamp) -> Option<Timestamp> {
    let retry = state.shape.flow.steps().get(at)?.retry.as_ref()?;
    let allowed = attempt < retry.attempts.value && !failure.permanent;
    if !allowed || state.is_stopping() || state.is_cancelled(at) {
        return None;
    }
    now.checked_add(retry.wait(attempt).std()).ok()
}
