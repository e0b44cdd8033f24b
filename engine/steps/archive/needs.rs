//! What a backup needs of the server that it goes to, as its statements say.

use crate::sql::dump::Summary;
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
    #[serde(default)]
    pub extensions: BTreeSet<String>,
}

impl Needs {
    pub fn of(summary: &Summary) -> Self {
        Self {
            roles: summary.roles.clone(),
            owners: Some(summary.owners.clone()),
            extensions: summary.extensions.clone(),
        }
    }
}
