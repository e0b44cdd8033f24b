//! The engine's handle on its run's supervisor, and on one attempt under way. Dropping either ends nothing.

use super::link::{Link, Progress};
use super::record::Paths;
use super::wire::{Input, Refusal, Request, Start};
use super::{Command, Error, Exit, Stdin};
use crate::secret::Secret;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Between SIGTERM and SIGKILL when the time of an attempt is up.
const GRACE: Duration = Duration::from_secs(10);
/// How much of each output goes into its file.
const OUTPUT_LIMIT: u64 = 256 << 20;

/// Starts programs under the run's supervisor, which itself is started with the first of them.
#[derive(Clone)]
pub struct Supervisor {
    pub(super) directory: Arc<Path>,
    exe: Arc<Path>,
    grace: Duration,
    output_limit: u64,
    link: Arc<Mutex<Option<Arc<Link>>>>,
}

impl Supervisor {
    /// `directory` is the run's process directory (created when needed), `exe` the `runplan` program.
    pub fn new(directory: PathBuf, exe: PathBuf) -> Self {
        Self {
            directory: std::path::absolute(&directory).unwrap_or(directory).into(),
            exe: std::path::absolute(&exe).unwrap_or(exe).into(),
            grace: GRACE,
            output_limit: OUTPUT_LIMIT,
            link: Arc::default(),
        }
    }

    /// Another time between SIGTERM and SIGKILL for attempts whose time is up.
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Another limit, in bytes, for the file of each output.
    pub fn with_output_limit(self, output_limit: u64) -> Self {
        Self { output_limit, ..self }
    }

    /// Starts an attempt. An error means that nothing was started, except `SupervisorDied`: then ask `find`.
    pub async fn start(
        &self,
        key: &str,
        command: &Command,
        timeout: Option<Duration>,
    ) -> Result<Running, Error> {
        let paths = Paths::new(&self.directory, key)?;
        let request = Request::Start(Box::new(self.request(key, command, timeout)?));
        let link = self.open()?;
        let before = || Error::StartedBefore { key: key.into() };
        let progress = link.start(key, &request)?.ok_or_else(before)?;
        let program = command.argv.first().cloned().unwrap_or_default();
        let mut running = Running { key: key.into(), program, paths, link, progress };
        match running.until(|progress| !matches!(progress, Progress::Asked)).await {
            Progress::Refused(why) => Err(running.refused(why)),
            Progress::Lost => Err(Error::SupervisorDied { key: key.into() }),
            _ => Ok(running),
        }
    }

    fn request(&self, key: &str, command: &Command, timeout: Option<Duration>) -> Result<Start, Error> {
        let directory = command.directory()?;
        let program = command.program(&directory)?;
        let open = |(name, value): &(String, Secret)| (name.clone(), value.expose().to_owned());
        let secrets = command.secret_env.iter().map(|(_, value)| value).chain(&command.redact);
        Ok(Start {
            key: key.into(),
            program: program.into(),
            argv: command.argv.clone(),
            stdin: input(&command.stdin, &directory)?,
            directory: directory.into(),
            env: command.env.iter().cloned().chain(command.secret_env.iter().map(open)).collect(),
            inherit_env: command.inherit_env,
            redact: secrets.map(|secret| secret.expose().to_owned()).collect(),
            timeout_ms: timeout.map(millis),
            grace_ms: millis(self.grace),
            output_limit: self.output_limit,
        })
    }

    fn open(&self) -> Result<Arc<Link>, Error> {
        let mut kept = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = kept.as_ref().filter(|link| !link.is_dead()) {
            return Ok(link.clone());
        }
        let link = Link::open(&self.directory, &self.exe)?;
        *kept = Some(link.clone());
        Ok(link)
    }

    /// The living supervisor, if there is one.
    pub(super) fn attach(&self) -> Result<Option<Arc<Link>>, Error> {
        let mut kept = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|link| link.is_dead()) {
            *kept = Link::attach(&self.directory)?;
        }
        Ok(kept.clone())
    }
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// An attempt under way. Dropping it does not end the program.
pub struct Running {
    pub(super) key: String,
    pub(super) program: String,
    pub(super) paths: Paths,
    pub(super) link: Arc<Link>,
    pub(super) progress: watch::Receiver<Progress>,
}

impl Running {
    /// The program's exit. May be dropped and called again. `SupervisorDied`: ask `Supervisor::find`.
    pub async fn wait(&mut self) -> Result<Exit, Error> {
        let settled = |progress: &Progress| {
            !matches!(progress, Progress::Asked | Progress::Queued | Progress::Started { .. })
        };
        match self.until(settled).await {
            Progress::Ended(record) => Exit::read((*record).clone(), &self.paths),
            Progress::Refused(why) => Err(self.refused(why)),
            _ => Err(Error::SupervisorDied { key: self.key.clone() }),
        }
    }

    /// SIGTERM to the group, SIGKILL after the grace; returns when nothing of the tree is left.
    pub async fn cancel(&self, grace: Duration) -> Result<(), Error> {
        self.link.cancel(&self.key, millis(grace))?;
        let mut again = self.twin();
        again.wait().await.map(drop)
    }

    /// Where standard output and standard error go. A file appears with the first byte.
    pub fn output_paths(&self) -> (PathBuf, PathBuf) {
        (self.paths.stdout(), self.paths.stderr())
    }

    /// The process id, which is the group's too; none while it waits for others to end.
    pub fn pid(&self) -> Option<i32> {
        match *self.progress.borrow() {
            Progress::Started { pid } => Some(pid),
            _ => None,
        }
    }

    fn twin(&self) -> Self {
        Self {
            key: self.key.clone(),
            program: self.program.clone(),
            paths: self.paths.clone(),
            link: self.link.clone(),
            progress: self.progress.clone(),
        }
    }

    pub(super) async fn until(&mut self, reached: impl Fn(&Progress) -> bool) -> Progress {
        // An error means that the sender is gone, and so the value is the last.
        drop(self.progress.wait_for(reached).await);
        self.progress.borrow().clone()
    }

    fn refused(&self, why: Refusal) -> Error {
        match why {
            Refusal::StartedBefore => Error::StartedBefore { key: self.key.clone() },
            Refusal::NotStarted(reason) => Error::NotStarted { program: self.program.clone(), reason },
        }
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("key", &self.key).field("pid", &self.pid()).finish_non_exhaustive()
    }
}

fn input(stdin: &Stdin, directory: &Path) -> Result<Input, Error> {
    Ok(match stdin {
        Stdin::Null => Input::Null,
        Stdin::Bytes(secret) => Input::Bytes(secret.expose().to_owned()),
        Stdin::File(given) => {
            let path = directory.join(given);
            match std::fs::File::open(&path).and_then(|file| file.metadata()) {
                Ok(found) if !found.is_dir() => Input::File(path.into()),
                Ok(_) => return Err(Error::Stdin { path, reason: "is a directory".into() }),
                Err(error) => return Err(Error::Stdin { path, reason: error.to_string() }),
            }
        }
    })
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
