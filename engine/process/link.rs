//! The engine's end of the connection to the supervisor. Two threads, one for each direction, so that neither the
//! engine's runtime nor the supervisor ever waits for the other; they end with the connection.

use super::record::ExitRecord;
use super::wire::{self, Refusal, Reply, Request};
use super::{Error, boot};
use rustix::fs::{Mode, OFlags};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::watch;
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

pub(super) struct Link {
    stream: UnixStream,
    outgoing: mpsc::Sender<Zeroizing<Vec<u8>>>,
    table: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
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
        let (outgoing, queue) = mpsc::channel();
        let table = Arc::new(Mutex::new(Table::default()));
        let (mut from, mut to, shared) = (stream.try_clone()?, stream.try_clone()?, table.clone());
        std::thread::Builder::new().name("supervisor-in".into()).spawn(move || {
            // The end of the stream or nonsense on it: either way nothing more will be heard.
            let _ = listen(&mut from, &shared);
            lose(&shared);
            let _ = from.shutdown(std::net::Shutdown::Both);
            drop(child.map(|mut child| child.wait()));
        })?;
        std::thread::Builder::new().name("supervisor-out".into()).spawn(move || {
            for message in queue {
                let message: Zeroizing<Vec<u8>> = message;
                if to.write_all(&message).is_err() {
                    break;
                }
            }
        })?;
        let link = Self { stream, outgoing, table };
        if let Ok(hello) = wire::encode(&Request::Hello { environment: std::env::vars_os().collect() }) {
            link.post(hello);
        }
        Ok(Arc::new(link))
    }

    pub fn is_dead(&self) -> bool {
        lock(&self.table).dead
    }

    /// Sends a request about an attempt and gives the place where the answers appear.
    pub fn ask(&self, key: &str, request: &Request) -> Result<watch::Receiver<Progress>, Error> {
        let message = wire::encode(request)?;
        let receiver = self.subscribe(key);
        self.post(message);
        Ok(receiver)
    }

    pub fn send(&self, request: &Request) -> Result<(), Error> {
        self.post(wire::encode(request)?);
        Ok(())
    }

    fn subscribe(&self, key: &str) -> watch::Receiver<Progress> {
        let mut table = lock(&self.table);
        if table.dead {
            return watch::channel(Progress::Lost).1;
        }
        match table.attempts.get(key) {
            Some(known) => known.subscribe(),
            None => {
                let (sender, receiver) = watch::channel(Progress::Asked);
                table.attempts.insert(key.into(), sender);
                receiver
            }
        }
    }

    /// If the connection is gone the reader has found out, or will.
    fn post(&self, message: Zeroizing<Vec<u8>>) {
        let _ = self.outgoing.send(message);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(stream: &mut UnixStream, table: &Mutex<Table>) -> Result<(), String> {
    let mut buffer = Zeroizing::new(Vec::new());
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut chunk).map_err(|error| error.to_string())?;
        if count == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(&chunk[..count]);
        for reply in wire::decode(&mut buffer)? {
            note(&mut lock(table), reply);
        }
    }
}

fn note(table: &mut Table, reply: Reply) {
    let (key, progress) = match reply {
        Reply::Hello { .. } => return,
        Reply::Queued { key } => (key, Progress::Queued),
        Reply::Started { key, pid } => (key, Progress::Started { pid }),
        Reply::Refused { key, why } => (key, Progress::Refused(why)),
        Reply::Absent { key } => (key, Progress::Absent),
        Reply::Exited { key, exit } => (key, Progress::Ended(Arc::new(*exit))),
    };
    let last = matches!(progress, Progress::Refused(_) | Progress::Absent | Progress::Ended(_));
    if let Some(sender) = table.attempts.get(&key) {
        sender.send_replace(progress);
    }
    if last {
        table.attempts.remove(&key);
    }
}

fn lose(table: &Mutex<Table>) {
    let mut table = lock(table);
    table.dead = true;
    for (_, sender) in table.attempts.drain() {
        sender.send_replace(Progress::Lost);
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
    let child = command
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
