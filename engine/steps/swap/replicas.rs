//! The replicas of the server: their sessions go on reading the old database until they are ended, so they are, once the
//! replica has come to the swap, and before if it does not come: what they read may be what holds it. Read only, but for ending sessions. Must never make a swap fail that has been made.

use super::super::attempt::{Attempt, Unit};
use super::super::database::Database;
use super::super::failures::failure_of;
use super::super::sessions;
use super::super::stop::{self, Stop};
use super::super::targets::{Target, application_name};
use super::exchange::Move;
use crate::clock::{self, Stopwatch};
use crate::plan::site::Replicas;
use crate::plan::template;
use crate::postgres::{Connection, Settings, identity};
use crate::run::{Failure, Outputs};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;

/// How long a replica may take to come to the swap, and its sessions to end.
const COMING: Duration = Duration::from_secs(60);
const ENDING: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);
/// What is being read there may hold its replay: after so long without the swap the sessions are ended, again and again.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the plan says of them, as connections to their maintenance database.
async fn declared(attempt: &Attempt, target: &Target) -> Result<Vec<Settings>, Stop> {
    let declared = attempt.world.targets.declared(&target.name);
    let Some(Replicas::Urls(urls)) = declared.and_then(|database| database.replicas.as_ref()) else {
        return Ok(Vec::new());
    };
    let mut replicas = Vec::new();
    for text in urls {
        let scope = attempt.scope([text]).await?;
        let url = template::plain(&text.raw, &scope)
            .map_err(|error| super::super::attempt::broken(text, &error))?;
        let settings =
            Settings::parse(&url, &|name| std::env::var(name).ok()).map_err(|error| failure_of(&error))?;
        replicas.push(settings.with_database(target.maintenance.database()));
    }
    Ok(replicas)
}

/// Reasons against a swap: those that cannot be waited for; and a word about those that nobody declared.
pub async fn refusals(attempt: &Attempt, target: &Target, server: &Connection) -> Result<Vec<String>, Stop> {
    let mut reasons = Vec::new();
    let here = identity::read(server).await?;
    let written = server.one("SELECT pg_catalog.pg_current_wal_lsn()").await?;
    for settings in declared(attempt, target).await? {
        let name = application_name(&attempt.world, attempt.step.id.value.as_str());
        let asked = async {
            let connection = Connection::connect(&settings, &name).await?;
            Ok((identity::read(&connection).await?, connection))
        };
        let asked = stop::unless_cancelled(attempt, async { Ok::<_, Stop>(asked.await) }).await?;
        let why = match asked.map_err(|error: crate::postgres::Error| error.message().to_owned()) {
            Err(why) => why,
            Ok((is, _)) if is.system_identifier != here.system_identifier => {
                format!("it is a copy of another server (system identifier {})", is.system_identifier)
            }
            Ok((is, _)) if !is.standby => "it is no standby".to_owned(),
            Ok((_, replica)) => {
                let behind = behind(attempt, &replica, &written, COMING);
                match stop::unless_cancelled(attempt, behind).await? {
                    None => continue,
                    Some(why) => why,
                }
            }
        };
        reasons.push(format!("the replica {} cannot be waited for: {why}", settings.endpoint()));
    }
    let said =
        attempt.world.targets.declared(&target.name).is_some_and(|database| database.replicas.is_some());
    if !said {
        let followers = server
            .one(
                "SELECT count(*) FROM pg_catalog.pg_stat_replication r WHERE NOT EXISTS (SELECT FROM \
                 pg_catalog.pg_replication_slots s WHERE s.active_pid OPERATOR(pg_catalog.=) r.pid \
                 AND s.slot_type OPERATOR(pg_catalog.=) 'logical')",
            )
            .await?;
        if followers != "0" {
            attempt.warn(format!(
                "{followers} replicas follow the server and the plan does not name them: sessions there go on reading \
                 the old database until they end"
            ));
        }
    }
    Ok(reasons)
}

/// Waits until a replica has replayed what was written up to now; why it does not, else.
async fn behind(
    attempt: &Attempt,
    replica: &Connection,
    written: &str,
    limit: Duration,
) -> Result<Option<String>, crate::postgres::Error> {
    let sql = format!(
        "SELECT pg_catalog.pg_is_wal_replay_paused() AS paused, pg_catalog.pg_wal_lsn_diff({0}, \
         pg_catalog.pg_last_wal_replay_lsn())::pg_catalog.int8 AS behind",
        crate::postgres::escape_literal(written)
    );
    let watch = Stopwatch::start();
    loop {
        let row = replica.last(&sql).await?.rows.into_iter().next().unwrap_or_default();
        let text = |at: usize| row.get(at).cloned().flatten();
        // Nothing replayed yet, or nothing to be told of it, counts as behind.
        let bytes = text(1).and_then(|text| text.parse::<i64>().ok()).unwrap_or(i64::MAX);
        if text(0).as_deref() == Some("t") {
            return Ok(Some("its replay is paused (pg_wal_replay_resume() lets it go on)".to_owned()));
        }
        if bytes <= 0 {
            return Ok(None);
        }
        if watch.elapsed() > limit {
            return Ok(Some(format!(
                "it is {bytes} bytes behind and has not caught up within {} s",
                limit.as_secs()
            )));
        }
        attempt.progress("waiting for the replicas", 0, None, Unit::Items);
        clock::sleep(PAUSE).await;
    }
}

/// Waits until every replica has the new names, and ends the sessions that read the database which left.
pub async fn follow(attempt: &Attempt, target: &Target, leaves: &Move, comes: &Move, outputs: &mut Outputs) {
    let replicas = match declared(attempt, target).await {
        Ok(replicas) => replicas,
        Err(stop) => {
            attempt.warn(format!("the replicas were not looked after: {}", stop.message()));
            return;
        }
    };
    if replicas.is_empty() {
        return;
    }
    let all = replicas.iter().map(|settings| one(attempt, settings, leaves, comes));
    let found: Vec<Value> = futures_util::future::join_all(all).await;
    outputs.insert("replicas".to_owned(), Value::Array(found));
}

async fn one(attempt: &Attempt, settings: &Settings, leaves: &Move, comes: &Move) -> Value {
    let watch = Stopwatch::start();
    match come(attempt, settings, leaves, comes, &watch).await {
        Ok(ended) => {
            let ms = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
            json!({ "endpoint": settings.endpoint(), "replayed_ms": ms, "sessions_ended": ended })
        }
        Err(failure) => {
            attempt.warn(format!(
                "the replica {}: {}; sessions there may still read the old database (OID {})",
                settings.endpoint(),
                failure.message,
                leaves.oid
            ));
            json!({ "endpoint": settings.endpoint(), "problem": failure.message })
        }
    }
}

async fn come(
    attempt: &Attempt,
    settings: &Settings,
    leaves: &Move,
    comes: &Move,
    watch: &Stopwatch,
) -> Result<usize, Failure> {
    let name = application_name(&attempt.world, attempt.step.id.value.as_str());
    let failed = |error: crate::postgres::Error| failure_of(&error);
    let replica = Connection::connect(settings, &name).await.map_err(failed)?;
    let mut ended = HashSet::new();
    let mut patience = PATIENCE;
    loop {
        let found = Database::by_oid(&replica, comes.oid).await.map_err(failed)?;
        if found.is_some_and(|found| found.name == comes.to) {
            break;
        }
        if watch.elapsed() > COMING {
            let message = format!("it has not come to the swap within {} s", COMING.as_secs());
            return Err(Failure::new("runplan::swap::replica", message));
        }
        if watch.elapsed() > patience {
            let told = sessions::tell(&replica, &attempt.world, leaves.oid).await.map_err(failed)?;
            ended.extend(told.pids);
            patience = watch.elapsed() + PATIENCE;
        }
        tokio::select! {
            () = clock::sleep(PAUSE) => {}
            () = attempt.cancelled.cancelled() => return Err(stop::cancelled()),
        }
    }
    let last = sessions::end(&replica, &attempt.world, leaves.oid, ENDING).await.map_err(failed)?;
    ended.extend(last.pids);
    match last.refused.first() {
        None => Ok(ended.len()),
        Some(refused) => {
            Err(Failure::new("runplan::swap::replica", format!("a session cannot be ended: {refused}")))
        }
    }
}
