//! `runplan logs`.

use super::command::Globals;
use super::death;
use super::error::Error;
use super::exit::Exit;
use super::named::step_of;
use super::state_dir;
use super::stored::Stored;
use crate::clock;
use crate::plan::{RunId, StepId};
use crate::report::tell;
use crate::store::Store;
use crate::terminal::{Lines, Screen, Tone};
use clap::Args;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a followed run is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Longer output is shown from its end; the file has all of it.
const MOST_BYTES: u64 = 256 * 1024;

/// Shows what happened in a run, and what its programs printed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan logs k7f3                every event
  runplan logs k7f3 deploy         the events of one step, and what it printed
  runplan logs k7f3 --follow       as it happens
  runplan logs k7f3 -v             the facts that were noted too
  runplan logs k7f3 --format json  the journal itself, a line an event

Exit codes: 0; with --follow 4 when the run's process has died.")]
pub struct Logs {
    /// The run: its id, or the beginning or end of it; without it the last one
    run: Option<String>,
    /// Only this step, with its output
    step: Option<String>,
    /// Go on showing what happens, until nobody drives the run any more
    #[arg(short, long)]
    follow: bool,
}

impl Logs {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let store = state_dir::open_to_read(globals)?;
        let run = state_dir::meant_or_last(&store, self.run.as_deref(), "logs")?;
        let mut shown = 0;
        let died = loop {
            // Asked before the reading, so that nothing written by a holder who leaves in between is missed.
            let is_held = store.holder(&run).is_ok_and(|holder| holder.is_some());
            let stored = self.show(screen, &store, &run, shown)?;
            if !self.follow || !is_held {
                break death::words(screen, &store, &stored);
            }
            shown = stored.state.seq;
            clock::block(LOOK);
        };
        if let Some(step) = self.step.as_deref().filter(|_| !screen.is_json()) {
            outputs(screen, &store, &run, &StepId::from(step));
        }
        let Some(died) = died else { return Ok(Exit::Done) };
        screen.warn(&died);
        Ok(if self.follow { Exit::Parked } else { Exit::Done })
    }

    /// Shows what comes after a line of the journal; gives all of it.
    fn show(&self, screen: &Screen, store: &Store, run: &RunId, after: u64) -> Result<Stored, Error> {
        // A damaged journal is shown as far as it is proved.
        let loaded = store.load(run)?;
        let damage = loaded.damage.clone();
        // With nothing proved at all, the damage is the answer.
        let records = if loaded.records.is_empty() { loaded.whole()? } else { loaded.records };
        let stored = Stored::of(run, records)?;
        let step = self.step.as_deref().map(|step| step_of(&stored.state, step)).transpose()?;
        let lines = Lines::new(screen, &stored.state);
        for record in stored.records.iter().filter(|record| record.seq > after) {
            if step.is_some() && record.event.step() != step.as_ref() {
                continue;
            }
            let told = tell(record, &stored.state);
            if screen.is_json() {
                screen.line(&record.line);
            } else if !told.minor || screen.verbose > 0 {
                screen.line(&lines.of(record.at, &told));
            }
        }
        if let Some(damage) = damage {
            screen.warn(&format!("what follows cannot be shown: {damage}"));
        }
        Ok(stored)
    }
}

/// What the step's programs printed, attempt by attempt.
fn outputs(screen: &Screen, store: &Store, run: &RunId, step: &StepId) {
    let directory = store.directory(run).join("process");
    for path in files(&directory, step) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match tail(&path) {
            Ok((text, _)) if text.trim().is_empty() => {}
            Ok((text, cut)) => {
                let note = if cut { format!(", the end of it ({})", path.display()) } else { String::new() };
                screen.line(&screen.paint().of(Tone::Strong, &format!("\n{name}{note}")));
                screen.line(text.trim_end_matches('\n'));
            }
            Err(error) => screen.warn(&format!("{}: {error}", path.display())),
        }
    }
}

/// Output files of the step's attempts, in order.
fn files(directory: &Path, step: &StepId) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let output = name.ends_with(".stdout") || name.ends_with(".stderr");
        // KEY.ATTEMPT[...].stdout; `a` has no part in `a.b`'s files, whose next letter is no digit.
        let rest = name.strip_prefix(step.as_str()).and_then(|rest| rest.strip_prefix('.'));
        output && rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_ours).collect();
    found.sort();
    found
}

/// The end of a file, and whether something before it is missing.
fn tail(path: &Path) -> std::io::Result<(String, bool)> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(MOST_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), from > 0))
}
