//! `restore`: what the author writes.

use crate::plan::decode::{Decode, Reader, Schemas, choice, record, word};
use crate::plan::finding::Finding;
use crate::plan::name::{NAME_HELP, is_name};
use crate::plan::node::{Kind, Node};
use crate::plan::{Name, Roles, Sp, Text};
use serde_json::{Value, json};

/// Where the backup goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Into {
    /// Into a new database on the same server; the live one is not touched.
    Side,
    /// Over the live database, in one transaction: there is no way back.
    InPlace,
    /// Into another database of the plan, mostly on another server; it must be empty.
    Other(Sp<Name>),
}

impl std::fmt::Display for Into {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Side => f.write_str("side"),
            Self::InPlace => f.write_str("in_place"),
            Self::Other(name) => write!(f, "the database {}", name.value),
        }
    }
}

impl Decode for Into {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.kind {
            Kind::Scalar { text, .. } if text == "side" => Some(Self::Side),
            Kind::Scalar { text, .. } if text == "in_place" => Some(Self::InPlace),
            Kind::Scalar { text, .. } if is_name(text) => {
                Some(Self::Other(Sp::new(Name::new(text.as_str()), node.span)))
            }
            Kind::Scalar { text, .. } => {
                let message = format!("`{text}` is not side, in_place or the name of a database");
                reader.push(Finding::error("runplan::plan::bad_name", node.span, message).help(NAME_HELP));
                None
            }
            _ => {
                reader.wrong(node, "side, in_place or the name of a database");
                None
            }
        }
    }

    fn schema(_: &mut Schemas) -> Value {
        json!({ "anyOf": [
            { "enum": ["side", "in_place"] },
            { "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
        ] })
    }
}

choice! {
    /// What becomes of the owners and privileges in the backup, as one word.
    pub enum Ownership {
        /// As in the backup; a missing role is an error.
        Keep = "keep",
        /// Everything belongs to whoever restores.
        Skip = "skip",
    }
}

record! {
    /// Owners and privileges of the backup under other names.
    pub struct Mapped as "owners" {
        /// For roles of the backup, the roles that take their place. The others stay as they are.
        /// Example: {"app_production": "app_staging"}
        map: Roles,
    }
}

/// What becomes of the owners and privileges in the backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    Keep,
    Skip,
    /// For roles of the backup, the roles that take their place.
    Map(Roles),
}

impl std::fmt::Display for Owners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Keep => f.write_str("keep"),
            Self::Skip => f.write_str("skip"),
            Self::Map(roles) => {
                let pairs: Vec<String> =
                    roles.iter().map(|(from, to)| format!("{} becomes {}", from.value, to.value)).collect();
                f.write_str(&pairs.join(", "))
            }
        }
    }
}

impl Decode for Owners {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        if let Kind::Map(_) = &node.kind {
            return Mapped::decode(node, reader).map(|mapped| Self::Map(mapped.map));
        }
        word(node, reader, Ownership::WORDS, Ownership::from_word).map(|found| match found {
            Ownership::Keep => Self::Keep,
            Ownership::Skip => Self::Skip,
        })
    }

    fn schema(schemas: &mut Schemas) -> Value {
        let (words, mapped) = (Ownership::schema(schemas), Mapped::schema(schemas));
        json!({ "anyOf": [words, mapped] })
    }
}

record! {
    /// Loads a backup; recognises plain SQL, gzip, zstd, lz4, custom and directory by content.
    pub struct Restore as "restore" {
        /// The backup: a file or a directory.
        /// Example: {{ params.backup }}
        from: Text,
        /// The database it belongs to.
        /// Example: app
        database: Text,
        /// Beside the live database, over it, or into another one that is named and empty.
        /// Example: side
        into: Into = Into::Side,
        /// Only these tables.
        /// Example: ["users"]
        tables: Option<Vec<Text>>,
        /// Parallel jobs. Without it: half the processors, at most 4.
        /// Example: 2
        jobs: Option<Sp<u16>>,
        /// Owners and privileges: `keep`, `skip`, or other names for some roles.
        /// Example: {"map": {"app_production": "app_staging"}}
        owners: Owners = Owners::Keep,
    }
}
