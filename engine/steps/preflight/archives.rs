//! The backups that steps will read: there, readable, of a known format, whole as far as their outside shows, and from when.

use super::Options;
use super::concern::{Concern, Found};
use super::late::{self, Known};
use super::signs::{self, Signs};
use super::size::bytes;
use super::uses::{ArchiveUse, Uses};
use crate::clock;
use crate::steps::world::World;
use futures_util::future::join_all;
use std::path::{Path, PathBuf};

pub async fn look(world: &World, options: &Options, uses: &Uses) -> Found {
    let mut found = Found::default();
    let asked = uses.archives.iter().map(|used| one(world, options, used));
    join_all(asked).await.into_iter().for_each(|one| found.extend(one));
    found
}

async fn one(world: &World, options: &Options, used: &ArchiveUse) -> Found {
    let mut found = Found::default();
    let path = match late::plain(world, &used.path).await {
        Known::Now(path) => world.directory.join(path),
        Known::After(step) => {
            found.fact(&used.step, format!("its backup: not checkable before {step}"));
            return found;
        }
        Known::Never(failure) => {
            found.add(Concern::of_failure(&failure).step(&used.step));
            return found;
        }
    };
    let asked = path.clone();
    // A network disk may take its time.
    let looking = tokio::task::spawn_blocking(move || signs::look(&asked));
    match tokio::time::timeout(options.limit, looking).await {
        Ok(Ok(Ok(signs))) => tell(&path, &signs, used, &mut found),
        Ok(Ok(Err(failure))) => found.add(Concern::of_failure(&failure).step(&used.step)),
        Ok(Err(_)) | Err(_) => {
            let message =
                format!("{} could not be looked at within {} s", path.display(), options.limit.as_secs());
            found.add(
                Concern::error("backup_unreadable", message)
                    .step(&used.step)
                    .help("see whether its disk answers"),
            );
        }
    }
    found
}

fn tell(path: &Path, signs: &Signs, used: &ArchiveUse, found: &mut Found) {
    let Signs { format, taken_at, manifest, .. } = signs;
    let when = if *manifest {
        format!("taken at {taken_at}")
    } else {
        format!("written at {taken_at}, no manifest")
    };
    found.fact(path.display(), format!("{format}, {}, {when}", bytes(signs.bytes)));
    let age = taken_at.parse::<jiff::Timestamp>().ok().map(|taken| clock::now().duration_since(taken));
    if let (Some(limit), Some(age)) = (used.max_age, age)
        && age.as_millis() > i128::from(limit.ms)
    {
        let path: PathBuf = path.into();
        let message = format!("the backup {} is older than {limit}: {when}", path.display());
        found.add(Concern::error("backup_old", message).step(&used.step).help("take or name a younger one"));
    }
}
