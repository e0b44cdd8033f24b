//! Where one statement ends and the next begins, as psql and the server see it: at semicolons outside quotes,
//! comments, parentheses and `BEGIN ATOMIC` bodies. It must never put one statement into two pieces.

use std::ops::Range;

use super::lex::{Kind, Token, tokens};

/// Cuts `text` into one piece for each statement. The pieces follow each other without a gap: each has the
/// white space and comments before its statement, and its semicolon; what follows the last statement belongs to
/// it. A psql meta-command is a piece of its own.
pub fn split(text: &str) -> Vec<Range<usize>> {
    let tokens = tokens(text);
    let mut pieces: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for piece in pieces_of(text, &tokens) {
        let end = tokens.get(piece.end - 1).map_or(start, |token| token.range.end);
        pieces.push(start..end);
        start = end;
    }
    match pieces.last_mut() {
        Some(last) => last.end = text.len(),
        None if !text.is_empty() => pieces.push(0..text.len()),
        None => {}
    }
    pieces
}

/// The same in token numbers; trivia after the last statement is left out.
pub(super) fn pieces_of(text: &str, tokens: &[Token]) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut cutter = Cutter::default();
    let (mut start, mut empty) = (0, true);
    for (number, token) in tokens.iter().enumerate() {
        if token.kind == Kind::Meta {
            if !empty {
                pieces.push(start..number);
                start = number;
            }
            pieces.push(start..number + 1);
        } else if !cutter.ends(text, token) {
            empty &= token.is_trivia();
            continue;
        } else {
            pieces.push(start..number + 1);
        }
        (start, empty, cutter) = (number + 1, true, Cutter::default());
    }
    if !empty {
        pieces.push(start..tokens.len());
    }
    pieces
}

/// What must be closed before a semicolon counts.
#[derive(Default)]
struct Cutter {
    parens: usize,
    /// Open `BEGIN ATOMIC` and, inside one, `CASE`.
    bodies: usize,
    create: bool,
    routine: bool,
    words: usize,
    previous: Previous,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Previous {
    #[default]
    Other,
    Begin,
    /// After `.` or `AS` a keyword is only a name.
    NamePlace,
}

impl Cutter {
    fn ends(&mut self, text: &str, token: &Token) -> bool {
        match token.kind {
            Kind::Punct => return self.punct(token.text(text)),
            Kind::Ident => self.word(token.text(text)),
            _ if token.is_trivia() => {}
            _ => self.previous = Previous::Other,
        }
        false
    }

    fn punct(&mut self, punct: &str) -> bool {
        self.previous = if punct == "." { Previous::NamePlace } else { Previous::Other };
        match punct {
            "(" => self.parens += 1,
            ")" => self.parens = self.parens.saturating_sub(1),
            ";" => return self.parens == 0 && self.bodies == 0,
            _ => {}
        }
        false
    }

    fn word(&mut self, word: &str) {
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        self.words += 1;
        self.create |= self.words == 1 && is("create");
        // CREATE [OR REPLACE] {FUNCTION | PROCEDURE}: only these have a body with semicolons.
        let routine_place = self.create && matches!(self.words, 2 | 4);
        self.routine |= routine_place && (is("function") || is("procedure"));
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
