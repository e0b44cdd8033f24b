//! Tries inputs in a process of their own. The parent knows by a file which input is being tried, so that a crash, an
//! overflow of the stack and an endless loop all end with the number of the input that did it.
#![allow(clippy::disallowed_methods, reason = "this test starts itself again, and is measured by the clock")]

use super::corpus::Corpus;
use super::input::Input;
use super::targets;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that one input may take, in time of the processor: a busy machine is nobody's fault.
const LIMIT: Duration = Duration::from_secs(2);

/// After so many different failures there is enough to do.
const MOST_FAILURES: usize = 20;

/// One process that tries every n-th input.
pub struct Job {
    directory: PathBuf,
    seed: u64,
    first: u64,
    step: u64,
    until: Duration,
    /// For the test of this file: what goes wrong at the third input.
    fault: String,
}

impl Job {
    /// None: this is the parent.
    pub fn of_this_process() -> Option<Self> {
        let text = |name: &str| std::env::var(name).ok();
        let number = |name: &str| text(name)?.parse().ok();
        Some(Self {
            directory: text("FUZZ_WORKER")?.into(),
            seed: number("SEED")?,
            first: number("FUZZ_FIRST")?,
            step: number("FUZZ_STEP")?,
            until: Duration::from_millis(number("FUZZ_MS")?),
            fault: text("FUZZ_FAULT").unwrap_or_default(),
        })
    }

    fn start(&self) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "fuzz::no_input_breaks_a_reader", "--nocapture"])
            .env("FUZZ_WORKER", &self.directory)
            .env("SEED", self.seed.to_string())
            .env("FUZZ_FIRST", self.first.to_string())
            .env("FUZZ_STEP", self.step.to_string())
            .env("FUZZ_MS", self.until.as_millis().to_string())
            .env("FUZZ_FAULT", &self.fault)
            .env_remove("FUZZ_INPUT")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    pub fn work(&self) {
        let corpus = Corpus::read();
        let now = File::create(self.directory.join("now")).unwrap();
        let began = Instant::now();
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            PANIC.with(|last| *last.borrow_mut() = Some((place, panic.to_string())));
        }));
        let mut places = BTreeSet::new();
        let mut number = self.first;
        while began.elapsed() < self.until && places.len() < MOST_FAILURES {
            now.write_all_at(&number.to_le_bytes(), 0).unwrap();
            let input = corpus.input(self.seed, number);
            let before = used_here();
            let tried = attempt(&input, if number - self.first == 2 * self.step { &self.fault } else { "" });
            let took = used_here().saturating_sub(before);
            let failure = match tried {
                Err((place, message)) => Some((place, message)),
                Ok(()) if took > LIMIT => Some((
                    format!("slow {}", input.target.word()),
                    format!("it took longer than {LIMIT:?}: {took:?}"),
                )),
                Ok(()) => None,
            };
            if let Some((place, message)) = failure
                && places.insert(place.clone())
            {
                let least = if place.starts_with("slow") { input } else { smaller(&input, &place) };
                let text = self.told(number, &message, &least);
                std::fs::write(self.directory.join(format!("failure-{number}")), text).unwrap();
            }
            number += self.step;
        }
        now.write_all_at(&number.to_le_bytes(), 0).unwrap();
    }

    fn told(&self, number: u64, message: &str, input: &Input) -> String {
        format!("SEED={} FUZZ_INPUT={number}: {message}\n{}", self.seed, input.shown())
    }
}

thread_local! {
    static PANIC: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

fn attempt(input: &Input, fault: &str) -> Result<(), (String, String)> {
    let tried = catch_unwind(AssertUnwindSafe(|| {
        match fault {
            "panic" => panic!("broken on purpose"),
            "abort" => std::process::abort(),
            "hang" => loop {
                std::hint::spin_loop();
            },
            _ => {}
        }
        targets::run(input);
    }));
    match tried {
        Ok(()) => Ok(()),
        Err(_) => Err(PANIC.with(|last| last.borrow_mut().take()).unwrap_or_default()),
    }
}

/// The same panic from less input: lines, then pieces, left out as long as it lasts.
fn smaller(input: &Input, place: &str) -> Input {
    let began = Instant::now();
    let mut least = input.clone();
    let mut size = least.bytes.len() / 2;
    while size > 0 && began.elapsed() < 2 * LIMIT {
        let mut at = 0;
        while at < least.bytes.len() && began.elapsed() < 2 * LIMIT {
            let mut less = least.clone();
            less.bytes.drain(at..(at + size).min(least.bytes.len()));
            match attempt(&less, "") {
                Err((same, _)) if same == place => least = less,
                _ => at += size,
            }
        }
        size /= 2;
    }
    least
}

/// Time of the processor that this thread has used.
fn used_here() -> Duration {
    used_at(Path::new("/proc/thread-self"))
}

/// Time of the processor that the threads of a process have used.
fn used_by(child: &Child) -> Duration {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", child.id())) else { return Duration::ZERO };
    threads.flatten().map(|thread| used_at(&thread.path())).sum()
}

fn used_at(thread: &Path) -> Duration {
    let text = std::fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

/// One worker as the parent sees it.
struct Watched {
    job: Job,
    child: Child,
    number: u64,
    used: Duration,
    directory: tempfile::TempDir,
}

impl Watched {
    fn new(seed: u64, first: u64, step: u64, until: Duration, fault: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_path_buf();
        let job = Job { directory: path, seed, first, step, until, fault: fault.to_owned() };
        Self { child: job.start(), number: first, used: Duration::ZERO, directory, job }
    }

    fn current(&self) -> u64 {
        let bytes = std::fs::read(self.directory.path().join("now")).unwrap_or_default();
        bytes.try_into().map_or(self.job.first, u64::from_le_bytes)
    }

    /// Why the input of this moment is a failure of its own.
    fn look(&mut self) -> Look {
        let current = self.current();
        let used = used_by(&self.child);
        if let Some(status) = self.child.try_wait().unwrap() {
            return if status.success() {
                Look::Ended
            } else {
                Look::Died(format!("the reader was ended by {status}"))
            };
        }
        if current != self.number {
            (self.number, self.used) = (current, used);
        } else if used.saturating_sub(self.used) > 3 * LIMIT {
            // The worker itself has not said that it took too long: it does not come back.
            self.child.kill().unwrap();
            self.child.wait().unwrap();
            return Look::Died(format!("it took longer than {:?} and did not end", 3 * LIMIT));
        }
        Look::Busy
    }

    fn failures(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let is_failure = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("failure-"))
        };
        entries.filter(is_failure).map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }
}

enum Look {
    Busy,
    Ended,
    Died(String),
}

/// Tries inputs for so many seconds; how many were tried, and what went wrong.
pub fn watch(seed: u64, seconds: u64, jobs: u64) -> (u64, Vec<String>) {
    let until = Duration::from_secs(seconds);
    let workers = (0..jobs).map(|first| Watched::new(seed, first, jobs, until, "")).collect();
    follow(workers, until)
}

/// The same with a reader that breaks at its third input.
pub fn watch_broken(fault: &str) -> Vec<String> {
    let until = Duration::from_secs(if fault == "hang" { 3_600 } else { 1 });
    let mut worker = Watched::new(1, 0, 1, until, fault);
    let (mut tried, mut failures) = (0, Vec::new());
    while follow_one(&mut worker, &mut tried, &mut failures, Duration::ZERO) {
        std::thread::sleep(Duration::from_millis(50));
    }
    failures.extend(worker.failures());
    failures
}

fn follow(mut workers: Vec<Watched>, until: Duration) -> (u64, Vec<String>) {
    let began = Instant::now();
    let mut tried = 0;
    let mut failures = Vec::new();
    let mut busy = vec![true; workers.len()];
    while busy.contains(&true) {
        std::thread::sleep(Duration::from_millis(100));
        for (worker, busy) in workers.iter_mut().zip(&mut busy) {
            let left = until.saturating_sub(began.elapsed());
            *busy = *busy && follow_one(worker, &mut tried, &mut failures, left);
        }
    }
    workers.iter().for_each(|worker| failures.extend(worker.failures()));
    keep(&failures);
    (tried, failures)
}

/// Whether it goes on.
fn follow_one(worker: &mut Watched, tried: &mut u64, failures: &mut Vec<String>, left: Duration) -> bool {
    let done = |worker: &Watched| (worker.current() - worker.job.first) / worker.job.step;
    match worker.look() {
        Look::Busy => true,
        Look::Ended => {
            *tried += done(worker);
            false
        }
        Look::Died(why) => {
            *tried += done(worker);
            let number = worker.current();
            let input = Corpus::read().input(worker.job.seed, number);
            failures.push(worker.job.told(number, &why, &input));
            if left.is_zero() || failures.len() >= MOST_FAILURES {
                return false;
            }
            worker.job.first = number + worker.job.step;
            worker.job.until = left;
            worker.number = worker.job.first;
            worker.used = Duration::ZERO;
            worker.child = worker.job.start();
            true
        }
    }
}

/// Where they can be read later.
fn keep(failures: &[String]) {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    if !failures.is_empty() && std::fs::create_dir_all(&directory).is_ok() {
        for (at, failure) in failures.iter().enumerate() {
            let _ = std::fs::write(directory.join(format!("{at}.txt")), failure);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
