//! Secrets are read when they are needed, kept in memory for the run, and never written. Read again after a refusal. All that
//! can be read without starting anything are known from the beginning, so that they are found in what a program prints that
//! was given none of them. Must never forget a value that was a secret once.

use crate::plan::Table;
use crate::plan::site::SecretSource;
use crate::process;
use crate::run::Failure;
use crate::secret::{Redactor, Secret};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// No file of a secret that nobody has asked for is larger.
const LARGEST: u64 = 1 << 20;

/// Where the secrets come from, and those that were read.
pub struct Secrets {
    sources: Table<SecretSource>,
    /// Values given outright: secret parameters, a rehearsal's stand-ins.
    given: HashMap<String, Secret>,
    directory: PathBuf,
    read: Mutex<HashMap<String, Secret>>,
    /// Values that were replaced, and those that nobody has asked for yet.
    others: Mutex<Option<Vec<Secret>>>,
}

impl Secrets {
    pub fn new(sources: Table<SecretSource>, given: HashMap<String, Secret>, directory: PathBuf) -> Self {
        Self { sources, given, directory, read: Mutex::default(), others: Mutex::default() }
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

    /// Reads those that only a command gives, so that they are found wherever they would be shown. Says which cannot be
    /// read: whatever needs one will say so again.
    pub async fn read(&self, names: &BTreeSet<String>) -> Vec<Failure> {
        let mut failures = Vec::new();
        for name in names.iter().filter(|name| self.sources.get(name.as_str()).is_some()) {
            failures.extend(self.get(name).await.err());
        }
        failures
    }

    /// The next use reads them again. What they were is still not shown.
    pub fn forget(&self) {
        let mut others = self.others();
        let known: Vec<Secret> = self.known().drain().map(|(_, secret)| secret).collect();
        others.get_or_insert_with(|| self.at_hand()).extend(known);
    }

    /// All values that are known.
    pub fn all(&self) -> Vec<Secret> {
        let others = self.others().get_or_insert_with(|| self.at_hand()).clone();
        let mut all: Vec<Secret> =
            self.given.values().cloned().chain(self.known().values().cloned()).collect();
        all.extend(others);
        all
    }

    /// The values of all sources that can be read without starting a program. One that is not there is not missed here.
    fn at_hand(&self) -> Vec<Secret> {
        let values = self.sources.iter().filter_map(|(_, source)| at_hand(source, &self.directory));
        values.filter(|value| !value.is_empty()).collect()
    }

    fn others(&self) -> std::sync::MutexGuard<'_, Option<Vec<Secret>>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds every secret that is known.
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

/// The value of a variable or of a file that can be read at once.
fn at_hand(source: &SecretSource, directory: &Path) -> Option<Secret> {
    if let Some(variable) = &source.env {
        return std::env::var(variable).ok().map(Secret::new);
    }
    let path = directory.join(source.file.as_ref()?);
    // A pipe would wait for its writer, and what comes out of it comes once.
    let is_file = path.metadata().is_ok_and(|found| found.is_file() && found.len() <= LARGEST);
    is_file.then(|| std::fs::read_to_string(&path).ok())?.map(|text| from_file(&text))
}

fn from_file(text: &str) -> Secret {
    Secret::new(text.strip_suffix('\n').map(|text| text.trim_end_matches('\r')).unwrap_or(text))
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
        return Ok(from_file(&text));
    }
    let Some(command) = &source.command else {
        return Err(missing(name, "it has neither env, file nor command"));
    };
    let output = process::capture(command, directory)
        .await
        .map_err(|why| missing(name, &format!("`{}` {why}", command.join(" "))))?;
    Ok(Secret::new(output.trim_end_matches(['\n', '\r'])))
}
