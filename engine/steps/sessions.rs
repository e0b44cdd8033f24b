//! Other people's sessions on a database: seen, ended, waited for. Must never end a session of the run itself.

use super::stop::Stop;
use super::world::World;
use crate::clock::{self, Stopwatch};
use crate::postgres::{Backend, Connection, Error, escape_literal};
use crate::run::Evidence;
use std::time::Duration;

/// A session on a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub pid: i32,
    /// `client backend`, `logical replication worker`, ...
    pub kind: String,
    /// Holds a transaction that has written.
    pub writes: bool,
    user: String,
    application: String,
    client: String,
}

impl std::fmt::Display for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {}", self.user, self.pid)?;
        if !self.application.is_empty() {
            write!(f, ", {}", self.application)?;
        }
        if !self.client.is_empty() {
            write!(f, ", from {}", self.client)?;
        }
        write!(f, ")")
    }
}

/// What came of ending sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// The server processes that were told to end.
    pub pids: Vec<i32>,
    /// Who cannot be ended by this role, and why.
    pub refused: Vec<String>,
}

/// The condition on pg_stat_activity for the sessions of others on a database. Ours are told by their name and role;
/// workers of the server itself come and go by themselves.
pub fn of_others(world: &World, oid: u32) -> String {
    let ours: String = format!("runplan:{}:", world.run).chars().take(63).collect();
    format!(
        "a.datid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid AND a.pid OPERATOR(pg_catalog.<>) \
         pg_catalog.pg_backend_pid() AND NOT (pg_catalog.starts_with(a.application_name, {}) \
         AND a.usename OPERATOR(pg_catalog.=) current_user) AND coalesce(a.backend_type, 'client backend') \
         NOT IN ('autovacuum worker', 'parallel worker', 'walsender')",
        escape_literal(&ours)
    )
}

/// The sessions of others on a database.
pub async fn others(server: &Connection, world: &World, oid: u32) -> Result<Vec<Session>, Error> {
    let found = server
        .last(&format!(
            "SELECT a.pid, coalesce(a.backend_type, 'client backend'), a.backend_xid IS NOT NULL, \
             coalesce(a.usename, ''), a.application_name, coalesce(pg_catalog.host(a.client_addr), '') \
             FROM pg_catalog.pg_stat_activity a WHERE {} ORDER BY a.pid",
            of_others(world, oid)
        ))
        .await?;
    let text = |row: &Vec<Option<String>>, at: usize| row.get(at).cloned().flatten().unwrap_or_default();
    Ok(found
        .rows
        .iter()
        .map(|row| Session {
            pid: text(row, 0).parse().unwrap_or_default(),
            kind: text(row, 1),
            writes: text(row, 2) == "t",
            user: text(row, 3),
            application: text(row, 4),
            client: text(row, 5),
        })
        .collect())
}

/// Tells every session of others to end, once. One statement where the role may end them all.
pub async fn tell(server: &Connection, world: &World, oid: u32) -> Result<Ended, Error> {
    let all = server
        .last(&format!(
            "SELECT a.pid, pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a WHERE {}",
            of_others(world, oid)
        ))
        .await;
    match all {
        Ok(told) => {
            let pid =
                |row: &Vec<Option<String>>| row.first().cloned().flatten().and_then(|text| text.parse().ok());
            Ok(Ended { pids: told.rows.iter().filter_map(pid).collect(), refused: Vec::new() })
        }
        Err(error) if error.sqlstate() == Some("42501") => one_by_one(server, world, oid).await,
        Err(error) => Err(error),
    }
}

async fn one_by_one(server: &Connection, world: &World, oid: u32) -> Result<Ended, Error> {
    let mut ended = Ended::default();
    for session in others(server, world, oid).await? {
        match server.one(&format!("SELECT pg_catalog.pg_terminate_backend({})", session.pid)).await {
            Ok(_) => ended.pids.push(session.pid),
            Err(error) if error.sqlstate() == Some("42501") => {
                ended.refused.push(format!("{session}: {}", error.message()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(ended)
}

/// Ends every session of others and waits until none of those is left; new ones may have come. Those that may not be
/// ended are named. An error after `limit`.
pub async fn end(server: &Connection, world: &World, oid: u32, limit: Duration) -> Result<Ended, Error> {
    let ended = tell(server, world, oid).await?;
    if !ended.refused.is_empty() {
        return Ok(ended);
    }
    let watch = Stopwatch::start();
    loop {
        let left: Vec<_> = others(server, world, oid)
            .await?
            .into_iter()
            .filter(|session| ended.pids.contains(&session.pid))
            .collect();
        if left.is_empty() {
            return Ok(ended);
        }
        if watch.elapsed() > limit {
            let refused = left.iter().map(|session| format!("{session}: was told to end and has not"));
            return Ok(Ended { refused: refused.collect(), ..ended });
        }
        clock::sleep(Duration::from_millis(5)).await;
    }
}

/// Ends a session of ours whose engine died, and waits until it is gone: what it did by then stands, and nothing follows.
pub async fn end_orphan(server: &Connection, backend: &Backend, limit: Duration) -> Result<(), Stop> {
    let sql = format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
         WHERE pid OPERATOR(pg_catalog.=) {} AND pg_catalog.to_char(backend_start AT TIME ZONE 'UTC', \
         'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') OPERATOR(pg_catalog.=) {}",
        backend.pid,
        escape_literal(&backend.started)
    );
    let watch = Stopwatch::start();
    while !server.last(&sql).await?.rows.is_empty() {
        if watch.elapsed() > limit {
            let facts = [format!("backend {} has run since {}", backend.pid, backend.started)];
            return Err(Stop::Unknown(Evidence::new(
                "a session of the interrupted attempt does not end",
                facts,
            )));
        }
        clock::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
