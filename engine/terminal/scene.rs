//! What a live view shows, as a value: what runs, who is waited for, what is closed, how long it still takes. Pure: made
//! from the state and from what the steps said of their progress. Must never hold anything that only `now` can tell.

use super::gauge::Gauge;
use super::safety::Safety;
use super::screen::Screen;
use crate::drive::Stop;
use crate::plan::StepId;
use crate::report;
use crate::review::Usual;
use crate::run::{Answers, Phase, Shape, State, StepState, Why, answers, awaited, due_at, standing};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// One moment of a run.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    pub run: String,
    pub rows: Vec<Row>,
    /// Windows that are open, since when.
    pub closed: Vec<(String, Timestamp)>,
    pub steps: usize,
    pub settled: usize,
    pub began: Option<Timestamp>,
    /// What the rest is estimated by: `3 runs`; nothing where there is no estimate.
    pub source: Option<String>,
    pub deadline: Option<Deadline>,
    /// What is going on with the run as a whole, when it does not simply go forward.
    pub turn: Option<String>,
    /// What runs when the steps of the rows are done.
    pub coming: Vec<String>,
    pub stopping: String,
    pub next: Next,
    /// What is so from a time on, without anything happening.
    pub late: Option<Late>,
}

/// What whoever looks at it can do now.
#[derive(Debug, Clone, Default)]
pub struct Next {
    pub words: String,
    /// To be typed as it stands.
    pub command: Option<String>,
    /// What is typed into the question below instead, where it is asked there.
    pub asked: bool,
}

/// The time in which a parked run's question can be answered is up.
#[derive(Debug, Clone)]
pub struct Late {
    pub at: Timestamp,
    pub turn: Option<String>,
    pub next: Next,
}

/// By when it should be over, by the decision matrix.
#[derive(Debug, Clone)]
pub struct Deadline {
    pub severity: String,
    pub at: Timestamp,
    /// At once: it is never ahead.
    pub is_now: bool,
}

/// A step that is not simply done or not begun.
#[derive(Debug, Clone)]
pub struct Row {
    pub sign: Sign,
    pub id: String,
    pub what: String,
    pub since: Option<Timestamp>,
    pub usual: Option<Usual>,
    /// How long what comes after it takes, in milliseconds.
    pub after: u64,
    pub gauge: Option<Gauge>,
    pub wait: Option<Wait>,
}

/// Ordered by how much it wants to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    Asks,
    Unknown,
    Failed,
    Undoing,
    Running,
    Retrying,
}

/// What a step waits for.
#[derive(Debug, Clone)]
pub enum Wait {
    People { given: usize, count: u16, who: String, task: bool, expires_at: Option<Timestamp> },
    Again { attempt: u32, at: Timestamp },
    Nothing,
}

/// Makes scenes of one run.
pub struct Scenes {
    safety: Safety,
    usual: HashMap<StepId, Usual>,
    /// For each step how long what comes after it takes, in milliseconds.
    after: Vec<u64>,
    source: Option<String>,
    /// It is looked at from another process.
    watched: bool,
    /// Its process has died.
    orphaned: bool,
    screen: Screen,
}

impl Scenes {
    pub fn new(shape: &Shape, usual: HashMap<StepId, Usual>, watched: bool, screen: Screen) -> Self {
        let after = after(shape, &usual);
        let source = source(&usual);
        Self { safety: Safety::of(shape), usual, after, source, watched, orphaned: false, screen }
    }

    /// The plan is another one now.
    pub fn reshape(&mut self, shape: &Shape) {
        let orphaned = self.orphaned;
        *self = Self::new(shape, std::mem::take(&mut self.usual), self.watched, self.screen.clone());
        self.orphaned = orphaned;
    }

    /// Whether its process has died, and nothing goes on.
    pub fn orphan(&mut self, orphaned: bool) {
        self.orphaned = orphaned;
    }

    pub fn scene(&self, state: &State, gauges: &HashMap<StepId, Gauge>) -> Scene {
        let started = state.started.as_deref();
        let severity = started.and_then(|started| started.severity.clone()).unwrap_or_default();
        let incident = started.and_then(|started| started.incident_started_at).or(state.started_at);
        let is_open = |window: report::Downtime| {
            window.closed_at.is_none().then_some((window.window, window.opened_at))
        };
        Scene {
            run: state.run.to_string(),
            rows: self.rows(state, gauges),
            closed: report::windows(state).into_iter().filter_map(is_open).collect(),
            steps: state.shape.flow.len(),
            settled: match state.phase {
                Phase::Backward => state.done().count(),
                Phase::Forward | Phase::Finished => state.settled(),
            },
            began: state.started_at,
            source: self.source.clone().filter(|_| state.phase == Phase::Forward),
            deadline: due_at(state).map(|at| Deadline { severity, at, is_now: Some(at) == incident }),
            turn: self.turn(state, Timestamp::MIN),
            coming: if self.orphaned { Vec::new() } else { coming(state) },
            stopping: match self.orphaned {
                true => "nothing runs".to_owned(),
                false => self.safety.words(state),
            },
            next: self.next(state, Timestamp::MIN),
            late: self.late(state),
        }
    }

    fn rows(&self, state: &State, gauges: &HashMap<StepId, Gauge>) -> Vec<Row> {
        let retrying: Vec<&StepId> = state.retrying().map(|(_, step)| step).collect();
        let ids: BTreeSet<&StepId> = state
            .awaiting()
            .chain(state.unknown())
            .chain(state.failed())
            .chain(state.running())
            .chain(retrying)
            .collect();
        let mut rows: Vec<Row> =
            ids.into_iter().filter_map(|id| self.row(state, id, gauges.get(id))).collect();
        rows.sort_by(|a, b| (a.sign, a.since, &a.id).cmp(&(b.sign, b.since, &b.id)));
        rows
    }

    fn row(&self, state: &State, id: &StepId, gauge: Option<&Gauge>) -> Option<Row> {
        let entry = state.entry(id)?;
        let step = state.shape.flow.step(id.as_str())?;
        let kind = step.action.kind().word();
        let what = step.title.as_ref().map_or_else(|| kind.to_owned(), |title| format!("{kind}: {title}"));
        let message = || {
            let failure = entry.failure.as_ref().map(|failure| failure.message.as_str());
            failure.and_then(|text| text.lines().next()).unwrap_or_default().to_owned()
        };
        let (sign, what, wait) = match entry.state {
            StepState::Running | StepState::Undoing | StepState::Retrying { .. } if self.orphaned => {
                let what = "its process has died: a resume finds out what became of it".to_owned();
                (Sign::Unknown, what, Wait::Nothing)
            }
            StepState::Running => (Sign::Running, what, Wait::Nothing),
            StepState::Undoing => (Sign::Undoing, format!("is being undone ({what})"), Wait::Nothing),
            StepState::AwaitingApproval => {
                let ask = entry.ask.as_ref()?;
                let question = ask.message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
                let who = awaited(state, id).unwrap_or_default();
                let people = Wait::People {
                    given: entry.decisions.iter().filter(|decision| decision.approved).count(),
                    count: ask.count.max(1),
                    who,
                    task: ask.confirm,
                    expires_at: ask.expires_at,
                };
                (Sign::Asks, step.title.clone().unwrap_or_else(|| question.to_owned()), people)
            }
            StepState::Retrying { at } => {
                (Sign::Retrying, message(), Wait::Again { attempt: entry.attempts, at })
            }
            StepState::Failed | StepState::UndoFailed => (Sign::Failed, message(), Wait::Nothing),
            StepState::Unknown => {
                let evidence = entry.evidence.as_ref().map(|evidence| evidence.message.clone());
                (Sign::Unknown, evidence.unwrap_or_default(), Wait::Nothing)
            }
            StepState::Waiting
            | StepState::Done
            | StepState::Skipped
            | StepState::Undone
            | StepState::Left => return None,
        };
        let at = state.shape.flow.index(id.as_str());
        let is_forward = sign == Sign::Running;
        Some(Row {
            sign,
            id: id.to_string(),
            what,
            since: entry
                .attempt_at
                .or(entry.started_at)
                .filter(|_| !matches!(sign, Sign::Failed | Sign::Unknown)),
            usual: self.usual.get(id).copied().filter(|_| is_forward),
            after: at.and_then(|at| self.after.get(at)).copied().unwrap_or(0),
            gauge: gauge.filter(|_| matches!(sign, Sign::Running | Sign::Undoing)).cloned(),
            wait: Some(wait).filter(|wait| !matches!(wait, Wait::Nothing)),
        })
    }

    fn next(&self, state: &State, now: Timestamp) -> Next {
        let run = &state.run;
        let leave = if self.watched { "; Ctrl-C leaves, the run goes on" } else { "" };
        let next = |words: &str, command: String| Next {
            words: format!("{words}{leave}"),
            command: Some(self.screen.command(&command)),
            asked: false,
        };
        let stands = |whose: Option<String>, command: String| {
            let leave = if self.watched { " (Ctrl-C leaves)" } else { "" };
            let whose = whose.map(|whose| format!(", {whose}")).unwrap_or_default();
            Next { words: format!("to go on{whose}{leave}"), ..next("", command) }
        };
        if let Some(why) = standing(state, now, self.screen.me()) {
            return stands(why.whose, why.command);
        }
        if self.orphaned {
            return stands(None, format!("runplan resume {run}"));
        }
        if let Some(step) = state.awaiting().next() {
            let Answers { whose, yes, .. } = answers(state, step, self.screen.me());
            let words = whose.unwrap_or_else(|| "people decide (or `reject`)".to_owned());
            return Next { asked: true, ..next(&words, yes) };
        }
        if let Some(step) = state.unknown().next() {
            let command = format!("runplan resolve {run} {step} --done --reason 'seen'");
            return Next { asked: true, ..next("say what became of it (or --retry, --skip)", command) };
        }
        if state.failed().any(|id| !may_fail(state, id)) {
            return next("it parks when what runs is done, then", format!("runplan resume {run}"));
        }
        let by_hand = |words: &str| Next { words: words.to_owned(), ..Next::default() };
        match (self.watched, state.stop_reason()) {
            (false, None) => by_hand("Ctrl-C stops after what runs"),
            (false, Some(Stop::CTRL_C)) => by_hand("Ctrl-C again cancels what runs"),
            (true, None) => next("to stop after what runs", format!("runplan stop {run}")),
            (_, Some(_)) => next("to cancel what runs", format!("runplan stop {run} --now")),
        }
    }

    /// What is going on, when it is not simply going forward.
    fn turn(&self, state: &State, now: Timestamp) -> Option<String> {
        match (standing(state, now, None), state.phase, state.is_stopping()) {
            (Some(why), ..) => Some(format!("PARKED: {}", why.words)),
            _ if self.orphaned => Some("INTERRUPTED: its process has died".to_owned()),
            (None, _, true) => Some("stopping: nothing new is started".to_owned()),
            (None, Phase::Backward, false) => Some("going back, the newest step first".to_owned()),
            (None, Phase::Forward | Phase::Finished, false) => None,
        }
    }

    fn late(&self, state: &State) -> Option<Late> {
        let Some(Why::Approval { step }) = &state.parked else { return None };
        let at = state.entry(step)?.ask.as_ref()?.expires_at?;
        Some(Late { at, turn: self.turn(state, at), next: self.next(state, at) })
    }
}

/// Its failure stops nothing.
fn may_fail(state: &State, id: &StepId) -> bool {
    state.shape.flow.step(id.as_str()).is_some_and(|step| step.continue_on_failure)
}

/// Steps that need one of those that run now, and have not begun.
fn coming(state: &State) -> Vec<String> {
    let is_ending = state.is_stopping() || state.failed().any(|id| !may_fail(state, id));
    if state.phase != Phase::Forward || is_ending {
        return Vec::new();
    }
    let steps = state.shape.flow.steps();
    let now = state.awaiting().chain(state.running()).chain(state.retrying().map(|(_, step)| step));
    let dependents: BTreeSet<usize> = now
        .filter_map(|id| state.shape.flow.index(id.as_str()))
        .flat_map(|at| state.shape.graph.dependents(at).iter().copied())
        .collect();
    let ids = dependents.into_iter().filter_map(|at| steps.get(at)).map(|step| &step.id.value);
    let is_waiting = |id: &&StepId| state.entry(id).is_some_and(|entry| entry.state == StepState::Waiting);
    ids.filter(is_waiting).map(ToString::to_string).collect()
}

/// The longest way from each step's end to the end of the run.
fn after(shape: &Shape, usual: &HashMap<StepId, Usual>) -> Vec<u64> {
    let steps = shape.flow.steps();
    let mut after = vec![0; steps.len()];
    for at in shape.graph.waves().iter().rev().flatten() {
        let own = steps.get(*at).and_then(|step| usual.get(&step.id.value)).map_or(0, |usual| usual.ms);
        let whole = own + after.get(*at).copied().unwrap_or(0);
        for need in shape.graph.needs(*at) {
            if let Some(known) = after.get_mut(*need) {
                *known = whole.max(*known);
            }
        }
    }
    after
}

/// What most of the estimates come from.
fn source(usual: &HashMap<StepId, Usual>) -> Option<String> {
    let real = usual.values().filter(|usual| !usual.rehearsed).max_by_key(|usual| usual.runs);
    real.or_else(|| usual.values().max_by_key(|usual| usual.runs)).map(|usual| usual.source())
}
