//! The backups that the steps will read, each proved once for all questions about it: by its manifest's checksums, else read
//! to its end, as the step itself will before it touches anything. Must never take a part for the whole.

use super::Options;
use super::late::{self, Known};
use super::uses::Uses;
use crate::clock;
use crate::plan::Text;
use crate::run::Failure;
use crate::steps::archive::{self, Inspection, Reading};
use crate::steps::world::World;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// By their paths, from the plan's directory.
pub struct Backups {
    read: BTreeMap<PathBuf, Result<Inspection, Failure>>,
}

impl Backups {
    /// Reads all that are known by now, one after the other.
    pub async fn read(world: &World, options: &Options, uses: &Uses) -> Self {
        let mut read: BTreeMap<PathBuf, _> = BTreeMap::new();
        for used in &uses.archives {
            if let Known::Now(path) = late::plain(world, &used.path).await {
                let path = world.directory.join(path);
                if let Entry::Vacant(new) = read.entry(path) {
                    let proved = prove(world, options, new.key()).await;
                    new.insert(proved);
                }
            }
        }
        Self { read }
    }

    /// What was found out about one.
    pub fn at(&self, path: &Path) -> Option<&Result<Inspection, Failure>> {
        self.read.get(path)
    }

    /// The one that a text names, if it is known and nothing is wrong with it: that is said where archives are looked at.
    pub async fn whole(&self, world: &World, text: &Text) -> Option<(PathBuf, &Inspection)> {
        let Known::Now(path) = late::plain(world, text).await else { return None };
        let path = world.directory.join(path);
        let found = self.at(&path)?.as_ref().ok()?;
        Some((path, found))
    }
}

/// How long reading may take to end.
const ENDING: Duration = Duration::from_secs(2);

/// Reads one as long as it moves; a disk that gives nothing any more is not waited for.
async fn prove(world: &World, options: &Options, path: &Path) -> Result<Inspection, Failure> {
    let (cancelled, moved) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let (moves, told, whose) = (moved.clone(), options.told.clone(), path.to_owned());
    let progress = move |bytes| {
        moves.fetch_add(1, Ordering::Relaxed);
        told(&whose, bytes);
    };
    let reading = Reading { progress: Arc::new(progress), ..Reading::new(&world.programs, &cancelled) };
    let reads = world.proofs.standing(&reading, path);
    if let Some(found) = moving(reads, &moved, options.limit, &cancelled).await {
        return found;
    }
    let why = format!("nothing more of it could be read within {} s", options.limit.as_secs());
    Err(archive::unusable("unreadable", path, why).help("see whether its disk answers"))
}

/// What work gives that moves; None: it did not for as long as the limit, and was told to end.
async fn moving<T>(
    work: impl Future<Output = T>,
    moved: &AtomicU64,
    limit: Duration,
    cancelled: &CancellationToken,
) -> Option<T> {
    tokio::pin!(work);
    let mut before = 0;
    loop {
        tokio::select! {
            done = &mut work => return Some(done),
            () = clock::sleep(limit) => {}
        }
        let now = moved.load(Ordering::Relaxed);
        if now == before {
            cancelled.cancel();
            // A program is ended by that; a thread that the disk holds is left.
            let _ = tokio::time::timeout(ENDING, &mut work).await;
            return None;
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_stands_still_is_told_to_end() {
        let (moved, cancelled) = (AtomicU64::new(0), CancellationToken::new());
        let limit = Duration::from_millis(20);
        assert_eq!(moving(cancelled.clone().cancelled_owned(), &moved, limit, &cancelled).await, None);
        assert!(cancelled.is_cancelled());
        let moves = async {
            for _ in 0..10 {
                moved.fetch_add(1, Ordering::Relaxed);
                clock::sleep(Duration::from_millis(300)).await;
            }
        };
        let done = moving(moves, &moved, Duration::from_secs(1), &CancellationToken::new()).await;
        assert_eq!(done, Some(()), "longer than the limit, but it moved");
    }
}
