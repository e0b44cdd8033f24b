//! A question as it stands on a screen: all of it where there is room, else its beginning and how to see the rest; below it
//! the line that is typed. Pure. Must never hide what is typed, nor how to answer.

use super::cells::{Cells, wrapped};
use super::paint::{Paint, Tone};
use super::typing::{Shown, Typing};
use crate::plan::StepId;

/// Before what is typed.
const MARK: &str = "> ";

/// A question that stands open.
#[derive(Debug, Clone)]
pub struct Posed {
    pub step: StepId,
    /// What it is about, in a line.
    pub title: String,
    /// All that is needed to decide it.
    pub lines: Vec<String>,
    /// How to answer.
    pub ask: String,
    /// What was wrong with the last answer.
    pub remark: Option<String>,
    pub typing: Typing,
}

/// Lines for the bottom of a screen, and where in the last one the cursor stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    pub lines: Vec<String>,
    pub cursor: usize,
}

impl Posed {
    /// At most so many lines of so many cells.
    pub fn draw(&self, columns: usize, rows: usize, paint: Paint) -> Drawn {
        let columns = columns.max(1);
        let rows = rows.max(1);
        let mut end = broken(Tone::Busy, &self.ask, columns);
        if let Some(remark) = &self.remark {
            end.extend(broken(Tone::Bad, remark, columns));
        }
        // How to answer is worth more than what was wrong, and that more than the question's last lines.
        end.truncate(rows - 1);
        let mut lines = self.fitting(columns, rows - 1 - end.len());
        lines.extend(end);
        let Shown { text, cursor } = self.typing.shown(columns.saturating_sub(MARK.len()));
        lines.push(Cells::of(Tone::Busy, MARK).and(Tone::Plain, &text));
        let lines = lines.iter().map(|line| line.painted(paint)).collect();
        Drawn { lines, cursor: MARK.len() + cursor }
    }

    /// Whether all of it is seen there.
    pub fn fits(&self, columns: usize, rows: usize) -> bool {
        let columns = columns.max(1);
        rows > self.body(columns).len() + broken(Tone::Busy, &self.ask, columns).len()
    }

    fn body(&self, columns: usize) -> Vec<Cells> {
        let mut body = broken(Tone::Caution, &self.title, columns);
        let lines = self.lines.iter().flat_map(|line| wrapped(&format!("  {line}"), columns, 4));
        body.extend(lines.map(|line| Cells::of(Tone::Plain, &line)));
        body
    }

    fn fitting(&self, columns: usize, room: usize) -> Vec<Cells> {
        let mut body = self.body(columns);
        let whole = body.len();
        if whole < room {
            // Apart from what stands above.
            body.insert(0, Cells::default());
        }
        if whole > room {
            body.truncate(room.saturating_sub(1));
            if room > 0 {
                let text = format!("  … {} more lines: type ? to read them", whole - body.len());
                body.push(Cells::of(Tone::Faint, &text).cut(columns));
            }
        }
        body
    }
}

fn broken(tone: Tone, text: &str, columns: usize) -> Vec<Cells> {
    wrapped(text, columns, 2).iter().map(|line| Cells::of(tone, line)).collect()
}
