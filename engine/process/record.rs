//! The files of an attempt: their names, their shape, how they are written. Must never hold a secret or an
//! environment; the program's name is all that is told of the command.

use super::Error;
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The first line of an attempt's record, written before the fork.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StartRecord {
    pub format: u32,
    pub key: String,
    pub program: String,
    pub boot_id: String,
    /// The machine; older records do not name it.
    #[serde(default)]
    pub host: String,
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

/// The last line, written after the program's end. It counts when it is whole.
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

    pub fn record(&self) -> PathBuf {
        self.of("jsonl")
    }

    pub fn stdout(&self) -> PathBuf {
        self.of("stdout")
    }

    pub fn stderr(&self) -> PathBuf {
        self.of("stderr")
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

/// Makes a new record, with its first line, proof against the loss of whatever was not synced: the file's content and
/// its entry in the directory are on the disk when this returns. Nothing may be started before that.
pub(super) fn settle(file: &File, paths: &Paths) -> io::Result<()> {
    file.sync_all()?;
    File::open(&paths.directory)?.sync_all()
}

/// Appends the last line, to a record that is there. Not synced.
pub(super) fn write_exit(paths: &Paths, exit: &ExitRecord) -> io::Result<()> {
    write_line(&mut OpenOptions::new().append(true).open(paths.record())?, exit)
}

/// What an attempt's record tells, as far as it was written.
#[derive(Debug)]
pub(super) struct Told {
    pub start: Option<StartRecord>,
    pub group: Option<GroupRecord>,
    pub exit: Option<ExitRecord>,
}

/// Nothing if there is no record.
pub(super) fn read(paths: &Paths) -> Result<Option<Told>, Error> {
    let path = paths.record();
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(told(&text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Record { path, reason: error.to_string() }),
    }
}

/// Half a line tells nothing, and neither does one that stands after it.
fn told(text: &str) -> Told {
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let lines: Vec<&str> = whole.collect();
    let line = |at: usize| lines.get(at).copied().unwrap_or_default();
    let group = serde_json::from_str(line(1)).ok();
    // Without the second line, for want of room, the exit is the second.
    let exit = if group.is_some() { line(2) } else { line(1) };
    Told { start: serde_json::from_str(line(0)).ok(), group, exit: serde_json::from_str(exit).ok() }
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

    #[test]
    fn a_record_tells_what_was_written_whole() {
        let lines = [
            r#"{"format":1,"key":"a.1","program":"/bin/true","boot_id":"b","session":7,"token":"t","started_at":"2026-11-22T03:11:00Z"}"#,
            r#"{"pgid":42,"start_time":9}"#,
            r#"{"format":1,"key":"a.1","boot_id":"b","code":0,"signal":null,"timed_out":false,"cancelled":false,"stdout_bytes":0,"stderr_bytes":0,"elapsed_us":5,"started_at":"2026-11-22T03:11:00Z","finished_at":"2026-11-22T03:11:01Z","evidence":[]}"#,
        ];
        let text = format!("{}\n{}\n{}\n", lines[0], lines[1], lines[2]);
        for end in 0..=text.len() {
            let found = told(&text[..end]);
            let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
            let seen = [found.start.is_some(), found.group.is_some(), found.exit.is_some()];
            assert_eq!(seen, [ends[0] <= end, ends[1] <= end, ends[2] <= end], "{end} bytes");
        }
        let found = told(&format!("{}\n{}\n", lines[0], lines[2]));
        assert!(found.group.is_none() && found.exit.is_some());
        let torn = told(&format!("{}\n{{\"pgid\":4{}\n", lines[0], lines[2]));
        assert!(torn.group.is_none() && torn.exit.is_none());
    }
}
