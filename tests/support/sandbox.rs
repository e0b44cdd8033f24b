//! The program in a directory of its own: its state, its home, no terminal, nothing of this machine's settings.
#![allow(clippy::disallowed_methods, reason = "the program under test is started here")]

use super::cluster::RUNPLAN;
use super::pty::Terminal;
use portable_pty::CommandBuilder;
use runplan::clock::{self, Stopwatch};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Nothing that is tested here takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// But for plans that start a dozen programs of Node.
const PATIENCE: Duration = Duration::from_secs(300);

pub struct Sandbox {
    directory: tempfile::TempDir,
    variables: Vec<(String, String)>,
    limit: Duration,
}

impl Sandbox {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), variables: Vec::new(), limit: LIMIT }
    }

    /// One that gives slow programs their time.
    pub fn patient() -> Self {
        Self { limit: PATIENCE, ..Self::new() }
    }

    /// A variable of the environment of everything that is started.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// A variable that was given.
    pub fn value(&self, name: &str) -> &str {
        let found = self.variables.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn state(&self) -> PathBuf {
        self.path("runplan")
    }

    /// Writes a file; directories above it are made.
    pub fn write(&self, name: &str, text: &str) -> &Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// A plan `plan.yaml` of these steps.
    pub fn plan(&self, steps: &str) -> &Self {
        self.write("plan.yaml", &format!("runplan: 1\nname: plan\n{steps}"))
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(RUNPLAN);
        command.args(shlex::split(line).unwrap()).current_dir(self.directory.path());
        self.surround(&mut command);
        command
    }

    /// The environment of everything that is started here.
    pub fn surround(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("XDG_STATE_HOME", self.path(""))
            .env("TZ", "UTC")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    }

    /// Runs it to its end.
    pub fn run(&self, line: &str) -> Ran {
        self.start(line).wait()
    }

    /// Starts it and goes on.
    pub fn start(&self, line: &str) -> Started {
        self.start_with(line, &[])
    }

    /// Starts it with more in its environment.
    pub fn start_with(&self, line: &str, variables: &[(&str, &str)]) -> Started {
        let mut command = self.command(line);
        command.envs(variables.iter().copied());
        Started { child: Some(command.spawn().unwrap()), line: line.to_owned(), limit: self.limit }
    }

    /// Starts it on a terminal of this size.
    pub fn terminal(&self, line: &str, rows: u16, cols: u16) -> Terminal {
        let mut command = CommandBuilder::new(RUNPLAN);
        command.args(shlex::split(line).unwrap());
        command.cwd(self.directory.path());
        command.env_clear();
        let path = std::env::var("PATH").unwrap_or_default();
        let home = self.path("").display().to_string();
        let mine = [
            ("PATH", path),
            ("HOME", home.clone()),
            ("XDG_STATE_HOME", home),
            ("TZ", "UTC".into()),
            ("TERM", "xterm-256color".into()),
        ];
        for (name, value) in mine {
            command.env(name, value);
        }
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        Terminal::start(command, rows, cols)
    }

    /// The only run there is.
    pub fn only_run(&self) -> String {
        let mut names: Vec<String> = std::fs::read_dir(self.state().join("runs"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
        names.remove(0)
    }

    /// Waits until something is so.
    pub fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let began = Stopwatch::start();
        while !so(self) {
            assert!(began.elapsed() < self.limit, "waited too long for: {what}");
            clock::block(Duration::from_millis(10));
        }
    }

    pub fn exists(&self, name: &str) -> bool {
        Path::exists(&self.path(name))
    }

    /// The state of a step, as `status` says it.
    pub fn step(&self, id: &str) -> String {
        let status = self.run(&format!("status {} --format json", self.only_run())).code(0).json();
        let steps = status["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["id"] == id).unwrap();
        step["state"].as_str().unwrap().to_owned()
    }
}

/// A program that runs.
pub struct Started {
    child: Option<Child>,
    line: String,
    limit: Duration,
}

impl Started {
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.as_ref().unwrap().id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits that long at most; whether it has ended.
    pub fn ends_within(&mut self, limit: Duration) -> bool {
        let began = Stopwatch::start();
        let child = self.child.as_mut().unwrap();
        while child.try_wait().unwrap().is_none() {
            if began.elapsed() >= limit {
                return false;
            }
            clock::block(Duration::from_millis(2));
        }
        true
    }

    pub fn wait(mut self) -> Ran {
        let child = self.child.take().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        let (sender, ended) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
        let output = ended.recv_timeout(self.limit).unwrap_or_else(|_| {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            panic!("`runplan {}` did not end", self.line)
        });
        thread.join().unwrap().unwrap();
        Ran::of(&format!("runplan {}", self.line), &output)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Processes that name the sandbox's directory, or run in it.
pub fn processes(sandbox: &Sandbox) -> Vec<String> {
    let directory = sandbox.path("");
    let directory = directory.to_str().unwrap().trim_end_matches('/');
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let works = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        if pid != std::process::id() as i32 && (line.contains(directory) || works.starts_with(directory)) {
            found.push(format!("{pid} {}", line.trim()));
        }
    }
    found
}

/// What a program said, and its end.
pub struct Ran {
    line: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(line: &str, output: &Output) -> Self {
        Self {
            line: line.to_owned(),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn all(&self) -> String {
        format!("$ {}\n{}\n--- stderr\n{}\n--- {:?}", self.line, self.stdout, self.stderr, self.code)
    }

    #[track_caller]
    pub fn code(self, wanted: i32) -> Self {
        assert_eq!(self.code, Some(wanted), "{}", self.all());
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "stdout lacks {text:?}\n{}", self.all());
        self
    }

    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        // A message may be broken over lines.
        let flat =
            |text: &str| text.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(flat(&self.stderr).contains(&flat(text)), "stderr lacks {text:?}\n{}", self.all());
        self
    }

    #[track_caller]
    pub fn silent_on_stderr(self) -> Self {
        assert_eq!(self.stderr, "", "{}", self.all());
        self
    }

    /// The one JSON document on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{}", self.all()))
    }

    /// A JSON value a line.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let one = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}\n{}", self.all()));
        self.stdout.lines().map(one).collect()
    }
}
