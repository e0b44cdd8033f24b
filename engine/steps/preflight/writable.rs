//! Whether sessions of the run may write at all: a role or a database that begins every transaction read-only lets the first
//! ALTER DATABASE, and the load of a backup, fail in the middle of the run. The catalog is asked, because the sessions of
//! this module are read-only by their own wish.

use super::concern::{Concern, Found};
use super::ids;
use super::server::Server;
use super::uses::Use;
use crate::postgres::{escape_identifier, escape_literal};
use crate::steps::world::World;

/// Every spelling of true that the server takes, by as little of its beginning as it needs.
const ON: &str = "c ~* '^default_transaction_read_only=(on|t(r(ue?)?)?|y(es?)?|1)$'";

pub async fn look(world: &World, server: &Server, uses: &[&Use]) -> Found {
    let mut found = Found::default();
    let writers: Vec<&Use> = uses.iter().copied().filter(|used| used.what.mutates()).collect();
    let Some(first) = writers.first() else { return found };
    let database = server.database();
    let place = world.targets.maintenance(&server.name, server.catalog.settings()).await;
    let standing = place.database();
    // Weakest first: for all, for the database, for the role, for the role in the database.
    let sql = format!(
        "SELECT s.setrole <> 0, coalesce(d.datname, ''), {ON} FROM pg_db_role_setting s \
         LEFT JOIN pg_database d ON d.oid = s.setdatabase CROSS JOIN unnest(s.setconfig) c \
         WHERE c ~* '^default_transaction_read_only=' \
         AND (s.setrole = 0 OR s.setrole = (SELECT oid FROM pg_roles WHERE rolname = session_user)) \
         AND (s.setdatabase = 0 OR d.datname IN ({}, {})) ORDER BY s.setrole <> 0, s.setdatabase <> 0",
        escape_literal(database),
        escape_literal(standing)
    );
    let rows = server.rows("who begins read-only", &sql, &mut found).await;
    let strongest = |name: &str| rows.iter().rfind(|row| row[1].is_empty() || row[1] == name);
    for (name, is_live) in [(standing, false), (database, true)] {
        let Some(row) = strongest(name).filter(|row| row[2] == "t") else { continue };
        let role = &server.role.name;
        let (of_role, here) = (row[0] == "t", !row[1].is_empty());
        if !of_role && is_live && here {
            // A freeze does that too, and knows what stood there; the program's own transactions ask to write.
            let message = format!(
                "{}: database {name} begins every transaction read-only: has somebody frozen it already? It stays so after \
                 the run, and a swap carries that over",
                server.name
            );
            let help = format!(
                "see who did it; to take it back: ALTER DATABASE {} RESET default_transaction_read_only",
                escape_identifier(name)
            );
            found.add(Concern::warning("begins_read_only", message).step(&first.step).help(help));
            continue;
        }
        let at = if here { format!(" in database {name}") } else { String::new() };
        let whose = if of_role { format!("role {role}{at}") } else { format!("every role{at}") };
        let message = format!(
            "{}: {whose} begins every transaction read-only (default_transaction_read_only), so {} cannot write",
            server.name,
            ids(&writers)
        );
        let part = if here { format!(" IN DATABASE {}", escape_identifier(name)) } else { String::new() };
        let help = match (of_role, here) {
            (true, _) => format!(
                "use another role, or: ALTER ROLE {}{part} RESET default_transaction_read_only",
                escape_identifier(role)
            ),
            (false, true) => {
                format!("ALTER DATABASE {} RESET default_transaction_read_only", escape_identifier(name))
            }
            (false, false) => "ALTER ROLE ALL RESET default_transaction_read_only".to_owned(),
        };
        found.add(Concern::error("begins_read_only", message).step(&first.step).help(help));
    }
    found
}
