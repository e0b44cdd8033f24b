//! The JSON Schemas of plan and site file, from the same definitions that decode them.

use super::decode::{Decode, Schemas};
use super::include::Include;
use super::{Plan, Site};
use serde_json::{Value, json};

/// `schemas/plan.schema.json`
pub fn plan() -> serde_json::Value {
    let mut page = Schemas::page::<Plan>("plan.schema.json", "A runplan plan").to_value();
    // In the list of steps an include may stand in a step's place.
    let mut schemas = Schemas::default();
    let include = Include::schema(&mut schemas);
    if let Some(items) = page.pointer_mut("/properties/steps/items") {
        let step = items.take();
        *items = json!({ "if": { "required": ["uses"] }, "then": include, "else": step });
    }
    if let Some(Value::Object(definitions)) = page.pointer_mut("/$defs") {
        for (name, schema) in schemas.definitions {
            definitions.entry(name).or_insert(schema);
        }
        definitions.sort_keys();
    }
    page
}

/// `schemas/site.schema.json`
pub fn site() -> serde_json::Value {
    Schemas::page::<Site>("site.schema.json", "A runplan site file").to_value()
}
