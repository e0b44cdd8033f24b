//! The backups in a directory, as their outside shows them: whole ones with what their manifests say, foreign ones, and what
//! was left unfinished. Reads only the beginning of each; must never call anything whole that it did not read.

use super::format::{self, Format, Packing};
use super::header;
use super::manifest::Manifest;
use super::unusable;
use crate::run::Failure;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How much of a plain text is looked at for pg_dump's first lines.
const HEAD: u64 = 4096;
const TITLES: [&str; 2] = ["PostgreSQL database dump", "PostgreSQL database cluster dump"];

/// Something in a directory of backups.
#[derive(Debug, Clone)]
pub struct Shelved {
    pub path: PathBuf,
    /// On disk.
    pub bytes: u64,
    pub sort: Sort,
}

impl Shelved {
    /// Which database it is of, as its manifest says, or the file of itself.
    pub fn database(&self) -> Option<String> {
        match &self.sort {
            Sort::Backup { manifest: Some(manifest), .. } => Some(manifest.server.database.clone()),
            Sort::Backup { format, manifest: None } => {
                header::read(&self.path, *format).map(|origin| origin.database)
            }
            Sort::Unfinished | Sort::Broken(_) => None,
        }
    }
}

#[derive(Debug, Clone)]
pub enum Sort {
    Backup {
        format: Format,
        manifest: Option<Box<Manifest>>,
    },
    /// What a backup under way, or an interrupted one, has written.
    Unfinished,
    /// There is a manifest, and it or its backup cannot be used.
    Broken(Failure),
}

/// What is in a directory, by name. What is certainly no backup is passed over.
///
/// # Errors
/// The directory cannot be read.
pub fn shelf(directory: &Path) -> Result<Vec<Shelved>, Failure> {
    let entries = std::fs::read_dir(directory)
        .map_err(|error| unusable("unreadable", directory, error).help("check the path"))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let orphans: Vec<PathBuf> = paths.iter().filter_map(|path| without_backup(path)).collect();
    Ok(paths.into_iter().chain(orphans).filter_map(|path| one(&path)).collect())
}

/// The backup that a manifest speaks of and that is not there.
fn without_backup(path: &Path) -> Option<PathBuf> {
    let name = path.to_str()?.strip_suffix(".manifest.json")?;
    (!Path::new(name).exists()).then(|| PathBuf::from(name))
}

/// A backup, if this is one.
fn one(path: &Path) -> Option<Shelved> {
    let name = path.file_name()?.to_string_lossy();
    if name.ends_with(".manifest.json") || name.ends_with(".manifest.json.partial") || name.starts_with('.') {
        return None;
    }
    let found = |sort| Some(Shelved { path: path.to_owned(), bytes: size(path), sort });
    if name.ends_with(".partial") {
        return found(Sort::Unfinished);
    }
    match (Manifest::read(path), format::recognise(path)) {
        (Err(failure), _) => found(Sort::Broken(failure)),
        (Ok(Some(manifest)), Ok(format)) => {
            found(Sort::Backup { format, manifest: Some(Box::new(manifest)) })
        }
        (Ok(Some(_)), Err(_)) if !path.exists() => {
            let why = "its manifest is here, the backup itself is not";
            found(Sort::Broken(unusable("unreadable", path, why).help("look for where it was moved to")))
        }
        (Ok(Some(_)), Err(failure)) => found(Sort::Broken(failure)),
        (Ok(None), Ok(Format::Plain(Packing::None))) if !is_dump(path) => None,
        (Ok(None), Ok(format)) => found(Sort::Backup { format, manifest: None }),
        (Ok(None), Err(failure)) if !failure.code.ends_with("::not_a_backup") && is_called_like_one(path) => {
            found(Sort::Broken(failure))
        }
        (Ok(None), Err(_)) => None,
    }
}

/// Somebody who looks for a backup would take it for one.
fn is_called_like_one(path: &Path) -> bool {
    const ENDINGS: [&str; 11] =
        ["sql", "dump", "backup", "pgdump", "custom", "tar", "gz", "zst", "lz4", "bz2", "xz"];
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    ENDINGS.contains(&ending.as_str()) || path.is_dir()
}

/// Any text could be SQL; pg_dump's begins with a title.
fn is_dump(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = super::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    let text = String::from_utf8_lossy(&head);
    read.is_ok() && TITLES.iter().any(|title| text.contains(title))
}

/// The bytes of a file, or of everything in a directory.
pub fn size(path: &Path) -> u64 {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => std::fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.metadata().map_or(0, |found| found.len()))
            .sum(),
        Ok(found) => found.len(),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_backup_only_when_it_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| std::fs::write(directory.path().join(name), text).unwrap();
        write("notes.txt", b"buy milk");
        write("a.sql", b"--\n-- PostgreSQL database dump\n--\n");
        write("b.dump", b"PGDMP\x01\x0e\x00");
        write("c.dump.partial", b"PGDMP");
        write("d.sql.gz.manifest.json", b"{}");
        // What is called like one and is none that can be used is not left out.
        write("e.sql", b"");
        write("empty", b"");
        write("f.sql", b"--\n-- PostgreSQL database cluster dump\n--\n");
        std::os::unix::fs::symlink("b.dump", directory.path().join("g.dump")).unwrap();
        std::os::unix::fs::symlink("nowhere", directory.path().join("h.dump")).unwrap();
        let shelved = shelf(directory.path()).unwrap();
        let linked = shelved.iter().find(|found| found.path.ends_with("g.dump")).unwrap();
        assert_eq!(linked.bytes, 8, "of the file, not of the link");
        let names: Vec<(String, &str)> = shelved
            .into_iter()
            .map(|found| {
                let sort = match found.sort {
                    Sort::Backup { .. } => "backup",
                    Sort::Unfinished => "unfinished",
                    Sort::Broken(_) => "broken",
                };
                (found.path.file_name().unwrap().to_string_lossy().into_owned(), sort)
            })
            .collect();
        let expected = [
            ("a.sql", "backup"),
            ("b.dump", "backup"),
            ("c.dump.partial", "unfinished"),
            ("e.sql", "broken"),
            ("f.sql", "broken"),
            ("g.dump", "backup"),
            ("h.dump", "broken"),
            ("d.sql.gz", "broken"),
        ];
        assert_eq!(names, expected.map(|(name, sort)| (name.to_owned(), sort)));
    }
}
