//! The scanner of a dump: one pass over the bytes, in constant memory, however the stream is cut into chunks.
//! It knows quotes, comments and COPY data; what a statement means is judged in `statement`.
//! It must never pass on a byte of a statement before the statement's first words are judged.

use memchr::{memchr, memchr_iter, memchr2};

use super::refusal::{Position, Refusal};
use super::rows::Rows;
use super::statement::Statement;
use super::summary::{End, Summary};
use crate::sql::lex::{is_ident_part, is_ident_start, is_space};

/// The longest beginning of a statement that is held back, in bytes.
const MAX_HELD: usize = 1 << 20;
/// The longest `$tag$`, and the longest line of a psql command, in bytes.
const MAX_WORD: usize = 1 << 10;
/// What is kept of a word; longer ones are names, which do not matter.
const KEPT_WORD: usize = 64;

/// Reads a plain SQL dump as it streams by.
#[derive(Debug)]
pub struct Scanner {
    mode: Mode,
    at: Place,
    pub(super) summary: Summary,
    /// The statement whose tokens are being read.
    pub(super) statement: Option<Statement>,
    pub(super) blobs: Blobs,
    restrict: Restrict,
    /// The current word, tag, comment or command, as far as it matters.
    word: Vec<u8>,
    line_start: bool,
    /// Held back, from `held_from` on.
    pub(super) held: Option<Held>,
}

/// Where the current chunk begins, and how far its line breaks are counted.
#[derive(Debug, Default)]
struct Place {
    offset: u64,
    lines: u64,
    counted: usize,
}

/// Bytes of earlier chunks that are held back, and where they begin.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Vec<u8>,
    offset: u64,
    line: u64,
}

/// The bytes that are being read; those before `from` are dealt with.
pub(super) struct Chunk<'c> {
    bytes: &'c [u8],
    at: usize,
    from: usize,
    pass: &'c mut dyn FnMut(&[u8]),
}

#[derive(Debug)]
enum Mode {
    /// Before the first byte, or after so many of a byte order mark, which psql leaves out.
    Start(usize),
    Plain,
    /// An unquoted word, or a number with what sticks to it.
    Word,
    /// After `-` and `/`, which may begin a comment.
    Dash,
    Slash,
    LineComment,
    /// With its depth, and the byte before when it can matter.
    Block(usize, u8),
    Quote,
    QuotedIdent,
    /// After a quote in `"..."`.
    IdentQuote,
    Escape,
    /// After a backslash in `E'...'`.
    Escaped,
    /// After a quote in `E'...'`.
    EscapeQuote,
    /// After `E'...'`: a string that follows a line break continues it.
    EscapeEnd(LineBreak),
    EscapeDash,
    EscapeComment,
    /// `$` and what may become a tag.
    Tag,
    /// In a dollar-quoted string, with how much of its end has been seen.
    Dollar(usize),
    /// On the line of a psql command.
    Meta,
    /// After the semicolon of COPY ... FROM stdin, before its data.
    CopyLine(String),
    Copy(String, Rows),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineBreak {
    NotYet,
    Seen,
}

/// The transaction that pg_dump wraps around large objects; it is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Blobs {
    No,
    /// BEGIN was left out; a large object must come next.
    Begun(Position),
    /// Only large objects, until COMMIT.
    Inside(Position),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Restrict {
    Never,
    Open(Vec<u8>),
    Closed,
}

impl Default for Scanner {
    fn default() -> Scanner {
        Scanner::new()
    }
}

impl Scanner {
    pub fn new() -> Scanner {
        Scanner {
            mode: Mode::Start(0),
            at: Place::default(),
            summary: Summary::default(),
            statement: None,
            blobs: Blobs::No,
            restrict: Restrict::Never,
            word: Vec::new(),
            line_start: true,
            held: None,
        }
    }

    /// Reads the next bytes and hands on, through `pass`, what may go to the server: the same bytes, except the
    /// `\restrict` lines and the transaction around large objects. After a refusal the scanner is of no more
    /// use.
    pub fn feed(&mut self, bytes: &[u8], mut pass: impl FnMut(&[u8])) -> Result<(), Refusal> {
        let mut chunk = Chunk { bytes, at: 0, from: 0, pass: &mut pass };
        while chunk.at < bytes.len() {
            self.step(&mut chunk)?;
        }
        let rest = bytes.get(chunk.from..).unwrap_or_default();
        match &mut self.held {
            Some(held) => held.bytes.extend_from_slice(rest),
            None if rest.is_empty() => {}
            None => pass(rest),
        }
        self.check_held(&[])?;
        self.count_lines(bytes, bytes.len());
        self.at = Place { offset: self.at.offset + bytes.len() as u64, lines: self.at.lines, counted: 0 };
        Ok(())
    }

    /// What the stream was, now that it has ended. What is still held back was cut off, and is not passed on.
    pub fn finish(mut self) -> Summary {
        if matches!(self.mode, Mode::LineComment) {
            self.comment_ends();
        }
        let mut summary = self.summary;
        summary.end = match self.mode {
            Mode::Copy(table, rows) => {
                *summary.rows.entry(table.clone()).or_default() += rows.count;
                End::InCopy(table)
            }
            Mode::CopyLine(table) => End::InCopy(table),
            Mode::Quote | Mode::QuotedIdent | Mode::Escape | Mode::Escaped | Mode::Dollar(_) => End::InQuotes,
            Mode::Block(..) => End::InComment,
            Mode::Meta | Mode::Dash | Mode::Slash => End::InStatement,
            _ if self.statement.is_some() || self.blobs != Blobs::No => End::InStatement,
            _ => End::Whole,
        };
        summary.bytes = self.at.offset;
        summary.lines = self.at.lines;
        summary.restricted = matches!(self.restrict, Restrict::Open(_));
        summary
    }

    /// Reads at least one byte, or changes the mode.
    fn step(&mut self, chunk: &mut Chunk) -> Result<(), Refusal> {
        let Some(byte) = chunk.peek() else { return Ok(()) };
        match &mut self.mode {
            Mode::Start(seen) => {
                let seen = *seen;
                self.byte_order_mark(chunk, byte, seen);
            }
            Mode::Plain => return self.plain(chunk, byte),
            Mode::Word => return self.word(chunk),
            Mode::Tag => return self.tag(chunk, byte),
            Mode::Meta => return self.meta(chunk),
            Mode::IdentQuote if byte != b'"' => {
                self.mode = Mode::Plain;
                return self.token(chunk, None);
            }
            Mode::CopyLine(table) => {
                if byte == b'\n' {
                    self.mode = Mode::Copy(std::mem::take(table), Rows::default());
                } else if !is_space(byte) {
                    let text = format!("COPY {table}");
                    return Err(Refusal::CopyLine { at: self.here(chunk, text) });
                }
                chunk.at += 1;
            }
            Mode::Copy(table, rows) => {
                let (read, ended) = rows.read(chunk.rest());
                chunk.at += read;
                if ended {
                    *self.summary.rows.entry(std::mem::take(table)).or_default() += rows.count;
                    (self.mode, self.line_start) = (Mode::Plain, true);
                }
            }
            Mode::Dash | Mode::Slash | Mode::LineComment | Mode::Block(..) => self.comment(chunk, byte),
            _ => self.quoted(chunk, byte),
        }
        Ok(())
    }

    fn byte_order_mark(&mut self, chunk: &mut Chunk, byte: u8, seen: usize) {
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
    fn plain(&mut self, chunk: &mut Chunk, byte: u8) -> Result<(), Refusal> {
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

    fn word(&mut self, chunk: &mut Chunk) -> Result<(), Refusal> {
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
    fn comment(&mut self, chunk: &mut Chunk, byte: u8) {
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
            (Mode::Slash, b'/') => chunk.at += 1,
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
                self.begin(chunk);
                if let Some(statement) = &mut self.statement {
                    statement.cutter.other();
                }
                self.mode = Mode::Plain;
            }
        }
    }

    fn comment_ends(&mut self) {
        if self.statement.is_none() {
            match self.word.trim_ascii_end() {
                b" PostgreSQL database dump" => self.summary.header = true,
                b" PostgreSQL database dump complete" => self.summary.trailer = true,
                _ => {}
            }
        }
    }

    /// Inside quotes of any kind.
    fn quoted(&mut self, chunk: &mut Chunk, byte: u8) {
        let next = match (&self.mode, byte) {
            (Mode::Quote, _) => return self.skip_past(chunk, b'\'', Mode::Plain),
            (Mode::QuotedIdent, _) => return self.skip_past(chunk, b'"', Mode::IdentQuote),
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
    fn tag(&mut self, chunk: &mut Chunk, byte: u8) -> Result<(), Refusal> {
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

    fn meta(&mut self, chunk: &mut Chunk) -> Result<(), Refusal> {
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

    /// Keeps the first bytes of a word.
    fn keep(&mut self, bytes: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.word.len()).min(bytes.len());
        self.word.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }

    /// A token begins here: the first of a statement is held back until the statement is judged.
    fn begin(&mut self, chunk: &mut Chunk) {
        if self.statement.is_none() {
            if self.held.is_none() {
                self.hold(chunk);
            }
            self.statement = Some(Statement::default());
            self.summary.statements += 1;
            self.summary.trailer = false;
        }
    }

    /// Goes on with the data of a COPY after its statement.
    pub(super) fn expect_rows(&mut self, table: String) {
        self.mode = Mode::CopyLine(table);
    }
}

/// What is held back, and where it stands.
impl Scanner {
    fn hold(&mut self, chunk: &mut Chunk) {
        let before = chunk.pending();
        if !before.is_empty() {
            (chunk.pass)(before);
        }
        chunk.from = chunk.at;
        self.count_lines(chunk.bytes, chunk.at);
        let offset = self.at.offset + chunk.at as u64;
        self.held = Some(Held { bytes: Vec::new(), offset, line: self.at.lines + 1 });
    }

    /// Passes on what was held back.
    pub(super) fn release(&mut self, chunk: &mut Chunk) {
        if let Some(held) = self.held.take().filter(|held| !held.bytes.is_empty()) {
            (chunk.pass)(&held.bytes);
        }
    }

    /// Forgets what was held back.
    pub(super) fn discard(&mut self, chunk: &mut Chunk) {
        self.held = None;
        chunk.from = chunk.at;
    }

    /// What is held back, up to here.
    pub(super) fn held_text(&self, chunk: &Chunk) -> String {
        let mut bytes = self.held.as_ref().map(|held| held.bytes.clone()).unwrap_or_default();
        bytes.extend_from_slice(chunk.pending());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Refuses to hold back more than a statement's beginning; `more` follows what is held.
    pub(super) fn check_held(&self, more: &[u8]) -> Result<(), Refusal> {
        let Some(held) = self.held.as_ref().filter(|held| held.bytes.len() + more.len() > MAX_HELD) else {
            return Ok(());
        };
        let beginning: Vec<u8> = held.bytes.iter().chain(more).take(MAX_WORD).copied().collect();
        let at = Position::new(held.offset, held.line, &String::from_utf8_lossy(&beginning));
        Err(Refusal::TooLong { at, limit: MAX_HELD })
    }

    /// The place of what is held back, with its text up to here.
    pub(super) fn held_position(&self, chunk: &Chunk) -> Position {
        let (offset, line) = self.held.as_ref().map_or((self.at.offset, 1), |held| (held.offset, held.line));
        Position::new(offset, line, &self.held_text(chunk))
    }

    /// The place of the byte that is being read.
    fn here(&mut self, chunk: &Chunk, text: String) -> Position {
        self.count_lines(chunk.bytes, chunk.at);
        Position::new(self.at.offset + chunk.at as u64, self.at.lines + 1, &text)
    }

    fn count_lines(&mut self, bytes: &[u8], end: usize) {
        let new = bytes.get(self.at.counted..end).unwrap_or_default();
        self.at.lines += memchr_iter(b'\n', new).count() as u64;
        self.at.counted = self.at.counted.max(end);
    }
}

impl<'c> Chunk<'c> {
    /// What was read and neither passed on nor held back.
    pub(super) fn pending(&self) -> &'c [u8] {
        self.bytes.get(self.from..self.at).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &'c [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}
