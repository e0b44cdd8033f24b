//! The isolation level that a step's first statements ask for. The program asks something of its own in every transaction,
//! after which the server takes no other level, so the transaction begins with it. Pure.

use super::text::Statement;
use crate::sql::lex::tokens;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Isolation {
    /// For BEGIN.
    pub fn clause(self) -> &'static str {
        match self {
            Self::ReadCommitted => "ISOLATION LEVEL READ COMMITTED",
            Self::RepeatableRead => "ISOLATION LEVEL REPEATABLE READ",
            Self::Serializable => "ISOLATION LEVEL SERIALIZABLE",
        }
    }
}

/// The last one among the statements before the first that is no SET: later ones the server refuses in its own words.
pub fn of(statements: &[Statement]) -> Option<Isolation> {
    let words = statements.iter().map(|statement| words(&statement.sql));
    let leading = words.take_while(|words| words.first().is_some_and(|word| word == "SET"));
    leading.filter_map(|words| level(&words)).last()
}

/// In upper case, without blanks, comments and quotes.
fn words(sql: &str) -> Vec<String> {
    let all = tokens(sql);
    let words = all.iter().filter(|token| !token.is_trivia()).map(|token| token.text(sql));
    words.map(|word| word.trim_matches(['\'', '"']).to_ascii_uppercase()).collect()
}

fn level(words: &[String]) -> Option<Isolation> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (["SET", "TRANSACTION_ISOLATION", "=" | "TO", named, ..]
    | ["SET", "LOCAL" | "SESSION", "TRANSACTION_ISOLATION", "=" | "TO", named, ..]) = words.as_slice()
    else {
        return None;
    };
    [
        ("SERIALIZABLE", Isolation::Serializable),
        ("REPEATABLE READ", Isolation::RepeatableRead),
        ("READ ", Isolation::ReadCommitted),
    ]
    .into_iter()
    .find_map(|(name, level)| named.starts_with(name).then_some(level))
}

#[cfg(test)]
mod tests {
    use super::super::text::Changes;
    use super::*;

    #[test]
    fn the_level_is_found_among_the_first_statements() {
        let found = |sql: &[&str]| {
            let of_sql =
                |sql: &&str| Statement { sql: (*sql).to_owned(), returns: false, changes: Changes::Nothing };
            of(&sql.iter().map(of_sql).collect::<Vec<_>>())
        };
        for (sql, level) in [
            (&["set local transaction_isolation = 'Serializable'"][..], Some(Isolation::Serializable)),
            (
                &["SET LOCAL lock_timeout = 1", "SET transaction_isolation /* x */ TO 'repeatable read';"],
                Some(Isolation::RepeatableRead),
            ),
            (&["SET LOCAL transaction_isolation TO \"read uncommitted\""], Some(Isolation::ReadCommitted)),
            (&["SET LOCAL transaction_isolation TO DEFAULT"], None),
            (&["SELECT 1", "SET LOCAL transaction_isolation = 'serializable'"], None),
            (&["SET search_path = 'SET LOCAL transaction_isolation = serializable'"], None),
            (&[], None),
        ] {
            assert_eq!(found(sql), level, "{sql:?}");
        }
    }
}
