//! The state directory: where it is, and whether it can be trusted and used. Private to its user: 0700, files 0600.

use super::Error;
use rustix::fs::{Access, access};
use std::ffi::OsString;
use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// `RUNPLAN_STATE`, else `$XDG_STATE_HOME/runplan`, else `~/.local/state/runplan`.
pub(super) fn default(env: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Error> {
    let given = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(state) = given("RUNPLAN_STATE") {
        return Ok(state);
    }
    // A relative XDG_STATE_HOME is to be ignored, says its specification.
    if let Some(state) = given("XDG_STATE_HOME").filter(|path| path.is_absolute()) {
        return Ok(state.join("runplan"));
    }
    let home = given("HOME").ok_or(Error::NoHome)?;
    Ok(home.join(".local/state/runplan"))
}

/// Refuses a directory that is not there as one, or that others may write to.
pub(super) fn trust(path: &Path) -> Result<(), Error> {
    let found = path.metadata().map_err(|error| Error::io(path, &error))?;
    let path = path.to_path_buf();
    if !found.is_dir() {
        return Err(Error::InTheWay { path });
    }
    let (owner, me) = (found.uid(), rustix::process::geteuid().as_raw());
    if owner != me {
        return Err(Error::Foreign { path, owner, me });
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(Error::Permissive { path, mode });
    }
    Ok(())
}

/// Refuses a directory that this process cannot write to.
pub(super) fn prove_writable(path: &Path) -> Result<(), Error> {
    access(path, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| Error::io(path, &io::Error::from(error)))
}

/// Bytes that may still be written to its file system, none where it takes no more files.
pub(super) fn room(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    let is_full = found.f_files > 0 && found.f_favail == 0;
    Some(if is_full { 0 } else { found.f_bavail.saturating_mul(found.f_frsize) })
}

/// Makes a private directory, and those above it. True if it was not there.
pub(super) fn make(path: &Path) -> Result<bool, Error> {
    if path.is_dir() {
        return Ok(false);
    }
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(error) => Err(unmade(path, &error)),
    }
}

/// Makes a private directory of a new name; it goes away unless it is kept.
pub(super) fn make_temporary(parent: &Path, prefix: &str) -> Result<tempfile::TempDir, Error> {
    let private = Permissions::from_mode(0o700);
    let made = tempfile::Builder::new().prefix(prefix).permissions(private).tempdir_in(parent);
    made.map_err(|error| Error::io(parent, &error))
}

/// Names what keeps the directory from being made: often something above it.
fn unmade(path: &Path, error: &io::Error) -> Error {
    let there = path.ancestors().find(|above| above.symlink_metadata().is_ok()).unwrap_or(path);
    if there.exists() && !there.is_dir() || matches!(there.symlink_metadata(), Ok(link) if link.is_symlink())
    {
        return Error::InTheWay { path: there.to_path_buf() };
    }
    Error::io(there, error)
}

/// Makes the names in that directory durable.
pub(super) fn sync(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| Error::io(path, &error))
}
