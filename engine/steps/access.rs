//! Which roles can read and write a database's tables, and which of them can no more in a copy of it. Reads only. Must never
//! count a superuser, who may everything everywhere.

use crate::postgres::{Connection, Error};
use std::collections::BTreeMap;

/// What a role may do with any of the tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct May {
    pub read: bool,
    pub write: bool,
}

/// The roles that log in, by what they may; those that may nothing are left out.
pub type Access = BTreeMap<String, May>;

/// Tables and views that people made; what an extension brought is readable in every copy.
const ACCESS: &str = "SELECT r.rolname, pg_catalog.bool_or(pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT')), \
     pg_catalog.bool_or(pg_catalog.has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE')) \
     FROM pg_catalog.pg_roles r CROSS JOIN pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
     WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname NOT LIKE 'pg\\_%' \
     AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_%' \
     AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema' \
     AND pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE') \
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.objid OPERATOR(pg_catalog.=) c.oid \
       AND e.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass \
       AND e.deptype OPERATOR(pg_catalog.=) 'e')";

/// Of a database that is in use: only who may connect to it counts.
///
/// # Errors
/// It cannot be asked.
pub async fn live(inside: &Connection) -> Result<Access, Error> {
    let may = "pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CONNECT')";
    read(inside, &format!("{ACCESS} AND {may} GROUP BY 1")).await
}

/// Of a copy, whose own privileges it gets with the live one's name.
///
/// # Errors
/// It cannot be asked.
pub async fn copy(inside: &Connection) -> Result<Access, Error> {
    read(inside, &format!("{ACCESS} GROUP BY 1")).await
}

/// What is left of a live database's access when everything belongs to whoever asks and nobody is granted anything.
///
/// # Errors
/// It cannot be asked.
pub async fn without_owners(inside: &Connection) -> Result<Access, Error> {
    let members = "(pg_catalog.pg_has_role(r.oid, current_user, 'USAGE'))";
    read(inside, &format!("{ACCESS} AND {members} GROUP BY 1")).await
}

async fn read(inside: &Connection, sql: &str) -> Result<Access, Error> {
    let found = inside.last(sql).await?.rows;
    let may = found.into_iter().filter_map(|row| {
        let is = |at: usize| row.get(at).and_then(Option::as_deref) == Some("t");
        let may = May { read: is(1), write: is(2) };
        Some((row.first()?.clone()?, may)).filter(|_| may != May::default())
    });
    Ok(may.collect())
}

/// Who could and cannot any more, in words.
pub fn lost(live: &Access, copy: &Access) -> Vec<String> {
    let words = live.iter().filter_map(|(role, could)| {
        let can = copy.get(role).copied().unwrap_or_default();
        match (could.read && !can.read, could.write && !can.write) {
            (true, true) => Some(format!("{role} (could read and write, can do neither)")),
            (true, false) => Some(format!("{role} (could read)")),
            (false, true) => Some(format!("{role} (could write)")),
            (false, false) => None,
        }
    });
    words.collect()
}

/// What mends it.
pub const HELP: &str = "restore with `owners: keep`, or give the roles what they need in the copy: GRANT USAGE ON SCHEMA ... \
     and GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ... TO each of them";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_there_can_be_lost() {
        let all = |read, write| May { read, write };
        let live = Access::from([("app".into(), all(true, true)), ("reader".into(), all(true, false))]);
        let copy = Access::from([("app".into(), all(true, false)), ("new".into(), all(true, true))]);
        assert_eq!(lost(&live, &copy), ["app (could write)", "reader (could read)"]);
        assert_eq!(lost(&live, &live), Vec::<String>::new());
    }
}
