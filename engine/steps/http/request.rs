//! The author's fields -> a request, with its values in place. Must never paste a value into JSON.

use super::super::attempt::{Attempt, broken};
use super::exchange::{LIMIT, Request, shown};
use super::graphql;
use crate::plan::action::Http;
use crate::plan::action::http::Method;
use crate::plan::{Json, Text, template};
use crate::run::Failure;
use std::time::Duration;

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
