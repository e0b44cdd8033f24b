//! Where definitions come from: a backup of any format, or a database as pg_dump writes it. Must never hold rows, and never
//! take a text for a schema that pg_dump did not write to its end.

use super::archive::{self, Format, Manifest, Origin, Packing, Reading};
use super::attempt::Attempt;
use super::client;
use super::failures::failure_of;
use super::stop;
use super::targets::Target;
use crate::postgres::{Connection, Programs, Settings, identity};
use crate::process;
use crate::run::Failure;
use crate::secret::Secret;
use crate::sql::schema::{Collector, Schema};
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// What pg_dump and pg_restore leave out: who owns what, where it lies, what is said about it.
const ONLY: [&str; 9] = [
    "--schema-only",
    "--no-owner",
    "--no-privileges",
    "--no-comments",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
    "--no-tablespaces",
    "--no-sync",
];
/// What a dump says in its head.
const DUMPED_FROM: &str = "-- Dumped from database version ";

/// A backup's definitions.
pub struct Source {
    pub schema: Schema,
    /// Of the server that it was dumped from, if it says so.
    pub major: Option<u32>,
}

/// Reads the definitions of a backup.
pub async fn of_backup(reading: &Reading, path: &Path) -> Result<Source, Failure> {
    let (collector, major) = collect(reading, path, &ONLY).await?;
    let manifest = Manifest::read(path)?.map(|manifest| manifest.server.major());
    Ok(Source { schema: finish(collector, &path.display().to_string())?, major: manifest.or(major) })
}

/// The roles that a backup names as owners, in privileges and in policies, but for those that every server has.
///
/// # Errors
/// It cannot be read.
pub async fn roles(programs: &Programs, path: &Path) -> Result<Vec<String>, Failure> {
    let reading = Reading::new(programs, &CancellationToken::new());
    let (collector, _) = collect(&reading, path, &["--schema-only"]).await?;
    if let Some(why) = collector.unreadable {
        return Err(archive::unusable("unreadable", path, why));
    }
    Ok(collector.finish().1.roles.into_iter().filter(|role| !role.starts_with("pg_")).collect())
}

async fn collect(
    reading: &Reading,
    path: &Path,
    flags: &[&str],
) -> Result<(Collector, Option<u32>), Failure> {
    let format = archive::recognise(path)?;
    let Format::Plain(packing) = format else {
        let origin = archive::origin(path, format);
        let program = archive::restorer(&reading.programs, origin.as_ref(), 0)?.path;
        let mut argv = vec![program.into_os_string()];
        argv.extend(flags.iter().filter(|flag| **flag != "--no-sync").map(OsString::from));
        argv.extend(["-f", "-", "--"].map(OsString::from));
        argv.push(path.as_os_str().to_owned());
        let what = path.display().to_string();
        let collector = gather(&reading.cancelled, argv, client::quiet(), &what).await?;
        return Ok((collector, origin.as_ref().and_then(major)));
    };
    let (reading, path) = (reading.clone(), path.to_owned());
    archive::blocking(move || read_text(&reading, &path, packing)).await
}

/// Dumps a database that is only read, into a file for a rehearsal.
///
/// # Errors
/// It cannot be reached or read.
pub async fn copy_out(
    programs: &Programs,
    settings: &Settings,
    with_rows: bool,
    path: &Path,
) -> Result<(), Failure> {
    let settings = settings.with_setting("default_transaction_read_only", "on");
    let connection =
        Connection::connect(&settings, "runplan:clone").await.map_err(|error| failure_of(&error))?;
    let version = identity::server_version(&connection).await.map_err(|error| failure_of(&error))?;
    let program = programs.find("pg_dump", version / 10_000).map_err(|error| failure_of(&error))?;
    let mut argv: Vec<OsString> = vec![program.path.into_os_string()];
    argv.extend(["--format=custom", "--no-sync", "--lock-wait-timeout=30s"].map(OsString::from));
    if !with_rows {
        argv.push("--schema-only".into());
    }
    argv.push(format!("--file={}", path.display()).into());
    argv.push(format!("--dbname={}", settings.client_conninfo()).into());
    let env = environment(settings.with_application_name("runplan:clone").client_environment());
    let nothing = |(): &mut (), _: &[u8]| true;
    let asked = process::stream(argv, env, &CancellationToken::new(), (), nothing).await;
    let failure = |why: String| {
        let message = format!("database {} cannot be cloned: {why}", settings.database());
        Failure::new("runplan::rehearse::clone", message)
            .help("the user needs SELECT on every table; a clone of definitions alone is `--clone schema`")
    };
    let (ended, ()) = asked.map_err(|error| failure(error.to_string()))?;
    match ended.success {
        true => Ok(()),
        false => Err(failure(client::gist(&ended.stderr))),
    }
}

/// Loads such a file into an empty database of a throw-away server.
///
/// # Errors
/// It does not go in.
pub async fn copy_in(programs: &Programs, path: &Path, settings: &Settings) -> Result<(), Failure> {
    let origin = archive::recognise(path).ok().and_then(|format| archive::origin(path, format));
    let program = archive::restorer(programs, origin.as_ref(), 0)?.path;
    let mut argv: Vec<OsString> = vec![program.into_os_string(), "--exit-on-error".into()];
    // Nothing of the real server's disks is here.
    argv.push("--no-tablespaces".into());
    argv.push(format!("--dbname={}", settings.client_conninfo()).into());
    argv.extend(["--".into(), path.as_os_str().to_owned()]);
    let env = environment(settings.with_application_name("runplan:clone").client_environment());
    let nothing = |(): &mut (), _: &[u8]| true;
    let failure = |why: String| {
        Failure::new("runplan::rehearse::clone", format!("the clone cannot be loaded here: {why}"))
            .help("its extensions, and a server as new as the real one, must be on this machine (--pg-bin)")
    };
    let asked = process::stream(argv, env, &CancellationToken::new(), (), nothing).await;
    let (ended, ()) = asked.map_err(|error| failure(error.to_string()))?;
    match ended.success {
        true => Ok(()),
        false => Err(failure(client::gist(&ended.stderr))),
    }
}

/// What a program gets of its connection; the password is in it, and nowhere else.
fn environment(connection: Vec<(String, Secret)>) -> Vec<(String, String)> {
    let mut env = client::quiet();
    env.extend(connection.into_iter().map(|(name, value)| (name, value.expose().to_owned())));
    env
}

/// Reads the definitions of a database, in one read-only transaction of pg_dump's.
pub async fn of_database(attempt: &Attempt, target: &Target, major: u32) -> Result<Schema, Failure> {
    let program = attempt.world.programs.find("pg_dump", major).map_err(|error| failure_of(&error))?;
    let mut argv = vec![program.path.into_os_string()];
    argv.extend(ONLY.map(OsString::from));
    argv.push("--encoding=UTF8".into());
    argv.push("--lock-wait-timeout=30s".into());
    argv.push(format!("--dbname={}", target.settings.client_conninfo()).into());
    let env = environment(client::environment(attempt, &target.settings));
    let what = format!("database {}", target.database);
    finish(gather(&attempt.cancelled, argv, env, &what).await?, &what)
}

async fn gather(
    cancelled: &CancellationToken,
    argv: Vec<OsString>,
    env: Vec<(String, String)>,
    what: &str,
) -> Result<Collector, Failure> {
    let failure = |why: String| Failure::new("runplan::verify::schema", format!("{what}: {why}"));
    let take = |(collector, refusal): &mut (Collector, Option<_>), bytes: &[u8]| match collector.feed(bytes) {
        Ok(()) => true,
        Err(refused) => {
            *refusal = Some(refused);
            false
        }
    };
    let taker = (Collector::default(), None);
    let (ended, (collector, refusal)) = process::stream(argv, env, cancelled, taker, take)
        .await
        .map_err(|error| failure(error.to_string()))?;
    if ended.cancelled {
        return Err(stop::cancelled());
    }
    if let Some(refusal) = refusal {
        return Err(failure_of(&refusal));
    }
    if !ended.success {
        return Err(failure(format!("its definitions cannot be read: {}", client::gist(&ended.stderr)))
            .help("the user who asks needs SELECT on every table: GRANT pg_read_all_data TO it, or name `tables`"));
    }
    Ok(collector)
}

fn finish(collector: Collector, what: &str) -> Result<Schema, Failure> {
    let unreadable = collector.unreadable;
    let (schema, summary) = collector.finish();
    let why = match unreadable {
        Some(why) => why,
        None if !summary.is_complete_dump() => "it was not written by pg_dump, or is cut short",
        None => return Ok(schema),
    };
    Err(Failure::new(
        "runplan::verify::schema",
        format!("{what}: {why}, so its definitions cannot be compared"),
    )
    .help("compare with a backup that pg_dump wrote, or ask with `counts` and `sql`")
    .permanent())
}

fn read_text(reading: &Reading, path: &Path, packing: Packing) -> Result<(Collector, Option<u32>), Failure> {
    let said = |error: std::io::Error| archive::unusable("damaged", path, error);
    let mut text = archive::unpack(path, packing).map_err(said)?;
    let mut collector = Collector::default();
    let mut chunk = vec![0; 1 << 18];
    let mut major = None;
    let mut is_first = true;
    loop {
        let count = match text.read(&mut chunk).map_err(said)? {
            0 => break,
            count => count,
        };
        if reading.cancelled.is_cancelled() {
            return Err(stop::cancelled());
        }
        let bytes = chunk.get(..count).unwrap_or_default();
        if std::mem::take(&mut is_first) {
            archive::refuse_binary(path, bytes.get(..4096).unwrap_or(bytes))?;
            major = dumped_from(bytes);
        }
        collector.feed(bytes).map_err(|refusal| failure_of(&refusal).permanent())?;
    }
    Ok((collector, major))
}

fn dumped_from(head: &[u8]) -> Option<u32> {
    let head = String::from_utf8_lossy(head.get(..4096).unwrap_or(head)).into_owned();
    number(head.split_once(DUMPED_FROM)?.1)
}

fn major(origin: &Origin) -> Option<u32> {
    number(&origin.server_version)
}

/// The number that a text begins with.
fn number(text: &str) -> Option<u32> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
