//! `sql`: a query, in a transaction that cannot write. Must never leave that transaction open.

use super::super::expectation::{Answer, says_true};
use super::super::sql::rows::{self, Rows};
use super::super::sql::session::{self, Limits, Trouble};
use super::super::sql::text::{self, Statement};
use super::{Asker, Unanswered, given};
use crate::plan::{Duration, Text};
use crate::postgres::{Connection, Error};

/// The first snapshot makes it final: after it no statement can turn the transaction into one that writes.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1";
/// How long a check may wait for somebody else's lock.
const LOCKS: Duration = Duration::from_secs(30);

pub async fn ask(
    asker: &mut Asker<'_>,
    query: &Text,
    database: Option<&Text>,
    limit: Option<std::time::Duration>,
) -> Result<Answer, Unanswered> {
    let database = given(database)?;
    let statements = text::statements(asker.attempt, query).await?;
    let target = asker.attempt.world.targets.find(&asker.attempt.world, database).await?;
    // Taken out: one that is left in the middle of a question is not used again.
    let kept = asker.sessions.remove(&target.database).filter(|session| !session.is_closed());
    let connection = match kept {
        Some(connection) => connection,
        None => {
            let limits = Limits { lock_timeout: Some(LOCKS), statement_timeout: None };
            session::open(asker.attempt, &target, limits)
                .await
                .map_err(|error| session::failure(&error, ""))?
        }
    };
    let timeout = limit.map_or(0, |limit| limit.as_millis().min(i32::MAX as u128));
    let begin = format!("{BEGIN}; SET LOCAL statement_timeout = {timeout}");
    let rows = match query_all(asker, &connection, &begin, &statements).await {
        Ok(rows) => rows,
        Err(Trouble::Server(error)) => {
            let rolled_back = connection.execute("ROLLBACK").await.is_ok();
            if rolled_back {
                asker.sessions.insert(target.database, connection);
            }
            let failure = session::failure(&error, "");
            return match is_absent(&error) {
                true => Ok(Answer { wrong: Some(failure.message), ..Answer::default() }),
                false => Err(failure.into()),
            };
        }
        Err(Trouble::NotSent | Trouble::Cancelled(_)) => return Err(Unanswered::Cancelled),
    };
    if connection.execute("ROLLBACK").await.is_ok() {
        asker.sessions.insert(target.database, connection);
    }
    Ok(Answer { doubt: says_true(&rows), rows: Some(rows), ..Answer::default() })
}

async fn query_all(
    asker: &Asker<'_>,
    connection: &Connection,
    begin: &str,
    statements: &[Statement],
) -> Result<Rows, Trouble> {
    session::run(asker.attempt, connection, begin).await?;
    let mut last = Rows::default();
    for (at, statement) in statements.iter().enumerate() {
        let types = match at + 1 == statements.len() {
            true => rows::types(connection, statement).await.map_err(Trouble::Server)?,
            false => Vec::new(),
        };
        let mut results = session::run(asker.attempt, connection, &statement.sql).await?;
        last = Rows::new(results.pop().unwrap_or_default(), &types);
    }
    Ok(last)
}

/// What is asked about does not exist: that is an answer, and never the wanted one.
fn is_absent(error: &Error) -> bool {
    matches!(error.sqlstate(), Some("42P01" | "42704" | "3F000"))
}
