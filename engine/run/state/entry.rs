//! What is known about one step.

use super::super::doubt::{INDEX_INTENDED, MAY_BE_HALF_DONE};
use super::super::event::Event;
use super::super::input::Resolution;
use super::super::outcome::{Ask, Evidence, Fact, Failure, Outputs};
use super::super::record::{Actor, Record};
use super::super::signature::Signed;
use super::super::transition::StepState;
use jiff::{SignedDuration, Timestamp};

/// A person's answer to an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub by: String,
    pub actor: Actor,
    pub approved: bool,
    pub comment: String,
    pub at: Timestamp,
    pub signed: Option<Signed>,
    pub break_glass: Option<String>,
}

impl Decision {
    /// The decision that a line of the journal is.
    pub fn of(record: &Record) -> Option<Self> {
        let (by, comment, approved, signed, break_glass) = match &record.event {
            Event::ApprovalGiven { by, comment, signed, break_glass, .. } => {
                (by, comment, true, signed, break_glass.clone())
            }
            Event::ApprovalRejected { by, reason, signed, .. } => (by, reason, false, signed, None),
            _ => return None,
        };
        Some(Self {
            by: by.clone(),
            actor: record.actor.clone(),
            approved,
            comment: comment.clone(),
            at: record.at,
            signed: signed.clone(),
            break_glass,
        })
    }
}

/// Everything known about one step.
#[derive(Debug, Clone)]
pub struct Entry {
    pub state: StepState,
    /// Attempts begun, forward.
    pub attempts: u32,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// When the running attempt began.
    pub attempt_at: Option<Timestamp>,
    pub outputs: Outputs,
    /// What the last attempt noted.
    pub facts: Vec<Fact>,
    pub failure: Option<Failure>,
    /// An attempt was not done and may have acted, and nobody has said what came of it. It outlives the attempt.
    pub may_be_half_done: bool,
    pub evidence: Option<Evidence>,
    pub ask: Option<Ask>,
    /// The journal's line that asks, and its hash.
    pub asked_at: Option<(u64, String)>,
    pub decisions: Vec<Decision>,
    pub skipped_because: Option<String>,
    pub resolved: Option<(Resolution, String)>,
    pub undo_note: Option<String>,
    /// When it was undone, or left on the way back.
    pub undone_at: Option<Timestamp>,
    /// What the undo may lose, as it said itself and a person agreed.
    pub accepted_loss: Option<String>,
    /// What it proved is proved anew.
    pub renewed: bool,
    /// At the last resume it had ended later than the clock showed.
    pub(in crate::run) is_ahead: bool,
    /// Needs that are not satisfied yet.
    pub(super) pending: usize,
    pub(super) cancelled: bool,
}

/// How far the clocks of two machines may differ; what ended further ahead has no age.
const AHEAD: SignedDuration = SignedDuration::from_mins(2);

impl Entry {
    /// A process takes the run up, at that time.
    pub(super) fn compare_clock(&mut self, resumed: Timestamp) {
        self.is_ahead = self.finished_at.is_some_and(|finished| finished.duration_since(resumed) > AHEAD);
    }

    /// Takes in what the line says of the step, but for its state.
    pub(super) fn remember(&mut self, record: &Record) {
        match &record.event {
            Event::StepStarted { attempt, .. } => {
                self.attempts = *attempt;
                self.started_at.get_or_insert(record.at);
                self.attempt_at = Some(record.at);
                self.finished_at = None;
                self.is_ahead = false;
                self.facts.retain(|fact| fact.name == INDEX_INTENDED);
                self.failure = None;
                self.evidence = None;
                self.cancelled = false;
            }
            Event::StepSkipped { reason, .. } => {
                self.skipped_because = Some(reason.clone());
                self.finished_at = Some(record.at);
            }
            Event::FactNoted { fact, .. } => {
                self.may_be_half_done |= fact.name == MAY_BE_HALF_DONE;
                self.facts.push(fact.clone());
            }
            Event::StepDone { outputs, .. } => {
                self.outputs.clone_from(outputs);
                self.finished_at = Some(record.at);
                self.evidence = None;
                self.may_be_half_done = false;
                self.renewed = false;
            }
            Event::StepFailed { failure, .. } => {
                self.failure = Some(failure.clone());
                self.finished_at = Some(record.at);
            }
            Event::RetryScheduled { failure, .. } => self.failure = Some(failure.clone()),
            Event::StepUnknown { evidence, .. } => {
                self.evidence = Some(evidence.clone());
                self.finished_at = Some(record.at);
            }
            Event::StepRenewed { .. } => {
                self.renewed = true;
                self.ask = None;
                self.decisions.clear();
            }
            Event::StepReopened { .. } => {
                self.ask = None;
                self.decisions.clear();
            }
            Event::ApprovalRequested { ask, .. } => {
                self.ask = Some(ask.clone());
                self.asked_at = Some((record.seq, record.hash.clone()));
                self.decisions.clear();
            }
            Event::ApprovalGiven { .. } | Event::ApprovalRejected { .. } => {
                self.decisions.extend(Decision::of(record));
            }
            Event::StepResolved { resolution, reason, loss, .. } => {
                self.accepted_loss.clone_from(loss);
                self.resolved = Some((*resolution, reason.clone()));
                if *resolution == Resolution::Done && self.outputs.is_empty() {
                    self.outputs = self.intended();
                }
                match resolution {
                    Resolution::Skip => self.skipped_because = Some(reason.clone()),
                    Resolution::Failed => {
                        self.failure = Some(Failure::new("runplan::run::resolved_failed", reason.clone()));
                    }
                    // What came of the attempt is said, by a person.
                    Resolution::Retry => {
                        self.failure = None;
                        self.may_be_half_done = false;
                    }
                    // Backward it was undone by hand.
                    Resolution::Done if self.state == StepState::UndoFailed => {
                        self.undone_at = Some(record.at)
                    }
                    Resolution::Done => {}
                }
            }
            Event::CancelRequested { .. } => self.cancelled = true,
            Event::UndoStarted { .. } => {
                self.attempt_at = Some(record.at);
                self.cancelled = false;
            }
            Event::UndoDone { note, .. } => {
                self.undo_note = Some(note.clone());
                self.undone_at = Some(record.at);
            }
            Event::UndoFailed { failure, .. } => self.failure = Some(failure.clone()),
            _ => {}
        }
    }

    /// What the step was about to give when it was interrupted: the outputs beside its witness.
    fn intended(&self) -> Outputs {
        let found = self.facts.iter().rev().find_map(|fact| fact.data.get("outputs")?.as_object());
        found.cloned().unwrap_or_default()
    }
}
