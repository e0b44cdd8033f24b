//! The database of a run: its tables, how it is made and opened. Its file must never be opened and closed here by
//! other means while SQLite has it open: that would drop SQLite's locks.
//!
//! Writing is SQLite's write-ahead log with `synchronous = FULL`: a commit is one transaction, one sync, all or none.

use super::{Error, directory};
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const FILE: &str = "journal.db";
const FORMAT: i64 = 1;
/// `rpjl`
const APPLICATION: i64 = 0x7270_6a6c;
const PAGE: u64 = 4096;
/// The log's header, and a page with its own, in bytes: <https://sqlite.org/fileformat2.html#walformat>.
pub(super) const LOG_HEADER: u64 = 32;
pub(super) const LOG_FRAME: u64 = PAGE + 24;
/// Another process holds the database only for one message or one batch.
const PATIENCE: Duration = Duration::from_secs(20);

const TABLES: &str = "
    CREATE TABLE journal (seq INTEGER PRIMARY KEY, line TEXT NOT NULL) STRICT;
    CREATE TABLE inbox (
        id INTEGER PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, post TEXT NOT NULL,
        taken INTEGER, refused TEXT
    ) STRICT;
    CREATE INDEX inbox_waiting ON inbox (id) WHERE taken IS NULL AND refused IS NULL;";

/// Makes an empty database in that directory, durably; the directory itself is the caller's to sync.
pub(super) fn create(directory: &Path) -> Result<(), Error> {
    let path = directory.join(FILE);
    // SQLite gives its other files the permissions of this one.
    let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
    drop(file.map_err(|error| Error::io(&path, &error))?);
    let make = || {
        let database = Connection::open_with_flags(&path, flags(true))?;
        // One sync at the end instead of several on the way: a directory that is not complete is never seen.
        database.pragma_update(None, "page_size", PAGE)?;
        database.pragma_update(None, "synchronous", "OFF")?;
        database.pragma_update(None, "journal_mode", "MEMORY")?;
        database.execute_batch(&format!(
            "BEGIN; {TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; COMMIT;"
        ))?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.close().map_err(|(_, error)| error)
    };
    make().map_err(|error| Error::sqlite(&path, &error))?;
    File::open(&path).and_then(|file| file.sync_all()).map_err(|error| Error::io(&path, &error))
}

/// Opens the database to write to it.
pub(super) fn open(directory: &Path) -> Result<Connection, Error> {
    let path = directory.join(FILE);
    let prepare = || {
        let database = Connection::open_with_flags(&path, flags(true))?;
        database.busy_timeout(PATIENCE)?;
        database.pragma_update(None, "synchronous", "FULL")?;
        Ok(database)
    };
    let database = prepare().map_err(|error| Error::sqlite(&path, &error))?;
    prove_format(&path, &database)?;
    Ok(database)
}

/// A copy in a file of its own, whole and consistent.
pub(super) fn copy(directory: &Path, to: &Path) -> Result<(), Error> {
    let path = directory.join(FILE);
    let failed = |error: rusqlite::Error| Error::sqlite(&path, &error);
    let database = open(directory)?;
    database.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map_err(failed)?;
    // The copy is read at rest and written as any journal is: with a log of its own.
    let copy = Connection::open_with_flags(to, flags(true)).map_err(failed)?;
    copy.pragma_update(None, "journal_mode", "WAL").map_err(failed)
}

/// Reads from the database, whoever is writing to it, also where nothing can be written.
pub(super) fn read<T>(
    directory: &Path,
    read: impl Fn(&Connection) -> Result<T, rusqlite::Error>,
) -> Result<T, Error> {
    let path = directory.join(FILE);
    if let Some(found) = read_at_rest(&path, &read)? {
        return Ok(found);
    }
    match read_live(&path, &read) {
        // SQLite cannot read its log where it cannot write beside it; nor can anyone else write there meanwhile.
        Err(Error::ReadOnly { .. }) => read_copy(&path, &read),
        found => found,
    }
}

/// Reads beside those who write.
fn read_live<T>(path: &Path, read: &impl Fn(&Connection) -> Result<T, rusqlite::Error>) -> Result<T, Error> {
    let look = || {
        let database = Connection::open_with_flags(path, flags(false))?;
        database.busy_timeout(PATIENCE)?;
        Ok(database)
    };
    let database = look().map_err(|error| Error::sqlite(path, &error))?;
    prove_format(path, &database)?;
    read(&database).map_err(|error| Error::sqlite(path, &error))
}

/// Reads a private copy, for which SQLite can do what it does after a crash.
fn read_copy<T>(path: &Path, read: &impl Fn(&Connection) -> Result<T, rusqlite::Error>) -> Result<T, Error> {
    let place = directory::make_temporary(&std::env::temp_dir(), "runplan-")?;
    let copy = place.path().join(FILE);
    std::fs::copy(path, &copy)
        .and_then(|_| std::fs::copy(log(path), log(&copy)))
        .map_err(|error| Error::io(path, &error))?;
    read_live(&copy, read)
}

/// A database without a log is not being written to: it can be read without locks and without leaving a trace.
/// Nothing if there is a log, or if someone began to write meanwhile.
fn read_at_rest<T>(
    path: &Path,
    read: &impl Fn(&Connection) -> Result<T, rusqlite::Error>,
) -> Result<Option<T>, Error> {
    let Some(before) = at_rest(path) else { return Ok(None) };
    let name = percent_encoding::percent_encode(path.as_os_str().as_bytes(), PLAIN);
    let look = || {
        let uri = format!("file:{name}?immutable=1");
        Connection::open_with_flags(uri, flags(false) | OpenFlags::SQLITE_OPEN_URI)
    };
    let database = look().map_err(|error| Error::sqlite(path, &error))?;
    let found = prove_format(path, &database)
        .and_then(|()| read(&database).map_err(|error| Error::sqlite(path, &error)));
    drop(database);
    if at_rest(path) == Some(before) { found.map(Some) } else { Ok(None) }
}

const PLAIN: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

/// What tells one state of the file from the next; nothing while there is a log beside it.
fn at_rest(path: &Path) -> Option<(u64, u64, i64, i64)> {
    if log(path).metadata().is_ok_and(|log| log.len() > 0) {
        return None;
    }
    let file = path.metadata().ok()?;
    Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
}

/// The write-ahead log of that database.
pub(super) fn log(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

fn prove_format(path: &Path, database: &Connection) -> Result<(), Error> {
    let number = |name: &str| database.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let failed = |error| Error::sqlite(path, &error);
    let (application, format) =
        (number("application_id").map_err(failed)?, number("user_version").map_err(failed)?);
    if application != APPLICATION {
        let reason = "it is not a journal of runplan".to_owned();
        return Err(Error::Corrupt { path: path.to_path_buf(), reason });
    }
    if format != FORMAT {
        return Err(Error::Format { path: path.to_path_buf(), format });
    }
    Ok(())
}

fn flags(write: bool) -> OpenFlags {
    let access = if write { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX
}
