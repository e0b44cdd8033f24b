//! What a template may name. Built by the edge for a step (with the secrets it uses) or by the core (without any).

use minijinja::Value;
use minijinja::value::ValueKind;
use std::collections::BTreeMap;

/// Data as a template's value.
pub fn value_of(data: &serde_json::Value) -> Value {
    Value::from(minijinja::value::Serde(data))
}

/// The values of `params secrets databases steps run site rehearsal`.
#[derive(Clone)]
pub struct Scope {
    values: Value,
    /// A review: what is not known yet is shown as `‹name›` instead of being an error.
    late: bool,
}

impl Scope {
    /// A scope for a run: a name without a value is an error.
    pub fn new(values: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self { values: Value::from(values.into_iter().collect::<BTreeMap<_, _>>()), late: false }
    }

    /// A scope for a review: a name without a value is shown as itself.
    pub fn review(values: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self { late: true, ..Self::new(values) }
    }

    pub fn values(&self) -> &Value {
        &self.values
    }

    /// The same values, where a name without one is an error.
    pub fn of_a_run(&self) -> Self {
        Self { late: false, ..self.clone() }
    }

    pub fn is_review(&self) -> bool {
        self.late
    }

    /// Whether a dotted name has a value. A parameter is known as a whole: a part that it has not is a fault, and comes
    /// no later.
    pub fn has(&self, path: &str) -> bool {
        let mut value = self.values.clone();
        let parts = if path.starts_with("params.") { 2 } else { usize::MAX };
        for part in path.split('.').take(parts) {
            let next = match part.parse() {
                Ok(index) if value.kind() == ValueKind::Seq => value.get_item_by_index(index),
                _ => value.get_attr(part),
            };
            match next {
                Ok(next) if !next.is_undefined() => value = next,
                _ => return false,
            }
        }
        true
    }

    /// How a value that is not known yet is shown.
    pub fn placeholder(path: &str) -> String {
        match path.split_once('.') {
            Some(("secrets", name)) => format!("‹secret {name}›"),
            Some(("params", name)) => format!("‹param {name}›"),
            _ => format!("‹{path}›"),
        }
    }
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may hold secrets.
        f.debug_struct("Scope").field("late", &self.late).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_has_a_value() {
        let data = json!({ "params": { "l": ["a"] }, "steps": { "a": { "json": [{ "b": 1 }] } } });
        let values = data.as_object().unwrap().iter().map(|(name, data)| (name.clone(), value_of(data)));
        let scope = Scope::review(values);
        for path in ["params.l", "params.l.0", "params.l.7", "steps.a.json.0.b"] {
            assert!(scope.has(path), "{path}");
        }
        for path in ["params.m", "params.m.0", "steps.a.json.1", "steps.b", "run.id"] {
            assert!(!scope.has(path), "{path}");
        }
    }
}
