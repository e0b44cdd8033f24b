//! What this process has proved of backups, which stands as long as nothing about their files changes. Must never vouch for a
//! file that may have changed since, nor for one that was written to while it was read.

use super::inspect::{Inspection, Reading, blocking, inspect};
use super::manifest::Manifest;
use super::sums;
use crate::clock;
use crate::run::Failure;
use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A file system may give two changes the same time when they come closer to each other than that, in seconds.
const TICK: i64 = 2;

/// Proofs of a process, by what the paths lead to.
#[derive(Debug, Clone, Default)]
pub struct Proofs(Arc<Mutex<HashMap<PathBuf, (Fingerprint, Inspection)>>>);

impl Proofs {
    /// What is known of a backup; it is read when it was not yet, or may have changed since.
    ///
    /// # Errors
    /// As `inspect`; it changes while it is read.
    pub async fn standing(&self, reading: &Reading, path: &Path) -> Result<Inspection, Failure> {
        if let Some((real, print)) = fingerprint(path).await?
            && let Some((then, found)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&real)
            && *then == print
        {
            return Ok(found.clone());
        }
        self.anew(reading, path).await
    }

    /// Reads a backup, whatever is known of it.
    ///
    /// # Errors
    /// As `inspect`; it changes while it is read.
    pub async fn anew(&self, reading: &Reading, path: &Path) -> Result<Inspection, Failure> {
        let (before, began) = (fingerprint(path).await?, clock::now().as_second());
        let found = inspect(reading, path).await;
        let after = fingerprint(path).await?;
        let was_still = match (&before, &after) {
            (Some((_, before)), Some((_, after))) => before.holds_what(after),
            (before, after) => before.is_none() && after.is_none(),
        };
        if !was_still {
            return Err(changed(path, found.err()));
        }
        let found = found?;
        if let (Some((real, before)), Some((_, after))) = (before, after)
            && before == after
            && before.is_settled(began)
        {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(real, (before, found.clone()));
        }
        Ok(found)
    }
}

/// What it looked like meanwhile is no judgement on it.
fn changed(path: &Path, seen: Option<Failure>) -> Failure {
    let seen =
        seen.map(|failure| format!(" (what was read so far: {})", failure.message)).unwrap_or_default();
    Failure::new(
        "runplan::archive::changed",
        format!("{} changed while it was read: somebody writes it{seen}", path.display()),
    )
    .help("a copy of it may still be under way; wait until that is done, then try again")
}

/// All that a file system tells of a backup's files without their content.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint(Vec<(PathBuf, Stamp)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Also of what is only said about it: its name, its owner, its times.
    changed: (i64, i64),
}

impl Fingerprint {
    /// The same content, as far as can be told.
    fn holds_what(&self, other: &Self) -> bool {
        let content = |(name, stamp): &(PathBuf, Stamp)| {
            (name.clone(), stamp.device, stamp.inode, stamp.bytes, stamp.modified)
        };
        self.0.iter().map(content).eq(other.0.iter().map(content))
    }

    /// The last change was long enough before that time, in seconds, for a later one to show.
    fn is_settled(&self, at: i64) -> bool {
        self.0.iter().all(|(_, stamp)| stamp.changed.0 + TICK < at)
    }
}

/// None: there is nothing, or it cannot be looked at; reading it tells why.
async fn fingerprint(path: &Path) -> Result<Option<(PathBuf, Fingerprint)>, Failure> {
    let path = path.to_owned();
    blocking(move || Ok(look(&path).ok())).await
}

fn look(path: &Path) -> std::io::Result<(PathBuf, Fingerprint)> {
    let real = path.canonicalize()?;
    let mut files = Vec::new();
    for name in sums::names(path)? {
        let found = stamp(&std::fs::metadata(sums::file_of(path, &name))?);
        files.push((name, found));
    }
    let manifest = Manifest::path(path);
    match std::fs::metadata(&manifest) {
        Ok(found) => files.push((manifest, stamp(&found))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok((real, Fingerprint(files)))
}

fn stamp(found: &Metadata) -> Stamp {
    Stamp {
        device: found.dev(),
        inode: found.ino(),
        bytes: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::Programs;
    use std::io::Write;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio_util::sync::CancellationToken;

    /// A reading that tells each of its moves.
    fn telling(tell: impl Fn() + Send + Sync + 'static) -> Reading {
        let programs = Programs::new(None, None);
        Reading { progress: Arc::new(move |_| tell()), ..Reading::new(&programs, &CancellationToken::new()) }
    }

    fn dump(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql/dumps").join(name)
    }

    #[tokio::test]
    async fn what_did_not_change_is_read_once_unless_it_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("dump.sql");
        // These were written long before the test.
        std::os::unix::fs::symlink(dump("copy.sql"), &link).unwrap();
        let (proofs, moves) = (Proofs::default(), Arc::new(AtomicU64::new(0)));
        let counted = moves.clone();
        let reading = telling(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let of = async |proof: Result<Inspection, Failure>| {
            (proof.unwrap().sha256, moves.swap(0, Ordering::Relaxed))
        };
        let (first, read) = of(proofs.standing(&reading, &link).await).await;
        assert!(read > 0);
        assert_eq!(of(proofs.standing(&reading, &link).await).await, (first.clone(), 0));
        assert_eq!(of(proofs.standing(&reading, &dump("copy.sql")).await).await, (first.clone(), 0));
        assert!(of(proofs.anew(&reading, &link).await).await.1 > 0);
        // Another process has proved nothing, and another file is another backup.
        assert!(of(Proofs::default().standing(&reading, &link).await).await.1 > 0);
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(dump("inserts.sql"), &link).unwrap();
        let (other, read) = of(proofs.standing(&reading, &link).await).await;
        assert!(other != first && read > 0);
    }

    #[tokio::test]
    async fn what_is_written_while_it_is_read_is_not_judged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dump.sql");
        std::fs::copy(dump("copy.sql"), &path).unwrap();
        let (writes, once) = (path.clone(), AtomicU64::new(0));
        let reading = telling(move || {
            if once.fetch_add(1, Ordering::Relaxed) > 0 {
                return;
            }
            let mut file = std::fs::OpenOptions::new().append(true).open(&writes).unwrap();
            file.write_all(b"-- more of it\n").unwrap();
        });
        let failure = Proofs::default().anew(&reading, &path).await.unwrap_err();
        assert_eq!(failure.code, "runplan::archive::changed", "{failure:?}");
        assert!(failure.message.contains("changed while it was read") && !failure.permanent, "{failure:?}");
    }

    #[test]
    fn a_change_may_hide_behind_one_of_the_same_instant() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dump.sql");
        std::fs::write(&path, "x").unwrap();
        let (_, print) = look(&path).unwrap();
        let at = print.0[0].1.changed.0;
        assert!(!print.is_settled(at) && !print.is_settled(at + TICK) && print.is_settled(at + TICK + 1));
        std::fs::write(Manifest::path(&path), "{}").unwrap();
        assert_ne!(look(&path).unwrap().1, print, "its manifest belongs to it");
        assert!(look(&directory.path().join("nothing")).is_err());
    }
}
