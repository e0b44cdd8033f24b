//! `runplan prune`.

use super::actor;
use super::backups;
use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::launch;
use super::state_dir;
use super::stored::Stored;
use super::surroundings::{self, Given};
use crate::clock;
use crate::plan::{Action, RunId};
use crate::run::{Entry, Failure, Phase, StepState};
use crate::steps::{self, Asked, Leaving, Leftover, RunStanding, Runs};
use crate::store::Store;
use crate::terminal::{self, Screen, Tone};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

/// Removes what runs left behind, when its time is over.
///
/// Expired backups, unfinished ones of runs that are over, old databases after their `keep_old`, side databases of runs that
/// are over. Shows all of it first and asks. Never removes the last good backup of a database, nor what an unfinished run
/// needs, nor anything that no run of this state directory made.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan prune --dry-run                 what would go, what stays, and why
  runplan prune                           asks before it removes
  runplan prune --yes /var/backups        this directory too; asks nobody
  runplan prune --yes --last-copies       old databases too that hold writes which are nowhere else")]
pub struct Prune {
    /// More directories of backups than those the runs wrote to
    #[arg(value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// Only show
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// With --yes: remove also what holds writes that are nowhere else
    #[arg(long)]
    last_copies: bool,
    /// Only backups: ask no server
    #[arg(long)]
    backups_only: bool,
}

/// Everything that was found.
#[derive(Default)]
pub struct Found {
    backups: Vec<Leftover>,
    pub servers: Vec<Asked>,
    /// Servers that could not be asked, and why.
    silent: Vec<Silent>,
}

/// A server that could not be asked: whose, which of its databases, and why.
struct Silent {
    run: RunId,
    name: String,
    why: String,
}

impl Prune {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let store = state_dir::open(globals)?;
        let all = backups::runs(&store)?;
        let known = known(&all);
        let runtime = launch::runtime()?;
        let found = self.look(&store, &all, &known, &runtime)?;
        let goes: Vec<(Option<&Asked>, &Leftover)> =
            found.all().filter(|(_, leftover)| leftover.goes()).collect();
        if !screen.is_json() {
            show(screen, &found);
        }
        if self.dry_run || goes.is_empty() {
            if screen.is_json() {
                document(screen, &found, &[], self.dry_run);
            }
            return Ok(Exit::Done);
        }
        let goes = self.agreed(screen, goes)?;
        let failed = remove(screen, &store, &runtime, goes)?;
        if screen.is_json() {
            document(screen, &found, &failed, false);
        }
        Ok(if failed.iter().any(|(_, failure)| failure.is_some()) { Exit::Failed } else { Exit::Done })
    }

    fn look(
        &self,
        store: &Store,
        all: &[backups::Read],
        known: &Runs,
        runtime: &Runtime,
    ) -> Result<Found, Error> {
        let mut places: BTreeSet<PathBuf> =
            readable(all).flat_map(|(_, stored)| backups::directories(&stored.state)).collect();
        places.retain(|place| place.is_dir());
        places.extend(
            self.directories.iter().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())),
        );
        let now = clock::now();
        let backups = runtime
            .block_on(steps::judge(&places, known, now))
            .map_err(|failure| Error::Unready { failure })?;
        let mut found = Found { backups, servers: Vec::new(), silent: Vec::new() };
        if self.backups_only {
            return Ok(found);
        }
        // The newest first: their passwords are likelier to be right still.
        for (run, stored) in readable(all).collect::<Vec<_>>().into_iter().rev() {
            let started = stored.started()?;
            if started.rehearsal {
                continue;
            }
            for name in beside(stored) {
                let server = started.targets.get(&name);
                if server.is_some_and(|server| found.servers.iter().any(|asked| asked.server == *server)) {
                    continue;
                }
                let given = Given { params: started.params.clone(), ..Given::default() };
                let directory = PathBuf::from(&started.directory);
                let place = store.directory(run);
                let world = surroundings::world(run, &stored.state.shape, directory, place, given)?;
                match runtime.block_on(steps::ask(&world, &name, known, now)) {
                    Ok(asked) if found.servers.iter().any(|other| other.server == asked.server) => {}
                    Ok(asked) => found.servers.push(asked),
                    Err(failure) => {
                        found.silent.push(Silent { run: run.clone(), name, why: failure.message });
                    }
                }
            }
        }
        // What one run's address did not lead to another's may have.
        let server = |silent: &Silent| {
            let (_, stored) = readable(all).find(|(run, _)| **run == silent.run)?;
            stored.started().ok()?.targets.get(&silent.name).cloned()
        };
        let servers = &found.servers;
        found.silent.retain(|silent| {
            server(silent).is_none_or(|server| !servers.iter().any(|asked| asked.server == server))
        });
        Ok(found)
    }

    /// What people agree to.
    fn agreed<'f>(
        &self,
        screen: &Screen,
        goes: Vec<(Option<&'f Asked>, &'f Leftover)>,
    ) -> Result<Vec<(Option<&'f Asked>, &'f Leftover)>, Error> {
        let many = if goes.len() == 1 { "this".to_owned() } else { format!("these {}", goes.len()) };
        agree(screen, self.yes, &format!("Remove {many} for good?"))?;
        let (last, mut agreed): (Vec<_>, Vec<_>) = goes.into_iter().partition(|(_, one)| one.is_last_copy());
        for one in last {
            let name = &one.1.name;
            let ask =
                format!("{name} holds writes that are nowhere else. Type its name to drop it, or nothing");
            let typed = || {
                let any = |_: &str| Ok(());
                screen.is_attended()
                    && !self.yes
                    && terminal::ask_value(screen, &ask, None, false, &any)
                        .is_some_and(|typed| typed == *name)
            };
            if self.last_copies || typed() {
                agreed.push(one);
            } else {
                screen.warn(&format!(
                    "{name} stays: it holds writes that are nowhere else; --last-copies removes it too"
                ));
            }
        }
        Ok(agreed)
    }
}

/// Nothing is removed that nobody agreed to. `yes`: somebody did, on the command line.
///
/// # Errors
/// Nobody agrees, or nobody can be asked.
pub fn agree(screen: &Screen, yes: bool, question: &str) -> Result<(), Error> {
    if yes || screen.is_attended() && terminal::confirm(screen, question) {
        return Ok(());
    }
    let message = "nobody confirmed the removal; nothing was removed";
    Err(Error::usage_with(message, "confirm it on a terminal, or with --yes"))
}

/// What all runs left behind, wherever that can be seen.
///
/// # Errors
/// The directories of their backups cannot be read.
pub fn look(store: &Store, all: &[backups::Read], runtime: &Runtime) -> Result<Found, Error> {
    let everything =
        Prune { directories: Vec::new(), dry_run: true, yes: false, last_copies: false, backups_only: false };
    everything.look(store, all, &known(all), runtime)
}

fn readable(all: &[backups::Read]) -> impl Iterator<Item = (&RunId, &Stored)> {
    all.iter().filter_map(|(run, stored)| Some((run, stored.as_ref().ok()?)))
}

/// What the journals say of the runs. One that cannot be read may need anything, so it counts as not over.
fn known(all: &[backups::Read]) -> Runs {
    let mut known = Runs::default();
    for (run, stored) in all {
        let over = match stored {
            Ok(stored) => stored.state.phase == Phase::Finished,
            Err(Error::NeverBegan { .. }) => true,
            Err(_) => false,
        };
        let standing = if over { RunStanding::Over } else { RunStanding::Open };
        known.known.insert(run.as_str().to_owned(), standing);
        let Ok(stored) = stored else { continue };
        if !over {
            known.needed.extend(named(stored).into_iter().map(|path| (run.as_str().to_owned(), path)));
        }
        let copies = copies(stored);
        if !copies.is_empty() {
            known.copies.insert(run.as_str().to_owned(), copies);
        }
    }
    known
}

/// Every text among a run's values and results, as a path.
fn named(stored: &Stored) -> Vec<PathBuf> {
    fn texts(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => found.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
            Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let Some(started) = &stored.state.started else { return Vec::new() };
    let mut found = Vec::new();
    started.params.values().for_each(|value| texts(value, &mut found));
    for (id, entry) in stored.state.entries() {
        entry.outputs.values().for_each(|value| texts(value, &mut found));
        if let Some(step) = stored.state.shape.flow.step(id.as_str())
            && let Action::Restore(action) = &step.action.value
        {
            found.push(action.from.raw.clone());
        }
    }
    let directory = Path::new(&started.directory);
    found.into_iter().filter(|text| !text.is_empty()).map(|text| directory.join(text)).collect()
}

/// The backups that a run took of a database between its freeze and its swap.
fn copies(stored: &Stored) -> Vec<PathBuf> {
    let done =
        || {
            stored.state.entries().filter(|(_, entry)| entry.state == StepState::Done).filter_map(
                |(id, entry)| Some((&stored.state.shape.flow.step(id.as_str())?.action.value, entry)),
            )
        };
    let mut found = Vec::new();
    for (swap, swapped) in done() {
        let Action::Swap(swap) = swap else { continue };
        let frozen = done().find_map(|(action, entry)| match action {
            Action::Freeze(freeze) if freeze.database.raw == swap.database.raw => entry.finished_at,
            _ => None,
        });
        let between = |entry: &Entry| {
            frozen.is_some_and(|frozen| entry.started_at.is_some_and(|at| at >= frozen))
                && entry.finished_at.is_some_and(|at| swapped.started_at.is_some_and(|swap| at <= swap))
        };
        for (action, entry) in done() {
            if let Action::Backup(backup) = action
                && backup.database.raw == swap.database.raw
                && between(entry)
                && let Some(path) = entry.outputs.get("path").and_then(Value::as_str)
            {
                found.push(PathBuf::from(path));
            }
        }
    }
    found
}

/// The databases beside which a run made others.
pub fn beside(stored: &Stored) -> BTreeSet<String> {
    let tried = stored.state.entries().filter(|(_, entry)| entry.attempts > 0);
    let named = tried.filter_map(|(id, _)| match &stored.state.shape.flow.step(id.as_str())?.action.value {
        Action::Restore(action) => Some(&action.database),
        Action::Swap(action) => Some(&action.database),
        _ => None,
    });
    named.filter(|text| !text.has_template()).map(|text| text.raw.trim().to_owned()).collect()
}

impl Found {
    pub fn all(&self) -> impl Iterator<Item = (Option<&Asked>, &Leftover)> {
        let backups = self.backups.iter().map(|leftover| (None, leftover));
        let beside = |asked| move |leftover| (Some(asked), leftover);
        backups.chain(self.servers.iter().flat_map(move |asked| asked.found.iter().map(beside(asked))))
    }
}

fn show(screen: &Screen, found: &Found) {
    let paint = screen.paint();
    let mut goes: Vec<&Leftover> = found.all().map(|(_, leftover)| leftover).collect();
    goes.sort_by_key(|leftover| !leftover.goes());
    if goes.is_empty() {
        screen.say("runs left nothing behind");
    }
    let rows = goes.iter().map(|leftover| {
        let (tone, word) = match (leftover.goes(), leftover.is_last_copy()) {
            (true, true) => (Tone::Bad, "goes, LAST COPY"),
            (true, false) => (Tone::Caution, "goes"),
            (false, _) => (Tone::Faint, "stays"),
        };
        let place = match &leftover.sort {
            Leaving::Database { endpoint, .. } => format!("{} on {endpoint}", leftover.name),
            Leaving::Backup { .. } | Leaving::Unfinished => leftover.name.clone(),
        };
        vec![
            paint.of(tone, word),
            leftover.sort.word().to_owned(),
            place,
            steps::readable_size(leftover.bytes),
            leftover.why().to_owned(),
        ]
    });
    if !goes.is_empty() {
        let columns = ["", "what", "which", "size", "why"];
        screen.text(&terminal::table(screen, &columns, rows.collect::<Vec<_>>()));
    }
    for Silent { run, name, why } in &found.silent {
        screen.warn(&format!(
            "the server of `{name}` of {run} could not be asked, so nothing of it goes: {why}"
        ));
    }
}

type Outcome<'f> = (&'f Leftover, Option<Failure>);

/// Removes one after the other; what is about to go is written down before.
fn remove<'f>(
    screen: &Screen,
    store: &Store,
    runtime: &Runtime,
    goes: Vec<(Option<&'f Asked>, &'f Leftover)>,
) -> Result<Vec<Outcome<'f>>, Error> {
    let who = actor::whoami();
    let line = |leftover: &Leftover, what: &str| {
        json!({
            "format": 1, "at": clock::now().to_string(), "by": who.name, "host": who.host, "event": what,
            "what": leftover.as_json(),
        })
    };
    let mut outcomes = Vec::new();
    for (asked, leftover) in goes {
        store.record_pruned(&line(leftover, "removing"))?;
        let removed = runtime.block_on(async {
            match asked {
                Some(asked) => steps::drop_database(asked, leftover).await.map(|()| true),
                None => steps::remove(leftover).await,
            }
        });
        let (event, failure) = match removed {
            Ok(true) => ("removed".to_owned(), None),
            Ok(false) => ("gone already".to_owned(), None),
            Err(failure) => (format!("not removed: {}", failure.message), Some(failure)),
        };
        store.record_pruned(&line(leftover, &event))?;
        match &failure {
            None if !screen.is_json() => screen.say(&format!("{event} {}", leftover.name)),
            None => {}
            Some(failure) => screen.warn(&failure.message),
        }
        outcomes.push((leftover, failure));
    }
    Ok(outcomes)
}

fn document(screen: &Screen, found: &Found, outcomes: &[Outcome<'_>], dry_run: bool) {
    let one = |leftover: &Leftover| {
        let mut value = leftover.as_json();
        let outcome = outcomes.iter().find(|(other, _)| std::ptr::eq(*other, leftover));
        value["removed"] = outcome.is_some_and(|(_, failure)| failure.is_none()).into();
        value["problem"] =
            json!(outcome.and_then(|(_, failure)| failure.as_ref().map(|failure| &failure.message)));
        value
    };
    let all: Vec<Value> = found.all().map(|(_, leftover)| one(leftover)).collect();
    let silent = found
        .silent
        .iter()
        .map(|one| json!({ "run": one.run.as_str(), "database": one.name, "why": one.why }));
    screen.document(&json!({
        "format": 1, "dry_run": dry_run, "found": all, "not_asked": silent.collect::<Vec<_>>(),
    }));
}
