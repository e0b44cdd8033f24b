//! The scanner of a dump: one pass over the bytes, in constant memory, however the stream is cut into chunks.
//! It knows quotes, comments and COPY data; what a statement means is judged in `statement`.
//! It must never pass on a byte of a statement before the statement's first words are judged.

use super::held::Held;
use super::refusal::{Position, Refusal};
use super::roles::Changes;
use super::rows::Rows;
use super::statement::Statement;
use super::summary::{End, Summary};
use crate::sql::lex::is_space;
use std::collections::BTreeSet;

/// Reads a plain SQL dump as it streams by.
#[derive(Debug)]
pub struct Scanner {
    pub(super) mode: Mode,
    pub(super) at: Place,
    pub(super) summary: Summary,
    /// The statement whose tokens are being read.
    pub(super) statement: Option<Statement>,
    pub(super) blobs: Blobs,
    pub(super) restrict: Restrict,
    /// The current word, tag, comment or command, as far as it matters.
    pub(super) word: Vec<u8>,
    pub(super) line_start: bool,
    /// Held back, from `held_from` on.
    pub(super) held: Option<Held>,
    /// The rows of COPY are not handed on.
    drops_rows: bool,
    pub(super) changes: Changes,
    /// Functions that it defined and that act outside the database, by their last names.
    pub(super) armed: BTreeSet<String>,
}

/// Where the current chunk begins, and how far its line breaks are counted.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) lines: u64,
    pub(super) counted: usize,
}

/// The bytes that are being read; those before `from` are dealt with.
pub(super) struct Chunk<'c> {
    pub(super) bytes: &'c [u8],
    pub(super) at: usize,
    pub(super) from: usize,
    pub(super) pass: &'c mut dyn FnMut(&[u8]),
}

#[derive(Debug)]
pub(super) enum Mode {
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
pub(super) enum LineBreak {
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
pub(super) enum Restrict {
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
            drops_rows: false,
            changes: Changes::default(),
            armed: BTreeSet::new(),
        }
    }

    /// Passes statements on as they are changed.
    pub fn with(changes: Changes) -> Scanner {
        Scanner { changes, ..Scanner::new() }
    }

    /// One that hands on statements only: what follows COPY ... FROM stdin is read and left out.
    pub fn without_rows() -> Scanner {
        Scanner { drops_rows: true, ..Scanner::new() }
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
        self.let_long_definition_go(&mut pass);
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
                return self.quoted_name(chunk);
            }
            Mode::CopyLine(table) => {
                if byte == b'\n' {
                    self.mode = Mode::Copy(std::mem::take(table), Rows::default());
                    if self.drops_rows {
                        let pending = chunk.pending();
                        (chunk.pass)(pending);
                        chunk.from = chunk.at;
                    }
                } else if !is_space(byte) {
                    let text = format!("COPY {table}");
                    return Err(Refusal::CopyLine { at: self.here(chunk, text) });
                }
                chunk.at += 1;
            }
            Mode::Copy(table, rows) => {
                let (read, ended) = rows.read(chunk.rest());
                chunk.at += read;
                if self.drops_rows {
                    chunk.from = chunk.at;
                }
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

    /// Keeps the first bytes of a word.
    pub(super) fn keep(&mut self, bytes: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.word.len()).min(bytes.len());
        self.word.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }

    /// A token begins here: the first of a statement is held back until the statement is judged.
    pub(super) fn begin(&mut self, chunk: &mut Chunk) {
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

impl<'c> Chunk<'c> {
    /// What was read and neither passed on nor held back.
    pub(super) fn pending(&self) -> &'c [u8] {
        self.bytes.get(self.from..self.at).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn rest(&self) -> &'c [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}
