//! A backup on its way into an empty database: pg_restore for archives, the feeder for SQL. The first error ends it. The
//! supervisor runs either, so it outlives the engine.

use super::super::archive::{self, Format};
use super::super::attempt::{Attempt, Unit};
use super::super::backup::jobs;
use super::super::client;
use super::super::failures::failure_of;
use super::super::feeder::{FEED, Feed, Source as Feeding};
use super::super::stop::Stop;
use super::{Source, needs};
use crate::plan::action::Restore;
use crate::plan::action::restore::Owners;
use crate::postgres::{Connection, Settings, escape_literal};
use crate::process::{self, Command, Exit, Running};
use crate::run::Failure;
use crate::sql::{is_called, parts_of};
use std::ffi::OsString;
use std::path::PathBuf;

/// The supervisor's name for the load.
pub fn key(attempt: &Attempt) -> String {
    format!("{}.load", attempt.key)
}

/// How many sessions may work at once.
pub fn jobs_of(action: &Restore) -> u16 {
    action.jobs.as_ref().map_or_else(jobs, |jobs| jobs.value.max(1))
}

/// pg_restore into a database of its own; several jobs at once.
pub async fn archive(
    attempt: &Attempt,
    action: &Restore,
    source: &Source,
    settings: &Settings,
    major: u32,
) -> Result<Command, Stop> {
    let program = archive::restorer(&attempt.world.programs, source.found.origin.as_ref(), major)?.path;
    let jobs = match source.found.format {
        Format::Tar => 1,
        _ => jobs_of(action),
    };
    let mut arguments = vec![
        "--exit-on-error".to_owned(),
        format!("--jobs={jobs}"),
        format!("--dbname={}", settings.client_conninfo()),
    ];
    if action.owners == Owners::Skip {
        arguments.extend(["--no-owner".to_owned(), "--no-privileges".to_owned()]);
    }
    if let Some(tables) = &source.tables {
        let list = choose(attempt, source, &program, tables).await?;
        arguments.push(format!("--use-list={}", list.display()));
    }
    arguments.push("--".to_owned());
    arguments.push(source.path.display().to_string());
    Ok(client::command(attempt, &program, arguments, settings))
}

/// The archive's table of contents without the rows of other tables, and without foreign keys, which those rows would
/// break. The schema is restored whole: types, functions and keys belong together.
async fn choose(
    attempt: &Attempt,
    source: &Source,
    program: &std::path::Path,
    tables: &[String],
) -> Result<PathBuf, Stop> {
    let argv = ["-l".as_ref(), "--".as_ref(), source.path.as_os_str()];
    let argv: Vec<OsString> =
        std::iter::once(program.as_os_str()).chain(argv).map(std::ffi::OsStr::to_owned).collect();
    let keep = |text: &mut Vec<u8>, bytes: &[u8]| {
        text.extend_from_slice(bytes);
        true
    };
    let (ended, list) = process::stream(argv, client::quiet(), &attempt.cancelled, Vec::new(), keep)
        .await
        .map_err(|error| Failure::new("runplan::restore::list", error.to_string()))?;
    if !ended.success {
        return Err(Failure::new("runplan::restore::list", client::gist(&ended.stderr)).into());
    }
    let known: Vec<&str> = source.found.tables.keys().map(String::as_str).collect();
    let list = chosen(&String::from_utf8_lossy(&list), tables, &known).map_err(|missing| {
        Failure::new("runplan::restore::no_table", format!("the backup has no rows of {missing}"))
            .help(format!("it has {}", source.found.tables.keys().cloned().collect::<Vec<_>>().join(", ")))
            .permanent()
    })?;
    let path = attempt.world.files()?.join(format!("{}.list", attempt.key));
    std::fs::write(&path, list).map_err(|error| super::super::failures::file(&path, &error))?;
    Ok(path)
}

/// Filters a table of contents; an error names a table that is not in it. A name ends where a blank is, or does not, as
/// the tables that the backup is known to have tell.
fn chosen(list: &str, tables: &[String], known: &[&str]) -> Result<String, String> {
    let mut missing: Vec<&String> = tables.iter().collect();
    let mut kept = String::new();
    for line in list.lines() {
        // `3345; 0 16385 TABLE DATA public users postgres`
        let entry = line.split_once("; ").and_then(|(_, rest)| rest.splitn(3, ' ').nth(2)).unwrap_or("");
        let keep = if let Some(data) = entry.strip_prefix("TABLE DATA ") {
            let named = tables.iter().filter(|table| is_of(data, table, known)).collect::<Vec<_>>();
            missing.retain(|table| !named.contains(table));
            !named.is_empty()
        } else {
            !["FK CONSTRAINT ", "MATERIALIZED VIEW DATA ", "BLOB"].iter().any(|kind| entry.starts_with(kind))
        };
        if keep {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    match missing.first() {
        Some(missing) => Err((*missing).clone()),
        None => Ok(kept),
    }
}

/// Whether `public my table owner` is of the table that was asked for.
fn is_of(data: &str, table: &str, known: &[&str]) -> bool {
    let begins = |name: &&&str| {
        let (schema, name) = parts_of(name);
        schema.is_some_and(|schema| data.starts_with(&format!("{schema} {name} ")))
    };
    match known.iter().filter(begins).max_by_key(|name| name.len()) {
        Some(name) => is_called(name, table),
        None => match table.split_once('.') {
            Some((schema, name)) => data.starts_with(&format!("{schema} {name} ")),
            None => data.split_once(' ').is_some_and(|(_, rest)| rest.starts_with(&format!("{table} "))),
        },
    }
}

/// What the feeder reads, and its checksum where the file itself is read.
pub fn feeding(
    attempt: &Attempt,
    action: &Restore,
    source: &Source,
    major: u32,
) -> Result<(Feeding, Option<String>), Stop> {
    if let Format::Plain(packing) = source.found.format {
        let feeding = Feeding::Plain { path: source.path.clone(), packing };
        return Ok((feeding, Some(source.found.sha256.clone())));
    }
    let program = archive::restorer(&attempt.world.programs, source.found.origin.as_ref(), major)?;
    let mut argv = vec![program.path.display().to_string(), "--file=-".to_owned()];
    if action.owners == Owners::Skip {
        argv.extend(["--no-owner".to_owned(), "--no-privileges".to_owned()]);
    }
    argv.extend(["--".to_owned(), source.path.display().to_string()]);
    Ok((Feeding::Program { argv }, None))
}

/// Whether the pg_restore that reads the archive sends settings that the server does not know.
pub fn is_ahead(attempt: &Attempt, source: &Source, major: u32) -> Result<bool, Stop> {
    if !source.found.format.is_archive() {
        return Ok(false);
    }
    let program = archive::restorer(&attempt.world.programs, source.found.origin.as_ref(), major)?;
    Ok(needs::is_ahead(program.major, major))
}

/// psql for a server.
pub fn psql(attempt: &Attempt, major: u32) -> Result<PathBuf, Stop> {
    Ok(attempt.world.programs.find("psql", major).map_err(|error| failure_of(&error))?.path)
}

/// The feeder, for plain SQL or, in place, for an archive turned into SQL.
pub fn feeder(attempt: &Attempt, feed: &Feed, settings: &Settings) -> Result<Command, Stop> {
    let path = attempt.world.files()?.join(format!("{}.feed.json", attempt.key));
    serde_json::to_vec(feed)
        .map_err(std::io::Error::other)
        .and_then(|text| std::fs::write(&path, text))
        .map_err(|error| super::super::failures::file(&path, &error))?;
    let path = std::path::absolute(&path).unwrap_or(path);
    let arguments = [FEED.to_owned(), path.display().to_string()];
    Ok(client::command(attempt, &attempt.world.exe, arguments, settings))
}

/// Waits for the load while the growing database is measured.
pub async fn watch(
    attempt: &Attempt,
    running: Running,
    server: &Connection,
    database: &str,
    total: Option<u64>,
) -> Result<Exit, Stop> {
    let sql = format!("SELECT pg_catalog.pg_database_size({}::pg_catalog.name)", escape_literal(database));
    let look = client::repeatedly(|| async {
        if let Ok(bytes) = server.one(&sql).await {
            attempt.progress("restoring", bytes.parse().unwrap_or(0), total, Unit::Bytes);
        }
    });
    client::wait(attempt, running, &key(attempt), look).await
}

/// How the load ended.
pub fn judge(exit: &Exit) -> Result<(), Stop> {
    match exit.success() {
        true => Ok(()),
        false => Err(client::complaint("runplan::restore::load", "the restore", exit).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::chosen;

    const LIST: &str = "; comment\n215; 1259 1 TABLE public users postgres\n216; 0 1 TABLE DATA public users postgres\n\
        217; 0 2 TABLE DATA other users postgres\n218; 0 3 TABLE DATA public users_old postgres\n\
        219; 2606 4 FK CONSTRAINT public users users_fk postgres\n220; 2606 5 CONSTRAINT public users users_pkey postgres\n";

    #[test]
    fn only_the_rows_of_chosen_tables_stay() {
        let kept = chosen(LIST, &["public.users".to_owned()], &[]).unwrap();
        assert!(kept.contains("216;") && kept.contains("215;") && kept.contains("220;"), "{kept}");
        assert!(!kept.contains("217;") && !kept.contains("218;") && !kept.contains("219;"), "{kept}");
        let kept = chosen(LIST, &["users".to_owned()], &[]).unwrap();
        assert!(kept.contains("216;") && kept.contains("217;") && !kept.contains("218;"), "{kept}");
        assert_eq!(chosen(LIST, &["escrows".to_owned()], &[]).unwrap_err(), "escrows");
    }

    #[test]
    fn names_with_blanks_are_told_apart() {
        let list = "1; 0 1 TABLE DATA public my postgres\n2; 0 2 TABLE DATA public my table postgres\n";
        let known = ["public.my", "public.my table"];
        let of = |tables: &[&str]| {
            chosen(list, &tables.iter().map(|table| (*table).to_owned()).collect::<Vec<_>>(), &known).unwrap()
        };
        assert_eq!(of(&["public.my"]), "1; 0 1 TABLE DATA public my postgres\n");
        assert_eq!(of(&["my table"]), "2; 0 2 TABLE DATA public my table postgres\n");
        assert_eq!(of(&["my", "public.my", "my table"]), list);
    }
}
