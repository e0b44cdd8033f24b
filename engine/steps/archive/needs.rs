//! What a backup needs of the server that it goes to, as its statements say.

use crate::sql::dump::{Made, Summary};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// Owners of objects, and who has privileges.
    #[serde(default)]
    pub roles: BTreeSet<String>,
    /// Those of them that whoever restores must be a member of; None: not looked at.
    #[serde(default)]
    pub owners: Option<BTreeSet<String>>,
    /// Those of them that stay where owners are skipped: of policies.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub bound: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tablespaces: BTreeSet<String>,
    #[serde(default)]
    pub extensions: BTreeSet<String>,
    /// What it makes; None: not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
}

impl Needs {
    pub fn of(summary: &Summary) -> Self {
        Self {
            roles: summary.roles.clone(),
            owners: Some(summary.owners.clone()),
            bound: summary.bound.clone(),
            tablespaces: summary.tablespaces.clone(),
            extensions: summary.extensions.clone(),
            made: Some(summary.made.clone()),
        }
    }
}
