//! A told event as one line: `03:11:07 restored  done in 3.2s  (3 tables, 12.0 MB)`. The same on every terminal, in logs
//! and when a run is looked at later.

use super::cells::Cells;
use super::paint::{Paint, Tone};
use super::screen::Screen;
use super::whole::{folded, glued, unglued};
use crate::report::{Mark, Told};
use crate::run::State;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use unicode_width::UnicodeWidthStr;

/// Longer ids are not padded, they push their text to the right.
const WIDEST: usize = 24;
/// Where lines begin that belong to the one above.
const INDENT: usize = 11;

/// Fewer columns than this leave no room beside a time and a name: the text stands below them.
const NARROW: usize = 40;
const NARROW_INDENT: usize = 2;

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
            let pad = " ".repeat(self.indent());
            let room = self
                .columns
                .filter(|columns| *columns < NARROW)
                .map(|columns| columns.saturating_sub(pad.len()));
            // Rows of a table that fit keep their columns.
            let lines = match room.filter(|room| !is_command(more) && more.width() > *room) {
                Some(room) => folded(more, room, 0),
                None => more.trim_end().lines().map(str::to_owned).collect(),
            };
            text.push_str(&pad);
            text.push_str(&lines.join(&format!("\n{pad}")));
        }
        text
    }

    /// Where lines begin that belong to the one above.
    fn indent(&self) -> usize {
        self.columns.filter(|columns| *columns < NARROW).map_or(INDENT, |_| NARROW_INDENT)
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
            let pad = format!("\n{}", " ".repeat(self.indent()));
            let room = columns.saturating_sub(self.indent());
            let is_narrow = columns < NARROW;
            let first = if is_narrow { room } else { room.saturating_sub(self.width.max(subject.len())) };
            let coloured = |tone, lines: Vec<String>| {
                let lines: Vec<String> = lines.iter().map(|line| self.paint.of(tone, line)).collect();
                lines.join(&pad)
            };
            let head = coloured(tone, words(head, first, room));
            let rest = words(rest.trim(), room, room);
            let rest =
                if rest.is_empty() { String::new() } else { format!("{pad}{}", coloured(Tone::Faint, rest)) };
            if is_narrow {
                let name = self.paint.of(Tone::Strong, subject);
                return format!("{time} {name}{pad}{head}{rest}");
            }
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
    fn a_narrow_terminal_gets_whole_words() {
        let lines = Lines {
            paint: Paint { colour: false },
            zone: TimeZone::UTC,
            width: 8,
            spoken: false,
            columns: Some(20),
        };
        let told = Told {
            mark: Mark::Failed,
            subject: "restored".to_owned(),
            text: "failed: the program ended with exit code 1  (after 3 attempts)".to_owned(),
            more: vec!["help: look at its output first".to_owned(), "next: runplan resume k7f3".to_owned()],
            minor: false,
        };
        let expected = "\
00:00:00 restored
  failed: the
  program ended with
  exit code 1
  (after 3 attempts)
  help: look at its
  output first
  next: runplan resume k7f3";
        assert_eq!(lines.of(Timestamp::UNIX_EPOCH, &told), expected);
    }

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
