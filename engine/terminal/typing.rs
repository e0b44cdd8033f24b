//! A line that somebody types, key by key: bytes in, what they mean out. Pure. Must never take the end of the input, or a
//! key that it does not know, for an answer.

use unicode_width::UnicodeWidthChar;

/// Longer lines are not typed.
const LONGEST: usize = 4096;

/// What came of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The line is another one now, or the cursor stands elsewhere.
    Edited,
    /// Enter.
    Line(String),
    /// Ctrl-D on an empty line.
    End,
}

/// The line so far.
#[derive(Debug, Clone, Default)]
pub struct Typing {
    text: Vec<char>,
    /// Before which character the cursor stands.
    at: usize,
    /// Bytes of a character or a key that has not come whole.
    rest: Vec<u8>,
}

/// The part of the line that has room, and where in it the cursor stands, in cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub text: String,
    pub cursor: usize,
}

impl Typing {
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub fn text(&self) -> String {
        self.text.iter().collect()
    }

    /// What the next byte means, with those before it; None: not yet anything.
    pub fn feed(&mut self, byte: u8) -> Option<Key> {
        self.rest.push(byte);
        if self.rest.first() == Some(&0x1b) {
            return self.escape();
        }
        let whole = std::str::from_utf8(&self.rest).map(|text| text.chars().next());
        let c = match whole {
            Ok(c) => c?,
            Err(error) if error.error_len().is_none() => return None,
            Err(_) => char::REPLACEMENT_CHARACTER,
        };
        self.rest.clear();
        self.press(c)
    }

    /// Arrows and the like; what else begins with an escape is left out.
    fn escape(&mut self) -> Option<Key> {
        let sequence = match self.rest.as_slice() {
            [_] | [_, b'[' | b'O'] => return None,
            [_, b'[' | b'O', .., last] if !(0x40..=0x7e).contains(last) && self.rest.len() < 32 => {
                return None;
            }
            [_, b'[' | b'O', rest @ ..] => rest.to_vec(),
            // The escape key alone.
            [_, byte, ..] => {
                let byte = *byte;
                self.rest.clear();
                return self.feed(byte);
            }
            [] => return None,
        };
        self.rest.clear();
        match sequence.as_slice() {
            b"D" => self.at = self.at.saturating_sub(1),
            b"C" => self.at = (self.at + 1).min(self.text.len()),
            b"H" | b"1~" | b"7~" => self.at = 0,
            b"F" | b"4~" | b"8~" => self.at = self.text.len(),
            b"3~" if self.at < self.text.len() => {
                self.text.remove(self.at);
            }
            _ => return None,
        }
        Some(Key::Edited)
    }

    fn press(&mut self, c: char) -> Option<Key> {
        match c {
            '\n' | '\r' => {
                let line = self.text();
                *self = Self::default();
                return Some(Key::Line(line));
            }
            '\u{4}' => return self.is_empty().then_some(Key::End),
            '\u{8}' | '\u{7f}' if self.at > 0 => {
                self.at -= 1;
                self.text.remove(self.at);
            }
            '\u{1}' => self.at = 0,
            '\u{5}' => self.at = self.text.len(),
            '\u{15}' => drop(self.text.drain(..std::mem::take(&mut self.at))),
            '\u{17}' => self.erase_word(),
            c if c.is_control() || self.text.len() >= LONGEST => return None,
            c => {
                self.text.insert(self.at, c);
                self.at += 1;
            }
        }
        Some(Key::Edited)
    }

    fn erase_word(&mut self) {
        let before = &self.text[..self.at];
        let word = before.iter().rposition(|c| !c.is_whitespace()).unwrap_or(0);
        let from = before[..word].iter().rposition(|c| c.is_whitespace()).map_or(0, |space| space + 1);
        self.text.drain(from..self.at);
        self.at = from;
    }

    /// What of it is seen in so many columns: the cursor always is.
    pub fn shown(&self, columns: usize) -> Shown {
        let wide = |c: &char| c.width().unwrap_or(0);
        let room = columns.saturating_sub(1);
        let mut from = self.at;
        let mut cursor = 0;
        while let Some(c) = from.checked_sub(1).and_then(|at| self.text.get(at)) {
            if cursor + wide(c) > room {
                break;
            }
            cursor += wide(c);
            from -= 1;
        }
        let mut used = 0;
        let fits = |c: &&char| {
            used += wide(c);
            used <= room
        };
        Shown { text: self.text[from..].iter().take_while(fits).collect(), cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &str) -> (Typing, Vec<Key>) {
        let mut typing = Typing::default();
        let said = keys.bytes().filter_map(|byte| typing.feed(byte)).filter(|key| *key != Key::Edited);
        let said = said.collect();
        (typing, said)
    }

    #[test]
    fn a_line_is_what_is_left_of_the_keys() {
        let line = |keys: &str| typed(keys).1;
        let is = |text: &str| vec![Key::Line(text.to_owned())];
        assert_eq!(line("yes\n"), is("yes"));
        assert_eq!(line("yes\r"), is("yes"));
        assert_eq!(line("nox\u{7f}\u{8}\u{8}yes\n"), is("yes"));
        assert_eq!(line("maybe\u{15}yes, é日\n"), is("yes, é日"));
        assert_eq!(line("yes, checked  with\u{17}\u{17}all\n"), is("yes, all"));
        assert_eq!(line("es\u{1b}[D\u{1b}[Dy\u{1b}[C\u{1b}[C!\n"), is("yes!"));
        assert_eq!(line("xyes\u{1b}[H\u{1b}[3~\u{5}.\n"), is("yes."));
        assert_eq!(line("\u{1b}OAy\u{1b}[1;5Ces\u{1b}[200~\n"), is("yes"));
        assert_eq!(line("\u{1b}yes\u{0}\t\n"), is("yes"));
    }

    #[test]
    fn the_end_is_only_where_nothing_is_typed() {
        assert_eq!(typed("\u{4}").1, [Key::End]);
        let (typing, said) = typed("ye\u{4}");
        assert_eq!((typing.text().as_str(), said.as_slice()), ("ye", &[][..]));
        assert_eq!(typed(&"x".repeat(5000)).0.text().len(), LONGEST);
        let mut typing = Typing::default();
        assert_eq!(typing.feed(0xff), Some(Key::Edited));
        assert_eq!(typing.text(), "\u{fffd}");
    }

    #[test]
    fn the_cursor_is_always_seen() {
        let (mut typing, _) = typed("abcdefgh");
        let shown = |typing: &Typing, columns| {
            let Shown { text, cursor } = typing.shown(columns);
            (text, cursor)
        };
        assert_eq!(shown(&typing, 20), ("abcdefgh".into(), 8));
        assert_eq!(shown(&typing, 5), ("efgh".into(), 4));
        "\u{1b}[H".bytes().for_each(|byte| drop(typing.feed(byte)));
        assert_eq!(shown(&typing, 5), ("abcd".into(), 0));
        assert_eq!(shown(&typed("日本語").0, 6), ("本語".into(), 4));
        assert_eq!(shown(&typed("日本語").0, 0), (String::new(), 0));
    }
}
