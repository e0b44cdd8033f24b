//! Why a run stands still, and the command that makes it go on.

use crate::plan::{RunId, StepId};
use serde::{Deserialize, Serialize};

/// Why a run is parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Why {
    Failed { step: StepId },
    Unknown { step: StepId },
    Approval { step: StepId },
    UndoFailed { step: StepId },
    Stopped { reason: String },
}

impl Why {
    /// One sentence without a full stop.
    pub fn words(&self) -> String {
        match self {
            Self::Failed { step } => format!("step {step} failed"),
            Self::Unknown { step } => format!("it is not known whether step {step} took effect"),
            Self::Approval { step } => format!("step {step} waits for an approval"),
            Self::UndoFailed { step } => format!("step {step} could not be undone"),
            Self::Stopped { reason } => format!("the run was stopped: {reason}"),
        }
    }

    /// What to type next.
    pub fn command(&self, run: &RunId) -> String {
        match self {
            Self::Failed { .. } | Self::Stopped { .. } => format!("runplan resume {run}"),
            Self::Unknown { step } => {
                format!("runplan resolve {run} {step} --done|--retry|--skip --reason \"...\"")
            }
            Self::Approval { step } => format!("runplan approve {run} {step}"),
            Self::UndoFailed { step } => {
                format!("runplan resolve {run} {step} --retry|--skip --reason \"...\"")
            }
        }
    }

    pub fn step(&self) -> Option<&StepId> {
        match self {
            Self::Failed { step }
            | Self::Unknown { step }
            | Self::Approval { step }
            | Self::UndoFailed { step } => Some(step),
            Self::Stopped { .. } => None,
        }
    }
}
