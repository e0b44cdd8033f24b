//! What reaches the core from outside.

use super::event::{Amended, Occasion, Started};
use super::outcome::{Fact, Failure, Outcome};
use super::signature::Signed;
use crate::plan::StepId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// One thing that reached the run.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Begin(Box<Started>),
    /// Another process took the run up; `attended`: a person can be asked; `wait`: approvals are waited for.
    Resume {
        attended: bool,
        wait: bool,
    },
    /// Is there something to start, or to say? Given after every other input until nothing comes of it.
    Next,
    /// Time has passed.
    Tick,
    Outcome {
        step: StepId,
        attempt: u32,
        outcome: Outcome,
    },
    Undone {
        step: StepId,
        attempt: u32,
        outcome: Outcome,
    },
    Note {
        step: StepId,
        attempt: u32,
        fact: Fact,
    },
    /// The targets of a run that is over are let go.
    Released,
    /// Somebody answers for what is on the servers of the databases, which stand there now.
    Reclaim {
        reason: String,
        positions: BTreeMap<String, Value>,
    },
    /// PostgreSQL's programs are in that directory.
    Programs {
        pg_bin: String,
    },
    /// The run is written to that file, and goes on elsewhere.
    Export {
        to: String,
    },
    /// The run goes on here, at that epoch.
    TakeOver {
        epoch: u64,
        from: String,
        reason: String,
        directory: Option<String>,
    },
    /// Another plan takes the place of the stored one.
    Amend(Box<Amended>),
    Warning {
        step: Option<StepId>,
        message: String,
    },
    HandlerFinished {
        occasion: Occasion,
        index: u32,
        failure: Option<Failure>,
        /// As in the event.
        line: Option<u64>,
    },
    /// `hard`: running steps are cancelled.
    Stop {
        hard: bool,
        reason: String,
    },
    /// Broken glass that nobody has been told of is told now.
    TellBroken,
    /// What a person said from another process, or at the prompt.
    Post(Post),
}

/// What a person says to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "post", rename_all = "snake_case")]
pub enum Post {
    Approve {
        step: StepId,
        comment: String,
    },
    Reject {
        step: StepId,
        reason: String,
    },
    /// A decision with its signature, whoever brought it.
    Signed {
        step: StepId,
        signed: Signed,
    },
    /// An emergency: a yes past roles, count and signatures.
    BreakGlass {
        step: StepId,
        reason: String,
    },
    Resolve {
        step: StepId,
        resolution: Resolution,
        reason: String,
        /// What an undo said that it would lose, agreed to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        loss: Option<String>,
    },
    Stop {
        hard: bool,
        reason: String,
    },
    Undo {
        to: Option<StepId>,
        reason: String,
    },
    /// The run is ended for good, as it stands.
    End {
        reason: String,
    },
    /// Another process wants the run: whoever holds one that stands still delivers no longer what is left to deliver.
    LetGo,
    /// An answer to that attempt of a step, and to no other.
    Answer {
        attempt: u32,
        answer: Box<Post>,
    },
}

impl Post {
    /// The step that it is about.
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Self::Approve { step, .. }
            | Self::Reject { step, .. }
            | Self::Signed { step, .. }
            | Self::BreakGlass { step, .. }
            | Self::Resolve { step, .. } => Some(step),
            Self::Answer { answer, .. } => answer.step(),
            Self::Stop { .. } | Self::Undo { .. } | Self::End { .. } | Self::LetGo => None,
        }
    }
}

/// The answer to an unknown outcome, or to a step that stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// It took effect.
    Done,
    /// Do it again.
    Retry,
    /// Go on without it.
    Skip,
    /// It failed.
    Failed,
}

impl Resolution {
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retry => "retry",
            Self::Skip => "skip",
            Self::Failed => "failed",
        }
    }
}
