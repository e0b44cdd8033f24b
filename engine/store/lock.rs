//! The lock on a run: the operating system's, so that it ends with the process whatever ends the process.
//! What stands in the file is for the message only; it must never decide anything.

use super::Error;
use crate::clock;
use crate::plan::RunId;
use jiff::Timestamp;
use rustix::io::Errno;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

pub(super) const FILE: &str = "lock";
/// A new holder has this long to write who it is, and a mere look at the lock to end.
const PATIENCE: u32 = 40;
const PAUSE: Duration = Duration::from_millis(5);

/// Who holds a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    pub host: String,
    pub uid: u32,
    /// As `/etc/passwd` calls the uid.
    pub user: Option<String>,
    pub since: Timestamp,
}

impl Holder {
    fn me() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        Self {
            pid: std::process::id(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            uid,
            user: user_name(uid),
            since: clock::now(),
        }
    }

    /// `process 4711 of ann on db1 since 2026-11-22 03:11:04 UTC`
    pub(super) fn words(holder: Option<&Self>) -> String {
        holder.map_or_else(|| "another process".to_owned(), ToString::to_string)
    }

    fn is_alive(&self) -> bool {
        if self.host != rustix::system::uname().nodename().to_string_lossy() {
            return true;
        }
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return false };
        matches!(rustix::process::test_kill_process(pid), Ok(()) | Err(Errno::PERM))
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pid, host, uid, user, since } = self;
        let since = since.strftime("%Y-%m-%d %H:%M:%S UTC");
        match user {
            Some(user) => write!(f, "process {pid} of {user} on {host} since {since}"),
            None => write!(f, "process {pid} of uid {uid} on {host} since {since}"),
        }
    }
}

/// The lock while it is held. Dropping it releases it.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Takes the lock of the run in that directory, or says who has it.
    pub fn take(run: &RunId, directory: &Path) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let failed = |error| Error::io(&path, &error);
        for _ in 0..PATIENCE {
            let file = open(&path, true).map_err(failed)?;
            match file.try_lock() {
                // A lock on a file that was removed meanwhile excludes nobody.
                Ok(()) if !is_at(&file, &path) => return Err(Error::Vanished { path }),
                Ok(()) => return Ok(Self::sign(file)),
                Err(TryLockError::Error(error)) => {
                    return Err(Error::NoLocks { path, reason: error.to_string() });
                }
                Err(TryLockError::WouldBlock) => {}
            }
            if let Some(by) = signature(file).filter(Holder::is_alive) {
                return Err(Error::Held { run: run.clone(), by: Some(by) });
            }
            clock::block(PAUSE);
        }
        let by = open(&path, false).ok().and_then(signature);
        Err(Error::Held { run: run.clone(), by })
    }

    /// The lock is held with or without a name in it: a full disk must not keep a run from being removed.
    fn sign(mut file: File) -> Self {
        let text = serde_json::to_vec(&Holder::me()).unwrap_or_default();
        let _ = file.set_len(0).and_then(|()| file.write_all(&text));
        Self(file)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A name that is left behind is recognised by its dead process.
        let _ = self.0.set_len(0);
    }
}

/// Who holds the run in that directory, if anyone does. Takes nothing, and creates nothing.
///
/// # Errors
/// `Held` if someone does, but nobody knows who.
pub(super) fn holder(run: &RunId, directory: &Path) -> Result<Option<Holder>, Error> {
    let path = directory.join(FILE);
    for _ in 0..PATIENCE {
        let Ok(file) = open(&path, false) else { return Ok(None) };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {}
            // Where there are no locks, nobody holds one.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(None),
        }
        if let Some(by) = signature(file).filter(Holder::is_alive) {
            return Ok(Some(by));
        }
        clock::block(PAUSE);
    }
    Err(Error::Held { run: run.clone(), by: None })
}

fn open(path: &Path, write: bool) -> std::io::Result<File> {
    File::options().read(true).write(write).create(write).truncate(false).mode(0o600).open(path)
}

fn signature(mut file: File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(there)) = (file.metadata(), path.metadata()) else { return false };
    (held.dev(), held.ino()) == (there.dev(), there.ino())
}

fn user_name(uid: u32) -> Option<String> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let line = lines.find(|fields| fields.get(2).is_some_and(|field| field.parse() == Ok(uid)))?;
    line.first().map(|&name| name.to_owned())
}
