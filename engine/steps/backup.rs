//! `backup`: dumps a database, reads the whole archive back, writes the manifest, and only then lets the backup appear under
//! its name. The name is journaled before anything is written. Must never leave anything under a backup's name that was
//! not verified, and never remove a backup of another run.

mod disk;
mod dump;
mod finish;
mod record;

pub use disk::size as readable_size;
pub use dump::{jobs, refuse_compression};

use super::archive::{Manifest, Packing};
use super::attempt::Attempt;
use super::database::{Database, server_time};
use super::stop::{self, Stop};
use super::targets::{Target, application_name};
use super::{client, mark};
use crate::plan::action::Backup;
use crate::plan::action::backup::{Compress, Format};
use crate::postgres::{Connection, Identity, Program, identity};
use crate::process::Found;
use crate::run::{Failure, Outcome, Outputs};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The fact: where the backup will be, and what is known before it begins.
const CHOSEN: &str = "chosen";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Chosen {
    path: PathBuf,
    taken_at: String,
    server: Identity,
    client_version: String,
    database_bytes: u64,
    /// How plain SQL is compressed after the dump.
    packing: Packing,
    /// The values of named checks just before the dump.
    record: Map<String, Value>,
}

impl Chosen {
    /// What is under way: `NAME.partial`.
    fn partial(&self) -> PathBuf {
        with(&self.path, ".partial")
    }

    /// What pg_dump writes: plain SQL is compressed afterwards.
    fn dumped(&self) -> PathBuf {
        match self.packing {
            Packing::None => self.partial(),
            _ => with(&self.path, ".sql.partial"),
        }
    }
}

pub fn with(path: &Path, tail: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(tail);
    name.into()
}

pub async fn act(attempt: &Attempt, action: &Backup) -> Outcome {
    stop::outcome(begin(attempt, action).await)
}

/// A verified one is recognised by its manifest; a dump that goes on, or has ended well, is taken up; else what is there of
/// it is removed.
pub async fn settle(attempt: &Attempt, action: &Backup) -> Outcome {
    stop::outcome(take_up(attempt, action).await)
}

/// Removes the backup that this run made.
pub async fn undo(attempt: &Attempt, _: &Backup) -> Outcome {
    stop::outcome(remove(attempt))
}

async fn begin(attempt: &Attempt, action: &Backup) -> Result<Outputs, Stop> {
    let target = attempt.world.targets.find(&attempt.world, &action.database).await?;
    let directory = attempt.path(&action.to).await?;
    std::fs::create_dir_all(&directory).map_err(|error| unwritable(&directory, &error))?;
    let look = look(attempt, action, &target, &directory);
    let (chosen, program) = stop::unless_cancelled(attempt, look).await?;
    let chosen = Chosen { record: record::values(attempt, action).await?, ..chosen };
    attempt.note(CHOSEN, json!(chosen)).await?;
    let made = async {
        dump::run(attempt, action, &target, &chosen, &program).await?;
        finish::finish(attempt, action, &chosen).await
    };
    match made.await {
        Ok(outputs) => Ok(outputs),
        Err(stop) => Err(clean(&chosen, stop)),
    }
}

/// What is asked of the server before anything is written.
async fn look(
    attempt: &Attempt,
    action: &Backup,
    target: &Target,
    directory: &Path,
) -> Result<(Chosen, Program), Stop> {
    let name = application_name(&attempt.world, attempt.step.id.value.as_str());
    let server = Connection::connect(&target.settings, &name).await?;
    let identity = identity::read(&server).await?;
    let database = Database::expect(&server, &target.database).await?;
    let program = dump::program(attempt, action, identity.major())?;
    client::remark(attempt, &program);
    disk::check(attempt, action, directory, &server, &database).await?;
    let chosen = choose(attempt, action, directory, &server, identity, &program, &database).await?;
    Ok((chosen, program))
}

async fn choose(
    attempt: &Attempt,
    action: &Backup,
    directory: &Path,
    server: &Connection,
    identity: Identity,
    program: &Program,
    database: &Database,
) -> Result<Chosen, Stop> {
    let taken_at = server_time(server).await?;
    let packing = match (action.format, action.compress) {
        (Format::Plain, None | Some(Compress::Gzip)) => Packing::Gzip,
        (Format::Plain, Some(Compress::Zstd)) => Packing::Zstd,
        (Format::Plain, Some(Compress::Lz4)) => Packing::Lz4,
        (Format::Plain, Some(Compress::None)) | (Format::Directory | Format::Custom, _) => Packing::None,
    };
    let extension = match (action.format, packing) {
        (Format::Directory, _) => "",
        (Format::Custom, _) => ".dump",
        (Format::Plain, Packing::None) => ".sql",
        (Format::Plain, Packing::Gzip) => ".sql.gz",
        (Format::Plain, Packing::Zstd) => ".sql.zst",
        (Format::Plain, Packing::Lz4) => ".sql.lz4",
    };
    let stem = stem(&database.name, &taken_at, mark::tail(&attempt.world.run));
    let path = (1u32..)
        .map(|n| if n == 1 { stem.clone() } else { format!("{stem}_{n}") })
        .map(|name| directory.join(name + extension))
        .find(|path| {
            ["", ".partial", ".sql.partial", ".manifest.json"].iter().all(|tail| !with(path, tail).exists())
        })
        .ok_or_else(|| Failure::new("runplan::backup::name", "no free name is left"))?;
    Ok(Chosen {
        path: std::path::absolute(&path).unwrap_or(path),
        taken_at,
        server: identity,
        client_version: program.version.clone(),
        database_bytes: database.size,
        packing,
        record: Map::new(),
    })
}

/// `app_20261122T031102Z_k7f3`.
fn stem(database: &str, taken_at: &str, tail: &str) -> String {
    let safe: String = database
        .chars()
        .take(60)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' })
        .collect();
    let time: String = taken_at.chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{safe}_{time}Z_{tail}")
}

async fn take_up(attempt: &Attempt, action: &Backup) -> Result<Outputs, Stop> {
    let Some(chosen) = attempt.fact(CHOSEN).and_then(|fact| Chosen::deserialize(fact).ok()) else {
        return Err(Stop::Again("nothing had been written".to_owned()));
    };
    if let Some(outputs) = finish::recognise(attempt, &chosen).await? {
        return Ok(outputs);
    }
    let key = dump::key(attempt);
    let ended = match attempt.world.supervisor.find(&key).await? {
        Found::Running(running) => dump::watch(attempt, &chosen, running).await,
        Found::Exited(exit) => dump::judge(&exit),
        Found::Nothing | Found::Lost { .. } | Found::Orphaned { .. } => {
            Err(Stop::Again("the dump was interrupted".to_owned()))
        }
    };
    let taken_up = match ended {
        Ok(()) => finish::finish(attempt, action, &chosen).await,
        Err(stop) => Err(stop),
    };
    match taken_up {
        Ok(outputs) => Ok(outputs),
        Err(stop @ (Stop::Unknown(_) | Stop::Ending)) => Err(stop),
        Err(stop) => {
            attempt.world.supervisor.end_orphans(&key).await?;
            let why = clean(&chosen, stop).message().to_owned();
            Err(Stop::Again(format!("what there was of it is removed: {why}")))
        }
    }
}

/// Removes what was written so far; what cannot be removed is said.
fn clean(chosen: &Chosen, stop: Stop) -> Stop {
    if matches!(stop, Stop::Ending) {
        return stop;
    }
    let mut left = Vec::new();
    for path in [chosen.dumped(), chosen.partial(), Manifest::path(&chosen.path)] {
        if let Err(error) = delete(&path) {
            left.push(format!("{} could not be removed ({error})", path.display()));
        }
    }
    if left.is_empty() { stop } else { stop.after(&left.join(", ")) }
}

/// A file or a directory; what is not there is gone already.
pub fn delete(path: &Path) -> std::io::Result<()> {
    let gone = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match gone {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn remove(attempt: &Attempt) -> Result<Outputs, Stop> {
    let Some(chosen) = attempt.fact(CHOSEN).and_then(|fact| Chosen::deserialize(fact).ok()) else {
        return Ok(Outputs::new());
    };
    let stuck = |error: std::io::Error| {
        Failure::new("runplan::backup::remove", format!("{}: {error}", chosen.path.display()))
    };
    match Manifest::read(&chosen.path)? {
        Some(manifest) if manifest.run != attempt.world.run.as_str() => {
            let message = format!("{} belongs to run {}", chosen.path.display(), manifest.run);
            return Err(Failure::new("runplan::backup::not_ours", message).permanent().into());
        }
        None if chosen.path.exists() => {
            let message = format!("{} has no manifest, so it is not ours to remove", chosen.path.display());
            return Err(Failure::new("runplan::backup::not_ours", message).permanent().into());
        }
        _ => {}
    }
    // From here on it is no backup any more, also when this is interrupted.
    if chosen.path.exists() {
        std::fs::rename(&chosen.path, chosen.partial()).map_err(stuck)?;
    }
    for path in [chosen.partial(), Manifest::path(&chosen.path)] {
        delete(&path).map_err(stuck)?;
    }
    let mut outputs = Outputs::new();
    outputs.insert("removed".to_owned(), chosen.path.display().to_string().into());
    Ok(outputs)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new("runplan::backup::directory", format!("{} cannot be used: {error}", path.display()))
        .help("check `to`: the directory must exist or be possible to make, and may be written")
}

#[cfg(test)]
mod tests {
    use super::stem;

    #[test]
    fn a_backup_is_named_for_database_time_and_run() {
        assert_eq!(stem("app", "2026-11-22T03:11:02.123Z", "k7f3"), "app_20261122T031102Z_k7f3");
        assert_eq!(stem("../a b", "2026-11-22T03:11:02.123Z", "k7f3"), "___a_b_20261122T031102Z_k7f3");
    }
}
