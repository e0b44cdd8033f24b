//! The guard of a throw-away cluster: a process in a session of its own that makes the cluster, runs the server, and
//! ends both when the pipe to its owner closes. Must never live on without its owner.

use super::Answer;
use crate::clock::{self, Stopwatch};
use crate::process::plain;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(10);
const INITDB_LIMIT: Duration = Duration::from_secs(120);
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long each signal is given before the next, harsher one.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Another program may take a free port between our look and the server's start.
const PORT_TRIES: u32 = 5;

/// What the server's account gets to see of our environment, which may hold secrets.
const KEPT: [&str; 3] = ["PATH", "LD_LIBRARY_PATH", "TZ"];

/// What to make and run. In argv, so without the password: that comes first through the pipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    pub directory: PathBuf,
    pub initdb: PathBuf,
    pub postgres: PathBuf,
    pub port: Option<u16>,
    pub fsync: bool,
    pub settings: Vec<(String, String)>,
    pub account: Option<(u32, u32)>,
}

/// What comes from outside.
enum Input {
    Line(String),
    /// The owner is gone, or we are told to go.
    End,
}

/// Why the work stopped: the owner went away, or something failed.
enum Halt {
    End,
    Failed(String),
}

impl From<std::io::Error> for Halt {
    fn from(error: std::io::Error) -> Self {
        Halt::Failed(error.to_string())
    }
}

/// The whole life of the guard; `args` are those after the subcommand. Gives the exit code.
pub fn guard_main(args: &[OsString]) -> i32 {
    let order = args.first().and_then(|text| text.to_str()).and_then(|text| serde_json::from_str(text).ok());
    let Some(order) = order else { return 2 };
    let (sender, inputs) = channel();
    listen(sender);
    let mut guard = Guard { order, inputs, server: None, port: 0 };
    let halt = guard.live();
    if let Err(Halt::Failed(why)) = &halt {
        answer(&Answer::Failed(why.clone()));
    }
    guard.clean();
    match halt {
        Err(Halt::Failed(_)) => 1,
        Ok(()) | Err(Halt::End) => 0,
    }
}

/// Two threads that only wait: one for the owner's lines and the end of the pipe, one for signals.
fn listen(sender: Sender<Input>) {
    let signals = sender.clone();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(Input::Line(line)).is_err() {
                return;
            }
        }
        let _ = sender.send(Input::End);
    });
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut term), Ok(mut int), Ok(mut hup)) = (
                signal(SignalKind::terminate()),
                signal(SignalKind::interrupt()),
                signal(SignalKind::hangup()),
            ) else {
                return;
            };
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {}, _ = hup.recv() => {} }
            let _ = signals.send(Input::End);
        });
    });
}

/// The owner may be gone already: then nobody needs the answer.
fn answer(answer: &Answer) {
    if let Ok(line) = serde_json::to_string(answer) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(format!("{line}\n").as_bytes());
        let _ = out.flush();
    }
}

struct Guard {
    order: Order,
    inputs: Receiver<Input>,
    server: Option<Child>,
    port: u16,
}

impl Guard {
    fn live(&mut self) -> Result<(), Halt> {
        let password = self.next()?;
        self.make(&password)?;
        self.start()?;
        loop {
            match self.next()?.as_str() {
                "stop fast" => self.stop(&[Signal::INT, Signal::QUIT, Signal::KILL]),
                "stop immediate" => self.stop(&[Signal::QUIT, Signal::KILL]),
                "start" => {
                    self.start()?;
                    continue;
                }
                other => return Err(Halt::Failed(format!("the guard does not know the order {other}"))),
            }
            answer(&Answer::Stopped);
        }
    }

    fn next(&self) -> Result<String, Halt> {
        match self.inputs.recv() {
            Ok(Input::Line(line)) => Ok(line),
            Ok(Input::End) | Err(_) => Err(Halt::End),
        }
    }

    /// A short wait that ends the work when the owner goes away. No orders come before the last one is answered.
    fn pause(&self) -> Result<(), Halt> {
        match self.inputs.recv_timeout(PAUSE) {
            Err(RecvTimeoutError::Timeout) | Ok(Input::Line(_)) => Ok(()),
            Ok(Input::End) | Err(RecvTimeoutError::Disconnected) => Err(Halt::End),
        }
    }

    fn data(&self) -> PathBuf {
        self.order.directory.join("data")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.order.directory.join(name)
    }

    /// A program as the server's account, its words in a log.
    fn command(&self, program: &PathBuf, log: &str) -> Result<Command, Halt> {
        let file = std::fs::File::options().append(true).create(true).mode(0o600).open(self.log(log))?;
        let mut command = plain::command(program);
        command.current_dir(&self.order.directory).stdout(file.try_clone()?).stderr(file);
        command.env_clear().env("LC_ALL", "C");
        for variable in KEPT {
            if let Some(value) = std::env::var_os(variable) {
                command.env(variable, value);
            }
        }
        if let Some((uid, gid)) = self.order.account {
            command.uid(uid).gid(gid);
        }
        Ok(command)
    }

    /// initdb; not every machine has the locale C.UTF-8.
    fn make(&self, password: &str) -> Result<(), Halt> {
        let account = self.order.account;
        let password_file = self.order.directory.join("password");
        let mut file =
            std::fs::File::options().write(true).create_new(true).mode(0o600).open(&password_file)?;
        file.write_all(password.as_bytes())?;
        if let Some((uid, gid)) = account {
            std::os::unix::fs::chown(&password_file, Some(uid), Some(gid))?;
        }
        let mut made = Err(Halt::End);
        for locale in ["C.UTF-8", "C"] {
            made = self.initdb(&password_file, locale);
            if !matches!(made, Err(Halt::Failed(_))) {
                break;
            }
        }
        std::fs::remove_file(&password_file)?;
        made
    }

    fn initdb(&self, password_file: &PathBuf, locale: &str) -> Result<(), Halt> {
        let mut command = self.command(&self.order.initdb, "initdb.log")?;
        command.arg("--pgdata").arg(self.data()).arg("--pwfile").arg(password_file);
        command.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions"]);
        command.arg(format!("--locale={locale}"));
        if !self.order.fsync {
            command.arg("--no-sync");
        }
        let mut child = command.spawn()?;
        let watch = Stopwatch::start();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            let waited = match watch.elapsed() < INITDB_LIMIT {
                true => self.pause(),
                false => Err(Halt::Failed("initdb takes too long".to_owned())),
            };
            if let Err(halt) = waited {
                // Told politely, initdb ends the server it runs.
                signal(&child, Signal::TERM);
                wait_for(&mut child, STOP_LIMIT);
                let _ = child.kill();
                let _ = child.wait();
                return Err(halt);
            }
        };
        if status.success() { Ok(()) } else { Err(self.words("initdb", status, "initdb.log")) }
    }

    /// Starts the server and waits until it takes connections.
    fn start(&mut self) -> Result<(), Halt> {
        if self.server.is_some() {
            self.stop(&[Signal::INT, Signal::QUIT, Signal::KILL]);
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let fixed = self.order.port.or(Some(self.port).filter(|port| *port != 0));
            let port = match fixed {
                Some(port) => port,
                None => std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port(),
            };
            let _ = std::fs::remove_file(self.log("server.log"));
            match self.start_on(port) {
                Ok(pid) => {
                    self.port = port;
                    answer(&Answer::Ready { port, pid });
                    return Ok(());
                }
                Err(Halt::Failed(why))
                    if fixed.is_none() && tries < PORT_TRIES && why.contains("already in use") => {}
                Err(halt) => return Err(halt),
            }
        }
    }

    fn start_on(&mut self, port: u16) -> Result<u32, Halt> {
        let mut command = self.command(&self.order.postgres, "server.log")?;
        command.arg("-D").arg(self.data()).arg("-p").arg(port.to_string());
        command.arg("-k").arg(&self.order.directory);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "logging_collector=off"]);
        if !self.order.fsync {
            command.args(["-c", "fsync=off"]);
        }
        for (name, value) in &self.order.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let server = self.server.insert(command.spawn()?);
        let pid = server.id();
        let watch = Stopwatch::start();
        while !self.is_ready(pid) {
            if let Some(status) = self.exited()? {
                self.server = None;
                return Err(self.words("the server", status, "server.log"));
            }
            if watch.elapsed() > START_LIMIT {
                return Err(Halt::Failed("the server takes too long to start".to_owned()));
            }
            self.pause()?;
        }
        Ok(pid)
    }

    fn exited(&mut self) -> Result<Option<ExitStatus>, Halt> {
        match &mut self.server {
            Some(server) => Ok(server.try_wait()?),
            None => Ok(None),
        }
    }

    /// The eighth line of postmaster.pid tells the state; the first whose it is.
    fn is_ready(&self, pid: u32) -> bool {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let ours = lines.first() == Some(&pid.to_string().as_str());
        ours && lines.get(7).is_some_and(|state| matches!(*state, "ready" | "standby"))
    }

    /// What a program said, for the one who has to fix it.
    fn words(&self, who: &str, status: ExitStatus, log: &str) -> Halt {
        let text = std::fs::read_to_string(self.log(log)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let tail = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("; ");
        Halt::Failed(format!("{who} ended with {status}: {tail}"))
    }

    /// Ends the server, with a harsher signal each time it does not go.
    fn stop(&mut self, signals: &[Signal]) {
        if let Some(mut server) = self.server.take() {
            for harsher in signals {
                signal(&server, *harsher);
                if wait_for(&mut server, STOP_LIMIT) {
                    return;
                }
            }
        }
    }

    fn clean(&mut self) {
        self.stop(&[Signal::INT, Signal::QUIT, Signal::KILL]);
        // A backend may still be writing its last file after its postmaster was killed.
        for _ in 0..100 {
            if std::fs::remove_dir_all(&self.order.directory).is_ok() || !self.order.directory.exists() {
                return;
            }
            clock::block(PAUSE);
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether the child went within the limit.
fn wait_for(child: &mut Child, limit: Duration) -> bool {
    let watch = Stopwatch::start();
    while watch.elapsed() < limit {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        clock::block(PAUSE);
    }
    false
}
