//! JSON Schemas out of doc comments: the first lines describe a field, `Example:` lines are its examples.

use super::Decode;
use schemars::Schema;
use serde_json::{Map, Value, json};

/// The named schemas that the pages refer to.
#[derive(Debug, Default)]
pub struct Schemas {
    pub definitions: Map<String, Value>,
}

impl Schemas {
    /// A reference to a named schema, made once.
    pub fn named(&mut self, name: &str, make: impl FnOnce(&mut Self) -> Value) -> Value {
        if !self.definitions.contains_key(name) {
            self.definitions.insert(name.to_owned(), Value::Bool(true));
            let schema = make(self);
            self.definitions.insert(name.to_owned(), schema);
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    /// Splits a doc comment into the description and its `Example:` lines and writes them beside the type.
    pub fn describe(mut schema: Value, doc: &str) -> Value {
        let (text, examples) = split_doc(doc);
        if let Value::Object(map) = &mut schema {
            if !text.is_empty() {
                map.insert("description".to_owned(), Value::String(text));
            }
            if !examples.is_empty() {
                map.insert("examples".to_owned(), Value::Array(examples));
            }
        }
        schema
    }

    /// The whole page for one root type.
    pub fn page<T: Decode>(id: &str, title: &str) -> Schema {
        let mut schemas = Self::default();
        let mut root = T::schema(&mut schemas);
        if let Some(name) = root.get("$ref").and_then(Value::as_str).map(str::to_owned) {
            let name = name.trim_start_matches("#/$defs/");
            root = schemas.definitions.shift_remove(name).unwrap_or_default();
        }
        let mut page = Map::new();
        page.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        page.insert("$id".to_owned(), json!(id));
        page.insert("title".to_owned(), json!(title));
        if let Value::Object(map) = root {
            page.extend(map);
        }
        schemas.definitions.sort_keys();
        page.insert("$defs".to_owned(), Value::Object(schemas.definitions));
        Schema::from(page)
    }
}

fn split_doc(doc: &str) -> (String, Vec<Value>) {
    let mut text = Vec::new();
    let mut examples = Vec::new();
    for line in doc.lines() {
        match line.trim().strip_prefix("Example: ") {
            Some(example) => {
                let example = example.trim().trim_matches('`');
                let value = serde_json::from_str(example).unwrap_or_else(|_| json!(example));
                examples.push(value);
            }
            None => text.push(line.trim()),
        }
    }
    (text.join(" ").trim().to_owned(), examples)
}
