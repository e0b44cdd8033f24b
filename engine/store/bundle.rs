//! A run in one file, to be carried to another machine: its journal with the inbox, what its steps put out and wrote. Never
//! written half, never taken in unproved: every file's hash, the chain of the journal, and where it ends.
//!
//! ```text
//! {"runplan":"run","format":1,"run":..,"seq":..,"head":..,"files":[{"path":..,"bytes":..,"sha256":..},..]}\n
//! the files' bytes, one after the other
//! ```

use super::{Error, Store, database, directory, head, load};
use crate::plan::RunId;
use crate::plan::digest::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

const FORMAT: u32 = 1;
/// A header is a list of files; no run has more.
const LONGEST_HEADER: u64 = 64 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    runplan: String,
    format: u32,
    run: RunId,
    seq: u64,
    head: String,
    files: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    path: String,
    bytes: u64,
    sha256: String,
}

/// Writes a run that this process holds to a file that is not there yet. What it holds is synced before it has its name.
pub(super) fn write(run: &RunId, place: &Path, to: &Path) -> Result<(), Error> {
    let failed = |error: &io::Error| Error::io(to, error);
    let loaded = load::load(run, place)?;
    if let Some(damage) = loaded.damage {
        return Err(Error::Damaged { run: run.clone(), damage });
    }
    let last = loaded.records.last();
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = tempfile::Builder::new().prefix(".runplan-").tempdir_in(parent).map_err(|e| failed(&e))?;
    let journal = beside.path().join(database::FILE);
    database::copy(place, &journal)?;
    let mut files =
        vec![(database::FILE.to_owned(), journal), (head::FILE.to_owned(), place.join(head::FILE))];
    let kept = [super::PROCESS, super::FILES];
    for folder in kept {
        gather(&place.join(folder), folder, &mut files).map_err(|error| failed(&error))?;
    }
    let report = place.join("report.md");
    if report.is_file() {
        files.push(("report.md".to_owned(), report));
    }
    let entries = files.iter().map(|(name, path)| entry(name, path)).collect::<io::Result<Vec<_>>>();
    let header = Header {
        runplan: "run".to_owned(),
        format: FORMAT,
        run: run.clone(),
        seq: last.map_or(0, |record| record.seq),
        head: last.map(|record| record.hash.clone()).unwrap_or_default(),
        files: entries.map_err(|error| failed(&error))?,
    };
    let whole = beside.path().join("whole");
    let written = || -> io::Result<()> {
        let mut out = File::options().write(true).create_new(true).mode(0o600).open(&whole)?;
        out.write_all(serde_json::to_string(&header).unwrap_or_default().as_bytes())?;
        out.write_all(b"\n")?;
        for ((_, path), entry) in files.iter().zip(&header.files) {
            let copied = io::copy(&mut File::open(path)?.take(entry.bytes), &mut out)?;
            if copied != entry.bytes {
                return Err(io::Error::other(format!("{} changed while it was read", path.display())));
            }
        }
        out.sync_all()?;
        // Nothing is replaced.
        std::fs::hard_link(&whole, to)
    };
    written().map_err(|error| failed(&error))?;
    directory::sync(parent)
}

/// Regular files only: sockets and pipes belong to processes of this machine.
fn gather(place: &Path, name: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    let entries = match std::fs::read_dir(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Ok(own) = entry.file_name().into_string() else { continue };
        let name = format!("{name}/{own}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            gather(&entry.path(), &name, files)?;
        } else if kind.is_file() {
            files.push((name, entry.path()));
        }
    }
    Ok(())
}

fn entry(name: &str, path: &Path) -> io::Result<Entry> {
    let mut hash = Sha256::new();
    let mut file = File::open(path)?;
    let mut bytes = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let got = file.read(&mut buffer)?;
        if got == 0 {
            break;
        }
        hash.update(&buffer[..got]);
        bytes += got as u64;
    }
    Ok(Entry { path: name.to_owned(), bytes, sha256: hex(&hash.finalize()) })
}

/// Takes a run in. One that is here already is replaced when it was exported here and the file holds all of it.
pub(super) fn read(store: &Store, from: &Path) -> Result<(RunId, bool), Error> {
    let bad = |reason: String| Error::Bundle { path: from.to_path_buf(), reason };
    let failed = |error: &io::Error| Error::io(from, error);
    let file = File::open(from).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NoFile { path: from.to_path_buf() },
        _ => failed(&error),
    })?;
    let mut input = BufReader::new(file);
    let mut line = Vec::new();
    (&mut input).take(LONGEST_HEADER).read_until(b'\n', &mut line).map_err(|error| failed(&error))?;
    let header: Header = serde_json::from_slice(&line)
        .map_err(|error| bad(format!("its first line cannot be read: {error}")))?;
    if header.runplan != "run" || header.format != FORMAT {
        return Err(bad(format!("it has format {} of `{}`", header.format, header.runplan)));
    }
    let unborn = directory::make_temporary(&store.unborn(), header.run.as_str())?;
    let mut names = BTreeSet::new();
    for entry in &header.files {
        if !is_safe(&entry.path) || !names.insert(entry.path.as_str()) {
            return Err(bad(format!("it holds a file named {}", entry.path)));
        }
        unpack(&mut input, unborn.path(), entry).map_err(|error| bad(format!("{}: {error}", entry.path)))?;
    }
    if !input.fill_buf().map_err(|error| failed(&error))?.is_empty() {
        return Err(bad("there is more in it than it says".to_owned()));
    }
    for folder in [super::PROCESS, super::FILES] {
        directory::make(&unborn.path().join(folder))?;
    }
    let loaded = load::load(&header.run, unborn.path())?;
    if let Some(damage) = loaded.damage {
        return Err(bad(damage.to_string()));
    }
    let last = loaded.records.last();
    if last.map(|record| (record.seq, record.hash.as_str())) != Some((header.seq, header.head.as_str())) {
        return Err(bad("its journal ends elsewhere than it says".to_owned()));
    }
    File::create(unborn.path().join(super::lock::FILE)).map_err(|error| failed(&error))?;
    directory::sync(unborn.path())?;
    let run = header.run;
    let was_here = store.directory(&run).is_dir();
    if was_here {
        let here = store.load(&run)?;
        // Whatever this machine did is in the file, too.
        let is_part = here.damage.is_none()
            && here.records.len() <= loaded.records.len()
            && here.records.iter().zip(&loaded.records).all(|(here, there)| here.hash == there.hash);
        if !is_part {
            return Err(Error::Exists { run });
        }
        store.remove(&run)?;
    }
    std::fs::rename(unborn.path(), store.directory(&run)).map_err(|error| failed(&error))?;
    drop(unborn.keep());
    directory::sync(&store.runs())?;
    Ok((run, was_here))
}

fn unpack(input: &mut impl Read, place: &Path, entry: &Entry) -> io::Result<()> {
    let path = place.join(&entry.path);
    if let Some(parent) = path.parent() {
        directory::make(parent).map_err(io::Error::other)?;
    }
    let mut out = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
    let mut hash = Sha256::new();
    let mut rest = entry.bytes;
    let mut buffer = vec![0; 64 * 1024];
    while rest > 0 {
        let want = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
        let got = input.read(&mut buffer[..want])?;
        if got == 0 {
            return Err(io::Error::other("it is cut off"));
        }
        hash.update(&buffer[..got]);
        out.write_all(&buffer[..got])?;
        rest -= got as u64;
    }
    if hex(&hash.finalize()) != entry.sha256 {
        return Err(io::Error::other("its bytes are not those that were written"));
    }
    out.sync_all()
}

/// Below the run's directory, and none of the names that are made here.
fn is_safe(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    let first = parts.next().and_then(|part| part.as_os_str().to_str().map(str::to_owned));
    let known = [database::FILE, head::FILE, super::PROCESS, super::FILES, "report.md"];
    plain && first.is_some_and(|first| known.contains(&first.as_str()))
}

#[cfg(test)]
mod tests {
    use super::is_safe;

    #[test]
    fn nothing_is_written_outside_of_the_run() {
        for name in ["journal.db", "head", "files/a", "process/x/stdout"] {
            assert!(is_safe(name), "{name}");
        }
        for name in
            ["", "/etc/passwd", "../head", "files/../../x", "./head", "lock", "journal.db-wal", "other"]
        {
            assert!(!is_safe(name), "{name}");
        }
    }
}
