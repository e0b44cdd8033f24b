//! The text of an `sql` step as its attempt noted it before it was sent. Shared by who notes it and who tells it; never holds
//! a secret.

use super::state::Entry;
use serde::{Deserialize, Serialize};

/// The fact's name; that of an author's undo has `undo.` before it.
pub const SENT: &str = "sql_sent";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentSql {
    /// With its values; secrets by their names.
    pub sql: String,
    /// Of the whole text as it was sent; None: a secret stands in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its end is not in `sql`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

impl SentSql {
    /// What the last attempt of a step, or of its undo, noted. None: no value stands in it, or the journal is of an older
    /// version.
    pub fn of(entry: &Entry, undone: bool) -> Option<Self> {
        let is = |name: &str| match undone {
            true => name.strip_prefix("undo.") == Some(SENT),
            false => name == SENT,
        };
        let fact = entry.facts.iter().rev().find(|fact| is(&fact.name))?;
        Self::deserialize(&fact.data).ok()
    }
}
