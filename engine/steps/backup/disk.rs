//! Whether the backup will fit on the disk. An estimate: it refuses only what certainly does not fit.

use super::super::attempt::Attempt;
use super::super::database::Database;
use super::super::stop::Stop;
use crate::plan::action::Backup;
use crate::plan::action::backup::{Compress, Format};
use crate::postgres::Connection;
use crate::run::Failure;
use std::path::Path;

/// A compressed dump is seldom smaller than a tenth of the tables.
const SMALLEST: u64 = 10;

/// Refuses a disk on which the backup cannot fit, and warns of one that may be too small.
pub async fn check(
    attempt: &Attempt,
    action: &Backup,
    directory: &Path,
    server: &Connection,
    database: &Database,
) -> Result<(), Stop> {
    let Some(free) = free(directory) else { return Ok(()) };
    let tables = tables(server).await?;
    let packed = action.compress != Some(Compress::None);
    // Plain SQL is on the disk as it is before it is compressed.
    let least = if packed && action.format != Format::Plain { tables / SMALLEST } else { tables / 2 };
    let whole = action.tables.is_none() && action.schemas.is_none() && action.exclude_tables.is_none();
    if whole && free < least {
        let message = format!(
            "{} has {} free, and the tables of {} are {}",
            directory.display(),
            size(free),
            database.name,
            size(tables)
        );
        return Err(Failure::new("runplan::backup::disk", message)
            .help("make room, or name another directory in `to`")
            .into());
    }
    if whole && free < tables {
        attempt.warn(format!(
            "{} has {} free; the tables of {} are {} before compression",
            directory.display(),
            size(free),
            database.name,
            size(tables)
        ));
    }
    Ok(())
}

/// The bytes of all tables with their TOAST, without indexes, as the catalog has them: asking for the size of a table that
/// somebody has locked would wait for the lock.
async fn tables(server: &Connection) -> Result<u64, Stop> {
    let bytes = server
        .one(
            "SELECT (coalesce(sum(relpages), 0) * pg_catalog.current_setting('block_size')::pg_catalog.int8)::pg_catalog.int8 \
             FROM pg_catalog.pg_class WHERE relkind IN ('r', 'm', 't') AND relpersistence OPERATOR(pg_catalog.<>) 't' \
             AND oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid",
        )
        .await?;
    Ok(bytes.parse().unwrap_or(0))
}

fn free(directory: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(directory).ok()?;
    Some(found.f_bavail * found.f_frsize)
}

/// Bytes as people read them.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}
