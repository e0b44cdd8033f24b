//! Roles of a server and the roles that take their place: their names are PostgreSQL's, not the plan's.

use super::decode::{Decode, Reader, Schemas, Table};
use super::finding::Finding;
use super::node::Node;
use super::source::Sp;
use serde_json::{Value, json};

/// PostgreSQL keeps so many bytes of a name.
const LONGEST: usize = 63;

/// From a role's name to another's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles(Table<Sp<String>>);

impl std::ops::Deref for Roles {
    type Target = Table<Sp<String>>;
    fn deref(&self) -> &Table<Sp<String>> {
        &self.0
    }
}

impl Decode for Roles {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut table = Table::new();
        for (key, value) in reader.entries(node, "roles and the roles that take their place")? {
            if let Some(to) = Sp::<String>::decode(value, reader) {
                for name in [key, &to] {
                    if name.value.is_empty() || name.value.len() > LONGEST || name.value.contains('\0') {
                        let message = format!("`{}` cannot be the name of a role", name.value);
                        reader.push(
                            Finding::error("runplan::plan::bad_name", name.span, message)
                                .help(format!("a role has a name of 1 to {LONGEST} bytes")),
                        );
                    }
                }
                table.insert(key.clone(), to);
            }
        }
        Some(Self(table))
    }

    fn schema(_: &mut Schemas) -> Value {
        let name = json!({ "type": "string", "minLength": 1, "maxLength": LONGEST });
        json!({ "type": "object", "propertyNames": name, "additionalProperties": name })
    }
}
