//! What reading SQL yields: statements, what each does, and what a reader should be told about it.
//! Plain data; it must never hold a type of the parser behind it.

use std::fmt;
use std::ops::Range;

use super::name::Object;

/// A text of SQL that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    pub statements: Vec<Statement>,
    /// What PostgreSQL would refuse to parse. The statements are read all the same, as far as possible.
    pub errors: Vec<SyntaxError>,
}

/// A place where the text is not SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    pub message: String,
    pub range: Range<usize>,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// From its first word to its last, without the semicolon; in bytes of the text that was read.
    pub range: Range<usize>,
    pub text: String,
    pub kind: Kind,
    pub effects: Vec<Effect>,
    pub findings: Vec<Remark>,
    pub transactional: Transactional,
}

/// The sort of statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Also VALUES, TABLE and SELECT INTO.
    Select,
    Insert,
    Update,
    Delete,
    Merge,
    /// A definition, by its first words in lower case: `create table`.
    Ddl(String),
    /// Anything else the server does, by its first word in lower case: `vacuum`.
    Utility(String),
    /// Transaction control, by its first word in lower case: `commit`.
    Transaction(String),
    Do,
    Copy,
    Call,
    /// A psql meta-command, with its backslash.
    Meta(String),
    /// What could not be recognised.
    Other,
}

/// Whether a statement can run inside a transaction block, as far as its text tells: REINDEX and CLUSTER of a
/// partitioned table cannot either, and CALL and DO cannot when their code ends transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transactional {
    Yes,
    /// With the rule that forbids it.
    No(&'static str),
}

/// One thing a statement does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    Reads {
        tables: Vec<Object>,
    },
    /// Rows are written.
    Writes {
        how: Write,
        tables: Vec<Object>,
    },
    /// Rows or tables are locked: FOR UPDATE and its like, LOCK TABLE.
    Locks {
        tables: Vec<Object>,
    },
    /// A definition, a privilege or a setting of the server changes; by the statement's first words.
    Changes {
        what: String,
        objects: Vec<Object>,
    },
    /// Something is gone afterwards.
    Destroys {
        what: Destruction,
        objects: Vec<Object>,
        scope: Scope,
        cascade: bool,
        /// The words that destroy.
        range: Range<usize>,
    },
    /// Only this session changes: SET, PREPARE, DECLARE, FETCH.
    Session,
    /// What it does cannot be read from the text.
    Opaque {
        why: Opaque,
        range: Range<usize>,
    },
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write {
    Insert,
    Update,
    Delete,
    Merge,
    /// COPY ... FROM.
    Copy,
    /// SELECT INTO, CREATE TABLE AS, CREATE MATERIALIZED VIEW.
    Create,
    Refresh,
}

/// What a destructive statement does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destruction {
    /// DROP of the kind of object named, in lower case: `table`, `materialized view`, `owned`.
    Drop(String),
    DropColumn {
        column: String,
    },
    /// ALTER TYPE ... DROP ATTRIBUTE.
    DropAttribute {
        attribute: String,
    },
    DropConstraint,
    /// ALTER COLUMN ... TYPE: every value is rewritten, and the old ones may not come back.
    RetypeColumn {
        column: String,
    },
    Truncate,
    /// DELETE that no condition limits.
    DeleteAll,
    /// UPDATE that no condition limits.
    UpdateAll,
    /// MERGE ... THEN DELETE without a condition of its own.
    MergeDelete,
    /// MERGE ... THEN UPDATE that no condition limits.
    MergeUpdate,
}

/// How much it hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Rows,
    Column,
    Table,
    Schema,
    Database,
    /// Everything that a role owns.
    Owned,
    /// Something that holds no rows, such as an index or a function.
    Definition,
}

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// A definition, which can be written again.
    Definition,
    /// Values are turned into others.
    Rewrite,
    /// Rows or values are gone.
    Data,
}

/// Why the effect cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Opaque {
    DoBody,
    Call,
    /// EXECUTE of a prepared statement.
    Execute,
    /// A function that is known to change something.
    Function(String),
    /// A function that is not one of PostgreSQL's own: it may write.
    UnknownFunction(String),
    /// COPY ... PROGRAM runs a program on the server.
    Program,
    /// LOAD of a library.
    Load,
    /// The parser could not read the statement.
    Unreadable,
}

/// Something a reader should be told about a place in a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    pub kind: RemarkKind,
    pub range: Range<usize>,
}

/// What a remark is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RemarkKind {
    /// BEGIN, COMMIT and the like, by their words in lower case.
    Control(String),
    /// A psql meta-command, which the server does not understand.
    MetaCommand(String),
    CopyProgram,
    /// COPY FROM STDIN or TO STDOUT: there is no client stream to read or write.
    CopyStream,
    /// `NOT IN (SELECT ...)` finds nothing as soon as the subquery yields a NULL.
    NotIn,
    /// From here on unqualified names may mean other objects.
    SearchPath,
    /// standard_conforming_strings is touched: strings would end elsewhere than they seem to.
    Quoting,
    /// ALTER TYPE ... ADD VALUE: the value cannot be used before the transaction has ended.
    NewEnumValue,
}

impl Destruction {
    /// What is lost by it. `cascade` says whether dependent objects go too: with a type go the columns of
    /// that type.
    pub fn loss(&self, cascade: bool) -> Loss {
        match self {
            Destruction::Drop(noun) => match noun.as_str() {
                "table" | "schema" | "database" | "owned" | "sequence" | "extension" => Loss::Data,
                "type" | "domain" | "collation" | "access method" if cascade => Loss::Data,
                _ => Loss::Definition,
            },
            Destruction::DropConstraint => Loss::Definition,
            Destruction::RetypeColumn { .. } => Loss::Rewrite,
            Destruction::DropColumn { .. }
            | Destruction::DropAttribute { .. }
            | Destruction::Truncate
            | Destruction::DeleteAll
            | Destruction::UpdateAll
            | Destruction::MergeDelete
            | Destruction::MergeUpdate => Loss::Data,
        }
    }

    /// How much it hits.
    pub fn scope(&self) -> Scope {
        match self {
            Destruction::Drop(noun) => match noun.as_str() {
                "table" | "foreign table" => Scope::Table,
                "schema" => Scope::Schema,
                "database" => Scope::Database,
                "owned" => Scope::Owned,
                _ => Scope::Definition,
            },
            Destruction::DropColumn { .. }
            | Destruction::DropAttribute { .. }
            | Destruction::RetypeColumn { .. } => Scope::Column,
            Destruction::DropConstraint => Scope::Definition,
            Destruction::Truncate
            | Destruction::DeleteAll
            | Destruction::UpdateAll
            | Destruction::MergeDelete
            | Destruction::MergeUpdate => Scope::Rows,
        }
    }
}

impl fmt::Display for Destruction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destruction::Drop(noun) => write!(out, "DROP {}", noun.to_uppercase()),
            Destruction::DropColumn { column } => write!(out, "DROP COLUMN {column}"),
            Destruction::DropAttribute { attribute } => write!(out, "DROP ATTRIBUTE {attribute}"),
            Destruction::DropConstraint => out.write_str("DROP CONSTRAINT"),
            Destruction::RetypeColumn { column } => write!(out, "ALTER COLUMN {column} TYPE"),
            Destruction::Truncate => out.write_str("TRUNCATE"),
            Destruction::DeleteAll => out.write_str("DELETE without a condition"),
            Destruction::UpdateAll => out.write_str("UPDATE without a condition"),
            Destruction::MergeDelete => out.write_str("MERGE with a DELETE without a condition"),
            Destruction::MergeUpdate => out.write_str("MERGE with an UPDATE without a condition"),
        }
    }
}

impl Statement {
    /// True when the statement certainly changes nothing outside its session.
    pub fn is_read_only(&self) -> bool {
        let harmless = |effect: &Effect| matches!(effect, Effect::Reads { .. } | Effect::Session);
        let known = !matches!(self.kind, Kind::Other | Kind::Meta(_) | Kind::Transaction(_));
        known && !self.effects.is_empty() && self.effects.iter().all(harmless)
    }

    /// The destructive effects.
    pub fn destructions(&self) -> impl Iterator<Item = &Effect> {
        self.effects.iter().filter(|effect| matches!(effect, Effect::Destroys { .. }))
    }
}
