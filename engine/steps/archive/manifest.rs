//! The manifest: what a backup is and was proved to be, in `<backup>.manifest.json` beside it, for files and directories
//! alike. Must never be believed without its checksums.

use super::format::Format;
use super::needs::Needs;
use super::sums::{self, FileSum};
use super::unusable;
use crate::postgres::Identity;
use crate::run::Failure;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The manifest's own format: 1.
    pub format: u32,
    pub run: String,
    pub step: String,
    /// The backup's format.
    pub kind: Format,
    pub files: Vec<FileSum>,
    /// Over all files.
    pub sha256: String,
    pub bytes: u64,
    /// Of pg_dump.
    pub client_version: String,
    pub server: Identity,
    /// The server's clock just before the dump, UTC.
    pub taken_at: String,
    pub verified_at: String,
    /// Rows of each table, counted in the read-back.
    pub tables: Map<String, Value>,
    pub rows: u64,
    /// The database's size when it was dumped.
    pub database_bytes: u64,
    /// What was chosen: only these, without those.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub scope: Map<String, Value>,
    /// The values of named checks at that time.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub record: Map<String, Value>,
    /// What a server must have for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Needs>,
    /// At least until then, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<String>,
}

impl Manifest {
    /// Of a backup of some tables or schemas: which. `tables: users, orders`
    pub fn part(&self) -> Option<String> {
        let one = |(what, names): (&String, &Value)| {
            let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
            format!("{}: {}", what.replace('_', " "), names.collect::<Vec<_>>().join(", "))
        };
        let all: Vec<String> = self.scope.iter().map(one).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Where the manifest of a backup is.
    pub fn path(backup: &Path) -> PathBuf {
        let mut name = backup.as_os_str().to_owned();
        name.push(".manifest.json");
        name.into()
    }

    /// The manifest of a backup; None when it has none.
    pub fn read(backup: &Path) -> Result<Option<Self>, Failure> {
        let path = Self::path(backup);
        let read = super::open(&path).and_then(|mut file| {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map(|_| bytes)
        });
        match read {
            Ok(bytes) => match serde_json::from_slice::<Self>(&bytes) {
                Ok(manifest) if manifest.format == 1 => Ok(Some(manifest)),
                Ok(manifest) => {
                    Err(unusable("manifest", &path, format!("format {} is not known", manifest.format))
                        .help("it was written by a newer runplan; use that one"))
                }
                Err(error) => Err(unusable("manifest", &path, format!("it is no manifest: {error}"))
                    .help("it is damaged; move it away to have the backup read as one without a manifest")),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable("manifest", &path, error)),
        }
    }

    /// Complete or absent, and on disk.
    pub fn write(&self, backup: &Path) -> Result<(), Failure> {
        let path = Self::path(backup);
        let draft = path.with_extension("json.partial");
        let written = serde_json::to_vec_pretty(self).map_err(std::io::Error::other).and_then(|text| {
            let mut options = File::options();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&draft, &path)?;
            sync_directory(&path)
        });
        written.map_err(|error| unusable("manifest", &path, error))
    }

    /// Every byte of the backup is what it was. Blocks; for a thread of its own.
    pub fn prove(&self, backup: &Path, go_on: &(dyn Fn(u64) -> bool + Sync)) -> Result<(), Failure> {
        let now = sums::sums(backup, false, go_on)?;
        let damaged = |why: String| {
            unusable("damaged", backup, why)
                .help("use another backup; this one is not what was verified when it was made")
        };
        for file in &self.files {
            let name = if file.name.is_empty() { "the file" } else { &file.name };
            match now.iter().find(|found| found.name == file.name) {
                None => return Err(damaged(format!("{name} is missing"))),
                Some(found) if found.bytes != file.bytes => {
                    return Err(damaged(format!("{name} has {} bytes, it had {}", found.bytes, file.bytes)));
                }
                Some(found) if found.sha256 != file.sha256 => {
                    return Err(damaged(format!("the checksum of {name} has changed")));
                }
                Some(_) => {}
            }
        }
        match now.iter().find(|found| !self.files.iter().any(|file| file.name == found.name)) {
            Some(extra) => Err(damaged(format!("{} was not part of it", extra.name))),
            None => Ok(()),
        }
    }
}

/// Puts the names in a file's directory on disk.
pub fn sync_directory(path: &Path) -> std::io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}
