//! How one step moves: (state, event) -> state, one exhaustive match. What is not here cannot happen.

use super::event::Event;
use super::input::Resolution;
use jiff::Timestamp;

/// Where a step stands. Whether it is ready is computed, never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    Waiting,
    Running,
    /// A failed attempt is tried again at this time.
    Retrying {
        at: Timestamp,
    },
    AwaitingApproval,
    Done,
    Failed,
    Unknown,
    Skipped,
    Undoing,
    Undone,
    UndoFailed,
    /// On the way back it was passed over: what it did is still there.
    Left,
}

impl StepState {
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Retrying { .. } => "retrying",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::UndoFailed => "undo_failed",
            Self::Left => "left",
        }
    }
}

impl StepState {
    /// What the step did when it was done is still there, or may be.
    pub fn stands(self) -> bool {
        matches!(self, Self::Done | Self::Undoing | Self::UndoFailed | Self::Left)
    }
}

/// An event that cannot follow: the journal is not of this plan, or was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event} cannot follow: {why}")]
pub struct Impossible {
    pub event: &'static str,
    pub why: String,
}

impl Impossible {
    pub fn new(event: &Event, why: impl Into<String>) -> Self {
        Self { event: event.kind(), why: why.into() }
    }
}

/// The state of the event's step after it.
///
/// # Errors
/// The event cannot happen in this state.
pub fn transition(state: StepState, event: &Event) -> Result<StepState, Impossible> {
    use StepState as S;
    let impossible = || Impossible::new(event, format!("its step is {}", state.word()));
    let allow = |fine: bool, next: S| if fine { Ok(next) } else { Err(impossible()) };
    match event {
        Event::StepStarted { .. } => allow(matches!(state, S::Waiting | S::Retrying { .. }), S::Running),
        Event::StepSkipped { .. } => allow(matches!(state, S::Waiting | S::Running), S::Skipped),
        Event::FactNoted { .. } | Event::CancelRequested { .. } => {
            allow(matches!(state, S::Running | S::Undoing), state)
        }
        // One whose outcome is not known is asked about again.
        Event::SettleStarted { .. } => match state {
            S::Running | S::Undoing => Ok(state),
            S::Unknown => Ok(S::Running),
            _ => Err(impossible()),
        },
        Event::StepDone { .. } => allow(matches!(state, S::Running | S::AwaitingApproval), S::Done),
        Event::StepFailed { .. } => {
            allow(matches!(state, S::Running | S::AwaitingApproval | S::Waiting), S::Failed)
        }
        Event::StepUnknown { .. } => allow(state == S::Running, S::Unknown),
        Event::RetryScheduled { at, .. } => allow(state == S::Running, S::Retrying { at: *at }),
        Event::StepReopened { .. } => {
            allow(matches!(state, S::Failed | S::Running | S::Retrying { .. }), S::Waiting)
        }
        Event::ApprovalRequested { .. } => allow(state == S::Running, S::AwaitingApproval),
        Event::ApprovalGiven { .. } | Event::ApprovalRejected { .. } => {
            allow(state == S::AwaitingApproval, state)
        }
        Event::DecisionRefused { .. } | Event::GlassBroken { .. } | Event::Warned { .. } => Ok(state),
        Event::StepResolved { resolution, .. } => match (state, resolution) {
            (S::Unknown, Resolution::Done) => Ok(S::Done),
            (S::Unknown | S::Failed, Resolution::Retry) => Ok(S::Waiting),
            (S::Unknown | S::Failed, Resolution::Skip) => Ok(S::Skipped),
            (S::Unknown, Resolution::Failed) => Ok(S::Failed),
            // Backward: the undo is tried again, the step is left as it is, or somebody undid it by hand.
            (S::UndoFailed, Resolution::Retry) => Ok(S::Done),
            (S::UndoFailed, Resolution::Skip) => Ok(S::Left),
            (S::UndoFailed, Resolution::Done) => Ok(S::Undone),
            _ => Err(impossible()),
        },
        Event::StepRenewed { .. } => allow(matches!(state, S::Done | S::AwaitingApproval), S::Waiting),
        Event::UndoStarted { .. } => allow(state == S::Done, S::Undoing),
        Event::UndoDone { left: true, .. } => allow(matches!(state, S::Undoing | S::Done), S::Left),
        Event::UndoDone { left: false, .. } => allow(matches!(state, S::Undoing | S::Done), S::Undone),
        // One that is not done and may have acted is asked about on the way back.
        Event::UndoFailed { .. } => allow(
            matches!(state, S::Undoing | S::Done | S::Failed | S::Skipped | S::Waiting | S::Retrying { .. }),
            S::UndoFailed,
        ),
        Event::RunStarted(_)
        | Event::RunResumed { .. }
        | Event::StopRequested { .. }
        | Event::DeadlinePassed { .. }
        | Event::Parked { .. }
        | Event::UndoRequested { .. }
        | Event::HandlerFinished { .. }
        | Event::RunFinished { .. }
        | Event::TargetsReleased
        | Event::TargetsReclaimed { .. }
        | Event::ProgramsNamed { .. }
        | Event::RunExported { .. }
        | Event::RunTakenOver { .. }
        | Event::PlanAmended(_) => Ok(state),
    }
}
