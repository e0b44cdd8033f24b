//! What the role lacks for statements that EXPLAIN does not take: definitions, TRUNCATE.

use super::{Asking, short};
use crate::postgres::escape_identifier;
use crate::sql::{Effect, Object, Statement, Write};
use crate::steps::preflight::concern::{Concern, Found};
use crate::steps::preflight::locks;
use crate::steps::preflight::privileges::{grants, is_meant};

impl Asking<'_> {
    /// Definitions are changed by the owner of the table.
    pub(super) async fn owns(&self, statement: &Statement, found: &mut Found) {
        if self.server.role.superuser || !self.setup.is_empty() {
            return;
        }
        let words = locks::words(&statement.text);
        if !matches!(words.first().map(String::as_str), Some("ALTER" | "DROP" | "CREATE" | "COMMENT")) {
            return;
        }
        for table in locks::tables(statement) {
            let sql = format!(
                "SELECT c.oid::pg_catalog.regclass, pg_catalog.pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class c \
                 JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
                 WHERE {} AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')",
                is_meant(&table)
            );
            let asked = self.server.ask("who owns a table", self.server.plain.row_if_any(&sql), found).await;
            let Some(Some(row)) = asked else { continue };
            let owner = row.optional(1).unwrap_or_default();
            let role = &self.server.role.name;
            let message = format!(
                "`{}`: {table} belongs to {owner}, and role {role} is not a member of it",
                short(&statement.text)
            );
            found.add(Concern::error("missing_privilege", message).step(&self.used.step).help(format!(
                "as a superuser: GRANT {} TO {}, or ALTER TABLE {} OWNER TO {}",
                escape_identifier(&owner),
                escape_identifier(role),
                row.optional(0).unwrap_or_default(),
                escape_identifier(role)
            )));
        }
    }

    pub(super) async fn may(&self, statement: &Statement, privilege: &'static str, found: &mut Found) {
        if self.server.role.superuser || !self.setup.is_empty() {
            return;
        }
        let tables = locks::tables(statement);
        let tables: Vec<(&Object, &'static str)> = tables.iter().map(|table| (table, privilege)).collect();
        let missing = grants(self.server, &tables, found).await;
        if !missing.is_empty() {
            let message = format!("`{}`: role {} may not", short(&statement.text), self.server.role.name);
            found.add(
                Concern::error("missing_privilege", message)
                    .step(&self.used.step)
                    .help(format!("as the owner or a superuser: {}", missing.join("; "))),
            );
        }
    }
}

/// The tables of a statement and the privilege it needs on each.
pub(super) fn touched(statement: &Statement) -> Vec<(&Object, &'static str)> {
    let mut touched = Vec::new();
    for effect in &statement.effects {
        let (objects, privileges): (&[Object], &[&'static str]) = match effect {
            Effect::Reads { tables } => (tables, &["SELECT"]),
            Effect::Locks { tables } => (tables, &["UPDATE"]),
            Effect::Writes { how, tables } => (
                tables,
                match how {
                    Write::Insert | Write::Copy => &["INSERT"],
                    Write::Update => &["UPDATE", "SELECT"],
                    Write::Delete => &["DELETE", "SELECT"],
                    Write::Merge => &["SELECT", "INSERT", "UPDATE", "DELETE"],
                    Write::Create | Write::Refresh => &[],
                },
            ),
            _ => continue,
        };
        for object in objects {
            touched.extend(privileges.iter().map(|privilege| (object, *privilege)));
        }
    }
    touched
}
