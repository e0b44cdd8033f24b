//! A throw-away PostgreSQL on this machine, for rehearsals and tests. The server belongs to a guard process that holds
//! one end of a pipe to us; whatever happens to us, the pipe closes, and the guard stops the server and removes
//! its directory. Must never touch a server that it did not start.

mod guard;
mod stale;

pub use guard::guard_main;
pub use stale::sweep;

use super::accounts::{self, Account};
use super::error::{Error, Kind};
use super::programs::ServerPrograms;
use super::settings::Settings;
use crate::clock::{self, Stopwatch};
use crate::process::{own_session, plain};
use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

/// The hidden subcommand that becomes the guard.
pub const GUARD: &str = "__cluster-guard";
/// What the directories are called, and the file that the guard keeps locked.
const PREFIX: &str = "runplan-cluster-";
const LOCK: &str = "guard.lock";
/// A Unix socket's path may have 107 bytes; this much of it is the directory.
const LONGEST_DIRECTORY: usize = 80;
/// The guard itself gives up earlier.
const GUARD_LIMIT: Duration = Duration::from_secs(60);

/// What to start.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    pub programs: ServerPrograms,
    /// The program that runs `guard_main` when its first argument is `GUARD`.
    pub guard: PathBuf,
    /// A free one if `None`.
    pub port: Option<u16>,
    /// Server settings beyond the defaults.
    pub settings: Vec<(String, String)>,
    /// Files that only the server can read, put beside its data: a setting reaches them as `../NAME`.
    pub files: Vec<(String, Vec<u8>)>,
    /// Off is several times as fast, and survives everything but a crash of the machine.
    pub fsync: bool,
}

impl ClusterOptions {
    pub fn new(programs: ServerPrograms, guard: PathBuf) -> Self {
        Self { programs, guard, port: None, settings: Vec::new(), files: Vec::new(), fsync: false }
    }
}

/// How to stop the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are ended, everything is written.
    Fast,
    /// As in a crash: the next start recovers from the WAL.
    Immediate,
}

/// A running server. Dropping it stops the server and removes its directory.
pub struct Cluster {
    guard: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    directory: PathBuf,
    password: Secret,
    port: u16,
    server_pid: u32,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { directory, port, server_pid, .. } = self;
        write!(f, "Cluster {{ directory: {directory:?}, port: {port}, server_pid: {server_pid} }}")
    }
}

/// What the guard answers, a line each.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Ready { port: u16, pid: u32 },
    Stopped,
    Failed(String),
}

impl Cluster {
    /// Makes a cluster and starts it; takes about a second. Also removes what crashed guards left behind.
    pub fn start(options: ClusterOptions) -> Result<Self, Error> {
        sweep();
        let account = server_account()?;
        let directory = make_directory(account.as_ref())?;
        for (name, bytes) in &options.files {
            write_private(&directory.path().join(name), bytes, account.as_ref())?;
        }
        let lock = make_lock(directory.path())?;
        let mut guard = spawn_guard(&options, directory.path(), account.as_ref(), lock)?;
        let (Some(orders), Some(answers)) = (guard.stdin.take(), guard.stdout.take()) else {
            return Err(failed("the guard has no pipes", "report this"));
        };
        // From here on the guard removes the directory.
        let directory = directory.keep();
        let password = Secret::new(format!("{:032x}", rand::random::<u128>()));
        let answers = BufReader::new(answers);
        let orders = Some(orders);
        let mut cluster =
            Self { guard, orders, answers, directory, password: password.clone(), port: 0, server_pid: 0 };
        cluster.order(password.expose())?;
        Ok(cluster)
    }

    /// `start` for async code.
    pub async fn launch(options: ClusterOptions) -> Result<Self, Error> {
        tokio::task::spawn_blocking(|| Self::start(options))
            .await
            .unwrap_or_else(|error| Err(failed(&format!("starting it ended early: {error}"), "report this")))
    }

    /// Settings for a database of the cluster, over TCP as the superuser `postgres`.
    pub fn settings(&self, database: &str) -> Result<Settings, Error> {
        Settings::parse(self.url(database).expose(), &|_| None)
    }

    /// The same as a URL, password included.
    pub fn url(&self, database: &str) -> Secret {
        let database = percent_encoding::utf8_percent_encode(database, percent_encoding::NON_ALPHANUMERIC);
        let (password, port) = (self.password.expose(), self.port);
        Secret::new(format!("postgresql://postgres:{password}@127.0.0.1:{port}/{database}?sslmode=disable"))
    }

    /// The directory of the Unix socket, and above the data directory `data`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn password(&self) -> &Secret {
        &self.password
    }

    /// The postmaster's process id.
    pub fn server_pid(&self) -> u32 {
        self.server_pid
    }

    pub fn guard_pid(&self) -> u32 {
        self.guard.id()
    }

    /// Stops the server and keeps the cluster, for a later `start_server`.
    pub fn stop_server(&mut self, how: Stop) -> Result<(), Error> {
        self.order(match how {
            Stop::Fast => "stop fast",
            Stop::Immediate => "stop immediate",
        })
    }

    /// Starts the server again, on the same port.
    pub fn start_server(&mut self) -> Result<(), Error> {
        self.order("start")
    }

    /// Stops the server, removes the directory, and waits until both are done.
    pub fn stop(mut self) -> Result<(), Error> {
        self.end();
        match self.directory.exists() {
            false => Ok(()),
            true => Err(failed(
                &format!("its directory {} is still there", self.directory.display()),
                "remove it by hand when no postgres uses it",
            )),
        }
    }

    fn end(&mut self) {
        // Closing the pipe is the order to finish.
        self.orders = None;
        let watch = Stopwatch::start();
        while watch.elapsed() < GUARD_LIMIT {
            if !matches!(self.guard.try_wait(), Ok(None)) {
                return;
            }
            clock::block(Duration::from_millis(5));
        }
    }

    fn order(&mut self, line: &str) -> Result<(), Error> {
        let died = || failed("the guard process ended", "see whether it was killed; start again");
        let orders = self.orders.as_mut().ok_or_else(died)?;
        orders.write_all(format!("{line}\n").as_bytes()).map_err(|_| died())?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).map_err(|_| died())?;
        match serde_json::from_str(&answer).map_err(|_| died())? {
            Answer::Ready { port, pid } => (self.port, self.server_pid) = (port, pid),
            Answer::Stopped => {}
            Answer::Failed(why) => return Err(failed(&why, "see the server's words above")),
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
    }
}

fn failed(why: &str, help: &str) -> Error {
    Error::new(Kind::Cluster, format!("the throw-away cluster failed: {why}"), help)
}

/// Root may not run a server: it runs as `postgres`, or else as `nobody`.
fn server_account() -> Result<Option<Account>, Error> {
    if !accounts::is_root() {
        return Ok(None);
    }
    let account = accounts::by_name("postgres").or_else(|| accounts::by_name("nobody"));
    account.map(Some).ok_or_else(|| {
        failed(
            "root may not run a server, and there is neither a user postgres nor nobody",
            "run as another user",
        )
    })
}

/// Where clusters are made: the machine's temporary directory, or `/tmp` where that is too long for a socket or
/// closed to the server's account.
fn base() -> PathBuf {
    let usual = std::env::temp_dir();
    match accounts::is_root() || usual.as_os_str().len() + PREFIX.len() + 6 > LONGEST_DIRECTORY {
        true => PathBuf::from("/tmp"),
        false => usual,
    }
}

fn make_directory(account: Option<&Account>) -> Result<tempfile::TempDir, Error> {
    let unmade =
        |error: std::io::Error| failed(&format!("no directory: {error}"), "check the space left in /tmp");
    let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(base()).map_err(unmade)?;
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o700)).map_err(unmade)?;
    if let Some(account) = account {
        chown(directory.path(), Some(account.uid), Some(account.gid)).map_err(unmade)?;
    }
    Ok(directory)
}

fn write_private(path: &Path, bytes: &[u8], account: Option<&Account>) -> Result<(), Error> {
    let write = || {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        match account {
            Some(account) => chown(path, Some(account.uid), Some(account.gid)),
            None => Ok(()),
        }
    };
    write().map_err(|error: std::io::Error| {
        failed(&format!("{}: {error}", path.display()), "check the space left")
    })
}

/// The lock is taken before the file has its name, so that nobody ever sees it free while the guard is to live. The
/// guard inherits it as its standard error, and it is free again when the guard is gone.
fn make_lock(directory: &Path) -> Result<File, Error> {
    let make = || {
        let early = directory.join("guard.lock.new");
        let file = File::options().append(true).create_new(true).mode(0o600).open(&early)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        std::fs::rename(&early, directory.join(LOCK))?;
        Ok(file)
    };
    make()
        .map_err(|error: std::io::Error| failed(&format!("no lock: {error}"), "check the space left in /tmp"))
}

fn spawn_guard(
    options: &ClusterOptions,
    directory: &Path,
    account: Option<&Account>,
    lock: File,
) -> Result<Child, Error> {
    let order = guard::Order {
        directory: directory.to_owned(),
        initdb: options.programs.initdb.clone(),
        postgres: options.programs.postgres.clone(),
        port: options.port,
        fsync: options.fsync,
        settings: options.settings.clone(),
        account: account.map(|account| (account.uid, account.gid)),
    };
    let order = serde_json::to_string(&order).map_err(|error| failed(&error.to_string(), "report this"))?;
    let mut command = plain::command(&options.guard);
    // The terminal's Ctrl-C and hang-up reach neither the guard nor the server.
    own_session(&mut command)
        .arg(GUARD)
        .arg(order)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(lock)
        .current_dir("/")
        .spawn()
        .map_err(|error| {
            failed(&format!("{} does not start: {error}", options.guard.display()), "check the path")
        })
}
