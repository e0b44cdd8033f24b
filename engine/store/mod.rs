//! Where events endure. Knows records, not what they mean; it must never act, decide, or mend a journal.
//!
//! ```text
//! STATE/
//!   runs/RUN/         the run's directory appears whole, with one rename
//!     journal.db        SQLite: the lines, and the inbox
//!     head              number and hash of the last acknowledged line
//!     lock              held by the one process that may append
//!     process/ files/   the supervisor's files; what steps write
//!   new/              runs being made or removed
//!   history.jsonl     how long steps took
//!   pruned.jsonl      what was removed for good, and when
//! ```
//!
//! What was acknowledged is durable and whole. What was not acknowledged may still be there after a crash, always in
//! whole batches: it was never acted on.

mod bundle;
mod database;
mod directory;
mod error;
mod head;
mod history;
mod inbox;
mod journal;
mod list;
mod load;
mod lock;
mod memory;
mod place;
mod pruned;
mod runway;
mod sqlite;

pub use error::Error;
pub use head::Headless;
pub use history::{Estimates, Median, Timing, Valued};
pub use journal::{Journal, PostId, Posted};
pub use list::{Brief, Summary, may_mean};
pub use load::{Damage, Loaded, Verdict};
pub use lock::Holder;
pub use memory::{Fault, MemoryJournal};
pub use sqlite::SqliteJournal;

use crate::plan::RunId;
use crate::run::{Actor, Post};
use lock::Lock;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PROCESS: &str = "process";
const FILES: &str = "files";
/// What a crash leaves in `new/` is removed after that time.
const LEFTOVER: Duration = Duration::from_secs(3600);

/// The state directory.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// A run that this process holds until this value, and with it the journal, is dropped.
#[derive(Debug)]
pub struct Held {
    run: RunId,
    directory: PathBuf,
    journal: SqliteJournal,
}

impl Held {
    pub fn run(&self) -> &RunId {
        &self.run
    }

    pub fn journal(&self) -> &SqliteJournal {
        &self.journal
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes the run to a file, whole.
    ///
    /// # Errors
    /// A damaged journal; no room, no permission; the file is there already.
    pub fn export(&self, to: &Path) -> Result<(), Error> {
        bundle::write(&self.run, &self.directory, to)
    }

    /// For the supervisor.
    pub fn process(&self) -> PathBuf {
        self.directory.join(PROCESS)
    }

    /// For what steps write.
    pub fn files(&self) -> PathBuf {
        self.directory.join(FILES)
    }
}

impl Store {
    /// Where the state is if nobody says otherwise. `env`: looks a variable up.
    ///
    /// # Errors
    /// If no variable names a place.
    pub fn default_dir(env: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Error> {
        directory::default(env)
    }

    /// Opens the state directory to run, or to say something to a run; makes it if it is not there.
    ///
    /// # Errors
    /// A file in the way; a directory that cannot be written, is another user's, or that others may write to.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let store = Self::at(path)?;
        let fresh = directory::make(&store.root)?;
        directory::trust(&store.root)?;
        directory::prove_writable(&store.root)?;
        let fresh = directory::make(&store.runs())? || fresh;
        directory::make(&store.unborn())?;
        directory::prove_writable(&store.runs())?;
        if fresh {
            directory::sync(&store.root)?;
            store.root.parent().map_or(Ok(()), directory::sync)?;
        }
        Ok(store)
    }

    /// Opens the state directory to look at it: nothing is made, and it need not be writable.
    ///
    /// # Errors
    /// A file in the way; another user's directory, or one that others may write to.
    pub fn open_to_read(path: &Path) -> Result<Self, Error> {
        let store = Self::at(path)?;
        match directory::trust(&store.root) {
            // No state yet: no runs.
            Ok(()) | Err(Error::Vanished { .. }) => Ok(store),
            Err(error) => Err(error),
        }
    }

    fn at(path: &Path) -> Result<Self, Error> {
        let root = std::path::absolute(path).map_err(|error| Error::io(path, &error))?;
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Bytes that may still be written there. None: the file system does not tell.
    pub fn room(&self) -> Option<u64> {
        directory::room(&self.root)
    }

    /// Where everything about that run is kept.
    pub fn directory(&self, run: &RunId) -> PathBuf {
        self.runs().join(run.as_str())
    }

    fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    fn unborn(&self) -> PathBuf {
        self.root.join("new")
    }

    /// Makes a run and holds it. Its journal is empty.
    ///
    /// # Errors
    /// `Exists`; no room, no permission.
    pub fn create(&self, run: &RunId) -> Result<Held, Error> {
        self.sweep();
        let target = self.directory(run);
        let failed = |error| Error::io(&target, &error);
        let unborn = directory::make_temporary(&self.unborn(), run.as_str())?;
        directory::make(&unborn.path().join(PROCESS))?;
        directory::make(&unborn.path().join(FILES))?;
        let lock = Lock::take(run, unborn.path())?;
        database::create(unborn.path())?;
        head::create(unborn.path()).map_err(|error| Error::io(&unborn.path().join(head::FILE), &error))?;
        directory::sync(unborn.path())?;
        if target.exists() {
            return Err(Error::Exists { run: run.clone() });
        }
        // A directory that is not empty is not replaced.
        std::fs::rename(unborn.path(), &target).map_err(|error| match error.kind() {
            std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::AlreadyExists => {
                Error::Exists { run: run.clone() }
            }
            _ => failed(error),
        })?;
        drop(unborn.keep());
        directory::sync(&self.runs())?;
        self.hold(run, lock)
    }

    /// Holds a run that is there.
    ///
    /// # Errors
    /// `NoRun`; `Held` by whom and since when; `NoHead`; what keeps the journal from being opened.
    pub fn take(&self, run: &RunId) -> Result<Held, Error> {
        let place = self.there(run)?;
        let lock = Lock::take(run, &place)?;
        if let Some(fault) = load::headless(&place)? {
            return Err(Error::NoHead { run: run.clone(), path: place.join(head::FILE), fault });
        }
        self.hold(run, lock)
    }

    /// As `take`, by the word of a person also without a head; why there was none. The next line that is written makes it anew,
    /// and nothing before that.
    ///
    /// # Errors
    /// As `take`, but for `NoHead`.
    pub fn take_headless(&self, run: &RunId) -> Result<(Held, Option<Headless>), Error> {
        let place = self.there(run)?;
        let lock = Lock::take(run, &place)?;
        let headless = load::headless(&place)?;
        Ok((self.hold(run, lock)?, headless))
    }

    fn hold(&self, run: &RunId, lock: Lock) -> Result<Held, Error> {
        let directory = self.directory(run);
        let journal = SqliteJournal::open(&directory, lock)?;
        Ok(Held { run: run.clone(), directory, journal })
    }

    /// Takes in a run that was written to a file; whether it was here before.
    ///
    /// # Errors
    /// `Bundle`: the file is damaged; `Exists`: the run is here and did something since.
    pub fn import(&self, from: &Path) -> Result<(RunId, bool), Error> {
        self.sweep();
        bundle::read(self, from)
    }

    /// Who holds the run, if anyone does.
    ///
    /// # Errors
    /// `NoRun`; `Held` if someone does and did not say who.
    pub fn holder(&self, run: &RunId) -> Result<Option<Holder>, Error> {
        lock::holder(run, &self.there(run)?)
    }

    /// Reads and proves the journal, also while another process writes to it.
    ///
    /// # Errors
    /// `NoRun`; if it cannot be read at all. Damage is not an error here.
    pub fn load(&self, run: &RunId) -> Result<Loaded, Error> {
        load::load(run, &self.there(run)?)
    }

    /// Looks for damage and names the first damaged line.
    ///
    /// # Errors
    /// As `load`.
    pub fn verify(&self, run: &RunId) -> Result<Verdict, Error> {
        load::verify(run, &self.there(run)?)
    }

    /// Says something to a run, durably, whoever holds it.
    ///
    /// # Errors
    /// `NoRun`, `InboxFull`, `TooLarge`; what keeps the journal from being written.
    pub fn post(&self, run: &RunId, actor: &Actor, post: &Post) -> Result<PostId, Error> {
        inbox::post(&self.there(run)?, actor, post)
    }

    /// The lines among which are those that the message led to: they begin with the first of its own, or where that would
    /// be if it led to none, and end where a later message's begin. Nothing while it waits.
    ///
    /// # Errors
    /// `Refused` by a runner of another version; `NoPost`.
    pub fn outcome_of(&self, run: &RunId, id: PostId) -> Result<Option<Range<u64>>, Error> {
        inbox::outcome(&self.there(run)?, id)
    }

    /// The ids of all runs, sorted.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn runs_there(&self) -> Result<Vec<RunId>, Error> {
        let path = self.runs();
        let entries = match std::fs::read_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| Error::io(&path, &error))?,
        };
        let name = |entry: std::fs::DirEntry| entry.file_name().to_str().and_then(RunId::parse);
        let mut runs: Vec<RunId> = entries.flatten().filter_map(name).collect();
        runs.sort();
        Ok(runs)
    }

    /// All runs at a glance, the oldest first; those that cannot be read come last.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Brief>, Error> {
        let mut briefs: Vec<Brief> =
            self.runs_there()?.iter().map(|run| list::brief(run, &self.directory(run))).collect();
        let start = |brief: &Brief| brief.summary.as_ref().map(|summary| summary.started_at);
        briefs.sort_by_key(|brief| (start(brief).is_none(), start(brief), brief.run.clone()));
        Ok(briefs)
    }

    /// The run that is meant by the beginning or the end of its id.
    ///
    /// # Errors
    /// `NoRun`, `Ambiguous`.
    pub fn find(&self, wanted: &str) -> Result<RunId, Error> {
        list::find(wanted, &self.runs_there()?, &self.root)
    }

    /// Removes a run that nobody holds, with everything in its directory.
    ///
    /// # Errors
    /// `NoRun`, `Held`; what cannot be removed.
    pub fn remove(&self, run: &RunId) -> Result<(), Error> {
        let lock = Lock::take(run, &self.there(run)?)?;
        self.bury(run, lock)
    }

    /// Removes a run that nobody holds, if its journal still has so many lines: it was not taken up since it was looked at.
    ///
    /// # Errors
    /// As `remove`; if its journal cannot be read.
    pub fn remove_unchanged(&self, run: &RunId, lines: u64) -> Result<bool, Error> {
        let lock = Lock::take(run, &self.there(run)?)?;
        let now = self.load(run)?.records.len() as u64;
        if now != lines {
            return Ok(false);
        }
        self.bury(run, lock).map(|()| true)
    }

    fn bury(&self, run: &RunId, lock: Lock) -> Result<(), Error> {
        self.sweep();
        let directory = self.directory(run);
        // From the rename on it is gone for everyone, however far the rest comes. It needs no room on the disk.
        let grave = self.unborn().join(format!("{run}.{}", std::process::id()));
        std::fs::rename(&directory, &grave).map_err(|error| Error::io(&directory, &error))?;
        directory::sync(&self.runs())?;
        drop(lock);
        match std::fs::remove_dir_all(&grave) {
            // Another process swept it up.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&grave, &error)),
            _ => Ok(()),
        }
    }

    /// Remembers how long a run's steps took. Not synced: it is for estimates only.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn record_durations(&self, timing: &Timing) -> Result<(), Error> {
        history::record(&self.root, timing)
    }

    /// Writes down, durably, what is about to be pruned or was.
    ///
    /// # Errors
    /// If it cannot be written: then nothing may be removed.
    pub fn record_pruned(&self, line: &serde_json::Value) -> Result<(), Error> {
        pruned::record(&self.root, line)
    }

    /// What earlier runs let one expect of the steps of that plan. `rehearsing`: it is asked for a rehearsal.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn estimates(
        &self,
        (plan, digest): (&str, &str),
        values: &BTreeMap<String, Valued>,
        rehearsing: bool,
    ) -> Result<Estimates, Error> {
        history::estimates(&self.root, (plan, digest), values, rehearsing)
    }

    fn there(&self, run: &RunId) -> Result<PathBuf, Error> {
        let directory = self.directory(run);
        if directory.is_dir() {
            return Ok(directory);
        }
        Err(Error::NoRun { wanted: run.to_string(), directory: self.root.clone() })
    }

    /// Best effort: what is left by a process that was killed in `create` or `remove`.
    fn sweep(&self) {
        let Ok(entries) = std::fs::read_dir(self.unborn()) else { return };
        let old = |entry: &std::fs::DirEntry| {
            let changed = entry.metadata().and_then(|data| data.modified()).ok();
            let now = std::time::SystemTime::from(crate::clock::now());
            changed.and_then(|changed| now.duration_since(changed).ok()).is_some_and(|age| age > LEFTOVER)
        };
        for entry in entries.flatten().filter(old) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
