//! Where lines are only added, who is waited for is said again while nothing else happens, so that a log that is silent is
//! not taken for one that works. Must never say so of what is decided, nor where the question stands before its reader.

use super::asked::agreed;
use super::screen::Screen;
use crate::plan::StepId;
use crate::report::amount::{between, span};
use crate::run::{State, answers, awaited, expired_at};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;

/// Who is waited for is said this often.
const EVERY: SignedDuration = SignedDuration::from_mins(5);

/// When it was said last, by step.
#[derive(Default)]
pub struct Waiting(HashMap<StepId, Timestamp>);

impl Waiting {
    /// The lines that are due, each with the step that it is about.
    pub fn due(&mut self, screen: &Screen, state: &State, now: Timestamp) -> Vec<(StepId, String)> {
        self.0.retain(|step, _| state.awaiting().any(|id| id == step));
        let mut lines = Vec::new();
        for step in state.awaiting() {
            let Some(since) = state.entry(step).and_then(|entry| entry.attempt_at.or(entry.started_at))
            else {
                continue;
            };
            let last = self.0.entry(step.clone()).or_insert(since);
            if now.duration_since(*last) < EVERY || state.attended {
                continue;
            }
            *last = now;
            lines.extend(line(screen, state, step, since, now).map(|line| (step.clone(), line)));
        }
        lines
    }
}

fn line(screen: &Screen, state: &State, step: &StepId, since: Timestamp, now: Timestamp) -> Option<String> {
    let entry = state.entry(step)?;
    let ask = entry.ask.as_ref()?;
    let who = awaited(state, step).unwrap_or_else(|| "whoever reaches the state".to_owned());
    let time = |at: Timestamp| at.to_zoned(screen.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string();
    let until = ask.expires_at.filter(|_| expired_at(state, step, now).is_none());
    let until = until.map(|at| format!(", until {}, then it counts as no", time(at))).unwrap_or_default();
    Some(format!(
        "still waits for {who}, since {} ({}); {}{until}: {}",
        time(since),
        span(between(since, now)),
        agreed(entry, ask),
        screen.command(&answers(state, step, screen.me()).yes),
    ))
}
