//! What an interrupted attempt left on the server: its backend may go on working although nobody listens any more.
//! Must never end a session that is not this step's own.

use super::super::attempt::Attempt;
use super::super::targets::{Target, application_name};
use crate::clock::{self, Stopwatch};
use crate::postgres::{Backend, Connection, Error, escape_literal};
use std::time::Duration;

/// How long an ended backend may take to be gone.
const ENDING: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
/// A session that asks about the step's sessions is named apart from them.
const ASKING: &str = "settle";

/// Connects to a target to look after what an attempt left there.
pub async fn connect(attempt: &Attempt, target: &Target) -> Result<Connection, Error> {
    let step = format!("{ASKING} {}", attempt.step.id.value);
    Connection::connect(&target.settings, &application_name(&attempt.world, &step)).await
}

/// Ends the sessions of this step's earlier attempts and waits until they are gone; gives those that are not.
pub async fn end_all(attempt: &Attempt, connection: &Connection) -> Result<Vec<i32>, Error> {
    let name = application_name(&attempt.world, attempt.step.id.as_str());
    end(
        connection,
        &format!(
            "application_name OPERATOR(pg_catalog.=) {} AND datname OPERATOR(pg_catalog.=) pg_catalog.current_database()",
            escape_literal(&name)
        ),
    )
    .await
}

/// Ends one backend and waits until it is gone; whether it is.
pub async fn end_one(connection: &Connection, backend: &Backend) -> Result<bool, Error> {
    end(connection, &is(backend)).await.map(|left| left.is_empty())
}

async fn end(connection: &Connection, which: &str) -> Result<Vec<i32>, Error> {
    let sql = format!(
        "SELECT pid, pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
         WHERE {which} AND pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()"
    );
    let watch = Stopwatch::start();
    loop {
        let found = connection.last(&sql).await?;
        let left: Vec<i32> =
            found.rows.iter().filter_map(|row| row.first()?.as_deref()?.parse().ok()).collect();
        if left.is_empty() || watch.elapsed() >= ENDING {
            return Ok(left);
        }
        clock::sleep(PAUSE).await;
    }
}

/// What the backend is doing: `active`, `idle` ...; None: it is gone.
pub async fn state(connection: &Connection, backend: &Backend) -> Result<Option<String>, Error> {
    let row = connection
        .row_if_any(&format!("SELECT state FROM pg_catalog.pg_stat_activity WHERE {}", is(backend)))
        .await?;
    Ok(row.map(|row| row.optional(0).unwrap_or_else(|| "not to be seen".to_owned())))
}

fn is(backend: &Backend) -> String {
    format!(
        "pid OPERATOR(pg_catalog.=) {} AND backend_start OPERATOR(pg_catalog.=) {}::pg_catalog.timestamptz",
        backend.pid,
        escape_literal(&backend.started)
    )
}
