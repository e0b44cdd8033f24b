//! Databases of the plan with different names that are one and the same: what the plan does to the one it would do to the
//! other, before the backup and the approval that stand in front of that. Asks nobody; compares what the servers said.

use super::concern::{Concern, Found};
use crate::postgres::Identity;

/// Every two names of one database.
pub fn look(known: &[(&str, Identity)]) -> Found {
    let mut found = Found::default();
    for (at, (name, one)) in known.iter().enumerate() {
        for (other_name, other) in known.iter().skip(at + 1).filter(|(_, other)| is_same(one, other)) {
            let message = format!(
                "{name} and {other_name} are the same database: {} (oid {}) on the server {}, reached through {} and {}",
                one.database, one.database_oid, one.system_identifier, one.endpoint, other.endpoint
            );
            found.add(Concern::error("same_database", message).help(format!(
                "correct the address of {name} or of {other_name}; if it is meant, or the one server is a copy of the \
                 other's data directory: --accept same_database"
            )));
        }
    }
    found
}

/// A standby is read where its primary is written: that is no mistake.
fn is_same(one: &Identity, other: &Identity) -> bool {
    one.system_identifier == other.system_identifier
        && one.database_oid == other.database_oid
        && one.standby == other.standby
}
