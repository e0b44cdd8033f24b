//! Whether a restore will fit on the server's disk, asked before it begins: a disk that fills up in the end stops the server,
//! and not only the restore. Reads only; what it cannot see it says.

use super::super::archive::Inspection;
use super::super::attempt::Attempt;
use super::super::backup::readable_size as size;
use super::super::database::Database;
use super::super::disk;
use super::super::stop::Stop;
use super::Source;
use crate::postgres::{Connection, identity};
use crate::run::Failure;

/// Indexes that are being built, and the WAL on its way.
const SPARE_PERCENT: u64 = 20;
const GUESS: &str = "if the backup holds as much as the database does now";
/// Whoever accepts this of preflight has looked at the disk.
const ACCEPTED: &str = "runplan::preflight::disk_full";

/// Refuses a disk on which the backup does not fit, and warns of one that may be too small or cannot be seen.
pub(super) async fn check(
    attempt: &Attempt,
    server: &Connection,
    into: &Database,
    source: &Source,
) -> Result<(), Stop> {
    if source.tables.is_some() {
        // Nobody wrote down how large each table was.
        return Ok(());
    }
    let needed = Needed::of(Some(&source.found), into.size);
    let identity = identity::read(server).await?;
    let places = match disk::places(server, &into.name, &identity.system_identifier).await {
        Ok(places) => places,
        Err(why) => {
            attempt
                .warn(format!("the server's disk cannot be seen ({why}); the restore needs {needed} there"));
            return Ok(());
        }
    };
    for place in places {
        let free = match disk::free(&place) {
            Ok(free) => free,
            Err(why) => {
                attempt.warn(format!(
                    "the server's disk ({}) cannot be seen: {why}; the restore needs {needed} there",
                    place.display()
                ));
                continue;
            }
        };
        let message = format!(
            "the server's disk ({}) has {} free, and the restore needs {needed}",
            place.display(),
            size(free)
        );
        if free < needed.least && !attempt.world.has_accepted(ACCEPTED) {
            return Err(refused(message).into());
        }
        if free < needed.wanted() {
            attempt.warn(message);
        }
    }
    Ok(())
}

fn refused(message: String) -> Failure {
    Failure::new("runplan::restore::disk", message).help(
        "make room there, then resume: a full disk stops the server; `runplan prune` names what earlier runs kept",
    )
}

/// How much, and how that is known.
pub struct Needed {
    /// Less than this is certainly too little.
    pub least: u64,
    pub likely: u64,
    why: &'static str,
}

impl Needed {
    /// For a backup beside or over a database of this size; None: nobody knows the backup yet.
    pub fn of(found: Option<&Inspection>, size: u64) -> Self {
        let Some(found) = found else {
            return Self { least: size, likely: size, why: GUESS };
        };
        match &found.manifest {
            Some(manifest) if manifest.scope.is_empty() => Self {
                least: manifest.database_bytes,
                likely: manifest.database_bytes,
                why: "as large as the database was when it was backed up",
            },
            None if size > found.bytes => Self { least: found.bytes, likely: size, why: GUESS },
            _ => Self { least: found.bytes, likely: found.bytes, why: "at least what the backup itself has" },
        }
    }

    /// With what is only needed meanwhile.
    pub fn wanted(&self) -> u64 {
        self.likely.saturating_add(self.likely / 100 * SPARE_PERCENT)
    }
}

impl std::fmt::Display for Needed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "about {} ({})", size(self.likely), self.why)
    }
}
