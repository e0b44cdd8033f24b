//! What makes room for the backup: the schemas that it fills are dropped, and what belongs to no schema and stands in its
//! way. Only writes statements down; must never drop what the backup does not make again.

use super::super::super::stop::Stop;
use super::super::Source;
use super::standing::Standing;
use crate::postgres::{Connection, escape_identifier, escape_literal};
use crate::run::Failure;
use serde_json::{Map, Value};

/// A backup of a part would take the rest away.
pub fn refuse_partial(source: &Source) -> Result<(), Stop> {
    let scope = source.found.manifest.as_ref().map(|manifest| &manifest.scope);
    let partial =
        scope.is_some_and(|scope| scope.contains_key("tables") || scope.contains_key("exclude_tables"));
    if source.tables.is_none() && !partial {
        return Ok(());
    }
    let message = "only some tables would be restored, and the others in their schemas would be lost";
    Err(Failure::new("runplan::restore::partial", message)
        .help("restore them beside (`into: side`) and copy the rows over")
        .permanent()
        .into())
}

/// The statements, in one transaction with the load. `public`, which no dump creates, is made again with its owner and
/// privileges.
pub async fn statements(inside: &Connection, standing: &Standing) -> Result<Vec<String>, Stop> {
    let mut statements = vec!["SET LOCAL lock_timeout = '10s'".to_owned()];
    statements.extend(standing.replaced.iter().cloned());
    for schema in &standing.schemas {
        let again = if schema == "public" { public_again(inside).await? } else { None };
        statements.push(format!("DROP SCHEMA {} CASCADE", escape_identifier(schema)));
        statements.extend(again.into_iter().flatten());
    }
    statements.push("SET LOCAL lock_timeout = 0".to_owned());
    Ok(statements)
}

/// What makes the schema `public` again as it is; None: it is not there.
pub async fn public_again(inside: &Connection) -> Result<Option<Vec<String>>, Stop> {
    let sql = "SELECT pg_catalog.pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace \
               WHERE nspname OPERATOR(pg_catalog.=) 'public'";
    let Some(owner) = inside.row_if_any(sql).await? else { return Ok(None) };
    let mut statements =
        vec![format!("CREATE SCHEMA public AUTHORIZATION {}", escape_identifier(&owner.text(0)?))];
    statements.extend(grants(inside).await?);
    Ok(Some(statements))
}

/// The privileges on `public` as they are.
async fn grants(inside: &Connection) -> Result<Vec<String>, Stop> {
    let found = inside
        .last(
            "SELECT a.privilege_type, CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN NULL \
             ELSE pg_catalog.pg_get_userbyid(a.grantee) END, a.is_grantable FROM pg_catalog.pg_namespace n, \
             pg_catalog.aclexplode(n.nspacl) a WHERE n.nspname OPERATOR(pg_catalog.=) 'public'",
        )
        .await?;
    let statement = |row: &Vec<Option<String>>| {
        let privilege = row.first().cloned().flatten().unwrap_or_default();
        let to = row.get(1).cloned().flatten();
        let to = to.map_or_else(|| "PUBLIC".to_owned(), |role| escape_identifier(&role));
        let option =
            if row.get(2).cloned().flatten().as_deref() == Some("t") { " WITH GRANT OPTION" } else { "" };
        format!("GRANT {privilege} ON SCHEMA public TO {to}{option}")
    };
    Ok(found.rows.iter().map(statement).collect())
}

/// Tables in the dropped schemas that the backup has no rows of, `schema.table`.
pub async fn tables_lost(
    inside: &Connection,
    schemas: &[String],
    held: &Map<String, Value>,
) -> Result<Vec<String>, Stop> {
    if schemas.is_empty() {
        return Ok(Vec::new());
    }
    let list = schemas.iter().map(|schema| escape_literal(schema)).collect::<Vec<_>>().join(", ");
    let found = inside
        .last(&format!(
            "SELECT pg_catalog.concat(n.nspname, '.', c.relname) FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
             WHERE c.relkind IN ('r') AND n.nspname IN ({list}) ORDER BY 1"
        ))
        .await?;
    let names = found.rows.into_iter().filter_map(|row| row.into_iter().next().flatten());
    Ok(names.filter(|name| !held.get(name).is_some_and(Value::is_number)).collect())
}
