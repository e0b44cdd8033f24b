//! The head: the number and hash of the last acknowledged line, kept beside the database. SQLite takes a damaged end
//! of its log for a write that never finished and drops it in silence; the head says that there was more.
//!
//! It is written after each commit and never synced, so it may lag behind after a power cut, but never runs ahead.

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

impl Head {
    pub fn of(record: &Record) -> Self {
        Self { seq: record.seq, hash: record.hash.clone() }
    }

    /// Whether there is a file of it, torn or not: it is made before the first line is written, and nobody removes it.
    pub fn is_there(directory: &Path) -> bool {
        std::fs::symlink_metadata(directory.join(FILE)).is_ok()
    }

    /// Nothing if there is none, or if it is torn itself: it is a witness, and one that may be missing.
    pub fn read(directory: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(directory.join(FILE)).ok()?;
        let mut words = text.split_ascii_whitespace();
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

pub(super) fn open(directory: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(false).mode(0o600).open(directory.join(FILE))
}
