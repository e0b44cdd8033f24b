//! What an answer must be: a value, the word `empty`, or a mapping of conditions that must all hold.

use super::decode::{Decode, Reader, Schemas, record};
use super::json::Json;
use super::node::{Kind, Node, Style};
use super::source::Sp;
use serde_json::{Value, json};

record! {
    /// Conditions on an answer; all must hold.
    pub struct Conditions as "expect" {
        /// Equal to this value.
        /// Example: 1
        equals: Option<Json>,
        /// Anything but this value.
        /// Example: 0
        not: Option<Json>,
        /// This number or more.
        /// Example: 1
        at_least: Option<Json>,
        /// This number or less.
        /// Example: 100
        at_most: Option<Json>,
        /// From the first number to the second.
        /// Example: [1, 10]
        between: Option<Vec<Json>>,
        /// True: no rows; false: some.
        /// Example: true
        empty: Option<bool>,
        /// A regular expression the text must match.
        /// Example: ^ok
        matches: Option<Sp<String>>,
        /// As it was when this step recorded it: `{{ steps.before.results }}` of a verify, `{{ steps.saved.record }}` of a
        /// backup.
        /// Example: {{ steps.before.results }}
        unchanged_since: Option<Json>,
        /// How far a number may be off, absolute or in percent.
        /// Example: 1%
        tolerance: Option<Sp<String>>,
        /// The status of an HTTP answer.
        /// Example: 200
        status: Option<u16>,
        /// Paths into the JSON of an answer and their values.
        /// Example: {"status": "healthy"}
        json: Option<Json>,
    }
}

/// What an answer must be.
#[derive(Debug, Clone, PartialEq)]
pub struct Expect {
    pub conditions: Box<Conditions>,
}

impl Conditions {
    pub fn none() -> Self {
        Self {
            equals: None,
            not: None,
            at_least: None,
            at_most: None,
            between: None,
            empty: None,
            matches: None,
            unchanged_since: None,
            tolerance: None,
            status: None,
            json: None,
        }
    }
}

impl Decode for Expect {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let conditions = match &node.kind {
            Kind::Map(_) => Conditions::decode(node, reader)?,
            Kind::Scalar { text, style: Style::Plain } if text == "empty" => {
                Conditions { empty: Some(true), ..Conditions::none() }
            }
            Kind::Scalar { .. } | Kind::List(_) => {
                Conditions { equals: Some(Json::decode(node, reader)?), ..Conditions::none() }
            }
        };
        Some(Self { conditions: Box::new(conditions) })
    }

    fn schema(schemas: &mut Schemas) -> Value {
        let conditions = Conditions::schema(schemas);
        schemas.named("Expect", |_| {
            json!({
                "description": "A value, the word `empty`, or conditions that must all hold.",
                "anyOf": [
                    { "const": "empty" },
                    { "type": ["string", "number", "boolean", "null", "array"] },
                    conditions,
                ]
            })
        })
    }
}
