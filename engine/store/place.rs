//! Which file a path is. SQLite goes on writing into a file that was removed, and would call it durable.

use super::Error;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A path, and the file that was there.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub path: PathBuf,
    file: (u64, u64),
}

impl Place {
    pub fn of(path: &Path) -> Result<Self, Error> {
        let file = path.metadata().map_err(|error| Error::io(path, &error))?;
        Ok(Self { path: path.to_path_buf(), file: (file.dev(), file.ino()) })
    }

    pub fn prove(&self) -> Result<(), Error> {
        let there = self.path.metadata().map_err(|error| Error::io(&self.path, &error))?;
        let same = (there.dev(), there.ino()) == self.file;
        if same { Ok(()) } else { Err(Error::Vanished { path: self.path.clone() }) }
    }
}
