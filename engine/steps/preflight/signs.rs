//! What the outside of a backup says: its format by its first bytes, its manifest, whether pg_dump's closing line stands at
//! its end. Proves nothing: a step reads a backup whole before it uses it.

use crate::run::Failure;
use crate::steps::archive::{Format, Manifest, Packing, recognise, unusable};
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
    pub format: Format,
    pub bytes: u64,
    /// UTC; by the manifest, else by the file.
    pub taken_at: String,
    /// Whether the time is the manifest's.
    pub manifest: bool,
    /// `schema.table` of those it holds, as the manifest says.
    pub tables: Option<Vec<String>>,
}

/// Looks at the edges of a backup. Blocks, but not for long.
///
/// # Errors
/// It cannot be a backup, or a part of it is missing.
pub fn look(path: &Path) -> Result<Signs, Failure> {
    let format = recognise(path)?;
    let unreadable = |error: std::io::Error| unusable("unreadable", path, error);
    let found = path.metadata().map_err(unreadable)?;
    if format == Format::Plain(Packing::None) {
        closed(path)?;
    }
    let mut files = Vec::new();
    sizes(path, path, &mut files).map_err(unreadable)?;
    let bytes = files.iter().map(|(_, bytes)| bytes).sum();
    let manifest = Manifest::read(path)?;
    if let Some(manifest) = &manifest {
        compare(path, manifest, &files)?;
    }
    let has_manifest = manifest.is_some();
    let tables = manifest.as_ref().map(|manifest| manifest.tables.keys().cloned().collect());
    let modified = found.modified().ok().and_then(|time| jiff::Timestamp::try_from(time).ok());
    let written = manifest.map(|manifest| manifest.taken_at);
    let taken_at = written.or_else(|| Some(format!("{:.0}", modified?))).unwrap_or_default();
    Ok(Signs { format, bytes, taken_at, manifest: has_manifest, tables })
}

/// What begins as pg_dump begins must end as it ends.
fn closed(path: &Path) -> Result<(), Failure> {
    let edge = |from| edge(path, from).map_err(|error| unusable("unreadable", path, error));
    if !edge(SeekFrom::Start(0))?.contains(OPENING) {
        return Ok(());
    }
    let length = path.metadata().map_err(|error| unusable("unreadable", path, error))?.len();
    match edge(SeekFrom::Start(length.saturating_sub(EDGE)))?.contains(CLOSING) {
        true => Ok(()),
        false => Err(unusable("cut_short", path, "it ends before pg_dump's closing line")
            .help("use another backup; a part of this one is missing")),
    }
}

fn edge(path: &Path, from: SeekFrom) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let mut file = crate::steps::archive::open(path)?;
    file.seek(from)?;
    file.take(EDGE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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

/// Every file of the manifest is there, as long as it was.
fn compare(path: &Path, manifest: &Manifest, files: &[(PathBuf, u64)]) -> Result<(), Failure> {
    let damaged = |why: String| {
        unusable("damaged", path, why)
            .help("use another backup; this one is not what was verified when it was made")
    };
    for file in &manifest.files {
        let name = if file.name.is_empty() { "the file" } else { &file.name };
        match files.iter().find(|(found, _)| found.as_os_str() == file.name.as_str()) {
            None => return Err(damaged(format!("{name} is missing"))),
            Some((_, found)) if *found != file.bytes => {
                return Err(damaged(format!("{name} has {found} bytes, it had {}", file.bytes)));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::Identity;
    use crate::steps::archive::FileSum;

    fn of(bytes: &[u8]) -> Result<String, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("backup");
        std::fs::write(&path, bytes).unwrap();
        look(&path).map(|signs| signs.format.to_string()).map_err(|failure| failure.code)
    }

    #[test]
    fn a_dump_in_plain_sql_is_known_by_its_edges() {
        let whole =
            "--\n-- PostgreSQL database dump\n--\nSELECT 1;\n--\n-- PostgreSQL database dump complete\n--\n";
        assert_eq!(of(whole.as_bytes()).as_deref(), Ok("plain SQL"));
        assert_eq!(of(&whole.as_bytes()[..50]), Err("runplan::archive::cut_short".to_owned()));
        assert_eq!(of(b"INSERT INTO t VALUES (1);").as_deref(), Ok("plain SQL"));
    }

    fn manifest(name: &str, bytes: u64) -> Manifest {
        let server = Identity {
            system_identifier: "1".to_owned(),
            timeline: "00000001".to_owned(),
            lsn: "0/0".to_owned(),
            database: "app".to_owned(),
            database_oid: 1,
            endpoint: "here:5432".to_owned(),
            server_version: 150_018,
            standby: false,
        };
        Manifest {
            format: 1,
            run: "run".to_owned(),
            step: "step".to_owned(),
            kind: Format::Directory,
            files: vec![FileSum { name: name.to_owned(), bytes, sha256: String::new() }],
            sha256: String::new(),
            bytes,
            client_version: "15.18".to_owned(),
            server,
            taken_at: "2026-11-22T03:11:00Z".to_owned(),
            verified_at: "2026-11-22T03:12:00Z".to_owned(),
            tables: serde_json::Map::new(),
            rows: 0,
            database_bytes: 0,
            scope: serde_json::Map::new(),
            record: serde_json::Map::new(),
            needs: None,
            kept_until: None,
        }
    }

    #[test]
    fn a_directory_is_compared_with_its_manifest() {
        let directory = tempfile::tempdir().unwrap();
        let backup = directory.path().join("app");
        std::fs::create_dir(&backup).unwrap();
        std::fs::write(backup.join("toc.dat"), b"PGDMP\x01").unwrap();
        assert!(!look(&backup).unwrap().manifest);
        manifest("toc.dat", 6).write(&backup).unwrap();
        let signs = look(&backup).unwrap();
        assert_eq!((signs.taken_at.as_str(), signs.bytes, signs.manifest), ("2026-11-22T03:11:00Z", 6, true));
        manifest("toc.dat", 7).write(&backup).unwrap();
        assert!(look(&backup).unwrap_err().message.ends_with("toc.dat has 6 bytes, it had 7"));
        manifest("1.dat.gz", 6).write(&backup).unwrap();
        assert!(look(&backup).unwrap_err().message.ends_with("1.dat.gz is missing"));
    }
}
