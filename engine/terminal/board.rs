//! The lines at the bottom of a live terminal, which are drawn over. While a question is open nothing is drawn, so that
//! what a person types stays readable. When the terminal changes its size all of it is drawn anew: what a terminal makes
//! of the old lines differs from one to the other.

use super::screen::{Screen, Size};
use super::tame::tame;
use crate::clock::Stopwatch;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Frames a second: enough to be seen moving.
const RATE: u8 = 10;
/// Between two frames, however much happens.
const APART: Duration = Duration::from_millis(50);
/// Lines that are printed again after a change of the size.
const RECENT: usize = 100;

pub struct Board {
    screen: Screen,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Questions that are open.
    asking: usize,
    /// What was printed last, as long as nothing else was.
    recent: VecDeque<String>,
    /// What is drawn, for which size, when.
    bar: Option<(ProgressBar, Size, Stopwatch)>,
}

impl Board {
    /// None: this screen cannot be drawn over.
    pub fn new(screen: &Screen) -> Option<Self> {
        screen.live.then(|| Self { screen: screen.clone(), inner: Mutex::default() })
    }

    /// A line that stays, above what moves.
    pub fn print(&self, text: &str) {
        let mut inner = self.lock();
        let text = self.screen.placed(text);
        let text = tame(&text);
        inner.remember(&text);
        match &inner.bar {
            Some((bar, ..)) => bar.println(&*text),
            None => self.screen.line(&text),
        }
    }

    /// Draws what moves in the place of what was drawn before: lines for a terminal of this size.
    pub fn draw(&self, lines: &dyn Fn(Size) -> Vec<String>) {
        let mut inner = self.lock();
        if inner.asking > 0 {
            return;
        }
        let size = Size::of_terminal();
        if let Some((bar, before, drawn)) = &mut inner.bar {
            if *before == size {
                if drawn.elapsed() >= APART {
                    *drawn = Stopwatch::start();
                    bar.set_message(frame(&lines(size)));
                }
                return;
            }
            bar.finish_and_clear();
            self.screen.start_over(&inner.recent(size.rows));
        }
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_style(style);
        bar.set_message(frame(&lines(size)));
        bar.set_draw_target(ProgressDrawTarget::stdout_with_hz(RATE));
        bar.force_draw();
        inner.bar = Some((bar, size, Stopwatch::start()));
    }

    /// Nothing is drawn from now on.
    pub fn pause(&self) {
        let mut inner = self.lock();
        inner.asking += 1;
        inner.wipe();
    }

    /// Drawing goes on when no question is open any more.
    pub fn go_on(&self) {
        let mut inner = self.lock();
        inner.asking = inner.asking.saturating_sub(1);
        // What was asked and typed is not known here.
        inner.recent.clear();
    }

    /// What moves goes away.
    pub fn clear(&self) {
        self.lock().wipe();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remember(&mut self, text: &str) {
        self.recent.extend(text.lines().map(str::to_owned));
        while self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// As much of it as a screen holds.
    fn recent(&self, rows: usize) -> String {
        let skipped = self.recent.len().saturating_sub(rows);
        self.recent.iter().skip(skipped).map(|line| format!("{line}\n")).collect()
    }

    fn wipe(&mut self) {
        if let Some((bar, ..)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// The cursor rests on a line of its own, below.
fn frame(lines: &[String]) -> String {
    format!("{}\n ", lines.join("\n"))
}
