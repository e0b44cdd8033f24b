//! `replaces`: after such a step the server behind a database is another one. The lock and the claim on the old one are let
//! go, and taken anew on the new one before the next step that touches the database; the journal says which it is. Must
//! never go by what was known of the old one.

use super::attempt::Attempt;
use super::failures::failure_of;
use super::hold::Hold;
use super::targets::{Target, application_name};
use crate::clock::Stopwatch;
use crate::plan::{Action, Changes, Step, Text};
use crate::postgres::{self, Connection};
use crate::run::{Failure, Outcome, REPLACING, TAKEN, replaces};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// So long a new server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(600);
/// No two servers, nor two lives of one, were started at the same microsecond.
const STARTED: &str = "SELECT pg_catalog.pg_postmaster_start_time() AT TIME ZONE 'UTC'";
const PAUSE: Duration = Duration::from_secs(1);

/// Before an action: what was replaced is taken anew, what will be is claimed. When the server was started that will be
/// replaced, as it says.
///
/// # Errors
/// Somebody else has the database, or its server does not answer.
pub async fn prepare(attempt: &Attempt) -> Result<Option<String>, Failure> {
    let world = &attempt.world;
    if let Some(text) = replaces(&attempt.step) {
        let target = world.targets.find(world, text).await?;
        // It is being replaced already: whichever server answers now may not be the one to come.
        if world.targets.gone(&target.name).is_some() {
            return Ok(None);
        }
        let hold = world.targets.claim(world, &target).await?;
        let started = hold.lock.session().one(STARTED).await.map_err(|error| failure_of(&error))?;
        let fact = json!({ "database": target.name, "server": hold.server, "started": started });
        attempt.note(REPLACING, fact).await.map_err(|_| ending())?;
        return Ok(Some(started));
    }
    for text in touches(&attempt.step) {
        let Ok(target) = world.targets.find(world, &text).await else { continue };
        if world.targets.gone(&target.name).is_some() {
            take(attempt, &target.name).await?;
        }
    }
    Ok(None)
}

/// After an action that may have replaced a server. `started`: when that was started, if `prepare` said so.
pub async fn conclude(attempt: &Attempt, outcome: &Outcome, started: Option<&str>) {
    let Some(text) = replaces(&attempt.step) else { return };
    if matches!(outcome, Outcome::Done(_) | Outcome::Unknown(_))
        && let Ok(target) = attempt.world.targets.find(&attempt.world, text).await
    {
        let noted = attempt.own_fact(REPLACING).and_then(|fact| fact["started"].as_str());
        attempt.world.targets.let_go(&target.name, attempt.started_at, started.or(noted)).await;
    }
}

fn ending() -> Failure {
    Failure::new("runplan::step::cancelled", "the run ended before it was begun")
}

/// The databases that a step works on.
fn touches(step: &Step) -> Vec<Text> {
    let named = |changes: Option<&Changes>| match changes {
        Some(Changes::Database(name)) => vec![Text::made(name.value.as_str())],
        _ => Vec::new(),
    };
    match &step.action.value {
        Action::Backup(action) => vec![action.database.clone()],
        Action::Restore(action) => vec![action.database.clone()],
        Action::Swap(action) => vec![action.database.clone()],
        Action::Copy(action) => vec![action.from.clone(), action.to.clone()],
        Action::Freeze(action) => vec![action.database.clone()],
        Action::Sql(action) => vec![action.database.clone()],
        Action::Shell(action) => named(action.changes.as_ref()),
        Action::Http(action) => named(action.changes.as_ref()),
        Action::Verify(action) => {
            let own = action.checks.iter().filter_map(|check| check.database.clone());
            action.database.clone().into_iter().chain(own).collect()
        }
        Action::Approve(_) | Action::Notify(_) => Vec::new(),
    }
}

/// Waits until the new server answers; lock, claim and identity are its own from here on.
async fn take(attempt: &Attempt, name: &str) -> Result<(), Failure> {
    let world = &attempt.world;
    let watch = Stopwatch::start();
    let Some(gone) = world.targets.gone(name) else { return Ok(()) };
    let target = world.targets.find(world, &Text::made(name)).await?;
    let hold = loop {
        match of_new(attempt, &target, gone.started.as_deref()).await {
            Ok(hold) => break hold,
            Err(failure) if failure.permanent || watch.elapsed() > PATIENCE => return Err(failure),
            Err(failure) if attempt.cancelled.is_cancelled() => return Err(failure),
            Err(failure) => {
                let doing = format!("waiting for the new server behind {name} (last: {})", failure.message);
                // Cancelled, it is looked at once more.
                attempt.linger(PAUSE, &doing, &watch).await;
            }
        }
    };
    let fact = json!({ "database": name, "server": hold.server });
    attempt.note(TAKEN, fact).await.map_err(|_| ending())?;
    world.targets.found(name);
    Ok(())
}

/// Holds the server when it is not the old one.
async fn of_new(attempt: &Attempt, target: &Target, old: Option<&str>) -> Result<Arc<Hold>, Failure> {
    let world = &attempt.world;
    if let Some(old) = old {
        let name = application_name(world, "replaced");
        let of = |error: postgres::Error| failure_of(&error);
        let connection = Connection::connect(&target.settings, &name).await.map_err(of)?;
        if connection.one(STARTED).await.map_err(of)? == old {
            let message = format!(
                "the server behind {} is still the one that was to be replaced: it was started at {old}",
                target.name
            );
            return Err(Failure::new("runplan::target::not_replaced", message)
                .help("see whether the replacement came about; `runplan resume` looks again"));
        }
    }
    world.targets.claim(world, target).await
}
