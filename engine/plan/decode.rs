//! The tree -> typed values, field by field: a fault in one field never hides the next one.
//! The `record!` and `choice!` macros make the type, its decoder and its JSON Schema from one definition.

use super::finding::{Finding, suggest};
use super::node::{Kind, Node, Style, is_null};
use super::source::{Sp, Span};
use indexmap::IndexMap;
use schemars::Schema;
use serde_json::{Map, Value, json};
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
            if !super::name::is_name(&key.value) {
                let message = format!("`{}` is not a name", key.value);
                reader.push(
                    Finding::error("runplan::plan::bad_name", key.span, message).help(super::name::NAME_HELP),
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
