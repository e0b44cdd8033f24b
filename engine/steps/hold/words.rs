//! Who has a target, in words that say how to go on.

use super::super::world::World;
use super::Holder;
use crate::postgres::claim::clear_sql;
use crate::postgres::{Claim, Settings};

/// A claim that is not ours to work under, in words.
pub fn in_the_way(claim: &Claim, database: &str, endpoint: &str, run: &str) -> Holder {
    let Claim { run: other, operator, host, since, epoch, .. } = claim;
    let (message, help) = if other == run {
        (
            format!(
                "run {run} was moved to {host} (by {operator} at {since}, epoch {epoch}) and goes on there; \
                 the database {database} on {endpoint} is changed from there only"
            ),
            format!("go on with `runplan resume {run}` on {host}"),
        )
    } else {
        (
            format!(
                "the database {database} on {endpoint} is in the middle of run {other}, which {operator} on {host} began to \
                 change it with at {since}"
            ),
            format!(
                "`runplan status {other}` on {host} shows what was done; go on with `runplan resume {other}` there, go back \
                 with `runplan undo {other}`, or give it up with `runplan stop {other} --for-good`; if {host} is lost, \
                 `runplan import FILE --takeover REASON` takes the run over. If its journal is lost or damaged for good: find out by \
                 hand what it did, and only then remove its mark: {}",
                clear_sql(database)
            ),
        )
    };
    Holder { message, help, run: Some(other.clone()) }
}

/// Who holds the lock: a process that runs now.
pub fn busy(
    world: &World,
    live: &Settings,
    claim: Option<&Claim>,
    application: &str,
    since: &str,
    client: &str,
) -> Holder {
    let named =
        application.strip_prefix("runplan:").and_then(|name| name.rsplit_once(':')).map(|(run, _)| run);
    let run = claim.map(|claim| claim.run.clone()).or_else(|| named.map(str::to_owned));
    let who = match &run {
        Some(run) if *run == world.run.as_str() => format!("this run, {run}, on another machine"),
        Some(run) => format!("run {run}"),
        None if application.is_empty() => "another run".to_owned(),
        None => application.to_owned(),
    };
    let by = claim.map(|claim| format!(" of {} on {}", claim.operator, claim.host)).unwrap_or_default();
    let from = if client.is_empty() { String::new() } else { format!(" from {client}") };
    let when = if since.is_empty() { String::new() } else { format!(" since {since}") };
    let message = format!(
        "the database {} on {} is being changed by {who}{by}{from}{when}",
        live.database(),
        live.endpoint()
    );
    let help = match &run {
        Some(run) => format!(
            "it is under way now: `runplan watch {run}` there shows it; wait for its end, or `runplan stop {run}`"
        ),
        None => "wait for its end, and try again".to_owned(),
    };
    Holder { message, help, run }
}
