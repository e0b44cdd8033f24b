//! What can be asked of the real systems before a run's first step: programs, secrets, servers, privileges, room, backups,
//! statements, sessions, channels. Every question is read-only and has a time limit, and all concerns come in one pass.
//! Must never change anything, keep a lock, or decide whether the run starts: that is said by who reads the answer.

mod access;
mod archives;
mod around;
mod backups;
mod blockers;
mod channels;
mod concern;
mod copies;
mod late;
mod locks;
mod pooled;
mod privileges;
mod programs;
mod replaced;
mod restores;
mod room;
mod scripts;
mod server;
mod sessions;
mod size;
mod statements;
mod twins;
mod uses;
mod writable;

pub use concern::{Concern, Fact, Found, Preflight};

use super::world::World;
use crate::postgres::Identity;
use crate::run::Failure;
use backups::Backups;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use uses::Use;

/// Told how many bytes of a backup were read so far.
pub type Told = Arc<dyn Fn(&Path, u64) + Send + Sync>;

/// How to ask.
#[derive(Clone)]
pub struct Options {
    /// Codes of concerns that the operator accepts, with or without `runplan::preflight::`.
    pub accept: Vec<String>,
    /// Another server than the pinned one is meant.
    pub retarget: bool,
    /// The servers that each database was on in earlier runs of this very plan: system identifier and run.
    pub seen: BTreeMap<String, Vec<(String, String)>>,
    /// What is known without asking: it is told beside what was found.
    pub known: Found,
    /// How long one question may take, and how long nothing of a backup may be readable.
    pub limit: Duration,
    pub told: Told,
    /// Where programs are looked for, in the form of PATH.
    pub path: Option<OsString>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            accept: Vec::new(),
            retarget: false,
            seen: BTreeMap::new(),
            known: Found::default(),
            limit: Duration::from_secs(15),
            told: Arc::new(|_, _| {}),
            path: std::env::var_os("PATH"),
        }
    }
}

/// Asks everything. What cannot be asked is a concern, never an error.
pub async fn preflight(world: &Arc<World>, options: &Options) -> Preflight {
    let uses = uses::of(world).await;
    // Each secret is read once, before several questions want the same one: its command may ask a person.
    let mut found = programs::secrets(world, &uses).await;
    let mut by_database: BTreeMap<&str, Vec<&Use>> = BTreeMap::new();
    for used in &uses.databases {
        by_database.entry(used.database.as_str()).or_default().push(used);
    }
    // First: it may take its time, and what servers say should be fresh.
    let backups = Backups::read(world, options, &uses).await;
    let databases = join_all(
        by_database.iter().map(|(name, uses)| database(world, options, &backups, name, uses.as_slice())),
    );
    let (programs, archives, channels, databases) = tokio::join!(
        programs::look(world, options, &uses),
        archives::look(world, options.limit, &backups, &uses),
        channels::look(world, options, &uses),
        databases,
    );
    found.extend(programs);
    let mut known = Vec::new();
    for (name, (of_it, identity)) in by_database.keys().zip(databases) {
        found.extend(of_it);
        known.extend(identity.map(|identity| (*name, identity)));
    }
    found.extend(twins::look(&known));
    found.extend(archives);
    found.extend(channels);
    // A server may quote in its answer what a statement was made with.
    found.extend(options.known.clone());
    let found = found.cleaned(&world.secrets.redactor());
    Preflight::new(world.shape.plan.name.as_str(), found, &options.accept)
}

/// Reads every secret that the run may come to use, so that it is found wherever it would be shown: what is printed before
/// its own step needs it too. Says which cannot be had. A rehearsal asks nobody for what it does not use.
pub async fn read_secrets(world: &World) -> Vec<Failure> {
    if world.rehearsal.is_some() {
        return Vec::new();
    }
    let uses = uses::of(world).await;
    let mut names = uses.secrets;
    for (name, channel) in world.shape.loaded.channels() {
        if !channel.events.is_empty() || uses.channels.contains_key(name) {
            names.extend(channels::secrets(channel));
        }
    }
    world.secrets.read(&names).await
}

/// Everything about one database of the plan, and which it is.
async fn database(
    world: &Arc<World>,
    options: &Options,
    backups: &Backups,
    name: &str,
    uses: &[&Use],
) -> (Found, Option<Identity>) {
    let mut found = Found::default();
    let Some(server) = server::open(world, options, name, uses, &mut found).await else {
        return (found, None);
    };
    found.extend(programs::clients(world, &server, uses).await);
    // One question after the other: they share the session, and each is short.
    found.extend(server::held(world, &server, uses).await);
    found.extend(writable::look(world, &server, uses).await);
    found.extend(privileges::look(&server, uses).await);
    found.extend(blockers::look(&server, uses).await);
    found.extend(access::look(&server, uses).await);
    found.extend(replaced::look(world, backups, &server, uses).await);
    found.extend(around::look(world, &server, uses).await);
    found.extend(sessions::look(world, &server, uses).await);
    found.extend(room::look(world, backups, &server, uses).await);
    found.extend(statements::look(world, &server, uses).await);
    found.extend(copies::look(world, &server, uses).await);
    found.extend(restores::look(world, backups, &server, uses).await);
    (found, Some(server.identity))
}

/// Whether anything in the plan is done by actions of a kind.
fn steps_that<'u>(uses: &[&'u Use], wanted: impl Fn(&uses::What) -> bool) -> Vec<&'u Use> {
    uses.iter().copied().filter(|used| wanted(&used.what)).collect()
}

/// `a, b and c`, as people write lists; at most `most`.
fn listed(names: &[String], most: usize) -> String {
    let (shown, hidden) = names.split_at(names.len().min(most));
    match (shown, hidden.len()) {
        ([], _) => String::new(),
        ([one], 0) => one.clone(),
        ([first @ .., last], 0) => format!("{} and {last}", first.join(", ")),
        (shown, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The ids of steps, for a message.
fn ids(uses: &[&Use]) -> String {
    let mut names: Vec<String> = uses.iter().map(|used| used.step.to_string()).collect();
    names.dedup();
    listed(&names, 5)
}
