//! `runplan backups list|verify`.

use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::launch;
use super::state_dir;
use super::stored::Stored;
use crate::plan::{Action, RunId};
use crate::postgres::Programs;
use crate::run::{Failure, State};
use crate::steps::{Inspection, Manifest, Proofs, Reading, Shelved, Sort, readable_size, shelf};
use crate::store::Store;
use crate::terminal::{self, Screen, Tone};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Shows the backups there are, or reads them to their last byte.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan backups                         those in the directories that runs wrote to
  runplan backups list /var/backups
  runplan backups verify                  read every one to its last byte
  runplan backups verify before.sql.gz")]
pub struct Backups {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists backups: when they were taken, what is in them, until when they are kept
    #[command(after_help = "\
Examples:
  runplan backups list
  runplan backups list /var/backups before.sql.gz")]
    List(Places),
    /// Reads backups to their last byte and says of each whether it is whole
    #[command(after_help = "\
Examples:
  runplan backups verify
  runplan backups verify before.sql.gz --pg-bin /usr/lib/postgresql/18/bin")]
    Verify(Verify),
}

#[derive(Debug, Default, Args)]
struct Places {
    /// Directories, or backups [default: where the runs wrote theirs, and ./backups]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct Verify {
    #[command(flatten)]
    places: Places,
    /// Where PostgreSQL's client programs are
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
}

impl Backups {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        match self.what.unwrap_or_else(|| What::List(Places::default())) {
            What::List(places) => {
                let found = places.found(globals)?;
                list(screen, &found);
                let is_wrong = |one: &Shelved| {
                    matches!(one.sort, Sort::Broken(_))
                        && places.paths.iter().any(|path| one.path.ends_with(path))
                };
                Ok(if found.iter().any(is_wrong) { Exit::Failed } else { Exit::Done })
            }
            What::Verify(verify) => {
                let found = verify.places.found(globals)?;
                verify.all(screen, &found)
            }
        }
    }
}

impl Places {
    fn found(&self, globals: &Globals) -> Result<Vec<Shelved>, Error> {
        let paths = match self.paths.as_slice() {
            [] => usual(globals)?,
            given => {
                given.iter().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())).collect()
            }
        };
        let mut found = Vec::new();
        for path in paths {
            // What cannot be used is said in its place: the others are wanted all the same.
            found.extend(
                on(&path)
                    .unwrap_or_else(|failure| vec![Shelved { path, bytes: 0, sort: Sort::Broken(failure) }]),
            );
        }
        Ok(found)
    }
}

/// A directory of backups, or one backup.
fn on(path: &Path) -> Result<Vec<Shelved>, Failure> {
    if !path.is_dir() || path.join("toc.dat").is_file() {
        let format = crate::steps::recognise(path)?;
        let manifest = Manifest::read(path)?.map(Box::new);
        let bytes = std::fs::metadata(path).map_or(0, |found| found.len());
        return Ok(vec![Shelved { path: path.to_owned(), bytes, sort: Sort::Backup { format, manifest } }]);
    }
    shelf(path)
}

/// The directories that the runs of this state directory wrote backups to, and `./backups`: those that are there.
fn usual(globals: &Globals) -> Result<BTreeSet<PathBuf>, Error> {
    let store = state_dir::open_to_read(globals)?;
    let mut places = BTreeSet::new();
    for run in store.runs_there()? {
        // A journal that cannot be read is `status`'s to complain of.
        if let Ok(stored) = Stored::read(&store, &run) {
            places.extend(directories(&stored.state));
        }
    }
    places.extend(std::path::absolute("backups"));
    places.retain(|path| path.is_dir());
    Ok(places)
}

/// Where a run put its backups.
pub fn directories(state: &State) -> BTreeSet<PathBuf> {
    let made = state.entries().filter_map(|(id, entry)| {
        let step = state.shape.flow.step(id.as_str())?;
        let path = entry.outputs.get("path").and_then(Value::as_str)?;
        matches!(step.action.value, Action::Backup(_)).then(|| PathBuf::from(path))
    });
    made.filter_map(|path| path.parent().map(Path::to_owned)).collect()
}

/// A run, if it can be read.
pub type Read = (RunId, Result<Stored, Error>);

/// The runs of a state directory, with those that cannot be read.
pub fn runs(store: &Store) -> Result<Vec<Read>, Error> {
    Ok(store.runs_there()?.into_iter().map(|run| (run.clone(), Stored::read(store, &run))).collect())
}

fn list(screen: &Screen, found: &[Shelved]) {
    if screen.is_json() {
        let all: Vec<Value> = found.iter().map(|shelved| as_json(shelved, None)).collect();
        return screen.document(&json!({ "format": 1, "backups": all }));
    }
    if found.is_empty() {
        return screen.say("no backups here");
    }
    let places: BTreeSet<&Path> = found.iter().filter_map(|shelved| shelved.path.parent()).collect();
    for place in places {
        screen.text(&format!("{}\n", screen.paint().of(Tone::Strong, &place.display().to_string())));
        let here = found.iter().filter(|shelved| shelved.path.parent() == Some(place));
        let rows = here.map(|shelved| {
            let (what, taken, rows, kept) = words(shelved);
            let name = in_line(shelved.path.file_name().unwrap_or_default().to_string_lossy());
            let database = shelved.database().unwrap_or_default();
            vec![name, what, database, taken, readable_size(shelved.bytes), rows, kept]
        });
        let columns = ["backup", "what", "database", "taken (UTC)", "size", "rows", "kept"];
        screen.text(&terminal::table(screen, &columns, rows.collect::<Vec<_>>()));
    }
}

fn words(shelved: &Shelved) -> (String, String, String, String) {
    let none = String::new;
    match &shelved.sort {
        Sort::Backup { format, manifest: Some(manifest) } => {
            let seconds = |time: &str| time.get(..19).unwrap_or(time).replace('T', " ");
            let kept =
                manifest.kept_until.as_deref().map_or_else(none, |at| format!("until {}", seconds(at)));
            let what = match manifest.part() {
                Some(part) => format!("{format}, only {part}"),
                None => format.to_string(),
            };
            (what, seconds(&manifest.taken_at), manifest.rows.to_string(), kept)
        }
        Sort::Backup { format, manifest: None } => (format!("{format}, foreign"), none(), none(), none()),
        Sort::Unfinished => ("unfinished".to_owned(), none(), none(), none()),
        Sort::Broken(failure) => (fault(shelved, failure), none(), none(), none()),
    }
}

fn as_json(shelved: &Shelved, proved: Option<&Result<Inspection, Failure>>) -> Value {
    let (format, manifest, broken) = match &shelved.sort {
        Sort::Backup { format, manifest } => (Some(format.to_string()), manifest.as_deref(), None),
        Sort::Unfinished => (None, None, None),
        Sort::Broken(failure) => (None, None, Some(failure)),
    };
    let state = match (&shelved.sort, proved) {
        (Sort::Unfinished, _) => "unfinished",
        (Sort::Broken(_), _) | (_, Some(Err(_))) => "damaged",
        (_, Some(Ok(found))) if found.manifest.is_some() => "whole",
        (_, Some(Ok(_))) => "readable",
        (_, None) => "not_read",
    };
    let proof = proved.and_then(|proved| proved.as_ref().ok());
    let problem = broken.or_else(|| proved.and_then(|proved| proved.as_ref().err()));
    json!({
        "path": shelved.path,
        "bytes": shelved.bytes,
        "state": state,
        "kind": format,
        "taken_at": manifest.map(|manifest| manifest.taken_at.clone()),
        "kept_until": manifest.and_then(|manifest| manifest.kept_until.clone()),
        "run": manifest.map(|manifest| manifest.run.clone()),
        "step": manifest.map(|manifest| manifest.step.clone()),
        "database": shelved.database(),
        "by_runplan": manifest.is_some(),
        "scope": manifest.map(|manifest| manifest.scope.clone()),
        "rows": proof.map(|proof| proof.rows).or_else(|| manifest.map(|manifest| manifest.rows)),
        "tables": proof.map(|proof| proof.tables.len()).or_else(|| manifest.map(|manifest| manifest.tables.len())),
        "sha256": proof.map(|proof| proof.sha256.clone()).or_else(|| manifest.map(|manifest| manifest.sha256.clone())),
        "problem": problem.map(|failure| json!({ "code": failure.code, "message": failure.message })),
    })
}

impl Verify {
    fn all(self, screen: &Screen, found: &[Shelved]) -> Result<Exit, Error> {
        let programs = Programs::new(self.pg_bin, std::env::var_os("PATH"));
        let runtime = launch::runtime()?;
        let cancelled = CancellationToken::new();
        let mut all = Vec::new();
        let mut damaged = 0;
        for shelved in found {
            let proved = match &shelved.sort {
                Sort::Backup { .. } => {
                    let reading = Reading::new(&programs, &cancelled);
                    Some(runtime.block_on(Proofs::default().anew(&reading, &shelved.path)))
                }
                Sort::Unfinished => None,
                Sort::Broken(failure) => Some(Err(failure.clone())),
            };
            damaged += usize::from(matches!(proved, Some(Err(_))));
            match screen.is_json() {
                true => all.push(as_json(shelved, proved.as_ref())),
                false => tell(screen, shelved, proved.as_ref()),
            }
        }
        if screen.is_json() {
            screen.document(&json!({ "format": 1, "backups": all, "damaged": damaged }));
        } else if found.is_empty() {
            screen.say("no backups here");
        }
        Ok(if damaged == 0 { Exit::Done } else { Exit::Failed })
    }
}

fn tell(screen: &Screen, shelved: &Shelved, proved: Option<&Result<Inspection, Failure>>) {
    let paint = screen.paint();
    let path = in_line(shelved.path.to_string_lossy());
    let (tone, words) = match proved {
        Some(Ok(found)) => proof(shelved, found),
        Some(Err(failure)) => (Tone::Bad, fault(shelved, failure)),
        None => (Tone::Faint, "unfinished: written by a backup that did not end".to_owned()),
    };
    screen.text(&format!("{path}\n    {}\n", paint.of(tone, &words)));
}

/// A name that ends no line and hides nothing, wherever the output goes: anybody may have put the file there.
fn in_line(name: Cow<'_, str>) -> String {
    name.replace(char::is_control, "\u{fffd}")
}

/// What is wrong with it: which one it is was said before.
fn fault(shelved: &Shelved, failure: &Failure) -> String {
    let path = format!("{}: ", shelved.path.display());
    failure.message.strip_prefix(&path).unwrap_or(&failure.message).to_owned()
}

/// What was proved, and no more. Only a manifest knows every byte.
fn proof(shelved: &Shelved, found: &Inspection) -> (Tone, String) {
    let of = shelved.database().map(|database| format!(" of {database}")).unwrap_or_default();
    let what = format!("{}{of}, {} tables, {} rows", found.format, found.tables.len(), found.rows);
    match (&found.manifest, found.complete) {
        (Some(manifest), _) => match manifest.part() {
            Some(part) => (Tone::Good, format!("whole, of a part ({part}): {what}; run {}", manifest.run)),
            None => (Tone::Good, format!("whole: {what}; run {}", manifest.run)),
        },
        (None, true) => (
            Tone::Caution,
            format!(
                "readable to its end: {what}; no checksum to compare with, for it has no manifest of runplan"
            ),
        ),
        (None, false) => {
            (Tone::Caution, format!("readable to its end: {what}; but nothing says that this is all"))
        }
    }
}
