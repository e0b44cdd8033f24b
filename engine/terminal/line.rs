//! A told event as one line: `03:11:07 restored  done in 3.2s  (3 tables, 12.0 MB)`. The same on every terminal, in logs
//! and when a run is looked at later.

use super::cells::Cells;
use super::paint::{Paint, Tone};
use super::screen::Screen;
use super::whole::{glued, unglued};
use crate::report::{Mark, Told};
use crate::run::State;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use unicode_width::UnicodeWidthStr;

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
    /// On a terminal, where a longer line would be broken anywhere.
    columns: Option<usize>,
}

impl Lines {
    pub fn new(screen: &Screen, state: &State) -> Self {
        let ids = state.shape.flow.steps().iter().map(|step| step.id.value.as_str().chars().count());
        let width = ids.max().unwrap_or(0).clamp(6, WIDEST);
        Self {
            paint: screen.paint(),
            zone: screen.zone.clone(),
            width,
            spoken: screen.spoken,
            columns: screen.live.then_some(screen.width),
        }
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
                text.push_str(&if is_command(more) { more.clone() } else { sentence(more) });
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
        let whole =
            Cells::of(tone, head).and(Tone::Faint, &rest).width() + 9 + self.width.max(subject.len()) + 2;
        if let Some(columns) = self.columns.filter(|columns| whole > *columns) {
            let room = columns.saturating_sub(INDENT);
            let first = room.saturating_sub(self.width.max(subject.len()));
            let coloured = |tone, lines: Vec<String>| {
                let lines: Vec<String> = lines.iter().map(|line| self.paint.of(tone, line)).collect();
                lines.join(&format!("\n{}", " ".repeat(INDENT)))
            };
            let head = coloured(tone, words(head, first, room));
            let rest = words(rest.trim(), room, room);
            let rest = if rest.is_empty() {
                String::new()
            } else {
                format!("\n{}{}", " ".repeat(INDENT), coloured(Tone::Faint, rest))
            };
            return format!("{time} {name}  {head}{rest}");
        }
        let rest = self.paint.of(Tone::Faint, &inside(&rest));
        format!("{time} {name}  {}{rest}", self.paint.of(tone, &inside(head)))
    }
}

/// `next: runplan resume k7f3`: nobody types a full stop behind it.
fn is_command(text: &str) -> bool {
    ["next: runplan ", "or: runplan "].iter().any(|start| text.starts_with(start))
}

/// What has several lines stays within its own: nobody's text may look like another event.
fn inside(text: &str) -> String {
    text.trim_end().replace('\n', &format!("\n{}", " ".repeat(INDENT)))
}

/// Broken between words: the first line has `first` columns, the others `room`. A word that is longer stays whole, for it is
/// a path or a command, to be copied.
fn words(text: &str, first: usize, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in glued(text).lines() {
        let mut fresh = true;
        for word in line.split(' ') {
            let room = if lines.len() <= 1 { first } else { room };
            match lines.last_mut().filter(|_| !fresh) {
                Some(last) if last.width() + 1 + word.width() <= room => {
                    last.push(' ');
                    last.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
            fresh = false;
        }
    }
    lines.iter().map(|line| unglued(line)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words_and_paths_stay_whole() {
        assert_eq!(words("failed: it was not there", 12, 20), ["failed: it", "was not there"]);
        assert_eq!(
            words("see /a/very/long/path/to/it now", 5, 10),
            ["see", "/a/very/long/path/to/it", "now"]
        );
        assert_eq!(words("one\ntwo three", 20, 20), ["one", "two three"]);
        assert!(words("", 5, 5).is_empty());
        assert_eq!(
            words("say `runplan resume k7f3` then", 8, 12),
            ["say", "`runplan resume k7f3`", "then"],
            "a command is not broken"
        );
    }
}
