//! Templates: strict minijinja, split at its `{{ }}` wherever text must not be able to break out of its place.
//! In SQL, scripts, URLs and argv every expression is evaluated by itself and its value is put in as one token of that
//! place; only messages use the whole language.

mod place;
mod results;
mod scan;
mod scope;
mod size;
mod syntax;

pub use place::{Script, SqlText, message, plain, script, sql, sql_literal, url, value};
pub use results::Results;
pub use scan::{Piece, condition_references, pieces, read, read_condition, references};
pub use scope::{Scope, value_of};
pub use syntax::{Names, Reference, Used};

use minijinja::{Environment, UndefinedBehavior, Value};
use std::ops::Range;
use std::sync::OnceLock;

/// How much one template may compute; a runaway loop ends here.
const FUEL: u64 = 200_000;

/// Why a template cannot be used, and where in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub message: String,
    /// Bytes of the text; the whole of it when the place is not known.
    pub range: Range<usize>,
}

impl Error {
    pub fn new(message: impl Into<String>, range: Range<usize>) -> Self {
        Self { message: message.into(), range }
    }

    fn from_minijinja(error: &minijinja::Error, within: Range<usize>) -> Self {
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let range = error
            .range()
            .map(|range| within.start + range.start..within.start + range.end)
            .filter(|range| range.end <= within.end && range.start < range.end);
        Self { message: detail, range: range.unwrap_or(within) }
    }
}

/// `true` or `false` of a `when`.
///
/// # Errors
/// The expression cannot be computed, or is not a condition.
pub fn condition(text: &str, scope: &Scope) -> Result<bool, Error> {
    let (expression, range) = bare_expression(text);
    let value = evaluate(expression, range.clone(), scope)?;
    match value.kind() {
        minijinja::value::ValueKind::Bool => Ok(value.is_true()),
        other => Err(Error::new(format!("`when` must be true or false, not a {other}"), range)),
    }
}

/// A `when` may be written with or without `{{ }}`.
pub fn bare_expression(text: &str) -> (&str, Range<usize>) {
    let trimmed = text.trim();
    let start = text.len() - text.trim_start().len();
    match trimmed.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
        Some(inner) if !inner.contains("}}") => (inner, start + 2..start + 2 + inner.len()),
        _ => (trimmed, start..start + trimmed.len()),
    }
}

/// The value of one expression.
///
/// # Errors
/// Syntax, an unknown name, a wrong type; with the place.
pub fn evaluate(expression: &str, range: Range<usize>, scope: &Scope) -> Result<Value, Error> {
    size::expression(expression, &range)?;
    let environment = environment();
    let compiled = environment
        .compile_expression(expression)
        .map_err(|error| Error::from_minijinja(&error, range.clone()))?;
    let value = compiled
        .eval(scope.values().clone())
        .map_err(|error| Error::from_minijinja(&error, range.clone()))?;
    if value.as_str().is_some_and(|text| text.len() > size::MOST_BYTES) {
        return Err(Error::new(size::too_large(), range));
    }
    if value.is_undefined() {
        let name = expression.trim();
        return Err(Error::new(format!("`{name}` has no value here"), range));
    }
    Ok(value)
}

/// The one environment: strict, fuelled, with the filters of the plan language.
pub(crate) fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(64);
        environment.set_debug(true);
        environment.add_filter("ident", place::ident);
        environment.add_filter("like", place::like);
        environment
    })
}
