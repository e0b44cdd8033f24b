//! The lines at the bottom of a live terminal, which are drawn over: how the run stands, and below it the question that is
//! open, with what is typed as the last line. What is printed goes above them. When the terminal changes its size all of it
//! is drawn anew: what a terminal makes of the old lines differs from one to the other.

use super::cells::rows_of;
use super::posed::Posed;
use super::screen::{Screen, Size};
use super::tame::tame;
use super::typing::Typing;
use crate::clock::Stopwatch;
use crate::plan::StepId;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Between two frames, however much happens.
const APART: Duration = Duration::from_millis(50);
/// Lines that are printed again after a change of the size.
const RECENT: usize = 100;

pub struct Board {
    screen: Screen,
    inner: Mutex<Inner>,
}

/// How much of a screen there is for how the run stands.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub columns: usize,
    pub rows: usize,
    /// A question stands below.
    pub asked: bool,
}

#[derive(Default)]
struct Inner {
    /// How the run stands, as it was drawn last.
    block: Vec<String>,
    question: Option<Posed>,
    /// What was printed last, as long as nothing else was.
    recent: VecDeque<String>,
    /// For which size, when.
    drawn: Option<(Size, Stopwatch)>,
    /// In which row of what is drawn the cursor stands.
    cursor: usize,
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
        if inner.drawn.is_none() {
            return self.screen.line(&text);
        }
        let above = format!("{}{text}\n", inner.wipe());
        self.paint(&mut inner, above);
    }

    /// Draws how the run stands in the place of what was drawn before.
    pub fn draw(&self, lines: &dyn Fn(Room) -> Vec<String>) {
        let mut inner = self.lock();
        let size = Size::of_terminal();
        let mut above = String::new();
        if let Some((before, drawn)) = &inner.drawn {
            match *before == size {
                true if drawn.elapsed() < APART => return,
                true => {}
                false => above = inner.start_over(size),
            }
        }
        let below = match &inner.question {
            Some(question) => {
                let block = lines(Room { columns: columns(size), rows: least(size), asked: true });
                let most = rows(size).saturating_sub(height(&block, size));
                question.draw(columns(size), most, self.screen.paint()).lines.len()
            }
            None => 1,
        };
        let room = rows(size).saturating_sub(below);
        inner.block = lines(Room { columns: columns(size), rows: room, asked: inner.question.is_some() });
        above.push_str(&inner.wipe());
        inner.drawn = Some((size, Stopwatch::start()));
        self.paint(&mut inner, above);
    }

    /// A question stands below from now on; what was typed to an earlier form of it is in it.
    pub fn pose(&self, question: Posed) {
        let mut inner = self.lock();
        let size = Size::of_terminal();
        let most = inner.most_of_question(size);
        let known = inner.question.as_ref().is_some_and(|before| {
            (&before.step, &before.title, &before.lines) == (&question.step, &question.title, &question.lines)
        });
        let mut above = inner.wipe();
        if !known && !question.fits(columns(size), most) {
            // All of it is read once, above.
            for line in std::iter::once(&question.title).chain(&question.lines) {
                let line = tame(line);
                inner.remember(&line);
                above.push_str(&format!("{line}\n"));
            }
        }
        inner.question = Some(question);
        inner.drawn = Some((size, Stopwatch::start()));
        self.paint(&mut inner, above);
    }

    /// What is typed is another line now.
    pub fn typed(&self, step: &StepId, typing: &Typing) {
        let mut inner = self.lock();
        let Some(question) = inner.question.as_mut().filter(|question| question.step == *step) else {
            return;
        };
        question.typing = typing.clone();
        if inner.drawn.is_some() {
            let above = inner.wipe();
            self.paint(&mut inner, above);
        }
    }

    /// The question does not stand any more.
    pub fn unpose(&self, step: &StepId) {
        let mut inner = self.lock();
        if inner.question.as_ref().is_some_and(|question| question.step == *step) {
            let above = inner.wipe();
            inner.question = None;
            if inner.drawn.is_some() {
                self.paint(&mut inner, above);
            }
        }
    }

    /// What moves goes away.
    pub fn clear(&self) {
        let mut inner = self.lock();
        let above = inner.wipe();
        inner.drawn = None;
        inner.block.clear();
        self.screen.draw_over(&above);
    }

    /// What moves, below `above`.
    fn paint(&self, inner: &mut Inner, mut above: String) {
        let Some((size, _)) = inner.drawn else { return };
        let columns = columns(size);
        let room = rows(size);
        let (below, cursor) = match &inner.question {
            Some(question) => {
                let most = inner.most_of_question(size);
                let drawn = question.draw(columns, most, self.screen.paint());
                (drawn.lines, drawn.cursor)
            }
            // The cursor rests on a line of its own.
            None => (vec![String::new()], 0),
        };
        let mut left = room.saturating_sub(below.len());
        let mut rows = below.len();
        for line in &inner.block {
            let height = rows_of(line, size.columns);
            let Some(rest) = left.checked_sub(height) else { break };
            left = rest;
            rows += height;
            above.push_str(line);
            above.push('\n');
        }
        above.push_str(&below.join("\n"));
        above.push_str(&format!("\r{}", right(cursor)));
        inner.cursor = rows.saturating_sub(1);
        self.screen.draw_over(&above);
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

    /// An empty screen but for what was printed last, as much of it as a screen holds.
    fn start_over(&mut self, size: Size) -> String {
        self.drawn = None;
        self.cursor = 0;
        let skipped = self.recent.len().saturating_sub(size.rows);
        let lines: String = self.recent.iter().skip(skipped).map(|line| format!("{line}\n")).collect();
        format!("\u{1b}[H\u{1b}[2J{lines}")
    }

    fn most_of_question(&self, size: Size) -> usize {
        rows(size).saturating_sub(least(size).min(height(&self.block, size)))
    }

    /// What takes away what is drawn.
    fn wipe(&mut self) -> String {
        let rows = std::mem::take(&mut self.cursor);
        match (&self.drawn, rows) {
            (None, _) => String::new(),
            (Some(_), 0) => "\r\u{1b}[J".to_owned(),
            (Some(_), rows) => format!("\r\u{1b}[{rows}A\u{1b}[J"),
        }
    }
}

/// The last column stays free: there terminals differ.
fn columns(size: Size) -> usize {
    size.columns.saturating_sub(1).max(1)
}

/// One line is left for what was printed last.
fn rows(size: Size) -> usize {
    size.rows.saturating_sub(1).max(1)
}

/// However long a question is, so much of how the run stands is seen.
fn least(size: Size) -> usize {
    rows(size) / 3
}

/// How many rows the lines take.
fn height(lines: &[String], size: Size) -> usize {
    lines.iter().map(|line| rows_of(line, size.columns)).sum()
}

fn right(columns: usize) -> String {
    if columns == 0 { String::new() } else { format!("\u{1b}[{columns}C") }
}
