//! A line an event, never drawn over: for logs, pipes and screen readers.

use super::line::Lines;
use super::live::open_now;
use super::paint::Tone;
use super::paper::Paper;
use super::screen::Screen;
use super::waiting::Waiting;
use crate::clock::{self, Stopwatch};
use crate::plan::StepId;
use crate::plan::action::notify::Level;
use crate::report::{self, Mark, amount};
use crate::run::{Record, State};
use crate::steps::{Progress, Unit};
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Long work says how far it is this often.
const EVERY: Duration = Duration::from_secs(30);

/// Tells what happens, line by line.
pub struct Plain {
    screen: Screen,
    paper: Arc<Paper>,
    lines: Lines,
    told: HashMap<StepId, Stopwatch>,
    waiting: Waiting,
    /// Windows that are known to be open, and since when.
    open: HashSet<(String, Timestamp)>,
}

impl Plain {
    pub fn new(paper: Arc<Paper>, screen: Screen, state: &State) -> Self {
        let lines = Lines::new(&screen, state);
        let open = open_now(state);
        Self { screen, paper, lines, told: HashMap::new(), waiting: Waiting::default(), open }
    }

    pub fn recorded(&mut self, record: &Record, state: &State) {
        let told = report::tell(record, state);
        if is_wanted(&self.screen, &told) {
            self.paper.print(&self.lines.of(record.at, &told));
        }
        if let Some(step) = record.event.step() {
            self.told.remove(step);
        }
        if self.screen.spoken {
            self.tell_of_windows(record, state);
        }
    }

    /// What a live view shows by its clock.
    fn tell_of_windows(&mut self, record: &Record, state: &State) {
        for window in report::windows(state) {
            let name = &window.window;
            let text = match window.closed_at {
                None if self.open.insert((name.clone(), window.opened_at)) => {
                    format!("the application is closed to traffic (window {name})")
                }
                Some(closed) if self.open.remove(&(name.clone(), window.opened_at)) => {
                    let time = amount::span(amount::between(window.opened_at, closed));
                    format!("the application is open to traffic again after {time} (window {name})")
                }
                _ => continue,
            };
            self.paper.print(&self.lines.one(record.at, Tone::Caution, "run", &text));
        }
    }

    /// Its process has died.
    pub fn orphan(&self, state: &State) {
        let command = self.screen.command(&format!("runplan resume {}", state.run));
        let text = format!("its process has died; next: {command}");
        self.paper.print(&self.lines.one(clock::now(), Tone::Bad, "run", &text));
    }

    pub fn progress(&mut self, step: &StepId, progress: &Progress) {
        let last = self.told.entry(step.clone()).or_insert_with(Stopwatch::start);
        if last.elapsed() >= EVERY && !self.screen.quiet {
            *last = Stopwatch::start();
            let between = if progress.total.is_none() { ": " } else { " " };
            let text = format!("{}{between}{}", progress.doing, how_far(progress));
            self.paper.print(&self.lines.one(clock::now(), Tone::Plain, step.as_str(), &text));
        }
    }

    /// Who is still waited for.
    pub fn idle(&mut self, state: &State) {
        let now = clock::now();
        for (step, text) in self.waiting.due(&self.screen, state, now) {
            self.paper.print(&self.lines.one(now, Tone::Caution, step.as_str(), &text));
        }
    }

    pub fn said(&mut self, step: &StepId, level: Level, message: &str) {
        self.paper.print(&said(&self.lines, step, level, message));
    }
}

/// A notification for the console.
pub fn said(lines: &Lines, step: &StepId, level: Level, message: &str) -> String {
    let tone = match level {
        Level::Info => Tone::Strong,
        Level::Warning => Tone::Caution,
        Level::Critical => Tone::Bad,
    };
    // A handler's name is made up; it says nothing to people.
    let subject = if step.as_str().contains("_handler_") { "run" } else { step.as_str() };
    let mark = if lines.is_spoken() { "says:" } else { "»" };
    lines.one(clock::now(), tone, subject, &format!("{mark} {message}"))
}

/// Whether a line is for this reader.
pub fn is_wanted(screen: &Screen, told: &report::Told) -> bool {
    match screen.quiet {
        true => matches!(told.mark, Mark::Failed | Mark::Caution | Mark::Waiting),
        false => !told.minor || screen.verbose > 0,
    }
}

/// `1.2 GB of about 4.0 GB (30 %)`
pub fn how_far(progress: &Progress) -> String {
    let amount = |count: u64| match progress.unit {
        Unit::Bytes => amount::bytes(count),
        Unit::Items => count.to_string(),
        Unit::Time => amount::span(count),
    };
    match progress.total.filter(|total| *total > 0) {
        None => amount(progress.done),
        Some(total) => {
            let percent = (progress.done.min(total) as f64 / total as f64 * 100.0).floor();
            format!("{} of {} ({percent} %)", amount(progress.done), amount(total))
        }
    }
}
