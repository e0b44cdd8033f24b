//! JSON data in a plan: a tree whose texts may hold templates. A body is built as data, never by pasting.

use super::decode::{Decode, Reader, Schemas};
use super::node::{Kind, Node, Style, is_null};
use super::source::Span;
use super::text::Text;
use serde_json::{Number, Value, json};

/// A JSON value with templates in its texts.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(Text),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

impl Json {
    /// Every text in it.
    pub fn texts(&self) -> Vec<&Text> {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => Vec::new(),
            Self::Text(text) => vec![text],
            Self::List(items) => items.iter().flat_map(Self::texts).collect(),
            Self::Map(entries) => entries.iter().flat_map(|(_, value)| value.texts()).collect(),
        }
    }

    /// As data, every text through `render`.
    ///
    /// # Errors
    /// The first that `render` gives.
    pub fn build<E>(&self, render: &mut dyn FnMut(&Text) -> Result<Value, E>) -> Result<Value, E> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => render(text)?,
            Self::List(items) => {
                Value::Array(items.iter().map(|item| item.build(render)).collect::<Result<_, _>>()?)
            }
            Self::Map(entries) => {
                let mut map = serde_json::Map::new();
                for (key, value) in entries {
                    map.insert(key.clone(), value.build(render)?);
                }
                Value::Object(map)
            }
        })
    }
}

impl Decode for Json {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        Some(match &node.kind {
            Kind::Scalar { text, style: Style::Plain } => plain(text, node.span),
            Kind::Scalar { .. } => Self::Text(Text::decode(node, reader)?),
            Kind::List(items) => {
                let decoded: Vec<Option<Self>> =
                    items.iter().map(|item| Self::decode(item, reader)).collect();
                Self::List(decoded.into_iter().collect::<Option<_>>()?)
            }
            Kind::Map(entries) => {
                let decoded: Vec<Option<(String, Self)>> = entries
                    .iter()
                    .map(|(key, value)| Some((key.value.clone(), Self::decode(value, reader)?)))
                    .collect();
                Self::Map(decoded.into_iter().collect::<Option<_>>()?)
            }
        })
    }

    fn absent() -> Option<Self> {
        None
    }

    fn schema(_: &mut Schemas) -> Value {
        json!({})
    }
}

fn plain(text: &str, span: Span) -> Json {
    match text {
        text if is_null(text) => Json::Null,
        "true" => Json::Bool(true),
        "false" => Json::Bool(false),
        _ => match number(text) {
            Some(number) => Json::Number(number),
            None => Json::Text(Text::written(text, span)),
        },
    }
}

fn number(text: &str) -> Option<Number> {
    let looks = text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+' || c == '.');
    if !looks {
        return None;
    }
    text.parse::<i64>()
        .map(Number::from)
        .ok()
        .or_else(|| text.parse::<u64>().map(Number::from).ok())
        .or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64))
}
