//! The databases of a run: where they are, who holds them. One run for a target: the lock lives as long as the process,
//! the claim from the first effect to the end of the run, parked included.

use super::failures::failure_of;
use super::world::World;
use crate::clock;
use crate::plan::site::Database;
use crate::plan::{Table, Text, template};
use crate::postgres::{self, Acquired, Claim, Connection, Settings, TargetLock, claim, identity};
use crate::run::Failure;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long an earlier process's session may take to go.
const EARLIER: Duration = Duration::from_secs(20);

/// The databases that the plan and the site file name.
pub struct Targets {
    databases: Table<Database>,
    /// A rehearsal's throw-away databases take the place of the real ones.
    replaced: HashMap<String, Settings>,
    settings: Mutex<HashMap<String, Settings>>,
    /// Side databases that steps made: their name -> the plan's name of the live one.
    sides: Mutex<HashMap<String, String>>,
    holds: tokio::sync::Mutex<HashMap<String, Arc<Hold>>>,
}

/// A database that a step works on.
#[derive(Debug, Clone)]
pub struct Target {
    /// The plan's name of the database, or of the live one beside which it stands.
    pub name: String,
    /// The database's own name on the server.
    pub database: String,
    /// To connect to it.
    pub settings: Settings,
    /// To connect to the database to stand on while this one is renamed.
    pub maintenance: Settings,
    /// Whether it is a side database and not the live one.
    pub is_side: bool,
}

/// The lock on a target, and the claim.
pub struct Hold {
    pub lock: TargetLock,
    /// The epoch of our claim.
    pub epoch: u64,
    /// The server's system identifier: what tells it from every other.
    pub server: String,
    claimed: tokio::sync::Mutex<bool>,
}

/// Somebody else has the target.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    Held(String),
    #[error("{}", .0.message)]
    Failed(Failure),
}

impl Targets {
    pub fn new(databases: Table<Database>, replaced: HashMap<String, Settings>) -> Self {
        Self {
            databases,
            replaced,
            settings: Mutex::default(),
            sides: Mutex::default(),
            holds: tokio::sync::Mutex::default(),
        }
    }

    pub fn learn_side(&self, side: &str, of: &str) {
        lock(&self.sides).insert(side.to_owned(), of.to_owned());
    }

    /// How to connect to a database of the plan.
    pub async fn settings(&self, world: &World, name: &str) -> Result<Settings, Failure> {
        if let Some(settings) =
            self.replaced.get(name).cloned().or_else(|| lock(&self.settings).get(name).cloned())
        {
            return Ok(settings);
        }
        let Some(database) = self.databases.get(name) else {
            let message = format!("there is no database `{name}` in the plan or the site file");
            return Err(Failure::new("runplan::target::unknown", message).permanent());
        };
        // Boxed: an address may hold a template, whose scope may name a database.
        let scope = Box::pin(world.scope(&[&database.url.raw])).await?;
        let url = template::plain(&database.url.raw, &scope)
            .map_err(|error| super::attempt::broken(&database.url, &error))?;
        let settings =
            Settings::parse(&url, &|name| std::env::var(name).ok()).map_err(|error| failure_of(&error))?;
        lock(&self.settings).insert(name.to_owned(), settings.clone());
        Ok(settings)
    }

    /// `databases.app` in templates.
    pub async fn describe(&self, world: &World, name: &str) -> Result<Value, Failure> {
        let settings = self.settings(world, name).await?;
        let environment =
            self.databases.get(name).and_then(|database| database.expect.as_ref()?.environment.clone());
        Ok(json!({
            "name": settings.database(),
            "endpoint": settings.endpoint(),
            "user": settings.user(),
            "environment": environment.unwrap_or_default(),
        }))
    }

    /// The database that an action's `database` means: a name of the plan, or a side database's own name.
    pub async fn find(&self, world: &World, text: &Text) -> Result<Target, Failure> {
        let scope = world.scope(&[&text.raw]).await?;
        let named =
            template::plain(&text.raw, &scope).map_err(|error| super::attempt::broken(text, &error))?;
        let side_of = lock(&self.sides).get(&named).cloned();
        let (name, is_side) = match side_of {
            Some(of) => (of, true),
            None => (named.clone(), false),
        };
        let live = self.settings(world, &name).await?;
        let maintenance = self.maintenance(&name, &live).await;
        let settings = if is_side { live.with_database(&named) } else { live };
        Ok(Target { name, database: settings.database().to_owned(), settings, maintenance, is_side })
    }

    /// `postgres`, or what the plan says.
    async fn maintenance(&self, name: &str, live: &Settings) -> Settings {
        let given = self.databases.get(name).and_then(|database| database.maintenance.clone());
        let chosen = given.unwrap_or_else(|| {
            if live.database() == "postgres" { "template1".to_owned() } else { "postgres".to_owned() }
        });
        live.with_database(&chosen)
    }

    /// What the plan says of a database.
    pub fn declared(&self, name: &str) -> Option<&Database> {
        self.databases.get(name)
    }

    /// Whether a session of the server is the one that holds this process's lock on a target.
    pub async fn is_ours(&self, name: &str, pid: i32) -> bool {
        self.holds.lock().await.get(name).is_some_and(|hold| hold.lock.pid() == pid)
    }

    /// The database to stand on while a database of the plan is changed.
    ///
    /// # Errors
    /// Its address cannot be read.
    pub async fn standing(&self, world: &World, name: &str) -> Result<Settings, Failure> {
        let live = self.settings(world, name).await?;
        Ok(self.maintenance(name, &live).await)
    }

    /// Takes the lock of a target for this process, and looks whether another run claims it.
    ///
    /// # Errors
    /// Somebody else holds it, or the server cannot be asked.
    pub async fn hold(&self, world: &World, name: &str) -> Result<Arc<Hold>, Refused> {
        let mut holds = self.holds.lock().await;
        if let Some(hold) = holds.get(name) {
            return Ok(hold.clone());
        }
        let live = self.settings(world, name).await.map_err(Refused::Failed)?;
        let maintenance = self.maintenance(name, &live).await;
        let failed = |error: postgres::Error| Refused::Failed(failure_of(&error));
        let lock = match take_lock(world, &maintenance, live.database()).await.map_err(failed)? {
            Acquired::Held(lock) => lock,
            Acquired::Busy { application_name, since, client, .. } => {
                let who =
                    if application_name.is_empty() { "another run".to_owned() } else { application_name };
                let client = if client.is_empty() { client } else { format!(" from {client}") };
                return Err(Refused::Held(format!(
                    "the database {} on {} is being changed by {who}{client} since {since}",
                    live.database(),
                    live.endpoint()
                )));
            }
        };
        let connection =
            Connection::connect(&maintenance, &application_name(world, "claim")).await.map_err(failed)?;
        let server = connection
            .one("SELECT system_identifier FROM pg_catalog.pg_control_system()")
            .await
            .map_err(failed)?;
        let epoch = match claim::read(&connection, live.database()).await.map_err(failed)? {
            Some(claim) if claim.run != world.run.as_str() => {
                return Err(Refused::Held(format!(
                    "the database {} on {} is in the middle of run {} (started by {} on {} at {}); \
                     go on with `runplan resume {}` there, or go back with `runplan undo {}`",
                    live.database(),
                    live.endpoint(),
                    claim.run,
                    claim.operator,
                    claim.host,
                    claim.since,
                    claim.run,
                    claim.run
                )));
            }
            Some(claim) => claim.epoch,
            None => 1,
        };
        let hold = Arc::new(Hold { lock, epoch, server, claimed: tokio::sync::Mutex::new(false) });
        holds.insert(name.to_owned(), hold.clone());
        Ok(hold)
    }

    /// Before the first effect on a target: the lock is still ours, and the claim stands on it.
    ///
    /// # Errors
    /// The lock is lost, somebody else claims the target, or the server cannot be asked.
    pub async fn claim(&self, world: &World, target: &Target) -> Result<Arc<Hold>, Failure> {
        let hold = self.hold(world, &target.name).await.map_err(|refused| match refused {
            Refused::Held(message) => Failure::new("runplan::target::held", message).permanent(),
            Refused::Failed(failure) => failure,
        })?;
        hold.lock.check().await.map_err(|error| failure_of(&error))?;
        let mut claimed = hold.claimed.lock().await;
        if !*claimed {
            let live = self.settings(world, &target.name).await?;
            let connection = Connection::connect(&target.maintenance, &application_name(world, "claim"))
                .await
                .map_err(|error| failure_of(&error))?;
            let mark = Claim {
                run: world.run.as_str().to_owned(),
                operator: world.operator.name.clone(),
                host: world.operator.host.clone(),
                since: clock::now().to_string(),
                epoch: hold.epoch,
                doing: None,
            };
            let standing =
                claim::read(&connection, live.database()).await.map_err(|error| failure_of(&error))?;
            match standing {
                Some(other) if other.run != mark.run || other.epoch > mark.epoch => {
                    let message =
                        format!("the database {} was taken over by run {}", live.database(), other.run);
                    return Err(Failure::new("runplan::target::taken_over", message).permanent());
                }
                Some(_) => {}
                None => {
                    claim::write(&connection, live.database(), &mark)
                        .await
                        .map_err(|error| failure_of(&error))?;
                }
            }
            *claimed = true;
        }
        drop(claimed);
        Ok(hold)
    }

    /// The run is over: the claims are removed and the locks let go.
    pub async fn release(&self, world: &World) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, hold) in self.holds.lock().await.drain() {
            if let Err(failure) = self.unclaim(world, &name).await {
                problems.push(format!("the claim on {name} could not be removed: {}", failure.message));
            }
            if let Ok(hold) = Arc::try_unwrap(hold) {
                let _ = hold.lock.release().await;
            }
        }
        problems
    }

    async fn unclaim(&self, world: &World, name: &str) -> Result<(), Failure> {
        let live = self.settings(world, name).await?;
        let maintenance = self.maintenance(name, &live).await;
        let connection = Connection::connect(&maintenance, &application_name(world, "claim"))
            .await
            .map_err(|error| failure_of(&error))?;
        let standing = claim::read(&connection, live.database()).await.map_err(|error| failure_of(&error))?;
        if standing.is_some_and(|claim| claim.run == world.run.as_str()) {
            claim::clear(&connection, live.database()).await.map_err(|error| failure_of(&error))?;
        }
        Ok(())
    }

    /// Who the server says it is.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn identity(&self, world: &World, name: &str) -> Result<postgres::Identity, Failure> {
        let settings = self.settings(world, name).await?;
        let connection = Connection::connect(&settings, &application_name(world, "identity"))
            .await
            .map_err(|error| failure_of(&error))?;
        identity::read(&connection).await.map_err(|error| failure_of(&error))
    }
}

/// A server cuts longer names, and writes others in ways of its own.
const LONGEST_NAME: usize = 63;

/// The lock of a target. A session of an earlier process of this very run may still be there: that process is dead, for this
/// one holds the run, so its session is ended, and its end waited for.
async fn take_lock(
    world: &World,
    maintenance: &Settings,
    database: &str,
) -> Result<Acquired, postgres::Error> {
    let name = application_name(world, "lock");
    let named = maintenance.with_application_name(&name);
    let began = clock::Stopwatch::start();
    loop {
        let acquired = TargetLock::acquire(&named, database).await?;
        match &acquired {
            Acquired::Busy { application_name, pid, .. }
                if *application_name == name && began.elapsed() < EARLIER =>
            {
                let connection = Connection::connect(maintenance, &name).await?;
                // Of this machine only: elsewhere somebody may have taken the run up.
                let end = format!(
                    "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
                     WHERE pid = {pid} AND application_name = {} \
                     AND client_addr IS NOT DISTINCT FROM pg_catalog.inet_client_addr()",
                    postgres::escape_literal(&name)
                );
                connection.execute(&end).await?;
                clock::sleep(Duration::from_millis(50)).await;
            }
            _ => return Ok(acquired),
        }
    }
}

/// `runplan:<run>:<step>`: how our sessions are found on the server. One too long ends in a hash, so that no two steps
/// of a run are called the same.
pub fn application_name(world: &World, step: &str) -> String {
    let name = format!("runplan:{}:{step}", world.run);
    if name.len() <= LONGEST_NAME && name.is_ascii() {
        return name;
    }
    let hash = crate::plan::digest::sha256(name.as_bytes());
    let kept: String = name.chars().filter(char::is_ascii).take(LONGEST_NAME - 9).collect();
    format!("{kept}~{}", &hash[..8])
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
