//! pg_dump at work: which program, with which arguments, watched to its end. The supervisor runs it, so it outlives the
//! engine and is taken up again.

use super::super::attempt::{Attempt, Unit};
use super::super::client;
use super::super::failures::failure_of;
use super::super::stop::Stop;
use super::super::targets::Target;
use super::Chosen;
use crate::plan::Text;
use crate::plan::action::Backup;
use crate::plan::action::backup::{Compress, Format};
use crate::postgres::{Program, Settings};
use crate::process::{Exit, Running, plain};
use crate::run::Failure;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The supervisor's name for the dump.
pub fn key(attempt: &Attempt) -> String {
    format!("{}.dump", attempt.key)
}

/// The pg_dump for a server, if it can do what is asked.
pub fn program(attempt: &Attempt, action: &Backup, major: u32) -> Result<Program, Stop> {
    let program = attempt.world.programs.find("pg_dump", major).map_err(|error| failure_of(&error))?;
    refuse_compression(&program, action.format, action.compress)?;
    Ok(program)
}

/// Whether a pg_dump writes an archive of that format compressed in that way. An archive is not packed once more
/// afterwards: pg_restore could then neither load it with several jobs nor find a table in it.
///
/// # Errors
/// It does not, with what does instead.
pub fn refuse_compression(
    program: &Program,
    format: Format,
    compress: Option<Compress>,
) -> Result<(), Failure> {
    let word = match compress {
        Some(Compress::Zstd) => "zstd",
        Some(Compress::Lz4) => "lz4",
        Some(Compress::Gzip | Compress::None) | None => return Ok(()),
    };
    let format = match format {
        Format::Plain => return Ok(()),
        Format::Directory => "directory",
        Format::Custom => "custom",
    };
    let why = match program.major {
        16.. if supports(program, word) => return Ok(()),
        16.. => "it was built without",
        _ => "only 16 and later can",
    };
    let message =
        format!("pg_dump {} cannot compress a {format} archive with {word}: {why}", program.version);
    Err(Failure::new("runplan::backup::compress", message)
        .help(format!(
            "use `compress: gzip`, or `format: plain, compress: {word}`, which runplan compresses itself"
        ))
        .permanent())
}

/// Asks pg_dump whether it was built with a compression: it says so before it connects.
fn supports(program: &Program, word: &str) -> bool {
    let asked = plain::command(&program.path)
        .args([
            &format!("--compress={word}"),
            "--format=custom",
            "--file=/dev/null",
            "--dbname=host=/nowhere dbname=x",
        ])
        .env_clear()
        .env("LC_ALL", "C")
        .output();
    asked.is_ok_and(|output| !String::from_utf8_lossy(&output.stderr).contains("compress"))
}

/// Dumps, and waits for the end.
pub async fn run(
    attempt: &Attempt,
    action: &Backup,
    target: &Target,
    chosen: &Chosen,
    program: &Program,
) -> Result<(), Stop> {
    let path = chosen.dumped();
    let mut arguments = arguments(action, &path, program, &target.settings);
    for (flag, texts) in [
        ("--table", &action.tables),
        ("--exclude-table", &action.exclude_tables),
        ("--schema", &action.schemas),
    ] {
        for text in texts.iter().flatten() {
            arguments.push(format!("{flag}={}", plain_text(attempt, text).await?));
        }
    }
    if action.format != Format::Directory {
        // For this user only, from its first byte on.
        std::fs::File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(|error| {
            Failure::new("runplan::backup::directory", format!("{}: {error}", path.display()))
        })?;
    }
    let command = client::command(attempt, &program.path, arguments, &target.settings);
    let running = client::start(attempt, &key(attempt), &command).await?;
    watch(attempt, chosen, running).await
}

async fn plain_text(attempt: &Attempt, text: &Text) -> Result<String, Failure> {
    attempt.plain(text).await
}

fn arguments(action: &Backup, path: &Path, program: &Program, settings: &Settings) -> Vec<String> {
    let mut arguments = vec![
        format!("--file={}", path.display()),
        format!("--dbname={}", settings.client_conninfo()),
        // A pattern that matches nothing is an error, not a smaller backup.
        "--strict-names".to_owned(),
        // Everything is put on disk after it was read back.
        "--no-sync".to_owned(),
    ];
    match action.format {
        Format::Directory => {
            let jobs = action.jobs.as_ref().map_or_else(jobs, |jobs| jobs.value.max(1));
            arguments.extend(["--format=directory".to_owned(), format!("--jobs={jobs}")]);
        }
        Format::Custom => arguments.push("--format=custom".to_owned()),
        Format::Plain => arguments.push("--format=plain".to_owned()),
    }
    if action.format != Format::Plain {
        match (action.compress, program.major) {
            (Some(Compress::None), _) => arguments.push("--compress=0".to_owned()),
            (Some(Compress::Zstd), _) => arguments.push("--compress=zstd".to_owned()),
            (Some(Compress::Lz4), _) => arguments.push("--compress=lz4".to_owned()),
            (None, 16..) if supports(program, "zstd") => arguments.push("--compress=zstd".to_owned()),
            (None | Some(Compress::Gzip), _) => {}
        }
    }
    arguments
}

/// Half the processors, at most 4.
pub fn jobs() -> u16 {
    let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(all / 2).unwrap_or(1).clamp(1, 4)
}

/// Waits for a dump under way.
pub async fn watch(attempt: &Attempt, chosen: &Chosen, running: Running) -> Result<(), Stop> {
    let path = chosen.dumped();
    let look = client::repeatedly(|| {
        attempt.progress("dumping", written(&path), Some(chosen.database_bytes), Unit::Bytes);
        std::future::ready(())
    });
    let exit = client::wait(attempt, running, &key(attempt), look).await?;
    judge(&exit)
}

/// How a dump ended.
pub fn judge(exit: &Exit) -> Result<(), Stop> {
    match exit.success() {
        true => Ok(()),
        false => Err(client::complaint("runplan::backup::pg_dump", "pg_dump", exit).into()),
    }
}

/// The bytes on disk so far.
fn written(path: &Path) -> u64 {
    let Ok(found) = std::fs::metadata(path) else { return 0 };
    if !found.is_dir() {
        return found.len();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
}
