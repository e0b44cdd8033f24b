//! What an event sets in motion, once it is durable.

use super::event::{Event, Finish, Occasion};
use super::parked::Why;
use crate::plan::StepId;

/// Something for the edge to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    Act {
        step: StepId,
        attempt: u32,
    },
    Settle {
        step: StepId,
        attempt: u32,
    },
    Undo {
        step: StepId,
        attempt: u32,
    },
    Cancel {
        step: StepId,
    },
    /// Ask the person at the terminal, if there is one.
    Prompt {
        step: StepId,
    },
    Handle {
        occasion: Occasion,
    },
    /// The run is over: let go of the target.
    Release,
}

impl Effect {
    pub fn of(event: &Event) -> Vec<Self> {
        match event {
            Event::StepStarted { step, attempt } => vec![Self::Act { step: step.clone(), attempt: *attempt }],
            Event::SettleStarted { step, attempt } => {
                vec![Self::Settle { step: step.clone(), attempt: *attempt }]
            }
            Event::UndoStarted { step, attempt } => {
                vec![Self::Undo { step: step.clone(), attempt: *attempt }]
            }
            Event::CancelRequested { step, .. } => vec![Self::Cancel { step: step.clone() }],
            Event::ApprovalRequested { step, .. } => {
                vec![Self::Handle { occasion: Occasion::Waiting }, Self::Prompt { step: step.clone() }]
            }
            Event::StepUnknown { step, .. } => vec![Self::Prompt { step: step.clone() }],
            Event::Parked { why } => {
                let failed = matches!(why, Why::Failed { .. } | Why::UndoFailed { .. });
                let occasions = failed.then_some(Occasion::Failed).into_iter().chain([Occasion::Parked]);
                occasions.map(|occasion| Self::Handle { occasion }).collect()
            }
            Event::RunFinished { result } => {
                let mut effects = vec![Self::Release];
                effects.push(Self::Handle {
                    occasion: match result {
                        Finish::Done => Occasion::Finished,
                        Finish::Failed | Finish::Undone => Occasion::Failed,
                    },
                });
                effects
            }
            Event::GlassBroken { .. } => vec![Self::Handle { occasion: Occasion::BreakGlass }],
            Event::DeadlinePassed { .. } => vec![Self::Handle { occasion: Occasion::Deadline }],
            Event::RunStarted(_) => vec![Self::Handle { occasion: Occasion::Started }],
            Event::RunResumed { .. }
            | Event::StepSkipped { .. }
            | Event::FactNoted { .. }
            | Event::StepDone { .. }
            | Event::StepFailed { .. }
            | Event::RetryScheduled { .. }
            | Event::StepReopened { .. }
            | Event::ApprovalGiven { .. }
            | Event::ApprovalRejected { .. }
            | Event::DecisionRefused { .. }
            | Event::StepResolved { .. }
            | Event::StopRequested { .. }
            | Event::UndoRequested { .. }
            | Event::UndoDone { .. }
            | Event::UndoFailed { .. }
            | Event::HandlerFinished { .. }
            | Event::TargetsReleased
            | Event::TargetsReclaimed { .. }
            | Event::ProgramsNamed { .. }
            | Event::RunExported { .. }
            | Event::RunTakenOver { .. }
            | Event::PlanAmended(_)
            | Event::StepRenewed { .. }
            | Event::Warned { .. } => Vec::new(),
        }
    }
}
