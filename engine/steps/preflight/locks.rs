//! Which lock a statement takes on which table, and what that lock keeps out; from PostgreSQL's documentation of explicit
//! locking. Pure. What it does not know it calls the strongest.

use crate::sql::{self, Effect, Kind, Object, Statement, lex};

/// A table lock, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lock {
    RowExclusive,
    ShareUpdateExclusive,
    Share,
    ShareRowExclusive,
    Exclusive,
    AccessExclusive,
}

impl Lock {
    pub fn name(self) -> &'static str {
        match self {
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::Exclusive => "EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    /// Whom it keeps waiting.
    pub fn blocks(self) -> &'static str {
        match self {
            Self::RowExclusive => "blocks neither readers nor writers of other rows",
            Self::ShareUpdateExclusive => "blocks vacuum and other definitions only",
            Self::Share | Self::ShareRowExclusive | Self::Exclusive => "blocks all writing",
            Self::AccessExclusive => "blocks all reading and writing",
        }
    }
}

/// The lock that a statement takes on the tables it names; None: no more than reading takes.
pub fn lock_of(statement: &Statement) -> Option<Lock> {
    let words = words(&statement.text);
    let has = |word: &str| words.iter().any(|other| other == word);
    let concurrently = has("CONCURRENTLY");
    let start: Vec<&str> = words.iter().take(3).map(String::as_str).collect();
    match &statement.kind {
        Kind::Insert | Kind::Update | Kind::Delete | Kind::Merge => Some(Lock::RowExclusive),
        Kind::Copy if statement.effects.iter().any(|effect| matches!(effect, Effect::Writes { .. })) => {
            Some(Lock::RowExclusive)
        }
        Kind::Select
        | Kind::Copy
        | Kind::Call
        | Kind::Do
        | Kind::Meta(_)
        | Kind::Transaction(_)
        | Kind::Other => None,
        Kind::Ddl(_) | Kind::Utility(_) => match start.as_slice() {
            ["CREATE", "INDEX" | "UNIQUE", ..] | ["REINDEX", ..] | ["DROP", "INDEX", ..] => match () {
                () if concurrently => Some(Lock::ShareUpdateExclusive),
                () if start.first() == Some(&"DROP") => Some(Lock::AccessExclusive),
                () => Some(Lock::Share),
            },
            ["REFRESH", ..] if concurrently => Some(Lock::Exclusive),
            ["REFRESH" | "TRUNCATE" | "CLUSTER", ..] => Some(Lock::AccessExclusive),
            ["VACUUM", ..] if has("FULL") => Some(Lock::AccessExclusive),
            ["VACUUM" | "ANALYZE" | "ANALYSE", ..] | ["CREATE", "STATISTICS", ..] | ["COMMENT", ..] => {
                Some(Lock::ShareUpdateExclusive)
            }
            ["CREATE", "TRIGGER" | "CONSTRAINT", ..] | ["CREATE", "OR", "REPLACE"] if has("TRIGGER") => {
                Some(Lock::ShareRowExclusive)
            }
            ["CREATE", "RULE" | "POLICY", ..] | ["DROP", "TRIGGER" | "RULE" | "POLICY" | "TABLE", ..] => {
                Some(Lock::AccessExclusive)
            }
            ["LOCK", ..] => Some(named(&words)),
            ["ALTER", "INDEX", ..] if has("RENAME") => Some(Lock::ShareUpdateExclusive),
            ["ALTER", "TABLE" | "MATERIALIZED" | "VIEW" | "INDEX", ..] => Some(alter_table(&words)),
            ["DROP", "MATERIALIZED" | "VIEW" | "SEQUENCE" | "SCHEMA" | "OWNED", ..] => {
                Some(Lock::AccessExclusive)
            }
            _ => None,
        },
    }
}

/// The tables that the lock is on.
pub fn tables(statement: &Statement) -> Vec<Object> {
    let mut tables = sql::tables(statement).written;
    for effect in &statement.effects {
        if let Effect::Changes { objects, .. } | Effect::Locks { tables: objects } = effect {
            tables.extend(
                objects.iter().filter(|object| !tables.contains(object)).cloned().collect::<Vec<_>>(),
            );
        }
    }
    tables
}

/// The subcommands that take less than everything; one that takes all decides.
fn alter_table(words: &[String]) -> Lock {
    let commands = words.split(|word| word == ",");
    commands.map(alter_command).max().unwrap_or(Lock::AccessExclusive)
}

fn alter_command(words: &[String]) -> Lock {
    let pair = |first: &str, second: &str| words.windows(2).any(|two| two[0] == first && two[1] == second);
    let has = |word: &str| words.iter().any(|other| other == word);
    if pair("VALIDATE", "CONSTRAINT")
        || pair("SET", "STATISTICS")
        || pair("ATTACH", "PARTITION")
        || pair("CLUSTER", "ON")
        || (pair("DETACH", "PARTITION") && has("CONCURRENTLY"))
        || (pair("SET", "(") && !has("COLUMN"))
    {
        Lock::ShareUpdateExclusive
    } else if (has("FOREIGN") && has("REFERENCES") && has("ADD"))
        || (has("TRIGGER") && (has("ENABLE") || has("DISABLE")))
    {
        Lock::ShareRowExclusive
    } else {
        Lock::AccessExclusive
    }
}

/// `LOCK TABLE t IN SHARE MODE`.
fn named(words: &[String]) -> Lock {
    let text = words.join(" ");
    [
        ("IN ACCESS EXCLUSIVE MODE", Lock::AccessExclusive),
        ("IN SHARE UPDATE EXCLUSIVE MODE", Lock::ShareUpdateExclusive),
        ("IN SHARE ROW EXCLUSIVE MODE", Lock::ShareRowExclusive),
        ("IN ROW EXCLUSIVE MODE", Lock::RowExclusive),
        ("IN ROW SHARE MODE", Lock::RowExclusive),
        ("IN ACCESS SHARE MODE", Lock::RowExclusive),
        ("IN EXCLUSIVE MODE", Lock::Exclusive),
        ("IN SHARE MODE", Lock::Share),
    ]
    .into_iter()
    .find(|(mode, _)| text.contains(mode))
    .map_or(Lock::AccessExclusive, |(_, lock)| lock)
}

/// The words and signs of a statement in upper case, without what stands in parentheses.
pub fn words(text: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let mut words = Vec::new();
    for token in lex::tokens(text).iter().filter(|token| !token.is_trivia()) {
        if token.is_punct(text, '(') {
            if depth == 0 {
                words.push("(".to_owned());
            }
            depth += 1;
        } else if token.is_punct(text, ')') {
            depth = depth.saturating_sub(1);
        } else if depth == 0 {
            words.push(token.text(text).to_uppercase());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(text: &str) -> Option<Lock> {
        let script = sql::read(text);
        assert_eq!(script.errors, [], "{text}");
        assert_eq!(script.statements.len(), 1, "{text}");
        lock_of(&script.statements[0])
    }

    #[test]
    fn the_lock_of_each_kind_of_statement() {
        for (text, wanted) in [
            ("UPDATE t SET a = 1 WHERE b = 2", Lock::RowExclusive),
            ("CREATE INDEX i ON t (a)", Lock::Share),
            ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", Lock::ShareUpdateExclusive),
            ("DROP INDEX i", Lock::AccessExclusive),
            ("DROP INDEX CONCURRENTLY i", Lock::ShareUpdateExclusive),
            ("TRUNCATE t", Lock::AccessExclusive),
            ("DROP TABLE t", Lock::AccessExclusive),
            ("ALTER TABLE t ADD COLUMN a int", Lock::AccessExclusive),
            ("ALTER TABLE t VALIDATE CONSTRAINT c", Lock::ShareUpdateExclusive),
            ("ALTER TABLE t VALIDATE CONSTRAINT c, DROP COLUMN b", Lock::AccessExclusive),
            ("ALTER TABLE t SET (fillfactor = 70)", Lock::ShareUpdateExclusive),
            ("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES u (id)", Lock::ShareRowExclusive),
            ("ALTER TABLE t DISABLE TRIGGER ALL", Lock::ShareRowExclusive),
            (
                "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
                Lock::ShareRowExclusive,
            ),
            ("REFRESH MATERIALIZED VIEW CONCURRENTLY v", Lock::Exclusive),
            ("VACUUM FULL t", Lock::AccessExclusive),
            ("VACUUM t", Lock::ShareUpdateExclusive),
            ("LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE", Lock::ShareRowExclusive),
            ("LOCK TABLE t", Lock::AccessExclusive),
        ] {
            assert_eq!(lock(text), Some(wanted), "{text}");
        }
        for text in ["SELECT 1", "SET search_path = a", "CREATE TABLE t (a int)", "GRANT SELECT ON t TO r"] {
            assert_eq!(lock(text), None, "{text}");
        }
    }

    #[test]
    fn the_tables_are_those_that_are_named() {
        let names = |text: &str| {
            let script = sql::read(text);
            tables(&script.statements[0]).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names("ALTER TABLE s.t ADD COLUMN a int"), ["s.t"]);
        assert_eq!(names("UPDATE t SET a = 1"), ["t"]);
        assert_eq!(names("TRUNCATE a, b"), ["a", "b"]);
    }
}
