//! `swap`: what the author writes.

use crate::plan::decode::record;
use crate::plan::{Duration, Text};

record! {
    /// Puts a side database in the live one's place, in one transaction, and keeps the old one.
    pub struct Swap as "swap" {
        /// The live database.
        /// Example: app
        database: Text,
        /// The side database that takes its place.
        /// Example: {{ steps.restored.database }}
        with: Text,
        /// How long the old database is kept at least.
        /// Example: 7d
        keep_old: Duration = Duration::from_secs(7 * 86_400),
    }
}
