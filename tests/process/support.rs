//! A run's process directory, a supervisor for it, and the engine that can be killed.

use runplan::process::{Command, Exit, Supervisor};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub struct Bench {
    pub directory: tempfile::TempDir,
    pub supervisor: Supervisor,
}

impl Bench {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let supervisor = supervisor(&directory.path().join("process"));
        Self { directory, supervisor }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file of the attempt.
    pub fn record(&self, name: &str) -> PathBuf {
        self.directory.path().join("process").join(name)
    }

    pub async fn run(&self, command: &Command) -> Exit {
        self.supervisor.start("step.1", command, None).await.unwrap().wait().await.unwrap()
    }

    pub async fn sh(&self, script: &str) -> Exit {
        self.run(&sh(script)).await
    }
}

/// Leaves no program behind, also when the test has failed.
impl Drop for Bench {
    fn drop(&mut self) {
        let process = self.record("");
        let keys = std::fs::read_dir(&process)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".jsonl").map(str::to_owned));
        let is_open = |key: &String| {
            let text = std::fs::read_to_string(self.record(&format!("{key}.jsonl")));
            text.is_ok_and(|text| !text.contains("finished_at"))
        };
        let open: Vec<String> = keys.filter(is_open).collect();
        if !open.is_empty() {
            let supervisor = supervisor(&process);
            block(async {
                for key in open {
                    let _ = supervisor.end_orphans(&key).await;
                }
            });
        }
    }
}

pub fn supervisor(directory: &Path) -> Supervisor {
    Supervisor::new(directory.into(), env!("CARGO_BIN_EXE_runplan").into())
}

pub fn sh(script: &str) -> Command {
    Command::new(["/bin/bash", "-c", script])
}

pub fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        tokio::time::timeout(Duration::from_secs(60), future).await.expect("no answer within a minute")
    })
}

/// Waits until the condition holds; fails after ten seconds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = runplan::clock::Stopwatch::start();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::yield_now();
    }
}

/// The number that a script has written into a file.
pub fn number(path: &Path) -> i32 {
    let mut found = None;
    until(&format!("{} is written", path.display()), || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        found = text.strip_suffix('\n').and_then(|text| text.parse().ok());
        found.is_some()
    });
    found.unwrap()
}

/// Whether that process does anything any more.
pub fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
