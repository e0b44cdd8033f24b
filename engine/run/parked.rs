//! Why a run stands still, and the command that makes it go on.

use super::answers::{Answers, answers};
use super::consent::is_expired;
use super::doubt::{MAY_HAVE_ACTED, UNDO_UNKNOWN, asked_loss, doubt};
use super::event::Finish;
use super::left::reversed;
use super::reversal::{Reversal, reversal};
use super::state::State;
use super::transition::StepState;
use crate::plan::{Made, RunId, StepId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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

    /// What to type next, as far as it can be said without the run's state: who may answer a question stands there.
    pub fn command(&self, run: &RunId) -> String {
        match self {
            // Whoever is asked anew may know by now.
            Self::Failed { .. } | Self::Stopped { .. } | Self::Unknown { .. } => {
                format!("runplan resume {run}")
            }
            Self::Approval { .. } => format!("runplan status {run}"),
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
    /// Who types the command, when it is not whoever reads it.
    pub whose: Option<String>,
    pub command: String,
    /// Other commands that answer.
    pub others: Vec<String>,
}

impl Standing {
    /// The command, with who types it when that is somebody else.
    pub fn typed(&self) -> String {
        self.whose.as_ref().map_or_else(|| self.command.clone(), |whose| format!("{whose}: {}", self.command))
    }

    /// For programs.
    pub fn as_json(&self) -> Value {
        json!({ "why": self.words, "command": self.command, "whose": self.whose })
    }
}

/// None: it is not parked. What it was parked for may have been answered since, without anybody taking it up, and its time may
/// be up, which no clock of a parked run says. `me`: who reads it; None: anybody.
pub fn standing(state: &State, now: Timestamp, me: Option<&str>) -> Option<Standing> {
    let mut standing = still(state, now, me)?;
    if let Some(doors) = doors(state) {
        standing.words = format!("{}; {doors}", standing.words);
    }
    Some(standing)
}

/// A step that closes the application, or opens it, and nobody knows whether it did.
pub fn doors(state: &State) -> Option<String> {
    let windows = doors_in_doubt(state);
    (!windows.is_empty())
        .then(|| format!("the application may be CLOSED to traffic (window {})", windows.join(", ")))
}

/// The windows of which nobody knows whether they are open.
pub fn doors_in_doubt(state: &State) -> Vec<&str> {
    let in_doubt = |id: &StepId| {
        let (step, entry) = (state.shape.flow.step(id.as_str())?, state.entry(id)?);
        let is_open = matches!(entry.state, StepState::Unknown | StepState::UndoFailed);
        (is_open || doubt(step, entry).is_some()).then_some(())
    };
    let mut windows: Vec<&str> = state
        .shape
        .flow
        .made_steps()
        .filter(|(id, _)| in_doubt(id).is_some())
        .map(|(_, made)| match made {
            Made::Open(name) | Made::Close(name) => name.as_str(),
        })
        .collect();
    windows.sort_unstable();
    windows.dedup();
    windows
}

fn still(state: &State, now: Timestamp, me: Option<&str>) -> Option<Standing> {
    let why = state.parked.as_ref()?;
    let is = |step: &StepId, wanted: StepState| state.entry(step).is_some_and(|entry| entry.state == wanted);
    let why = match why {
        Why::Approval { step } if is(step, StepState::Failed) => &Why::Failed { step: step.clone() },
        Why::Approval { step } if !is(step, StepState::AwaitingApproval) => {
            return Some(answered(state, step));
        }
        Why::Approval { step } if expired_at(state, step, now).is_some() => return late(state, step, now),
        Why::Unknown { step } if !is(step, StepState::Unknown) => return Some(answered(state, step)),
        Why::UndoFailed { step } if !is(step, StepState::UndoFailed) => return Some(answered(state, step)),
        why => why,
    };
    if let Why::UndoFailed { step } = why {
        return Some(not_undone(state, step, why));
    }
    // A resume would ask again, and an undo is refused, until somebody says what became of it.
    if let (Why::Stopped { .. } | Why::Failed { .. }, Some(step)) = (why, state.unknown().next()) {
        let unknown = Why::Unknown { step: step.clone() };
        let words = format!("{}; {}", why.words(), unknown.words());
        let (command, others) = (unknown.command(&state.run), unknown.others(&state.run));
        return Some(Standing { words, whose: None, command, others });
    }
    if let Why::Approval { step } = why {
        let Answers { whose, yes: command, ways: others, .. } = answers(state, step, me);
        return Some(Standing { words: why.words(), whose, command, others });
    }
    let (command, others) = (why.command(&state.run), why.others(&state.run));
    Some(Standing { words: why.words(), whose: None, command, others })
}

/// A step on the way back that was not undone: what is not known about it, or what has to be said first.
fn not_undone(state: &State, step: &StepId, why: &Why) -> Standing {
    let entry = state.entry(step);
    let code = entry.and_then(|entry| entry.failure.as_ref()).map(|failure| failure.code.as_str());
    let loss = entry.and_then(asked_loss);
    let has_own = state
        .shape
        .flow
        .step(step.as_str())
        .is_some_and(|step| matches!(reversal(step), Reversal::Given(_) | Reversal::BuiltIn(_)));
    const STAYS: &str = "--skip --reason 'it stays as it is'";
    let (words, answers) = match (code, loss) {
        (Some(UNDO_UNKNOWN), _) => (
            format!("it is not known whether step {step} was undone"),
            vec![
                "--done --reason 'it was undone'".to_owned(),
                "--retry --reason 'it was not undone'".to_owned(),
            ],
        ),
        (Some(MAY_HAVE_ACTED), _) => {
            let mut answers = vec!["--done --reason 'nothing is left of it'".to_owned()];
            answers.extend(has_own.then(|| "--retry --reason 'it took effect'".to_owned()));
            (format!("it is not known what step {step} left"), answers)
        }
        (_, Some(code)) => (
            format!("step {step} is not undone: somebody has to agree to what that would lose"),
            vec![
                format!("--retry --accept-loss {code} --reason 'it may be lost'"),
                "--done --reason 'it was undone by hand'".to_owned(),
            ],
        ),
        _ => {
            let (command, others) = (why.command(&state.run), why.others(&state.run));
            return Standing { words: why.words(), whose: None, command, others };
        }
    };
    let typed = |answer: &str| format!("runplan resolve {} {step} {answer}", state.run);
    let mut answers = answers.iter().map(String::as_str).chain([STAYS]).map(typed);
    Standing { words, whose: None, command: answers.next().unwrap_or_default(), others: answers.collect() }
}

fn answered(state: &State, step: &StepId) -> Standing {
    let words = format!("the question about step {step} is answered, nobody has taken the run up since");
    Standing { words, whose: None, command: format!("runplan resume {}", state.run), others: Vec::new() }
}

/// When the time was up in which a question could be answered. None: it is not up, or nothing is asked.
pub fn expired_at(state: &State, step: &StepId, now: Timestamp) -> Option<Timestamp> {
    let entry = state.entry(step).filter(|entry| entry.state == StepState::AwaitingApproval)?;
    entry.ask.as_ref()?.expires_at.filter(|_| is_expired(entry, now))
}

fn late(state: &State, step: &StepId, now: Timestamp) -> Option<Standing> {
    let since = to_the_second(expired_at(state, step, now)?);
    let words = format!(
        "nobody decided about step {step} in time: expired since {since}, which counts as no; a resume asks again"
    );
    Some(Standing {
        words,
        whose: None,
        command: format!("runplan resume {}", state.run),
        others: Vec::new(),
    })
}

/// `2026-11-22 03:11:07 UTC`
fn to_the_second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// How a run is getting on. Whatever lists a run, or shows one, takes it from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    Over(Finish),
    /// It goes on elsewhere.
    Moved,
    Parked(Standing),
    /// Its process waits for people at these steps.
    Waits(Vec<StepId>),
    UnderWay,
    /// Its process has died.
    Interrupted,
    /// A rehearsal whose process has died: it cannot go on.
    Killed,
}

impl Course {
    /// `is_held`: some process has the run. `me`: who looks; None: anybody.
    pub fn of(state: &State, is_held: bool, now: Timestamp, me: Option<&str>) -> Self {
        if state.moved.is_some() {
            return Self::Moved;
        }
        if let Some(result) = state.result {
            return Self::Over(result);
        }
        if let Some(standing) = standing(state, now, me) {
            return Self::Parked(standing);
        }
        let is_rehearsal = state.started.as_ref().is_some_and(|started| started.rehearsal);
        match (is_held, is_rehearsal) {
            (false, true) => return Self::Killed,
            (false, false) => return Self::Interrupted,
            (true, _) => {}
        }
        let asked: Vec<StepId> = state.awaiting().chain(state.unknown()).cloned().collect();
        let is_idle = state.running().next().is_none() && state.retrying().next().is_none();
        if is_idle && !asked.is_empty() { Self::Waits(asked) } else { Self::UnderWay }
    }

    /// A few words without a full stop, the same everywhere.
    pub fn words(&self, state: &State) -> String {
        match self {
            Self::Over(Finish::Undone) => format!("undone: {}", reversed(state)),
            Self::Over(result) => result.word().to_owned(),
            Self::Moved => {
                let to = state.moved.as_ref().map(|moved| format!(": {}", moved.to)).unwrap_or_default();
                format!("moved, to go on elsewhere{to}")
            }
            Self::Parked(standing) => format!("parked: {}", standing.words),
            Self::Waits(steps) => {
                let names: Vec<&str> = steps.iter().map(StepId::as_str).collect();
                format!("under way, waits for people: {}", names.join(", "))
            }
            Self::UnderWay => "under way".to_owned(),
            Self::Interrupted => "interrupted: its process has died".to_owned(),
            Self::Killed => "killed".to_owned(),
        }
    }

    /// What makes it go on, when nothing goes on by itself.
    pub fn command(&self, run: &RunId) -> Option<String> {
        match self {
            Self::Parked(standing) => Some(standing.command.clone()),
            Self::Interrupted => Some(format!("runplan resume {run}")),
            Self::Over(_) | Self::Moved | Self::Waits(_) | Self::UnderWay | Self::Killed => None,
        }
    }
}
