//! What a person says to the run, from another process or at the prompt. Whatever does not apply now is refused, with why.

use super::super::consent::{self, refuse};
use super::super::doubt::asked_loss;
use super::super::event::{Event, Finish};
use super::super::guarding::guarded_by;
use super::super::input::{Post, Resolution};
use super::super::parked::Why;
use super::super::record::Actor;
use super::super::state::{Phase, State};
use super::super::transition::transition;
use super::stop;
use crate::plan::StepId;
use jiff::Timestamp;

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

pub fn posted(state: &State, actor: &Actor, post: Post, now: Timestamp) -> Vec<Event> {
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
        Post::LetGo => Vec::new(),
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
    if let (Some(given), Some(asked)) = (&loss, asked_loss(entry))
        && given != asked
    {
        let why = format!(
            "`--accept-loss {given}` is not the code of the loss that is asked about; that is {asked}: read first what \
             `runplan status {}` says of it",
            state.run
        );
        return refuse(step, actor, why);
    }
    let event = Event::StepResolved { step: step.clone(), resolution, reason, loss };
    match transition(entry.state, &event) {
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
        let why = Why::Unknown { step: step.clone() }.others(&state.run).join(", or ");
        return refuse(
            step.clone(),
            actor,
            format!("its outcome is not known; resolve it before the undo: {why}"),
        );
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
