//! The headers of a request: their names are HTTP's, not the plan's.

use super::decode::{Decode, Reader, Schemas, Table};
use super::finding::Finding;
use super::node::Node;
use super::text::Text;
use serde_json::{Value, json};

/// Header names and their values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Headers(Table<Text>);

impl Headers {
    pub fn new() -> Self {
        Self::default()
    }
}

impl std::ops::Deref for Headers {
    type Target = Table<Text>;
    fn deref(&self) -> &Table<Text> {
        &self.0
    }
}

impl std::ops::DerefMut for Headers {
    fn deref_mut(&mut self) -> &mut Table<Text> {
        &mut self.0
    }
}

impl Decode for Headers {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut table = Table::new();
        for (key, value) in reader.entries(node, "headers and their values")? {
            if !is_header(&key.value) {
                let message = format!("`{}` is not the name of a header", key.value);
                reader.push(
                    Finding::error("runplan::plan::bad_name", key.span, message)
                        .help("use letters, digits and `-`, as in `Content-Type`"),
                );
            }
            if let Some(value) = Text::decode(value, reader) {
                table.insert(key.clone(), value);
            }
        }
        Some(Self(table))
    }

    fn schema(schemas: &mut Schemas) -> Value {
        let values = Text::schema(schemas);
        json!({ "type": "object", "propertyNames": { "pattern": PATTERN }, "additionalProperties": values })
    }
}

const PATTERN: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

/// A token of RFC 9110.
fn is_header(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
