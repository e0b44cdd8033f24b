//! (state, input, now) -> events. Decides everything; does nothing.

use super::consent::{self, is_expired, refuse};
use super::escalation;
use super::event::{Amended, Event, Finish};
use super::guarding::guarded_by;
use super::input::{Input, Post, Resolution};
use super::outcome::{Failure, Outcome};
use super::parked::Why;
use super::record::Actor;
use super::renewal::{Freshness, freshness};
use super::reversal::{Reversal, reversal};
use super::state::{Phase, State};
use super::transition::StepState;
use crate::plan::template::{self, Results, Scope};
use crate::plan::{OnFailure, Step, StepId};
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
        Input::Outcome { step, attempt, outcome } => finish(state, &step, attempt, outcome, now),
        Input::Undone { step, attempt, outcome } => undone(state, step, attempt, outcome),
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
        Input::HandlerFinished { occasion, index, failure } => {
            vec![Event::HandlerFinished { occasion, index, failure }]
        }
        Input::Stop { hard, reason } => stop(state, hard, reason),
        Input::Post(post) => posted(state, actor, post, now),
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
        | Input::Amend(_) => true,
        Input::Released
        | Input::Export { .. }
        | Input::TakeOver { .. }
        | Input::Warning { .. }
        | Input::HandlerFinished { .. }
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
    if let Some((step, by, reason)) = state.broken_glass.clone() {
        return vec![Event::GlassBroken { step, by, reason }];
    }
    match state.phase {
        Phase::Finished => Vec::new(),
        Phase::Forward => forward(state, now),
        Phase::Backward => backward(state),
    }
}

fn forward(state: &State, now: Timestamp) -> Vec<Event> {
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

fn finish(state: &State, step: &StepId, attempt: u32, outcome: Outcome, now: Timestamp) -> Vec<Event> {
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

/// An answer to an attempt that is over was meant for something else than what is asked now.
fn answer(state: &State, actor: &Actor, attempt: u32, post: Post, now: Timestamp) -> Vec<Event> {
    let asked = post.step().and_then(|step| Some((step.clone(), state.entry(step)?.attempts)));
    match asked {
        Some((step, now)) if now != attempt => refuse(
            step,
            actor,
            format!("it answers attempt {attempt}, and attempt {now} is the last; look at that one first"),
        ),
        _ => posted(state, actor, post, now),
    }
}

fn posted(state: &State, actor: &Actor, post: Post, now: Timestamp) -> Vec<Event> {
    // What came through the inbox may name anything; a step that is not there cannot be told about.
    if post.step().is_some_and(|step| state.entry(step).is_none()) {
        return Vec::new();
    }
    if state.moved.is_some() {
        let step = post.step().cloned();
        return step
            .map_or_else(Vec::new, |step| refuse(step, actor, "the run was moved, and goes on elsewhere"));
    }
    if state.phase == Phase::Finished
        && let Some(step) = post.step().filter(|_| !matches!(post, Post::Answer { .. }))
    {
        return refuse(step.clone(), actor, "the run is over");
    }
    // A step that became done now would stand in the way of the steps that are undone before it.
    if state.phase == Phase::Backward
        && let Post::Approve { step, .. }
        | Post::Reject { step, .. }
        | Post::Signed { step, .. }
        | Post::BreakGlass { step, .. } = post
    {
        return refuse(step, actor, "the run is being undone, so nothing waits for it any more");
    }
    match post {
        Post::Approve { step, comment } => consent::approve(state, actor, step, comment, now),
        Post::Reject { step, reason } => consent::reject(state, actor, step, reason),
        Post::Signed { step, signed } => consent::signed(state, actor, step, signed, now),
        Post::BreakGlass { step, reason } => consent::break_glass(state, actor, step, reason, now),
        Post::Resolve { step, resolution, reason, loss } => {
            resolve(state, actor, step, resolution, reason, loss)
        }
        Post::Stop { hard, reason } => stop(state, hard, reason),
        Post::Undo { to, reason } => undo(state, actor, to, reason),
        Post::End { reason } => end(state, reason),
        Post::Answer { attempt, answer: post } => answer(state, actor, attempt, *post, now),
    }
}

fn resolve(
    state: &State,
    actor: &Actor,
    step: StepId,
    resolution: Resolution,
    reason: String,
    loss: Option<String>,
) -> Vec<Event> {
    let Some(entry) = state.entry(&step) else { return Vec::new() };
    if resolution == Resolution::Skip
        && state.phase == Phase::Forward
        && let Some(guarded) = guarded_by(state, &step)
    {
        let why = format!(
            "it guards {guarded}, so it cannot be skipped; mend what failed and resume, or undo the run"
        );
        return refuse(step, actor, why);
    }
    let event = Event::StepResolved { step: step.clone(), resolution, reason, loss };
    match super::transition::transition(entry.state, &event) {
        Ok(_) => vec![event],
        Err(_) => {
            let word = entry.state.word();
            refuse(step, actor, format!("it is {word}; `--{}` does not apply to that", resolution.word()))
        }
    }
}

fn undo(state: &State, actor: &Actor, to: Option<StepId>, reason: String) -> Vec<Event> {
    if state.phase == Phase::Backward {
        return Vec::new();
    }
    if let Some(step) = state.unknown().next() {
        return refuse(step.clone(), actor, "its outcome is not known; resolve it before the undo");
    }
    if !state.running.is_empty() {
        let step = state.running().next().cloned();
        return step.map_or_else(Vec::new, |step| refuse(step, actor, "it is running; stop the run first"));
    }
    if let Some(step) = to.as_ref().filter(|step| !state.done().any(|done| done == *step)) {
        return refuse(step.clone(), actor, "it is not done, so nothing can be undone back to it");
    }
    vec![Event::UndoRequested { to, reason }]
}

/// For good, as it stands; never while something is under way.
fn end(state: &State, reason: String) -> Vec<Event> {
    if state.phase == Phase::Finished || !state.running.is_empty() {
        return Vec::new();
    }
    vec![
        Event::Warned { step: None, message: format!("ended for good: {reason}") },
        Event::RunFinished { result: Finish::Failed },
    ]
}

/// One step after the other, newest first.
fn backward(state: &State) -> Vec<Event> {
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
    let newest = state.done_order.last().and_then(|at| Some((*at, state.id_at(*at)?.clone())));
    match newest {
        Some((_, id)) if state.undo_to.as_ref() == Some(&id) => {
            vec![Event::RunFinished { result: Finish::Undone }]
        }
        None => vec![Event::RunFinished { result: Finish::Undone }],
        Some((at, id)) => vec![undo_of(state, at, id)],
    }
}

fn is_undo_failed(state: &State, id: &StepId) -> bool {
    state.entry(id).is_some_and(|entry| entry.state == StepState::UndoFailed)
}

fn undo_of(state: &State, at: usize, id: StepId) -> Event {
    let attempt = state.entry_at(at).map_or(1, |entry| entry.attempts);
    let Some(step) = state.shape.flow.steps().get(at) else {
        return Event::UndoDone { step: id, attempt, note: String::new() };
    };
    match reversal(step) {
        Reversal::Nothing => Event::UndoDone { step: id, attempt, note: "nothing to undo".to_owned() },
        Reversal::BuiltIn(_) | Reversal::Given(_) => Event::UndoStarted { step: id, attempt },
        Reversal::None(reason) => {
            let failure = Failure::new("runplan::undo::no_way_back", format!("it cannot be undone: {reason}"))
                .help("mend it by hand, then `runplan resolve RUN STEP --skip --reason ...` goes on with the steps before it");
            Event::UndoFailed { step: id, attempt, failure }
        }
    }
}

fn undone(state: &State, step: StepId, attempt: u32, outcome: Outcome) -> Vec<Event> {
    if !state.entry(&step).is_some_and(|entry| entry.state == StepState::Undoing) {
        return Vec::new();
    }
    vec![match outcome {
        Outcome::Done(outputs) => {
            let note = outputs.get("note").and_then(|note| note.as_str()).unwrap_or("undone").to_owned();
            Event::UndoDone { step, attempt, note }
        }
        Outcome::Skipped(note) => Event::UndoDone { step, attempt, note },
        Outcome::Failed(failure) => Event::UndoFailed { step, attempt, failure },
        Outcome::Unknown(evidence) => {
            let message = format!("{}; {}", evidence.message, evidence.facts.join("; "));
            Event::UndoFailed { step, attempt, failure: Failure::new("runplan::undo::unknown", message) }
        }
        Outcome::Asked(_) | Outcome::Again(_) => {
            let failure = Failure::new("runplan::undo::odd", "the undo gave no result");
            Event::UndoFailed { step, attempt, failure }
        }
    }]
}
