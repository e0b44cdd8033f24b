//! The live view: a line for each running step, the clock of an open window, finished steps scrolled above.

use super::board::Board;
use super::line::Lines;
use super::plain::{how_far, is_wanted, said};
use super::screen::Screen;
use super::tame::tame;
use crate::clock;
use crate::drive::Stop;
use crate::plan::StepId;
use crate::plan::action::notify::Level;
use crate::report::{self, amount};
use crate::run::{Event, Record, State, StepState};
use crate::steps::{Progress, Unit};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(120);

pub struct Live {
    board: Arc<Board>,
    screen: Screen,
    lines: Lines,
    running: HashMap<StepId, ProgressBar>,
    windows: HashMap<String, ProgressBar>,
    total: ProgressBar,
    /// Counting them anew at each event would cost more with every step.
    done: HashSet<StepId>,
    /// How long steps took before, in milliseconds.
    estimates: HashMap<StepId, u64>,
}

impl Live {
    pub fn new(board: Arc<Board>, screen: &Screen, state: &State, estimates: HashMap<StepId, u64>) -> Self {
        let total = board.add(bar(style("  {msg}  {elapsed}")));
        if let Some(began) = state.started_at {
            total.set_elapsed(since(began));
        }
        let lines = Lines::new(screen, state);
        let mut live = Self {
            board,
            screen: screen.clone(),
            lines,
            running: HashMap::new(),
            windows: HashMap::new(),
            total,
            done: state.done().cloned().collect(),
            estimates,
        };
        live.count(state);
        live.watch_windows(state);
        live
    }

    pub fn recorded(&mut self, record: &Record, state: &State) {
        let told = report::tell(record, state);
        // What runs has a line of its own below.
        let started = matches!(record.event, Event::StepStarted { .. } | Event::UndoStarted { .. });
        if is_wanted(&self.screen, &told) && (!started || self.screen.verbose > 0) {
            self.board.print(&self.lines.of(record.at, &told));
        }
        if matches!(&record.event, Event::StopRequested { hard: false, reason } if reason == Stop::CTRL_C) {
            self.board.print("Ctrl-C again cancels what runs");
        }
        if let Some(step) = record.event.step() {
            self.follow(step, state);
            match state.entry(step).map(|entry| entry.state) {
                Some(StepState::Done) => drop(self.done.insert(step.clone())),
                _ => drop(self.done.remove(step)),
            }
            self.count(state);
            if state.shape.flow.made(step).is_some() {
                self.watch_windows(state);
            }
        }
        if matches!(record.event, Event::Parked { .. } | Event::RunFinished { .. }) {
            self.board.clear();
        }
    }

    /// A line for a step while it runs or waits for somebody.
    fn follow(&mut self, id: &StepId, state: &State) {
        let Some(entry) = state.entry(id) else { return };
        let shown = match entry.state {
            StepState::Running => Some("running"),
            StepState::Undoing => Some("undoing"),
            StepState::AwaitingApproval => Some("waits for an approval"),
            StepState::Waiting
            | StepState::Retrying { .. }
            | StepState::Done
            | StepState::Failed
            | StepState::Unknown
            | StepState::Skipped
            | StepState::Undone
            | StepState::UndoFailed => None,
        };
        let Some(doing) = shown else {
            if let Some(bar) = self.running.remove(id) {
                self.board.remove(&bar);
            }
            return;
        };
        if !self.running.contains_key(id) {
            let bar = self.board.insert_first(bar(style(&self.indeterminate())));
            bar.set_prefix(id.as_str().to_owned());
            if let Some(began) = entry.attempt_at {
                bar.set_elapsed(since(began));
            }
            self.running.insert(id.clone(), bar);
        }
        if let (Some(bar), Some(step)) = (self.running.get(id), state.shape.flow.step(id.as_str())) {
            let title = step.title.as_deref().map(|title| format!(": {}", tame(title))).unwrap_or_default();
            bar.set_message(match entry.state {
                StepState::Running => {
                    let before =
                        self.estimates.get(id).map(|ms| format!("  (before: {})", amount::span(*ms)));
                    format!("{}{title}{}", step.action.kind().word(), before.unwrap_or_default())
                }
                _ => doing.to_owned(),
            });
        }
    }

    pub fn progress(&mut self, step: &StepId, progress: &Progress) {
        let Some(bar) = self.running.get(step) else { return };
        match progress.total.filter(|total| *total > 0) {
            Some(total) if progress.unit == Unit::Bytes => {
                if bar.length() != Some(total) {
                    bar.set_style(style(&self.determinate()));
                    bar.set_length(total);
                }
                bar.set_position(progress.done.min(total));
                bar.set_message(progress.doing.clone());
            }
            _ => bar.set_message(format!("{} {}", progress.doing, how_far(progress))),
        }
    }

    pub fn said(&mut self, step: &StepId, level: Level, message: &str) {
        self.board.print(&said(&self.lines, step, level, message));
    }

    /// The downtime clock.
    fn watch_windows(&mut self, state: &State) {
        for window in report::windows(state) {
            match (window.closed_at, self.windows.contains_key(&window.window)) {
                (None, false) => {
                    let clock = if self.screen.paint().colour { "{elapsed:.yellow}" } else { "{elapsed}" };
                    let bar = self.board.add(bar(style(&format!("  {{msg}} {clock}"))));
                    bar.set_message(format!("window {}: closed to traffic for", window.window));
                    bar.set_elapsed(since(window.opened_at));
                    self.windows.insert(window.window, bar);
                }
                (Some(closed), true) => {
                    if let Some(bar) = self.windows.remove(&window.window) {
                        self.board.remove(&bar);
                    }
                    let time = amount::span(amount::between(window.opened_at, closed));
                    self.board.print(&self.lines.one(
                        closed,
                        super::paint::Tone::Strong,
                        "run",
                        &format!("window {} open to traffic again after {time}", window.window),
                    ));
                }
                _ => {}
            }
        }
    }

    fn count(&self, state: &State) {
        let done = self.done.len();
        let is_open = |id: &StepId| match state.entry(id).map(|entry| entry.state) {
            Some(StepState::Skipped) => false,
            _ => !self.done.contains(id),
        };
        let left: u64 = self.estimates.iter().filter(|(id, _)| is_open(id)).map(|(_, ms)| ms).sum();
        let left = match left {
            0 => String::new(),
            left => format!(", about {} to go by earlier runs", amount::span(left)),
        };
        self.total.set_message(format!("{done} of {} steps done{left}", state.shape.flow.len()));
    }

    fn indeterminate(&self) -> String {
        let prefix = self.prefix();
        format!("{{spinner}} {prefix}  {{wide_msg}} {{elapsed}}")
    }

    fn determinate(&self) -> String {
        let prefix = self.prefix();
        format!(
            "{{spinner}} {prefix}  {{wide_msg}} {{bytes}}/{{total_bytes}} {{percent}}% eta {{eta}} {{elapsed}}"
        )
    }

    fn prefix(&self) -> String {
        let colour = if self.screen.paint().colour { ".cyan" } else { "" };
        format!("{{prefix:{}{colour}}}", self.lines.width())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.board.clear();
    }
}

fn bar(style: ProgressStyle) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_style(style);
    bar.enable_steady_tick(TICK);
    bar
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constant; a wrong one would show nothing but a spinner.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn since(at: clock::Timestamp) -> Duration {
    Duration::from_millis(amount::between(at, clock::now()))
}
