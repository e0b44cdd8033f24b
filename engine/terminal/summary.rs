//! The end of a run in words a newcomer understands: what was done, what is kept and how it goes away, how long the
//! application was closed, where the report is, what to type next.

use super::asked::asked;
use super::line::sentence;
use super::paint::Tone;
use super::screen::Screen;
use super::whole::folded;
use crate::plan::StepId;
use crate::report::{self, Kept, amount};
use crate::run::{Course, Finish, Phase, State, StepState, passed_over, standing};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Where things are.
#[derive(Debug, Clone)]
pub struct Places {
    /// The report, when it was written.
    pub report: Option<PathBuf>,
    /// The run's own directory.
    pub directory: PathBuf,
}

/// When something happened last, and now: a window that is open stays open while nothing happens.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub last: Timestamp,
    pub now: Timestamp,
}

/// Fewer columns than this leave no room for names and values side by side.
const NARROW: usize = 50;

/// The summary, for people.
pub fn summary(screen: &Screen, state: &State, places: &Places, times: Times) -> String {
    let paint = screen.paint();
    let (tone, headline) = headline(state, times);
    if screen.quiet {
        return format!("{headline}\n");
    }
    let mut text = String::from("\n");
    let headline = if screen.live { folded(&headline, screen.width, 2) } else { vec![headline] };
    headline.iter().for_each(|line| text.push_str(&format!("{}\n", paint.of(tone, line))));
    for (name, value) in rows(screen, state, places, times.now) {
        // Commands and paths stay whole, to be copied.
        let is_prose = matches!(name, "Plan" | "Steps" | "Trouble" | "Downtime" | "Call");
        if screen.spoken {
            text.push_str(&spoken(name, &value, is_prose));
            continue;
        }
        // On a narrow terminal the values stand below their names.
        let indent = if screen.live && screen.width < NARROW { 2 } else { 13 };
        let value = if is_prose && screen.live {
            folded(&screen.placed(&value), screen.width.saturating_sub(indent + 1), 2).join("\n")
        } else {
            value
        };
        if indent < 13 {
            text.push_str(&format!("{}\n", paint.of(Tone::Strong, name)));
            value.lines().for_each(|line| text.push_str(&format!("{:indent$}{line}\n", "")));
            continue;
        }
        let mut lines = value.lines();
        let first = lines.next().unwrap_or_default();
        text.push_str(&format!("  {}  {first}\n", paint.of(Tone::Strong, &format!("{name:9}"))));
        for line in lines {
            text.push_str(&format!("{:13}{line}\n", ""));
        }
    }
    text
}

/// For those who hear it.
fn spoken(name: &str, value: &str, is_prose: bool) -> String {
    let one = |line: &str| if is_prose { sentence(line.trim()) } else { line.trim().to_owned() };
    let lines: Vec<String> = value.lines().map(one).collect();
    format!("{name}: {}\n", lines.join("\n"))
}

fn headline(state: &State, Times { last, now }: Times) -> (Tone, String) {
    let end = state.finished_at.unwrap_or(last);
    let time = state.started_at.map(|began| format!(" after {}", amount::span(amount::between(began, end))));
    let run = &state.run;
    let course = Course::of(state, false, now, None);
    // When it died nobody knows: only when it last said something.
    let is_dead = matches!(course, Course::Interrupted | Course::Killed);
    let time = time.filter(|_| !is_dead).unwrap_or_default();
    let tone = match course {
        Course::Over(Finish::Done) => Tone::Good,
        Course::Over(Finish::Failed) => Tone::Bad,
        _ => Tone::Caution,
    };
    let words = course.words(state);
    let (head, rest) = words.split_once(": ").map_or((&*words, None), |(head, rest)| (head, Some(rest)));
    let head = match course {
        Course::Killed => "The rehearsal was killed".to_owned(),
        _ => capital(head),
    };
    let mut rest = rest.map(|rest| format!(": {rest}")).unwrap_or_default();
    if is_dead {
        let ago = amount::span(amount::between(last, now));
        rest.push_str(&format!("; its last line was written {ago} ago"));
    }
    (tone, format!("{head}{time}{rest}  ({run})"))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn rows(screen: &Screen, state: &State, places: &Places, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    rows.push(("Plan", plan(state)));
    rows.push(("Steps", steps(state)));
    if let Some(what) = troubles(state) {
        rows.push(("Trouble", what));
    }
    let asked = asked(screen, state, now);
    if state.result.is_none() && !asked.is_empty() {
        rows.push(("Asked", asked.join("\n")));
    }
    if let Some(closed) = downtime(state, now) {
        rows.push(("Downtime", closed));
    }
    let kept = report::kept(state);
    if is_killed_rehearsal(state) {
        rows.push((
            "Left",
            "what it made until it was killed: its throw-away server, databases and backups".to_owned(),
        ));
    } else if state.started.as_ref().is_some_and(|started| started.rehearsal) {
        rows.push(("Kept", "nothing: the throw-away server, its databases and backups are gone".to_owned()));
    } else if !kept.is_empty() {
        rows.push(("Kept", kept.iter().map(|kept| one_kept(screen, kept)).collect::<Vec<_>>().join("\n")));
    }
    if state.result != Some(Finish::Done)
        && let Some(contacts) = contacts(state)
    {
        rows.push(("Call", contacts));
    }
    if let Some(report) = &places.report {
        rows.push(("Report", report.display().to_string()));
    }
    let logs = screen.command(&format!("runplan logs {}", state.run));
    rows.push(("Logs", format!("{logs}\nfiles in {}", places.directory.display())));
    rows.push(("Next", next(screen, state, now)));
    rows
}

fn plan(state: &State) -> String {
    let plan = &state.shape.plan;
    let title = plan.title.as_deref().unwrap_or(plan.name.value.as_str());
    let rehearsed = state.started.as_ref().is_some_and(|started| started.rehearsal);
    let kind =
        if rehearsed { "  (a rehearsal on a throw-away server: nothing real was touched)" } else { "" };
    format!("{title}{kind}")
}

/// `9 done, 1 skipped (scope)`
fn steps(state: &State) -> String {
    let mut parts: Vec<(&str, Vec<&StepId>)> = Vec::new();
    for (id, entry) in state.entries() {
        let word = match entry.state {
            StepState::Waiting if entry.attempts > 0 => "begun, and not done",
            stands => word(id, stands, state),
        };
        match parts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, ids)) => ids.push(id),
            None => parts.push((word, vec![id])),
        }
    }
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(word, ids)| {
            let names: Vec<&str> = ids.iter().take(6).map(|id| id.as_str()).collect();
            let more = if ids.len() > 6 { ", …" } else { "" };
            match word {
                "done" => format!("{} done", ids.len()),
                _ => format!("{} {word} ({}{more})", ids.len(), names.join(", ")),
            }
        })
        .collect();
    parts.join(", ")
}

/// What became of a step, for people.
fn word(id: &StepId, stands: StepState, state: &State) -> &'static str {
    match stands {
        StepState::Done => "done",
        StepState::Undone => "undone",
        StepState::Skipped => "skipped",
        StepState::Failed => "failed",
        StepState::UndoFailed => "not undone",
        StepState::Left if passed_over(state).any(|passed| passed == id) => "skipped in the undo",
        StepState::Left => "kept",
        StepState::Unknown => "of unknown outcome",
        StepState::AwaitingApproval => "waiting for an approval",
        // Whoever reads a summary reads of a run that no process drives.
        StepState::Running | StepState::Undoing => "interrupted",
        StepState::Retrying { .. } => "to be tried again",
        StepState::Waiting => "not begun",
    }
}

fn troubles(state: &State) -> Option<String> {
    let mut lines = Vec::new();
    for (id, entry) in state.entries() {
        match entry.state {
            StepState::Failed | StepState::UndoFailed => {
                let Some(failure) = &entry.failure else { continue };
                lines.push(format!("{id}: {}", failure.message.lines().next().unwrap_or_default()));
                lines.extend(failure.help.iter().map(|help| format!("  {help}")));
            }
            StepState::Unknown => {
                let Some(evidence) = &entry.evidence else { continue };
                lines.push(format!("{id}: {}", evidence.message));
                lines.extend(evidence.facts.iter().map(|fact| format!("  - {fact}")));
            }
            _ => {}
        }
    }
    lines.extend(state.warnings.iter().map(|warning| format!("warning: {warning}")));
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn downtime(state: &State, now: Timestamp) -> Option<String> {
    let mut lines: Vec<String> = report::windows(state)
        .into_iter()
        .map(|window| match window.closed_at {
            _ if window.in_doubt => {
                let time = amount::span(amount::between(window.opened_at, window.closed_at.unwrap_or(now)));
                let until = if window.closed_at.is_some() { "until then" } else { "so far at most" };
                format!("{time} {until}: {}", window.shut().unwrap_or_default())
            }
            Some(closed) => {
                let time = amount::span(amount::between(window.opened_at, closed));
                format!("{time} (window {})", window.window)
            }
            None => {
                let time = amount::span(amount::between(window.opened_at, now));
                format!(
                    "{time} so far: window {} is still open, the application is CLOSED to traffic",
                    window.window
                )
            }
        })
        .collect();
    for (step, ms) in report::swaps(state) {
        lines.push(format!("{} of it without a database ({step})", amount::span(ms)));
    }
    for (step, database) in report::frozen(state) {
        lines.push(format!(
            "database {database} is still frozen ({step}): read-only, but for who sets that aside"
        ));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn one_kept(screen: &Screen, kept: &Kept) -> String {
    let size = kept.bytes.map(|bytes| format!(", {}", amount::bytes(bytes))).unwrap_or_default();
    let until = kept.until.map(|until| {
        let day = until.to_zoned(screen.zone.clone()).strftime("%Y-%m-%d").to_string();
        format!(", at least until {day}")
    });
    let until = until.unwrap_or_default();
    format!("{} {}{size}{until}\n  to remove it: {}", kept.kind.word(), kept.name, kept.remove)
}

fn contacts(state: &State) -> Option<String> {
    let site = state.shape.site.as_ref()?;
    let lines: Vec<String> =
        site.contacts.iter().map(|(_, contact)| format!("{}: {}", contact.name, contact.call)).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn next(screen: &Screen, state: &State, now: Timestamp) -> String {
    let run = &state.run;
    let typed = |verb: &str| screen.command(&format!("runplan {verb} {run}"));
    let rehearsal = state.started.as_ref().is_some_and(|started| started.rehearsal);
    match (standing(state, now, screen.me()), state.result) {
        (None, None) if rehearsal => {
            "the next `runplan rehearse`, of any plan, removes what is left; this one cannot go on".to_owned()
        }
        (Some(_), _) if rehearsal => {
            format!("{}\nshows what happened; mend the plan and rehearse again", typed("logs"))
        }
        (Some(why), _) => {
            let back = match state.phase {
                Phase::Forward if state.done().next().is_some() => {
                    format!("\nor go back: {}", typed("undo"))
                }
                Phase::Forward if state.failed().next().is_some() => {
                    format!("\nor end it, and let go of its targets: {}", typed("undo"))
                }
                _ => String::new(),
            };
            let others: String =
                why.others.iter().map(|other| format!("\nor: {}", screen.command(other))).collect();
            format!("{}{others}{back}", screen.command(&why.typed()))
        }
        (None, Some(Finish::Failed)) if is_shut(state) => {
            format!("{}\nopens again what is closed", typed("undo"))
        }
        // Undone as far as was asked.
        (None, Some(Finish::Undone)) if state.done().next().is_some() => {
            let done: Vec<&str> = state.done().map(StepId::as_str).collect();
            let still = format!("still done: {}", done.join(", "));
            format!("{}\ngoes on; {still}\nor leave it there: {}", typed("undo"), typed("report"))
        }
        (None, Some(_)) => format!("{}\nshows everything, for the post-mortem", typed("report")),
        (None, None) => format!("{}\n{}", typed("resume"), resumed(state)),
    }
}

/// What becomes of an interrupted run, and that nothing does by itself.
fn resumed(state: &State) -> String {
    let open: Vec<&str> = state.running().map(StepId::as_str).collect();
    let onward = match state.phase {
        Phase::Backward => "goes on with the undo",
        Phase::Forward | Phase::Finished => "goes on",
    };
    match open.is_empty() {
        true => format!("{onward}; until then nobody works on it"),
        false => format!(
            "finds out what became of {}, then {onward}; until then nobody works on it",
            open.join(", ")
        ),
    }
}

/// A rehearsal is ended by its own process, whatever it came to; this one had no time to.
fn is_killed_rehearsal(state: &State) -> bool {
    let rehearsal = state.started.as_ref().is_some_and(|started| started.rehearsal);
    rehearsal && state.result.is_none() && state.parked.is_none()
}

/// Whether something is still closed to the application.
fn is_shut(state: &State) -> bool {
    !report::frozen(state).is_empty() || report::windows(state).iter().any(|window| window.shut().is_some())
}

/// The last line of a run's output for programs.
pub fn summary_json(screen: &Screen, state: &State, exit: u8, now: Timestamp) -> Value {
    let failed = state.failed().next().or_else(|| state.unknown().next());
    json!({
        "format": 1,
        "kind": "summary",
        "run": state.run.as_str(),
        "phase": state.phase.word(),
        "result": state.result.map(Finish::word),
        "exit": exit,
        "not_undone": passed_over(state).map(StepId::as_str).collect::<Vec<_>>(),
        "failed_step": failed.map(StepId::as_str),
        "parked": standing(state, now, screen.me()).map(|standing| standing.as_json()),
    })
}
