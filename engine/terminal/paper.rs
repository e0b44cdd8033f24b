//! Where lines are only added: what is printed while somebody types never stands on the line that is typed, and the question
//! comes again when it has gone out of sight. Must never draw over anything.

use super::posed::Posed;
use super::screen::{Screen, Size};
use super::typing::Typing;
use crate::clock::Stopwatch;
use crate::plan::StepId;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// After something else was printed a question comes again after this time, however little it was.
const AGAIN: Duration = Duration::from_secs(60);

pub struct Paper {
    screen: Screen,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    question: Option<Posed>,
    /// What of the answer stands on the last line.
    echoed: String,
    /// Since the question was printed last: rows of other text, and the time.
    since: usize,
    asked: Option<Stopwatch>,
}

impl Paper {
    pub fn new(screen: &Screen) -> Self {
        Self { screen: screen.clone(), inner: Mutex::default() }
    }

    /// A line of its own, or several.
    pub fn print(&self, text: &str) {
        let mut inner = self.lock();
        self.leave(&mut inner);
        self.screen.line(text);
        let columns = self.screen.width.max(1);
        inner.since += text.lines().map(|line| line.chars().count() / columns + 1).sum::<usize>().max(1);
        if inner.question.is_some() && inner.since >= Size::of_terminal().rows {
            self.tell(&mut inner);
        }
        self.echo(&mut inner);
    }

    /// Asks. The same question with another remark is not told again as a whole.
    pub fn pose(&self, question: Posed) {
        let mut inner = self.lock();
        self.leave(&mut inner);
        let known = inner.question.as_ref().is_some_and(|before| {
            (&before.step, &before.title, &before.lines) == (&question.step, &question.title, &question.lines)
        });
        inner.question = Some(question);
        match known {
            true => self.tell_end(&inner),
            false => self.tell(&mut inner),
        }
        self.echo(&mut inner);
    }

    /// What was typed is another line now.
    pub fn typed(&self, step: &StepId, typing: &Typing) {
        let mut inner = self.lock();
        let Some(question) = inner.question.as_mut().filter(|question| question.step == *step) else {
            return;
        };
        question.typing = typing.clone();
        self.echo(&mut inner);
    }

    /// The line is typed; what is printed next stands below it.
    pub fn entered(&self) {
        let mut inner = self.lock();
        if let Some(question) = &mut inner.question {
            question.typing = Typing::default();
        }
        self.screen.draw("\n");
        inner.echoed.clear();
    }

    pub fn unpose(&self, step: &StepId) {
        let mut inner = self.lock();
        if inner.question.as_ref().is_some_and(|question| question.step == *step) {
            self.leave(&mut inner);
            inner.question = None;
        }
    }

    /// Time passes: a question that others' lines have pushed away comes again.
    pub fn tick(&self) {
        let mut inner = self.lock();
        let is_due = inner.since > 0 && inner.asked.is_some_and(|asked| asked.elapsed() >= AGAIN);
        if inner.question.is_some() && is_due {
            self.leave(&mut inner);
            self.tell(&mut inner);
            self.echo(&mut inner);
        }
    }

    fn tell(&self, inner: &mut Inner) {
        let Some(question) = &inner.question else { return };
        self.screen.line("");
        std::iter::once(&question.title).chain(&question.lines).for_each(|line| self.screen.line(line));
        self.tell_end(inner);
        inner.since = 0;
        inner.asked = Some(Stopwatch::start());
    }

    fn tell_end(&self, inner: &Inner) {
        let Some(question) = &inner.question else { return };
        question.remark.iter().for_each(|remark| self.screen.line(remark));
        self.screen.line(&question.ask);
    }

    /// The next line begins at the margin.
    fn leave(&self, inner: &mut Inner) {
        if !std::mem::take(&mut inner.echoed).is_empty() {
            self.screen.draw("\n");
        }
    }

    /// What is typed, on the last line: what is new of it alone, where it only grew or shrank at its end.
    fn echo(&self, inner: &mut Inner) {
        let Some(question) = &inner.question else { return };
        let text = question.typing.text();
        let (old, new) = (&inner.echoed, &text);
        match (new.strip_prefix(old.as_str()), old.strip_prefix(new.as_str())) {
            (Some(more), _) => self.screen.text(more),
            (None, Some(less)) if less.is_ascii() => self.screen.draw(&"\u{8} \u{8}".repeat(less.len())),
            _ => {
                self.screen.draw("\n");
                self.screen.text(&text);
            }
        }
        inner.echoed = text;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
