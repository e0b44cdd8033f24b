//! A run as one value: everything the report shows, in whatever form it is shown.

use super::amount::time;
use super::checklist::{Item, checklist};
use super::downtime::{Downtime, swaps, windows};
use super::evidence::{
    Approval, Backup, Checked, Loss, Statement, approvals, backups, checks, losses, statements,
};
use super::kept::{Kept, kept};
use super::telling::{Mark, tell};
use crate::plan::StepId;
use crate::run::{
    Effects, Event, Failure, Finish, Record, State, StepState, awaited, effects, reversed, standing,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

/// The report of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub format: u32,
    pub run: String,
    pub plan: String,
    pub title: Option<String>,
    pub description: Option<String>,
    pub rehearsal: bool,
    pub severity: Option<Severity>,
    pub reason: Option<String>,
    /// Approvals that went past those who should have given them: what a reader must know first.
    pub break_glass: Vec<String>,
    /// Why it was run although the decision matrix says to fix forward.
    pub overridden: Option<String>,
    /// When the incident began, if not with the run.
    pub incident_started_at: Option<Timestamp>,
    /// Who started it, as the operating system calls them.
    pub requester: String,
    pub phase: &'static str,
    pub result: Option<&'static str>,
    /// Undone: what of it was reversed, and what was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reversed: Option<String>,
    pub parked: Option<Parked>,
    /// What nobody has answered yet, and who may.
    pub asked: Vec<String>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// The time of the last line of the journal.
    pub last_at: Option<Timestamp>,
    pub digest: String,
    pub plan_digest: String,
    pub version: String,
    pub params: Map<String, Value>,
    pub steps: Vec<StepLine>,
    pub timeline: Vec<Moment>,
    /// When it stood still.
    pub pauses: Vec<Pause>,
    pub approvals: Vec<Approval>,
    pub checks: Vec<Checked>,
    pub backups: Vec<Backup>,
    pub statements: Vec<Statement>,
    pub downtime: Vec<Downtime>,
    /// Milliseconds without a database, by the step that swapped.
    pub swaps: Vec<(StepId, u64)>,
    pub losses: Vec<Loss>,
    pub kept: Vec<Kept>,
    pub contacts: Vec<(String, String)>,
    pub warnings: Vec<String>,
    pub checklist: Vec<Item>,
    /// Lines of the journal, and the hash of the last.
    pub lines: u64,
    pub head: String,
    /// The version that wrote this report.
    pub made_with: &'static str,
}

/// A stretch in which the run was parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pause {
    pub from: Timestamp,
    /// None: it still is.
    pub to: Option<Timestamp>,
    pub why: String,
}

/// The row of the decision matrix.
#[derive(Debug, Clone, Serialize)]
pub struct Severity {
    pub level: String,
    pub impact: Option<String>,
    pub action: Option<&'static str>,
    pub deadline: Option<String>,
    pub role: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Parked {
    pub why: String,
    pub command: String,
    /// Who types it, when that is not anybody.
    pub whose: Option<String>,
}

/// A step and how it ended.
#[derive(Debug, Clone, Serialize)]
pub struct StepLine {
    pub id: StepId,
    pub kind: &'static str,
    pub title: Option<String>,
    pub state: &'static str,
    /// The same for people.
    pub stands: String,
    pub effect: &'static str,
    pub attempts: u32,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub elapsed_ms: Option<u64>,
    /// What it came to, in a few words.
    pub note: String,
    pub failure: Option<Failure>,
}

/// A line of the timeline.
#[derive(Debug, Clone, Serialize)]
pub struct Moment {
    pub at: Timestamp,
    pub subject: String,
    pub text: String,
    pub bad: bool,
}

impl Report {
    /// Folds a journal into a report. `records`: those that the state is the fold of.
    pub fn of(state: &State, records: &[Record]) -> Self {
        let plan = &state.shape.plan;
        let started = state.started.as_deref();
        Self {
            format: 1,
            run: state.run.to_string(),
            plan: plan.name.value.to_string(),
            title: plan.title.clone(),
            description: plan.description.clone(),
            rehearsal: started.is_some_and(|started| started.rehearsal),
            severity: severity(state),
            reason: started.and_then(|started| started.reason.clone()),
            break_glass: broken_glass(records),
            overridden: started.and_then(|started| started.overridden.clone()),
            incident_started_at: started.and_then(|started| started.incident_started_at),
            requester: state
                .requester
                .as_ref()
                .map(|actor| format!("{} on {}", actor.name, actor.host))
                .unwrap_or_default(),
            phase: state.phase.word(),
            result: state.result.map(Finish::word),
            asked: asked(state),
            reversed: (state.result == Some(Finish::Undone)).then(|| reversed(state)),
            parked: records.last().and_then(|record| standing(state, record.at, None)).map(|standing| {
                Parked { why: standing.words, command: standing.command, whose: standing.whose }
            }),
            started_at: state.started_at,
            finished_at: state.finished_at,
            last_at: records.last().map(|record| record.at),
            digest: started.map(|started| started.digest.clone()).unwrap_or_default(),
            plan_digest: started.map(|started| started.plan_digest.clone()).unwrap_or_default(),
            version: started.map(|started| started.version.clone()).unwrap_or_default(),
            params: started.map(|started| started.params.clone()).unwrap_or_default(),
            steps: steps(state),
            timeline: timeline(state, records),
            pauses: pauses(records),
            approvals: approvals(state, records),
            checks: checks(state),
            backups: backups(state),
            statements: statements(state),
            downtime: windows(state),
            swaps: swaps(state),
            losses: losses(state),
            kept: kept(state),
            contacts: contacts(state),
            warnings: state.warnings.clone(),
            checklist: checklist(state, records),
            lines: state.seq,
            head: state.head.clone(),
            made_with: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn asked(state: &State) -> Vec<String> {
    let asks = state.awaiting().filter_map(|step| Some((step, state.entry(step)?.ask.as_ref()?)));
    asks.map(|(step, ask)| {
        let who = awaited(state, step).map(|who| format!(", by {who}")).unwrap_or_default();
        let until = ask.expires_at.map(|at| format!(", until {}", time(at)));
        format!("{step}{who}{}: {}", until.unwrap_or_default(), ask.message)
    })
    .collect()
}

fn broken_glass(records: &[Record]) -> Vec<String> {
    let told = records.iter().filter_map(|record| match &record.event {
        Event::ApprovalGiven { step, by, break_glass: Some(reason), .. } => {
            Some(format!("{by} approved {step} alone at {}, past the rules: {reason}", record.at))
        }
        _ => None,
    });
    told.collect()
}

fn severity(state: &State) -> Option<Severity> {
    let level = state.started.as_ref()?.severity.clone()?;
    let row = state.shape.site.as_ref().and_then(|site| site.severities.get(level.as_str()));
    Some(Severity {
        impact: row.and_then(|row| row.impact.clone()),
        action: row.map(|row| row.action.word()),
        deadline: row.and_then(|row| row.deadline).map(|deadline| deadline.to_string()),
        role: row.and_then(|row| row.role.as_ref()).map(|role| role.value.to_string()),
        level,
    })
}

fn steps(state: &State) -> Vec<StepLine> {
    let lines = state.shape.flow.steps().iter().filter_map(|step| {
        let entry = state.entry(&step.id.value)?;
        let times = (entry.started_at, entry.finished_at);
        Some(StepLine {
            id: step.id.value.clone(),
            kind: step.action.kind().word(),
            title: step.title.clone(),
            state: entry.state.word(),
            stands: match entry.state {
                StepState::Waiting if entry.attempts > 0 => "begun, and not done".to_owned(),
                state => state.word().replace('_', " "),
            },
            effect: effects(step).word(),
            attempts: entry.attempts,
            started_at: entry.started_at,
            finished_at: entry.finished_at,
            elapsed_ms: match times {
                (Some(start), Some(end)) => Some(super::amount::between(start, end)),
                _ => None,
            },
            note: note(step, entry),
            failure: entry.failure.clone().filter(|_| entry.state.word().ends_with("failed")),
        })
    });
    lines.collect()
}

fn note(step: &crate::plan::Step, entry: &crate::run::Entry) -> String {
    if let Some(note) = &entry.undo_note {
        return note.clone();
    }
    if let Some(reason) = &entry.skipped_because {
        return reason.clone();
    }
    if let Some(evidence) = &entry.evidence {
        return evidence.message.clone();
    }
    let details = super::outcome::details(&step.action.value, &entry.outputs);
    match (&entry.failure, details.is_empty()) {
        (Some(failure), _) if entry.state.word().ends_with("failed") => failure.message.clone(),
        (Some(failure), _) if entry.state == StepState::Waiting => failure.message.clone(),
        (_, false) => details,
        (_, true) if effects(step) == Effects::Irreversible && entry.attempts > 0 => {
            "cannot be undone".to_owned()
        }
        _ => String::new(),
    }
}

fn timeline(state: &State, records: &[Record]) -> Vec<Moment> {
    let told = records.iter().map(|record| (record.at, tell(record, state)));
    told.filter(|(_, told)| !told.minor)
        .map(|(at, told)| Moment {
            at,
            subject: told.subject,
            text: told.text,
            bad: matches!(told.mark, Mark::Failed | Mark::Caution),
        })
        .collect()
}

fn pauses(records: &[Record]) -> Vec<Pause> {
    let mut found: Vec<Pause> = Vec::new();
    for record in records {
        let open = found.last_mut().filter(|pause| pause.to.is_none());
        match (&record.event, open) {
            (Event::Parked { why }, None) => {
                found.push(Pause { from: record.at, to: None, why: why.words() });
            }
            (
                Event::RunResumed { .. } | Event::RunFinished { .. } | Event::UndoRequested { .. },
                Some(pause),
            ) => {
                pause.to = Some(record.at);
            }
            _ => {}
        }
    }
    found
}

fn contacts(state: &State) -> Vec<(String, String)> {
    let site = state.shape.site.as_ref();
    let all = site.into_iter().flat_map(|site| &site.contacts);
    all.map(|(_, contact)| (contact.name.clone(), contact.call.clone())).collect()
}
