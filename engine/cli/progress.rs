//! How far the running steps are, for other processes: a small file beside the journal, which is no part of it. Whoever
//! drives the run writes it, `watch` reads it. Must never hold up a run: what cannot be written is not told.

use crate::clock::{self, Stopwatch, Timestamp};
use crate::drive::Observer;
use crate::plan::StepId;
use crate::plan::action::notify::Level;
use crate::run::{Record, State};
use crate::steps::{Progress, Unit};
use serde_json::{Map, Value, json};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILE: &str = "progress.json";
/// How often bytes are written at most.
const APART: Duration = Duration::from_millis(500);
/// A larger file is not ours.
const LARGEST: u64 = 1024 * 1024;

/// Shows what it is told, and tells it to other processes too.
pub struct Shared<O> {
    shown: O,
    path: PathBuf,
    steps: Map<String, Value>,
    written: Option<Stopwatch>,
}

impl<O: Observer> Shared<O> {
    /// `directory`: the run's own.
    pub fn new(shown: O, directory: &Path) -> Self {
        let path = directory.join(FILE);
        // Of a process that was killed.
        let _ = std::fs::remove_file(&path);
        Self { shown, path, steps: Map::new(), written: None }
    }

    /// `often`: it will be said again soon. What is said once must not be the one that is left out.
    fn write(&mut self, often: bool) {
        if often && self.written.is_some_and(|written| written.elapsed() < APART) {
            return;
        }
        self.written = Some(Stopwatch::start());
        let text = json!({ "format": 1, "steps": self.steps }).to_string();
        let beside = self.path.with_extension("json.new");
        let mut private = OpenOptions::new();
        private.write(true).create(true).truncate(true).mode(0o600);
        let written = private.open(&beside).and_then(|mut file| file.write_all(text.as_bytes()));
        // Never synced, and a reader never sees half of it.
        let _ = written.and_then(|()| std::fs::rename(&beside, &self.path));
    }
}

impl<O: Observer> Observer for Shared<O> {
    fn recorded(&mut self, record: &Record, state: &State) {
        if let Some(step) = record.event.step().filter(|step| state.running().all(|id| id != *step)) {
            self.steps.remove(step.as_str());
        }
        self.shown.recorded(record, state);
    }

    fn progress(&mut self, step: &StepId, progress: &Progress, state: &State) {
        let Progress { doing, done, total, unit } = progress;
        let unit = word(*unit);
        let at = clock::now().to_string();
        let told = json!({ "at": at, "doing": doing, "done": done, "total": total, "unit": unit });
        let before = self.steps.insert(step.to_string(), told);
        let is_same_work = before.is_some_and(|before| before["doing"] == doing.as_str());
        self.write(is_same_work && progress.unit != Unit::Items);
        self.shown.progress(step, progress, state);
    }

    fn idle(&mut self, state: &State) {
        self.shown.idle(state);
    }

    fn said(&mut self, step: &StepId, level: Level, message: &str) {
        self.shown.said(step, level, message);
    }
}

impl<O> Drop for Shared<O> {
    fn drop(&mut self) {
        // It may never have been written.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What the running steps of a run said last, and when.
pub fn read(directory: &Path, state: &State) -> Vec<(StepId, Timestamp, Progress)> {
    let path = directory.join(FILE);
    let is_ours = std::fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= LARGEST);
    let Some(text) = is_ours.then(|| std::fs::read_to_string(&path).ok()).flatten() else {
        return Vec::new();
    };
    let Ok(whole) = serde_json::from_str::<Value>(&text) else { return Vec::new() };
    let one = |id: &StepId| {
        let told = &whole["steps"][id.as_str()];
        let at: Timestamp = told["at"].as_str()?.parse().ok()?;
        // What an earlier attempt said is over.
        let began = state.entry(id)?.attempt_at?;
        let progress = Progress {
            doing: told["doing"].as_str()?.to_owned(),
            done: told["done"].as_u64()?,
            total: told["total"].as_u64(),
            unit: unit(told["unit"].as_str()?)?,
        };
        (at >= began).then(|| (id.clone(), at, progress))
    };
    state.running().filter_map(one).collect()
}

fn word(unit: Unit) -> &'static str {
    match unit {
        Unit::Bytes => "bytes",
        Unit::Items => "items",
        Unit::Time => "ms",
    }
}

fn unit(word: &str) -> Option<Unit> {
    [Unit::Bytes, Unit::Items, Unit::Time].into_iter().find(|unit| self::word(*unit) == word)
}
