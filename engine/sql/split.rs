//! Where one statement ends and the next begins, as psql and the server see it: at semicolons outside quotes,
//! comments, parentheses and `BEGIN ATOMIC` bodies. It must never put one statement into two pieces.

use std::ops::Range;

use super::cutter::Cutter;
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
        } else if !ends(&mut cutter, text, token) {
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

fn ends(cutter: &mut Cutter, text: &str, token: &Token) -> bool {
    let bytes = token.text(text).as_bytes();
    match (token.kind, bytes.first()) {
        (Kind::Punct, Some(punct)) => return cutter.punct(*punct),
        (Kind::Ident, _) => cutter.word(bytes),
        _ if token.is_trivia() => {}
        _ => cutter.other(),
    }
    false
}
