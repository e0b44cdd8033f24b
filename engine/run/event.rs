//! Past facts. They say what happened, never how to show it. A field may be added, never changed: old journals are read.

use super::input::Resolution;
use super::outcome::{Ask, Evidence, Fact, Failure, Outputs};
use super::parked::Why;
use super::signature::Signed;
use crate::plan::{Name, StepId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One thing that happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    RunStarted(Box<Started>),
    /// Another process took the run up.
    RunResumed {
        attended: bool,
        #[serde(default)]
        wait: bool,
    },
    StepStarted {
        step: StepId,
        attempt: u32,
    },
    StepSkipped {
        step: StepId,
        reason: String,
    },
    FactNoted {
        step: StepId,
        attempt: u32,
        fact: Fact,
    },
    StepDone {
        step: StepId,
        attempt: u32,
        outputs: Outputs,
    },
    StepFailed {
        step: StepId,
        attempt: u32,
        failure: Failure,
    },
    StepUnknown {
        step: StepId,
        attempt: u32,
        evidence: Evidence,
    },
    RetryScheduled {
        step: StepId,
        attempt: u32,
        #[serde(rename = "again_at")]
        at: Timestamp,
        failure: Failure,
    },
    /// The step may be tried again: after a resume, or because settling found that nothing happened.
    StepReopened {
        step: StepId,
        reason: String,
    },
    /// The edge was asked what became of an interrupted attempt.
    SettleStarted {
        step: StepId,
        attempt: u32,
    },
    ApprovalRequested {
        step: StepId,
        attempt: u32,
        ask: Ask,
    },
    ApprovalGiven {
        step: StepId,
        by: String,
        comment: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed: Option<Signed>,
        /// In an emergency, past roles, count and signatures: why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        break_glass: Option<String>,
    },
    ApprovalRejected {
        step: StepId,
        by: String,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed: Option<Signed>,
    },
    /// Everybody is told that an approval went past those who should have given it.
    GlassBroken {
        step: StepId,
        by: String,
        reason: String,
    },
    /// The deadline of the decision matrix has passed; the next role is told.
    DeadlinePassed {
        severity: String,
        due_at: Timestamp,
        /// The last of those that are told.
        role: Option<Name>,
        /// All that are told now: several, when the time of each passed while nobody looked.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        roles: Vec<Name>,
    },
    /// A person's decision was not accepted; the message says why.
    DecisionRefused {
        step: StepId,
        by: String,
        reason: String,
    },
    /// A person answered what an unknown outcome was.
    StepResolved {
        step: StepId,
        resolution: Resolution,
        reason: String,
        /// What an undo said that it would lose, agreed to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        loss: Option<String>,
    },
    StopRequested {
        hard: bool,
        reason: String,
    },
    CancelRequested {
        step: StepId,
        attempt: u32,
    },
    Parked {
        why: Why,
    },
    UndoRequested {
        to: Option<StepId>,
        reason: String,
    },
    UndoStarted {
        step: StepId,
        attempt: u32,
    },
    UndoDone {
        step: StepId,
        attempt: u32,
        note: String,
        /// What the step made stays, and the note says why.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        left: bool,
    },
    UndoFailed {
        step: StepId,
        attempt: u32,
        failure: Failure,
    },
    HandlerFinished {
        occasion: Occasion,
        index: u32,
        failure: Option<Failure>,
        /// The line that a channel was told of. None: it was a handler of the plan, or an older version told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<u64>,
    },
    /// Something a person should know that stops nothing.
    Warned {
        step: Option<StepId>,
        message: String,
    },
    RunFinished {
        result: Finish,
    },
    /// The run is over, and its claims and locks are let go.
    TargetsReleased,
    /// Somebody answers for it that what the run did is on the servers of its databases, as they are now.
    TargetsReclaimed {
        reason: String,
        /// Where these stand, by the plan's names of their databases.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        positions: BTreeMap<String, Value>,
    },
    /// Whoever took it up named the directory of PostgreSQL's programs: it holds from now on.
    ProgramsNamed {
        pg_bin: String,
    },
    /// The run was written to a file, to go on elsewhere: here nothing more is done.
    RunExported {
        to: String,
    },
    /// The run goes on here; the epoch fences whoever had it before.
    RunTakenOver {
        epoch: u64,
        from: String,
        reason: String,
        /// Where the plan's relative paths begin now, if not where they did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        directory: Option<String>,
    },
    /// Other files take the place of the stored ones.
    PlanAmended(Box<Amended>),
    /// What the step proved is too old to rely on, or was proved of another plan: it is done again.
    StepRenewed {
        step: StepId,
        reason: String,
    },
}

/// A plan that was changed while its run was parked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Amended {
    /// As in `Started`.
    pub sources: Vec<StoredSource>,
    pub has_site: bool,
    pub params: Map<String, Value>,
    pub plan_digest: String,
    pub digest: String,
    /// What changed, in short lines.
    pub changes: Vec<String>,
}

/// A reason not to start, in spite of which the operator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Stable: `runplan::preflight::disk_unknown`.
    pub code: String,
    pub step: Option<StepId>,
    pub message: String,
}

/// Everything a run was started with; enough to go on without the plan file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    pub plan: Name,
    pub title: Option<String>,
    /// The plan, the site file and the SQL files, whole.
    pub sources: Vec<StoredSource>,
    /// Whether the second source is a site file.
    pub has_site: bool,
    /// Secret parameters are not among them.
    pub params: Map<String, Value>,
    pub plan_digest: String,
    pub digest: String,
    pub reason: Option<String>,
    pub severity: Option<String>,
    /// When the incident began, if not with the run: deadlines count from then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident_started_at: Option<Timestamp>,
    /// Why it is run although the decision matrix says to fix forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<String>,
    /// Paths in the plan are relative to this directory.
    pub directory: String,
    /// A person at this process's terminal can be asked.
    pub attended: bool,
    /// Approvals are waited for.
    #[serde(default)]
    pub wait: bool,
    /// What preflight found and the operator accepted, for the reason above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<Accepted>,
    /// The servers of the databases that the run changes, by name: their system identifiers. A run goes on there or nowhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub targets: BTreeMap<String, String>,
    /// A rehearsal on a throw-away server: stand-ins take the place of the world outside.
    #[serde(default)]
    pub rehearsal: bool,
    /// What the databases of a rehearsal held at first, if not what the plan's own steps put in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_with: Option<BeganWith>,
    /// The directory of PostgreSQL's programs that was named, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pg_bin: Option<String>,
    /// The version of the program.
    pub version: String,
}

/// What a rehearsal began with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeganWith {
    /// `a clone`
    pub what: String,
    /// False: only definitions, so that its times say little.
    pub rows: bool,
}

/// A file as it was when the run started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSource {
    pub name: String,
    pub text: String,
}

/// What `TargetsReclaimed` is, in words.
pub fn reclaimed(reason: &str) -> String {
    format!("the run's marks on its databases are put there anew: {reason}")
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    Done,
    /// Ended for good without being done.
    Failed,
    Undone,
}

impl Finish {
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Undone => "undone",
        }
    }
}

/// When handlers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    Started,
    Waiting,
    Parked,
    Failed,
    Finished,
    /// The deadline of the decision matrix has passed.
    Deadline,
    /// An approval went past those who should have given it.
    BreakGlass,
    /// A step has said it, and went on before it was delivered.
    Step,
}

impl Occasion {
    pub fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Waiting => "waiting",
            Self::Parked => "parked",
            Self::Failed => "failed",
            Self::Finished => "finished",
            Self::Deadline => "deadline",
            Self::BreakGlass => "break_glass",
            Self::Step => "step",
        }
    }
}

impl Event {
    /// `step_done`
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunStarted(_) => "run_started",
            Self::RunResumed { .. } => "run_resumed",
            Self::StepStarted { .. } => "step_started",
            Self::StepSkipped { .. } => "step_skipped",
            Self::FactNoted { .. } => "fact_noted",
            Self::StepDone { .. } => "step_done",
            Self::StepFailed { .. } => "step_failed",
            Self::StepUnknown { .. } => "step_unknown",
            Self::RetryScheduled { .. } => "retry_scheduled",
            Self::StepReopened { .. } => "step_reopened",
            Self::SettleStarted { .. } => "settle_started",
            Self::ApprovalRequested { .. } => "approval_requested",
            Self::ApprovalGiven { .. } => "approval_given",
            Self::ApprovalRejected { .. } => "approval_rejected",
            Self::GlassBroken { .. } => "glass_broken",
            Self::DeadlinePassed { .. } => "deadline_passed",
            Self::DecisionRefused { .. } => "decision_refused",
            Self::StepResolved { .. } => "step_resolved",
            Self::StopRequested { .. } => "stop_requested",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::Parked { .. } => "parked",
            Self::UndoRequested { .. } => "undo_requested",
            Self::UndoStarted { .. } => "undo_started",
            Self::UndoDone { .. } => "undo_done",
            Self::UndoFailed { .. } => "undo_failed",
            Self::HandlerFinished { .. } => "handler_finished",
            Self::Warned { .. } => "warned",
            Self::RunFinished { .. } => "run_finished",
            Self::TargetsReleased => "targets_released",
            Self::TargetsReclaimed { .. } => "targets_reclaimed",
            Self::ProgramsNamed { .. } => "programs_named",
            Self::RunExported { .. } => "run_exported",
            Self::RunTakenOver { .. } => "run_taken_over",
            Self::PlanAmended(_) => "plan_amended",
            Self::StepRenewed { .. } => "step_renewed",
        }
    }

    /// The step it is about.
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Self::StepStarted { step, .. }
            | Self::StepSkipped { step, .. }
            | Self::FactNoted { step, .. }
            | Self::StepDone { step, .. }
            | Self::StepFailed { step, .. }
            | Self::StepUnknown { step, .. }
            | Self::RetryScheduled { step, .. }
            | Self::StepReopened { step, .. }
            | Self::SettleStarted { step, .. }
            | Self::ApprovalRequested { step, .. }
            | Self::ApprovalGiven { step, .. }
            | Self::ApprovalRejected { step, .. }
            | Self::GlassBroken { step, .. }
            | Self::DecisionRefused { step, .. }
            | Self::StepResolved { step, .. }
            | Self::CancelRequested { step, .. }
            | Self::UndoStarted { step, .. }
            | Self::UndoDone { step, .. }
            | Self::UndoFailed { step, .. }
            | Self::StepRenewed { step, .. } => Some(step),
            Self::Warned { step, .. } => step.as_ref(),
            Self::RunStarted(_)
            | Self::RunResumed { .. }
            | Self::StopRequested { .. }
            | Self::Parked { .. }
            | Self::DeadlinePassed { .. }
            | Self::UndoRequested { .. }
            | Self::HandlerFinished { .. }
            | Self::RunFinished { .. }
            | Self::TargetsReleased
            | Self::TargetsReclaimed { .. }
            | Self::ProgramsNamed { .. }
            | Self::RunExported { .. }
            | Self::RunTakenOver { .. }
            | Self::PlanAmended(_) => None,
        }
    }
}
