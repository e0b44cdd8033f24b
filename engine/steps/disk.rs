//! The disk of a server, where it is this machine's. Must never say how much room there is of a disk that it did not see.

use crate::postgres::{Connection, escape_literal};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where a database's files are on this machine: of its server, of its tablespace, and of the WAL; else why nobody knows.
pub async fn places(
    server: &Connection,
    database: &str,
    system_identifier: &str,
) -> Result<Vec<PathBuf>, String> {
    let host = server.settings().hosts().first();
    let is_here = host.is_some_and(|host| {
        host.is_socket()
            || host.name == "localhost"
            || host.name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    });
    if !is_here {
        return Err("it is another machine".to_owned());
    }
    let sql = format!(
        "SELECT pg_catalog.current_setting('data_directory', true), \
         pg_catalog.pg_tablespace_location(dattablespace) FROM pg_catalog.pg_database \
         WHERE datname OPERATOR(pg_catalog.=) {}",
        escape_literal(database)
    );
    let row = match server.row(&sql).await {
        Ok(row) => row,
        Err(error) if error.sqlstate() == Some("42501") => {
            return Err(format!(
                "role {} may not see data_directory; GRANT pg_read_all_settings",
                server.settings().user()
            ));
        }
        Err(error) => return Err(error.message().to_owned()),
    };
    let data =
        PathBuf::from(row.optional(0).filter(|path| !path.is_empty()).ok_or("its directory is not told")?);
    is_its(&data, system_identifier)?;
    let wal = data.join("pg_wal");
    let wal = wal.canonicalize().unwrap_or(wal);
    let mut places = vec![data.clone()];
    if !wal.starts_with(&data) {
        places.push(wal);
    }
    if let Some(space) = row.optional(1).filter(|path| !path.is_empty()) {
        places.push(space.into());
    }
    Ok(places)
}

/// A forwarded port looks like this machine: only the server's own control file proves it.
fn is_its(data: &Path, system_identifier: &str) -> Result<(), String> {
    let path = data.join("global/pg_control");
    let mut bytes = [0; 8];
    std::fs::File::open(&path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let there = u64::from_ne_bytes(bytes).to_string();
    match there == system_identifier {
        true => Ok(()),
        false => Err(format!("{} belongs to another server", data.display())),
    }
}

/// Bytes that an ordinary user may still write.
pub fn free(path: &Path) -> Result<u64, String> {
    rustix::fs::statvfs(path)
        .map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize))
        .map_err(|error| error.to_string())
}
