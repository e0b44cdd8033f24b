//! What a step does. One file for each action, its fields only; data, no behaviour.

pub mod approve;
pub mod backup;
pub mod copy;
pub mod freeze;
pub mod graphql;
pub mod http;
pub mod notify;
pub mod restore;
pub mod shell;
pub mod sql;
pub mod swap;
pub mod verify;

pub use approve::Approve;
pub use backup::Backup;
pub use copy::Copy;
pub use freeze::Freeze;
pub use graphql::Graphql;
pub use http::Http;
pub use notify::Notify;
pub use restore::Restore;
pub use shell::Shell;
pub use sql::Sql;
pub use swap::Swap;
pub use verify::Verify;

use super::decode::{Decode, DecodeKeys, Reader, Schemas, visible};
use super::finding::Finding;
use super::node::Node;
use super::source::Sp;
use serde_json::{Map, Value, json};

macro_rules! actions {
    ($($variant:ident = $word:literal, $example:literal);* $(;)?) => {
        /// One action; in YAML the key is its kind.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Action { $( $variant($variant), )* }

        /// The kind of an action, without its fields.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum Kind { $( #[serde(rename = $word)] $variant, )* }

        impl Kind {
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            pub fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }
        }

        impl Action {
            pub fn kind(&self) -> Kind {
                match self { $( Self::$variant(_) => Kind::$variant, )* }
            }
        }

        fn decode_one(word: &str, node: &Node, reader: &mut Reader) -> Option<Action> {
            match word {
                $( $word => <$variant as Decode>::decode(node, reader).map(Action::$variant), )*
                _ => None,
            }
        }

        /// The word, its schema, an example.
        fn action_schemas(schemas: &mut Schemas) -> Vec<(&'static str, Value, &'static str)> {
            vec![$( ($word, <$variant as Decode>::schema(schemas), $example), )*]
        }
    };
}

actions! {
    Backup = "backup", r#"{"database": "app", "to": "./backups"}"#;
    Restore = "restore", r#"{"from": "{{ params.backup }}", "database": "app"}"#;
    Swap = "swap", r#"{"database": "app", "with": "{{ steps.restored.database }}"}"#;
    Copy = "copy", r#"{"from": "{{ steps.restored.database }}", "to": "app", "table": "escrows", "where": "id IN (17, 23)", "on_conflict": "update", "max_rows": 2}"#;
    Freeze = "freeze", r#"{"database": "app"}"#;
    Sql = "sql", r#"{"database": "app", "statement": "UPDATE users SET active = true WHERE id = 7"}"#;
    Shell = "shell", r#"{"argv": ["railway", "up"], "repeatable": true, "changes": "none"}"#;
    Http = "http", r#"{"url": "https://app.example.com/health"}"#;
    Verify = "verify", r#"{"database": "app", "use": ["integrity"]}"#;
    Approve = "approve", r#"{"message": "Swap the copy in?"}"#;
    Notify = "notify", r#"{"channels": ["console"], "message": "Rollback started"}"#;
}

impl Kind {
    /// With its article: `a backup`, `an approve`.
    pub fn with_article(self) -> String {
        let article = if matches!(self, Self::Approve | Self::Http | Self::Sql) { "an" } else { "a" };
        format!("{article} {self}")
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

impl DecodeKeys for Sp<Action> {
    fn keys() -> &'static [&'static str] {
        Kind::WORDS
    }

    fn decode_keys(
        node: &Node,
        entries: &[(Sp<String>, Node)],
        what: &str,
        reader: &mut Reader,
    ) -> Option<Self> {
        let mut found = entries.iter().filter(|(key, _)| Kind::WORDS.contains(&key.value.as_str()));
        let Some((key, value)) = found.next() else {
            let message = format!("{what} says nothing to do");
            reader.push(
                Finding::error("runplan::plan::no_action", visible(node), message)
                    .label("no action here")
                    .help(format!("add one of {}", Kind::WORDS.join(", "))),
            );
            return None;
        };
        if let Some((second, _)) = found.next() {
            let message = format!("{what} has two actions: `{}` and `{}`", key.value, second.value);
            reader.push(
                Finding::error("runplan::plan::two_actions", second.span, message)
                    .label("second action")
                    .help("a step does one thing; make two steps of it"),
            );
        }
        decode_one(&key.value, value, reader).map(|action| Sp::new(action, key.span))
    }

    fn extend_schema(schema: &mut Map<String, Value>, schemas: &mut Schemas) {
        let actions = action_schemas(schemas);
        let one_of: Vec<Value> = actions.iter().map(|(word, ..)| json!({ "required": [word] })).collect();
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            for (word, action, example) in actions {
                let name = action.get("$ref").and_then(Value::as_str).unwrap_or_default();
                let definition = schemas.definitions.get(name.trim_start_matches("#/$defs/"));
                let doc =
                    definition.and_then(|schema| schema.get("description")?.as_str()).unwrap_or_default();
                let doc = format!("{doc}\nExample: {example}");
                properties.insert(word.to_owned(), Schemas::describe(action, &doc));
            }
        }
        schema.insert("oneOf".to_owned(), one_of.into());
    }
}
