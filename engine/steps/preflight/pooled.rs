//! Whether a connection pooler stands before the server. Told by what no server does: one server process for two sessions
//! at once, or one that is older than the session it serves.

use crate::clock;
use crate::postgres::{Connection, Error, Settings};
use std::time::Duration;

/// A pooler needs a moment to see that a session has ended.
const HAND_OVER: Duration = Duration::from_millis(100);

/// When the server thinks it is, in the form in which a backend's start is given.
const NOW: &str = r#"SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#;

/// A pooler refuses settings at the session's start that a server takes.
pub fn refuses_settings(error: &Error) -> bool {
    let message = error.message();
    error.sqlstate() == Some("08P01") || message.contains("unsupported startup parameter")
}

/// How it was noticed; None: the sessions go to the server itself.
pub async fn detect(
    one: &Connection,
    two: &Connection,
    settings: &Settings,
    own_name: &str,
) -> Result<Option<String>, Error> {
    if let Some(how) = shared(one, two).await? {
        return Ok(Some(how));
    }
    // A pooler that gives each session a server process of its own hands this one's on to the next session.
    let last = Connection::connect(settings, own_name).await?;
    let before = two.one(NOW).await?;
    drop(last);
    clock::sleep(HAND_OVER).await;
    let next = Connection::connect(settings, own_name).await?;
    let old = next.backend().started < before;
    Ok(old.then(|| "a new session is served by an older server process".to_owned()))
}

/// Two sessions, one of them in a transaction: a pooler that assigns server processes for each transaction gives the one
/// that was used last.
async fn shared(one: &Connection, two: &Connection) -> Result<Option<String>, Error> {
    const PID: &str = "SELECT pg_catalog.pg_backend_pid()";
    let first = one.one(PID).await?;
    two.execute("BEGIN READ ONLY").await?;
    let taken = two.one(PID).await;
    let again = one.one(PID).await;
    two.execute("ROLLBACK").await?;
    let (taken, again) = (taken?, again?);
    Ok(if taken == first {
        Some("two sessions share a server process".to_owned())
    } else if again != first {
        Some("the server process of a session changes".to_owned())
    } else {
        None
    })
}
