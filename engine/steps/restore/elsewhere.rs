//! Into another database of the plan, which must be empty: as in place, in one transaction, without anything to make room
//! for. Undone by emptying it again. Must never load over anything, and never empty what this step did not fill.

use super::super::attempt::Attempt;
use super::super::database::Database;
use super::super::stop::{self, Stop};
use super::super::targets::{Target, application_name};
use super::in_place;
use crate::plan::Text;
use crate::plan::action::Restore;
use crate::plan::action::restore::Into;
use crate::postgres::{Connection, escape_identifier};
use crate::run::{Failure, Outputs};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The fact: it was empty, and will be filled.
const EMPTY: &str = "empty";

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Empty {
    database: String,
    oid: u32,
    /// What makes the schema `public` again as it was; None: it was not there.
    public: Option<Vec<String>>,
}

/// Where the backup goes: the database itself, or the other one.
pub async fn goal(attempt: &Attempt, action: &Restore) -> Result<Target, Stop> {
    let named = match &action.into {
        Into::Other(name) => Text::made(name.value.as_str()),
        Into::Side | Into::InPlace => action.database.clone(),
    };
    Ok(attempt.world.targets.find(&attempt.world, &named).await?)
}

/// What people could have made: tables, functions, types, schemas, extensions, large objects.
const OBJECTS: &str = "SELECT \
     (SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
        WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema') + \
     (SELECT count(*) FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace \
        WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema') + \
     (SELECT count(*) FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace \
        WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema') + \
     (SELECT count(*) FROM pg_catalog.pg_namespace n WHERE n.nspname NOT LIKE 'pg\\_%' \
        AND n.nspname NOT IN ('information_schema', 'public')) + \
     (SELECT count(*) FROM pg_catalog.pg_extension WHERE extname OPERATOR(pg_catalog.<>) 'plpgsql') + \
     (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata)";

/// Nothing is in it; noted, for the way back.
pub async fn prove_empty(attempt: &Attempt, inside: &Connection, found: &Database) -> Result<(), Stop> {
    let objects = inside.one(OBJECTS).await?;
    if objects != "0" {
        let message = format!("the database {} on {} is not empty", found.name, inside.endpoint());
        return Err(Failure::new("runplan::restore::not_empty", message)
            .help("name an empty database; `into: in_place` replaces what is there")
            .permanent()
            .into());
    }
    let public = in_place::public_again(inside).await?;
    attempt.note(EMPTY, json!(Empty { database: found.name.clone(), oid: found.oid, public })).await?;
    Ok(())
}

/// Empties the database that this step filled, in one transaction.
pub async fn empty_again(attempt: &Attempt, action: &Restore) -> Result<Outputs, Stop> {
    let Some(was) = stop::noted::<Empty>(attempt, EMPTY)? else { return Ok(Outputs::new()) };
    let target = goal(attempt, action).await?;
    let name = application_name(&attempt.world, attempt.step.id.value.as_str());
    let inside = stop::unless_cancelled(attempt, Connection::connect(&target.settings, &name)).await?;
    let found = Database::expect(&inside, &target.database).await?;
    if found.oid != was.oid {
        let message = format!("{} is another database than the one that was filled", found.name);
        return Err(Failure::new("runplan::restore::not_ours", message).permanent().into());
    }
    let hold = attempt.world.targets.claim(&attempt.world, &target).await?;
    let list = |sql: &'static str| async {
        let found = inside.last(sql).await?;
        let names = found.rows.into_iter().filter_map(|row| row.into_iter().next().flatten());
        Ok::<Vec<String>, Stop>(names.map(|name| escape_identifier(&name)).collect())
    };
    inside.execute("BEGIN; SET LOCAL lock_timeout = '10s'").await?;
    for extension in
        list("SELECT extname FROM pg_catalog.pg_extension WHERE extname OPERATOR(pg_catalog.<>) 'plpgsql'")
            .await?
    {
        inside.execute(&format!("DROP EXTENSION IF EXISTS {extension} CASCADE")).await?;
    }
    let schemas = "SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname NOT LIKE 'pg\\_%' \
                   AND nspname OPERATOR(pg_catalog.<>) 'information_schema'";
    for schema in list(schemas).await? {
        inside.execute(&format!("DROP SCHEMA {schema} CASCADE")).await?;
    }
    inside.execute("SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata").await?;
    for statement in was.public.iter().flatten() {
        inside.execute(statement).await?;
    }
    hold.check().await?;
    inside.execute("COMMIT").await?;
    let mut outputs = Outputs::new();
    outputs.insert("emptied".to_owned(), was.database.into());
    Ok(outputs)
}
