//! Sizes, and whether there is room for what the steps make. Must never say "enough" of a disk that it did not see.

use super::backups::Backups;
use super::concern::{Concern, Found};
use super::late::{self, Known};
use super::server::Server;
use super::size::bytes;
use super::steps_that;
use super::uses::{Use, What};
use crate::plan::StepId;
use crate::steps::disk;
use crate::steps::restore::room::Needed;
use crate::steps::world::World;

/// A compressed dump is smaller than its tables; how much is not known before. Below a quarter it is hopeless.
const HOPELESS: u64 = 4;

pub async fn look(world: &World, backups: &Backups, server: &Server, uses: &[&Use]) -> Found {
    let mut found = Found::default();
    let dumps = steps_that(uses, |what| matches!(what, What::Backup { .. }));
    let restores = steps_that(uses, |what| matches!(what, What::Restore { .. }));
    let Some(sizes) = sizes(server, &mut found).await else { return found };
    let tables = sizes.tables.map(|tables| format!(", {} of it in {tables} tables", bytes(sizes.data)));
    found.fact(&server.name, format!("{} in all{}", bytes(sizes.whole), tables.unwrap_or_default()));
    for dump in dumps {
        folder(world, &sizes, dump, &mut found).await;
    }
    let mut most: Option<(Needed, &Use)> = None;
    for restore in restores {
        let What::Restore { action, .. } = &restore.what else { continue };
        // Nobody wrote down how large each table was.
        let backup = backups.whole(world, &action.from).await.filter(|_| action.tables.is_none());
        let needed = Needed::of(backup.map(|(_, found)| found), sizes.whole);
        if most.as_ref().is_none_or(|(most, _)| most.likely < needed.likely) {
            most = Some((needed, restore));
        }
    }
    if let Some((needed, restore)) = most {
        server_disk(server, &needed, &restore.step, &mut found).await;
    }
    found
}

struct Sizes {
    whole: u64,
    data: u64,
    /// None: they could not be counted.
    tables: Option<u64>,
}

async fn sizes(server: &Server, found: &mut Found) -> Option<Sizes> {
    let whole = server
        .ask("its size", server.catalog.one("SELECT pg_database_size(current_database())"), found)
        .await;
    let whole = whole?.parse().ok()?;
    let sql = "SELECT coalesce(sum(pg_table_size(c.oid)), 0), count(*) FROM pg_class c \
               JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm') \
               AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";
    let row = match server.catalog.row(sql).await {
        Ok(row) => row,
        // Somebody has a table for himself now: no table is larger than the database.
        Err(error) if error.sqlstate() == Some("55P03") => {
            return Some(Sizes { whole, data: whole, tables: None });
        }
        Err(error) => {
            found.add(Concern::of_server(&error));
            return None;
        }
    };
    let number = |at: usize| row.optional(at)?.parse().ok();
    Some(Sizes { whole, data: number(0)?, tables: number(1) })
}

/// The room where a backup goes.
async fn folder(world: &World, sizes: &Sizes, used: &Use, found: &mut Found) {
    let What::Backup { to, compressed, tables, schemas, .. } = &used.what else { return };
    let path = match late::plain(world, to).await {
        Known::Now(path) => world.directory.join(path),
        Known::After(what) => {
            found.fact(&used.step, format!("room for the backup: not checkable before {what}"));
            return;
        }
        Known::Never(failure) => {
            found.add(Concern::of_failure(&failure).step(&used.step));
            return;
        }
    };
    let Some(there) = path.ancestors().find(|path| path.exists()) else { return };
    if !there.is_dir() {
        let message = format!("{} is a file, and the backup is to go into that directory", there.display());
        found.add(
            Concern::error("backup_directory", message).step(&used.step).help("name a directory in `to`"),
        );
        return;
    }
    if let Err(error) = rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
    {
        let message = format!("nothing can be written into {}: {error}", there.display());
        found.add(
            Concern::error("backup_directory", message)
                .step(&used.step)
                .help("name another directory in `to`, or mend its permissions"),
        );
        return;
    }
    let free = match disk::free(there) {
        Ok(free) => free,
        Err(why) => {
            let message = format!("how much room {} has cannot be told: {why}", there.display());
            found.add(Concern::warning("disk_unknown", message).step(&used.step).help(ACCEPT));
            return;
        }
    };
    found.fact(&used.step, format!("{} free in {}", bytes(free), there.display()));
    let whole = tables.is_none() && schemas.is_none();
    if free >= sizes.data || !whole {
        return;
    }
    let message =
        format!("{} has {} free, and the tables have {}", there.display(), bytes(free), bytes(sizes.data));
    let hopeless = !compressed || free < sizes.data / HOPELESS;
    found.add(match hopeless {
        true => Concern::error("disk_full", message)
            .step(&used.step)
            .help("make room, or name another directory in `to`"),
        false => Concern::warning("disk_tight", message).step(&used.step).help(
            "a compressed dump is usually smaller than its tables, but nobody can promise it: make room",
        ),
    });
}

const ACCEPT: &str = "look yourself, and accept it with --accept disk_unknown";

/// The room on the server's disk for the restore that needs most.
async fn server_disk(server: &Server, needed: &Needed, step: &StepId, found: &mut Found) {
    let unknown = |why: &str| {
        let message =
            format!("{}: the server's disk cannot be seen ({why}); {step} needs {needed} there", server.name);
        Concern::warning("disk_unknown", message).step(step).help(ACCEPT)
    };
    let asked = disk::places(&server.catalog, server.database(), &server.identity.system_identifier);
    let places = match asked.await {
        Ok(places) => places,
        Err(why) => {
            found.add(unknown(&why));
            return;
        }
    };
    for place in places {
        match disk::free(&place) {
            Ok(free) => {
                found.fact(
                    &server.name,
                    format!("{} free on the server's disk ({})", bytes(free), place.display()),
                );
                let message = format!(
                    "{}: the server's disk ({}) has {} free, and {step} needs {needed}",
                    server.name,
                    place.display(),
                    bytes(free),
                );
                let concern = match free {
                    free if free < needed.least => Concern::error("disk_full", message),
                    free if free < needed.wanted() => Concern::warning("disk_tight", message),
                    _ => continue,
                };
                found.add(concern.step(step).help(
                    "make room there: a full disk stops the server; `runplan status RUN` of earlier runs names what they kept",
                ));
            }
            Err(why) => found.add(unknown(&why)),
        }
    }
}
