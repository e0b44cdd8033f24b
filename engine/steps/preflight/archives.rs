//! The backups that steps will read: there, readable, of a known format, whole as far as their outside shows, and from when.

use super::Options;
use super::concern::{Concern, Found};
use super::late::{self, Known};
use super::listed;
use super::signs::{self, Signs};
use super::size::bytes;
use super::uses::{ArchiveUse, Uses};
use crate::clock;
use crate::process;
use crate::run::Failure;
use crate::sql::is_called;
use crate::steps::archive;
use crate::steps::client;
use crate::steps::world::World;
use futures_util::future::join_all;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

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
        Ok(Ok(Ok(signs))) => {
            tell(&path, &signs, used, &mut found);
            holds(world, options, &path, &signs, used, &mut found).await;
        }
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

/// Whether the tables that the step wants are in it, and a program is here that reads it. Of plain SQL only the whole text
/// would tell; the step reads it before it does anything.
async fn holds(
    world: &World,
    options: &Options,
    path: &Path,
    signs: &Signs,
    used: &ArchiveUse,
    found: &mut Found,
) {
    let mut tables = signs.tables.clone();
    if signs.format.is_archive() {
        match tokio::time::timeout(options.limit, contents(world, path, signs.format)).await {
            Ok(Ok(list)) => tables = tables.or_else(|| Some(list.lines().filter_map(rows_of).collect())),
            Ok(Err(failure)) => {
                found.add(Concern::of_failure(&failure).step(&used.step));
                return;
            }
            Err(_) => {}
        }
    }
    let mut wanted = Vec::new();
    for text in &used.tables {
        if let Known::Now(name) = late::plain(world, text).await {
            wanted.push(name);
        }
    }
    let Some(tables) = tables else {
        if !wanted.is_empty() {
            let text = format!("{}: not checkable before the step reads it whole", path.display());
            found.fact(&used.step, text);
        }
        return;
    };
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

/// An archive's table of contents.
pub(super) async fn contents(world: &World, path: &Path, format: archive::Format) -> Result<String, Failure> {
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

/// How many large objects an archive's table of contents has.
pub(super) fn large_objects(list: &str) -> u64 {
    let is_one = |line: &&str| {
        let entry = line.split_once("; ").and_then(|(_, rest)| rest.splitn(3, ' ').nth(2));
        entry.is_some_and(|entry| entry.starts_with("BLOB ") || entry.starts_with("BLOBS "))
    };
    list.lines().filter(is_one).count() as u64
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
