//! One attempt from its start to its end, in the supervisor. Must never wait for a stream that a stranger
//! holds open: the program's own exit is what counts.

use super::boot_id;
use super::launch::Launched;
use super::output::{Sink, Stream};
use super::record::ExitRecord;
use super::tree::{self, Scope, Tree};
use super::wire::Start;
use crate::clock::{self, Stopwatch, Timestamp};
use crate::secret::Secret;
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::Child;
use tokio::sync::mpsc::UnboundedReceiver;

/// How long what the program left behind may go on by itself, say a `tee` that writes the last lines.
const LINGER: Duration = Duration::from_millis(500);
/// Between SIGTERM and SIGKILL for what was left behind.
const LEFTOVER_GRACE: Duration = Duration::from_secs(2);
/// A time so long that it never comes.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

pub(super) struct Attempt {
    key: String,
    child: Child,
    pid: i32,
    tree: Tree,
    stdout: Stream,
    stderr: Stream,
    timeout: Option<Duration>,
    grace: Duration,
    /// Each message is a wish to end it, with the time it may take.
    cancel: UnboundedReceiver<Duration>,
    started_at: Timestamp,
    watch: Stopwatch,
    /// Since when it is being ended, and how long that may take before SIGKILL.
    ending: Option<(Stopwatch, Duration)>,
    timed_out: bool,
    cancelled: bool,
    evidence: Vec<String>,
}

impl Attempt {
    pub fn new(request: Start, launched: Launched, cancel: UnboundedReceiver<Duration>) -> Self {
        let Launched { mut child, pid, tree, paths, started_at, watch, trouble } = launched;
        let secrets: Vec<Secret> = request.redact.into_iter().map(Secret::new).collect();
        let sink = |path| Sink::new(path, &secrets, request.output_limit);
        Self {
            stdout: Stream::new(child.stdout.take(), sink(paths.stdout())),
            stderr: Stream::new(child.stderr.take(), sink(paths.stderr())),
            key: request.key,
            child,
            pid,
            tree,
            timeout: request.timeout_ms.map(Duration::from_millis),
            grace: Duration::from_millis(request.grace_ms),
            cancel,
            started_at,
            watch,
            ending: None,
            timed_out: false,
            cancelled: false,
            evidence: trouble.into_iter().collect(),
        }
    }

    /// Watches it to its end.
    pub async fn run(mut self) -> ExitRecord {
        let status = self.program().await;
        if self.ending.is_some() {
            self.end_everything().await;
        } else {
            self.tidy().await;
        }
        self.record(status)
    }

    /// Ready at the program's own exit.
    async fn program(&mut self) -> Option<ExitStatus> {
        let mut alarm = Box::pin(clock::sleep(self.timeout.unwrap_or(NEVER)));
        loop {
            let streams = self.stdout.is_open() || self.stderr.is_open();
            tokio::select! {
                status = self.child.wait() => return status.ok(),
                () = drain(&mut self.stdout, &mut self.stderr), if streams => {}
                Some(grace) = self.cancel.recv() => {
                    self.cancelled = true;
                    self.ending = Some((Stopwatch::start(), grace));
                    self.signal(Signal::TERM);
                    alarm = Box::pin(clock::sleep(grace));
                }
                () = &mut alarm => {
                    let time_is_up = self.ending.is_none();
                    self.signal(if time_is_up { Signal::TERM } else { Signal::KILL });
                    alarm = Box::pin(clock::sleep(if time_is_up { self.grace } else { NEVER }));
                    if time_is_up {
                        self.timed_out = true;
                        self.ending = Some((Stopwatch::start(), self.grace));
                    }
                }
            }
        }
    }

    /// Only while the program has not been reaped, so that its group's number is its own.
    fn signal(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.pid) {
            let _ = kill_process_group(group, signal);
            let _ = kill_process_group(group, Signal::CONT);
        }
    }

    /// After the program ended by itself: ends what it left behind in its group. What has left the group, a daemon,
    /// was meant to stay; it is reported.
    async fn tidy(&mut self) {
        let (stdout, stderr, tree) = (&mut self.stdout, &mut self.stderr, &self.tree);
        let quiet = async {
            drain(stdout, stderr).await;
            if tree.may_live() {
                tree.empty().await;
            }
        };
        tokio::select! {
            biased;
            () = quiet => {}
            () = clock::sleep(LINGER) => {}
        }
        if self.tree.may_live() {
            self.end(Scope::Group, LEFTOVER_GRACE).await;
        }
        if self.tree.is_locked() {
            let stay = self.tree.members(Scope::Everything);
            let words =
                if stay.is_empty() { "a process that cannot be seen".into() } else { tree::describe(&stay) };
            self.evidence.push(format!("left running outside its process group: {words}"));
        }
    }

    /// After a cancel or a timeout: nothing of the tree may stay, wherever it went.
    async fn end_everything(&mut self) {
        let left = self.ending.map_or(Duration::ZERO, |(since, grace)| grace.saturating_sub(since.elapsed()));
        self.end(Scope::Everything, left).await;
        if self.tree.is_locked() {
            self.evidence.push("a process that cannot be seen still holds the attempt's lock".into());
        }
    }

    /// Ends those of the tree that are left, while their output still flows. Another wish to cancel shortens it.
    async fn end(&mut self, scope: Scope, grace: Duration) {
        let mut ending = Box::pin(self.tree.end(scope, grace));
        let (found, gone) = loop {
            let streams = self.stdout.is_open() || self.stderr.is_open();
            tokio::select! {
                ended = &mut ending => break ended,
                () = drain(&mut self.stdout, &mut self.stderr), if streams => {}
                Some(wish) = self.cancel.recv() => ending = Box::pin(self.tree.end(scope, wish)),
            }
        };
        drop(ending);
        tokio::select! {
            () = drain(&mut self.stdout, &mut self.stderr) => {}
            () = clock::sleep(LINGER) => {}
        }
        if !found.is_empty() {
            self.evidence.push(format!("left behind and ended: {}", tree::describe(&found)));
        }
        if !gone {
            let left = self.tree.members(scope);
            self.evidence.push(format!("could not be ended, even by SIGKILL: {}", tree::describe(&left)));
        }
    }

    fn record(mut self, status: Option<ExitStatus>) -> ExitRecord {
        let (stdout_bytes, trouble) = self.stdout.close();
        self.evidence.extend(trouble);
        let (stderr_bytes, trouble) = self.stderr.close();
        self.evidence.extend(trouble);
        ExitRecord {
            format: 1,
            key: self.key,
            boot_id: boot_id().to_owned(),
            code: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            timed_out: self.timed_out,
            cancelled: self.cancelled,
            stdout_bytes,
            stderr_bytes,
            elapsed_us: u64::try_from(self.watch.elapsed().as_micros()).unwrap_or(u64::MAX),
            started_at: self.started_at,
            finished_at: clock::now(),
            evidence: self.evidence,
        }
    }
}

/// Ready when both streams are at their end.
async fn drain(stdout: &mut Stream, stderr: &mut Stream) {
    tokio::join!(stdout.drain(), stderr.drain());
}
