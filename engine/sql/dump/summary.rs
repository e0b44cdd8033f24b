//! What a dump was, as far as its text tells: its rows, and whether it is all there.

use super::made::Made;
use indexmap::IndexMap;
use std::collections::BTreeSet;

/// A stream that was read to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows of each table that has any COPY block or INSERT ... VALUES, in the order of the dump; by the names
    /// that the dump uses, unquoted, `schema.table`.
    pub rows: IndexMap<String, u64>,
    pub statements: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Line breaks read.
    pub lines: u64,
    /// It begins as pg_dump's output does.
    pub header: bool,
    /// It ends as pg_dump's output does, and no statement came after that.
    pub trailer: bool,
    /// A `\restrict` was never followed by its `\unrestrict`.
    pub restricted: bool,
    pub end: End,
    /// The roles that owners, privileges and policies name.
    pub roles: BTreeSet<String>,
    /// Those of them that own something or are acted for.
    pub owners: BTreeSet<String>,
    /// Those of them that it names even where owners and privileges are skipped.
    pub bound: BTreeSet<String>,
    /// Where it puts what it makes, other than where the database is.
    pub tablespaces: BTreeSet<String>,
    /// Those that it creates.
    pub extensions: BTreeSet<String>,
    /// What a restore over something else must know.
    pub made: Made,
}

/// What the stream ended in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum End {
    /// Between statements.
    #[default]
    Whole,
    /// In the data of this table.
    InCopy(String),
    InQuotes,
    InComment,
    InStatement,
}

impl Summary {
    /// True when nothing says that the end is missing. Only pg_dump's output can prove it: other text may have
    /// been cut between two statements.
    pub fn is_whole(&self) -> bool {
        self.end == End::Whole && !self.restricted && (self.trailer || !self.header)
    }

    /// True when it is pg_dump's output from its first line to its last.
    pub fn is_complete_dump(&self) -> bool {
        self.is_whole() && self.header && self.trailer
    }
}
