//! How the plain values are read: texts, numbers, lists, tables, what may be absent.

use super::{Decode, Reader, Schemas, Table, visible};
use crate::plan::finding::Finding;
use crate::plan::node::{Kind, Node, Style, is_null};
use crate::plan::source::Sp;
use serde_json::{Value, json};

impl<T: Decode> Decode for Option<T> {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        if node.is_null() {
            return Some(None);
        }
        T::decode(node, reader).map(Some)
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
    fn schema(schemas: &mut Schemas) -> Value {
        T::schema(schemas)
    }
}

impl<T: Decode> Decode for Box<T> {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        T::decode(node, reader).map(Box::new)
    }
    fn schema(schemas: &mut Schemas) -> Value {
        T::schema(schemas)
    }
}

impl<T: Decode> Decode for Sp<T> {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        T::decode(node, reader).map(|value| Sp::new(value, visible(node)))
    }
    fn schema(schemas: &mut Schemas) -> Value {
        T::schema(schemas)
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let Kind::List(items) = &node.kind else {
            reader.wrong(node, "a list");
            return None;
        };
        // Every item is decoded, so that all their faults are told at once.
        let mut decoded = Vec::with_capacity(items.len());
        for item in items {
            match T::decode(item, reader) {
                Some(value) => decoded.push(value),
                None => reader.broke(item),
            }
        }
        Some(decoded)
    }
    fn schema(schemas: &mut Schemas) -> Value {
        let items = T::schema(schemas);
        json!({ "type": "array", "items": items })
    }
}

impl<T: Decode> Decode for Table<T> {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let entries = reader.entries(node, "names and their values")?;
        let mut table = Self::new();
        for (key, value) in entries {
            if !crate::plan::name::is_name(&key.value) {
                let message = format!("`{}` is not a name", key.value);
                reader.push(
                    Finding::error("runplan::plan::bad_name", key.span, message)
                        .help(crate::plan::name::NAME_HELP),
                );
            }
            match T::decode(value, reader) {
                Some(value) => {
                    table.insert(key.clone(), value);
                }
                None => {
                    reader.broken.insert(key.value.clone());
                }
            }
        }
        Some(table)
    }
    fn schema(schemas: &mut Schemas) -> Value {
        let values = T::schema(schemas);
        json!({ "type": "object", "additionalProperties": values })
    }
}

impl Decode for String {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.kind {
            Kind::Scalar { text, style } if *style != Style::Plain || !is_null(text) => Some(text.clone()),
            _ => {
                reader.wrong(node, "a text");
                None
            }
        }
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": ["string", "number", "boolean"] })
    }
}

impl Decode for bool {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.kind {
            Kind::Scalar { text, style: Style::Plain } if text == "true" => Some(true),
            Kind::Scalar { text, style: Style::Plain } if text == "false" => Some(false),
            _ => {
                reader.wrong(node, "`true` or `false`");
                None
            }
        }
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "boolean" })
    }
}

macro_rules! whole_number {
    ($($ty:ty),*) => { $(
        impl Decode for $ty {
            fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
                let parsed = match &node.kind {
                    Kind::Scalar { text, style: Style::Plain } => text.parse().ok(),
                    _ => None,
                };
                if parsed.is_none() {
                    reader.wrong(node, &format!("a whole number from {} to {}", <$ty>::MIN, <$ty>::MAX));
                }
                parsed
            }
            fn schema(_: &mut Schemas) -> Value {
                json!({ "type": "integer", "minimum": <$ty>::MIN })
            }
        }
    )* };
}
whole_number!(u16, u32, u64, i64);

impl Decode for f64 {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let parsed = match &node.kind {
            Kind::Scalar { text, style: Style::Plain } => {
                text.parse().ok().filter(|number: &f64| number.is_finite())
            }
            _ => None,
        };
        if parsed.is_none() {
            reader.wrong(node, "a number");
        }
        parsed
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "number" })
    }
}
