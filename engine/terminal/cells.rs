//! Text measured in the cells of a terminal: wide characters take two, marks none. Must never let a line grow wider than it
//! was told, nor let text from outside bring a line end or a colour into it.

use super::paint::{Paint, Tone};
use super::tame::tame;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// One line, in pieces of a tone each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cells {
    pieces: Vec<(Tone, String)>,
    /// It is to be copied: never cut, and broken by the terminal alone.
    is_whole: bool,
}

impl Cells {
    pub fn of(tone: Tone, text: &str) -> Self {
        Self::default().and(tone, text)
    }

    pub fn and(mut self, tone: Tone, text: &str) -> Self {
        let text = flat(text);
        if !text.is_empty() {
            self.pieces.push((tone, text));
        }
        self
    }

    /// A command or a path, which has to be copied in one piece.
    pub fn whole(tone: Tone, text: &str) -> Self {
        Self { is_whole: true, ..Self::of(tone, text) }
    }

    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    pub fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| text.width()).sum()
    }

    /// How many rows it takes.
    pub fn height(&self, columns: usize) -> usize {
        self.width().div_ceil(columns.max(1)).max(1)
    }

    /// Filled up with spaces to so many cells.
    pub fn padded(self, columns: usize) -> Self {
        let missing = columns.saturating_sub(self.width());
        self.and(Tone::Plain, &" ".repeat(missing))
    }

    /// Cut where it is wider; the cut is seen.
    pub fn cut(self, columns: usize) -> Self {
        if self.is_whole || self.width() <= columns {
            return self;
        }
        let mut room = columns.saturating_sub(1);
        let mut kept = Vec::new();
        for (tone, text) in self.pieces {
            let piece = first(&text, room);
            room -= piece.width();
            let is_whole = piece.len() == text.len();
            kept.push((tone, piece.to_owned()));
            if !is_whole {
                break;
            }
        }
        if let Some((_, last)) = kept.last_mut().filter(|_| columns > 0) {
            last.push('…');
        }
        Self { pieces: kept, is_whole: false }
    }

    pub fn painted(&self, paint: Paint) -> String {
        let text: String = self.pieces.iter().map(|(tone, text)| paint.of(*tone, text)).collect();
        text.trim_end().to_owned()
    }
}

/// As much of the text as has room.
fn first(text: &str, room: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > room {
            return &text[..at];
        }
    }
    text
}

/// How many rows a line takes, colours or not.
pub fn rows_of(line: &str, columns: usize) -> usize {
    Cells::of(Tone::Plain, line).height(columns)
}

/// Text of one line, without colours.
fn flat(text: &str) -> String {
    let tamed = tame(text);
    let mut flat = String::with_capacity(tamed.len());
    let mut rest = tamed.chars();
    while let Some(c) = rest.next() {
        match c {
            '\n' | '\t' => flat.push(' '),
            // What tame leaves of escapes are colours, which end with their `m`.
            '\u{1b}' => drop(rest.by_ref().find(|c| *c == 'm')),
            c => flat.push(c),
        }
    }
    flat
}

/// Broken between words into lines of so many cells at most, the later ones moved in; a longer word is broken anywhere.
pub fn wrapped(text: &str, columns: usize, indent: usize) -> Vec<String> {
    let indent = if columns > 2 * indent { indent } else { 0 };
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let room = |lines: &[String]| columns.saturating_sub(if lines.is_empty() { 0 } else { indent }).max(1);
    let flat = flat(text);
    let lead = flat.len() - flat.trim_start().len();
    // Where there is no room to move in, nothing is.
    line.push_str(if columns > 2 * lead + 1 { &flat[..lead] } else { "" });
    let mut has_word = false;
    for word in flat.split_whitespace() {
        let gap = usize::from(has_word);
        if has_word && line.width() + gap + word.width() > room(&lines) {
            lines.push(std::mem::take(&mut line));
            has_word = false;
        }
        if has_word {
            line.push(' ');
        }
        let mut word = word;
        while line.width() + word.width() > room(&lines) {
            let piece = first(word, room(&lines).saturating_sub(line.width()));
            // One that is wider than the line stands there alone.
            let end = if piece.is_empty() && line.trim().is_empty() {
                word.chars().next().map_or(0, char::len_utf8)
            } else {
                piece.len()
            };
            line.push_str(&word[..end]);
            word = &word[end..];
            lines.push(std::mem::take(&mut line));
            if word.is_empty() {
                break;
            }
        }
        line.push_str(word);
        has_word = !line.trim().is_empty();
    }
    if !line.trim().is_empty() || lines.is_empty() {
        lines.push(line);
    }
    let pad = " ".repeat(indent);
    lines
        .iter()
        .enumerate()
        .map(|(at, line)| if at == 0 { line.clone() } else { format!("{pad}{line}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_never_wider_than_it_was_told() {
        let line = Cells::of(Tone::Strong, "日本語").and(Tone::Plain, "e\u{301}é and more");
        assert_eq!(line.width(), 17);
        for columns in 0..20 {
            assert!(line.clone().cut(columns).width() <= columns, "{columns}");
        }
        let cut = |columns| line.clone().cut(columns).painted(Paint { colour: false });
        assert_eq!(
            (cut(4).as_str(), cut(5).as_str(), cut(17).as_str()),
            ("日…", "日本…", "日本語e\u{301}é and more")
        );
        assert_eq!(
            Cells::of(Tone::Bad, "a\nb\u{1b}[31mred\u{1b}[0m\u{1b}[2J").painted(Paint { colour: false }),
            "a bred␛[2J"
        );
    }

    #[test]
    fn words_are_kept_together_where_there_is_room() {
        assert_eq!(
            wrapped("next: runplan approve k7f3 go", 16, 2),
            ["next: runplan", "  approve k7f3", "  go"]
        );
        assert_eq!(wrapped("abcdefghij", 4, 0), ["abcd", "efgh", "ij"]);
        assert_eq!(wrapped("ab 日本語", 5, 0), ["ab", "日本", "語"]);
        assert_eq!(wrapped("日", 1, 0), ["日"]);
        assert_eq!(wrapped("", 9, 0), [""]);
        for columns in 2..30 {
            let lines = wrapped("  to stop: one two three-four 日本語日本語 five", columns, 4);
            assert!(lines.iter().all(|line| line.width() <= columns), "{columns} {lines:?}");
        }
    }
}
