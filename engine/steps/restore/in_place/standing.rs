//! What stands in a live database that a restore in place would replace, leave, take along or trip over. Reads only, so that
//! it is told before anything is touched, and once more by the step itself before it begins. Must never call something
//! replaced that the backup does not make again.

use super::super::super::stop::Stop;
use super::cascade;
use crate::postgres::{Connection, Error, escape_identifier, escape_literal};
use crate::run::Failure;
use crate::sql::dump::Made;
use std::collections::BTreeSet;

/// Everything that a restore in place must know of the live database.
#[derive(Debug, Default)]
pub struct Standing {
    /// The schemas that are dropped.
    pub schemas: Vec<String>,
    /// The statements that take away what the backup makes again and what belongs to no schema.
    pub replaced: Vec<String>,
    /// Why it cannot be done, each with what helps.
    pub blocks: Vec<(String, String)>,
    /// What is not replaced: it stays as it is.
    pub stays: Vec<String>,
    /// What goes with the schemas although it stands outside of them, and the backup does not make again.
    pub goes: Vec<String>,
    /// What else an operator should know.
    pub notes: Vec<String>,
}

/// So many names stand in one sentence.
const NAMED: usize = 20;

impl Standing {
    /// # Errors
    /// Something is in the way; all of it is told.
    pub fn refuse(&self) -> Result<(), Stop> {
        if self.blocks.is_empty() {
            return Ok(());
        }
        let why: Vec<&str> = self.blocks.iter().map(|(why, _)| why.as_str()).collect();
        let mut help: Vec<&str> = self.blocks.iter().map(|(_, help)| help.as_str()).collect();
        help.dedup();
        let message = format!("the backup cannot take the live database's place: {}", why.join("; "));
        Err(Failure::new("runplan::restore::blocked", message)
            .help(format!("{}; or restore beside and swap; nothing was changed", help.join("; ")))
            .into())
    }

    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.goes.is_empty() {
            warnings.push(format!(
                "what depends on the replaced schemas goes with them, and the backup does not bring it back: {}",
                listed(&self.goes)
            ));
        }
        if !self.stays.is_empty() {
            warnings.push(format!("not replaced, it stays as it is: {}", listed(&self.stays)));
        }
        warnings.extend(self.notes.iter().cloned());
        warnings
    }
}

fn listed(names: &[String]) -> String {
    let mut shown: Vec<String> = names.iter().take(NAMED).cloned().collect();
    if names.len() > NAMED {
        shown.push(format!("{} more", names.len() - NAMED));
    }
    shown.join(", ")
}

/// Looks at the live database with the eyes of a backup.
///
/// # Errors
/// The backup fills no schema, or the server cannot be asked.
pub async fn look(
    inside: &Connection,
    made: &Made,
    extensions_of_it: &BTreeSet<String>,
) -> Result<Standing, Stop> {
    if made.schemas.is_empty() {
        let message = "the backup holds no table, so there is nothing to restore in place";
        return Err(Failure::new("runplan::restore::empty", message).permanent().into());
    }
    let role = Role::read(inside).await?;
    let mut found = Standing::default();
    schemas(inside, made, &role, &mut found).await?;
    belongings(inside, made, &role, &mut found).await?;
    subscriptions(inside, &mut found).await?;
    publications(inside, made, &mut found).await?;
    event_triggers(inside, made, &role, &mut found).await?;
    extensions(inside, extensions_of_it, &role, &mut found).await?;
    large_objects(inside, made, &role, &mut found).await?;
    found.goes = cascade::outside(inside, &found.schemas, made, extensions_of_it).await?;
    Ok(found)
}

/// Who asks.
struct Role {
    name: String,
    superuser: bool,
}

impl Role {
    async fn read(inside: &Connection) -> Result<Self, Error> {
        let sql = "SELECT rolname, rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user";
        let row = inside.row(sql).await?;
        Ok(Self { name: row.text(0)?, superuser: row.is_true(1) })
    }
}

pub(super) async fn rows(inside: &Connection, sql: &str) -> Result<Vec<Vec<String>>, Error> {
    let found = inside.last(sql).await?.rows;
    Ok(found.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect()).collect())
}

pub(super) fn cell(row: &[String], at: usize) -> &str {
    row.get(at).map_or("", String::as_str)
}

/// Those that the backup fills are dropped, which only their owners may; others stay.
async fn schemas(inside: &Connection, made: &Made, role: &Role, found: &mut Standing) -> Result<(), Error> {
    let sql = "SELECT nspname, pg_catalog.pg_get_userbyid(nspowner), pg_catalog.pg_has_role(nspowner, 'USAGE'), \
               EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace OPERATOR(pg_catalog.=) n.oid) \
               OR EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.pronamespace OPERATOR(pg_catalog.=) n.oid) \
               OR EXISTS (SELECT FROM pg_catalog.pg_type t WHERE t.typnamespace OPERATOR(pg_catalog.=) n.oid) \
               FROM pg_catalog.pg_namespace n WHERE nspname NOT LIKE 'pg\\_%' \
               AND nspname OPERATOR(pg_catalog.<>) 'information_schema' ORDER BY 1";
    for row in rows(inside, sql).await? {
        let (schema, owner) = (cell(&row, 0), cell(&row, 1));
        if !made.schemas.contains(schema) {
            if schema != "public" || cell(&row, 3) == "t" {
                found.stays.push(format!("schema {schema}"));
            }
            continue;
        }
        found.schemas.push(schema.to_owned());
        if cell(&row, 2) != "t" {
            found.blocks.push((
                format!("schema {schema} belongs to {owner}, and role {} may not drop it", role.name),
                format!("GRANT {} TO {}", escape_identifier(owner), escape_identifier(&role.name)),
            ));
        }
    }
    let may = "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')";
    if inside.one(may).await? != "t" {
        let database = inside.one("SELECT pg_catalog.current_database()").await?;
        found.blocks.push((
            format!("role {} may not make schemas in {database}", role.name),
            format!(
                "GRANT CREATE ON DATABASE {} TO {}",
                escape_identifier(&database),
                escape_identifier(&role.name)
            ),
        ));
    }
    Ok(())
}

/// What belongs to the database and to no schema: kind, name, the statement that drops it, whether we may, its owner.
const BELONGINGS: &str = "
SELECT 'event trigger', evtname::pg_catalog.text, pg_catalog.format('DROP EVENT TRIGGER IF EXISTS %I', evtname),
       pg_catalog.pg_has_role(evtowner, 'USAGE'), pg_catalog.pg_get_userbyid(evtowner), 1, oid, 'pg_event_trigger'
  FROM pg_catalog.pg_event_trigger
UNION ALL
SELECT 'publication', pubname, pg_catalog.format('DROP PUBLICATION IF EXISTS %I', pubname),
       pg_catalog.pg_has_role(pubowner, 'USAGE'), pg_catalog.pg_get_userbyid(pubowner), 2, oid, 'pg_publication'
  FROM pg_catalog.pg_publication
UNION ALL
SELECT 'user mapping', pg_catalog.concat(CASE WHEN m.umuser OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'public'
         ELSE pg_catalog.pg_get_userbyid(m.umuser) END, ' for ', s.srvname),
       pg_catalog.format('DROP USER MAPPING IF EXISTS FOR %s SERVER %I',
         CASE WHEN m.umuser OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
         ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m.umuser)) END, s.srvname),
       pg_catalog.pg_has_role(s.srvowner, 'USAGE'), pg_catalog.pg_get_userbyid(s.srvowner), 3, m.umid, 'pg_user_mapping'
  FROM pg_catalog.pg_user_mappings m JOIN pg_catalog.pg_foreign_server s ON s.oid OPERATOR(pg_catalog.=) m.srvid
UNION ALL
SELECT 'server', srvname, pg_catalog.format('DROP SERVER IF EXISTS %I CASCADE', srvname),
       pg_catalog.pg_has_role(srvowner, 'USAGE'), pg_catalog.pg_get_userbyid(srvowner), 4, oid, 'pg_foreign_server'
  FROM pg_catalog.pg_foreign_server
UNION ALL
SELECT 'foreign data wrapper', fdwname, pg_catalog.format('DROP FOREIGN DATA WRAPPER IF EXISTS %I CASCADE', fdwname),
       pg_catalog.pg_has_role(fdwowner, 'USAGE'), pg_catalog.pg_get_userbyid(fdwowner), 5, oid, 'pg_foreign_data_wrapper'
  FROM pg_catalog.pg_foreign_data_wrapper
UNION ALL
SELECT 'cast', i.identity, pg_catalog.concat('DROP CAST IF EXISTS ', i.identity, ' CASCADE'), true, '', 6, c.oid, 'pg_cast'
  FROM pg_catalog.pg_cast c,
       pg_catalog.pg_identify_object('pg_catalog.pg_cast'::pg_catalog.regclass, c.oid, 0) i
  WHERE c.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
UNION ALL
SELECT 'access method', amname, pg_catalog.format('DROP ACCESS METHOD IF EXISTS %I CASCADE', amname), true, '', 7, oid, 'pg_am'
  FROM pg_catalog.pg_am WHERE oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid";

/// What the backup makes again is taken away first, else its CREATE would fail; what it does not make stays, unless
/// something that goes takes it along.
async fn belongings(
    inside: &Connection,
    made: &Made,
    role: &Role,
    found: &mut Standing,
) -> Result<(), Error> {
    let gone = cascade::gone(&found.schemas);
    let sql = format!(
        "WITH RECURSIVE {gone} SELECT b.*, EXISTS (SELECT FROM gone g WHERE g.objid OPERATOR(pg_catalog.=) b.oid \
         AND g.classid OPERATOR(pg_catalog.=) pg_catalog.concat('pg_catalog.', b.catalog)::pg_catalog.regclass), \
         EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.objid OPERATOR(pg_catalog.=) b.oid \
         AND e.classid OPERATOR(pg_catalog.=) pg_catalog.concat('pg_catalog.', b.catalog)::pg_catalog.regclass \
         AND e.deptype OPERATOR(pg_catalog.=) 'e') \
         FROM ({BELONGINGS}) AS b(kind, name, sql, may, owner, place, oid, catalog) ORDER BY place, 2"
    );
    for row in rows(inside, &sql).await? {
        let (kind, name) = (cell(&row, 0), cell(&row, 1));
        if cell(&row, 9) == "t" {
            // Its extension makes it, and takes it along.
            continue;
        }
        if made.objects.contains(&(kind.to_owned(), name.to_owned())) {
            found.replaced.push(cell(&row, 2).to_owned());
            if cell(&row, 3) != "t" {
                found.blocks.push((
                    format!(
                        "{kind} {name} belongs to {}, and role {} may not replace it",
                        cell(&row, 4),
                        role.name
                    ),
                    "run as its owner or a superuser".to_owned(),
                ));
            }
        } else if cell(&row, 8) != "t" {
            found.stays.push(format!("{kind} {name}"));
        }
    }
    Ok(())
}

/// A subscription goes on writing into tables that it loses, and cannot be dropped in a transaction.
async fn subscriptions(inside: &Connection, found: &mut Standing) -> Result<(), Error> {
    let sql = "SELECT s.subname, pg_catalog.quote_ident(s.subname) FROM pg_catalog.pg_subscription s \
               JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) s.subdbid \
               WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database() ORDER BY 1";
    for row in rows(inside, sql).await? {
        let (name, quoted) = (cell(&row, 0), cell(&row, 1));
        found.stays.retain(|stays| *stays != format!("subscription {name}"));
        found.blocks.push((
            format!("subscription {name} writes into tables that would be replaced, and would lose them"),
            format!(
                "there: ALTER SUBSCRIPTION {quoted} DISABLE; ALTER SUBSCRIPTION {quoted} SET (slot_name = NONE); \
                 DROP SUBSCRIPTION {quoted}; make it again afterwards"
            ),
        ));
    }
    Ok(())
}

/// One that the backup does not make again loses the tables that are replaced; its subscribers get nothing of them any more.
async fn publications(inside: &Connection, made: &Made, found: &mut Standing) -> Result<(), Error> {
    let names: Vec<String> = found.schemas.iter().map(|name| escape_literal(name)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT p.pubname, pg_catalog.count(*) FROM pg_catalog.pg_publication p \
               JOIN pg_catalog.pg_publication_rel r ON r.prpubid OPERATOR(pg_catalog.=) p.oid \
               JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) r.prrelid \
               JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
               WHERE n.nspname IN ({}) GROUP BY 1 ORDER BY 1",
        names.join(", ")
    );
    for row in rows(inside, &sql).await? {
        let (name, tables) = (cell(&row, 0), cell(&row, 1));
        if !made.objects.contains(&("publication".to_owned(), name.to_owned())) {
            found.notes.push(format!(
                "publication {name} stays and loses {tables} replaced tables: its subscribers get nothing of them until \
                 ALTER PUBLICATION {} ADD TABLE",
                escape_identifier(name)
            ));
        }
    }
    Ok(())
}

/// An event trigger fires for the restore's own statements too.
async fn event_triggers(
    inside: &Connection,
    made: &Made,
    role: &Role,
    found: &mut Standing,
) -> Result<(), Error> {
    let sql = "SELECT evtname, evtevent, pg_catalog.concat(n.nspname, '.', p.proname) FROM pg_catalog.pg_event_trigger \
               JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) evtfoid \
               JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace \
               WHERE evtenabled IN ('O', 'A') AND evtevent OPERATOR(pg_catalog.<>) 'login' ORDER BY 1";
    for row in rows(inside, sql).await? {
        let (name, event, function) = (cell(&row, 0), cell(&row, 1), cell(&row, 2));
        if !made.objects.contains(&("event trigger".to_owned(), name.to_owned())) {
            found.notes.push(format!(
                "event trigger {name} ({event}, function {function}) fires for the statements of the restore; if it \
                 refuses them nothing is changed (ALTER EVENT TRIGGER {} DISABLE)",
                escape_identifier(name)
            ));
        }
    }
    let makes =
        made.objects.iter().find(|(kind, _)| kind == "event trigger" || kind == "foreign data wrapper");
    if let Some((kind, name)) = makes.filter(|_| !role.superuser) {
        found.blocks.push((
            format!(
                "the backup makes the {kind} {name}, which only a superuser may, and role {} is none",
                role.name
            ),
            "run as a superuser".to_owned(),
        ));
    }
    Ok(())
}

/// Those in the schemas that are dropped go with them; not everybody may make each one again.
async fn extensions(
    inside: &Connection,
    of_it: &BTreeSet<String>,
    role: &Role,
    found: &mut Standing,
) -> Result<(), Error> {
    let sql = "SELECT e.extname, n.nspname, (SELECT pg_catalog.bool_or(v.superuser AND NOT v.trusted) \
               FROM pg_catalog.pg_available_extension_versions v WHERE v.name OPERATOR(pg_catalog.=) e.extname \
               AND v.version OPERATOR(pg_catalog.=) e.extversion) FROM pg_catalog.pg_extension e \
               JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace ORDER BY 1";
    for row in rows(inside, sql).await? {
        let (name, schema) = (cell(&row, 0), cell(&row, 1));
        if !found.schemas.iter().any(|dropped| dropped == schema) {
            if name != "plpgsql" {
                found.stays.push(format!("extension {name} in schema {schema}"));
            }
        } else if of_it.contains(name) && cell(&row, 2) == "t" && !role.superuser {
            found.blocks.push((
                format!("extension {name} goes with schema {schema}, and only a superuser may make it again"),
                format!(
                    "run as a superuser, or move it: ALTER EXTENSION {} SET SCHEMA",
                    escape_identifier(name)
                ),
            ));
        }
    }
    Ok(())
}

/// Large objects have no schema: they are replaced as a whole when the backup holds any, and else stay.
async fn large_objects(
    inside: &Connection,
    made: &Made,
    role: &Role,
    found: &mut Standing,
) -> Result<(), Error> {
    let row = inside
        .row(
            "SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE NOT pg_catalog.pg_has_role(lomowner, 'USAGE')) \
             FROM pg_catalog.pg_largeobject_metadata",
        )
        .await?;
    let (there, foreign) = (row.text(0)?, row.text(1)?);
    if there == "0" {
        return Ok(());
    }
    if made.large_objects == 0 {
        found.stays.push(format!("{there} large objects, of which the backup holds none"));
        return Ok(());
    }
    if foreign != "0" && !role.superuser {
        found.blocks.push((
            format!("{foreign} large objects belong to others, and role {} may not replace them", role.name),
            "run as their owner or a superuser".to_owned(),
        ));
    }
    found.notes.push(format!(
        "the {there} large objects that are there go, and the {} of the backup take their place",
        made.large_objects
    ));
    found.replaced.push(
        "SELECT pg_catalog.count(pg_catalog.lo_unlink(oid)) FROM pg_catalog.pg_largeobject_metadata"
            .to_owned(),
    );
    Ok(())
}
