//! An amended plan takes the place of the stored one: what was done stays done, under the names it had. Which amendments are
//! allowed is decided here, too; must never let a step that acted, or may have, become another.

use super::event::Amended;
use super::shape::Shape;
use super::state::{Phase, State};
use super::transition::StepState;
use crate::plan::{Action, Step, StepId};
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
        self.refuse(&shape)?;
        self.started = Some(Arc::new(started));
        self.reshape(shape);
        Ok(())
    }

    /// Why this plan cannot take the place of the stored one; nothing when it can.
    ///
    /// # Errors
    /// In words: a step that was done, or may have been, is not the same in it; the run does not go forward.
    pub fn refuse(&self, shape: &Shape) -> Result<(), String> {
        if self.phase != Phase::Forward {
            return Err("the run does not go forward any more".to_owned());
        }
        if shape.plan.name.value != self.shape.plan.name.value {
            return Err(format!("it is another plan, {}", shape.plan.name.value));
        }
        for (id, entry) in self.entries() {
            let what = match entry.state {
                StepState::Done => "is done",
                StepState::Running | StepState::Undoing => "is under way",
                StepState::Unknown => "may have taken effect",
                StepState::Undone | StepState::UndoFailed | StepState::Left => "was done",
                // Who skipped it did not say what became of it.
                StepState::Skipped if entry.evidence.is_some() => "was skipped, and may have taken effect",
                // Certainly nothing happened, or what did was said, or it only waits.
                StepState::Waiting
                | StepState::Retrying { .. }
                | StepState::AwaitingApproval
                | StepState::Skipped
                | StepState::Failed => continue,
            };
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

fn is_same(then: &Step, now: &Step) -> bool {
    let bare = |step: &Step| Step { title: None, description: None, ..step.clone() };
    bare(then) == bare(now)
}
