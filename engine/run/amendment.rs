//! An amended plan takes the place of the stored one: what was done stays done, under the names it had. Which amendments are
//! allowed is decided here, too; must never let a step that acted, or may have, become another.

use super::doubt::acted_before_it_failed;
use super::event::Amended;
use super::reliance::{Reliance, reliance};
use super::reversal::{Effects, effects};
use super::shape::Shape;
use super::state::{Entry, Phase, State};
use super::transition::StepState;
use crate::plan::{Action, Step, StepId};
use serde_json::{Map, Value};
use std::sync::Arc;

impl State {
    /// Puts the amended plan in place. Steps keep what is known about them; new ones have not begun.
    pub(super) fn amend(&mut self, amended: &Amended) -> Result<(), String> {
        let Some(started) = &self.started else { return Err("the run never began".to_owned()) };
        let mut started = (**started).clone();
        started.sources.clone_from(&amended.sources);
        started.has_site = amended.has_site;
        started.params.clone_from(&amended.params);
        started.plan_digest.clone_from(&amended.plan_digest);
        started.digest.clone_from(&amended.digest);
        let shape = Shape::of_sources(&started.sources, started.has_site, &started.params)?;
        self.misfit(&shape)?;
        self.started = Some(Arc::new(started));
        self.reshape(shape);
        Ok(())
    }

    /// Why this plan, with these values, cannot take the place of the stored one; nothing when it can.
    ///
    /// # Errors
    /// In words: a step that was done, or may have been, is not the same in it, or would be undone, settled or probed with
    /// other values; the run does not go forward.
    pub fn refuse(&self, shape: &Shape, params: &Map<String, Value>) -> Result<(), String> {
        self.misfit(shape)?;
        let before = self.started.as_deref().map(|started| &started.params);
        for (id, entry) in self.entries() {
            let Some(then) = self.shape.flow.step(id.as_str()) else { continue };
            let failed = failed_halfway(then, entry);
            let Some(what) = acted(entry).or(failed) else { continue };
            // Who failed halfway is let go by the word of a person.
            let help = match failed {
                Some(_) => format!(
                    "; if that left nothing behind, say so: runplan resolve {} {id} --retry --reason \"...\"",
                    self.run
                ),
                None => String::new(),
            };
            let Some(now) = shape.flow.step(id.as_str()) else {
                return Err(format!("step {id} {what}, and is not in the new plan{help}"));
            };
            let (old, new) = (reliance(then, &self.shape), reliance(now, shape));
            if !is_same(then, now) || old.files != new.files {
                return Err(format!("step {id} {what}, and is not the same in the new plan{help}"));
            }
            // Their words are in the past; what is asked again is asked in the new ones.
            if matches!(then.action.value, Action::Approve(_) | Action::Notify(_)) && then.undo.is_none() {
                continue;
            }
            if let Some(name) = changed(&old, before, params) {
                return Err(format!(
                    "step {id} {what}, and goes by the parameter {name}, which has another value now{help}"
                ));
            }
        }
        Ok(())
    }

    /// Why the lines of the journal cannot go on with this plan, by what they have of the steps themselves.
    fn misfit(&self, shape: &Shape) -> Result<(), String> {
        if self.phase != Phase::Forward {
            return Err("the run does not go forward any more".to_owned());
        }
        if shape.plan.name.value != self.shape.plan.name.value {
            return Err(format!("it is another plan, {}", shape.plan.name.value));
        }
        for (id, entry) in self.entries() {
            let Some(what) = acted(entry) else { continue };
            let then = self.shape.flow.step(id.as_str());
            match shape.flow.step(id.as_str()) {
                None => return Err(format!("step {id} {what}, and is not in the new plan")),
                Some(now) if then.is_some_and(|then| !is_same(then, now)) => {
                    return Err(format!("step {id} {what}, and is not the same in the new plan"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Approvals of the old plan that are in the new one: they are asked for again, unless all that they are for in the new
    /// plan is done. What is asked now is asked anew in any case, in the new plan's words.
    pub(super) fn approvals_to_renew(&self, amended: &Amended) -> Vec<StepId> {
        let new = Shape::of_sources(&amended.sources, amended.has_site, &amended.params);
        // One that is no plan is refused when it is applied.
        let Ok(new) = new else { return Vec::new() };
        let flow = new.flow.steps();
        let state_of = |at: usize| self.entry(&flow[at].id.value).map(|entry| entry.state);
        let open = |at: usize| !matches!(state_of(at), Some(StepState::Done | StepState::Skipped));
        let wanted = |at: &usize| match state_of(*at) {
            Some(StepState::AwaitingApproval) => true,
            Some(StepState::Done) => {
                matches!(flow[*at].action.value, Action::Approve(_))
                    && (0..flow.len()).any(|later| open(later) && new.graph.is_before(*at, later))
            }
            _ => false,
        };
        (0..flow.len()).filter(wanted).map(|at| flow[at].id.value.clone()).collect()
    }
}

/// What a step with `transaction: false` notes before it sends a statement.
pub(super) const STATEMENT_INTENDED: &str = "statement_intended";

/// What became of a step that acted, or may have.
fn acted(entry: &Entry) -> Option<&'static str> {
    match entry.state {
        StepState::Done => Some("is done"),
        StepState::Running | StepState::Undoing => Some("is under way"),
        StepState::Unknown => Some("may have taken effect"),
        StepState::Undone | StepState::UndoFailed | StepState::Left => Some("was done"),
        // Who skipped it did not say what became of it.
        StepState::Skipped if entry.evidence.is_some() => Some("was skipped, and may have taken effect"),
        // Certainly nothing happened, or what did was said, or it only waits; else `failed_halfway` tells.
        StepState::Waiting
        | StepState::Retrying { .. }
        | StepState::AwaitingApproval
        | StepState::Skipped
        | StepState::Failed => None,
    }
}

/// Whether the last attempt failed after something of it had been done: a program that ran, a request that was answered,
/// statements that were sent outside a transaction.
fn failed_halfway(step: &Step, entry: &Entry) -> Option<&'static str> {
    let is_tried = matches!(entry.state, StepState::Waiting | StepState::Retrying { .. } | StepState::Failed);
    let is_one = is_tried && effects(step) != Effects::Reads && acted_before_it_failed(step, entry);
    is_one.then_some("failed, and may have changed something before")
}

/// The first parameter that a step goes by and that has another value now.
fn changed(old: &Reliance, then: Option<&Map<String, Value>>, now: &Map<String, Value>) -> Option<String> {
    let value = |name: &str| then.and_then(|then| then.get(name));
    let is_other = |name: &&String| value(name) != now.get(name.as_str());
    match old.all_params {
        true => then.into_iter().flat_map(Map::keys).chain(now.keys()).find(is_other).cloned(),
        false => old.params.iter().find(is_other).cloned(),
    }
}

fn is_same(then: &Step, now: &Step) -> bool {
    let bare = |step: &Step| Step { title: None, description: None, ..step.clone() };
    bare(then) == bare(now)
}
