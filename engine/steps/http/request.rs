//! The author's fields -> a request, with its values in place. Must never paste a value into JSON.

use super::super::attempt::{Attempt, broken};
use super::exchange::{LIMIT, Request, shown};
use super::graphql;
use crate::plan::action::Http;
use crate::plan::action::http::Method;
use crate::plan::{Json, Text, template};
use crate::run::Failure;
use std::time::Duration;
use ureq::http::{HeaderName, HeaderValue};

/// Renders a request. `limit`: how long the exchange may take.
///
/// # Errors
/// A template or a secret.
pub async fn request(attempt: &Attempt, action: &Http, limit: Option<Duration>) -> Result<Request, Failure> {
    let variables = action.graphql.as_ref().and_then(|graphql| graphql.variables.as_ref());
    let bodies = action.json.iter().chain(variables).flat_map(Json::texts).chain(&action.body);
    let texts: Vec<&Text> =
        std::iter::once(&action.url).chain(action.headers.values()).chain(bodies).collect();
    let scope = attempt.scope(texts).await?;
    let url = template::url(&action.url.raw, &scope).map_err(|error| broken(&action.url, &error))?;
    let mut headers = Vec::new();
    for (name, text) in action.headers.iter() {
        let value = template::plain(&text.raw, &scope).map_err(|error| broken(text, &error))?;
        allowed(&name.value, &value)?;
        headers.push((name.value.clone(), value));
    }
    let value = &mut |text: &Text| template::value(&text.raw, &scope).map_err(|error| broken(text, &error));
    let json = match (&action.json, &action.graphql) {
        (Some(json), _) => Some(json.build(value)?),
        (None, Some(request)) => {
            let variables = request.variables.as_ref().map(|variables| variables.build(value)).transpose()?;
            let operation = request.operation.as_ref().map(|name| name.value.as_str());
            Some(graphql::body(&request.query.raw, variables, operation))
        }
        (None, None) => None,
    };
    let body = match (json, &action.body) {
        (Some(json), _) => {
            let has_type = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
            if !has_type {
                headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
            }
            Some(json.to_string().into_bytes())
        }
        (None, Some(text)) => {
            let body = template::plain(&text.raw, &scope).map_err(|error| broken(text, &error))?;
            Some(body.into_bytes())
        }
        (None, None) => None,
    };
    let hides = action.url.raw.contains("secrets") || attempt.world.secrets.redactor().finds(&url);
    Ok(Request {
        method: word(action.method),
        shown: shown(&url, hides),
        url,
        headers,
        body,
        limit: limit.unwrap_or(LIMIT),
    })
}

/// Says which header HTTP does not allow, and never its value.
fn allowed(name: &str, value: &str) -> Result<(), Failure> {
    let wrong = |message: String| Failure::new("runplan::http::header", message).permanent();
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(wrong(format!("`{name}` is not a name that HTTP allows a header"))
            .help("letters, digits and hyphens; a colon does not belong to it"));
    }
    if HeaderValue::from_bytes(value.as_bytes()).is_ok() {
        return Ok(());
    }
    let (what, help) = match value.find(['\n', '\r']) {
        Some(at) if value[at..].trim().is_empty() => (
            "ends in a line break",
            "write the file or variable that it comes from without one: `printf %s \"$TOKEN\" > FILE`",
        ),
        Some(_) => (
            "has a line break",
            "a header is one line: see what the file or variable holds that it comes from",
        ),
        None => ("has a control character", "see what the file or variable holds that it comes from"),
    };
    Err(wrong(format!("the value of the header `{name}` {what}, which HTTP does not allow")).help(help))
}

fn word(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}
