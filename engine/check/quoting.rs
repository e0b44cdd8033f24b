//! Where in SQL a `{{ }}` stands. A value becomes one token of its own, so it cannot stand in quotes, in a comment, or
//! glued to a word.

use super::context::Context;
use super::uses::Use;
use crate::plan::Finding;
use crate::plan::template::{Piece, pieces};
use crate::sql::lex::{self, Kind, Place, Token};
use std::ops::Range;

pub fn check(context: &Context<'_>, one: &Use<'_>, findings: &mut Vec<Finding>) {
    for fault in faults(&one.text.raw) {
        let span = context.place(one.text, fault.range);
        findings.push(match fault.within {
            Some((within, help)) => Finding::error(
                "runplan::check::template_in_quotes",
                span,
                format!("`{}` stands in {within} of SQL", fault.template),
            )
            .label("it is quoted by itself")
            .help(help),
            None => Finding::error(
                "runplan::check::template_glued",
                span,
                format!("`{}` is glued to what stands beside it", fault.template),
            )
            .label("a value is a token of its own")
            .help(if fault.continues {
                "texts that a line break separates become one text: write `||` or a comma between them"
            } else {
                "put spaces around it; join texts with `||`, names as one value: `{{ (a ~ b) | ident }}`"
            }),
        });
    }
}

/// A template where no value can stand.
pub struct Fault {
    range: Range<usize>,
    template: String,
    /// What it stands in, and what to do; none: it is glued to a word.
    within: Option<(&'static str, &'static str)>,
    /// SQL takes it and the text on the line above for one.
    continues: bool,
}

/// Every template of an SQL text that stands where no value can.
pub fn faults(raw: &str) -> Vec<Fault> {
    let pieces = pieces(raw).unwrap_or_default();
    let tokens = lex::tokens(&blank(raw, &pieces));
    let mut faults = Vec::new();
    for piece in &pieces {
        let Piece::Expression(expression, range) = piece else { continue };
        let (start, end) = (range.start - 2, range.end + 2);
        let within = match lex::place_among(&tokens, start + 1) {
            Place::Plain => None,
            Place::InString | Place::InEscapeString => Some((
                "quotes",
                "remove the quotes: the value becomes a literal of its type; join texts with `||`",
            )),
            Place::InQuotedIdent => Some(("a quoted name", "write `{{ name | ident }}` without quotes")),
            Place::InDollar => Some((
                "dollar quotes",
                "pass it by a setting: `SELECT set_config('runplan.x', {{ x }}, true)` before, and \
                 `current_setting('runplan.x')` inside",
            )),
            Place::InComment => Some(("a comment", "remove it")),
            Place::InMeta => Some(("a psql command", "write SQL: psql commands are not run")),
        };
        let glued = |next: Option<char>| next.is_some_and(is_glue);
        let touches = glued(raw[..start].chars().next_back()) || glued(raw[end..].chars().next());
        let continues = within.is_none()
            && !touches
            && !is_name(expression)
            && (follows_text(raw, &tokens, &pieces, start) || precedes_text(&tokens, end));
        if within.is_some() || touches || continues {
            faults.push(Fault { range: start..end, template: raw[start..end].to_owned(), within, continues });
        }
    }
    faults
}

/// The text with a blank for every expression, byte for byte as long.
fn blank(raw: &str, pieces: &[Piece<'_>]) -> String {
    let mut text = String::with_capacity(raw.len());
    for piece in pieces {
        match piece {
            Piece::Literal(literal, _) => text.push_str(literal),
            Piece::Expression(_, range) => text.extend(std::iter::repeat_n(' ', range.len() + 4)),
        }
    }
    text
}

fn is_name(expression: &str) -> bool {
    expression.rsplit('|').next().is_some_and(|last| last.trim() == "ident")
}

fn is_text(kind: Kind) -> bool {
    matches!(kind, Kind::String | Kind::EscapeString | Kind::BitString)
}

fn is_space(kind: Kind) -> bool {
    matches!(kind, Kind::Whitespace | Kind::LineComment)
}

/// Whether a text stands on a line above, with nothing in between: `'a'`, a line break, `'b'` is the text `ab`.
fn follows_text(raw: &str, tokens: &[Token], pieces: &[Piece<'_>], start: usize) -> bool {
    let before = tokens.partition_point(|token| token.range.start < start);
    let last = tokens[..before].iter().rev().find(|token| !is_space(token.kind));
    let from = last.map_or(0, |token| token.range.end);
    // A value that stands nearer is a blank among the tokens.
    let value = pieces.iter().rev().find_map(|piece| match piece {
        Piece::Expression(expression, range) if range.end + 2 <= start && range.start >= from => {
            Some((range.end + 2, !is_name(expression)))
        }
        _ => None,
    });
    let (end, is_text) = value.unwrap_or((from, last.is_some_and(|token| is_text(token.kind))));
    is_text && raw[end..start].contains('\n')
}

/// Whether a text of the plan follows on a line below, with nothing in between.
fn precedes_text(tokens: &[Token], end: usize) -> bool {
    let after = tokens.partition_point(|token| token.range.end <= end);
    let next = tokens[after..].iter().find(|token| !is_space(token.kind));
    next.is_some_and(|token| is_text(token.kind))
}

fn is_glue(next: char) -> bool {
    next.is_alphanumeric() || matches!(next, '_' | '$' | '\'' | '"' | '{' | '}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_on_two_lines_are_one() {
        for raw in [
            "SELECT 'a'\n{{ x }}",
            "SELECT E'a' -- why\n  {{ x }}",
            "SELECT {{ x }}\n'a'",
            "SELECT U&'a'\n{{ x }} UESCAPE '!'",
        ] {
            let found = faults(raw);
            assert!(found.iter().any(|fault| fault.continues), "{raw}");
        }
        assert_eq!(faults("SELECT {{ x }}\n{{ y }}").len(), 1);
        for raw in [
            "SELECT 'a',\n{{ x }}",
            "SELECT 'a'\n{{ x | ident }}",
            "SELECT 'a' ||\n{{ x }}",
            "SELECT {{ x }},\n'a'",
            "SELECT {{ x }}\nFROM t WHERE a = 'b'",
            "SELECT {{ x | ident }}\nFROM t WHERE a = {{ y }}\nAND b = 'c'",
            "SELECT 1; -- 'a'\n{{ x }}",
        ] {
            assert!(faults(raw).is_empty(), "{raw}");
        }
    }
}
