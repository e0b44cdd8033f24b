//! What all steps of a run share: places, programs, secrets, databases, the results so far.

use super::archive::Proofs;
use super::notify::courier::Courier;
use super::secrets::Secrets;
use super::targets::Targets;
use crate::clock;
use crate::plan::template::{self, Results, Scope, value_of};
use crate::plan::{RunId, StepId};
use crate::postgres::Programs;
use crate::process::Supervisor;
use crate::run::{Actor, Failure, Outputs, Shape};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

/// The surroundings of a run.
pub struct World {
    pub run: RunId,
    pub shape: Shape,
    pub operator: Actor,
    /// Paths in the plan are relative to it.
    pub directory: PathBuf,
    /// The run's own directory: `process/`, `files/`.
    pub state: PathBuf,
    /// The `runplan` program itself, for its hidden subcommands.
    pub exe: PathBuf,
    pub supervisor: Supervisor,
    pub programs: Programs,
    pub secrets: Secrets,
    pub targets: Targets,
    pub params: Map<String, Value>,
    pub results: Results,
    /// A rehearsal: `rehearsal.*` in templates; steps that reach the world outside have stand-ins.
    pub rehearsal: Option<Map<String, Value>>,
    /// `run` in templates, kept up to date by the driver.
    run_values: RwLock<Value>,
    /// The state directory as it is typed, when a command has to name it.
    pub place: Option<String>,
    /// Notifications under way.
    pub courier: Courier,
    /// Backups that were proved since the process began.
    pub proofs: Proofs,
}

/// What a world is made from.
pub struct WorldOptions {
    pub run: RunId,
    pub shape: Shape,
    pub operator: Actor,
    pub directory: PathBuf,
    pub state: PathBuf,
    /// The `runplan` program itself, for its hidden subcommands.
    pub exe: PathBuf,
    pub programs: Programs,
    pub secrets: Secrets,
    pub targets: Targets,
    /// With the secret ones.
    pub params: Map<String, Value>,
    pub rehearsal: Option<Map<String, Value>>,
    /// The state directory as it is typed, when a command has to name it.
    pub place: Option<String>,
}

impl World {
    pub fn new(options: WorldOptions) -> Arc<Self> {
        let supervisor = Supervisor::new(options.state.join("process"), options.exe.clone());
        Arc::new(Self {
            run: options.run,
            shape: options.shape,
            operator: options.operator,
            directory: options.directory,
            state: options.state,
            exe: std::path::absolute(&options.exe).unwrap_or(options.exe),
            supervisor,
            programs: options.programs,
            secrets: options.secrets,
            targets: options.targets,
            params: options.params,
            results: Results::default(),
            rehearsal: options.rehearsal,
            run_values: RwLock::new(Value::Null),
            place: options.place,
            courier: Courier::default(),
            proofs: Proofs::default(),
        })
    }

    /// A directory for files that the run keeps: differing rows, snapshots.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn files(&self) -> Result<PathBuf, Failure> {
        let path = self.state.join("files");
        std::fs::create_dir_all(&path)
            .map_err(|error| Failure::new("runplan::step::files", format!("{}: {error}", path.display())))?;
        Ok(path)
    }

    /// The state directory, in which this run is one of many.
    pub fn root(&self) -> &std::path::Path {
        let runs = self.state.parent().filter(|_| self.state.ends_with(self.run.as_str()));
        runs.and_then(std::path::Path::parent).unwrap_or(&self.state)
    }

    /// Whom to call, for messages.
    fn contacts(&self) -> Value {
        let site = self.shape.site.as_ref();
        let all = site.into_iter().flat_map(|site| &site.contacts);
        let contacts = all.map(|(name, contact)| {
            (name.value.clone(), json!({ "name": contact.name, "call": contact.call }))
        });
        Value::Object(contacts.collect())
    }

    /// Whether the operator has accepted, when the run began, what preflight found under a code.
    pub fn has_accepted(&self, code: &str) -> bool {
        let run = self.run_values.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        run["accepted"].as_array().is_some_and(|codes| codes.iter().any(|one| one == code))
    }

    pub fn set_run_values(&self, values: Value) {
        *self.run_values.write().unwrap_or_else(std::sync::PoisonError::into_inner) = values;
    }

    /// Takes note of a step's results (None: they are gone), for templates and for finding a side database's server.
    pub fn learn(&self, step: &StepId, results: Option<&Value>, outputs: &Outputs) {
        self.results.set(step.as_str(), results);
        if results.is_some()
            && let (Some(side), Some(of)) = (outputs.get("database"), outputs.get("of"))
            && let (Some(side), Some(of)) = (side.as_str(), of.as_str())
        {
            self.targets.learn_side(side, of);
        }
    }

    /// What templates may name, with the secrets that these texts use.
    ///
    /// # Errors
    /// A secret cannot be read, or the address of a database that is named is wrong.
    pub async fn scope(&self, texts: &[&str]) -> Result<Scope, Failure> {
        let mut secrets = Map::new();
        let mut databases = Map::new();
        for text in texts {
            let names = template::references(text, true)
                .or_else(|_| template::condition_references(text))
                .unwrap_or_default();
            for reference in names {
                let mut parts = reference.path.split('.');
                match (parts.next(), parts.next()) {
                    (Some("secrets"), Some(name)) => {
                        let secret = self.secrets.get(name).await?;
                        secrets.insert(name.to_owned(), secret.expose().into());
                    }
                    (Some("databases"), Some(name)) if !databases.contains_key(name) => {
                        databases.insert(name.to_owned(), self.targets.describe(self, name).await?);
                    }
                    _ => {}
                }
            }
        }
        let now = clock::now().to_string();
        let run = self.run_values.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let mut values = vec![
            ("params".to_owned(), value_of(&Value::Object(self.params.clone()))),
            ("secrets".to_owned(), value_of(&Value::Object(secrets))),
            ("databases".to_owned(), value_of(&Value::Object(databases))),
            ("steps".to_owned(), self.results.value()),
            ("run".to_owned(), value_of(&run)),
            ("site".to_owned(), value_of(&json!({ "contacts": self.contacts() }))),
            ("now".to_owned(), minijinja::Value::from_function(move || now.clone())),
        ];
        if let Some(rehearsal) = &self.rehearsal {
            values.push(("rehearsal".to_owned(), value_of(&Value::Object(rehearsal.clone()))));
        }
        Ok(Scope::new(values))
    }
}
