//! A schema as a dump tells it: each table, column, index, constraint, sequence, view, function, type and extension by its
//! name, with its definition, and what differs between two of them. Pure. It must never call two definitions the same that
//! may mean different things; what it cannot take apart is compared as a whole.

mod canonical;
mod collector;
pub(super) mod cursor;
mod difference;
mod statement;
mod table;

pub use collector::Collector;
pub use difference::{Difference, Fault, compare};

use std::collections::BTreeMap;

/// What an object is, in words, and its name: `("column", "public.users.email")`.
pub type Key = (&'static str, String);

/// An object's definition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    /// What follows its name, white space collapsed.
    pub definition: String,
    /// `schema.table` of the table that it belongs to, or is.
    pub table: Option<String>,
}

/// All objects of a database, or of a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    pub objects: BTreeMap<Key, Object>,
}

impl Schema {
    fn add(&mut self, kind: &'static str, name: String, table: Option<String>, definition: String) {
        self.objects.insert((kind, name), Object { definition, table });
    }

    /// Its tables, `schema.table`.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.objects.keys().filter(|(kind, _)| *kind == TABLE).map(|(_, name)| name.as_str())
    }

    /// Leaves out what does not belong to tables that `wanted` names.
    pub fn retain_tables(&mut self, wanted: impl Fn(&str) -> bool) {
        self.objects.retain(|_, object| object.table.as_deref().is_some_and(&wanted));
    }
}

const TABLE: &str = "table";
/// The order of a table's columns; its definition has their names.
const ORDER: &str = "column order";
