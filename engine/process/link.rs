//! The engine's end of the connection to the supervisor: one task hears the answers, whoever asks sends at once.
//! The task exists so that no answer depends on which of the askers is polled; it ends with the connection.

use super::connection::{Connection, Heard};
use super::record::ExitRecord;
use super::session::own_session;
use super::wire::{self, Refusal, Reply, Request};
use super::{Error, boot};
use rustix::fs::{Mode, OFlags};
use std::collections::HashMap;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use zeroize::Zeroizing;

const SOCKET: &str = "supervisor.sock";
/// How long a living supervisor may take to answer a new engine.
const HELLO: Duration = Duration::from_secs(10);

/// What is known about an attempt.
#[derive(Debug, Clone)]
pub(super) enum Progress {
    Asked,
    Queued,
    Started { pid: i32 },
    Absent,
    Refused(Refusal),
    Ended(Arc<ExitRecord>),
    Lost,
}

pub(super) struct Link(Arc<Shared>);

struct Shared {
    table: Mutex<Table>,
    /// Something waits to be sent.
    unsent: Notify,
}

struct Table {
    connection: Connection,
    attempts: HashMap<String, watch::Sender<Progress>>,
    dead: bool,
}

impl Link {
    /// Connects to the run's supervisor if it lives.
    pub fn attach(directory: &Path) -> Result<Option<Arc<Self>>, Error> {
        let Some(mut stream) = connect(directory)? else { return Ok(None) };
        let silent = |reason: String| Error::Silent { directory: directory.into(), reason };
        let hello = greet(&mut stream).map_err(|error| silent(error.to_string()))?;
        match hello {
            // It was just leaving.
            None => Ok(None),
            Some(wire::VERSION) => Self::over(stream, None).map(Some).map_err(|e| silent(e.to_string())),
            Some(other) => Err(silent(format!("it speaks version {other}, this program {}", wire::VERSION))),
        }
    }

    /// Connects to the run's supervisor, which is started if there is none.
    pub fn open(directory: &Path, exe: &Path) -> Result<Arc<Self>, Error> {
        let unusable = |source| Error::Directory { path: directory.into(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(unusable)?;
        // Two engines that start at the same moment get the same supervisor.
        let turn = private().open(directory.join("supervisor.lock")).map_err(unusable)?;
        turn.lock().map_err(unusable)?;
        if let Some(link) = Self::attach(directory)? {
            return Ok(link);
        }
        boot::note(directory)?;
        let failed = |source| Error::Supervisor { exe: exe.into(), source };
        let (stream, child) = spawn(directory, exe).map_err(failed)?;
        Self::over(stream, Some(child)).map_err(failed)
    }

    fn over(stream: UnixStream, child: Option<Child>) -> io::Result<Arc<Self>> {
        stream.set_nonblocking(true)?;
        let connection = Connection::new(tokio::net::UnixStream::from_std(stream)?);
        let table = Table { connection, attempts: HashMap::new(), dead: false };
        let shared = Arc::new(Shared { table: Mutex::new(table), unsent: Notify::new() });
        #[allow(
            clippy::disallowed_methods,
            reason = "the connection's own task, as in postgres/connection.rs"
        )]
        tokio::spawn(hear(shared.clone(), child));
        let link = Self(shared);
        // One that is too large for a message could not be inherited by a program either.
        if let Ok(hello) = wire::encode(&Request::Hello { environment: std::env::vars_os().collect() }) {
            link.post(&mut link.0.lock(), &hello);
        }
        Ok(Arc::new(link))
    }

    pub fn is_dead(&self) -> bool {
        self.0.lock().dead
    }

    /// Asks to start an attempt and gives the place where the answers appear; nothing if it is under way.
    pub fn start(&self, key: &str, request: &Request) -> Result<Option<watch::Receiver<Progress>>, Error> {
        let message = wire::encode(request)?;
        let mut table = self.0.lock();
        if table.attempts.contains_key(key) {
            return Ok(None);
        }
        let receiver = table.subscribe(key);
        self.post(&mut table, &message);
        Ok(Some(receiver))
    }

    /// Asks about an attempt that may be under way.
    pub fn ask(&self, key: &str) -> Result<watch::Receiver<Progress>, Error> {
        let message = wire::encode(&Request::Attach { key: key.into() })?;
        let mut table = self.0.lock();
        let receiver = table.subscribe(key);
        self.post(&mut table, &message);
        Ok(receiver)
    }

    pub fn cancel(&self, key: &str, grace_ms: u64) -> Result<(), Error> {
        let message = wire::encode(&Request::Cancel { key: key.into(), grace_ms })?;
        self.post(&mut self.0.lock(), &message);
        Ok(())
    }

    /// If the connection is gone, the task has found out or will.
    fn post(&self, table: &mut Table, message: &[u8]) {
        table.connection.send(message);
        if table.connection.is_waiting() {
            self.0.unsent.notify_one();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.0.lock().connection.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn subscribe(&mut self, key: &str) -> watch::Receiver<Progress> {
        if self.dead {
            return watch::channel(Progress::Lost).1;
        }
        self.attempts.entry(key.into()).or_insert_with(|| watch::channel(Progress::Asked).0).subscribe()
    }

    fn note(&mut self, reply: Reply) {
        let (key, progress) = match reply {
            Reply::Hello { .. } => return,
            Reply::Queued { key } => (key, Progress::Queued),
            Reply::Started { key, pid } => (key, Progress::Started { pid }),
            Reply::Refused { key, why } => (key, Progress::Refused(why)),
            Reply::Absent { key } => (key, Progress::Absent),
            Reply::Exited { key, exit } => (key, Progress::Ended(Arc::new(*exit))),
        };
        let last = matches!(progress, Progress::Refused(_) | Progress::Absent | Progress::Ended(_));
        if let Some(sender) = self.attempts.get(&key) {
            sender.send_replace(progress);
        }
        if last {
            self.attempts.remove(&key);
        }
    }

    fn lose(&mut self) {
        self.dead = true;
        for (_, sender) in self.attempts.drain() {
            sender.send_replace(Progress::Lost);
        }
    }
}

/// Hears the supervisor until the connection ends, and sends what could not be sent at once.
async fn hear(shared: Arc<Shared>, child: Option<Child>) {
    let stream = shared.lock().connection.stream.clone();
    loop {
        let unsent = shared.lock().connection.is_waiting();
        tokio::select! {
            _ = stream.readable() => {
                let mut table = shared.lock();
                let Heard { messages, over } = table.connection.read();
                messages.into_iter().for_each(|reply| table.note(reply));
                if over {
                    table.connection.close();
                    table.lose();
                    break;
                }
            }
            _ = stream.writable(), if unsent => shared.lock().connection.write(),
            () = shared.unsent.notified() => {}
        }
    }
    // It ends right after the connection or, if only the connection was given up, with its last program.
    if let Some(mut child) = child {
        let _ = std::thread::Builder::new().name("supervisor".into()).spawn(move || child.wait());
    }
}

/// A path to the socket that fits into a socket address, however long the directory's own path is.
fn socket_path(directory: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let handle =
        rustix::fs::open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", handle.as_raw_fd()));
    Ok((handle, path))
}

fn connect(directory: &Path) -> Result<Option<UnixStream>, Error> {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    let connected = socket_path(directory).and_then(|(_handle, path)| UnixStream::connect(path));
    match connected {
        Ok(stream) => Ok(Some(stream)),
        // The listener lives exactly as long as the supervisor: this is the kernel's word that it is gone.
        Err(error) if matches!(error.kind(), ConnectionRefused | NotFound) => Ok(None),
        Err(source) => Err(Error::Directory { path: directory.join(SOCKET), source }),
    }
}

/// The version of the supervisor, or nothing if it has gone.
fn greet(stream: &mut UnixStream) -> io::Result<Option<u32>> {
    stream.set_read_timeout(Some(HELLO))?;
    let mut buffer = Zeroizing::new(Vec::new());
    let mut byte = [0; 1];
    loop {
        match stream.read(&mut byte) {
            Ok(0) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            read => read?,
        };
        buffer.extend_from_slice(&byte);
        match wire::decode::<Reply>(&mut buffer).map_err(io::Error::other)?.first() {
            Some(Reply::Hello { version }) => {
                stream.set_read_timeout(None)?;
                return Ok(Some(*version));
            }
            Some(other) => return Err(io::Error::other(format!("unexpected {other:?}"))),
            None => {}
        }
    }
}

/// The supervisor gets both sockets ready made, so that it can be reached from the first instant on: this engine's
/// connection as its standard input, the listener for later engines as its standard output.
fn spawn(directory: &Path, exe: &Path) -> io::Result<(UnixStream, Child)> {
    let (_handle, path) = socket_path(directory)?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    let (ours, theirs) = UnixStream::pair()?;
    let log = private().append(true).open(directory.join("supervisor.log"))?;
    #[allow(clippy::disallowed_methods, reason = "the supervisor is what all other programs are started by")]
    let mut command = std::process::Command::new(exe);
    // Its own environment is empty, so that nothing secret can be read from it; it gets the engine's by the socket.
    command.arg(super::serve::SUBCOMMAND).arg(directory).env_clear().current_dir("/");
    for name in ["LD_LIBRARY_PATH", super::launch::MARK] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    #[cfg(debug_assertions)]
    command
        .envs(std::env::var_os(crate::failpoint::VARIABLE).map(|value| (crate::failpoint::VARIABLE, value)));
    let child = own_session(&mut command)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(OwnedFd::from(listener)))
        .stderr(Stdio::from(log))
        .spawn()?;
    Ok((ours, child))
}

fn private() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}
