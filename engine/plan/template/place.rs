//! A value in its place: one SQL token, one shell word, one part of a URL. Nothing here can be broken out of.

use super::scan::{Piece, pieces};
use super::{Error, Scope, environment, evaluate, size, syntax};
use minijinja::Value;
use minijinja::value::{Object, ValueKind};
use postgres_protocol::escape::{escape_identifier, escape_literal};
use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

/// PostgreSQL cuts longer identifiers silently.
const LONGEST_IDENTIFIER: usize = 63;
/// A value in a script travels in the environment; the kernel refuses one string over 128 KiB.
const LONGEST_IN_SCRIPT: usize = 100 * 1024;

/// An SQL text with its values in place, and which bytes each value became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlText {
    pub text: String,
    pub values: Vec<Range<usize>>,
}

/// A script whose values travel in the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    pub text: String,
    /// `RUNPLAN_1=value`
    pub env: Vec<(String, String)>,
}

/// `{{ x | ident }}`: a quoted identifier.
#[derive(Debug)]
struct Identifier(String);

impl Object for Identifier {
    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) fn ident(value: Value) -> Result<Value, minijinja::Error> {
    let text = value.to_string();
    let wrong = |why: String| Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, why));
    if text.is_empty() {
        return wrong("an identifier cannot be empty".to_owned());
    }
    if text.len() > LONGEST_IDENTIFIER {
        return wrong(format!("`{text}` is longer than {LONGEST_IDENTIFIER} bytes; PostgreSQL would cut it"));
    }
    if text.contains('\0') {
        return wrong("an identifier cannot hold NUL".to_owned());
    }
    Ok(Value::from_object(Identifier(text)))
}

pub(super) fn like(value: &str) -> String {
    value.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

/// SQL with every value as a literal of its type.
///
/// # Errors
/// Template syntax, an unknown name, a value that SQL cannot hold.
pub fn sql(text: &str, scope: &Scope) -> Result<SqlText, Error> {
    let mut out = SqlText { text: String::with_capacity(text.len()), values: Vec::new() };
    each(text, scope, &mut |part| {
        match part {
            Part::Text(text) => out.text.push_str(text),
            Part::Late(name) => out.text.push_str(&name),
            Part::Value(value, range) => {
                let literal = sql_literal(&value).map_err(|why| Error::new(why, range))?;
                // A token of its own: `1{{ x }}` must not become one number.
                let start = out.text.len();
                out.text.push_str(&literal);
                out.values.push(start..out.text.len());
            }
        }
        Ok(out.text.len())
    })?;
    Ok(out)
}

/// One value as SQL: `'O''Brien'`, `(-5)`, `NULL`, `ARRAY['a']::text[]`.
///
/// # Errors
/// NUL, or a kind of value that SQL has no literal for.
pub fn sql_literal(value: &Value) -> Result<String, String> {
    if let Some(identifier) = value.downcast_object_ref::<Identifier>() {
        return Ok(escape_identifier(&identifier.0));
    }
    match value.kind() {
        ValueKind::None => Ok("NULL".to_owned()),
        ValueKind::Bool => Ok(if value.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::Number => {
            let text = value.to_string();
            Ok(if text.starts_with('-') { format!("({text})") } else { text })
        }
        ValueKind::String => quoted(value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => array(value),
        ValueKind::Map => {
            let json = serde_json::to_string(value).map_err(|error| error.to_string())?;
            Ok(format!("{}::jsonb", quoted(&json)?))
        }
        other => Err(format!("a {other} cannot be put into SQL")),
    }
}

fn quoted(text: &str) -> Result<String, String> {
    if text.contains('\0') {
        return Err("the value holds NUL, which PostgreSQL cannot store".to_owned());
    }
    // escape_literal puts a space before E'...'; it stays, so that no word before it can swallow the E.
    Ok(escape_literal(text))
}

fn array(value: &Value) -> Result<String, String> {
    let items: Vec<Value> = value.try_iter().map_err(|error| error.to_string())?.collect();
    let kind = if items.iter().any(|item| !matches!(item.kind(), ValueKind::Number | ValueKind::Bool)) {
        "text"
    } else if items.is_empty() {
        return Ok("'{}'::text[]".to_owned());
    } else if items.iter().all(|item| item.kind() == ValueKind::Bool) {
        "boolean"
    } else if items.iter().all(Value::is_integer) {
        "bigint"
    } else {
        "numeric"
    };
    let literals: Result<Vec<String>, String> = items
        .iter()
        .map(|item| match (kind, item.kind()) {
            (_, ValueKind::None) => Ok("NULL".to_owned()),
            ("text", ValueKind::Number | ValueKind::Bool) => quoted(&argument(item)?),
            (_, ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) => {
                Err("a list of lists or of mappings cannot be put into SQL".to_owned())
            }
            _ => sql_literal(item),
        })
        .collect();
    Ok(format!("ARRAY[{}]::{kind}[]", literals?.join(", ")))
}

/// A shell script: `{{ x }}` becomes `"${RUNPLAN_1}"`, with the value in the environment.
///
/// # Errors
/// Template syntax, an unknown name, NUL, a value over 100 KiB.
pub fn script(text: &str, scope: &Scope) -> Result<Script, Error> {
    let mut out = Script { text: String::with_capacity(text.len()), env: Vec::new() };
    let mut values = 0;
    each(text, scope, &mut |part| {
        match part {
            Part::Text(text) => out.text.push_str(text),
            Part::Late(name) => {
                let variable = format!("RUNPLAN_{}", out.env.len() + 1);
                let _ = write!(out.text, "\"${{{variable}}}\"");
                out.env.push((variable, name));
            }
            Part::Value(value, range) => {
                let text = argument(&value).map_err(|why| Error::new(why, range.clone()))?;
                if text.len() > LONGEST_IN_SCRIPT {
                    let message = format!(
                        "the value has {} bytes; a script takes {LONGEST_IN_SCRIPT}: pass it by `stdin`",
                        text.len()
                    );
                    return Err(Error::new(message, range));
                }
                let variable = format!("RUNPLAN_{}", out.env.len() + 1);
                let _ = write!(out.text, "\"${{{variable}}}\"");
                values += text.len();
                out.env.push((variable, text));
            }
        }
        Ok(out.text.len() + values)
    })?;
    Ok(out)
}

/// Text for a place that takes any text: an argument, a path, a header.
///
/// # Errors
/// Template syntax, an unknown name, NUL.
pub fn plain(text: &str, scope: &Scope) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    each(text, scope, &mut |part| {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Late(name) => out.push_str(&name),
            Part::Value(value, range) => {
                out.push_str(&argument(&value).map_err(|why| Error::new(why, range))?);
            }
        }
        Ok(out.len())
    })?;
    Ok(out)
}

/// A URL: values are percent-encoded, but for one that is the whole beginning (`{{ params.base }}/health`).
///
/// # Errors
/// Template syntax, an unknown name, NUL.
pub fn url(text: &str, scope: &Scope) -> Result<String, Error> {
    const PART: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let mut out = String::with_capacity(text.len());
    each(text, scope, &mut |part| {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Late(name) => out.push_str(&name),
            Part::Value(value, range) => {
                let text = argument(&value).map_err(|why| Error::new(why, range))?;
                if out.is_empty() {
                    out.push_str(&text);
                } else {
                    let _ = write!(out, "{}", percent_encoding::utf8_percent_encode(&text, PART));
                }
            }
        }
        Ok(out.len())
    })?;
    Ok(out)
}

/// A message: the whole language of minijinja.
///
/// # Errors
/// Template syntax, an unknown name.
pub fn message(text: &str, scope: &Scope) -> Result<String, Error> {
    if scope.is_review() {
        // Unknown names are shown as themselves; a message with tags is shown as it is written.
        return plain(text, scope).or_else(|_| Ok(text.to_owned()));
    }
    size::template(text)?;
    let whole = 0..text.len();
    let template = environment()
        .template_from_str(text)
        .map_err(|error| Error::from_minijinja(&error, whole.clone()))?;
    let mut out = size::Limited::default();
    let rendered = template.render_captured_to(scope.values().clone(), &mut out);
    match rendered {
        _ if out.is_full => Err(Error::new(size::too_large(), whole)),
        Ok(_) => String::from_utf8(out.bytes).map_err(|error| Error::new(error.to_string(), whole)),
        Err(error) => Err(Error::from_minijinja(&error, whole)),
    }
}

/// Data: one `{{ x }}` alone keeps its type, anything else is a text.
///
/// # Errors
/// Template syntax, an unknown name.
pub fn value(text: &str, scope: &Scope) -> Result<serde_json::Value, Error> {
    let parts = pieces(text)?;
    if let [Piece::Expression(expression, range)] = parts.as_slice()
        && (!scope.is_review() || unknown(expression, range.clone(), scope)?.is_none())
    {
        let value = evaluate(expression, range.clone(), scope)?;
        return serde_json::to_value(&value).map_err(|error| Error::new(error.to_string(), range.clone()));
    }
    plain(text, scope).map(serde_json::Value::String)
}

enum Part<'t> {
    Text(&'t str),
    /// A review shows what is not known yet.
    Late(String),
    Value(Value, Range<usize>),
}

fn each<'t>(
    text: &'t str,
    scope: &Scope,
    take: &mut dyn FnMut(Part<'t>) -> Result<usize, Error>,
) -> Result<(), Error> {
    // What `take` returns is how much there is by now.
    let mut put = |part: Part<'t>, range: &Range<usize>| match take(part)? {
        size if size > size::MOST_BYTES => Err(Error::new(size::too_large(), range.clone())),
        _ => Ok(()),
    };
    for piece in pieces(text)? {
        match piece {
            Piece::Literal(text, range) => put(Part::Text(text), &range)?,
            Piece::Expression(expression, range) => {
                let late = if scope.is_review() { unknown(expression, range.clone(), scope)? } else { None };
                match late {
                    Some(name) => put(Part::Late(name), &range)?,
                    None => {
                        let value = evaluate(expression, range.clone(), scope)?;
                        put(Part::Value(value, range.clone()), &range)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// The placeholder of an expression that reads a name without a value.
fn unknown(expression: &str, range: Range<usize>, scope: &Scope) -> Result<Option<String>, Error> {
    let names = syntax::expression(expression, range)?;
    if names.functions.iter().any(|function| function.name == "now") {
        return Ok(Some(format!("‹{}›", expression.trim())));
    }
    let missing: Vec<&str> = names
        .references
        .iter()
        .map(|reference| reference.path.as_str())
        .filter(|path| !scope.has(path))
        .collect();
    Ok(match missing.as_slice() {
        [] => None,
        [one] if expression.trim() == *one => Some(Scope::placeholder(one)),
        _ => Some(format!("‹{}›", expression.trim())),
    })
}

/// A value as one argument of a program.
fn argument(value: &Value) -> Result<String, String> {
    let text = match value.kind() {
        ValueKind::None => String::new(),
        // As it is written in a plan; the language of templates says `True`.
        ValueKind::Bool => if value.is_true() { "true" } else { "false" }.to_owned(),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            serde_json::to_string(value).map_err(|error| error.to_string())?
        }
        _ => value.to_string(),
    };
    if text.contains('\0') {
        return Err("the value holds NUL, which no program can be given".to_owned());
    }
    Ok(text)
}
