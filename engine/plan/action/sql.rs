//! `sql`: what the author writes.

use crate::plan::decode::record;
use crate::plan::{Duration, Probe, Text};

record! {
    /// What the statements must do, or the transaction is rolled back.
    pub struct Expect as "expect" {
        /// Exactly so many rows returned (or changed, when nothing is returned).
        /// Example: 1
        rows: Option<u64>,
        /// At most so many rows changed by all statements together.
        /// Example: 300
        max_rows: Option<u64>,
    }
}

record! {
    /// Runs SQL, all statements in one transaction, exactly once.
    pub struct Sql as "sql" {
        /// The database.
        /// Example: app
        database: Text,
        /// The statements. Give this or `file`.
        /// Example: UPDATE escrows SET status = 'ACTIVE' WHERE id = 7
        statement: Option<Text>,
        /// A file with the statements, beside the plan. Read when the plan is read, so that what was reviewed is what runs.
        /// Example: sql/cleanup.sql
        file: Option<Text>,
        /// Run in a read-only transaction.
        /// Example: false
        read_only: bool = false,
        /// False: run outside a transaction, for statements that cannot run in one; needs a `probe`.
        /// Example: true
        transaction: bool = true,
        /// How long to wait for a lock before giving way and trying again.
        /// Example: 3s
        lock_timeout: Duration = Duration::from_secs(3),
        /// How long one statement may take.
        /// Example: 5m
        statement_timeout: Option<Duration>,
        /// What must be true of the result, else it is rolled back.
        /// Example: {"max_rows": 300}
        expect: Option<Expect>,
        /// Answers after a crash whether it took effect.
        /// Example: {"sql": "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass", "expect": true}
        probe: Option<Box<Probe>>,
    }
}
