//! What the language has and the program cannot do yet: refused here, so that no run finds it out half way. Who makes one
//! of them work deletes its line in `NOT_YET`.

use crate::plan::{Finding, Span};

/// A part of the language that has to be made to work by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    Copy,
    SchemaComparison,
}

const NOT_YET: &[Feature] = &[Feature::Copy, Feature::SchemaComparison];

impl Feature {
    /// What it is, and what does the same work.
    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Copy => (
                "copying rows from one database into another",
                "bring the rows over with `pg_dump --data-only` in a `shell` step, or swap the whole database in",
            ),
            Self::SchemaComparison => (
                "comparing a schema with a backup's",
                "compare row counts with `counts`, and definitions with `sql` on pg_indexes and pg_constraint",
            ),
        }
    }

    /// The finding, when the program cannot do it.
    pub fn missing(self, span: Span) -> Option<Finding> {
        let (what, help) = self.describe();
        NOT_YET.contains(&self).then(|| {
            let message = format!("{what} is not available in this version");
            Finding::error("runplan::check::not_available", span, message).help(help)
        })
    }
}
