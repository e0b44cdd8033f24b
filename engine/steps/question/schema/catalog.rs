//! What a dump does not tell: indexes that were not built to their end, constraints that nobody held the rows against.

use super::super::super::sql::session;
use crate::postgres::Connection;
use crate::run::Failure;
use crate::sql::schema::{Difference, Fault};

const INVALID: &str = "
SELECT 'index', n.nspname || '.' || c.relname, tn.nspname || '.' || t.relname,
       CASE WHEN t.relkind = 'p' AND c.relkind = 'I' THEN 'not every partition has its part of it'
            ELSE 'not valid: it was not built to its end' END
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class t ON t.oid = i.indrelid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
WHERE NOT (i.indisvalid AND i.indisready AND i.indislive)
UNION ALL
SELECT CASE k.contype WHEN 'f' THEN 'foreign key' ELSE 'constraint' END,
       n.nspname || '.' || t.relname || '.' || k.conname, n.nspname || '.' || t.relname,
       'not validated: rows that were there before may break it'
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class t ON t.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
WHERE NOT k.convalidated
UNION ALL
SELECT 'domain', n.nspname || '.' || t.typname || '.' || k.conname, '',
       'not validated: values that were there before may break it'
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_type t ON t.oid = k.contypid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE NOT k.convalidated
UNION ALL
SELECT DISTINCT CASE WHEN k.contype = 'f' THEN 'foreign key' WHEN k.oid IS NOT NULL THEN 'constraint' ELSE 'trigger' END,
       n.nspname || '.' || t.relname || '.' || coalesce(k.conname, g.tgname), n.nspname || '.' || t.relname,
       CASE WHEN g.tgenabled = 'D' THEN 'its trigger is disabled' ELSE 'its trigger fires for replication only' END
       || CASE WHEN k.oid IS NULL THEN '' ELSE ' on ' || tn.nspname || '.' || tt.relname || ': nothing holds rows against it' END
FROM pg_catalog.pg_trigger g
JOIN pg_catalog.pg_class tt ON tt.oid = g.tgrelid JOIN pg_catalog.pg_namespace tn ON tn.oid = tt.relnamespace
LEFT JOIN pg_catalog.pg_constraint k ON k.oid = g.tgconstraint
JOIN pg_catalog.pg_class t ON t.oid = coalesce(nullif(k.conrelid, 0), g.tgrelid)
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
WHERE g.tgisinternal AND g.tgenabled IN ('D', 'R')
ORDER BY 1, 2";

/// What is there and does not do its work, each with its table.
pub async fn invalid(connection: &Connection) -> Result<Vec<(String, Difference)>, Failure> {
    let found = connection.last(INVALID).await.map_err(|error| session::failure(&error, ""))?;
    let text = |row: &[Option<String>], at: usize| row.get(at).cloned().flatten().unwrap_or_default();
    let rows = found.rows.iter().map(|row| {
        let kind = match text(row, 0).as_str() {
            "index" => "index",
            "foreign key" => "foreign key",
            "domain" => "domain",
            "trigger" => "trigger",
            _ => "constraint",
        };
        (text(row, 2), invalid_one(kind, text(row, 1), text(row, 3)))
    });
    Ok(rows.collect())
}

pub fn invalid_one(kind: &'static str, name: String, why: String) -> Difference {
    Difference { fault: Fault::Invalid, kind, name, wanted: None, found: Some(why) }
}
