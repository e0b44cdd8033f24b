//! Where in SQL a `{{ }}` stands. A value becomes one token of its own, so it cannot stand in quotes, in a comment, or
//! glued to a word.

use super::context::Context;
use super::uses::Use;
use crate::plan::Finding;
use crate::plan::template::{Piece, pieces};
use crate::sql::lex::{self, Place};
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
            .help("put spaces around it; join texts with `||`, names as one value: `{{ (a ~ b) | ident }}`"),
        });
    }
}

/// A template where no value can stand.
pub struct Fault {
    range: Range<usize>,
    template: String,
    /// What it stands in, and what to do; none: it is glued to a word.
    within: Option<(&'static str, &'static str)>,
}

/// Every template of an SQL text that stands where no value can.
pub fn faults(raw: &str) -> Vec<Fault> {
    let pieces = pieces(raw).unwrap_or_default();
    let tokens = lex::tokens(&blank(raw, &pieces));
    let mut faults = Vec::new();
    for piece in &pieces {
        let Piece::Expression(_, range) = piece else { continue };
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
        if within.is_some() || glued(raw[..start].chars().next_back()) || glued(raw[end..].chars().next()) {
            faults.push(Fault { range: start..end, template: raw[start..end].to_owned(), within });
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

fn is_glue(next: char) -> bool {
    next.is_alphanumeric() || matches!(next, '_' | '$' | '\'' | '"' | '{' | '}')
}
