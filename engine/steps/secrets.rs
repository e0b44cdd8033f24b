//! Secrets are read when they are needed, kept in memory for the run, and never written. Read again after a refusal.

use crate::plan::Table;
use crate::plan::site::SecretSource;
use crate::process;
use crate::run::Failure;
use crate::secret::{Redactor, Secret};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where the secrets come from, and those that were read.
pub struct Secrets {
    sources: Table<SecretSource>,
    /// Values given outright: secret parameters, a rehearsal's stand-ins.
    given: HashMap<String, Secret>,
    directory: PathBuf,
    read: Mutex<HashMap<String, Secret>>,
}

impl Secrets {
    pub fn new(sources: Table<SecretSource>, given: HashMap<String, Secret>, directory: PathBuf) -> Self {
        Self { sources, given, directory, read: Mutex::default() }
    }

    /// The value of a secret.
    ///
    /// # Errors
    /// It is not defined, or its source does not give it.
    pub async fn get(&self, name: &str) -> Result<Secret, Failure> {
        if let Some(secret) = self.given.get(name).cloned().or_else(|| self.known().get(name).cloned()) {
            return Ok(secret);
        }
        let Some(source) = self.sources.get(name) else {
            return Err(missing(name, "neither the plan nor the site file defines it"));
        };
        let secret = fetch(name, source, &self.directory).await?;
        self.known().insert(name.to_owned(), secret.clone());
        Ok(secret)
    }

    /// Forgets what was read, so that the next use reads it again.
    pub fn forget(&self) {
        self.known().clear();
    }

    /// All values that were read so far.
    pub fn all(&self) -> Vec<Secret> {
        self.given.values().cloned().chain(self.known().values().cloned()).collect()
    }

    /// Finds every secret that was read so far.
    pub fn redactor(&self) -> Redactor {
        Redactor::new(&self.all())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Secret>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing(name: &str, why: &str) -> Failure {
    Failure::new("runplan::secret::missing", format!("the secret {name} cannot be read: {why}"))
}

async fn fetch(name: &str, source: &SecretSource, directory: &Path) -> Result<Secret, Failure> {
    if let Some(variable) = &source.env {
        let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
        return value.map(Secret::new).ok_or_else(|| {
            missing(name, &format!("the environment variable {variable} is not set"))
                .help(format!("export {variable}=... and try again"))
        });
    }
    if let Some(file) = &source.file {
        let path = directory.join(file);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| missing(name, &format!("{}: {error}", path.display())))?;
        return Ok(Secret::new(
            text.strip_suffix('\n').map(|text| text.trim_end_matches('\r')).unwrap_or(&text),
        ));
    }
    let Some(command) = &source.command else {
        return Err(missing(name, "it has neither env, file nor command"));
    };
    let output = process::capture(command, directory)
        .await
        .map_err(|why| missing(name, &format!("`{}` {why}", command.join(" "))))?;
    Ok(Secret::new(output.trim_end_matches(['\n', '\r'])))
}
