//! `runplan runs prune`: the journals and files of runs that were over long ago. Must never remove a run that is not over,
//! that somebody holds, or whose backups and databases are still there: without its journal nobody could say whose they are.

use super::actor;
use super::backups::{self, Read};
use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::launch;
use super::prune::{self, Found};
use super::state_dir;
use super::stored::Stored;
use crate::clock::{self, Timestamp};
use crate::plan::{Action, Duration, RunId};
use crate::report;
use crate::report::amount::{self, span};
use crate::run::{Phase, State};
use crate::steps::readable_size;
use crate::store::{self, Store};
use crate::terminal::{self, Screen, Tone};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Removes the journals and files of runs that were over long ago.
///
/// What they measured stays for the estimates. A removed run can be neither undone nor reported any more, and no report of it
/// can be proved. Shows all of it first and asks. Never removes a run that is not over, or one whose backups, old or side
/// databases are still there: `runplan prune` removes those first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan runs prune --dry-run                        what would go, what stays, and why
  runplan runs prune --older-than 30d --keep-last 10
  runplan runs prune --yes                            asks nobody")]
pub struct PruneRuns {
    /// Only runs that were over so long ago
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = duration)]
    older_than: Duration,
    /// Keep the newest so many in any case
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    keep_last: usize,
    /// Only show
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    Duration::parse(text).ok_or_else(|| "write a duration such as 90d or 12h".to_owned())
}

/// A run, and what becomes of it.
struct Judged {
    run: RunId,
    bytes: u64,
    /// How many lines its journal had when it was judged.
    lines: u64,
    goes: bool,
    why: String,
}

impl PruneRuns {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let store = state_dir::open(globals)?;
        let found = self.judge(&store)?;
        let goes: Vec<&Judged> = found.iter().filter(|one| one.goes).collect();
        if !screen.is_json() {
            show(screen, &found);
        }
        if self.dry_run || goes.is_empty() {
            if screen.is_json() {
                document(screen, &found, &[], self.dry_run);
            }
            return Ok(Exit::Done);
        }
        let many = if goes.len() == 1 { "this run".to_owned() } else { format!("these {} runs", goes.len()) };
        let question = format!("Remove the journal and files of {many} for good?");
        prune::agree(screen, self.yes, &question)?;
        let outcomes = remove(screen, &store, &goes)?;
        let freed: u64 =
            outcomes.iter().filter(|(_, problem)| problem.is_none()).map(|(one, _)| one.bytes).sum();
        let failed = outcomes.iter().filter(|(_, problem)| problem.is_some()).count();
        if screen.is_json() {
            document(screen, &found, &outcomes, false);
        } else {
            let removed = amount::count(outcomes.len() - failed, "run");
            screen.say(&format!("removed {removed}, which frees {}", readable_size(freed)));
        }
        Ok(if failed > 0 { Exit::Failed } else { Exit::Done })
    }

    /// All runs, the newest first.
    fn judge(&self, store: &Store) -> Result<Vec<Judged>, Error> {
        let now = clock::now();
        let all = backups::runs(store)?;
        let mut over: Vec<(Timestamp, &RunId)> =
            all.iter().filter_map(|one| Some((end(one)?, &one.0))).collect();
        over.sort();
        let kept: BTreeSet<&RunId> = over.iter().rev().take(self.keep_last).map(|(_, run)| *run).collect();
        let old = |at: Timestamp| amount::between(at, now) >= self.older_than.ms;
        let candidates: BTreeSet<&RunId> =
            over.iter().filter(|(at, run)| old(*at) && !kept.contains(run)).map(|(_, run)| *run).collect();
        // Only now is it worth asking servers.
        let left = match candidates.is_empty() {
            true => Found::default(),
            false => prune::look(store, &all, &launch::runtime()?)?,
        };
        let mut judged: Vec<Judged> = all
            .iter()
            .map(|one| {
                let (run, stored) = one;
                let reason = match (stored, end(one)) {
                    (Err(Error::NeverBegan { .. }), _) => Some("it never began".to_owned()),
                    (Err(error), _) => Some(format!("its journal cannot be read: {error}")),
                    (Ok(stored), None) => Some(open(stored)),
                    (Ok(_), Some(at)) if !old(at) => {
                        Some(format!("over since {}", span(amount::between(at, now))))
                    }
                    (Ok(_), Some(_)) if kept.contains(run) => Some("among the newest".to_owned()),
                    (Ok(stored), Some(_)) => needed(stored, &left),
                };
                let over = end(one).map(|at| format!("over since {}", span(amount::between(at, now))));
                Judged {
                    run: run.clone(),
                    bytes: size(&store.directory(run)),
                    lines: stored.as_ref().map_or(0, |stored| stored.records.len() as u64),
                    goes: reason.is_none(),
                    why: reason.or(over).unwrap_or_default(),
                }
            })
            .collect();
        let at = |one: &Judged| all.iter().find(|(run, _)| *run == one.run).and_then(end);
        judged.sort_by_key(|one| (!one.goes, std::cmp::Reverse(at(one)), one.run.clone()));
        Ok(judged)
    }
}

/// When a run was over, with nothing left to let go of.
fn end((_, stored): &Read) -> Option<Timestamp> {
    let state = &stored.as_ref().ok()?.state;
    let started = state.started.as_deref()?;
    let holds = !state.released && !started.rehearsal && !started.targets.is_empty();
    state.finished_at.filter(|_| state.phase == Phase::Finished && !holds)
}

fn open(stored: &Stored) -> String {
    let state = &stored.state;
    match (state.phase == Phase::Finished, &state.moved) {
        (true, _) => format!("it still holds its databases: `runplan resume {}` lets go of them", state.run),
        (false, Some(moved)) => format!("it was moved to {}, and is not over here", moved.to),
        (false, None) => "it is not over".to_owned(),
    }
}

/// What of it is still there and would be nobody's.
fn needed(stored: &Stored, left: &Found) -> Option<String> {
    let state = &stored.state;
    let started = state.started.as_deref()?;
    if started.rehearsal {
        return None;
    }
    if let Some(what) = shut(state) {
        return Some(format!("{what}: `runplan undo {}` opens it again", state.run));
    }
    let away = backups::directories(state).into_iter().find(|place| !place.is_dir());
    if let Some(place) = away {
        return Some(format!(
            "{} is not there, so nobody can say whether its backup is left: mount it, or make it when it is gone for good",
            place.display()
        ));
    }
    let backup = state.entries().find_map(|(id, entry)| {
        let step = state.shape.flow.step(id.as_str())?;
        let path = entry.outputs.get("path").and_then(Value::as_str).map(PathBuf::from)?;
        (matches!(step.action.value, Action::Backup(_)) && path.try_exists().unwrap_or(true)).then_some(path)
    });
    if let Some(path) = backup {
        return Some(format!("its backup is still there: {}", path.display()));
    }
    if let Some((_, leftover)) =
        left.all().find(|(_, leftover)| leftover.run.as_deref() == Some(state.run.as_str()))
    {
        return Some(format!("its {} is still there: {}", leftover.sort.word(), leftover.name));
    }
    let unasked = prune::beside(stored).into_iter().find(|name| {
        let server = started.targets.get(name);
        !server.is_some_and(|server| left.servers.iter().any(|asked| asked.server == *server))
    });
    unasked.map(|name| format!("the server of `{name}` could not be asked whether a database of it is left"))
}

/// What it still keeps closed: only its undo knows how to open that.
fn shut(state: &State) -> Option<String> {
    let window = report::windows(state).into_iter().find_map(|window| window.shut());
    let frozen = report::frozen(state).into_iter().next();
    window.or_else(|| frozen.map(|(_, name)| format!("database {name} is still frozen by it")))
}

/// Everything below, as the file system counts it.
fn size(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => size(&entry.path()) + found.blocks() * 512,
            Ok(found) => found.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

type Outcome<'j> = (&'j Judged, Option<String>);

/// One after the other; what is about to go is written down before.
fn remove<'j>(screen: &Screen, store: &Store, goes: &[&'j Judged]) -> Result<Vec<Outcome<'j>>, Error> {
    let who = actor::whoami();
    let line = |one: &Judged, event: &str| {
        json!({
            "format": 1, "at": clock::now().to_string(), "by": who.name, "host": who.host, "event": event,
            "what": { "sort": "run", "name": one.run.as_str(), "bytes": one.bytes, "why": one.why },
        })
    };
    let mut outcomes = Vec::new();
    for one in goes {
        store.record_pruned(&line(one, "removing"))?;
        let problem = match store.remove_unchanged(&one.run, one.lines) {
            Ok(true) => None,
            Ok(false) => Some("it has gone on since".to_owned()),
            // Somebody else removed it: that is what was wanted.
            Err(store::Error::NoRun { .. }) => None,
            Err(error) => Some(error.to_string()),
        };
        match &problem {
            None => store.record_pruned(&line(one, "removed"))?,
            Some(why) => {
                store.record_pruned(&line(one, &format!("not removed: {why}")))?;
                screen.warn(&format!("{} stays: {why}", one.run));
            }
        }
        outcomes.push((*one, problem));
    }
    Ok(outcomes)
}

fn show(screen: &Screen, found: &[Judged]) {
    if found.is_empty() {
        return screen.say("no runs yet");
    }
    let paint = screen.paint();
    let rows = found.iter().map(|one| {
        let word = if one.goes { paint.of(Tone::Caution, "goes") } else { paint.of(Tone::Faint, "stays") };
        vec![word, one.run.to_string(), readable_size(one.bytes), one.why.clone()]
    });
    screen.text(&terminal::table(screen, &["", "run", "size", "why"], rows.collect::<Vec<_>>()));
}

fn document(screen: &Screen, found: &[Judged], outcomes: &[Outcome<'_>], dry_run: bool) {
    let one = |one: &Judged| {
        let outcome = outcomes.iter().find(|(other, _)| std::ptr::eq(*other, one));
        json!({
            "run": one.run.as_str(), "bytes": one.bytes, "goes": one.goes, "why": one.why,
            "removed": outcome.is_some_and(|(_, problem)| problem.is_none()),
            "problem": outcome.and_then(|(_, problem)| problem.clone()),
        })
    };
    let freed: u64 = outcomes.iter().filter(|(_, problem)| problem.is_none()).map(|(one, _)| one.bytes).sum();
    let all: Vec<Value> = found.iter().map(one).collect();
    screen.document(&json!({ "format": 1, "dry_run": dry_run, "runs": all, "freed_bytes": freed }));
}
