//! `freeze`: what the author writes.

use crate::plan::decode::{choice, record};
use crate::plan::{Duration, Text};

choice! {
    /// How writing is stopped.
    pub enum Mode {
        /// Sessions may read; a transaction is read-only unless it asks otherwise.
        ReadOnly = "read_only",
        /// Nobody but the run may connect.
        NoConnections = "no_connections",
    }
}

record! {
    /// Stops all writing to a database and proves that it stopped.
    pub struct Freeze as "freeze" {
        /// The database.
        /// Example: app
        database: Text,
        /// How writing is stopped.
        /// Example: read_only
        mode: Mode = Mode::ReadOnly,
        /// For how long the database's write counters must stand still.
        /// Example: 10s
        quiet: Duration = Duration::from_secs(10),
    }
}
