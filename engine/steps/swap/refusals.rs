//! What would break a swap, found before anything is changed: every reason at once, each in exact words.

use super::super::access;
use super::super::attempt::Attempt;
use super::super::database::Database;
use super::super::mark::Kind;
use super::super::sessions;
use super::super::stop::Stop;
use super::super::targets::{Target, application_name};
use super::{replicas, settings};
use crate::plan::RunId;
use crate::postgres::{Connection, Error, escape_literal};
use crate::run::Failure;
use serde_json::Value;

/// Forward: the side must be a complete one of ours.
pub async fn check(
    attempt: &Attempt,
    target: &Target,
    server: &Connection,
    live: &Database,
    side: &Database,
    frozen: Option<&Value>,
) -> Result<(), Stop> {
    let mut reasons = common(attempt, target, server, live, side).await?;
    if reasons.is_empty() {
        reasons.extend(unsettable(server, live, side, frozen).await?);
    }
    match side.mark() {
        Some(mark) if mark.kind == Kind::Side && mark.complete && mark.of == live.name => {
            if mark.partial {
                reasons.push(format!("{} holds a part of the database only", side.name));
            }
        }
        Some(mark) if !mark.complete => {
            reasons.push(format!("the restore into {} is not complete", side.name))
        }
        _ => reasons.push(format!("{} is not marked as a restored copy of {}", side.name, live.name)),
    }
    if !side.open {
        reasons.push(format!("{} does not accept connections", side.name));
    }
    refuse(reasons)?;
    access(attempt, target, live, side).await
}

/// What of the live database's settings and privileges the copy cannot be given: tried, and taken back. The server itself
/// judges; the catalog tells which, and what mends it.
async fn unsettable(
    server: &Connection,
    live: &Database,
    side: &Database,
    frozen: Option<&Value>,
) -> Result<Vec<String>, Stop> {
    let statements = settings::carry(server, live, side, frozen).await?;
    server.execute("BEGIN READ WRITE; SET LOCAL lock_timeout = '3s'").await?;
    let mut refused = None;
    for statement in statements {
        if let Err(error) = server.execute(&statement).await {
            refused = Some((statement, error));
            break;
        }
    }
    server.execute("ROLLBACK").await?;
    let Some((statement, error)) = refused else { return Ok(Vec::new()) };
    if error.sqlstate() != Some("42501") {
        return Err(error.into());
    }
    let role = server.one("SELECT current_user").await?;
    let lacks = settings::lacks(server, &live.name, live.oid, &role).await?;
    if lacks.is_empty() {
        return Ok(vec![format!("role {role} may not do `{statement}`: {}", error.message())]);
    }
    let reason = |lack: settings::Lack| {
        format!("role {role} may not give {} the setting {} ({})", side.name, lack.what, lack.help)
    };
    Ok(lacks.into_iter().map(reason).collect())
}

/// A role that uses the live database must be able to use the copy: else the swap locks the application out.
async fn access(attempt: &Attempt, target: &Target, live: &Database, side: &Database) -> Result<(), Stop> {
    let label = application_name(&attempt.world, attempt.step.id.value.as_str());
    let asked = async {
        let before = Connection::connect(&target.settings, &label).await?;
        let after = Connection::connect(&target.settings.with_database(&side.name), &label).await?;
        Ok::<_, Error>(access::lost(&access::live(&before).await?, &access::copy(&after).await?))
    };
    if !live.open {
        // Nobody gets in to ask who could; a freeze that closes everything is meant so.
        attempt.warn(format!(
            "whether everybody who uses {} can use {} is not known: it is closed",
            live.name, side.name
        ));
        return Ok(());
    }
    let lost = asked.await?;
    if lost.is_empty() || attempt.world.has_accepted(ACCEPTED) {
        return Ok(());
    }
    let message = format!(
        "after the swap roles that use {} could not use it any more, for {} does not let them: {}",
        live.name,
        side.name,
        lost.join(", ")
    );
    Err(Failure::new("runplan::swap::access", message)
        .help(format!("{}; then `runplan resume`; nothing was changed", access::HELP))
        .into())
}

/// Whoever accepts this of preflight means it.
const ACCEPTED: &str = "runplan::preflight::copy_unreadable";

/// Backward: the old one as it was put aside.
pub async fn check_back(
    attempt: &Attempt,
    target: &Target,
    server: &Connection,
    now: &Database,
    old: &Database,
) -> Result<(), Stop> {
    refuse(common(attempt, target, server, now, old).await?)
}

/// What this swap brought in was put aside by another run's: that one is undone first.
pub async fn later(server: &Connection, run: &RunId, live: &str, brought_in: u32) -> Result<(), Stop> {
    let Some(found) = Database::by_oid(server, brought_in).await? else { return Ok(()) };
    let Some(mark) = found.mark().filter(|mark| mark.kind == Kind::Old && mark.of == live) else {
        return Ok(());
    };
    if mark.run == run.as_str() || mark.oid != Some(brought_in) {
        return Ok(());
    }
    let later = &mark.run;
    let message = format!(
        "run {later} has swapped {live} since: what this run brought in is {} now, so that run is undone first",
        found.name
    );
    Err(Failure::new("runplan::swap::later", message)
        .help(format!("`runplan undo {later}`, then answer for this one as `runplan status {run}` shows"))
        .permanent()
        .into())
}

fn refuse(reasons: Vec<String>) -> Result<(), Stop> {
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        "runplan::swap::refused",
        format!("the databases cannot be swapped: {}", reasons.join("; ")),
    )
    .help("remove what is in the way, then `runplan resume`; nothing was changed")
    .into())
}

async fn common(
    attempt: &Attempt,
    target: &Target,
    server: &Connection,
    live: &Database,
    other: &Database,
) -> Result<Vec<String>, Stop> {
    let mut reasons = Vec::new();
    for database in [live, other] {
        for gid in super::freeze::prepared(server, &database.name).await? {
            reasons.push(format!(
                "prepared transaction {gid} in {name} (there: COMMIT PREPARED {quoted} or ROLLBACK PREPARED {quoted})",
                name = database.name,
                quoted = escape_literal(&gid),
            ));
        }
        if database.template {
            reasons.push(format!("{} is a template database", database.name));
        }
    }
    let oids = format!("({}::pg_catalog.oid, {}::pg_catalog.oid)", live.oid, other.oid);
    let found = list(
        server,
        &format!(
            "SELECT pg_catalog.format('subscription %I in %I (there: ALTER SUBSCRIPTION %1$I DISABLE; \
             ALTER SUBSCRIPTION %1$I SET (slot_name = NONE); DROP SUBSCRIPTION %1$I; make it again after the swap)', \
             s.subname, d.datname) FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d \
             ON d.oid OPERATOR(pg_catalog.=) s.subdbid WHERE s.subdbid IN {oids} UNION ALL \
             SELECT pg_catalog.format('logical replication slot %I of %I is being read by pid %s (stop its reader, then: \
             SELECT pg_drop_replication_slot(%L); it would stay with the old database)', \
             slot_name, database, active_pid, slot_name) \
             FROM pg_catalog.pg_replication_slots WHERE slot_type OPERATOR(pg_catalog.=) 'logical' AND active \
             AND datoid IN {oids} ORDER BY 1"
        ),
    )
    .await?;
    reasons.extend(found);
    let idle = list(
        server,
        &format!(
            "SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE slot_type OPERATOR(pg_catalog.=) 'logical' \
             AND NOT active AND datoid IN {oids}"
        ),
    )
    .await?;
    if !idle.is_empty() {
        attempt.warn(format!("logical replication slots stay with the old database: {}", idle.join(", ")));
    }
    reasons.extend(privileges(attempt, server, live, other).await?);
    reasons.extend(replicas::refusals(attempt, target, server).await?);
    Ok(reasons)
}

/// What this role may not do.
async fn privileges(
    attempt: &Attempt,
    server: &Connection,
    live: &Database,
    other: &Database,
) -> Result<Vec<String>, Stop> {
    let row = server
        .row(
            "SELECT rolname, rolsuper, rolcreatedb, pg_catalog.pg_has_role('pg_signal_backend', 'USAGE') \
             FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user",
        )
        .await?;
    let (role, superuser) = (row.text(0)?, row.is_true(1));
    if superuser {
        return Ok(Vec::new());
    }
    let mut reasons = Vec::new();
    if !row.is_true(2) {
        reasons.push(format!("role {role} may not rename databases (ALTER ROLE {role} CREATEDB)"));
    }
    for database in [live, other] {
        let owns = server
            .one(&format!(
                "SELECT pg_catalog.pg_has_role({}, 'USAGE')",
                crate::postgres::escape_literal(&database.owner)
            ))
            .await?;
        if owns != "t" {
            reasons.push(format!(
                "role {role} is not a member of {}, which owns {} (GRANT {} TO {role})",
                database.owner, database.name, database.owner
            ));
        }
        let there = sessions::others(server, &attempt.world, database.oid).await?;
        for session in unstoppable(server, &there, row.is_true(3)).await? {
            reasons.push(format!("role {role} may not end the session of {session}"));
        }
    }
    Ok(reasons)
}

/// The sessions that a role without superuser rights may not end.
async fn unstoppable(
    server: &Connection,
    there: &[sessions::Session],
    may_signal: bool,
) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for session in there {
        let right = if may_signal {
            "NOT r.rolsuper"
        } else {
            "NOT r.rolsuper AND pg_catalog.pg_has_role(r.oid, 'USAGE')"
        };
        let may = server
            .value(&format!(
                "SELECT (SELECT {right} FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_roles r \
                 ON r.oid OPERATOR(pg_catalog.=) a.usesysid WHERE a.pid OPERATOR(pg_catalog.=) {})",
                session.pid
            ))
            .await?;
        if may.as_deref() == Some("f") {
            found.push(session.to_string());
        }
    }
    Ok(found)
}

async fn list(server: &Connection, sql: &str) -> Result<Vec<String>, Error> {
    Ok(server.last(sql).await?.rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}
