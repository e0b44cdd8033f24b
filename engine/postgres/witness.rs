//! The witness of a commit: a transaction id that the server cannot give to anybody else, by which anyone can ask
//! later whether that transaction committed. Must never guess: what is not certain is `Unknown`, with the evidence.

use super::connection::{Backend, Connection};
use super::error::{Error, Kind};
use super::identity::{self, Identity};
use crate::clock::{self, Stopwatch};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is journaled before COMMIT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// The 64-bit transaction id, in decimal.
    pub xid: String,
    /// The server process that holds the transaction.
    pub backend: Backend,
    pub identity: Identity,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Committed,
    Aborted,
    /// Not to be known from this server; the text says why.
    Unknown(String),
}

/// How long an ended backend may take to be gone.
const ENDING: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// Takes the id of the transaction that is open on `in_transaction`, and makes it unreusable by flushing the WAL past it
/// through `other`, a session of its own on the same server. Without the flush a server that crashes hands the
/// same id to somebody else, and that one's commit would be taken for ours.
pub async fn prepare(in_transaction: &Connection, other: &Connection) -> Result<Witness, Error> {
    let xid = in_transaction.one("SELECT pg_catalog.pg_current_xact_id()").await?;
    let mine =
        in_transaction.row(&format!("SELECT {SYSTEM}, {SAME}, pg_catalog.pg_backend_pid() AS pid")).await?;
    if mine.optional(1).as_deref() != Some(&xid) {
        return Err(wrong_use("there is no open transaction", "send BEGIN first"));
    }
    if other.one(&format!("SELECT {SYSTEM}")).await? != mine.text(0)? {
        return Err(wrong_use("the second session is on another server", "connect it to the same host"));
    }
    // What the session began with, if it still is the same process: a role set since may not see its start.
    let backend = in_transaction.backend().clone();
    if backend.pid != mine.number::<i32>("pid")? {
        return Err(wrong_use(
            "the server process changes under the session",
            "connect to the server, not to a pooler",
        ));
    }
    flush(other).await?;
    let identity = identity::read(in_transaction).await?;
    Ok(Witness { xid, backend, identity })
}

/// Which running server this is: the system identifier and the postmaster's start, readable by every role.
const SYSTEM: &str = "(SELECT pg_catalog.concat(system_identifier, ' ', pg_catalog.date_part('epoch', \
     pg_catalog.pg_postmaster_start_time())) FROM pg_catalog.pg_control_system())";
const SAME: &str = "pg_catalog.pg_current_xact_id_if_assigned()";

fn wrong_use(what: &str, help: &str) -> Error {
    Error::new(Kind::Shape, format!("a commit witness cannot be taken: {what}"), help)
}

/// Commits a tiny record and waits until it is on disk here; everything before it is then too. The message takes a
/// later transaction id, and recovery never hands out an id at or below one it has seen.
async fn flush(other: &Connection) -> Result<(), Error> {
    other
        .execute(
            "BEGIN; SET LOCAL synchronous_commit = local; \
             SELECT pg_catalog.pg_logical_emit_message(true, 'runplan', ''); COMMIT",
        )
        .await
        .map(drop)
}

/// Asks what became of the transaction. While it is still in progress it is waited for; after `grace` its backend
/// is ended, if it is still the same one.
pub async fn ask(connection: &Connection, witness: &Witness, grace: Duration) -> Result<Verdict, Error> {
    let now = identity::read(connection).await?;
    if let Some(evidence) = other_history(&now, &witness.identity) {
        return Ok(Verdict::Unknown(evidence));
    }
    if let Some(evidence) = other_database(connection, &now, &witness.identity).await? {
        return Ok(Verdict::Unknown(evidence));
    }
    if let Some(verdict) = wait(connection, witness, grace).await? {
        return Ok(verdict);
    }
    let ended = end_backend(connection, &witness.backend).await?;
    if let Some(verdict) = wait(connection, witness, ENDING).await? {
        return Ok(verdict);
    }
    Ok(Verdict::Unknown(format!("transaction {} is still in progress: {ended}", witness.xid)))
}

/// Whether this server's history is another than that of the witness.
fn other_history(now: &Identity, then: &Identity) -> Option<String> {
    if now.standby {
        return Some(format!("{} is a standby now: only a primary can tell", now.endpoint));
    }
    if now.system_identifier != then.system_identifier {
        return Some(format!(
            "{} is another server: system identifier {}, it was {}",
            now.endpoint, now.system_identifier, then.system_identifier
        ));
    }
    if now.timeline != then.timeline {
        return Some(format!(
            "the server was promoted or restored since: timeline {}, it was {}",
            now.timeline, then.timeline
        ));
    }
    match (now.position(), then.position()) {
        (Some(now), Some(then)) if now >= then => None,
        _ => Some(format!("the server went back in time: WAL ends at {}, it was at {}", now.lsn, then.lsn)),
    }
}

/// Whether the database in which the transaction ran is gone. A swap gives it another name, and it is the same one; one that was
/// dropped took along what was committed, and the server remembers the transaction all the same.
async fn other_database(
    connection: &Connection,
    now: &Identity,
    then: &Identity,
) -> Result<Option<String>, Error> {
    if now.database_oid == then.database_oid {
        return Ok(None);
    }
    let sql = format!(
        "SELECT count(*) FROM pg_catalog.pg_database WHERE oid OPERATOR(pg_catalog.=) {}::pg_catalog.oid",
        then.database_oid
    );
    if connection.one(&sql).await? != "0" {
        return Ok(None);
    }
    Ok(Some(format!(
        "the database {} in which it ran (OID {}) was dropped: what is called {} now has OID {}, so what the server remembers \
         of the transaction says nothing about it",
        then.database, then.database_oid, now.database, now.database_oid
    )))
}

/// Polls until the transaction is over; `None` when it is not within the limit.
async fn wait(connection: &Connection, witness: &Witness, limit: Duration) -> Result<Option<Verdict>, Error> {
    let watch = Stopwatch::start();
    loop {
        if let Some(verdict) = status(connection, &witness.xid).await? {
            return Ok(Some(verdict));
        }
        if watch.elapsed() >= limit {
            return Ok(None);
        }
        clock::sleep(PAUSE.min(limit)).await;
    }
}

/// `None` while it is in progress.
async fn status(connection: &Connection, xid: &str) -> Result<Option<Verdict>, Error> {
    if xid.is_empty() || !xid.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Some(Verdict::Unknown(format!("{xid} is not a transaction id"))));
    }
    let asked =
        connection.value(&format!("SELECT pg_catalog.pg_xact_status('{xid}'::pg_catalog.xid8)")).await;
    let status = match asked {
        Ok(status) => status,
        // "transaction ID ... is in the future"
        Err(error) if error.sqlstate() == Some("22023") => {
            return Ok(Some(Verdict::Unknown(error.message().to_owned())));
        }
        Err(error) => return Err(error),
    };
    Ok(match status.as_deref() {
        Some("in progress") => None,
        Some("committed") => Some(Verdict::Committed),
        Some("aborted") => Some(Verdict::Aborted),
        Some(other) => Some(Verdict::Unknown(format!("the server calls transaction {xid} \"{other}\""))),
        None => {
            Some(Verdict::Unknown(format!("transaction {xid} is too old: the server no longer remembers it")))
        }
    })
}

/// Ends the backend if it is still the same process, and says what came of it.
async fn end_backend(connection: &Connection, backend: &Backend) -> Result<String, Error> {
    let Backend { pid, started } = backend;
    let found = connection
        .row_if_any(&format!(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
             WHERE pid OPERATOR(pg_catalog.=) {pid} \
             AND pg_catalog.to_char(backend_start {}) OPERATOR(pg_catalog.=) {}",
            super::UTC,
            super::escape_literal(started)
        ))
        .await;
    Ok(match found {
        Ok(Some(_)) => format!("backend {pid} was told to end and has not"),
        Ok(None) => format!("its backend {pid} is not there (a prepared transaction?), or not ours to see"),
        Err(error) if error.sqlstate() == Some("42501") => format!("backend {pid} may not be ended: {error}"),
        Err(error) => return Err(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            system_identifier: "7".into(),
            timeline: "00000001".into(),
            lsn: "0/1000".into(),
            database: "app".into(),
            database_oid: 5,
            endpoint: "db:5432".into(),
            server_version: 150_018,
            standby: false,
        }
    }

    #[test]
    fn another_history_is_told_by_each_part_of_the_identity() {
        let then = identity();
        assert_eq!(other_history(&Identity { lsn: "0/1001".into(), ..identity() }, &then), None);
        assert_eq!(other_history(&then, &then), None);
        let differs = |now: Identity, word: &str| {
            let evidence = other_history(&now, &then).expect("another history");
            assert!(evidence.contains(word), "{evidence}");
        };
        differs(Identity { standby: true, ..identity() }, "standby");
        differs(Identity { system_identifier: "8".into(), ..identity() }, "another server");
        differs(Identity { timeline: "00000002".into(), ..identity() }, "timeline 00000002");
        differs(Identity { lsn: "0/FFF".into(), ..identity() }, "back in time");
    }
}
