//! Which semicolon ends a statement: told the words and punctuation outside quotes and comments, one by one.
//! One for each statement; it must never look at anything else, so that texts and streams are cut alike.

/// What must be closed before a semicolon counts.
#[derive(Debug, Default, Clone)]
pub(super) struct Cutter {
    parens: usize,
    /// Open `BEGIN ATOMIC` and, inside one, `CASE`.
    bodies: usize,
    create: bool,
    routine: bool,
    words: usize,
    previous: Previous,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Previous {
    #[default]
    Other,
    Begin,
    /// After `.` or `AS` a keyword is only a name.
    NamePlace,
}

impl Cutter {
    /// A punctuation character; true when it is the semicolon that ends the statement.
    pub(super) fn punct(&mut self, punct: u8) -> bool {
        self.previous = if punct == b'.' { Previous::NamePlace } else { Previous::Other };
        match punct {
            b'(' => self.parens += 1,
            b')' => self.parens = self.parens.saturating_sub(1),
            b';' => return self.parens == 0 && self.bodies == 0,
            _ => {}
        }
        false
    }

    /// Any other token that is not trivia.
    pub(super) fn other(&mut self) {
        self.previous = Previous::Other;
    }

    /// How many parentheses are open.
    pub(super) fn depth(&self) -> usize {
        self.parens
    }

    /// An unquoted word.
    pub(super) fn word(&mut self, word: &[u8]) {
        let is = |other: &str| word.eq_ignore_ascii_case(other.as_bytes());
        self.words += 1;
        self.create |= self.words == 1 && is("create");
        if !self.create {
            return;
        }
        // CREATE [OR REPLACE] {FUNCTION | PROCEDURE}: only these have a body with semicolons.
        self.routine |= matches!(self.words, 2 | 4) && (is("function") || is("procedure"));
        let before = std::mem::replace(&mut self.previous, Previous::Other);
        match before {
            _ if is("as") => self.previous = Previous::NamePlace,
            Previous::NamePlace => {}
            _ if !self.routine => {}
            Previous::Begin if is("atomic") => self.bodies += 1,
            _ if is("begin") => self.previous = Previous::Begin,
            _ if is("case") && self.bodies > 0 => self.bodies += 1,
            _ if is("end") => self.bodies = self.bodies.saturating_sub(1),
            _ => {}
        }
    }
}
