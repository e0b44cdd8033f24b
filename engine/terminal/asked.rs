//! What people are asked in a run, for whoever looks at it from elsewhere: the question, who may decide, until when, and the
//! commands that answer. Must never call anything open whose time is up.

use super::screen::Screen;
use crate::plan::StepId;
use crate::report::amount::{between, span};
use crate::run::{Answers, Ask, Entry, Phase, State, Why, answers, awaited, expired_at};
use jiff::Timestamp;

/// A block of lines for each question that is open, the first line without an indent.
pub fn asked(screen: &Screen, state: &State, now: Timestamp) -> Vec<String> {
    // On the way back nobody waits for the answer any more.
    let awaiting = state.awaiting().filter(|_| state.phase == Phase::Forward);
    let one = |step: &StepId| {
        let entry = state.entry(step)?;
        Some(question(screen, state, step, entry, entry.ask.as_ref()?, now))
    };
    awaiting.filter_map(one).collect()
}

/// The same for what nobody knows, when a process waits for the answer.
pub fn doubts(screen: &Screen, state: &State) -> Vec<String> {
    let one = |step: &StepId| {
        let evidence = state.entry(step)?.evidence.as_ref()?;
        let mut lines = vec![format!("{step}: it is not known whether it took effect: {}", evidence.message)];
        lines.extend(evidence.facts.iter().map(|fact| format!("  - {fact}")));
        let others = Why::Unknown { step: step.clone() }.others(&state.run);
        lines.extend(others.into_iter().map(|command| format!("  {}", screen.command(&command))));
        Some(lines.join("\n"))
    };
    state.unknown().filter_map(one).collect()
}

/// `1 of 2 agreed (ann)`
pub fn agreed(entry: &Entry, ask: &Ask) -> String {
    let given = entry.decisions.iter().filter(|decision| decision.approved);
    let names: Vec<&str> = given.map(|decision| decision.by.as_str()).collect();
    let whose = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    format!("{} of {} agreed{whose}", names.len(), ask.count.max(1))
}

fn question(
    screen: &Screen,
    state: &State,
    step: &StepId,
    entry: &Entry,
    ask: &Ask,
    now: Timestamp,
) -> String {
    let run = &state.run;
    let mut words = ask.message.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let mut lines = vec![format!("{step}: {}", words.next().unwrap_or_default())];
    lines.extend(words.map(|line| format!("  {line}")));
    let who = awaited(state, step).unwrap_or_else(|| "whoever reaches the state".to_owned());
    lines.push(format!("  who: {who}; {}", agreed(entry, ask)));
    let time = |at: Timestamp| at.to_zoned(screen.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string();
    if let Some(since) = expired_at(state, step, now) {
        let ago = span(between(since, now));
        lines
            .push(format!("  EXPIRED {ago} ago, at {}: that counts as no; a resume asks again", time(since)));
        lines.push(format!("  {}", screen.command(&format!("runplan resume {run}"))));
        return lines.join("\n");
    }
    let until = ask
        .expires_at
        .map(|at| format!("  until: {}, in {}; then it counts as no", time(at), span(between(now, at))));
    lines.push(until.unwrap_or_else(|| "  until: no limit".to_owned()));
    let Answers { whose, yes, ways, no } = answers(state, step, screen.me());
    lines.extend(whose.map(|whose| format!("  {whose}:")));
    lines.push(format!("  yes: {}", screen.command(&yes)));
    lines.extend(ways.iter().map(|way| format!("  or: {}", screen.command(way))));
    lines.push(format!("  no: {}", screen.command(&no)));
    lines.join("\n")
}
