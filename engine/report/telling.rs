//! An event as a line for people. The live view, the plain log, `logs` and the report's timeline all tell it this way.
//! Must never hide a failure's help: what to do next belongs to what went wrong.

use super::amount::{between, span, time};
use super::outcome::details;
use super::{evidence, rows};
use crate::plan::{Action, StepId};
use crate::run::{Event, Failure, Finish, Record, State, UNDO_UNKNOWN, reclaimed, reversed, standing};

/// How a line is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Something began or was noted.
    Note,
    Done,
    /// It was passed over.
    Passed,
    /// People are waited for.
    Waiting,
    Caution,
    Failed,
}

/// An event in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub mark: Mark,
    /// The step's id; `run` for what is about all of it.
    pub subject: String,
    pub text: String,
    /// Further lines: evidence, what to do.
    pub more: Vec<String>,
    /// Only told to who wants to know everything.
    pub minor: bool,
}

/// Puts an event into words. `state`: at that moment, or any later one.
pub fn tell(record: &Record, state: &State) -> Told {
    let subject = record.event.step().map_or("run", |step| step.as_str()).to_owned();
    let told =
        |mark, text: String| Told { mark, subject: subject.clone(), text, more: Vec::new(), minor: false };
    let minor = |text: String| Told { minor: true, ..told(Mark::Note, text) };
    match &record.event {
        Event::RunStarted(started) => {
            let title = started.title.as_deref().unwrap_or(started.plan.as_str());
            told(Mark::Note, format!("{} started by {}: {title}", record.run, record.actor.name))
        }
        Event::RunResumed { .. } => told(Mark::Note, format!("taken up again by {}", record.actor.name)),
        Event::StepStarted { attempt, .. } => {
            let again = if *attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
            told(Mark::Note, format!("started{again}"))
        }
        Event::StepSkipped { reason, .. } => told(Mark::Passed, format!("skipped: {reason}")),
        Event::FactNoted { fact, .. } => minor(format!("noted {}: {}", fact.name, brief(&fact.data))),
        Event::StepDone { step, .. } => found(told(Mark::Done, done(record, state)), state, step),
        Event::StepFailed { step, failure, .. } => {
            let failed = told(Mark::Failed, format!("failed: {}", failure.message));
            with_help(found(failed, state, step), failure)
        }
        Event::StepUnknown { evidence, .. } => {
            let mut told = told(Mark::Failed, format!("outcome not known: {}", evidence.message));
            told.more.clone_from(&evidence.facts);
            told
        }
        Event::RetryScheduled { attempt, at, failure, .. } => {
            let wait = span(between(record.at, *at));
            told(Mark::Caution, format!("attempt {attempt} failed: {}; again in {wait}", failure.message))
        }
        Event::StepReopened { reason, .. } => minor(format!("is tried again: {reason}")),
        Event::SettleStarted { attempt, .. } => {
            told(Mark::Note, format!("was interrupted in attempt {attempt}; finding out what became of it"))
        }
        Event::ApprovalRequested { ask, .. } => {
            let requester = state.requester.as_ref().map(|actor| actor.name.as_str());
            let who = match (ask.who(requester, &[]), ask.confirm) {
                (_, true) => "waits until somebody has done this".to_owned(),
                (None, false) => "waits for an approval".to_owned(),
                (Some(who), false) => format!("waits for an approval by {who}"),
            };
            let mut told = told(Mark::Waiting, who);
            told.more.extend(ask.message.lines().map(str::to_owned));
            told
        }
        Event::ApprovalGiven { by, break_glass: Some(reason), .. } => {
            told(Mark::Caution, format!("BREAK-GLASS: approved by {by} alone, past the rules: {reason}"))
        }
        Event::ApprovalGiven { by, comment, signed, .. } => {
            let how = if signed.is_some() { ", signed" } else { "" };
            told(Mark::Done, format!("approved by {by}{how}{}", quoted(comment)))
        }
        Event::GlassBroken { .. } => {
            told(Mark::Caution, "everybody is told that the glass was broken".to_owned())
        }
        Event::DeadlinePassed { severity, due_at, role, roles } => {
            let role = match roles.as_slice() {
                [] | [_] => role.as_ref().map(|role| format!("; {role} is told")).unwrap_or_default(),
                several => {
                    let names: Vec<&str> = several.iter().map(|role| role.as_str()).collect();
                    format!("; {} are told", names.join(", "))
                }
            };
            told(Mark::Caution, format!("the deadline of {severity} ({}) has passed{role}", time(*due_at)))
        }
        Event::ApprovalRejected { by, reason, .. } => {
            let how = if matches!(&record.event, Event::ApprovalRejected { signed: Some(_), .. }) {
                ", signed"
            } else {
                ""
            };
            told(Mark::Failed, format!("rejected by {by}{how}{}", quoted(reason)))
        }
        Event::DecisionRefused { by, reason, .. } => {
            told(Mark::Caution, format!("what {by} said was not accepted: {reason}"))
        }
        Event::StepResolved { resolution, reason, loss, .. } => {
            let (by, word) = (&record.actor.name, resolution.word());
            let loss = loss.as_ref().map_or_else(String::new, |loss| format!(", with the loss {loss}"));
            told(Mark::Note, format!("resolved by {by} as {word}{loss}{}", quoted(reason)))
        }
        Event::StopRequested { hard: false, reason } => {
            told(Mark::Caution, format!("stopping ({reason}): nothing new is started, what runs may finish"))
        }
        Event::StopRequested { hard: true, reason } => {
            told(Mark::Caution, format!("stopping now ({reason}): what runs is cancelled"))
        }
        Event::CancelRequested { .. } => minor("is being cancelled".to_owned()),
        Event::Parked { why } => {
            let now = standing(state, record.at, None).filter(|_| state.parked.as_ref() == Some(why));
            let words = now.as_ref().map_or_else(|| why.words(), |standing| standing.words.clone());
            let mut told = told(Mark::Waiting, format!("parked: {words}"));
            // A rehearsal cannot go on: its server goes with it.
            if !state.started.as_ref().is_some_and(|started| started.rehearsal) {
                let (command, others) = match now {
                    Some(standing) => (standing.typed(), standing.others),
                    None => (why.command(&record.run), why.others(&record.run)),
                };
                told.more.push(format!("next: {command}"));
                told.more.extend(others.into_iter().map(|other| format!("or: {other}")));
            }
            told
        }
        Event::UndoRequested { to, reason } => {
            let to = to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
            told(Mark::Caution, format!("going back{to}{}", quoted(reason)))
        }
        Event::UndoStarted { .. } => told(Mark::Note, "is being undone".to_owned()),
        Event::UndoDone { note, .. } if note == "nothing to undo" => minor(note.clone()),
        Event::UndoDone { note, left: true, .. } => {
            told(Mark::Note, format!("left as it is{}", after_colon(note)))
        }
        Event::UndoDone { note, .. } => told(Mark::Done, format!("undone{}", after_colon(note))),
        Event::UndoFailed { failure, .. } => {
            let what = if failure.code == UNDO_UNKNOWN {
                "whether it was undone is not known"
            } else {
                "could not be undone"
            };
            with_help(told(Mark::Failed, format!("{what}: {}", failure.message)), failure)
        }
        Event::HandlerFinished { failure: None, line: Some(_), .. } => minor("a channel was told".to_owned()),
        Event::HandlerFinished { failure: Some(failure), line: Some(_), .. } => {
            let left = if failure.permanent { "" } else { "; it is tried again when the run is taken up" };
            with_help(told(Mark::Caution, format!("not delivered to {}{left}", failure.message)), failure)
        }
        Event::HandlerFinished { failure: None, .. } => minor("a handler finished".to_owned()),
        Event::HandlerFinished { failure: Some(failure), .. } => {
            with_help(told(Mark::Caution, format!("a handler failed: {}", failure.message)), failure)
        }
        Event::Warned { message, .. } => told(Mark::Caution, message.clone()),
        Event::ProgramsNamed { pg_bin } => {
            minor(format!("PostgreSQL's programs are those of {pg_bin} from now on"))
        }
        Event::TargetsReclaimed { reason, .. } => told(Mark::Caution, reclaimed(reason)),
        Event::TargetsReleased => minor("its targets are let go".to_owned()),
        Event::RunExported { to } => {
            told(Mark::Caution, format!("written to {to}, to go on elsewhere: here nothing more is done"))
        }
        Event::RunTakenOver { epoch, from, reason, .. } => {
            told(Mark::Caution, format!("taken over from {from} (epoch {epoch}): {reason}"))
        }
        Event::PlanAmended(amended) => {
            told(Mark::Caution, format!("the plan was amended: {}", amended.changes.join("; ")))
        }
        Event::StepRenewed { reason, .. } => minor(format!("is done again: {reason}")),
        Event::RunFinished { result } => finished(*result, record, state, told),
    }
}

fn done(record: &Record, state: &State) -> String {
    let Some(step) = record.event.step() else { return "done".to_owned() };
    let began = state.entry(step).and_then(|entry| entry.attempt_at).filter(|began| *began <= record.at);
    let time = began.map(|began| format!(" in {}", span(between(began, record.at)))).unwrap_or_default();
    let details = match (&record.event, state.shape.flow.step(step.as_str())) {
        (Event::StepDone { outputs, .. }, Some(step)) => details(&step.action.value, outputs),
        _ => String::new(),
    };
    match details.is_empty() {
        true => format!("done{time}"),
        false => format!("done{time}  ({details})"),
    }
}

fn finished(result: Finish, record: &Record, state: &State, told: impl Fn(Mark, String) -> Told) -> Told {
    let time =
        state.started_at.map(|began| format!(" in {}", span(between(began, record.at)))).unwrap_or_default();
    match result {
        Finish::Done => told(Mark::Done, format!("done{time}")),
        Finish::Undone => told(Mark::Caution, format!("undone{time}: {}", reversed(state))),
        Finish::Failed => told(Mark::Failed, format!("ended for good without being done{time}")),
    }
}

/// The rows that failed checks found, under their names.
fn found(mut told: Told, state: &State, step: &StepId) -> Told {
    let is_verify = |step: &crate::plan::Step| matches!(step.action.value, Action::Verify(_));
    let Some(entry) = state
        .entry(step)
        .filter(|_| state.shape.flow.step(step.as_str()).is_some_and(|step| is_verify(step)))
    else {
        return told;
    };
    for result in evidence::results(entry).filter(|result| result["passed"] == false) {
        let table = rows::brief(result);
        if !table.is_empty() {
            told.more.push(format!("{}:", result["name"].as_str().unwrap_or("check")));
            told.more.extend(table.into_iter().map(|line| format!("  {line}")));
        }
    }
    told
}

fn with_help(mut told: Told, failure: &Failure) -> Told {
    if let Some((first, rest)) = told.text.clone().split_once('\n') {
        told.text = first.to_owned();
        told.more.extend(rest.lines().map(str::to_owned));
    }
    told.more.extend(failure.help.iter().map(|help| format!("help: {help}")));
    told
}

fn quoted(text: &str) -> String {
    match text.trim() {
        "" => String::new(),
        text => format!(": \"{text}\""),
    }
}

fn after_colon(note: &str) -> String {
    match note {
        "" | "undone" => String::new(),
        note => format!(": {note}"),
    }
}

/// Data in one short line.
fn brief(data: &serde_json::Value) -> String {
    let text = data.to_string();
    match text.char_indices().nth(160) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}
