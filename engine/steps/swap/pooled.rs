//! The pooler between the application and the server: its clients are held while the names change, and let go afterwards,
//! whatever happened. Which pools those are is durable before the first is paused. Must never resume what somebody else paused.

use super::super::attempt::Attempt;
use super::super::failures::failure_of;
use super::super::stop::{self, Stop};
use super::super::targets::{Target, application_name};
use crate::clock::{self, Stopwatch};
use crate::plan::template;
use crate::postgres::{Error, Pool, Pooler, Settings};
use crate::run::Evidence;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// The fact: the pools that are about to be paused.
const PAUSING: &str = "pausing";
/// How long transactions are given to end by themselves; what still holds a connection then is ended by the swap.
const TRANSACTIONS: Duration = Duration::from_secs(2);
/// A client that has a connection of its own keeps it: only new ones can be made to wait.
const SESSIONS: Duration = Duration::from_millis(20);
/// How long it is tried to let the clients go on.
const RESUMING: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pausing {
    /// The live database's name, to which they lead.
    database: String,
    pools: Vec<String>,
}

/// Pools that are paused, or may be.
pub struct Paused {
    settings: Settings,
    pausing: Pausing,
    /// Since the first was.
    pub since: Stopwatch,
    /// Sessions whose PAUSE is not answered yet.
    waiting: Vec<Pooler>,
}

/// The console's address, if the database has a pooler.
async fn console(attempt: &Attempt, target: &Target) -> Result<Option<Settings>, Stop> {
    let declared = attempt.world.targets.declared(&target.name);
    let Some(pooler) = declared.and_then(|database| database.pooler.as_ref()) else { return Ok(None) };
    let scope = attempt.scope([&pooler.admin_url]).await?;
    let url = template::plain(&pooler.admin_url.raw, &scope)
        .map_err(|error| super::super::attempt::broken(&pooler.admin_url, &error))?;
    let settings =
        Settings::parse(&url, &|name| std::env::var(name).ok()).map_err(|error| failure_of(&error))?;
    Ok(Some(settings))
}

async fn connect(attempt: &Attempt, settings: &Settings) -> Result<Pooler, Error> {
    let name = application_name(&attempt.world, attempt.step.id.value.as_str());
    Pooler::connect(settings, &name).await
}

/// Pauses every pool that leads to the live database. None: there is no pooler.
pub async fn pause(attempt: &Attempt, target: &Target) -> Result<Option<Paused>, Stop> {
    let Some(settings) = console(attempt, target).await? else { return Ok(None) };
    let pooler = stop::unless_cancelled(attempt, connect(attempt, &settings)).await.map_err(unreachable)?;
    let earlier = left(attempt)?.map(|pausing| pausing.pools).unwrap_or_default();
    let all = stop::unless_cancelled(attempt, pooler.pools(&target.database)).await.map_err(unreachable)?;
    // Paused already and not by us: whoever did it will resume it.
    let ours: Vec<_> = all.into_iter().filter(|pool| !pool.paused || earlier.contains(&pool.name)).collect();
    if ours.is_empty() {
        attempt.warn(format!(
            "the pooler at {} has no pool that leads to {} and is not paused: nothing is paused there",
            pooler.endpoint(),
            target.database
        ));
    }
    let pools = ours.iter().map(|pool| pool.name.clone()).collect();
    let pausing = Pausing { database: target.database.clone(), pools };
    attempt.note(PAUSING, json!(pausing)).await?;
    let mut paused = Paused { settings, pausing, since: Stopwatch::start(), waiting: Vec::new() };
    for pool in &ours {
        if let Err(stop) = paused.pause(attempt, pool).await {
            let resumed = paused.and_resume(attempt, Err::<(), Stop>(unreachable(stop))).await;
            return Err(resumed.err().unwrap_or(Stop::Ending));
        }
    }
    Ok(Some(paused))
}

fn unreachable(stop: Stop) -> Stop {
    stop.after("the pooler could not be paused; nothing was renamed")
}

/// What this work paused before, if it did.
fn left(attempt: &Attempt) -> Result<Option<Pausing>, Stop> {
    if attempt.own_fact(PAUSING).is_none() {
        return Ok(None);
    }
    stop::noted::<Pausing>(attempt, PAUSING)
}

/// After a crash: what was paused is let go on, whatever became of the swap.
pub async fn after_crash<T>(attempt: &Attempt, target: &Target, result: Result<T, Stop>) -> Result<T, Stop> {
    let Some(pausing) = left(attempt)? else { return result };
    let Some(settings) = console(attempt, target).await? else { return result };
    let waiting = Vec::new();
    Paused { settings, pausing, since: Stopwatch::start(), waiting }.and_resume(attempt, result).await
}

impl Paused {
    /// New work waits from here on; what is under way is given its time.
    async fn pause(&mut self, attempt: &Attempt, pool: &Pool) -> Result<(), Stop> {
        // One of its own: a console answers one command after the other.
        let pooler = stop::unless_cancelled(attempt, connect(attempt, &self.settings)).await?;
        let limit = if pool.by_session { SESSIONS } else { TRANSACTIONS };
        tokio::select! {
            answer = pooler.pause(&pool.name) => return answer.map_err(Stop::from),
            () = clock::sleep(limit) => {}
            () = attempt.cancelled.cancelled() => return Err(stop::cancelled().into()),
        }
        self.waiting.push(pooler);
        Ok(())
    }

    /// Lets the clients go on. Where that cannot be done, that is what is said: it is worse than whatever came before.
    pub async fn and_resume<T>(&self, attempt: &Attempt, result: Result<T, Stop>) -> Result<T, Stop> {
        let watch = Stopwatch::start();
        let error = loop {
            match self.resume(attempt).await {
                Ok(()) => return result,
                Err(error) if watch.elapsed() > RESUMING => break error,
                Err(_) => clock::sleep(PAUSE).await,
            }
        };
        let mut facts = vec![error.message().to_owned()];
        for pool in &self.pausing.pools {
            facts.push(format!("on its console: RESUME \"{}\"", pool.replace('"', "\"\"")));
        }
        if let Err(stop) = &result {
            facts.push(stop.message().to_owned());
        }
        let what = format!("the pooler before {} may still be paused", self.pausing.database);
        Err(Stop::Unknown(Evidence::new(what, facts)))
    }

    async fn resume(&self, attempt: &Attempt) -> Result<(), Error> {
        let pooler = connect(attempt, &self.settings).await?;
        for pool in &self.pausing.pools {
            pooler.reconnect(pool).await?;
            pooler.resume(pool, &self.pausing.database).await?;
        }
        Ok(())
    }
}
