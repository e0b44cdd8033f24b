//! The lock on a target: an advisory lock in an idle transaction on the maintenance database, so that two runs never
//! change one database at once. Must never wait for the lock: who is second is told who is first.

use super::connection::Connection;
use super::error::{Error, Kind};
use super::identity;
use super::settings::Settings;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// A dead peer is noticed after about this time, on both sides.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a check may take before the lock counts as lost.
const CHECK_LIMIT: Duration = Duration::from_secs(30);
/// The holder may vanish between our try and our look at it.
const TRIES: u32 = 5;

/// The lock, held as long as this value lives and its connection stands.
#[derive(Debug)]
pub struct TargetLock {
    connection: Box<Connection>,
    target: String,
    check_sql: String,
}

/// What came of trying.
#[derive(Debug)]
pub enum Acquired {
    Held(TargetLock),
    /// Somebody else holds it. `since` is UTC and, like `client`, empty where the server does not let us see it.
    Busy {
        pid: i32,
        application_name: String,
        since: String,
        client: String,
        /// When its server process began: with the pid, this one and no later one.
        started: String,
    },
}

impl TargetLock {
    /// Tries once. `maintenance` are settings for the server's maintenance database: advisory locks are per database,
    /// and the target itself is renamed by a swap.
    pub async fn acquire(maintenance: &Settings, target: &str) -> Result<Acquired, Error> {
        let settings = maintenance.with_keepalives(SILENCE);
        let name = settings.application_name().unwrap_or("runplan:lock").to_owned();
        let connection = Connection::connect(&settings, &name).await?;
        let version = identity::server_version(&connection).await?;
        let key = Key::of(target);
        for _ in 0..TRIES {
            connection.execute(&begin(version)).await?;
            if connection.one(&format!("SELECT pg_catalog.pg_try_advisory_xact_lock({})", key.whole)).await?
                == "t"
            {
                let check_sql = check_sql(&connection, &key).await?;
                return Ok(Acquired::Held(Self {
                    connection: Box::new(connection),
                    target: target.to_owned(),
                    check_sql,
                }));
            }
            connection.execute("ROLLBACK").await?;
            if let Some(busy) = holder(&connection, &key).await? {
                return Ok(busy);
            }
        }
        Err(Error::new(
            Kind::LockLost,
            format!("the lock on {target} changes hands all the time"),
            "see who uses it: SELECT * FROM pg_locks WHERE locktype = 'advisory'",
        ))
    }

    /// Who holds the lock on a target now, without trying for it. `maintenance` is a session on the maintenance
    /// database.
    pub async fn holder(maintenance: &Connection, target: &str) -> Result<Option<Acquired>, Error> {
        holder(maintenance, &Key::of(target)).await
    }

    /// Proves that the connection stands and the lock is ours.
    pub async fn check(&self) -> Result<(), Error> {
        match self.ask(&self.check_sql).await? {
            true => Ok(()),
            false => Err(self.lost("the server no longer knows it")),
        }
    }

    /// Asks a boolean SQL expression in the session that holds the lock: an answer proves that it stands.
    ///
    /// # Errors
    /// The session is gone, or does not answer in time: the lock counts as lost.
    pub async fn ask(&self, expression: &str) -> Result<bool, Error> {
        let sql = format!("SELECT {expression}");
        match tokio::time::timeout(CHECK_LIMIT, self.connection.one(&sql)).await {
            Ok(Ok(answer)) => Ok(answer == "t"),
            Ok(Err(error)) => Err(self.lost(error.message())),
            Err(_) => {
                Err(self.lost(&format!("the server did not answer within {} s", CHECK_LIMIT.as_secs())))
            }
        }
    }

    /// The session that holds the lock, to read with.
    pub fn session(&self) -> &Connection {
        &self.connection
    }

    fn lost(&self, why: &str) -> Error {
        Error::new(
            Kind::LockLost,
            format!("the lock on {} is lost: {why}", self.target),
            "somebody else may be changing the target now; `runplan resume` takes the lock anew",
        )
    }

    /// A boolean SQL expression, true while the lock is held, that any session of any role on the server can
    /// evaluate. To be asked in every transaction that changes the target, last before its COMMIT.
    ///
    /// It names the lock by key, pid, virtual transaction and the server's start. Unlike a backend's start these are
    /// visible to every role, and together they never come again.
    pub fn check_sql(&self) -> String {
        self.check_sql.clone()
    }

    pub fn target(&self) -> &str {
        &self.target
    }

    /// The process that holds the lock.
    pub fn pid(&self) -> i32 {
        self.connection.backend().pid
    }

    /// Gives the lock back. Dropping does too, but does not wait for the server.
    pub async fn release(self) -> Result<(), Error> {
        self.connection.execute("ROLLBACK").await.map(drop)
    }
}

/// The advisory key: the first eight bytes of a hash of the target's name, whole and as `pg_locks` shows it.
#[derive(Debug, Clone, Copy)]
struct Key {
    whole: i64,
    high: u32,
    low: u32,
}

impl Key {
    fn of(target: &str) -> Self {
        let digest = Sha256::digest(format!("runplan target {target}").as_bytes());
        let part =
            |from: usize| digest.iter().skip(from).take(4).fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        let (high, low) = (part(0), part(4));
        Self { whole: i64::from(high.cast_signed()) << 32 | i64::from(low), high, low }
    }

    fn in_pg_locks(&self) -> String {
        format!(
            "l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted AND l.objsubid OPERATOR(pg_catalog.=) 1 \
             AND l.classid OPERATOR(pg_catalog.=) {}::pg_catalog.oid AND l.objid OPERATOR(pg_catalog.=) {}::pg_catalog.oid",
            self.high, self.low
        )
    }
}

/// The advisory key of a name, whole.
pub(super) fn key_of(name: &str) -> i64 {
    Key::of(name).whole
}

/// An idle transaction that no timeout ends and that holds back no vacuum: its snapshot ends with each statement.
fn begin(server_version: u32) -> String {
    let newer = if server_version >= 170_000 { "SET LOCAL transaction_timeout = 0; " } else { "" };
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 0; \
         SET LOCAL tcp_keepalives_idle = 10; SET LOCAL tcp_keepalives_interval = 5; \
         SET LOCAL tcp_keepalives_count = 4; {newer}SET LOCAL statement_timeout = 0"
    )
}

async fn check_sql(connection: &Connection, key: &Key) -> Result<String, Error> {
    let row = connection
        .row(&format!(
            "SELECT l.pid, l.virtualtransaction, l.database AS base, pg_catalog.to_char(\
             pg_catalog.pg_postmaster_start_time() {}) FROM pg_catalog.pg_locks l \
             WHERE {} AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()",
            super::UTC,
            key.in_pg_locks()
        ))
        .await?;
    let (pid, base): (i32, u32) = (row.number("pid")?, row.number("base")?);
    Ok(format!(
        "EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE {} AND l.pid OPERATOR(pg_catalog.=) {pid} \
         AND l.database OPERATOR(pg_catalog.=) {base}::pg_catalog.oid \
         AND l.virtualtransaction OPERATOR(pg_catalog.=) {} \
         AND pg_catalog.to_char(pg_catalog.pg_postmaster_start_time() {}) OPERATOR(pg_catalog.=) {})",
        key.in_pg_locks(),
        super::escape_literal(&row.text(1)?),
        super::UTC,
        super::escape_literal(&row.text(3)?)
    ))
}

async fn holder(connection: &Connection, key: &Key) -> Result<Option<Acquired>, Error> {
    let row = connection
        .row_if_any(&format!(
            "SELECT l.pid, a.application_name, pg_catalog.to_char(a.xact_start {}), \
             pg_catalog.host(a.client_addr), pg_catalog.to_char(a.backend_start {}) FROM pg_catalog.pg_locks l \
             LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) l.pid WHERE {} \
             AND l.database OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database \
             WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())",
            super::UTC,
            super::UTC,
            key.in_pg_locks()
        ))
        .await?;
    let Some(row) = row else { return Ok(None) };
    let text = |at| row.optional(at).unwrap_or_default();
    Ok(Some(Acquired::Busy {
        pid: row.number("pid")?,
        application_name: text(1),
        since: text(2),
        client: text(3),
        started: text(4),
    }))
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn the_key_and_its_halves_agree_and_never_change() {
        let key = Key::of("app");
        assert_eq!(key.whole.cast_unsigned(), u64::from(key.high) << 32 | u64::from(key.low));
        assert_eq!(key.whole, Key::of("app").whole);
        assert_ne!(key.whole, Key::of("app2").whole);
    }
}
