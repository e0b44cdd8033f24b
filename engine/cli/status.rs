//! `runplan status`.

use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::incident;
use super::runs;
use super::state_dir::{self, Meant};
use super::stored::Stored;
use super::telling;
use crate::clock::{self, Timestamp};
use crate::plan::{RunId, StepId};
use crate::report::{self, Report, amount};
use crate::run::{Answers, Course, Finish, Phase, State, answers, awaited, expired_at, standing};
use crate::store::{Damage, Holder, Store};
use crate::terminal::{self, Places, Screen, Times, Tone};
use clap::Args;
use serde_json::{Value, json};

/// Shows where a run stands: its steps, what it waits for, what to type next.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan status                   the run that is not over, else the last one
  runplan status k7f3 --format json
  runplan status k7f3 --verify     proves that the journal is whole and unchanged")]
pub struct Status {
    /// The run: its id, or the beginning or end of it
    run: Option<String>,
    /// Prove the journal line by line
    #[arg(long)]
    verify: bool,
}

impl Status {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let store = state_dir::open_to_read(globals)?;
        let run = match state_dir::meant(&store, self.run.as_deref())? {
            Meant::One(run) => run,
            Meant::Several(briefs) if !self.verify => {
                if screen.is_json() {
                    return Err(several());
                }
                runs::show(screen, &store, &briefs);
                return Ok(Exit::Done);
            }
            Meant::Several(_) => return Err(several()),
            Meant::None => match store.list()?.pop() {
                Some(last) => last.run,
                None if screen.is_json() => {
                    screen.document(&json!({ "format": 1, "run": null }));
                    return Ok(Exit::Done);
                }
                None => {
                    let absence = state_dir::absence(globals)?.map(|absence| format!(": {absence}"));
                    screen.say(&format!("no runs yet{}", absence.unwrap_or_default()));
                    return Ok(Exit::Done);
                }
            },
        };
        if self.verify {
            return verify(screen, &store, &run);
        }
        let (stored, newer) = read(&store, &run)?;
        let holder = store.holder(&run).ok().flatten();
        let newer = newer.map(|damage| damage.to_string());
        if screen.is_json() {
            let mut document = as_json(&stored.state, holder.as_ref(), screen.me());
            if let (Some(newer), Some(fields)) = (newer, document.as_object_mut()) {
                fields.insert("newer".to_owned(), newer.into());
            }
            screen.document(&document);
            return Ok(Exit::Done);
        }
        show(screen, &store, &stored, holder.as_ref());
        if let Some(newer) = newer {
            let words = format!("This is how it stood before it went on under a newer runplan: {newer}");
            screen.line(&format!(
                "\n{}\n  `runplan status {run} --verify` proves its lines; only that version can go on with it",
                screen.paint().of(Tone::Caution, &words)
            ));
        }
        Ok(Exit::Done)
    }
}

/// A run as far as this version can read it, and what it cannot: that is shown, and only `resume` refuses it.
fn read(store: &Store, run: &RunId) -> Result<(Stored, Option<Damage>), Error> {
    let loaded = store.load(run)?;
    match &loaded.damage {
        Some(damage) if damage.is_newer() && !loaded.records.is_empty() => {
            let damage = damage.clone();
            Ok((Stored::of(run, loaded.records)?, Some(damage)))
        }
        _ => Ok((Stored::of(run, loaded.whole()?)?, None)),
    }
}

fn several() -> Error {
    Error::usage_with("several runs are not over", "name one: runplan status RUN; `runplan runs` lists them")
}

fn verify(screen: &Screen, store: &Store, run: &RunId) -> Result<Exit, Error> {
    let verdict = store.verify(run)?;
    let damage = verdict.damage.as_ref().map(ToString::to_string);
    if screen.is_json() {
        screen.document(&json!({
            "format": 1, "run": run.as_str(), "lines": verdict.lines, "head": verdict.head, "damage": damage,
        }));
    } else {
        screen.line(&format!("{} lines are proved, the last one's hash is {}", verdict.lines, verdict.head));
        if let Some(damage) = &damage {
            screen.line(&screen.paint().of(Tone::Bad, damage));
        }
    }
    Ok(if damage.is_some() { Exit::Failed } else { Exit::Done })
}

fn show(screen: &Screen, store: &Store, stored: &Stored, holder: Option<&Holder>) {
    let state = &stored.state;
    let report = Report::of(state, &[]);
    let now = clock::now();
    let course = Course::of(state, holder.is_some(), now, screen.me());
    let rows = report.steps.iter().map(|step| {
        let is_interrupted = course == Course::Interrupted && state.running().any(|id| *id == step.id);
        let stands = if is_interrupted { "interrupted".to_owned() } else { step.stands.clone() };
        let took = step.elapsed_ms.map(amount::span).unwrap_or_default();
        let note = step.note.lines().next().unwrap_or_default().to_owned();
        vec![step.id.to_string(), step.kind.to_owned(), stands, took, note]
    });
    let columns = ["step", "kind", "state", "took", ""];
    screen.text(&terminal::table(screen, &columns, rows.collect::<Vec<_>>()));
    if let Some(moved) = &state.moved {
        let (by, host) = (&moved.by.name, &moved.by.host);
        let words = format!(
            "Moved: {by} on {host} wrote it to {} at {}, to go on elsewhere",
            moved.to,
            amount::time(moved.at)
        );
        return screen.line(&format!("\n{}  ({})", screen.paint().of(Tone::Caution, &words), state.run));
    }
    match (holder, course) {
        (Some(holder), course @ (Course::UnderWay | Course::Waits(_))) => {
            let times = state.started_at.map(|at| amount::span(amount::between(at, now)));
            let since = times.map(|time| format!(", {time} after its start")).unwrap_or_default();
            let run = &state.run;
            screen.line(&format!("\n{}{since}  ({run})\n  held by {holder}", capital(&course.words(state))));
            open(screen, state, now);
        }
        (holder, _) => {
            if let Some(words) = incident::overdue(state) {
                screen.line(&format!("\n{}", screen.paint().of(Tone::Bad, &words)));
            }
            let directory = store.directory(&state.run);
            let report = Some(directory.join("report.md")).filter(|path| path.is_file());
            let last = stored.records.last().map_or(now, |record| record.at);
            screen.text(&terminal::summary(
                screen,
                state,
                &Places { report, directory },
                Times { last, now },
            ));
            if let Some(holder) = holder {
                screen.line(&format!("  {holder} still delivers its notifications; any command may take it"));
            }
        }
    }
    let untold = telling::untold(state);
    if !untold.is_empty() {
        let words = match state.phase {
            Phase::Finished => {
                let command = screen.command(&format!("runplan resume {}", state.run));
                format!("Not told yet; it is told by {command}")
            }
            Phase::Forward | Phase::Backward => {
                "Not told yet; whoever takes the run up tries again:".to_owned()
            }
        };
        screen.line(&format!("\n{}", screen.paint().of(Tone::Caution, &words)));
        untold.iter().for_each(|line| screen.line(&format!("  {line}")));
    }
}

/// What its process waits for, and what is closed meanwhile.
fn open(screen: &Screen, state: &State, now: Timestamp) {
    let asked = terminal::asked(screen, state, now);
    let doubts = terminal::doubts(screen, state);
    for block in asked.iter().chain(&doubts) {
        let lines: Vec<String> = block.lines().map(|line| format!("  {line}")).collect();
        screen.line(&format!("\n{}", lines.join("\n")));
    }
    for window in report::windows(state).into_iter().filter(|window| window.closed_at.is_none()) {
        let time = amount::span(amount::between(window.opened_at, now));
        let words = format!("CLOSED to traffic for {time} so far (window {})", window.window);
        screen.line(&format!("\n  {}", screen.paint().of(Tone::Caution, &words)));
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn as_json(state: &State, holder: Option<&Holder>, me: Option<&str>) -> Value {
    let steps: Vec<Value> = state
        .entries()
        .map(|(id, entry)| {
            let kind = state.shape.flow.step(id.as_str()).map(|step| step.action.kind().word());
            let elapsed = match (entry.started_at, entry.finished_at) {
                (Some(start), Some(end)) => Some(amount::between(start, end)),
                _ => None,
            };
            json!({
                "id": id.as_str(),
                "kind": kind,
                "state": entry.state.word(),
                "attempts": entry.attempts,
                "started_at": entry.started_at.map(|at| at.to_string()),
                "finished_at": entry.finished_at.map(|at| at.to_string()),
                "elapsed_ms": elapsed,
                "outputs": entry.outputs,
                "evidence": entry.evidence,
                "failure": entry.failure.as_ref().filter(|_| entry.state.word().ends_with("failed")),
            })
        })
        .collect();
    let started = state.started.as_deref();
    let now = clock::now();
    let course = Course::of(state, holder.is_some(), now, me);
    json!({
        "format": 1,
        "run": state.run.as_str(),
        "plan": state.shape.plan.name.value.as_str(),
        "digest": started.map(|started| started.digest.clone()),
        "phase": state.phase.word(),
        "moved": state.moved.as_ref().map(|moved| json!({
            "to": moved.to, "by": moved.by.name, "host": moved.by.host, "at": moved.at.to_string(),
        })),
        "parked": standing(state, now, me).map(|standing| standing.as_json()),
        "state": course.words(state),
        "command": course.command(&state.run),
        "asked": asked(state, now, me),
        "untold": telling::untold(state),
        "result": state.result.map(Finish::word),
        "started_at": state.started_at.map(|at| at.to_string()),
        "finished_at": state.finished_at.map(|at| at.to_string()),
        "held_by": holder.map(ToString::to_string),
        "downtime": downtime(state, now),
        "kept": report::kept(state),
        "overdue": incident::overdue(state),
        "warnings": state.warnings,
        "head": state.head,
        "steps": steps,
    })
}

/// What waits for people: who may decide, and until when.
fn asked(state: &State, now: Timestamp, me: Option<&str>) -> Vec<Value> {
    let one = |step: &StepId| {
        let entry = state.entry(step)?;
        let ask = entry.ask.as_ref()?;
        let is_expired = expired_at(state, step, now).is_some();
        let Answers { whose, yes, .. } = answers(state, step, me);
        let (whose, command) = match is_expired {
            true => (None, format!("runplan resume {}", state.run)),
            false => (whose, yes),
        };
        Some(json!({
            "step": step.as_str(),
            "question": ask.message,
            "who": awaited(state, step),
            "count": ask.count,
            "approved": entry.decisions.iter().filter(|decision| decision.approved).count(),
            "expires_at": ask.expires_at.map(|at| at.to_string()),
            "expired": is_expired,
            "whose": whose,
            "command": command,
        }))
    };
    state.awaiting().filter_map(one).collect()
}

/// The stretches without traffic; the clock of an open one runs until now.
fn downtime(state: &State, now: Timestamp) -> Vec<Value> {
    let one = |window: report::Downtime| {
        let elapsed = amount::between(window.opened_at, window.closed_at.unwrap_or(now));
        json!({
            "in_doubt": window.in_doubt,
            "window": window.window, "opened_at": window.opened_at, "closed_at": window.closed_at,
            "elapsed_ms": elapsed,
        })
    };
    report::windows(state).into_iter().map(one).collect()
}
