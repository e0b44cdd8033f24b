//! A told event as one line: `03:11:07 restored  done in 3.2s  (3 tables, 12.0 MB)`. The same on every terminal, in logs
//! and when a run is looked at later.

use super::paint::{Paint, Tone};
use super::screen::Screen;
use crate::report::{Mark, Told};
use crate::run::State;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Longer ids are not padded, they push their text to the right.
const WIDEST: usize = 24;
/// Where lines begin that belong to the one above.
const INDENT: usize = 11;

/// Makes lines of one run, aligned.
#[derive(Debug, Clone)]
pub struct Lines {
    paint: Paint,
    zone: TimeZone,
    width: usize,
    /// As sentences, without columns.
    spoken: bool,
}

impl Lines {
    pub fn new(screen: &Screen, state: &State) -> Self {
        let ids = state.shape.flow.steps().iter().map(|step| step.id.value.as_str().chars().count());
        let width = ids.max().unwrap_or(0).clamp(6, WIDEST);
        Self { paint: screen.paint(), zone: screen.zone.clone(), width, spoken: screen.spoken }
    }

    /// Columns of a step's id.
    pub fn width(&self) -> usize {
        self.width
    }

    pub fn is_spoken(&self) -> bool {
        self.spoken
    }

    /// The line, and those that belong to it.
    pub fn of(&self, at: Timestamp, told: &Told) -> String {
        let mut text = self.one(at, tone(told.mark), &told.subject, &told.text);
        for more in &told.more {
            text.push('\n');
            if self.spoken {
                text.push_str(&sentence(more));
                continue;
            }
            text.push_str(&" ".repeat(INDENT));
            text.push_str(&inside(more));
        }
        text
    }

    /// One line of any text.
    pub fn one(&self, at: Timestamp, tone: Tone, subject: &str, text: &str) -> String {
        if self.spoken {
            let subject = if subject == "run" { "The run".to_owned() } else { format!("Step {subject}") };
            let text = match text.trim_end().split_once("  (") {
                Some((head, rest)) => format!("{head}. {}", sentence(rest.strip_suffix(')').unwrap_or(rest))),
                None => sentence(text),
            };
            return format!("{} {subject}: {text}", clock(at, &self.zone));
        }
        let time = self.paint.of(Tone::Faint, &clock(at, &self.zone));
        let name = self.paint.of(Tone::Strong, &format!("{subject:width$}", width = self.width));
        // The head of the text carries the colour, its details do not.
        let (head, rest) =
            text.split_once("  (").map_or((text, String::new()), |(head, rest)| (head, format!("  ({rest}")));
        let rest = self.paint.of(Tone::Faint, &inside(&rest));
        format!("{time} {name}  {}{rest}", self.paint.of(tone, &inside(head)))
    }
}

/// What has several lines stays within its own: nobody's text may look like another event.
fn inside(text: &str) -> String {
    text.trim_end().replace('\n', &format!("\n{}", " ".repeat(INDENT)))
}

/// With the full stop that a voice pauses at.
pub fn sentence(text: &str) -> String {
    let text = text.trim_end();
    match text.ends_with(['.', '!', '?', ':', ';', ',']) || text.is_empty() {
        true => text.to_owned(),
        false => format!("{text}."),
    }
}

/// The time of day where the reader is: `03:11:07`.
pub fn clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string()
}

pub fn tone(mark: Mark) -> Tone {
    match mark {
        Mark::Note => Tone::Plain,
        Mark::Done => Tone::Good,
        Mark::Passed => Tone::Faint,
        Mark::Waiting => Tone::Busy,
        Mark::Caution => Tone::Caution,
        Mark::Failed => Tone::Bad,
    }
}
