//! The head: the number and hash of the last acknowledged line, kept beside the database. SQLite takes a damaged end
//! of its log for a write that never finished and drops it in silence; the head says that there was more.
//!
//! It is on disk before the first line is, and written after each commit. Only the first of a process is synced, so it may
//! lag behind after a power cut, but is never empty, and never runs ahead.

use crate::plan::digest::hex;
use crate::run::Record;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

pub(super) const FILE: &str = "head";

/// The last line that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub seq: u64,
    pub hash: String,
}

/// Why there is no word of which line was the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Headless {
    #[error("gone")]
    Gone,
    /// Empty, torn, or changed.
    #[error("unusable")]
    Unusable,
}

impl Headless {
    /// What is wrong with the file.
    pub fn words(self) -> &'static str {
        match self {
            Self::Gone => "is not there",
            Self::Unusable => "is empty or damaged",
        }
    }
}

impl Head {
    pub fn of(record: &Record) -> Self {
        Self { seq: record.seq, hash: record.hash.clone() }
    }

    /// Of a journal that has no line yet.
    fn none() -> Self {
        Self { seq: 0, hash: "0".repeat(64) }
    }

    pub fn read(directory: &Path) -> Result<Self, Headless> {
        // One that is just being written may be read half.
        Self::read_once(directory).or_else(|_| Self::read_once(directory))
    }

    fn read_once(directory: &Path) -> Result<Self, Headless> {
        let text = match std::fs::read(directory.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Headless::Gone),
            read => read.map_err(|_| Headless::Unusable)?,
        };
        Self::parse(&text).ok_or(Headless::Unusable)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
        let head = Self { seq: words.next()?.parse().ok()?, hash: words.next()?.to_owned() };
        (words.next()? == head.proof()).then_some(head)
    }

    /// Always of the same length, so that one write replaces the whole.
    pub fn write(&self, file: &File) -> io::Result<()> {
        let line = format!("{:020} {} {}\n", self.seq, self.hash, self.proof());
        file.write_all_at(line.as_bytes(), 0)
    }

    fn proof(&self) -> String {
        let digest = Sha256::digest(format!("{} {}", self.seq, self.hash));
        hex(&digest[..8])
    }
}

/// The head of a new journal, durably; the directory is the caller's to sync.
pub(super) fn create(directory: &Path) -> io::Result<()> {
    let file = open(directory)?;
    Head::none().write(&file)?;
    file.sync_all()
}

pub(super) fn open(directory: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(false).mode(0o600).open(directory.join(FILE))
}
