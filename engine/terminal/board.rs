//! The lines at the bottom of a live terminal, which are drawn over. While a question is open nothing is drawn, so that
//! what a person types stays readable.

use super::screen::Screen;
use super::tame::tame;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use std::sync::{Mutex, PoisonError};

/// Frames a second: enough to be seen moving.
const RATE: u8 = 10;

pub struct Board {
    screen: Screen,
    bars: MultiProgress,
    /// Questions that are open.
    asking: Mutex<usize>,
}

impl Board {
    /// None: this screen cannot be drawn over.
    pub fn new(screen: &Screen) -> Option<Self> {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(RATE));
        screen.live.then(|| Self { screen: screen.clone(), bars, asking: Mutex::default() })
    }

    /// A line that stays, above what moves.
    pub fn print(&self, text: &str) {
        let asking = self.lock();
        if *asking > 0 || self.bars.println(&*tame(text)).is_err() {
            self.screen.line(text);
        }
    }

    pub fn add(&self, bar: ProgressBar) -> ProgressBar {
        self.bars.add(bar)
    }

    pub fn insert_first(&self, bar: ProgressBar) -> ProgressBar {
        self.bars.insert(0, bar)
    }

    pub fn remove(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.bars.remove(bar);
    }

    /// Nothing is drawn from now on.
    pub fn pause(&self) {
        let mut asking = self.lock();
        *asking += 1;
        if *asking == 1 {
            let _ = self.bars.clear();
            self.bars.set_draw_target(ProgressDrawTarget::hidden());
        }
    }

    /// Drawing goes on when no question is open any more.
    pub fn go_on(&self) {
        let mut asking = self.lock();
        *asking = asking.saturating_sub(1);
        if *asking == 0 {
            self.bars.set_draw_target(ProgressDrawTarget::stdout_with_hz(RATE));
        }
    }

    pub fn clear(&self) {
        let _ = self.bars.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, usize> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
