//! The process tree of one attempt: who belongs to it, and its end. Must never signal a process that it has not
//! just proved to belong, for process ids are used again.

use super::launch::MARK;
use super::proc::{self, Stat};
use super::record::{GroupRecord, StartRecord};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// How long a killed process may take to vanish (it may hang in the kernel, say on a dead network file system).
const VANISH: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub session: i32,
    pub token: String,
    pub group: Option<GroupRecord>,
    /// The file that the tree holds locked.
    pub lock: PathBuf,
}

/// Which processes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those in the program's process group.
    Group,
    /// Also those that have left it: they still hold the lock, or carry the mark in their environment.
    Everything,
}

impl Tree {
    pub fn of(start: &StartRecord, group: Option<GroupRecord>, lock: PathBuf) -> Self {
        Self { session: start.session, token: start.token.clone(), group, lock }
    }

    /// Whether some process, seen or not, holds the lock.
    pub fn is_locked(&self) -> bool {
        is_locked(&self.lock)
    }

    /// A quick look for the usual case: whether the group may still have members.
    pub fn may_live(&self) -> bool {
        let pgid = self.group.and_then(|group| Pid::from_raw(group.pgid));
        pgid.is_some_and(|pgid| {
            rustix::process::test_kill_process_group(pgid) != Err(rustix::io::Errno::SRCH)
        })
    }

    pub fn members(&self, scope: Scope) -> Vec<Stat> {
        let lock =
            std::fs::metadata(&self.lock).ok().filter(|_| scope == Scope::Everything && self.is_locked());
        let own = std::process::id() as i32;
        let mut found = proc::all();
        found.retain(|stat| {
            !stat.is_dead()
                && stat.pid != own
                && (self.in_group(stat)
                    || lock.as_ref().is_some_and(|lock| proc::holds(stat.pid, lock))
                    || scope == Scope::Everything && proc::carries(stat.pid, MARK, &self.token))
        });
        found
    }

    /// In the recorded group, in the recorded session, and not older than the program; and if it has the program's
    /// own process id, then it is the program itself.
    fn in_group(&self, stat: &Stat) -> bool {
        self.group.is_some_and(|group| {
            let same = stat.pgrp == group.pgid && stat.session == self.session;
            let leader = stat.pid == group.pgid;
            same && if leader {
                stat.start_time == group.start_time
            } else {
                stat.start_time >= group.start_time
            }
        })
    }

    /// Ends the tree: SIGTERM, after the grace SIGKILL. Gives what was found alive, and whether it is all gone.
    pub async fn end(&self, scope: Scope, grace: Duration) -> (Vec<Stat>, bool) {
        let mut found: Vec<Stat> = Vec::new();
        for (signal, time) in [(Signal::TERM, grace), (Signal::KILL, VANISH)] {
            if self.signal(scope, signal, &mut found).is_empty() {
                return (found, true);
            }
            tokio::select! {
                () = self.gone(scope, signal, &mut found) => return (found, true),
                () = crate::clock::sleep(time) => {}
            }
        }
        (found, false)
    }

    /// Ready when no member is left. Those that appear meanwhile get the signal as well.
    async fn gone(&self, scope: Scope, signal: Signal, found: &mut Vec<Stat>) {
        loop {
            let members = self.members(scope);
            if members.is_empty() {
                return;
            }
            for member in members {
                if !knows(found, &member) {
                    send(&member, signal);
                    found.push(member.clone());
                }
                vanished(&member).await;
            }
        }
    }

    /// Ready when no member of the group is left, signalling none.
    pub async fn empty(&self) {
        while let Some(member) = self.members(Scope::Group).first() {
            vanished(member).await;
        }
    }

    fn signal(&self, scope: Scope, signal: Signal, found: &mut Vec<Stat>) -> Vec<Stat> {
        let members = self.members(scope);
        for member in &members {
            send(member, signal);
            if !found.iter().any(|known| known.pid == member.pid) {
                found.push(member.clone());
            }
        }
        members
    }
}

/// Whether some process holds that file locked.
pub(super) fn is_locked(lock: &Path) -> bool {
    File::open(lock)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

/// Signals exactly the process that was seen: its pidfd is opened, then its start time compared again.
fn send(member: &Stat, signal: Signal) {
    let Some(pid) = Pid::from_raw(member.pid) else { return };
    let handle = pidfd_open(pid, PidfdFlags::empty());
    if proc::stat(member.pid).is_none_or(|now| now.start_time != member.start_time) {
        return;
    }
    // It may be gone already, or be another user's; what is left is looked at afterwards.
    for signal in [signal, Signal::CONT] {
        let _ = match &handle {
            Ok(handle) => pidfd_send_signal(handle, signal),
            Err(_) => kill_process(pid, signal),
        };
    }
}

/// Ready when that process has ended.
async fn vanished(member: &Stat) {
    let handle = Pid::from_raw(member.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).ok());
    let same =
        proc::stat(member.pid).is_some_and(|now| now.start_time == member.start_time && !now.is_dead());
    if !same {
        return;
    }
    match handle.and_then(watch) {
        Some(handle) => drop(handle.readable().await),
        // An old kernel: look again shortly.
        None => crate::clock::sleep(Duration::from_millis(20)).await,
    }
}

/// Lets the runtime tell when the process behind the handle has ended.
#[allow(unsafe_code, reason = "the runtime has no safe way to watch a descriptor")]
fn watch(handle: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd stays open, and stays the same descriptor, until the AsyncFd that owns it is dropped.
    unsafe { AsyncFd::register(handle) }.ok()
}

/// The same process, whatever it does at the moment.
fn knows(found: &[Stat], member: &Stat) -> bool {
    found.iter().any(|one| one.pid == member.pid && one.start_time == member.start_time)
}

/// The processes in words, for an operator.
pub(super) fn describe(members: &[Stat]) -> String {
    let words: Vec<String> =
        members.iter().map(|member| format!("{} (pid {})", member.name, member.pid)).collect();
    words.join(", ")
}
