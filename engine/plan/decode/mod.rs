//! The tree -> typed values, field by field: a fault in one field never hides the next one.
//! The `record!` and `choice!` macros make the type, its decoder and its JSON Schema from one definition.

mod schemas;
mod values;

pub use schemas::Schemas;

use super::finding::{Finding, suggest};
use super::node::{Kind, Node};
use super::source::{Sp, Span};
use indexmap::IndexMap;
use serde_json::{Map, Value};
use std::collections::HashSet;

pub type Table<T> = IndexMap<Sp<String>, T>;

/// What the author wrote -> a value, or findings.
pub trait Decode: Sized {
    /// None: the fault is among the reader's findings.
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self>;
    /// The value of a field that is not written; None: the field is required.
    fn absent() -> Option<Self> {
        None
    }
    /// The JSON Schema of the value.
    fn schema(schemas: &mut Schemas) -> Value;
}

/// The keys that a type takes from the mapping it is part of (a step and its action share one mapping).
pub trait DecodeKeys: Sized {
    fn keys() -> &'static [&'static str];
    fn decode_keys(
        node: &Node,
        entries: &[(Sp<String>, Node)],
        what: &str,
        reader: &mut Reader,
    ) -> Option<Self>;
    /// Adds its properties and what it demands to the schema of the mapping.
    fn extend_schema(schema: &mut Map<String, Value>, schemas: &mut Schemas);
}

/// Collects the findings while a tree is decoded.
#[derive(Debug, Default)]
pub struct Reader {
    pub findings: Vec<Finding>,
    /// What was written but could not be read, by name.
    pub broken: HashSet<String>,
}

impl Reader {
    pub fn wrong(&mut self, node: &Node, wanted: &str) {
        let message = format!("{wanted} is wanted here, not {}", node.describe());
        let finding = Finding::error("runplan::plan::wrong_type", visible(node), message);
        let finding = match &node.kind {
            Kind::Map(entries)
                if entries.len() == 1 && entries.first().is_some_and(|(k, _)| k.starts_with('{')) =>
            {
                finding.help("put quotes around a value that begins with `{{`")
            }
            _ => finding.help(format!("write {wanted}")),
        };
        self.findings.push(finding);
    }

    /// Remembers the name of an item that could not be read.
    fn broke(&mut self, item: &Node) {
        for key in ["id", "name"] {
            if let Some(Node { kind: Kind::Scalar { text, .. }, .. }) = item.get(key) {
                self.broken.insert(text.clone());
            }
        }
    }

    pub fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// The entries of a mapping, or a finding.
    pub fn entries<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Sp<String>, Node)]> {
        match &node.kind {
            Kind::Map(entries) => Some(entries),
            _ => {
                self.wrong(node, &format!("a mapping ({what})"));
                None
            }
        }
    }

    pub fn unknown_keys(&mut self, entries: &[(Sp<String>, Node)], known: &[&str], what: &str) {
        for (key, _) in entries {
            if !known.contains(&key.value.as_str()) {
                let message = format!("{what} has no field `{}`", key.value);
                self.push(
                    Finding::error("runplan::plan::unknown_field", key.span, message)
                        .label("unknown field")
                        .help(suggest(&key.value, known.iter().copied())),
                );
            }
        }
    }

    pub fn missing(&mut self, node: &Node, field: &str, what: &str) {
        let message = format!("{what} needs the field `{field}`");
        self.push(
            Finding::error("runplan::plan::missing_field", visible(node), message)
                .label(format!("`{field}` is missing"))
                .help(format!("add `{field}:`")),
        );
    }

    pub fn field<T: Decode>(
        &mut self,
        node: &Node,
        entries: &[(Sp<String>, Node)],
        name: &str,
        what: &str,
        default: Option<fn() -> T>,
    ) -> Option<T> {
        match entries.iter().find(|(key, _)| key.value == name) {
            Some((key, value)) => {
                let before = self.findings.len();
                let decoded = T::decode(value, self);
                if decoded.is_none() && self.findings.len() == before {
                    self.push(Finding::error(
                        "runplan::plan::wrong_type",
                        key.span,
                        format!("`{name}` cannot be read"),
                    ));
                }
                // The finding forbids a run; with the default in its place the rest can be checked all the same.
                decoded.or_else(|| default.map(|make| make())).or_else(T::absent)
            }
            None => match default.map(|make| make()).or_else(T::absent) {
                Some(value) => Some(value),
                None => {
                    self.missing(node, name, what);
                    None
                }
            },
        }
    }
}

/// A block mapping's own span is long: what a label shows is its first key.
pub fn visible(node: &Node) -> Span {
    match &node.kind {
        Kind::Map(entries) => entries.first().map_or(node.span, |(key, _)| key.span),
        Kind::List(items) => items.first().map_or(node.span, visible),
        Kind::Scalar { .. } => node.span,
    }
}

/// A mapping with fixed fields.
macro_rules! record {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident as $what:literal {
            $( $(#[doc = $fdoc:literal])* $(@$key:literal)? $field:ident : $ty:ty $(= $default:expr)? , )*
            $( .. $rest:ident : $rest_ty:ty $(,)? )?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[doc = $fdoc])* pub $field: $ty, )*
            $( pub $rest: $rest_ty, )?
        }

        impl $crate::plan::decode::Decode for $name {
            fn decode(
                node: &$crate::plan::node::Node,
                reader: &mut $crate::plan::decode::Reader,
            ) -> Option<Self> {
                let entries = reader.entries(node, $what)?;
                #[allow(unused_mut, reason = "a record without a rest")]
                let mut known: Vec<&str> =
                    vec![$( $crate::plan::decode::key(stringify!($field)) ),*];
                $( known.extend(<$rest_ty as $crate::plan::decode::DecodeKeys>::keys()); )?
                reader.unknown_keys(entries, &known, $what);
                $(
                    #[allow(unused_mut, unused_assignments, reason = "a field without default")]
                    let $field = {
                        let mut default: Option<fn() -> $ty> = None;
                        $( default = Some(|| $default); )?
                        let key = $crate::plan::decode::key(stringify!($field));
                        reader.field::<$ty>(node, entries, key, $what, default)
                    };
                )*
                $( let $rest = <$rest_ty as $crate::plan::decode::DecodeKeys>::decode_keys(node, entries, $what, reader); )?
                Some(Self { $( $field: $field?, )* $( $rest: $rest?, )? })
            }

            fn schema(schemas: &mut $crate::plan::decode::Schemas) -> serde_json::Value {
                let own = $crate::plan::decode::schema_name(module_path!(), stringify!($name));
                schemas.named(&own, |schemas| {
                    #[allow(unused_mut, reason = "a record may have no fields")]
                    let mut properties = serde_json::Map::new();
                    #[allow(unused_mut, reason = "a record may have no fields")]
                    let mut required: Vec<serde_json::Value> = Vec::new();
                    $( {
                        let key = $crate::plan::decode::key(stringify!($field));
                        let field = <$ty as $crate::plan::decode::Decode>::schema(schemas);
                        let doc = concat!($($fdoc, "\n"),*);
                        properties.insert(key.to_owned(), $crate::plan::decode::Schemas::describe(field, doc));
                        #[allow(unused_mut, unused_assignments, reason = "a field without default")]
                        let mut optional = <$ty as $crate::plan::decode::Decode>::absent().is_some();
                        $( let _: fn() -> $ty = || $default; optional = true; )?
                        if !optional {
                            required.push(key.into());
                        }
                    } )*
                    let mut schema = serde_json::Map::new();
                    schema.insert("type".into(), "object".into());
                    schema.insert("properties".into(), properties.into());
                    if !required.is_empty() {
                        schema.insert("required".into(), required.into());
                    }
                    schema.insert("additionalProperties".into(), false.into());
                    $( <$rest_ty as $crate::plan::decode::DecodeKeys>::extend_schema(&mut schema, schemas); )?
                    $crate::plan::decode::Schemas::describe(schema.into(), concat!($($doc, "\n"),*))
                })
            }
        }
    };
}

/// A word out of a list.
macro_rules! choice {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident {
            $( $(#[doc = $vdoc:literal])* $variant:ident = $word:literal ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $( $(#[doc = $vdoc])* #[serde(rename = $word)] $variant, )*
        }

        impl $name {
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            pub fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }

            pub fn from_word(word: &str) -> Option<Self> {
                match word { $( $word => Some(Self::$variant), )* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl $crate::plan::decode::Decode for $name {
            fn decode(
                node: &$crate::plan::node::Node,
                reader: &mut $crate::plan::decode::Reader,
            ) -> Option<Self> {
                $crate::plan::decode::word(node, reader, Self::WORDS, Self::from_word)
            }

            fn schema(schemas: &mut $crate::plan::decode::Schemas) -> serde_json::Value {
                let own = $crate::plan::decode::schema_name(module_path!(), stringify!($name));
                schemas.named(&own, |_| {
                    $crate::plan::decode::Schemas::describe(
                        serde_json::json!({ "enum": Self::WORDS }), concat!($($doc, "\n"),*))
                })
            }
        }
    };
}

pub(crate) use {choice, record};

/// The name of a type's schema: `SqlExpect` for `action::sql::Expect`, since other modules have an `Expect` too.
pub fn schema_name(module: &str, name: &str) -> String {
    let Some((_, action)) = module.rsplit_once("::action::") else { return name.to_owned() };
    let (first, rest) = action.split_at(1.min(action.len()));
    let action = format!("{}{rest}", first.to_ascii_uppercase());
    if name == action { action } else { action + name }
}

/// The YAML key of a Rust field (`use` and `not` are words of Rust or read badly as fields).
pub fn key(field: &'static str) -> &'static str {
    field.strip_suffix('_').unwrap_or(field)
}

/// One of the words, or a finding that names the nearest.
pub fn word<T>(node: &Node, reader: &mut Reader, words: &[&str], find: fn(&str) -> Option<T>) -> Option<T> {
    let Kind::Scalar { text, .. } = &node.kind else {
        reader.wrong(node, &format!("one of {}", words.join(", ")));
        return None;
    };
    let found = find(text);
    if found.is_none() {
        let message = format!("`{text}` is not one of {}", words.join(", "));
        reader.push(
            Finding::error("runplan::plan::unknown_word", node.span, message)
                .help(suggest(text, words.iter().copied())),
        );
    }
    found
}
