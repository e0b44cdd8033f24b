//! What the program writes into the comment of a database that it made or put aside: whose it is, and whether it is whole.
//! Must never be trusted without the OID that the journal holds.

use crate::plan::{RunId, StepId};
use serde::{Deserialize, Serialize};

/// The sort of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Restored beside the live one.
    Side,
    /// The live one of before a swap.
    Old,
}

/// The comment, as JSON on one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The format: 1.
    pub runplan: u32,
    pub kind: Kind,
    pub run: String,
    pub step: String,
    /// The live database's name.
    pub of: String,
    /// A side database: everything was restored.
    pub complete: bool,
    /// A side database: it holds the rows of some tables only, and must never go live.
    #[serde(default)]
    pub partial: bool,
    /// An old one: kept at least until then, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_until: Option<String>,
    /// Its own OID, and that of the database which took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<u32>,
}

impl Mark {
    pub fn side(run: &RunId, step: &StepId, of: &str) -> Self {
        Self {
            runplan: 1,
            kind: Kind::Side,
            run: run.as_str().to_owned(),
            step: step.as_str().to_owned(),
            of: of.to_owned(),
            complete: false,
            partial: false,
            keep_until: None,
            oid: None,
            replaced_by: None,
        }
    }

    pub fn text(&self) -> String {
        // A struct of strings and numbers always has its JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub fn parse(comment: &str) -> Option<Self> {
        serde_json::from_str(comment.lines().next()?).ok()
    }

    pub fn is_of(&self, run: &RunId, step: &StepId) -> bool {
        self.run == run.as_str() && self.step == step.as_str()
    }
}

/// The last part of a run's id: short, and enough to tell runs apart at a glance.
pub fn tail(run: &RunId) -> &str {
    let text = run.as_str();
    let tail = text.rsplit('-').next().unwrap_or(text);
    if tail.is_empty() { text } else { &tail[tail.len().saturating_sub(12)..] }
}
