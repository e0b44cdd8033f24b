//! A database as the server's catalog has it. Read only; asked over the maintenance database. A database is told by its
//! OID: names change hands in a swap.

use super::mark::Mark;
use crate::postgres::{Connection, Error, Row, escape_identifier, escape_literal};
use crate::run::Failure;

/// One row of pg_database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    pub oid: u32,
    pub name: String,
    pub owner: String,
    pub comment: String,
    /// Whether sessions may begin.
    pub open: bool,
    pub template: bool,
    /// -1: none.
    pub connection_limit: i64,
    /// In bytes.
    pub size: u64,
    encoding: String,
    collate: String,
    ctype: String,
    provider: String,
    locale: Option<String>,
    rules: Option<String>,
    tablespace: String,
    /// Of the server: 15.
    major: u32,
}

impl Database {
    pub async fn by_name(server: &Connection, name: &str) -> Result<Option<Self>, Error> {
        Self::find(server, &format!("d.datname OPERATOR(pg_catalog.=) {}", escape_literal(name))).await
    }

    pub async fn by_oid(server: &Connection, oid: u32) -> Result<Option<Self>, Error> {
        Self::find(server, &format!("d.oid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid")).await
    }

    /// The database that must be there.
    pub async fn expect(server: &Connection, name: &str) -> Result<Self, super::stop::Stop> {
        Self::by_name(server, name).await?.ok_or_else(|| {
            let message = format!("database {name} does not exist on {}", server.endpoint());
            Failure::new("runplan::target::no_database", message).help("check the name and the server").into()
        })
    }

    async fn find(server: &Connection, condition: &str) -> Result<Option<Self>, Error> {
        let major = crate::postgres::identity::server_version(server).await? / 10_000;
        let (provider, locale, rules) = match major {
            ..15 => ("'c'", "NULL", "NULL"),
            15 => ("d.datlocprovider", "d.daticulocale", "NULL"),
            16 => ("d.datlocprovider", "d.daticulocale", "d.daticurules"),
            _ => ("d.datlocprovider", "d.datlocale", "d.daticurules"),
        };
        // The size needs CONNECT or pg_read_all_stats; without it is 0.
        let sql = format!(
            "SELECT d.oid AS oid, d.datname, r.rolname, pg_catalog.shobj_description(d.oid, 'pg_database'), \
             d.datallowconn, d.datistemplate, d.datconnlimit AS connections, \
             pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, {provider}, {locale}, \
             {rules}, t.spcname, COALESCE(CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT') \
             OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') \
             THEN pg_catalog.pg_database_size(d.oid) END, 0) AS size \
             FROM pg_catalog.pg_database d \
             JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) d.datdba \
             JOIN pg_catalog.pg_tablespace t ON t.oid OPERATOR(pg_catalog.=) d.dattablespace \
             WHERE {condition}"
        );
        let row = match server.row_if_any(&sql).await {
            // It was dropped while its files were measured: the next look does not see it.
            Err(error) if error.sqlstate() == Some("3D000") => server.row_if_any(&sql).await?,
            other => other?,
        };
        row.map(|row| Self::read(&row, major)).transpose()
    }

    fn read(row: &Row, major: u32) -> Result<Self, Error> {
        Ok(Self {
            oid: row.number("oid")?,
            name: row.text(1)?,
            owner: row.text(2)?,
            comment: row.optional(3).unwrap_or_default(),
            open: row.is_true(4),
            template: row.is_true(5),
            connection_limit: row.number("connections")?,
            encoding: row.text(7)?,
            collate: row.text(8)?,
            ctype: row.text(9)?,
            provider: row.text(10)?,
            locale: row.optional(11),
            rules: row.optional(12),
            tablespace: row.text(13)?,
            major,
            size: row.number("size")?,
        })
    }

    /// What the program wrote into its comment, if it did.
    pub fn mark(&self) -> Option<Mark> {
        Mark::parse(&self.comment)
    }

    /// The statement that makes an empty database with the same owner, encoding and locale under another name.
    pub fn create_like(&self, name: &str) -> String {
        let text = escape_literal;
        let mut sql = format!(
            "CREATE DATABASE {} WITH TEMPLATE = template0 OWNER = {} ENCODING = {} LC_COLLATE = {} LC_CTYPE = {}",
            escape_identifier(name),
            escape_identifier(&self.owner),
            text(&self.encoding),
            text(&self.collate),
            text(&self.ctype),
        );
        match (self.provider.as_str(), &self.locale) {
            ("i", Some(locale)) => {
                sql.push_str(&format!(" LOCALE_PROVIDER = icu ICU_LOCALE = {}", text(locale)));
                if let Some(rules) = &self.rules {
                    sql.push_str(&format!(" ICU_RULES = {}", text(rules)));
                }
            }
            ("b", Some(locale)) => {
                sql.push_str(&format!(" LOCALE_PROVIDER = builtin BUILTIN_LOCALE = {}", text(locale)));
            }
            // Said outright: the template may have another provider.
            ("c", _) if self.major >= 15 => sql.push_str(" LOCALE_PROVIDER = libc"),
            _ => {}
        }
        if self.tablespace != "pg_default" {
            sql.push_str(&format!(" TABLESPACE = {}", escape_identifier(&self.tablespace)));
        }
        sql
    }
}

/// Which version of its row in the catalog a database has: every ALTER DATABASE of its name, owner or connections, and no
/// setting, comment or vacuum, makes another one.
pub async fn version(server: &Connection, oid: u32) -> Result<Option<String>, Error> {
    let row = server
        .row_if_any(&format!(
            "SELECT d.xmin::pg_catalog.text FROM pg_catalog.pg_database d \
             WHERE d.oid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid"
        ))
        .await?;
    Ok(row.and_then(|row| row.optional(0)))
}

/// `COMMENT ON DATABASE`.
pub fn comment_sql(name: &str, comment: &str) -> String {
    let value = if comment.is_empty() { "NULL".to_owned() } else { escape_literal(comment) };
    format!("COMMENT ON DATABASE {} IS {value}", escape_identifier(name))
}

/// A name of at most 63 bytes: the stem is cut, never the tail.
pub fn name_with(stem: &str, tail: &str) -> String {
    let mut end = stem.len().min(63usize.saturating_sub(tail.len()));
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{tail}", &stem[..end])
}

/// The server's clock, UTC, RFC 3339.
pub async fn server_time(connection: &Connection) -> Result<String, Error> {
    connection
        .one(
            "SELECT pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', \
             'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
        )
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_its_tail() {
        assert_eq!(name_with("app", "_rp_k7f3"), "app_rp_k7f3");
        let name = name_with(&"ü".repeat(40), "_rp_k7f3");
        assert!(name.len() <= 63 && name.ends_with("ü_rp_k7f3"), "{name}");
    }
}
