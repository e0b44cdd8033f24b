//! The checksums of a backup's files. Reads every byte; also puts them on disk for good when asked.

use super::unusable;
use crate::plan::digest::hex;
use crate::run::Failure;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Files that are read at once: a disk that turns would only seek between more of them.
const MOST_AT_ONCE: usize = 4;

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSum {
    /// Relative to the backup; empty for a backup that is one file.
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

/// The checksum of every file, by name; several files are read at once. `durable`: each is put on disk too. `go_on` is told how
/// many bytes were read so far. Blocks; for a thread of its own.
pub fn sums(
    path: &Path,
    durable: bool,
    go_on: &(dyn Fn(u64) -> bool + Sync),
) -> Result<Vec<FileSum>, Failure> {
    let failed = |error: std::io::Error| unusable("unreadable", path, error);
    let names = names(path).map_err(failed)?;
    let (next, far) = (AtomicUsize::new(0), AtomicU64::new(0));
    let work = || -> std::io::Result<Vec<(usize, FileSum)>> {
        let mut found = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(name) = names.get(at) else { return Ok(found) };
            let more = |bytes: u64| go_on(far.fetch_add(bytes, Ordering::Relaxed) + bytes);
            let (bytes, sha256) = sum(&file_of(path, name), durable, &more)?;
            found.push((at, FileSum { name: name.to_string_lossy().into_owned(), bytes, sha256 }));
        }
    };
    let at_once =
        std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST_AT_ONCE).min(names.len());
    let all: std::io::Result<Vec<_>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..at_once).map(|_| scope.spawn(work)).collect();
        let mut all = work()?;
        for thread in threads {
            all.extend(thread.join().map_err(|_| std::io::Error::other("a thread ended oddly"))??);
        }
        Ok(all)
    });
    let mut all = all.map_err(failed)?;
    all.sort_by_key(|(at, _)| *at);
    if durable && path.is_dir() {
        File::open(path).and_then(|directory| directory.sync_all()).map_err(failed)?;
    }
    Ok(all.into_iter().map(|(_, sum)| sum).collect())
}

/// The files of a backup, relative to it, in order; an empty name for a backup that is one file.
pub fn names(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![PathBuf::new()]);
    }
    let mut names = Vec::new();
    list(path, Path::new(""), &mut names)?;
    names.sort();
    Ok(names)
}

/// Where a file of a backup is, by its name in `names`.
pub fn file_of(path: &Path, name: &Path) -> PathBuf {
    if name.as_os_str().is_empty() { path.to_owned() } else { path.join(name) }
}

fn list(root: &Path, below: &Path, names: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => list(root, &name, names)?,
            false => names.push(name),
        }
    }
    Ok(())
}

/// `go_on` is told how many bytes more were read.
fn sum(path: &Path, durable: bool, go_on: &dyn Fn(u64) -> bool) -> std::io::Result<(u64, String)> {
    let mut file = super::open(path)?;
    let mut digest = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    let mut bytes = 0u64;
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        digest.update(&chunk[..count]);
        bytes += count as u64;
        if !go_on(count as u64) {
            return Err(std::io::Error::new(std::io::ErrorKind::Interrupted, "it was cancelled"));
        }
    }
    if durable {
        file.sync_all()?;
    }
    Ok((bytes, hex(&digest.finalize())))
}

/// One checksum over all files and their names; of a single file its own.
pub fn whole(sums: &[FileSum]) -> String {
    match sums {
        [only] if only.name.is_empty() => only.sha256.clone(),
        many => {
            let text: String = many.iter().map(|file| format!("{}  {}\n", file.sha256, file.name)).collect();
            crate::plan::digest::sha256(text.as_bytes())
        }
    }
}
