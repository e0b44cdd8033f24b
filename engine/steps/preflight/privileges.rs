//! What the role lacks for each kind of step, and the statement that mends it. Privileges on the tables of SQL steps are
//! told by their EXPLAIN.

use super::concern::{Concern, Found};
use super::server::Server;
use super::uses::{Use, What};
use super::{ids, listed, steps_that};
use crate::plan::Text;
use crate::plan::action::restore::Owners;
use crate::postgres::{escape_identifier, escape_literal};
use crate::sql::Object;
use crate::steps::swap::settings as carried;

/// Tables that pg_dump reads: ordinary and partitioned ones and sequences, outside the system's schemas and outside
/// extensions.
const DUMPED: &str = "c.relkind IN ('r', 'p', 'S', 'm') AND c.relpersistence <> 't' \
     AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' \
     AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')";

pub async fn look(server: &Server, uses: &[&Use]) -> Found {
    let mut found = Found::default();
    let superuser = server.role.superuser;
    let backups = steps_that(uses, |what| matches!(what, What::Backup { .. }));
    for backup in &backups {
        readable(server, backup, &mut found).await;
    }
    for used in steps_that(uses, |what| matches!(what, What::Restore { in_place: true, .. })) {
        locks(server, used, &mut found).await;
    }
    if superuser {
        return found;
    }
    let compares = steps_that(uses, |what| matches!(what, What::Compare { .. }));
    if let Some(first) = compares.first()
        && backups.is_empty()
    {
        unreadable_tables(server, first, &|_, _| true, &mut found).await;
    }
    let makers = steps_that(uses, |what| matches!(what, What::Restore { in_place: false, .. } | What::Swap));
    if !makers.is_empty() {
        creates(server, &makers, &mut found);
    }
    for used in steps_that(uses, |what| matches!(what, What::Restore { .. })) {
        owners(server, used, &mut found).await;
        extensions(server, used, &mut found).await;
    }
    for used in steps_that(uses, |what| matches!(what, What::Restore { in_place: true, .. })) {
        schemas(server, used, &mut found).await;
    }
    if let Some(swap) = steps_that(uses, |what| matches!(what, What::Swap)).first() {
        settings(server, swap, &mut found).await;
    }
    let changes = steps_that(uses, |what| matches!(what, What::Swap | What::Freeze));
    if !changes.is_empty() {
        owns(server, &changes, &mut found);
        if !server.role.signals {
            let role = escape_identifier(&server.role.name);
            found.add(
                Concern::warning(
                    "missing_privilege",
                    format!(
                        "{}: role {} may end only its own sessions, and {} must end all",
                        server.name,
                        server.role.name,
                        ids(&changes)
                    ),
                )
                .step(&changes[0].step)
                .help(format!("as a superuser: GRANT pg_signal_backend TO {role}")),
            );
        }
    }
    found
}

/// CREATEDB, and membership in the owner of the live database.
fn creates(server: &Server, steps: &[&Use], found: &mut Found) {
    let role = escape_identifier(&server.role.name);
    let missing = |what: String, help: String| {
        let message = format!("{}: role {} {what}, needed for {}", server.name, server.role.name, ids(steps));
        Concern::error("missing_privilege", message).step(&steps[0].step).help(help)
    };
    if !server.role.createdb {
        found.add(missing(
            "has not CREATEDB".to_owned(),
            format!("as a superuser: ALTER ROLE {role} CREATEDB"),
        ));
    }
    if !server.role.owns {
        let owner = &server.role.owner;
        found.add(missing(
            format!("is not a member of {owner}, who owns the database"),
            format!("as a superuser: GRANT {} TO {role}", escape_identifier(owner)),
        ));
    }
}

/// What a swap carries over to the copy, and only another role may set.
async fn settings(server: &Server, swap: &Use, found: &mut Found) {
    let (role, oid) = (&server.role.name, server.identity.database_oid);
    let asked = carried::lacks(&server.catalog, server.database(), oid, role);
    for lack in server.ask("its settings", asked, found).await.unwrap_or_default() {
        let message = format!(
            "{}: role {role} may not give the copy the setting {}, which {} carries over",
            server.name, lack.what, swap.step
        );
        found.add(Concern::error("missing_privilege", message).step(&swap.step).help(lack.help));
    }
}

fn owns(server: &Server, steps: &[&Use], found: &mut Found) {
    if server.role.owns {
        return;
    }
    let (role, owner) = (&server.role.name, &server.role.owner);
    let message = format!(
        "{}: role {role} does not own database {}, which {} changes",
        server.name,
        server.database(),
        ids(steps)
    );
    found.add(Concern::error("missing_privilege", message).step(&steps[0].step).help(format!(
        "as a superuser: GRANT {} TO {}",
        escape_identifier(owner),
        escape_identifier(role)
    )));
}

/// Whether everything that a backup dumps can be read.
async fn readable(server: &Server, used: &Use, found: &mut Found) {
    let What::Backup { tables, schemas, excluded, .. } = &used.what else { return };
    let names = |list: &Option<Vec<Text>>| -> Option<Vec<String>> {
        list.as_ref().map(|list| list.iter().map(|text| text.raw.clone()).collect())
    };
    let (tables, schemas, excluded) = (names(tables), names(schemas), names(excluded).unwrap_or_default());
    let is_dumped = move |schema: &str, table: &str| {
        let fits = |pattern: &String| matches_name(pattern, schema, table);
        tables.as_ref().is_none_or(|tables| tables.iter().any(fits))
            && schemas.as_ref().is_none_or(|schemas| schemas.iter().any(|one| glob(one, schema)))
            && !excluded.iter().any(fits)
    };
    unreadable_tables(server, used, &is_dumped, found).await;
    if !server.role.bypasses_rls {
        hidden_rows(server, used, &is_dumped, found).await;
    }
}

async fn unreadable_tables(
    server: &Server,
    used: &Use,
    is_dumped: &(dyn Fn(&str, &str) -> bool + Sync),
    found: &mut Found,
) {
    let sql = format!(
        "SELECT n.nspname, c.relname, has_schema_privilege(n.oid, 'USAGE') FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {DUMPED} AND NOT (has_schema_privilege(n.oid, 'USAGE') \
         AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT') \
         ELSE has_table_privilege(c.oid, 'SELECT') END) ORDER BY 1, 2"
    );
    let rows = server.rows("which tables can be read", &sql, found).await;
    let rows: Vec<&Vec<String>> = rows.iter().filter(|row| is_dumped(&row[0], &row[1])).collect();
    if rows.is_empty() {
        return;
    }
    let names: Vec<String> = rows.iter().map(|row| format!("{}.{}", row[0], row[1])).collect();
    let role = escape_identifier(&server.role.name);
    let mut closed: Vec<&str> = rows.iter().filter(|row| row[2] != "t").map(|row| row[0].as_str()).collect();
    closed.dedup();
    let usage: String = closed
        .iter()
        .map(|schema| format!("; GRANT USAGE ON SCHEMA {} TO {role}", escape_identifier(schema)))
        .collect();
    let grant = match server.identity.major() {
        14.. => format!("GRANT pg_read_all_data TO {role}"),
        _ => {
            format!("GRANT SELECT ON {} TO {role}{usage}", listed(&names, names.len()).replace(" and ", ", "))
        }
    };
    let message = format!(
        "{}: role {} may not read {} of the tables and sequences: {}",
        server.name,
        server.role.name,
        names.len(),
        listed(&names, 5)
    );
    found.add(
        Concern::error("missing_privilege", message)
            .step(&used.step)
            .help(format!("as their owner or a superuser: {grant}")),
    );
}

/// Row security would make a dump fail, or a comparison lie.
async fn hidden_rows(
    server: &Server,
    used: &Use,
    is_dumped: &(dyn Fn(&str, &str) -> bool + Sync),
    found: &mut Found,
) {
    let sql = format!(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE {DUMPED} AND c.relrowsecurity AND row_security_active(c.oid) ORDER BY 1, 2"
    );
    let rows = server.rows("which rows are hidden", &sql, found).await;
    let names: Vec<String> = rows
        .iter()
        .filter(|row| is_dumped(&row[0], &row[1]))
        .map(|row| format!("{}.{}", row[0], row[1]))
        .collect();
    if !names.is_empty() {
        let message = format!(
            "{}: row security hides rows of {} from role {}, and pg_dump refuses to dump a part",
            server.name,
            listed(&names, 5),
            server.role.name
        );
        found.add(
            Concern::error("row_security", message).step(&used.step).help(format!(
                "as a superuser: ALTER ROLE {} BYPASSRLS",
                escape_identifier(&server.role.name)
            )),
        );
    }
}

/// The owners of what is there now are those of a backup taken of it: `owners: keep` gives its objects to them.
async fn owners(server: &Server, used: &Use, found: &mut Found) {
    let keeps = matches!(&used.what, What::Restore { action, .. } if action.owners == Owners::Keep);
    if !keeps {
        return;
    }
    let sql = "SELECT DISTINCT pg_get_userbyid(o.owner) FROM (SELECT relowner AS owner FROM pg_class \
               WHERE relnamespace::regnamespace::text NOT LIKE 'pg\\_%' AND relnamespace <> 'information_schema'::regnamespace \
               UNION SELECT nspowner FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('information_schema', 'public')) o \
               WHERE NOT pg_has_role(current_user, o.owner, 'MEMBER') ORDER BY 1";
    let foreign: Vec<String> = server.rows("who owns what", sql, found).await.into_iter().flatten().collect();
    if !foreign.is_empty() {
        let (role, all) = (&server.role.name, listed(&foreign, 5));
        let grants: Vec<String> = foreign.iter().map(|owner| escape_identifier(owner)).collect();
        let message = format!(
            "{}: `owners: keep` gives restored objects to {all}, and role {role} is not a member of them",
            server.name
        );
        found.add(Concern::warning("missing_privilege", message).step(&used.step).help(format!(
            "as a superuser: GRANT {} TO {}; or write `owners: skip`",
            grants.join(", "),
            escape_identifier(role)
        )));
    }
}

/// Extensions that only a superuser can make again.
async fn extensions(server: &Server, used: &Use, found: &mut Found) {
    let sql = "SELECT e.extname FROM pg_extension e JOIN pg_available_extension_versions v \
               ON v.name = e.extname AND v.version = e.extversion WHERE v.superuser AND NOT v.trusted ORDER BY 1";
    let names: Vec<String> = server.rows("its extensions", sql, found).await.into_iter().flatten().collect();
    if !names.is_empty() {
        let message = format!(
            "{}: only a superuser can make the extension {} again, and role {} is none",
            server.name,
            listed(&names, 5),
            server.role.name
        );
        found.add(
            Concern::warning("missing_privilege", message)
                .step(&used.step)
                .help("restore as a superuser, or have the extensions made in template1 first"),
        );
    }
}

/// A restore in place drops the schemas.
async fn schemas(server: &Server, used: &Use, found: &mut Found) {
    let sql = "SELECT nspname, pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' \
               AND nspname <> 'information_schema' AND NOT pg_has_role(current_user, nspowner, 'USAGE') ORDER BY 1";
    for row in server.rows("who owns the schemas", sql, found).await {
        let (schema, owner, role) = (&row[0], &row[1], &server.role.name);
        let message =
            format!("{}: role {role} does not own the schema {schema}, which is to be dropped", server.name);
        found.add(Concern::error("missing_privilege", message).step(&used.step).help(format!(
            "as a superuser: GRANT {} TO {role}, or ALTER SCHEMA {} OWNER TO {}",
            escape_identifier(owner),
            escape_identifier(schema),
            escape_identifier(role)
        )));
    }
}

/// Dropping takes a lock for each object.
async fn locks(server: &Server, used: &Use, found: &mut Found) {
    let locks = "SELECT current_setting('max_locks_per_transaction')::bigint \
                 * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint), \
                 (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema') \
                 + (SELECT count(*) FROM pg_largeobject_metadata)";
    for row in server.rows("how many objects there are", locks, found).await {
        let (room, objects) = (row[0].parse::<u64>().unwrap_or(u64::MAX), row[1].parse::<u64>().unwrap_or(0));
        if objects > room {
            let message = format!(
                "{}: dropping {objects} objects in one transaction needs more locks than the server has ({room})",
                server.name
            );
            found.add(
                Concern::error("too_many_objects", message)
                    .step(&used.step)
                    .help("raise max_locks_per_transaction (needs a restart), or restore beside and swap"),
            );
        }
    }
}

/// pg_dump's pattern for a table, with or without its schema.
fn matches_name(pattern: &str, schema: &str, table: &str) -> bool {
    match pattern.split_once('.') {
        Some((in_schema, name)) => glob(in_schema, schema) && glob(name, table),
        None => glob(pattern, table),
    }
}

/// `*` and `?`, as psql's patterns have them; quotes keep the case.
fn glob(pattern: &str, name: &str) -> bool {
    let folded = match pattern.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(exact) => return exact == name,
        None => pattern.to_lowercase(),
    };
    let escaped: String = folded
        .chars()
        .map(|c| match c {
            '*' => ".*".to_owned(),
            '?' => ".".to_owned(),
            c => regex::escape(&c.to_string()),
        })
        .collect();
    regex::Regex::new(&format!("^{escaped}$")).is_ok_and(|pattern| pattern.is_match(name))
}

/// The condition on `pg_class c` and `pg_namespace n` for the table that a name means in this session. Unlike
/// to_regclass it also finds what the role may not see.
pub fn is_meant(table: &Object) -> String {
    let name = escape_literal(table.local_name());
    match table.schema() {
        Some(schema) => format!(
            "c.relname OPERATOR(pg_catalog.=) {name} AND n.nspname OPERATOR(pg_catalog.=) {}",
            escape_literal(schema)
        ),
        None => format!("c.relname OPERATOR(pg_catalog.=) {name} AND pg_catalog.pg_table_is_visible(c.oid)"),
    }
}

/// What a role lacks on tables, as GRANT statements; empty: nothing that a GRANT on one of them would mend.
pub async fn grants(server: &Server, tables: &[(&Object, &'static str)], found: &mut Found) -> Vec<String> {
    let mut missing: Vec<String> = Vec::new();
    for (table, privilege) in tables {
        let sql = format!(
            "SELECT n.nspname, c.relname, pg_catalog.has_schema_privilege(n.oid, 'USAGE'), \
             pg_catalog.has_table_privilege(c.oid, '{privilege}') FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE {}",
            is_meant(table)
        );
        // The session that sees what the step would see: the name may be unqualified.
        let asked = server.ask("a privilege", server.plain.row_if_any(&sql), found).await;
        let Some(Some(row)) = asked else { continue };
        let role = escape_identifier(&server.role.name);
        let part = |at: usize| escape_identifier(&row.optional(at).unwrap_or_default());
        let usage = format!("GRANT USAGE ON SCHEMA {} TO {role}", part(0));
        let on_table = format!("GRANT {privilege} ON {}.{} TO {role}", part(0), part(1));
        for (has, grant) in [(row.is_true(2), usage), (row.is_true(3), on_table)] {
            if !has && !missing.contains(&grant) {
                missing.push(grant);
            }
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::{glob, matches_name};

    #[test]
    fn patterns_are_those_of_pg_dump() {
        assert!(matches_name("users", "public", "users"));
        assert!(matches_name("USERS", "public", "users"));
        assert!(matches_name("public.u*", "public", "users"));
        assert!(!matches_name("audit.*", "public", "users"));
        assert!(glob("\"Users\"", "Users") && !glob("\"Users\"", "users"));
        assert!(glob("user?", "users") && !glob("a.b", "axb"));
    }
}
