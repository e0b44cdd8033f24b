//! Why a run stands still, and the command that makes it go on.

use super::state::State;
use super::transition::StepState;
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
            // Whoever is asked anew may know by now.
            Self::Failed { .. } | Self::Stopped { .. } | Self::Unknown { .. } => {
                format!("runplan resume {run}")
            }
            Self::Approval { step } => format!("runplan approve {run} {step}"),
            Self::UndoFailed { step } => {
                format!("runplan resolve {run} {step} --retry --reason 'the cause is mended'")
            }
        }
    }

    /// The other answers, each with its command.
    pub fn others(&self, run: &RunId) -> Vec<String> {
        let answers: &[(&str, &str)] = match self {
            Self::Unknown { .. } => &[
                ("--done", "it took effect"),
                ("--retry", "it took no effect"),
                ("--skip", "the run goes on without it"),
            ],
            Self::UndoFailed { .. } => {
                &[("--skip", "it stays as it is"), ("--done", "it was undone by hand")]
            }
            Self::Failed { .. } | Self::Approval { .. } | Self::Stopped { .. } => &[],
        };
        let step = self.step().map_or("", StepId::as_str);
        let all = answers.iter();
        all.map(|(flag, why)| format!("runplan resolve {run} {step} {flag} --reason '{why}'")).collect()
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

/// How a parked run stands now, and what to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// One sentence without a full stop.
    pub words: String,
    pub command: String,
    /// Other commands that answer.
    pub others: Vec<String>,
}

/// None: it is not parked. What it was parked for may have been answered since, without anybody taking it up.
pub fn standing(state: &State) -> Option<Standing> {
    let why = state.parked.as_ref()?;
    let is = |step: &StepId, wanted: StepState| state.entry(step).is_some_and(|entry| entry.state == wanted);
    let why = match why {
        Why::Approval { step } if is(step, StepState::Failed) => &Why::Failed { step: step.clone() },
        Why::Approval { step } if !is(step, StepState::AwaitingApproval) => {
            return Some(answered(state, step));
        }
        Why::Unknown { step } if !is(step, StepState::Unknown) => return Some(answered(state, step)),
        Why::UndoFailed { step } if !is(step, StepState::UndoFailed) => return Some(answered(state, step)),
        why => why,
    };
    // A resume would ask again, and an undo is refused, until somebody says what became of it.
    if let (Why::Stopped { .. } | Why::Failed { .. }, Some(step)) = (why, state.unknown().next()) {
        let unknown = Why::Unknown { step: step.clone() };
        let words = format!("{}; {}", why.words(), unknown.words());
        let (command, others) = (unknown.command(&state.run), unknown.others(&state.run));
        return Some(Standing { words, command, others });
    }
    Some(Standing { words: why.words(), command: why.command(&state.run), others: why.others(&state.run) })
}

fn answered(state: &State, step: &StepId) -> Standing {
    let words = format!("the question about step {step} is answered, nobody has taken the run up since");
    Standing { words, command: format!("runplan resume {}", state.run), others: Vec::new() }
}
