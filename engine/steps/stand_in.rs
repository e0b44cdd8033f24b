//! A rehearsal's stand-ins: what runs in the place of a step that would reach the world outside. Must never let such a
//! step through by itself.

use super::attempt::Attempt;
use super::notify::CONSOLE;
use crate::plan::action::Action;
use crate::plan::expand;
use crate::run::Outcome;
use std::sync::Arc;

/// What to do with an attempt.
pub enum Standing {
    /// As it is written.
    Itself,
    /// This in its place.
    Other(Box<Attempt>),
    Skipped(Outcome),
}

pub fn stand_in(attempt: &Attempt) -> Standing {
    let world = &attempt.world;
    if world.rehearsal.is_none() || !reaches_out(attempt) {
        return Standing::Itself;
    }
    let Some(rehearsal) = &world.shape.plan.rehearsal else { return skipped("no stand-in for this step") };
    let is_preparation = |step: &&crate::plan::Step| {
        step.id.value == attempt.step.id.value && step.action.value == attempt.step.action.value
    };
    if rehearsal.prepare.iter().any(|step| is_preparation(&step)) {
        return Standing::Itself;
    }
    if attempt.undoing {
        return skipped("what stood in for the step has nothing to undo");
    }
    let found = rehearsal.stand_ins.iter().find(|stand_in| stand_in.step.value == attempt.step.id.value);
    let Some(found) = found else { return skipped("no stand-in for this step") };
    let mut step = expand::step_of(attempt.step.id.value.clone(), attempt.step.id.span, &found.with);
    step.title.clone_from(&attempt.step.title);
    Standing::Other(Box::new(Attempt { step: Arc::new(step), ..attempt.clone() }))
}

/// A notification to the console alone stays on this machine.
fn reaches_out(attempt: &Attempt) -> bool {
    match &attempt.step.action.value {
        Action::Shell(_) | Action::Http(_) => true,
        Action::Notify(notify) => notify.channels.iter().any(|channel| channel.value.as_str() != CONSOLE),
        Action::Backup(_)
        | Action::Restore(_)
        | Action::Swap(_)
        | Action::Copy(_)
        | Action::Freeze(_)
        | Action::Sql(_)
        | Action::Verify(_)
        | Action::Approve(_) => false,
    }
}

fn skipped(why: &str) -> Standing {
    Standing::Skipped(Outcome::Skipped(format!("rehearsal: {why}")))
}
