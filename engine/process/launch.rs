//! From a request to a running program: record, lock, spawn. Runs in the supervisor only, which has a single
//! thread: the lock's descriptor is inheritable for the time of one spawn, and no other program can get it.

use super::record::{self, GroupRecord, Paths, StartRecord};
use super::tree::Tree;
use super::wire::{Input, Refusal, Start};
use super::{boot, boot_id, proc};
use crate::clock::{self, Stopwatch, Timestamp};
use crate::failpoint;
use rustix::fs::MemfdFlags;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Child;

/// In the environment of every program: which attempt it belongs to. Attempts that a program of ours starts by a
/// `runplan` of its own carry both, so that ending the outer one finds the inner ones.
pub(super) const MARK: &str = "RUNPLAN_ATTEMPT";
/// And where the program is that runs it: a script may let it read a plan, also where it is not on PATH.
const PROGRAM: &str = "RUNPLAN";
/// Descriptors below are left to scripts, which name them by number.
const HIGH: i32 = 200;

pub(super) struct Launched {
    pub child: Child,
    pub pid: i32,
    pub tree: Tree,
    pub paths: Paths,
    pub started_at: Timestamp,
    pub watch: Stopwatch,
    pub trouble: Option<String>,
}

type Environment = [(OsString, OsString)];

/// Starts the program; an error means that nothing was started and no trace was left.
pub(super) fn launch(
    directory: &Path,
    session: i32,
    request: &Start,
    environment: &Environment,
) -> Result<Launched, Refusal> {
    let refused = |error: io::Error| Refusal::NotStarted(error.to_string());
    let paths =
        Paths::new(directory, &request.key).map_err(|error| Refusal::NotStarted(error.to_string()))?;
    let mut file = record::create(&paths.record()).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Refusal::StartedBefore,
        _ => refused(error),
    })?;
    let start = StartRecord {
        format: 1,
        key: request.key.clone(),
        program: Path::new(&request.program).display().to_string(),
        boot_id: boot_id().to_owned(),
        host: boot::host(),
        session,
        token: format!("{:016x}", rand::random::<u64>()),
        started_at: clock::now(),
    };
    let recorded = record::write_line(&mut file, &start).and_then(|()| record::settle(&file, &paths));
    let spawned = recorded.map_err(unrecorded).and_then(|()| {
        failpoint::passed("before_fork");
        spawn(request, environment, &start.token, &paths)
    });
    let (child, watch) = match spawned {
        Ok(spawned) => spawned,
        Err(error) => {
            let _ = std::fs::remove_file(paths.record());
            return Err(refused(error));
        }
    };
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
    let start_time = proc::stat(pid).map(|stat| stat.start_time).unwrap_or_default();
    let group = GroupRecord { pgid: pid, start_time };
    failpoint::passed("after_fork");
    let trouble = record::write_line(&mut file, &group).err();
    let trouble = trouble.map(|error| format!("{} could not be written: {error}", paths.record().display()));
    let tree = Tree::of(&start, Some(group), paths.record());
    Ok(Launched { child, pid, tree, paths, started_at: start.started_at, watch, trouble })
}

/// What is started without a record would be started once more by whoever finds none.
fn unrecorded(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("that it starts could not be recorded: {error}"))
}

fn spawn(
    request: &Start,
    environment: &Environment,
    token: &str,
    paths: &Paths,
) -> io::Result<(Child, Stopwatch)> {
    #[allow(clippy::disallowed_methods, reason = "this is where programs are started")]
    let mut command = std::process::Command::new(&request.program);
    command.env_clear();
    if request.inherit_env {
        command.envs(environment.iter().map(|(name, value)| (name, value)));
    }
    let outer = environment.iter().find(|(name, _)| name == MARK).map(|(_, value)| value.to_string_lossy());
    let mark = outer.map_or_else(|| token.to_owned(), |outer| format!("{outer}/{token}"));
    if let Ok(program) = std::env::current_exe() {
        command.env(PROGRAM, program);
    }
    command
        .envs(request.env.iter().map(|(name, value)| (name, value)))
        .env(MARK, mark)
        .arg0(&request.argv[0])
        .args(&request.argv[1..])
        .current_dir(&request.directory)
        .process_group(0)
        .stdin(input(&request.stdin)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let watch = Stopwatch::start();
    let inherited = lock(paths)?;
    let child = tokio::process::Command::from(command).spawn()?;
    // From here on only the program's tree holds the lock.
    drop(inherited);
    Ok((child, watch))
}

/// The locked descriptor, inheritable.
fn lock(paths: &Paths) -> io::Result<OwnedFd> {
    let file = File::open(paths.record())?;
    file.lock()?;
    let high = fcntl_dupfd_cloexec(&file, HIGH).unwrap_or_else(|_| OwnedFd::from(file));
    fcntl_setfd(&high, FdFlags::empty())?;
    Ok(high)
}

fn input(input: &Input) -> io::Result<Stdio> {
    Ok(match input {
        Input::Null => Stdio::null(),
        Input::File(path) => Stdio::from(File::open(path)?),
        Input::Bytes(text) => {
            let mut memory = File::from(rustix::fs::memfd_create("stdin", MemfdFlags::CLOEXEC)?);
            memory.write_all(text.as_bytes())?;
            memory.rewind()?;
            Stdio::from(memory)
        }
    })
}
