//! Where in SQL a `{{ }}` stands. A value becomes one token of its own, so it cannot stand in quotes, in a comment, or
//! glued to a word.

use super::context::Context;
use super::uses::Use;
use crate::plan::Finding;
use crate::plan::template::{Piece, pieces};
use crate::sql::lex::{self, Place};

pub fn check(context: &Context<'_>, one: &Use<'_>, findings: &mut Vec<Finding>) {
    let raw = &one.text.raw;
    let Ok(pieces) = pieces(raw) else { return };
    let blank = blank(raw, &pieces);
    let tokens = lex::tokens(&blank);
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
        let before = raw[..start].chars().next_back();
        let after = raw[end..].chars().next();
        let glued = before.is_some_and(is_glue) || after.is_some_and(is_glue);
        let span = context.place(one.text, start..end);
        if let Some((within, help)) = within {
            findings.push(
                Finding::error(
                    "runplan::check::template_in_quotes",
                    span,
                    format!("`{{{{{expression}}}}}` stands in {within} of SQL"),
                )
                .label("it is quoted by itself")
                .help(help),
            );
        } else if glued {
            findings.push(
                Finding::error(
                    "runplan::check::template_glued",
                    span,
                    format!("`{{{{{expression}}}}}` is glued to what stands beside it"),
                )
                .label("a value is a token of its own")
                .help(
                    "put spaces around it; join texts with `||`, names as one value: `{{ (a ~ b) | ident }}`",
                ),
            );
        }
    }
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

fn is_glue(next: char) -> bool {
    next.is_alphanumeric() || matches!(next, '_' | '$' | '\'' | '"' | '{' | '}')
}
