//! Who is connected now: who would be ended, who would hold things up.

use super::concern::{Concern, Found};
use super::server::Server;
use super::uses::{Use, What};
use super::{ids, listed, steps_that};
use crate::steps::sessions::of_others;
use crate::steps::world::World;

/// A transaction of that age is no longer an ordinary one.
const LONG: &str = "5 minutes";

pub async fn look(world: &World, server: &Server, uses: &[&Use]) -> Found {
    let mut found = Found::default();
    let mutating = steps_that(uses, What::mutates);
    if mutating.is_empty() {
        return found;
    }
    let ending = steps_that(uses, |what| {
        matches!(what, What::Swap | What::Freeze | What::Restore { in_place: true, .. })
    });
    connected(world, server, &ending, &mut found).await;
    long(world, server, &mutating, &mut found).await;
    if !ending.is_empty() && !server.role.superuser {
        untouchable(world, server, &ending, &mut found).await;
    }
    found
}

async fn connected(world: &World, server: &Server, ending: &[&Use], found: &mut Found) {
    let sql = format!(
        "SELECT count(*), coalesce(a.usename, 'nobody'), a.application_name FROM pg_stat_activity a \
         WHERE {} GROUP BY 2, 3 ORDER BY 1 DESC, 2, 3",
        of_others(world, server.identity.database_oid)
    );
    let rows = server.rows("who is connected", &sql, found).await;
    let count: u64 = rows.iter().filter_map(|row| row[0].parse::<u64>().ok()).sum();
    let who: Vec<String> = rows
        .iter()
        .map(|row| match row[2].as_str() {
            "" => format!("{} of {}", row[0], row[1]),
            application => format!("{} of {} ({application})", row[0], row[1]),
        })
        .collect();
    let noun = if count == 1 { "session" } else { "sessions" };
    let text = match (count, ending) {
        (0, _) => "nobody else is connected".to_owned(),
        (_, []) => format!("{count} {noun}: {}", listed(&who, 8)),
        _ => format!("{count} {noun}, ended by {}: {}", ids(ending), listed(&who, 8)),
    };
    found.fact(&server.name, text);
}

async fn long(world: &World, server: &Server, mutating: &[&Use], found: &mut Found) {
    let sql = format!(
        "SELECT a.pid, coalesce(a.usename, ''), a.application_name, \
         extract(epoch FROM clock_timestamp() - a.xact_start)::bigint / 60 FROM pg_stat_activity a \
         WHERE {} AND a.xact_start < clock_timestamp() - interval '{LONG}' ORDER BY a.xact_start",
        of_others(world, server.identity.database_oid)
    );
    let rows = server.rows("long transactions", &sql, found).await;
    if rows.is_empty() {
        return;
    }
    let who: Vec<String> = rows
        .iter()
        .map(|row| format!("{} (pid {}, {}) for {} min", row[1], row[0], row[2], row[3]).replace(", )", ")"))
        .collect();
    let message = format!("{}: transactions are open since long: {}", server.name, listed(&who, 5));
    found.add(
        Concern::warning("long_transaction", message)
            .step(&mutating[0].step)
            .help("what they have locked must be waited for; end them with SELECT pg_terminate_backend(PID)"),
    );
}

/// Only a superuser ends a superuser's session.
async fn untouchable(world: &World, server: &Server, ending: &[&Use], found: &mut Found) {
    let may = if server.role.signals { "true" } else { "pg_has_role(current_user, a.usesysid, 'MEMBER')" };
    let sql = format!(
        "SELECT a.pid, coalesce(a.usename, ''), a.application_name FROM pg_stat_activity a \
         JOIN pg_roles r ON r.oid = a.usesysid WHERE {} AND (r.rolsuper OR NOT {may}) ORDER BY 1",
        of_others(world, server.identity.database_oid)
    );
    let rows = server.rows("who cannot be ended", &sql, found).await;
    if rows.is_empty() {
        return;
    }
    let who: Vec<String> = rows
        .iter()
        .map(|row| format!("{} (pid {}, {})", row[1], row[0], row[2]).replace(", )", ")"))
        .collect();
    let message = format!(
        "{}: role {} may not end the sessions of {}, and {} must",
        server.name,
        server.role.name,
        listed(&who, 5),
        ids(ending)
    );
    found.add(Concern::error("session_not_ours", message).step(&ending[0].step).help(
        "stop these clients, run as a superuser, or GRANT pg_signal_backend where they are no superusers",
    ));
}
