//! Why a dump is refused, and where.

use miette::Diagnostic;
use thiserror::Error;

/// A place in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Bytes before it.
    pub offset: u64,
    /// Counted from 1.
    pub line: u64,
    /// What stands there, at most 200 characters of it.
    pub text: String,
}

impl Position {
    /// White space in the text becomes single blanks; the semicolon is left out.
    pub(super) fn new(offset: u64, line: u64, text: &str) -> Position {
        let words: Vec<&str> = text.trim_end_matches(';').split_whitespace().collect();
        Position { offset, line, text: words.join(" ").chars().take(200).collect() }
    }
}

/// Something that must not be sent to a server as part of one transaction. Nothing from the statement it
/// stands in has been passed on.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum Refusal {
    #[error("line {}: the psql command `{}`", at.line, at.text)]
    #[diagnostic(
        code(runplan::sql::dump_meta_command),
        help(
            "dump one database with `pg_dump`, without `-C`; only COPY's `\\.` and one pair of `\\restrict` and `\\unrestrict` are accepted"
        )
    )]
    MetaCommand { at: Position },

    #[error("line {}: `{}` does not match the one `\\restrict` of a dump", at.line, at.text)]
    #[diagnostic(
        code(runplan::sql::dump_restrict),
        help("dump again: the file is cut, joined from several dumps, or edited")
    )]
    Restrict { at: Position },

    #[error("line {}: the transaction control `{}`", at.line, at.text)]
    #[diagnostic(
        code(runplan::sql::dump_transaction),
        help("remove it, or dump with `pg_dump`: the restore runs in one transaction of its own")
    )]
    TransactionControl { at: Position },

    #[error("line {}: `{}` acts on a whole database", at.line, at.text)]
    #[diagnostic(code(runplan::sql::dump_database), help("dump without `-C` (`--create`)"))]
    Database { at: Position },

    #[error("line {}: `{}` acts on the whole server, not on one database", at.line, at.text)]
    #[diagnostic(
        code(runplan::sql::dump_server),
        help(
            "dump one database with `pg_dump`; roles, tablespaces and the server's settings are made by hand"
        )
    )]
    Server { at: Position },

    #[error("line {}: COPY with a program or with a file of the server: `{}`", at.line, at.text)]
    #[diagnostic(code(runplan::sql::dump_program), help("dump the rows with `pg_dump` instead"))]
    Program { at: Position },

    #[error("line {}: it acts outside the database ({what}): `{}`", at.line, at.text)]
    #[diagnostic(
        code(runplan::sql::dump_outside),
        help("a dump of `pg_dump` does no such thing: find out who wrote it, and remove the statement")
    )]
    Outside { at: Position, what: String },

    #[error("line {}: COPY data that is not in text format: `{}`", at.line, at.text)]
    #[diagnostic(code(runplan::sql::dump_copy_format), help("dump the rows with `pg_dump` instead"))]
    CopyFormat { at: Position },

    #[error("line {}: text between COPY and its data: `{}`", at.line, at.text)]
    #[diagnostic(
        code(runplan::sql::dump_copy_line),
        help("put what follows the semicolon of COPY ... FROM stdin after its data")
    )]
    CopyLine { at: Position },

    #[error("line {}: strings would end elsewhere than they seem to: `{}`", at.line, at.text)]
    #[diagnostic(
        code(runplan::sql::dump_quoting),
        help("dump again from a server with standard_conforming_strings on")
    )]
    Quoting { at: Position },

    #[error("line {}: text in this encoding cannot be read safely: `{}`", at.line, at.text)]
    #[diagnostic(code(runplan::sql::dump_encoding), help("dump with `--encoding=UTF8`"))]
    Encoding { at: Position },

    #[error("line {}: a statement whose first part is longer than {limit} bytes: `{}`", at.line, at.text)]
    #[diagnostic(code(runplan::sql::dump_too_long), help("dump with `pg_dump`, or shorten the statement"))]
    TooLong { at: Position, limit: usize },
}

impl Refusal {
    /// Whether it is what `pg_dump -C` writes to make the database itself and go into it.
    pub fn creates_its_database(&self) -> bool {
        match self {
            Refusal::Database { .. } => true,
            Refusal::MetaCommand { at } => at.text.starts_with("\\connect"),
            _ => false,
        }
    }

    /// Where it stands.
    pub fn position(&self) -> &Position {
        match self {
            Refusal::MetaCommand { at }
            | Refusal::Restrict { at }
            | Refusal::TransactionControl { at }
            | Refusal::Database { at }
            | Refusal::Server { at }
            | Refusal::Program { at }
            | Refusal::CopyFormat { at }
            | Refusal::CopyLine { at }
            | Refusal::Quoting { at }
            | Refusal::Encoding { at }
            | Refusal::Outside { at, .. }
            | Refusal::TooLong { at, .. } => at,
        }
    }
}
