//! GraphQL over HTTP: the body of a request, and what its answer says beside its status. Must never put a value into the
//! query.

use super::exchange::Reply;
use serde_json::{Map, Value};

/// Of what went wrong so much is told.
const LONGEST: usize = 600;

/// What is sent.
pub fn body(query: &str, variables: Option<Value>, operation: Option<&str>) -> Value {
    let mut body = Map::new();
    body.insert("query".to_owned(), query.into());
    if let Some(variables) = variables {
        body.insert("variables".to_owned(), variables);
    }
    if let Some(operation) = operation {
        body.insert("operationName".to_owned(), operation.into());
    }
    Value::Object(body)
}

/// Why the answer is a failure, whatever its status.
pub fn wrong(reply: &Reply) -> Option<String> {
    let Some(Value::Object(answer)) = &reply.json else {
        return Some(format!("status {}, and no answer of GraphQL", reply.status));
    };
    let errors = match answer.get("errors") {
        None | Some(Value::Null) if answer.contains_key("data") => return None,
        None | Some(Value::Null) => {
            return Some(format!("status {}, and neither `data` nor `errors`", reply.status));
        }
        Some(Value::Array(errors)) => errors.as_slice(),
        Some(other) => std::slice::from_ref(other),
    };
    let told: Vec<String> = errors.iter().map(in_words).collect();
    let mut told = format!("errors: {}", told.join("; "));
    told.truncate(told.floor_char_boundary(LONGEST));
    Some(told)
}

fn in_words(error: &Value) -> String {
    let message = error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned);
    let at = error["path"].as_array().into_iter().flatten();
    let path: Vec<String> =
        at.map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned)).collect();
    if path.is_empty() { message } else { format!("{message} (at {})", path.join(".")) }
}

/// The request was refused before any of it was done: an answer without `data` is given only then. `data: null` is not
/// that: a part may have been done.
pub fn is_refused(reply: &Reply) -> bool {
    let Some(Value::Object(answer)) = &reply.json else { return false };
    answer.get("errors").is_some_and(|errors| !errors.is_null()) && !answer.contains_key("data")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reply(json: Value) -> Reply {
        Reply { status: 200, json: Some(json), ..Reply::default() }
    }

    #[test]
    fn errors_are_a_failure_and_data_tells_whether_something_was_done() {
        assert_eq!(wrong(&reply(json!({ "data": { "a": 1 } }))), None);
        assert_eq!(wrong(&reply(json!({ "data": null, "errors": null }))), None);
        let refused = reply(json!({ "errors": [{ "message": "no such field" }] }));
        assert_eq!(wrong(&refused).unwrap(), "errors: no such field");
        assert!(is_refused(&refused));
        let half = reply(json!({ "data": null, "errors": [{ "message": "broke", "path": ["a", 0] }, 5] }));
        assert_eq!(wrong(&half).unwrap(), "errors: broke (at a.0); 5");
        assert!(!is_refused(&half));
        // The specification wants at least one in the list; an empty one is no answer to rely on.
        assert!(wrong(&reply(json!({ "data": {}, "errors": [] }))).is_some());
        assert!(wrong(&reply(json!([]))).is_some() && wrong(&Reply::default()).is_some());
        assert!(wrong(&reply(json!({ "message": "gateway" }))).is_some());
    }

    #[test]
    fn the_body_has_the_query_as_it_is() {
        let variables = json!({ "id": "\") { x }" });
        assert_eq!(
            body("{ a }", Some(variables.clone()), Some("One")),
            json!({ "query": "{ a }", "variables": variables, "operationName": "One" })
        );
        assert_eq!(body("{ a }", None, None), json!({ "query": "{ a }" }));
    }
}
