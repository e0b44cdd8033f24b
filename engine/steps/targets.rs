//! The databases of a run: where they are, and what they are called. Who holds them is told by `hold`.

use super::failures::failure_of;
use super::hold::Hold;
use super::world::World;
use crate::clock::Timestamp;
use crate::plan::site::Database;
use crate::plan::{Table, Text, template};
use crate::postgres::{self, Connection, Settings, identity};
use crate::run::Failure;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The databases that the plan and the site file name.
pub struct Targets {
    databases: Table<Database>,
    /// A rehearsal's throw-away databases take the place of the real ones.
    replaced: HashMap<String, Settings>,
    settings: Mutex<HashMap<String, Settings>>,
    /// Side databases that steps made: their name -> the plan's name of the live one.
    sides: Mutex<HashMap<String, String>>,
    /// Rises when the run is taken over by another machine.
    pub(super) epoch: u64,
    pub(super) since: Option<String>,
    /// Databases whose server was replaced, and not taken anew yet.
    gone: Mutex<HashMap<String, Gone>>,
    pub(super) holds: tokio::sync::Mutex<HashMap<String, Arc<Hold>>>,
}

/// A server that is no longer the one behind a database.
#[derive(Debug, Clone)]
pub struct Gone {
    /// When the first step that replaces it began.
    pub since: Timestamp,
    /// When it was started, as it said itself, if it was asked: what tells it from the next one.
    pub started: Option<String>,
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

impl Targets {
    pub fn new(databases: Table<Database>, replaced: HashMap<String, Settings>) -> Self {
        Self {
            databases,
            replaced,
            settings: Mutex::default(),
            sides: Mutex::default(),
            epoch: 1,
            since: None,
            gone: Mutex::default(),
            holds: tokio::sync::Mutex::default(),
        }
    }

    /// Of a run that was taken over, and when it was: that tells it from one that others took over at the same epoch.
    pub fn at_epoch(mut self, epoch: u64, since: Option<String>) -> Self {
        self.epoch = epoch.max(1);
        self.since = since;
        self
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
    pub(super) async fn maintenance(&self, name: &str, live: &Settings) -> Settings {
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

    /// The server behind a database is replaced: what was known of it holds no more.
    pub async fn let_go(&self, name: &str, since: Timestamp, started: Option<&str>) {
        let mut holds = self.holds.lock().await;
        let old = holds.get(name).cloned();
        // Other names of the plan for the same database.
        let same = |hold: &Arc<Hold>| old.as_ref().is_some_and(|old| Arc::ptr_eq(old, hold));
        let mut names: Vec<String> =
            holds.iter().filter(|(_, hold)| same(hold)).map(|(name, _)| name.clone()).collect();
        names.push(name.to_owned());
        let mut gone = lock(&self.gone);
        for name in names {
            holds.remove(&name);
            lock(&self.settings).remove(&name);
            let started = started.map(str::to_owned);
            gone.entry(name).or_insert_with(|| Gone { since, started });
        }
    }

    /// Set while the server of a database was replaced and not found anew.
    pub fn gone(&self, name: &str) -> Option<Gone> {
        lock(&self.gone).get(name).cloned()
    }

    pub(super) fn all_gone(&self) -> Vec<String> {
        lock(&self.gone).keys().cloned().collect()
    }

    /// The new server is held.
    pub fn found(&self, name: &str) {
        lock(&self.gone).remove(name);
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
