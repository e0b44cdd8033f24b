//! The two ways to shut a database, as statements, and what stands there now.

use crate::postgres::{Connection, Error, escape_identifier, escape_literal};

/// A new session of the database begins with it; it can ask otherwise, which is why a freeze proves.
pub const READ_ONLY: &str = "default_transaction_read_only";

/// The database's own value, for all roles.
pub async fn read(server: &Connection, oid: u32) -> Result<Option<String>, Error> {
    let row = server
        .row_if_any(&format!(
            "SELECT pg_catalog.substr(c, {}) FROM pg_catalog.pg_db_role_setting s, \
             pg_catalog.unnest(s.setconfig) c WHERE s.setdatabase OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid \
             AND s.setrole OPERATOR(pg_catalog.=) 0::pg_catalog.oid AND pg_catalog.starts_with(c, '{READ_ONLY}=')",
            READ_ONLY.len() + 2
        ))
        .await?;
    Ok(row.and_then(|row| row.optional(0)))
}

pub fn write(name: &str, value: &str) -> String {
    format!("ALTER DATABASE {} SET {READ_ONLY} = {}", escape_identifier(name), escape_literal(value))
}

pub fn reset(name: &str) -> String {
    format!("ALTER DATABASE {} RESET {READ_ONLY}", escape_identifier(name))
}

pub fn connections(name: &str, open: bool) -> String {
    format!("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {open}", escape_identifier(name))
}
