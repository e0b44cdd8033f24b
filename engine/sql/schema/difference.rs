//! What differs between the schema that should be and the one that is.

use super::canonical::{canonical, is_unqualified};
use super::{Key, ORDER, Object, Schema, TABLE};
use std::collections::BTreeSet;

/// What is wrong with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Missing,
    Extra,
    /// It is there and does not do its work: an index that was not built whole, a constraint that was never validated.
    Invalid,
    Changed,
}

impl Fault {
    pub const ALL: [Self; 4] = [Self::Missing, Self::Extra, Self::Invalid, Self::Changed];

    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Invalid => "invalid",
            Self::Changed => "changed",
        }
    }
}

/// One object that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    pub fault: Fault,
    pub kind: &'static str,
    pub name: String,
    /// Its definition as it should be.
    pub wanted: Option<String>,
    /// As it is.
    pub found: Option<String>,
}

/// From this version on a view of a single table is written without the table's name before its columns.
const UNQUALIFIED: u32 = 16;

impl Difference {
    /// Whether this is no change, but one view as servers of these major versions write it.
    pub fn is_only_written_otherwise(&self, wanted: u32, found: u32) -> bool {
        let (Some(was), Some(is)) = (&self.wanted, &self.found) else { return false };
        let is_view = matches!(self.kind, "view" | "materialized view");
        is_view
            && self.fault == Fault::Changed
            && match (wanted < UNQUALIFIED, found < UNQUALIFIED) {
                (true, false) => is_unqualified(was, is),
                (false, true) => is_unqualified(is, was),
                _ => false,
            }
    }
}

/// What is missing, extra and changed, in this order. Of a table that is missing or extra its parts are not told again.
pub fn compare(wanted: &Schema, found: &Schema) -> Vec<Difference> {
    let mut differences = Vec::new();
    let keys: BTreeSet<&Key> = wanted.objects.keys().chain(found.objects.keys()).collect();
    for key in keys {
        let difference = match (wanted.objects.get(key), found.objects.get(key)) {
            (Some(object), None) if !is_part_of_absent(key, object, found) => {
                difference(Fault::Missing, key, Some(object), None)
            }
            (None, Some(object)) if !is_part_of_absent(key, object, wanted) => {
                difference(Fault::Extra, key, None, Some(object))
            }
            (Some(left), Some(right)) if !is_same(key, left, right) => {
                difference(Fault::Changed, key, Some(left), Some(right))
            }
            _ => continue,
        };
        differences.push(difference);
    }
    differences.sort();
    differences
}

fn difference(fault: Fault, key: &Key, wanted: Option<&Object>, found: Option<&Object>) -> Difference {
    let text = |object: &Object| object.definition.clone();
    Difference { fault, kind: key.0, name: key.1.clone(), wanted: wanted.map(text), found: found.map(text) }
}

fn is_part_of_absent(key: &Key, object: &Object, there: &Schema) -> bool {
    let Some(table) = &object.table else { return false };
    key.0 != TABLE && !there.objects.contains_key(&(TABLE, table.clone()))
}

fn is_same(key: &Key, left: &Object, right: &Object) -> bool {
    if left.definition == right.definition {
        return true;
    }
    if key.0 != ORDER {
        return canonical(&left.definition) == canonical(&right.definition);
    }
    // A column that is missing or extra is told by itself.
    let common = |of: &Object, among: &Object| -> Vec<String> {
        let among: BTreeSet<&str> = among.definition.split(", ").collect();
        of.definition.split(", ").filter(|column| among.contains(column)).map(str::to_owned).collect()
    };
    common(left, right) == common(right, left)
}
