//! The same questions put to a real server: what it parses, what it lets run in a transaction, how it reads
//! strings.

use runplan::sql::{self, Transactional, lex};
use tokio_postgres::error::SqlState;

use super::corpus::CORPUS;
use super::statements::{IN_TRANSACTION, NOT_IN_TRANSACTION};
use crate::support::cluster::{connect, database};

#[tokio::test]
async fn the_server_parses_what_is_accepted_here() {
    let connection = connect(&database("sql_parse").await).await;
    for piece in sql::split(CORPUS) {
        let text = CORPUS[piece].trim().trim_end_matches(';');
        let parsed = connection.client().prepare(text).await;
        let code = parsed.err().and_then(|error| error.code().cloned());
        assert_ne!(code, Some(SqlState::SYNTAX_ERROR), "{text}");
    }
}

#[tokio::test]
async fn the_server_has_the_same_transaction_rules() {
    let connection = connect(&database("sql_rules").await).await;
    let client = connection.client();
    let setup = "create table t (a int, b text); create index i on t (a);
        create table parted (a int) partition by list (a); create table p partition of parted for values in (1); create materialized view m as select 1 as a; create unique index on m (a);
        create type e as enum ('a'); create subscription s connection 'dbname=x' publication p with (connect = false)";
    client.batch_execute(setup).await.unwrap();
    for (list, forbidden) in [(NOT_IN_TRANSACTION, true), (IN_TRANSACTION, false)] {
        for text in list {
            client.batch_execute("begin").await.unwrap();
            let code = client.simple_query(text).await.err().and_then(|error| error.code().cloned());
            client.batch_execute("rollback").await.unwrap();
            let said = matches!(sql::read(text).statements[0].transactional, Transactional::No(_));
            assert_eq!(said, forbidden, "{text}");
            // A disabled subscription is refused before the rule is looked at.
            let rule = match text.starts_with("alter subscription") && forbidden {
                true => SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                false => SqlState::ACTIVE_SQL_TRANSACTION,
            };
            assert_eq!(code == Some(rule), forbidden, "{text}: the server says {code:?}");
        }
    }
    client.batch_execute("alter subscription s set (slot_name = none); drop subscription s").await.unwrap();
}

/// Every short text over the characters that matter in strings: it is one whole literal here exactly when the
/// server takes it for one.
#[tokio::test]
async fn the_server_ends_strings_at_the_same_places() {
    const ALPHABET: [&str; 7] = ["'", "\\", "$", "a", "\n", "\"", "-"];
    let connection = connect(&database("sql_strings").await).await;
    let mut literals = 0;
    for prefix in ["'", "e'", "n'", "$$", "$a$"] {
        for number in 0..7usize.pow(5) {
            let mut text = prefix.to_owned();
            let mut rest = number;
            while rest > 0 {
                text.push_str(ALPHABET[rest % 7]);
                rest /= 7;
            }
            let tokens = lex::tokens(&text);
            let literal = tokens.iter().all(|token| token.closed)
                && tokens.iter().all(|token| token.is_trivia() || token.range.start == 0)
                && tokens.len() == 1;
            if literal {
                literals += 1;
                // The sentinel is only seen when the literal ends where we say.
                let rows = connection.text(&format!("select {text}::text as x, 'end' as sentinel")).await;
                let rows = rows.unwrap_or_else(|error| panic!("{text}: {error}"));
                assert_eq!(rows.len(), 1, "{text}");
            }
        }
    }
    assert!(literals > 300, "{literals}");
}
