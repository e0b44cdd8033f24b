//! The data of a COPY ... FROM stdin: counts its rows and finds its end, the line `\.`, at the speed of memory.
//! It must never look inside a row.

use memchr::{memchr_iter, memmem, memrchr};

/// Where a block of data stands between two chunks of the stream.
#[derive(Debug, Default, Clone)]
pub(super) struct Rows {
    pub(super) count: u64,
    start: Start,
    /// The bytes so far end in an odd number of backslashes: a line break now would be part of the row.
    escaped: bool,
}

/// How much of the end mark `\.` the current line began with.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Start {
    #[default]
    Nothing,
    Backslash,
    Dot,
    Return,
    /// The line is a row.
    Over,
}

impl Rows {
    /// Reads `bytes` up to the end of the block. Gives the number of bytes that belong to it, and whether the
    /// end was among them.
    pub(super) fn read(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            if self.start == Start::Over {
                at += self.skip(bytes.get(at..).unwrap_or_default());
                continue;
            }
            at += 1;
            self.start = match (self.start, byte) {
                (Start::Nothing, b'\\') => Start::Backslash,
                (Start::Backslash, b'.') => Start::Dot,
                (Start::Dot, b'\r') => Start::Return,
                (Start::Dot | Start::Return, b'\n') => return (at, true),
                (_, b'\n') => self.line_break(),
                _ => Start::Over,
            };
            self.escaped = byte == b'\\' && !self.escaped;
        }
        (at, false)
    }

    fn line_break(&mut self) -> Start {
        self.count += u64::from(!self.escaped);
        Start::Nothing
    }

    /// Reads from the middle of a line to a line that may be the end, or to the last line of the chunk.
    fn skip(&mut self, bytes: &[u8]) -> usize {
        let mark = memmem::find(bytes, b"\n\\.");
        let Some(last) = mark.or_else(|| memrchr(b'\n', bytes)) else {
            self.escaped = ends_escaped(bytes, self.escaped);
            return bytes.len();
        };
        let lines = bytes.get(..=last).unwrap_or_default();
        let breaks = memchr_iter(b'\n', lines).count();
        let in_rows = memmem::find_iter(lines, b"\\\n")
            .filter(|at| ends_escaped(lines.get(..=*at).unwrap_or_default(), self.escaped))
            .count();
        let first = usize::from(self.escaped && lines.first() == Some(&b'\n'));
        self.count += (breaks - in_rows - first) as u64;
        (self.start, self.escaped) = (Start::Nothing, false);
        lines.len()
    }
}

/// Whether text ends in an odd number of backslashes; `before` says so of the text before it.
fn ends_escaped(bytes: &[u8], before: bool) -> bool {
    let backslashes = bytes.iter().rev().take_while(|byte| **byte == b'\\').count();
    let odd = backslashes % 2 == 1;
    if backslashes == bytes.len() { odd != before } else { odd }
}
