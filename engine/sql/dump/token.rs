//! The modes of the scanner: words, quotes, comments and psql commands, byte by byte.
//! Each step reads at least one byte or changes the mode, so that every loop ends.

use memchr::{memchr, memchr2};

use super::refusal::Refusal;
use super::scanner::{Chunk, LineBreak, Mode, Restrict, Scanner};
use crate::sql::lex::{is_ident_part, is_ident_start, is_space};

/// The longest `$tag$`, and the longest line of a psql command, in bytes.
const MAX_WORD: usize = 1 << 10;
/// What is kept of a word; longer ones are names, which do not matter.
const KEPT_WORD: usize = 64;

impl Scanner {
    pub(super) fn byte_order_mark(&mut self, chunk: &mut Chunk, byte: u8, seen: usize) {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if MARK.get(seen) == Some(&byte) {
            if seen == 0 {
                self.hold(chunk);
            }
            chunk.at += 1;
            self.mode = Mode::Start(seen + 1);
            if seen + 1 == MARK.len() {
                self.discard(chunk);
                self.mode = Mode::Plain;
            }
        } else if seen == 0 {
            self.mode = Mode::Plain;
        } else {
            // Only the first letter of a word.
            self.begin(chunk);
            self.word = MARK.get(..seen).unwrap_or_default().to_vec();
            self.mode = Mode::Word;
        }
    }

    /// Between tokens.
    pub(super) fn plain(&mut self, chunk: &mut Chunk, byte: u8) -> Result<(), Refusal> {
        if is_space(byte) {
            self.line_start = byte == b'\n';
            chunk.at += 1;
            return Ok(());
        }
        let line_start = std::mem::replace(&mut self.line_start, false);
        match byte {
            b'-' => self.mode = Mode::Dash,
            b'/' => self.mode = Mode::Slash,
            b'\\' => return self.meta_begins(chunk, line_start),
            b';' if self.statement.is_none() => {}
            b'\'' => {
                self.begin(chunk);
                self.mode = Mode::Quote;
                chunk.at += 1;
                return self.token(chunk, None);
            }
            b'"' => {
                self.begin(chunk);
                self.word.clear();
                self.mode = Mode::QuotedIdent;
            }
            b'$' => {
                self.begin(chunk);
                self.word.clear();
                self.mode = Mode::Tag;
            }
            _ if is_ident_part(byte) => {
                self.begin(chunk);
                self.word.clear();
                self.mode = Mode::Word;
                return Ok(());
            }
            _ => {
                self.begin(chunk);
                chunk.at += 1;
                return self.punct(chunk, byte);
            }
        }
        chunk.at += 1;
        Ok(())
    }

    pub(super) fn word(&mut self, chunk: &mut Chunk) -> Result<(), Refusal> {
        let rest = chunk.rest();
        let first = self.word.first().or(rest.first()).copied().unwrap_or(0);
        let number = first.is_ascii_digit();
        let part = |byte: &u8| is_ident_part(*byte) && !(number && *byte == b'$');
        let length = rest.iter().take_while(|byte| part(byte)).count();
        self.keep(rest.get(..length).unwrap_or_default(), KEPT_WORD);
        chunk.at += length;
        let Some(next) = chunk.peek() else { return Ok(()) };
        self.mode = Mode::Plain;
        let word = std::mem::take(&mut self.word);
        let escape = matches!(word.last(), Some(b'e' | b'E')) && next == b'\'';
        let judged = if escape && word.len() == 1 {
            self.mode = Mode::Escape;
            chunk.at += 1;
            self.token(chunk, None)
        } else if escape && number {
            // Older servers take `1E'...'` for a number and an escape string.
            Err(Refusal::Quoting { at: self.here(chunk, String::from_utf8_lossy(&word).into_owned()) })
        } else if number {
            self.token(chunk, None)
        } else {
            self.token(chunk, Some(&word))
        };
        self.word = word;
        judged
    }

    /// Comments, and the characters that may begin one.
    pub(super) fn comment(&mut self, chunk: &mut Chunk, byte: u8) {
        match (&mut self.mode, byte) {
            (Mode::Dash, b'-') => {
                self.word.clear();
                self.mode = Mode::LineComment;
                chunk.at += 1;
            }
            (Mode::Slash, b'*') => {
                self.mode = Mode::Block(1, 0);
                chunk.at += 1;
            }
            // The one before is an operator; this one may still begin a comment.
            (Mode::Slash, b'/') => {
                self.operator(chunk);
                chunk.at += 1;
            }
            (Mode::LineComment, _) => {
                let rest = chunk.rest();
                let end = memchr2(b'\n', b'\r', rest);
                let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                self.keep(text, KEPT_WORD);
                chunk.at += text.len();
                if end.is_some() {
                    self.comment_ends();
                    self.mode = Mode::Plain;
                }
            }
            (Mode::Block(depth, before), _) => {
                if *before == 0 {
                    chunk.at += memchr2(b'*', b'/', chunk.rest()).unwrap_or(chunk.rest().len());
                }
                let Some(byte) = chunk.peek() else { return };
                chunk.at += 1;
                match (*before, byte) {
                    (b'/', b'*') => (*depth, *before) = (*depth + 1, 0),
                    (b'*', b'/') if *depth == 1 => self.mode = Mode::Plain,
                    (b'*', b'/') => (*depth, *before) = (*depth - 1, 0),
                    _ => *before = if matches!(byte, b'*' | b'/') { byte } else { 0 },
                }
            }
            // An operator after all.
            _ => {
                self.operator(chunk);
                self.mode = Mode::Plain;
            }
        }
    }

    fn operator(&mut self, chunk: &mut Chunk) {
        self.begin(chunk);
        if let Some(statement) = &mut self.statement {
            statement.cutter.other();
        }
    }

    pub(super) fn comment_ends(&mut self) {
        if self.statement.is_none() {
            match self.word.trim_ascii_end() {
                b" PostgreSQL database dump" => self.summary.header = true,
                b" PostgreSQL database dump complete" => self.summary.trailer = true,
                _ => {}
            }
        }
    }

    /// Inside quotes of any kind.
    pub(super) fn quoted(&mut self, chunk: &mut Chunk, byte: u8) {
        let next = match (&self.mode, byte) {
            (Mode::Quote, _) => return self.skip_past(chunk, b'\'', Mode::Plain),
            (Mode::QuotedIdent, _) => {
                let rest = chunk.rest();
                let end = memchr(b'"', rest).unwrap_or(rest.len());
                self.keep(rest.get(..end).unwrap_or_default(), KEPT_WORD);
                return self.skip_past(chunk, b'"', Mode::IdentQuote);
            }
            (Mode::Escape, _) => match memchr2(b'\'', b'\\', chunk.rest()) {
                None => return chunk.at = chunk.bytes.len(),
                Some(found) => {
                    chunk.at += found;
                    if chunk.peek() == Some(b'\\') { Mode::Escaped } else { Mode::EscapeQuote }
                }
            },
            (Mode::IdentQuote, _) => Mode::QuotedIdent,
            (Mode::Escaped, _) | (Mode::EscapeQuote, b'\'') => Mode::Escape,
            (Mode::EscapeEnd(LineBreak::Seen), b'\'') => Mode::Escape,
            (Mode::EscapeEnd(_), b'\n' | b'\r') => Mode::EscapeEnd(LineBreak::Seen),
            (Mode::EscapeEnd(seen), _) if is_space(byte) => Mode::EscapeEnd(*seen),
            (Mode::EscapeEnd(_), b'-') => Mode::EscapeDash,
            (Mode::EscapeDash, b'-') => Mode::EscapeComment,
            (Mode::EscapeComment, b'\n' | b'\r') => Mode::EscapeEnd(LineBreak::Seen),
            (Mode::EscapeComment, _) => Mode::EscapeComment,
            (Mode::Dollar(0), _) => return self.skip_past(chunk, b'$', Mode::Dollar(1)),
            (Mode::Dollar(seen), _) if self.word.get(*seen) == Some(&byte) => {
                match seen + 1 == self.word.len() {
                    true => Mode::Plain,
                    false => Mode::Dollar(seen + 1),
                }
            }
            (Mode::Dollar(_), _) => Mode::Dollar(usize::from(byte == b'$')),
            (Mode::EscapeQuote, _) => return self.mode = Mode::EscapeEnd(LineBreak::NotYet),
            _ => return self.mode = Mode::Plain,
        };
        self.mode = next;
        chunk.at += 1;
    }

    /// Moves behind the next `byte`, and into the next mode; or to the end of the chunk.
    fn skip_past(&mut self, chunk: &mut Chunk, byte: u8, next: Mode) {
        match memchr(byte, chunk.rest()) {
            Some(found) => {
                chunk.at += found + 1;
                self.mode = next;
            }
            None => chunk.at = chunk.bytes.len(),
        }
    }

    /// After a `$`.
    pub(super) fn tag(&mut self, chunk: &mut Chunk, byte: u8) -> Result<(), Refusal> {
        let fits = if self.word.is_empty() { is_ident_start(byte) } else { is_ident_part(byte) };
        if byte == b'$' {
            self.word.insert(0, b'$');
            self.word.push(b'$');
            self.mode = Mode::Dollar(0);
            chunk.at += 1;
            return self.token(chunk, None);
        }
        if !fits {
            // No dollar quote: `$1`, or a stray dollar before a word.
            self.mode = if self.word.is_empty() { Mode::Plain } else { Mode::Word };
            return Ok(());
        }
        chunk.at += 1;
        self.word.push(byte);
        if self.word.len() > MAX_WORD {
            let text = String::from_utf8_lossy(&self.word).into_owned();
            return Err(Refusal::TooLong { at: self.here(chunk, text), limit: MAX_WORD });
        }
        Ok(())
    }

    fn meta_begins(&mut self, chunk: &mut Chunk, line_start: bool) -> Result<(), Refusal> {
        let stray = self.statement.is_some() || !line_start;
        if self.held.is_none() {
            self.hold(chunk);
        }
        self.word.clear();
        self.mode = Mode::Meta;
        if stray {
            // Only a command at the start of a line, between statements, can be one of the two accepted.
            return Err(Refusal::MetaCommand { at: self.here(chunk, "\\".to_owned()) });
        }
        Ok(())
    }

    pub(super) fn meta(&mut self, chunk: &mut Chunk) -> Result<(), Refusal> {
        let rest = chunk.rest();
        let end = memchr(b'\n', rest);
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        self.keep(line, MAX_WORD);
        chunk.at += line.len();
        if end.is_none() {
            return Ok(());
        }
        self.check_held(chunk.pending())?;
        let line = std::mem::take(&mut self.word);
        let text = line.trim_ascii_end();
        let key = |command: &[u8]| {
            let key = text.strip_prefix(command)?.trim_ascii();
            (!key.is_empty() && key.iter().all(u8::is_ascii_alphanumeric)).then(|| key.to_vec())
        };
        self.restrict = match (&self.restrict, key(b"\\restrict "), key(b"\\unrestrict ")) {
            (Restrict::Never, Some(key), _) => Restrict::Open(key),
            (Restrict::Open(open), _, Some(key)) if *open == key => Restrict::Closed,
            _ => {
                let at = self.held_position(chunk);
                let restricts = text.starts_with(b"\\restrict") || text.starts_with(b"\\unrestrict");
                return Err(if restricts { Refusal::Restrict { at } } else { Refusal::MetaCommand { at } });
            }
        };
        // The line break stays, so that line numbers do.
        self.discard(chunk);
        self.mode = Mode::Plain;
        Ok(())
    }
}
