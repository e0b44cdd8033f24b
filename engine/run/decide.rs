//! (state, input, now) -> events. Decides everything; does nothing.

mod backward;
mod forward;
mod said;

use super::consent::is_expired;
use super::escalation;
use super::event::{Amended, Event};
use super::input::Input;
use super::outcome::Failure;
use super::record::Actor;
use super::state::{Phase, State};
use super::transition::StepState;
use crate::plan::StepId;
use jiff::Timestamp;

/// What follows from an input. The caller applies the events, then asks again with `Input::Next` until nothing comes.
pub fn decide(state: &State, actor: &Actor, input: Input, now: Timestamp) -> Vec<Event> {
    if state.moved.is_some() && drives(&input) {
        return Vec::new();
    }
    match input {
        Input::Begin(started) => vec![Event::RunStarted(started)],
        Input::Resume { attended, wait } => resume(state, attended, wait, now),
        Input::Next => next(state, now),
        Input::Tick => tick(state, now),
        Input::Outcome { step, attempt, outcome } => forward::finish(state, &step, attempt, outcome, now),
        Input::Undone { step, attempt, outcome } => backward::undone(state, step, attempt, outcome),
        Input::Note { step, attempt, fact } => {
            // A fact of an attempt that is over came too late to matter.
            let live = state
                .entry(&step)
                .is_some_and(|entry| matches!(entry.state, StepState::Running | StepState::Undoing));
            if live { vec![Event::FactNoted { step, attempt, fact }] } else { Vec::new() }
        }
        Input::Released => match state.phase == Phase::Finished && !state.released {
            true => vec![Event::TargetsReleased],
            false => Vec::new(),
        },
        Input::Reclaim { reason, positions } => vec![Event::TargetsReclaimed { reason, positions }],
        Input::Programs { pg_bin } => {
            let known = state.started.as_ref().and_then(|started| started.pg_bin.as_ref());
            (known != Some(&pg_bin)).then_some(Event::ProgramsNamed { pg_bin }).into_iter().collect()
        }
        // Also with something interrupted: it is settled where the run goes on.
        Input::Export { to } => match state.moved.is_none() {
            true => vec![Event::RunExported { to }],
            false => Vec::new(),
        },
        Input::TakeOver { epoch, from, reason, directory } => match epoch > state.epoch {
            true => vec![Event::RunTakenOver { epoch, from, reason, directory }],
            false => Vec::new(),
        },
        Input::Amend(amended) => amend(state, *amended),
        Input::Warning { step, message } => vec![Event::Warned { step, message }],
        Input::HandlerFinished { occasion, index, failure, line } => {
            vec![Event::HandlerFinished { occasion, index, failure, line }]
        }
        Input::Stop { hard, reason } => stop(state, hard, reason),
        Input::TellBroken => broken(state).into_iter().collect(),
        Input::Post(post) => said::posted(state, actor, post, now),
    }
}

/// What would make a run go on that goes on elsewhere.
fn drives(input: &Input) -> bool {
    match input {
        Input::Begin(_)
        | Input::Resume { .. }
        | Input::Next
        | Input::Tick
        | Input::Outcome { .. }
        | Input::Undone { .. }
        | Input::Note { .. }
        | Input::Stop { .. }
        | Input::Amend(_)
        | Input::Reclaim { .. }
        | Input::Programs { .. } => true,
        Input::Released
        | Input::Export { .. }
        | Input::TakeOver { .. }
        | Input::Warning { .. }
        | Input::HandlerFinished { .. }
        | Input::TellBroken
        | Input::Post(_) => false,
    }
}

/// When the run wants to be asked again although nothing happens.
pub fn next_wakeup(state: &State) -> Option<Timestamp> {
    // One that has to wait for a place is started when another step ends, not when its time comes.
    let retry = state.retrying.keys().next().map(|(at, _)| *at).filter(|_| may_retry(state));
    let forward = state.phase == Phase::Forward;
    let asked = state.awaiting().filter(|_| forward);
    let expiry = asked.filter_map(|id| state.entry(id)?.ask.as_ref()?.expires_at).min();
    [retry, expiry, deadline(state), escalation::deadline(state)].into_iter().flatten().min()
}

fn deadline(state: &State) -> Option<Timestamp> {
    if state.phase != Phase::Forward || state.is_stopping() {
        return None;
    }
    let limit = state.shape.plan.limits.deadline?;
    let deadline = state.started_at?.checked_add(limit.std()).ok()?;
    // Whoever resumes a run after its deadline wants it to go on all the same.
    (state.resumed_at.is_none_or(|resumed| resumed < deadline)).then_some(deadline)
}

fn free(state: &State) -> usize {
    usize::from(state.shape.plan.limits.parallel.value).saturating_sub(state.running.len())
}

fn may_retry(state: &State) -> bool {
    state.phase == Phase::Forward && !state.is_stopping() && state.parked.is_none() && free(state) > 0
}

fn resume(state: &State, attended: bool, wait: bool, now: Timestamp) -> Vec<Event> {
    let mut events = vec![Event::RunResumed { attended, wait }];
    let mut free = free(state);
    let resumed = || "the run was resumed".to_owned();
    for (id, entry) in state.entries() {
        match entry.state {
            StepState::Running | StepState::Undoing => {
                let attempt = entry.attempts;
                events.push(Event::SettleStarted { step: id.clone(), attempt });
            }
            // A retry that was waiting starts at once.
            StepState::Retrying { .. } => {
                events.push(Event::StepReopened { step: id.clone(), reason: resumed() });
            }
            StepState::Failed if state.phase == Phase::Forward => {
                let may_fail =
                    state.shape.flow.step(id.as_str()).is_some_and(|step| step.continue_on_failure);
                if !may_fail {
                    events.push(Event::StepReopened { step: id.clone(), reason: resumed() });
                }
            }
            // A server that was silent then may answer now.
            StepState::Unknown if free > 0 => {
                free -= 1;
                events.push(Event::SettleStarted { step: id.clone(), attempt: entry.attempts });
            }
            StepState::AwaitingApproval if is_expired(entry, now) => {
                events.push(expired(id, entry.attempts));
                events.push(Event::StepReopened { step: id.clone(), reason: resumed() });
            }
            StepState::Failed
            | StepState::Waiting
            | StepState::AwaitingApproval
            | StepState::Done
            | StepState::Unknown
            | StepState::Skipped
            | StepState::Undone
            | StepState::Left
            | StepState::UndoFailed => {}
        }
    }
    events
}

fn next(state: &State, now: Timestamp) -> Vec<Event> {
    if state.started.is_none() || state.parked.is_some() || state.moved.is_some() {
        return Vec::new();
    }
    // Before anything follows from it, also when it was done while nobody drove the run.
    if let Some(event) = broken(state) {
        return vec![event];
    }
    match state.phase {
        Phase::Finished => Vec::new(),
        Phase::Forward => forward::forward(state, now),
        Phase::Backward => backward::backward(state),
    }
}

fn broken(state: &State) -> Option<Event> {
    let (step, by, reason) = state.broken_glass.clone()?;
    Some(Event::GlassBroken { step, by, reason })
}

fn tick(state: &State, now: Timestamp) -> Vec<Event> {
    let mut events = Vec::new();
    if deadline(state).is_some_and(|deadline| deadline <= now) && state.parked.is_none() {
        let limit = state.shape.plan.limits.deadline.map(|limit| limit.to_string()).unwrap_or_default();
        events.push(Event::StopRequested {
            hard: false,
            reason: format!("the deadline of {limit} has passed"),
        });
    }
    events.extend(escalation::passed(state, now));
    // On the way back, and at the end, nobody waits for the answer any more.
    for id in state.awaiting().filter(|_| state.phase == Phase::Forward) {
        let Some(entry) = state.entry(id) else { continue };
        if is_expired(entry, now) {
            events.push(expired(id, entry.attempts));
        }
    }
    if may_retry(state) {
        for (at, step) in state.retrying.keys().take(free(state)) {
            if *at <= now
                && let (Some(id), Some(entry)) = (state.id_at(*step), state.entry_at(*step))
            {
                events.push(Event::StepStarted { step: id.clone(), attempt: entry.attempts + 1 });
            }
        }
    }
    events
}

fn expired(step: &StepId, attempt: u32) -> Event {
    let failure = Failure::new("runplan::approve::expired", "nobody decided in time, which counts as no")
        .help("resume the run to ask again")
        .permanent();
    Event::StepFailed { step: step.clone(), attempt, failure }
}

fn stop(state: &State, hard: bool, reason: String) -> Vec<Event> {
    if state.phase == Phase::Finished || state.parked.is_some() {
        return Vec::new();
    }
    let mut events = Vec::new();
    if !state.is_stopping() || hard {
        events.push(Event::StopRequested { hard, reason });
    }
    if hard {
        for id in state.running() {
            let cancelled = state.shape.flow.index(id.as_str()).is_some_and(|at| state.is_cancelled(at));
            if let Some(entry) = state.entry(id).filter(|_| !cancelled) {
                events.push(Event::CancelRequested { step: id.clone(), attempt: entry.attempts });
            }
        }
    }
    events
}

/// Approvals were given for the old plan.
fn amend(state: &State, amended: Amended) -> Vec<Event> {
    let renewed = state.approvals_to_renew(&amended);
    let mut events = vec![Event::PlanAmended(Box::new(amended))];
    events.extend(renewed.into_iter().map(|step| Event::StepRenewed {
        step,
        reason: "the plan was amended since it was approved".to_owned(),
    }));
    events
}
