//! What crashed guards left behind: directories whose lock is free, and perhaps a server in them.
//! Must never touch a directory whose guard lives, or that another user made.

use super::{LOCK, PREFIX, base, server_account};
use crate::clock::{self, Stopwatch};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Stops and removes every cluster of ours whose guard is gone. Gives the directories removed.
pub fn sweep() -> Vec<PathBuf> {
    let Ok(account) = server_account() else { return Vec::new() };
    let owner = account.map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid);
    let entries = std::fs::read_dir(base()).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)))
        .map(|entry| entry.path())
        .filter(|path| path.symlink_metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == owner))
        .filter(|path| remove(path))
        .collect()
}

/// The lock tells whether the guard lives. A directory without one is just being made.
fn remove(directory: &Path) -> bool {
    let Ok(lock) = File::open(directory.join(LOCK)) else { return false };
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return false;
    }
    if let Some(pid) = server_of(directory) {
        end(pid, directory);
    }
    std::fs::remove_dir_all(directory).is_ok()
}

/// The postmaster of this directory, if the process with the recorded id really is it.
fn server_of(directory: &Path) -> Option<Pid> {
    let data = directory.join("data");
    let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid: i32 = text.lines().next()?.trim().parse().ok()?;
    let pid = Pid::from_raw(pid)?;
    let command = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
    let data = data.as_os_str().as_encoded_bytes();
    command.split(|byte| *byte == 0).any(|word| word == data).then_some(pid)
}

fn end(pid: Pid, directory: &Path) {
    for signal in [Signal::QUIT, Signal::KILL] {
        let _ = kill_process(pid, signal);
        let watch = Stopwatch::start();
        while watch.elapsed() < STOP_LIMIT {
            if test_kill_process(pid).is_err() || server_of(directory).is_none() {
                return;
            }
            clock::block(Duration::from_millis(10));
        }
    }
}
