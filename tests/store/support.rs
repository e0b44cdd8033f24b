//! Chains of records, and the test binary started again as another process.
#![allow(clippy::disallowed_methods, reason = "the other process of these tests is this test binary itself")]

use jiff::Timestamp;
use runplan::clock::Stopwatch;
use runplan::plan::{Name, RunId};
use runplan::run::{Actor, Event, Record, Started};
use runplan::store::Store;
use serde_json::Map;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

pub fn run_id() -> RunId {
    RunId::parse("scenario-2-20261122-0311-k7f3").unwrap()
}

pub fn ann() -> Actor {
    Actor { name: "ann".to_owned(), uid: 1000, host: "db1".to_owned() }
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

pub fn warned(message: &str) -> Event {
    Event::Warned { step: None, message: message.to_owned() }
}

/// The next records of a journal.
pub struct Chain {
    pub run: RunId,
    pub seq: u64,
    pub hash: String,
}

impl Chain {
    pub fn new() -> Self {
        Self { run: run_id(), seq: 0, hash: String::new() }
    }

    /// Goes on where those records end.
    pub fn after(records: &[Record]) -> Self {
        let last = records.last();
        Self {
            run: run_id(),
            seq: records.len() as u64,
            hash: last.map_or(String::new(), |r| r.hash.clone()),
        }
    }

    pub fn event(&mut self, event: Event) -> Record {
        self.seq += 1;
        let time = at(self.seq.cast_signed());
        let record = Record::seal(&self.run, self.seq, time, &Actor::engine(), event, &self.hash);
        self.hash = record.hash.clone();
        record
    }

    /// Lines that look like those of a real run in size.
    pub fn take(&mut self, count: usize) -> Vec<Record> {
        (0..count)
            .map(|_| self.event(warned(&format!("line after {} {}", self.seq, "x".repeat(200)))))
            .collect()
    }
}

pub fn started(plan: &str) -> Event {
    Event::RunStarted(Box::new(Started {
        plan: Name::new(plan),
        title: Some("Data corruption".to_owned()),
        sources: Vec::new(),
        has_site: false,
        params: Map::new(),
        plan_digest: "p".to_owned(),
        digest: "d".to_owned(),
        reason: Some("wrong amounts".to_owned()),
        severity: None,
        incident_started_at: None,
        overridden: None,
        directory: "/srv".to_owned(),
        attended: false,
        wait: false,
        accepted: Vec::new(),
        targets: std::collections::BTreeMap::new(),
        rehearsal: false,
        began_with: None,
        pg_bin: None,
        version: "0.1.0".to_owned(),
    }))
}

pub fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        tokio::time::timeout(Duration::from_secs(60), future).await.expect("no answer within a minute")
    })
}

/// A state directory that goes away with the test.
pub struct State {
    pub directory: tempfile::TempDir,
    pub store: Store,
}

impl State {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("state")).unwrap();
        Self { directory, store }
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.store.directory(&run_id()).join(name)
    }
}

/// Another process, running one job of `helper.rs`.
pub struct Helper {
    pub child: Child,
    lines: BufReader<ChildStdout>,
}

impl Helper {
    pub fn start(job: &str, root: &Path) -> Self {
        Self::with(Command::new(std::env::current_exe().unwrap()), job, root)
    }

    /// In a mount namespace of its own with a small file system at `root`, after that script.
    pub fn mounted(job: &str, root: &Path, size: &str, script: &str) -> Self {
        let mut command = Command::new("unshare");
        command.arg(if rustix::process::geteuid().is_root() { "-m" } else { "-rm" });
        let mount =
            format!("mount -t tmpfs -o size={size},mode=700 none \"$0\" && {{ {script}; }} && exec \"$@\"");
        command.args(["sh", "-ec", &mount]).arg(root).arg(std::env::current_exe().unwrap());
        Self::with(command, job, root)
    }

    /// As a user without privileges; the job's root must be that user's to see.
    pub fn unprivileged(job: &str, root: &Path, exe: &Path) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(exe);
        Self::with(command, job, root)
    }

    fn with(mut command: Command, job: &str, root: &Path) -> Self {
        command.args(["--exact", "store::helper::job", "--nocapture", "--test-threads=1"]);
        command.env("RUNPLAN_TEST_JOB", job).env("RUNPLAN_TEST_ROOT", root);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next thing it says; nothing when it has ended.
    pub fn hear(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // What was written before a kill may end in the middle of a line.
            if let Some((_, said)) = line.strip_suffix('\n').and_then(|line| line.split_once('@')) {
                return Some(said.to_owned());
            }
        }
    }

    /// The next thing it says begins so; gives the rest.
    pub fn expect(&mut self, beginning: &str) -> String {
        let said = self.hear().unwrap_or_else(|| panic!("it ended and did not say {beginning}"));
        let rest =
            said.strip_prefix(beginning).unwrap_or_else(|| panic!("expected {beginning}, heard {said}"));
        rest.trim().to_owned()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it go on once.
    pub fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    }

    /// Lets it go on to its end: it waits for the end of its input.
    pub fn release(&mut self) {
        drop(self.child.stdin.take());
    }

    pub fn finish(mut self) {
        self.release();
        while self.hear().is_some() {}
        assert!(self.child.wait().unwrap().success(), "the other process failed");
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until the condition holds; fails after ten seconds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Stopwatch::start();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::yield_now();
    }
}
