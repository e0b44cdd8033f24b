//! What runs left behind and may go: expired backups, unfinished ones, old databases, abandoned side databases. Looking and
//! removing are apart, so that people see first what will go; what is removed is looked at once more just before. Must never
//! remove what it cannot prove to be its own, what an unfinished run needs, or the last good backup of a database.

mod databases;
mod shelves;

pub use databases::{Asked, ask, drop_database};
pub use shelves::{judge, remove};

use crate::run::Failure;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Something that a run left behind.
#[derive(Debug, Clone)]
pub struct Leftover {
    pub sort: Leaving,
    /// A path, or a database's name.
    pub name: String,
    /// The run that made it.
    pub run: Option<String>,
    pub bytes: u64,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaving {
    Backup {
        sha256: String,
    },
    /// A backup that was interrupted, and what belongs to it.
    Unfinished,
    /// On a server, told by its OID.
    Database {
        oid: u32,
        of: String,
        endpoint: String,
        old: bool,
    },
}

impl Leaving {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Backup { .. } => "backup",
            Self::Unfinished => "unfinished backup",
            Self::Database { old: true, .. } => "old database",
            Self::Database { old: false, .. } => "side database",
        }
    }
}

/// What becomes of it, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Keep(String),
    Remove {
        why: String,
        /// It holds writes that are nowhere else: people are asked about it by name.
        last_copy: bool,
    },
}

/// What is known of the runs.
#[derive(Debug, Clone, Default)]
pub struct Runs {
    /// Each run of the state directory.
    pub known: BTreeMap<String, Standing>,
    /// What runs that are not over name: their values and results.
    pub needed: Vec<(String, PathBuf)>,
    /// The backups taken after the writes had stopped, of each run that swapped: they hold what its old database holds.
    pub copies: BTreeMap<String, Vec<PathBuf>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Over,
    /// Under way, parked, or of unknown state.
    Open,
}

impl Runs {
    /// A run that is not over and names this path.
    fn needing(&self, path: &Path) -> Option<&str> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let wanted = real(path);
        let found = self.needed.iter().find(|(_, named)| real(named) == wanted);
        found.map(|(run, _)| run.as_str())
    }
}

impl Leftover {
    pub fn goes(&self) -> bool {
        matches!(self.verdict, Verdict::Remove { .. })
    }

    pub fn is_last_copy(&self) -> bool {
        matches!(self.verdict, Verdict::Remove { last_copy: true, .. })
    }

    pub fn why(&self) -> &str {
        match &self.verdict {
            Verdict::Keep(why) | Verdict::Remove { why, .. } => why,
        }
    }

    pub fn as_json(&self) -> Value {
        let (oid, of, endpoint) = match &self.sort {
            Leaving::Database { oid, of, endpoint, .. } => (Some(oid), Some(of), Some(endpoint)),
            Leaving::Backup { .. } | Leaving::Unfinished => (None, None, None),
        };
        json!({
            "sort": self.sort.word(), "name": self.name, "run": self.run, "bytes": self.bytes, "why": self.why(),
            "goes": self.goes(), "last_copy": self.is_last_copy(), "oid": oid, "of": of, "server": endpoint,
        })
    }
}

/// Whether a time that was written down is over. One that cannot be read never is.
fn is_past(at: &str, now: Timestamp) -> bool {
    at.parse::<Timestamp>().is_ok_and(|at| at < now)
}

fn changed(name: impl std::fmt::Display, why: impl std::fmt::Display) -> Failure {
    Failure::new("runplan::prune::changed", format!("{name} is left alone: {why}"))
        .help("run `runplan prune` again to see what may go now")
}
