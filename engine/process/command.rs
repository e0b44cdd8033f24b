//! What to start. Holds secrets apart from the rest, so that they travel only where they may.

use super::{Error, which};
use crate::secret::Secret;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A program with its arguments and surroundings.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// The program and its arguments; they can be read by every user of the machine.
    pub argv: Vec<String>,
    /// Where it runs; the engine's own directory if not given.
    pub cwd: Option<PathBuf>,
    pub env: Vec<(String, String)>,
    /// Also redacted from the output.
    pub secret_env: Vec<(String, Secret)>,
    /// Whether the engine's environment is passed on; `env` and `secret_env` come after it.
    pub inherit_env: bool,
    pub stdin: Stdin,
    /// What else must not appear in the output. Standard input is not redacted of itself.
    pub redact: Vec<Secret>,
}

/// What the program reads.
#[derive(Debug, Clone, Default)]
pub enum Stdin {
    #[default]
    Null,
    /// Held in memory, never in a file; the whole of it is there before the program starts, so a program never
    /// takes the death of its feeder for the end of its input.
    Bytes(Secret),
    File(PathBuf),
}

impl Command {
    /// A program that inherits the environment and reads nothing.
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), inherit_env: true, ..Self::default() }
    }

    /// The working directory, absolute, and proved to be one.
    pub(super) fn directory(&self) -> Result<PathBuf, Error> {
        let given = self.cwd.as_deref().unwrap_or(Path::new("."));
        let directory = std::path::absolute(given)
            .map_err(|source| Error::WorkingDirectory { path: given.into(), reason: source.to_string() })?;
        match std::fs::metadata(&directory) {
            Ok(found) if found.is_dir() => Ok(directory),
            Ok(_) => Err(Error::WorkingDirectory { path: directory, reason: "is not a directory".into() }),
            Err(source) => Err(Error::WorkingDirectory { path: directory, reason: source.to_string() }),
        }
    }

    /// The program's absolute path, by the PATH that the program itself will see.
    pub(super) fn program(&self, directory: &Path) -> Result<PathBuf, Error> {
        let name = self.argv.first().filter(|name| !name.is_empty()).ok_or(Error::Empty)?;
        if name.contains('/') {
            let path = directory.join(name);
            return match std::fs::metadata(&path) {
                Ok(found) if found.is_file() => Ok(path),
                Ok(_) => Err(Error::NotAProgram { path, reason: "is not a file".into() }),
                Err(source) => Err(Error::NotAProgram { path, reason: source.to_string() }),
            };
        }
        let path = self.search_path().unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        which(name, &path).map(|found| directory.join(found)).ok_or_else(|| Error::NotFound {
            program: name.clone(),
            path: path.to_string_lossy().into_owned(),
        })
    }

    fn search_path(&self) -> Option<OsString> {
        let secret = self.secret_env.iter().map(|(name, value)| (name.as_str(), value.expose()));
        let own = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(secret);
        own.filter(|(name, _)| *name == "PATH")
            .map(|(_, value)| OsString::from(value))
            .next_back()
            .or_else(|| std::env::var_os("PATH").filter(|_| self.inherit_env))
    }
}
