//! `restore`: what the author writes.

use crate::plan::decode::{choice, record};
use crate::plan::{Sp, Text};

choice! {
    /// Where the backup goes.
    pub enum Into {
        /// Into a new database on the same server; the live one is not touched.
        Side = "side",
        /// Over the live database, in one transaction: there is no way back.
        InPlace = "in_place",
    }
}

choice! {
    /// What becomes of the owners and privileges in the backup.
    pub enum Owners {
        /// As in the backup; a missing role is an error.
        Keep = "keep",
        /// Everything belongs to whoever restores.
        Skip = "skip",
    }
}

record! {
    /// Loads a backup; recognises plain SQL, gzip, zstd, lz4, custom and directory by content.
    pub struct Restore as "restore" {
        /// The backup: a file or a directory.
        /// Example: {{ params.backup }}
        from: Text,
        /// The database it belongs to.
        /// Example: app
        database: Text,
        /// Beside the live database, or over it.
        /// Example: side
        into: Into = Into::Side,
        /// Only these tables.
        /// Example: ["users"]
        tables: Option<Vec<Text>>,
        /// Parallel jobs. Without it: half the processors, at most 4.
        /// Example: 2
        jobs: Option<Sp<u16>>,
        /// Owners and privileges.
        /// Example: keep
        owners: Owners = Owners::Keep,
    }
}
