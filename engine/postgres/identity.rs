//! Which server and which database this is, so that another one in its place is noticed. Read only.

use super::connection::Connection;
use super::error::Error;
use serde::{Deserialize, Serialize};

/// What tells one database on one server from every other, and one moment of its WAL from a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Given by initdb; a copy of the data directory keeps it.
    pub system_identifier: String,
    /// Eight hexadecimal digits; rises with each promotion.
    pub timeline: String,
    /// The end of the WAL that is certainly on disk (replayed, on a standby), as `0/16B3748`.
    pub lsn: String,
    pub database: String,
    pub database_oid: u32,
    /// `host:port` through which it was reached.
    pub endpoint: String,
    /// As 150018 for 15.18.
    pub server_version: u32,
    pub standby: bool,
}

impl Identity {
    /// The major version: 15 for 150018.
    pub fn major(&self) -> u32 {
        self.server_version / 10_000
    }

    /// The LSN as a number, for comparing.
    pub fn position(&self) -> Option<u64> {
        lsn_position(&self.lsn)
    }
}

/// `0/16B3748` as a number.
pub fn lsn_position(lsn: &str) -> Option<u64> {
    let (high, low) = lsn.split_once('/')?;
    let (high, low) = (u32::from_str_radix(high, 16).ok()?, u32::from_str_radix(low, 16).ok()?);
    Some(u64::from(high) << 32 | u64::from(low))
}

/// The primary's timeline comes from the WAL it inserts into: the control file is stale after a promotion. The
/// LSN is the flushed one: what is only inserted may be gone after a crash and would look like a step back in time.
const PRIMARY: &str = "pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8) \
     AS timeline, pg_catalog.pg_current_wal_flush_lsn() AS lsn";
const STANDBY: &str = "pg_catalog.lpad(pg_catalog.upper(pg_catalog.to_hex(r.min_recovery_end_timeline)), 8, '0') \
     AS timeline, pg_catalog.pg_last_wal_replay_lsn() AS lsn";

pub async fn read(connection: &Connection) -> Result<Identity, Error> {
    let standby = connection.one("SELECT pg_catalog.pg_is_in_recovery()").await? == "t";
    let (wal, recovery) = match standby {
        true => (STANDBY, ", pg_catalog.pg_control_recovery() r"),
        false => (PRIMARY, ""),
    };
    let row = connection
        .row(&format!(
            "SELECT s.system_identifier, {wal}, d.datname, d.oid AS oid, \
             pg_catalog.current_setting('server_version_num') AS version \
             FROM pg_catalog.pg_control_system() s{recovery}, pg_catalog.pg_database d \
             WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()"
        ))
        .await?;
    Ok(Identity {
        system_identifier: row.text(0)?,
        timeline: row.text(1)?,
        lsn: row.text(2)?,
        database: row.text(3)?,
        database_oid: row.number("oid")?,
        endpoint: connection.endpoint().to_owned(),
        server_version: row.number("version")?,
        standby,
    })
}

/// As 150018 for 15.18.
pub async fn server_version(connection: &Connection) -> Result<u32, Error> {
    connection
        .row("SELECT pg_catalog.current_setting('server_version_num') AS version")
        .await?
        .number("version")
}

#[cfg(test)]
mod tests {
    use super::lsn_position;

    #[test]
    fn positions_compare_across_the_slash() {
        assert_eq!(lsn_position("0/16B3748"), Some(0x016B_3748));
        assert!(lsn_position("1/0") > lsn_position("0/FFFFFFFF"));
        assert_eq!(lsn_position("nonsense"), None);
    }
}
