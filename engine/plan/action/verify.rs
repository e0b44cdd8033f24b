//! `verify`: what the author writes. Its checks are in plan/check.rs, for probes and named checks use them too.

use crate::plan::decode::record;
use crate::plan::{Check, Name, Sp, Text};

record! {
    /// Runs checks, all of them, and reports every failure.
    pub struct Verify as "verify" {
        /// The database that the checks ask. Needed when one of them asks a database.
        /// Example: app
        database: Option<Text>,
        /// Named checks of the plan.
        /// Example: ["integrity"]
        use_: Vec<Sp<Name>> = Vec::new(),
        /// Checks written here.
        /// Example: [{"name": "users are there", "sql": "SELECT count(*) FROM users", "expect": {"at_least": 1}}]
        checks: Vec<Check> = Vec::new(),
        /// True: record what is found, never fail the run.
        /// Example: false
        report_only: bool = false,
    }
}
