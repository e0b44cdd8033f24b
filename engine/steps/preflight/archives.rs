//! The backups that steps will read: there, whole, of a known format, from when, and holding what the step wants of them.

use super::backups::Backups;
use super::concern::{Concern, Found};
use super::late::{self, Known};
use super::listed;
use super::size::bytes;
use super::uses::{ArchiveUse, Uses};
use crate::clock;
use crate::plan::Text;
use crate::process;
use crate::run::Failure;
use crate::sql::is_called;
use crate::steps::archive::{self, Inspection};
use crate::steps::client;
use crate::steps::world::World;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub async fn look(world: &World, limit: Duration, backups: &Backups, uses: &Uses) -> Found {
    let mut found = Found::default();
    for used in &uses.archives {
        let path = match late::plain(world, &used.path).await {
            Known::Now(path) => world.directory.join(path),
            Known::After(step) => {
                found.fact(&used.step, format!("its backup: not checkable before {step}"));
                continue;
            }
            Known::Never(failure) => {
                found.add(Concern::of_failure(&failure).step(&used.step));
                continue;
            }
        };
        match backups.at(&path) {
            Some(Ok(inspected)) => {
                tell(&path, inspected, used, &mut found);
                holds(world, limit, &path, inspected, used, &mut found).await;
            }
            Some(Err(failure)) => found.add(Concern::of_failure(failure).step(&used.step)),
            None => {}
        }
    }
    found
}

fn tell(path: &Path, inspected: &Inspection, used: &ArchiveUse, found: &mut Found) {
    let written = path.metadata().and_then(|meta| meta.modified()).ok();
    let written = written.and_then(|time| jiff::Timestamp::try_from(time).ok()).map(|at| format!("{at:.0}"));
    let (taken_at, when) = match (&inspected.taken_at, written) {
        (Some(at), _) => (at.clone(), format!("taken at {at}")),
        (None, Some(at)) => (at.clone(), format!("written at {at}, no manifest")),
        (None, None) => (String::new(), "no manifest".to_owned()),
    };
    let proof = match (&inspected.manifest, inspected.complete) {
        (Some(_), _) => "its checksums are right",
        (None, true) => "read to its end",
        (None, false) => "read to its end, and nothing says that this is all",
    };
    found.fact(path.display(), format!("{}, {}, {when}, {proof}", inspected.format, bytes(inspected.bytes)));
    let age = taken_at.parse::<jiff::Timestamp>().ok().map(|taken| clock::now().duration_since(taken));
    if let (Some(limit), Some(age)) = (used.max_age, age)
        && age.as_millis() > i128::from(limit.ms)
    {
        let message = format!("the backup {} is older than {limit}: {when}", path.display());
        found.add(Concern::error("backup_old", message).step(&used.step).help("take or name a younger one"));
    }
}

/// Whether the tables that the step wants are in it, and a program is here that reads it.
async fn holds(
    world: &World,
    limit: Duration,
    path: &Path,
    inspected: &Inspection,
    used: &ArchiveUse,
    found: &mut Found,
) {
    let mut tables: Vec<String> = inspected.tables.keys().cloned().collect();
    // Rows that are INSERTs leave no sign of a table without any; the table of contents has all.
    if inspected.format.is_archive() {
        match tokio::time::timeout(limit, contents(world, path, inspected.format)).await {
            Ok(Ok(list)) => {
                let listed = list.lines().filter_map(rows_of);
                let new: Vec<String> =
                    listed.filter(|name| !tables.iter().any(|key| is_called(key, name))).collect();
                tables.extend(new);
            }
            Ok(Err(failure)) => {
                found.add(Concern::of_failure(&failure).step(&used.step));
                return;
            }
            Err(_) => {}
        }
        tables.sort();
    }
    let wanted = known(world, &used.tables).await;
    let holds = |wanted: &String| tables.iter().any(|name| is_called(name, wanted));
    let missing: Vec<String> = wanted.iter().filter(|wanted| !holds(wanted)).cloned().collect();
    if !missing.is_empty() {
        let message = format!("the backup {} does not hold {}", path.display(), listed(&missing, 5));
        let help = match tables.is_empty() {
            true => "it holds no rows at all: name another backup".to_owned(),
            false => format!("name another backup; it holds {}", listed(&tables, 12)),
        };
        found.add(Concern::error("backup_incomplete", message).step(&used.step).help(help));
    }
}

async fn known(world: &World, texts: &[Text]) -> Vec<String> {
    let mut names = Vec::new();
    for text in texts {
        if let Known::Now(name) = late::plain(world, text).await {
            names.push(name);
        }
    }
    names
}

/// An archive's table of contents.
async fn contents(world: &World, path: &Path, format: archive::Format) -> Result<String, Failure> {
    let origin = archive::origin(path, format);
    let program = archive::restorer(&world.programs, origin.as_ref(), 0)?;
    let mut argv: Vec<OsString> = vec![program.path.into(), "-l".into(), "--".into()];
    argv.push(path.as_os_str().to_owned());
    let keep = |text: &mut Vec<u8>, bytes: &[u8]| {
        text.extend_from_slice(bytes);
        text.len() < LONGEST_LIST
    };
    let asked = process::stream(argv, client::quiet(), &CancellationToken::new(), Vec::new(), keep).await;
    let (ended, list) = asked.map_err(|error| archive::unusable("unreadable", path, error))?;
    if !ended.success && !ended.refused {
        let why = format!("pg_restore cannot read it: {}", client::gist(&ended.stderr));
        return Err(archive::unusable("damaged", path, why).help("use another backup"));
    }
    Ok(String::from_utf8_lossy(&list).into_owned())
}

/// Of a table of contents so much is read.
const LONGEST_LIST: usize = 16 << 20;

/// `216; 0 16385 TABLE DATA public users postgres`: its last word is the owner.
fn rows_of(line: &str) -> Option<String> {
    let entry = line.split_once("; ")?.1.splitn(3, ' ').nth(2)?.strip_prefix("TABLE DATA ")?;
    let (schema, rest) = entry.split_once(' ')?;
    let (table, _owner) = rest.rsplit_once(' ')?;
    Some(format!("{schema}.{table}"))
}

#[cfg(test)]
mod tests {
    use super::rows_of;

    #[test]
    fn a_table_of_contents_names_its_tables() {
        assert_eq!(rows_of("216; 0 16385 TABLE DATA public users postgres").as_deref(), Some("public.users"));
        assert_eq!(rows_of("216; 0 1 TABLE DATA other Odd name app").as_deref(), Some("other.Odd name"));
        for line in ["; comment", "215; 1259 1 TABLE public users postgres", ""] {
            assert_eq!(rows_of(line), None, "{line}");
        }
    }
}
