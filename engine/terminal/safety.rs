//! What stopping would mean right now, in words: whether the live database is touched yet, where the point of no return
//! lies, what stays closed. Pure. Must never call a moment safe that the plan does not prove so.

use crate::plan::{Action, Step, StepId, action};
use crate::report;
use crate::run::{Effects, Phase, Shape, State, StepState, effects};

/// The steps of a plan that matter to whoever wants to stop, in order.
pub struct Safety {
    /// They change what is in use.
    touching: Vec<StepId>,
    /// There is no way back from them.
    last: Vec<StepId>,
}

impl Safety {
    pub fn of(shape: &Shape) -> Self {
        let order = shape.graph.waves().iter().flatten();
        let steps: Vec<&Step> = order.filter_map(|at| Some(&**shape.flow.steps().get(*at)?)).collect();
        let those = |wanted: fn(&Step) -> bool| {
            steps.iter().filter(|step| wanted(step)).map(|step| step.id.value.clone()).collect()
        };
        Self { touching: those(touches), last: those(|step| effects(step) == Effects::Irreversible) }
    }

    /// The latest safe point to stop.
    pub fn words(&self, state: &State) -> String {
        if state.phase == Phase::Backward {
            return "what is being undone finishes, then it parks".to_owned();
        }
        let shut = report::windows(state).iter().any(|window| window.closed_at.is_none());
        let shut = if shut { "; the application stays closed meanwhile" } else { "" };
        if let Some(gone) = first(&self.last, state, has_begun) {
            return format!("{gone} has begun and cannot be undone: the way out is forward{shut}");
        }
        if first(&self.touching, state, has_begun).is_none() {
            return match first(&self.touching, state, is_ahead) {
                Some(first) => format!("safe now: nothing in use is changed before {first}{shut}"),
                None => format!("safe at any time: nothing in use is changed{shut}"),
            };
        }
        match first(&self.last, state, is_ahead) {
            Some(end) => {
                format!("any time before {end} begins; an undo goes back{shut}")
            }
            None => format!("any time; an undo goes back{shut}"),
        }
    }
}

/// Whether a step changes what is in use: a backup and a database beside it do not.
fn touches(step: &Step) -> bool {
    match &step.action.value {
        Action::Backup(_) => false,
        Action::Restore(restore) => restore.into == action::restore::Into::InPlace,
        _ => effects(step) != Effects::Reads,
    }
}

fn is_ahead(state: StepState) -> bool {
    matches!(state, StepState::Waiting | StepState::AwaitingApproval)
}

fn has_begun(state: StepState) -> bool {
    match state {
        StepState::Waiting | StepState::AwaitingApproval | StepState::Skipped | StepState::Undone => false,
        StepState::Running
        | StepState::Retrying { .. }
        | StepState::Done
        | StepState::Failed
        | StepState::Unknown
        | StepState::Undoing
        | StepState::UndoFailed
        | StepState::Left => true,
    }
}

fn first<'s>(steps: &'s [StepId], state: &State, stands: fn(StepState) -> bool) -> Option<&'s StepId> {
    steps.iter().find(|id| state.entry(id).is_some_and(|entry| stands(entry.state)))
}
