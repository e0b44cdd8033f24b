//! The files of an attempt: their names, their shape, how they are written. Must never hold a secret or an
//! environment; the program's name is all that is told of the command.

use super::Error;
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The first line of the start record, written before the fork.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StartRecord {
    pub format: u32,
    pub key: String,
    pub program: String,
    pub boot_id: String,
    /// The session in which the attempt runs; it is the supervisor's process id.
    pub session: i32,
    /// In the environment of every process of the tree that did not clear it.
    pub token: String,
    pub started_at: Timestamp,
}

/// The second line, written right after the fork.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct GroupRecord {
    pub pgid: i32,
    /// Clock ticks since boot, from `/proc/PID/stat`: with the process id it names a process for certain.
    pub start_time: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ExitRecord {
    pub format: u32,
    pub key: String,
    pub boot_id: String,
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub timed_out: bool,
    pub cancelled: bool,
    pub stdout_bytes: u64,
    pub stderr_bytes: u64,
    pub elapsed_us: u64,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub evidence: Vec<String>,
}

/// Where the files of one attempt are.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    directory: PathBuf,
    key: String,
}

impl Paths {
    pub fn new(directory: &Path, key: &str) -> Result<Self, Error> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if key.is_empty() || key.len() > 200 || key.starts_with('.') || !key.bytes().all(plain) {
            return Err(Error::Key { key: key.into() });
        }
        Ok(Self { directory: directory.into(), key: key.into() })
    }

    pub fn start(&self) -> PathBuf {
        self.of("start.json")
    }

    pub fn stdout(&self) -> PathBuf {
        self.of("stdout")
    }

    pub fn stderr(&self) -> PathBuf {
        self.of("stderr")
    }

    pub fn exit(&self) -> PathBuf {
        self.of("exit.json")
    }

    fn of(&self, what: &str) -> PathBuf {
        self.directory.join(format!("{}.{what}", self.key))
    }
}

/// A new file for this user only; fails if there is one.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

pub(super) fn write_line(file: &mut File, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    file.write_all(&line)
}

/// Complete or absent, but not synced.
pub(super) fn write_exit(paths: &Paths, exit: &ExitRecord) -> io::Result<()> {
    let draft = paths.of("exit.draft");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    write_line(&mut file, exit)?;
    std::fs::rename(&draft, paths.exit())
}

/// What a start record tells, as far as it was written.
pub(super) struct Begun {
    pub start: Option<StartRecord>,
    pub group: Option<GroupRecord>,
}

/// Nothing if there is no start record.
pub(super) fn read_start(paths: &Paths) -> Result<Option<Begun>, Error> {
    let Some(text) = read(&paths.start())? else { return Ok(None) };
    let mut lines = text.lines();
    let start = lines.next().and_then(|line| serde_json::from_str(line).ok());
    let group = lines.next().and_then(|line| serde_json::from_str(line).ok());
    Ok(Some(Begun { start, group }))
}

pub(super) fn read_exit(paths: &Paths) -> Result<Option<ExitRecord>, Error> {
    let path = paths.exit();
    let Some(text) = read(&path)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| Error::Record { path, reason: error.to_string() })
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Record { path: path.into(), reason: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_in_its_directory() {
        for bad in ["", ".hidden", "../up", "a/b", "a b", "ü", &"x".repeat(201)] {
            assert!(Paths::new(Path::new("/tmp"), bad).is_err(), "{bad:?}");
        }
        assert!(Paths::new(Path::new("/tmp"), "restored.1").is_ok());
    }
}
