//! `copy`: what the author writes.

use crate::plan::decode::{choice, record};
use crate::plan::{Sp, Text};

choice! {
    /// What becomes of a row whose key is in the target already.
    pub enum OnConflict {
        /// Nothing is copied; the step fails.
        Fail = "fail",
        /// The target's row stays as it is.
        Skip = "skip",
        /// The target's row becomes the source's; the old one is kept as a before-image.
        Update = "update",
    }
}

record! {
    /// Brings rows from one database into another, in one transaction; its undo puts the rows back as they were.
    pub struct Copy as "copy" {
        /// The database with the rows: a name from `databases`, or a step's database output.
        /// Example: {{ steps.restored.database }}
        from: Text,
        /// The database they go to.
        /// Example: app
        to: Text,
        /// The table, of the same name in both.
        /// Example: public.escrows
        table: Text,
        /// Which rows: what stands after WHERE in SQL. Without it: all.
        /// Example: id IN (17, 23) AND updated_at < {{ params.deployed_at }}
        where_: Option<Text>,
        /// The columns that tell rows apart. Without it: the primary key.
        /// Example: ["id"]
        key: Option<Vec<Text>>,
        /// Only these columns, beside the key. Without it: all that the target can be given.
        /// Example: ["status", "amount"]
        columns: Option<Vec<Text>>,
        /// What becomes of a row whose key is in the target already.
        /// Example: update
        on_conflict: OnConflict = OnConflict::Fail,
        /// What must still hold for the target's row, as it stands after WHERE: a row for which it no longer does, or that is
        /// gone, was written by others since; it is left as it is, and named. Wants `on_conflict: update`.
        /// Example: amount < 0
        still: Option<Text>,
        /// More rows than this are not copied: the transaction is rolled back.
        /// Example: 300
        max_rows: Option<Sp<u64>>,
    }
}
