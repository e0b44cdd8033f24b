//! What the outside of a backup says: its format by its first bytes, its manifest, whether pg_dump's closing line stands at
//! its end. Proves nothing: a step reads a backup whole before it uses it.

use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// How pg_dump's plain SQL begins and ends.
const OPENING: &str = "PostgreSQL database dump";
const CLOSING: &str = "PostgreSQL database dump complete";
/// More than pg_dump writes before and after these lines.
const EDGE: u64 = 4096;

/// A backup as it looks from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signs {
    pub format: &'static str,
    pub bytes: u64,
    /// UTC; by the manifest, else by the file.
    pub taken_at: String,
    /// Whether the time is the manifest's.
    pub manifest: bool,
}

/// Why it cannot be a backup: what sort of fault, and the fault in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub code: &'static str,
    pub why: String,
}

fn fault(code: &'static str, why: impl std::fmt::Display) -> Fault {
    Fault { code, why: why.to_string() }
}

/// Looks at the edges of a backup. Blocks, but not for long.
pub fn look(path: &Path) -> Result<Signs, Fault> {
    let found = path.metadata().map_err(|error| fault("backup_missing", error))?;
    let format = if found.is_dir() { directory(path)? } else { file(path)? };
    let mut files = Vec::new();
    sizes(path, path, &mut files).map_err(|error| fault("backup_unreadable", error))?;
    let bytes = files.iter().map(|(_, bytes)| bytes).sum();
    let manifest = manifest(path)?;
    if let Some(manifest) = &manifest {
        compare(manifest, &files)?;
    }
    let written =
        manifest.as_ref().and_then(|manifest| manifest.get("taken_at")?.as_str().map(str::to_owned));
    let has_manifest = written.is_some();
    let modified = found.modified().ok().and_then(|time| jiff::Timestamp::try_from(time).ok());
    let taken_at = written.or_else(|| Some(format!("{:.0}", modified?))).unwrap_or_default();
    Ok(Signs { format, bytes, taken_at, manifest: has_manifest })
}

fn directory(path: &Path) -> Result<&'static str, Fault> {
    let toc = path.join("toc.dat");
    if !toc.exists() {
        return Err(fault(
            "backup_unrecognised",
            "a directory without toc.dat, so not a backup that pg_dump made",
        ));
    }
    let head = edge(&toc, SeekFrom::Start(0))?;
    match head.starts_with(b"PGDMP") {
        true => Ok("directory archive"),
        false => Err(fault("backup_unrecognised", "its toc.dat is not pg_dump's")),
    }
}

fn file(path: &Path) -> Result<&'static str, Fault> {
    let head = edge(path, SeekFrom::Start(0))?;
    Ok(match head.as_slice() {
        [] => return Err(fault("backup_incomplete", "the file is empty")),
        [b'P', b'G', b'D', b'M', b'P', ..] => "custom archive",
        [0x1f, 0x8b, ..] => "plain SQL, gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "plain SQL, zstd",
        [0x04, 0x22, 0x4d, 0x18, ..] => "plain SQL, lz4",
        head if head.get(257..262) == Some(b"ustar") && head.starts_with(b"toc.dat\0") => "tar archive",
        head if head.contains(&0) => {
            return Err(fault("backup_unrecognised", "neither an archive of pg_dump nor SQL text"));
        }
        head => {
            closed(path, head)?;
            "plain SQL"
        }
    })
}

/// What begins as pg_dump begins must end as it ends.
fn closed(path: &Path, head: &[u8]) -> Result<(), Fault> {
    if !String::from_utf8_lossy(head).contains(OPENING) {
        return Ok(());
    }
    let length = path.metadata().map_err(|error| fault("backup_unreadable", error))?.len();
    let tail = edge(path, SeekFrom::Start(length.saturating_sub(EDGE)))?;
    match String::from_utf8_lossy(&tail).contains(CLOSING) {
        true => Ok(()),
        false => {
            Err(fault("backup_incomplete", "it ends before pg_dump's closing line, so a part is missing"))
        }
    }
}

fn edge(path: &Path, from: SeekFrom) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        file.seek(from)?;
        file.take(EDGE).read_to_end(&mut bytes)
    });
    read.map(|_| bytes).map_err(|error| fault("backup_unreadable", error))
}

/// The files of a backup by their names below it, with their sizes; a file alone has no name.
fn sizes(root: &Path, path: &Path, found: &mut Vec<(PathBuf, u64)>) -> std::io::Result<()> {
    let meta = path.metadata()?;
    if !meta.is_dir() {
        found.push((path.strip_prefix(root).unwrap_or(path).to_owned(), meta.len()));
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        sizes(root, &entry?.path(), found)?;
    }
    Ok(())
}

/// `<backup>.manifest.json`, where the program made the backup.
fn manifest(backup: &Path) -> Result<Option<Value>, Fault> {
    let mut name = backup.as_os_str().to_owned();
    name.push(".manifest.json");
    match std::fs::read(PathBuf::from(name)) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| fault("backup_incomplete", format!("its manifest is damaged: {error}"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fault("backup_unreadable", format!("its manifest: {error}"))),
    }
}

fn compare(manifest: &Value, files: &[(PathBuf, u64)]) -> Result<(), Fault> {
    for file in manifest.get("files").and_then(Value::as_array).into_iter().flatten() {
        let name = file.get("name").and_then(Value::as_str).unwrap_or_default();
        let bytes = file.get("bytes").and_then(Value::as_u64).unwrap_or_default();
        let shown = if name.is_empty() { "the file" } else { name };
        match files.iter().find(|(found, _)| found.as_os_str() == name) {
            None => return Err(fault("backup_incomplete", format!("{shown} is missing"))),
            Some((_, found)) if *found != bytes => {
                let why = format!("{shown} has {found} bytes, and had {bytes} when it was verified");
                return Err(fault("backup_incomplete", why));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<&'static str, &'static str> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("backup");
        std::fs::write(&path, bytes).unwrap();
        look(&path).map(|signs| signs.format).map_err(|fault| fault.code)
    }

    #[test]
    fn a_file_is_known_by_its_edges() {
        assert_eq!(of(b"PGDMP\x01\x0e"), Ok("custom archive"));
        assert_eq!(of(&[0x1f, 0x8b, 8, 0]), Ok("plain SQL, gzip"));
        assert_eq!(of(b"INSERT INTO t VALUES (1);"), Ok("plain SQL"));
        assert_eq!(of(b""), Err("backup_incomplete"));
        assert_eq!(of(b"\x7fELF\0\0"), Err("backup_unrecognised"));
        let whole =
            "--\n-- PostgreSQL database dump\n--\nSELECT 1;\n--\n-- PostgreSQL database dump complete\n--\n";
        assert_eq!(of(whole.as_bytes()), Ok("plain SQL"));
        assert_eq!(of(&whole.as_bytes()[..50]), Err("backup_incomplete"));
    }

    #[test]
    fn a_directory_is_compared_with_its_manifest() {
        let directory = tempfile::tempdir().unwrap();
        let backup = directory.path().join("app");
        assert_eq!(look(&backup).unwrap_err().code, "backup_missing");
        std::fs::create_dir(&backup).unwrap();
        assert_eq!(look(&backup).unwrap_err().code, "backup_unrecognised");
        std::fs::write(backup.join("toc.dat"), b"PGDMP\x01").unwrap();
        assert!(!look(&backup).unwrap().manifest);
        let manifest = |bytes: u64| {
            let text = format!(
                r#"{{"taken_at": "2026-11-22T03:11:00Z", "files": [{{"name": "toc.dat", "bytes": {bytes}}}]}}"#
            );
            std::fs::write(directory.path().join("app.manifest.json"), text).unwrap();
        };
        manifest(6);
        let signs = look(&backup).unwrap();
        assert_eq!((signs.taken_at.as_str(), signs.bytes), ("2026-11-22T03:11:00Z", 6));
        manifest(7);
        assert_eq!(look(&backup).unwrap_err().why, "toc.dat has 6 bytes, and had 7 when it was verified");
    }
}
