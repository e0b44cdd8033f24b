//! What the scanner holds back until a statement is judged, and where in the stream it stands.
//! It must never hold more than `MAX_HELD` bytes for longer than a chunk.

use memchr::memchr_iter;

use super::refusal::{Position, Refusal};
use super::scanner::{Chunk, Scanner};

/// The longest beginning of a statement that is held back, in bytes.
const MAX_HELD: usize = 1 << 20;
/// What a refusal shows of it.
const SHOWN: usize = 1 << 10;

/// Bytes of earlier chunks that are held back, and where they begin.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    offset: u64,
    line: u64,
}

impl Scanner {
    pub(super) fn hold(&mut self, chunk: &mut Chunk) {
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

    /// A definition longer than is held back is passed on unread: a function of such a length is rare, and not refused.
    pub(super) fn let_long_definition_go(&mut self, pass: &mut impl FnMut(&[u8])) {
        let long = self.held.as_ref().is_some_and(|held| held.bytes.len() > MAX_HELD);
        if long
            && self.give_up_definition()
            && let Some(held) = self.held.take()
        {
            self.summary.made.outside.insert(format!(
                "a definition of more than {MAX_HELD} bytes in line {}, which was not read",
                held.line
            ));
            pass(&held.bytes);
        }
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
        let beginning: Vec<u8> = held.bytes.iter().chain(more).take(SHOWN).copied().collect();
        let at = Position::new(held.offset, held.line, &String::from_utf8_lossy(&beginning));
        Err(Refusal::TooLong { at, limit: MAX_HELD })
    }

    /// The place of what is held back, with its text up to here.
    pub(super) fn held_position(&self, chunk: &Chunk) -> Position {
        let (offset, line) = self.held.as_ref().map_or((self.at.offset, 1), |held| (held.offset, held.line));
        Position::new(offset, line, &self.held_text(chunk))
    }

    /// The place of the byte that is being read.
    pub(super) fn here(&mut self, chunk: &Chunk, text: String) -> Position {
        self.count_lines(chunk.bytes, chunk.at);
        Position::new(self.at.offset + chunk.at as u64, self.at.lines + 1, &text)
    }

    pub(super) fn count_lines(&mut self, bytes: &[u8], end: usize) {
        let new = bytes.get(self.at.counted..end).unwrap_or_default();
        self.at.lines += memchr_iter(b'\n', new).count() as u64;
        self.at.counted = self.at.counted.max(end);
    }
}
