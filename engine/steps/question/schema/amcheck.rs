//! Indexes read through by the extension amcheck, where it is installed. It takes the lock that a query takes. Must never
//! pass over in silence that nobody looked.

use super::super::super::attempt::{Attempt, Unit};
use super::super::super::sql::session::{self, Trouble};
use super::catalog::invalid_one;
use crate::postgres::{Connection, escape_literal};
use crate::run::Failure;
use crate::sql::schema::Difference;

/// Where the function is, and whether this user may call it.
const INSTALLED: &str = "SELECT pg_catalog.quote_ident(n.nspname),
       pg_catalog.has_function_privilege(p.oid, 'EXECUTE')::text
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
JOIN pg_catalog.pg_proc p ON p.pronamespace = n.oid AND p.proname = 'bt_index_check' AND p.pronargs = 1
WHERE e.extname = 'amcheck'";

const INDEXES: &str = "SELECT c.oid::text, n.nspname || '.' || c.relname, tn.nspname || '.' || t.relname
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_am a ON a.oid = c.relam
JOIN pg_catalog.pg_class t ON t.oid = i.indrelid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence <> 't' AND i.indisvalid AND i.indisready
ORDER BY 2";

/// What amcheck found.
#[derive(Default)]
pub struct Indexes {
    /// With their tables.
    pub damaged: Vec<(String, Difference)>,
    /// What was looked at, in words.
    pub note: String,
}

pub async fn ask(attempt: &Attempt, connection: &Connection) -> Result<Indexes, Failure> {
    let said = |error| session::failure(&error, "amcheck: ");
    let installed = connection.last(INSTALLED).await.map_err(said)?;
    let Some([Some(schema), Some(allowed)]) = installed.rows.first().map(Vec::as_slice) else {
        let note = "no index was read through: amcheck is not installed in this database".to_owned();
        return Ok(Indexes { note, ..Indexes::default() });
    };
    if allowed != "true" {
        let note = "no index was read through: this user may not call amcheck's bt_index_check".to_owned();
        return Ok(Indexes { note, ..Indexes::default() });
    }
    let indexes = connection.last(INDEXES).await.map_err(said)?.rows;
    let mut damaged = Vec::new();
    for (at, row) in indexes.iter().enumerate() {
        let [Some(oid), Some(name), Some(table)] = row.as_slice() else { continue };
        attempt.progress("reading indexes", at as u64, Some(indexes.len() as u64), Unit::Items);
        let sql = format!("SELECT {schema}.bt_index_check({}::pg_catalog.oid)", escape_literal(oid));
        match session::run(attempt, connection, &sql).await {
            Ok(_) => {}
            // index_corrupted, data_corrupted
            Err(Trouble::Server(error)) if matches!(error.sqlstate(), Some("XX001" | "XX002")) => {
                let why = format!("damaged: {error}");
                damaged.push((table.clone(), invalid_one("index", name.clone(), why)));
            }
            Err(Trouble::Server(error)) => {
                return Err(session::failure(&error, &format!("amcheck on {name}: ")));
            }
            Err(Trouble::NotSent | Trouble::Cancelled(_)) => {
                return Err(session::cancelled("nothing was changed"));
            }
        }
    }
    Ok(Indexes { damaged, note: format!("{} indexes were read through", indexes.len()) })
}
