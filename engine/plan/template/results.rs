//! `steps` in templates: the results of finished steps, looked up when a template names one, so that a step costs the
//! same however many there are.

use super::scope::value_of;
use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

/// Shared by all steps of a run; the driver writes, templates read.
#[derive(Debug, Clone, Default)]
pub struct Results(Arc<RwLock<HashMap<String, Value>>>);

impl Results {
    /// The result of a step; None takes it back (an undone step has none).
    pub fn set(&self, id: &str, result: Option<&serde_json::Value>) {
        let mut map = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        match result {
            Some(result) => drop(map.insert(id.to_owned(), value_of(result))),
            None => drop(map.remove(id)),
        }
    }

    /// The value of `steps`.
    pub fn value(&self) -> Value {
        Value::from_object(View { results: self.clone(), prefix: String::new() })
    }

    fn get(&self, id: &str) -> Option<Value> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(id).cloned()
    }

    fn has_prefix(&self, prefix: &str) -> bool {
        self.0
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .keys()
            .any(|id| id.starts_with(prefix))
    }
}

/// `steps`, or `steps.maintenance` on the way to `steps.maintenance.open`.
#[derive(Debug)]
struct View {
    results: Results,
    prefix: String,
}

impl Object for View {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let id = format!("{}{}", self.prefix, key.as_str()?);
        if let Some(value) = self.results.get(&id) {
            return Some(value);
        }
        let prefix = format!("{id}.");
        self.results
            .has_prefix(&prefix)
            .then(|| Value::from_object(Self { results: self.results.clone(), prefix }))
    }
}
