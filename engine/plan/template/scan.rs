//! Finding the templates in a text and the names in them, with their places.

use super::syntax::{self, Names, Reference};
use super::{Error, bare_expression};
use std::ops::Range;

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'t> {
    Literal(&'t str, Range<usize>),
    /// What stands between `{{` and `}}`, and its range without them.
    Expression(&'t str, Range<usize>),
}

/// Splits at `{{ }}`. Tags, comments and whitespace control belong to messages and are refused here.
///
/// # Errors
/// An unclosed `{{`, an empty one, `{% %}`, `{# #}`, `{{-` or `-}}`.
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, Error> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find('{').map(|found| at + found) {
        let rest = &text[found..];
        if rest.starts_with("{%") || rest.starts_with("{#") {
            let what = &rest[..2];
            let message = format!("`{what}` can be used in messages only; here `{{{{ }}}}` alone");
            return Err(Error::new(message, found..found + 2));
        }
        if !rest.starts_with("{{") {
            // A lone brace is text.
            let next = found + 1;
            let end = text[next..].find('{').map_or(text.len(), |more| next + more);
            push_literal(&mut pieces, text, at..end);
            at = end;
            continue;
        }
        push_literal(&mut pieces, text, at..found);
        let end = close(text, found)?;
        let inner = found + 2..end;
        let expression = &text[inner.clone()];
        if expression.starts_with(['-', '+']) && expression[1..].starts_with(' ') || expression.ends_with('-')
        {
            return Err(Error::new("`{{-` and `-}}` can be used in messages only", found..end + 2));
        }
        if expression.trim().is_empty() {
            return Err(Error::new("the template is empty", found..end + 2));
        }
        pieces.push(Piece::Expression(expression, inner));
        at = end + 2;
    }
    push_literal(&mut pieces, text, at..text.len());
    Ok(pieces)
}

fn push_literal<'t>(pieces: &mut Vec<Piece<'t>>, text: &'t str, range: Range<usize>) {
    if range.is_empty() {
        return;
    }
    match pieces.last_mut() {
        Some(Piece::Literal(part, known)) => {
            known.end = range.end;
            *part = &text[known.clone()];
        }
        _ => pieces.push(Piece::Literal(&text[range.clone()], range)),
    }
}

/// The offset of the `}}` that closes the `{{` at `open`; quotes inside the expression are honoured.
fn close(text: &str, open: usize) -> Result<usize, Error> {
    let bytes = text.as_bytes();
    let mut at = open + 2;
    let mut quote = None;
    let mut braces = 0usize;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, byte @ (b'\'' | b'"')) => quote = Some(byte),
            (None, b'{') => braces += 1,
            (None, b'}') if braces > 0 => braces -= 1,
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Ok(at),
            (None, _) => {}
        }
        at += 1;
    }
    Err(Error::new("`{{` is not closed", open..(open + 2).min(text.len())))
}

/// Everything a text names. `whole`: the text is a message and may use the whole language.
///
/// # Errors
/// Template syntax.
pub fn read(text: &str, whole: bool) -> Result<Names, Error> {
    let mut names = Names::default();
    if !text.contains("{{") && !text.contains("{%") && !text.contains("{#") {
        return Ok(names);
    }
    if whole {
        return syntax::template(text);
    }
    for piece in pieces(text)? {
        if let Piece::Expression(expression, range) = piece {
            names.extend(syntax::expression(expression, range)?);
        }
    }
    Ok(names)
}

/// The names that a text reads.
///
/// # Errors
/// Template syntax.
pub fn references(text: &str, whole: bool) -> Result<Vec<Reference>, Error> {
    read(text, whole).map(|names| names.references)
}

/// What a `when` names.
///
/// # Errors
/// Syntax.
pub fn read_condition(text: &str) -> Result<Names, Error> {
    let (expression, range) = bare_expression(text);
    syntax::expression(expression, range)
}

/// The names that a `when` reads.
///
/// # Errors
/// Syntax.
pub fn condition_references(text: &str) -> Result<Vec<Reference>, Error> {
    read_condition(text).map(|names| names.references)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_expressions_only() {
        let text = "a {b} {{ x }} c {{ '}}' ~ y }}";
        let expressions: Vec<&str> = pieces(text)
            .unwrap()
            .into_iter()
            .filter_map(|piece| match piece {
                Piece::Expression(text, _) => Some(text),
                Piece::Literal(..) => None,
            })
            .collect();
        assert_eq!(expressions, [" x ", " '}}' ~ y "]);
        for bad in ["{{ x", "{{ }}", "{% if x %}", "{# c #}", "{{- x -}}"] {
            assert!(pieces(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pieces_join_to_the_text() {
        for text in ["", "{", "}}", "{ {", "{{ a }}{{ b }}", "x{{ a }}{"] {
            let joined: String = pieces(text)
                .unwrap()
                .into_iter()
                .map(|piece| match piece {
                    Piece::Literal(text, _) => text.to_owned(),
                    Piece::Expression(text, _) => format!("{{{{{text}}}}}"),
                })
                .collect();
            assert_eq!(joined, text);
        }
    }

    #[test]
    fn names_know_their_places() {
        let text = "swap {{ steps.restored.database }} for {{ databases.app.name | upper }}";
        let found = references(text, false).unwrap();
        let paths: Vec<&str> = found.iter().map(|reference| reference.path.as_str()).collect();
        assert_eq!(paths, ["steps.restored.database", "databases.app.name"]);
        for reference in &found {
            assert_eq!(&text[reference.range.clone()], reference.path);
        }
    }
}
