//! Proves a backup: by its manifest's checksums where there is one, else by reading all of it back. What is damaged is an
//! error; what cannot be proved whole (text that pg_dump did not write) is said to be so.

use super::format::{self, Format, Packing};
use super::header::{self, Origin};
use super::manifest::Manifest;
use super::needs::Needs;
use super::sums;
use super::unpack::unpack;
use super::unusable;
use crate::postgres::{Program, Programs};
use crate::process;
use crate::run::Failure;
use crate::sql::dump::{End, Refusal, Scanner, Summary};
use crate::steps::client;
use crate::steps::failures::failure_of;
use serde_json::{Map, Value};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_util::sync::CancellationToken;

/// What a backup is, proved.
#[derive(Debug, Clone)]
pub struct Inspection {
    pub format: Format,
    /// Proved to be whole. False: it is readable to its end, and nothing says where the end should be.
    pub complete: bool,
    /// UTC; None: nobody wrote it down.
    pub taken_at: Option<String>,
    pub rows: u64,
    /// On disk.
    pub bytes: u64,
    /// The rows of each table, `schema.table`.
    pub tables: Map<String, Value>,
    pub manifest: Option<Manifest>,
    pub origin: Option<Origin>,
    /// What a server must have for it; None: it was not read for that.
    pub needs: Option<Needs>,
    /// Over all its files.
    pub sha256: String,
}

/// What reading needs.
#[derive(Clone)]
pub struct Reading {
    pub programs: Programs,
    pub cancelled: CancellationToken,
    /// Told how many bytes were read so far: of the files, or of the text in them.
    pub progress: Arc<dyn Fn(u64) + Send + Sync>,
}

impl Reading {
    pub fn new(programs: &Programs, cancelled: &CancellationToken) -> Self {
        Self { programs: programs.clone(), cancelled: cancelled.clone(), progress: Arc::new(|_| {}) }
    }

    fn goes_on(&self, bytes: u64) -> bool {
        (self.progress)(bytes);
        !self.cancelled.is_cancelled()
    }
}

/// Proves a backup.
///
/// # Errors
/// It is not there, not a backup, damaged, cut short, or holds what must not reach a server.
pub async fn inspect(reading: &Reading, path: &Path) -> Result<Inspection, Failure> {
    let format = format::recognise(path)?;
    let origin = header::read(path, format);
    if let Some(manifest) = Manifest::read(path)? {
        let manifest = prove(reading, path, manifest).await?;
        return Ok(Inspection {
            format,
            complete: true,
            taken_at: Some(manifest.taken_at.clone()),
            rows: manifest.rows,
            bytes: manifest.bytes,
            tables: manifest.tables.clone(),
            sha256: manifest.sha256.clone(),
            needs: manifest.needs.clone(),
            manifest: Some(manifest),
            origin,
        });
    }
    // Two readers at once: how far it is tells the one that understands what it reads; that the other moves, it says too.
    let (far, told) = (Arc::new(AtomicU64::new(0)), reading.progress.clone());
    let (known, tells) = (far.clone(), told.clone());
    let read = move |bytes: u64| tells(far.fetch_max(bytes, Ordering::Relaxed).max(bytes));
    let moves = move |_| told(known.load(Ordering::Relaxed));
    let reader = Reading { progress: Arc::new(read), ..reading.clone() };
    let hasher = Reading { progress: Arc::new(moves), ..reading.clone() };
    let (summary, sums) = tokio::try_join!(read_back(&reader, path, format), hash(&hasher, path))?;
    Ok(Inspection {
        format,
        complete: format.is_archive() || summary.is_complete_dump(),
        taken_at: None,
        rows: summary.rows.values().sum(),
        bytes: sums.iter().map(|file| file.bytes).sum(),
        tables: summary.rows.iter().map(|(name, rows)| (name.clone(), (*rows).into())).collect(),
        sha256: sums::whole(&sums),
        needs: Some(Needs::of(&summary)),
        manifest: None,
        origin,
    })
}

async fn prove(reading: &Reading, path: &Path, manifest: Manifest) -> Result<Manifest, Failure> {
    let (path, reading) = (path.to_owned(), reading.clone());
    blocking(move || manifest.prove(&path, &|bytes| reading.goes_on(bytes)).map(|()| manifest)).await
}

async fn hash(reading: &Reading, path: &Path) -> Result<Vec<sums::FileSum>, Failure> {
    let (path, reading) = (path.to_owned(), reading.clone());
    blocking(move || sums::sums(&path, false, &|bytes| reading.goes_on(bytes))).await
}

/// Reads a backup to its last byte and counts its rows.
///
/// # Errors
/// As `inspect`.
pub async fn read_back(reading: &Reading, path: &Path, format: Format) -> Result<Summary, Failure> {
    let summary = match format {
        Format::Plain(packing) => {
            let (reading, file) = (reading.clone(), path.to_owned());
            blocking(move || read_text(&reading, &file, packing)).await?
        }
        _ => read_archive(reading, path, format).await?,
    };
    judge(path, &summary)?;
    Ok(summary)
}

/// Damage that the text itself shows.
fn judge(path: &Path, summary: &Summary) -> Result<(), Failure> {
    let why = match &summary.end {
        End::Whole if summary.is_whole() => return Ok(()),
        End::Whole => "it ends before pg_dump's closing line".to_owned(),
        End::InCopy(table) => format!("it ends in the middle of the rows of {table}"),
        End::InQuotes => "it ends inside quotes".to_owned(),
        End::InComment => "it ends inside a comment".to_owned(),
        End::InStatement => "it ends in the middle of a statement".to_owned(),
    };
    Err(unusable("cut_short", path, why).help("use another backup; a part of this one is missing"))
}

/// The scanner, and what it refused.
#[derive(Default)]
struct Reader {
    scanner: Scanner,
    refusal: Option<Refusal>,
    bytes: u64,
}

impl Reader {
    fn take(&mut self, bytes: &[u8]) -> bool {
        self.bytes += bytes.len() as u64;
        match self.scanner.feed(bytes, |_| {}) {
            Ok(()) => true,
            Err(refusal) => {
                self.refusal = Some(refusal);
                false
            }
        }
    }

    fn finish(self, path: &Path, packing: Option<Packing>) -> Result<Summary, Failure> {
        match self.refusal {
            Some(refusal) => Err(hostile(path, packing, &refusal)),
            None => Ok(self.scanner.finish()),
        }
    }
}

/// Something that must not be sent to a server.
fn hostile(path: &Path, packing: Option<Packing>, refusal: &Refusal) -> Failure {
    let failure = failure_of(refusal);
    let help = match (packing, &failure.help) {
        (Some(packing), Some(help)) if refusal.creates_its_database() => Some(format!(
            "{help}; or leave these lines out, and name what is left: {}",
            without_create(path, packing)
        )),
        _ => failure.help,
    };
    Failure { message: format!("{}: {}", path.display(), failure.message), help, ..failure }.permanent()
}

/// The command that takes what `pg_dump -C` adds out of a dump: it stands above the first object, where there are no rows.
fn without_create(path: &Path, packing: Packing) -> String {
    const SCRIPT: &str = r"1,/^(COPY|CREATE (TABLE|SCHEMA|EXTENSION|TYPE|DOMAIN|FUNCTION|PROCEDURE|SEQUENCE|VIEW)) /{/^(DROP|CREATE|ALTER) DATABASE |^\\unrestrict /d;/^\\connect /{N;d}}";
    let (file, mended) = (format::quoted(path), format::quoted(&path.with_extension("one.sql")));
    match packing.program() {
        None => format!("sed -E '{SCRIPT}' {file} > {mended}"),
        Some(program) => format!("{program} {file} | sed -E '{SCRIPT}' > {mended}"),
    }
}

fn read_text(reading: &Reading, path: &Path, packing: Packing) -> Result<Summary, Failure> {
    let damaged = |error: std::io::Error| {
        unusable("damaged", path, error).help("use another backup; this file is cut short or altered")
    };
    let mut text = unpack(path, packing).map_err(|error| unusable("unreadable", path, error))?;
    let mut reader = Reader::default();
    let mut chunk = vec![0; 1 << 18];
    let mut first = true;
    loop {
        let count = text.read(&mut chunk).map_err(damaged)?;
        if count == 0 {
            break;
        }
        if reading.cancelled.is_cancelled() {
            return Err(crate::steps::stop::cancelled());
        }
        if std::mem::take(&mut first) {
            format::refuse_binary(path, &chunk[..count.min(4096)])?;
        }
        // What is refused may be damage: a packed text is read on, until its checksum is known to be right.
        if reader.refusal.is_none() && !reader.take(&chunk[..count]) && packing == Packing::None {
            break;
        }
        (reading.progress)(text.position());
    }
    if first {
        return Err(unusable("empty", path, "there is nothing in it").help("use another backup"));
    }
    reader.finish(path, Some(packing))
}

/// Has pg_restore write the archive as SQL, all of it: `pg_restore -l` does not notice a damaged one.
async fn read_archive(reading: &Reading, path: &Path, format: Format) -> Result<Summary, Failure> {
    let pg_restore = restorer(&reading.programs, header::read(path, format).as_ref(), 0)?.path;
    let mut argv = vec![pg_restore.clone().into_os_string()];
    argv.extend(["-f", "-", "--"].map(std::ffi::OsString::from));
    argv.push(path.as_os_str().to_owned());
    let progress = reading.progress.clone();
    let take = move |reader: &mut Reader, bytes: &[u8]| {
        let go_on = reader.take(bytes);
        progress(reader.bytes);
        go_on
    };
    let streamed = process::stream(argv, client::quiet(), &reading.cancelled, Reader::default(), take).await;
    let (ended, reader) = streamed.map_err(|error| {
        Failure::new("runplan::archive::pg_restore", format!("{}: {error}", pg_restore.display()))
    })?;
    if ended.cancelled {
        return Err(crate::steps::stop::cancelled());
    }
    if ended.spun {
        let why = "pg_restore does not come to an end with it: it computes, and reads nothing more";
        return Err(
            unusable("damaged", path, why).help("use another backup; this one is cut short or altered")
        );
    }
    if !ended.success && !ended.refused {
        let why = format!("pg_restore cannot read it ({}): {}", ended.status, client::gist(&ended.stderr));
        return Err(
            unusable("damaged", path, why).help("use another backup; this one is cut short or altered")
        );
    }
    reader.finish(path, None)
}

/// The pg_restore that fits both the archive and a server of that major version (0: no server).
pub fn restorer(programs: &Programs, origin: Option<&Origin>, server: u32) -> Result<Program, Failure> {
    let written = origin.map_or(13, Origin::readable_from);
    programs.find("pg_restore", written.max(server)).map_err(|error| {
        let failure = failure_of(&error);
        match origin.filter(|_| written > server.max(13)) {
            Some(origin) => Failure {
                message: format!(
                    "it was written by pg_dump {}, which wants pg_restore {written} or newer: {}",
                    origin.dump_version, failure.message
                ),
                ..failure
            },
            None => failure,
        }
    })
}

/// Work that blocks, on a thread of its own.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Failure::new("runplan::step::thread", format!("a thread ended oddly: {error}")))
    })
}
