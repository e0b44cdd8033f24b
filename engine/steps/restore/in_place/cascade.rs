//! What `DROP SCHEMA ... CASCADE` takes along, as the catalog's dependencies say. Reads only.

use super::standing::{cell, rows};
use crate::postgres::{Connection, Error, escape_literal};
use crate::sql::dump::Made;
use std::collections::BTreeSet;

/// The objects that a `DROP SCHEMA ... CASCADE` takes: everything that depends, and what an object that goes is a part of.
pub fn gone(schemas: &[String]) -> String {
    let names: Vec<String> = schemas.iter().map(|schema| escape_literal(schema)).collect();
    let names = if names.is_empty() { "NULL".to_owned() } else { names.join(", ") };
    format!(
        "gone(classid, objid, objsubid) AS (
           SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass::pg_catalog.oid, oid, 0
           FROM pg_catalog.pg_namespace WHERE nspname IN ({names})
         UNION
           SELECT next.classid, next.objid, next.objsubid FROM gone g CROSS JOIN LATERAL (
             SELECT d.classid, d.objid, d.objsubid FROM pg_catalog.pg_depend d
             WHERE d.refclassid OPERATOR(pg_catalog.=) g.classid AND d.refobjid OPERATOR(pg_catalog.=) g.objid
               AND (g.objsubid OPERATOR(pg_catalog.=) 0 OR d.refobjsubid OPERATOR(pg_catalog.=) g.objsubid)
           UNION ALL
             SELECT d.refclassid, d.refobjid, d.refobjsubid FROM pg_catalog.pg_depend d
             WHERE d.classid OPERATOR(pg_catalog.=) g.classid AND d.objid OPERATOR(pg_catalog.=) g.objid
               AND d.objsubid OPERATOR(pg_catalog.=) g.objsubid AND d.deptype IN ('i', 'e')
           ) AS next)"
    )
}

/// What stands outside of the dropped schemas, goes with them and is not made again, by kind and name.
pub async fn outside(
    inside: &Connection,
    schemas: &[String],
    made: &Made,
    extensions: &BTreeSet<String>,
) -> Result<Vec<String>, Error> {
    let names: Vec<String> = schemas.iter().map(|schema| escape_literal(schema)).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let names = names.join(", ");
    // Of relations, routines and types the schema tells without asking for each one's name. What is a part of something
    // that goes is not told again.
    let sql = format!(
        "WITH RECURSIVE {}, dropped AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname IN ({names})),
         beyond AS (SELECT DISTINCT g.* FROM gone g
           LEFT JOIN pg_catalog.pg_class c ON g.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
             AND c.oid OPERATOR(pg_catalog.=) g.objid
           LEFT JOIN pg_catalog.pg_proc p ON g.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
             AND p.oid OPERATOR(pg_catalog.=) g.objid
           LEFT JOIN pg_catalog.pg_type t ON g.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
             AND t.oid OPERATOR(pg_catalog.=) g.objid
           WHERE g.classid NOT IN ('pg_catalog.pg_namespace'::pg_catalog.regclass,
               'pg_catalog.pg_publication_rel'::pg_catalog.regclass, 'pg_catalog.pg_default_acl'::pg_catalog.regclass)
             AND NOT coalesce(coalesce(c.relnamespace, p.pronamespace, t.typnamespace) IN (SELECT oid FROM dropped), false)
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d LEFT JOIN pg_catalog.pg_class r
               ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
                 AND r.oid OPERATOR(pg_catalog.=) d.refobjid
               WHERE d.classid OPERATOR(pg_catalog.=) g.classid AND d.objid OPERATOR(pg_catalog.=) g.objid
                 AND g.objsubid OPERATOR(pg_catalog.=) 0
                 AND (d.deptype IN ('i', 'e') OR (d.deptype OPERATOR(pg_catalog.=) 'a'
                   AND r.relnamespace IN (SELECT oid FROM dropped)))))
         SELECT i.type, i.identity FROM beyond b,
           LATERAL pg_catalog.pg_identify_object(b.classid, b.objid, b.objsubid) i
         WHERE (i.schema IS NULL OR NOT i.schema IN ({names}, 'pg_toast'))
           AND i.type NOT LIKE '% of access method' ORDER BY 1, 2 LIMIT 1000",
        gone(schemas)
    );
    let mut goes = Vec::new();
    for row in rows(inside, &sql).await? {
        let (kind, name) = (cell(&row, 0), cell(&row, 1));
        let plain = unquoted(name);
        let again = made.objects.contains(&(kind.to_owned(), plain.clone()))
            || (kind == "extension" && extensions.contains(&plain));
        if !again && !kind.starts_with("publication ") && kind != "user mapping" {
            goes.push(format!("{kind} {name}"));
        }
    }
    Ok(goes)
}

/// A name that stands alone, without its quotes.
fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if !inner.replace("\"\"", "").contains('"') => inner.replace("\"\"", "\""),
        _ => name.to_owned(),
    }
}
