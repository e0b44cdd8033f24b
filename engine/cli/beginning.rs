//! What the databases of a rehearsal begin with: a backup, a clone of the real one, a seed. Must never do more to a real
//! database than read it, and never read one unless a clone was asked for.

use super::error::Error;
use super::likeness;
use crate::plan::action::Action;
use crate::plan::rehearsal::{Beginning, Clone as Cloned};
use crate::plan::{self, Rehearsal, Step, Text, template};
use crate::postgres::{Connection, Settings, escape_identifier};
use crate::report::amount::bytes;
use crate::run::BeganWith;
use crate::steps::{self, World};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// What the databases are filled with, in the place of the plan's own seed.
#[derive(Debug, Default, Args)]
pub struct BeginArgs {
    /// Begin with this backup; DATABASE= where the plan has several
    #[arg(long, value_name = "[DATABASE=]FILE")]
    from: Vec<String>,
    /// Begin with a clone of the real databases, which are only read
    #[arg(long, value_name = "WHAT", conflicts_with = "from")]
    clone: Option<What>,
}

/// What of a real database is cloned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Its definitions, without rows
    Schema,
    /// Its definitions and rows
    Data,
}

/// Of one database.
#[derive(Debug, Clone)]
enum Source {
    /// On the command line.
    File(PathBuf),
    /// In the plan.
    Backup(Text),
    Clone {
        rows: bool,
    },
    Seed(Text),
}

/// Of all databases that begin with something.
#[derive(Debug, Default)]
pub struct Beginnings {
    sources: BTreeMap<String, Source>,
    /// The command line decided, so what the plan's own steps put in is left out.
    given: bool,
}

impl BeginArgs {
    pub fn is_given(&self) -> bool {
        !self.from.is_empty() || self.clone.is_some()
    }

    /// # Errors
    /// A database that the plan has not, or none where there are several.
    pub fn read(&self, names: &[String], rehearsal: &Rehearsal) -> Result<Beginnings, Error> {
        let mut sources: BTreeMap<String, Source> = BTreeMap::new();
        for (name, beginning) in &rehearsal.load {
            sources.extend(of_plan(beginning).map(|source| (name.value.clone(), source)));
        }
        if let Some(what) = self.clone {
            let clone = Source::Clone { rows: what == What::Data };
            sources.extend(names.iter().map(|name| (name.clone(), clone.clone())));
        }
        for text in &self.from {
            let (name, file) = match text.split_once('=') {
                Some((name, file)) if names.iter().any(|known| known == name) => (name.to_owned(), file),
                _ => match names {
                    [only] => (only.clone(), text.as_str()),
                    _ => {
                        let message = format!("`--from {text}` does not say which database it is for");
                        let help =
                            format!("write it as --from NAME={text}, with one of {}", names.join(", "));
                        return Err(Error::usage_with(message, help));
                    }
                },
            };
            let path = std::path::absolute(file).unwrap_or_else(|_| file.into());
            if !path.exists() {
                let help = "give a backup: a file or a directory that pg_dump made";
                return Err(Error::usage_with(format!("{} is not there", path.display()), help));
            }
            sources.insert(name, Source::File(path));
        }
        Ok(Beginnings { sources, given: self.is_given() })
    }
}

fn of_plan(beginning: &Beginning) -> Option<Source> {
    let clone = beginning.clone.map(|clone| Source::Clone { rows: clone == Cloned::Data });
    let backup = beginning.backup.clone().map(Source::Backup);
    backup.or(clone).or_else(|| beginning.seed.clone().map(Source::Seed))
}

impl Beginnings {
    /// For whoever is told of the rehearsal later.
    pub fn began_with(&self) -> Option<BeganWith> {
        let one = |source: &Source| match source {
            Source::File(path) => {
                let name = path.file_name().unwrap_or_default().display();
                match likeness::size(path) {
                    Some(size) => format!("{name} of {}", bytes(size)),
                    None => name.to_string(),
                }
            }
            Source::Backup(_) => "a backup".to_owned(),
            Source::Clone { rows: true } => "a clone".to_owned(),
            Source::Clone { rows: false } => "a clone without rows".to_owned(),
            Source::Seed(_) => "its seed".to_owned(),
        };
        let mut what: Vec<String> = self.sources.values().map(one).collect();
        what.dedup();
        let rows = !self.sources.values().any(|source| matches!(source, Source::Clone { rows: false }));
        (!what.is_empty()).then(|| BeganWith { what: what.join(" and "), rows })
    }

    /// The plan's own preparing steps, but for the seeds of databases that the command line fills; those are named too.
    pub fn without_seeds(&self, prepare: &[Step]) -> (Vec<Step>, Vec<String>) {
        let is_seed = |step: &Step| match &step.action.value {
            Action::Sql(sql) => self.given && self.sources.contains_key(sql.database.raw.trim()),
            _ => false,
        };
        let (seeds, kept): (Vec<Step>, Vec<Step>) = prepare.iter().cloned().partition(is_seed);
        (kept, seeds.iter().map(|step| step.id.value.to_string()).collect())
    }

    /// The steps that fill the databases. What is cloned lies in `place` then, and roles that backups name are on the server.
    ///
    /// # Errors
    /// A backup that cannot be read, a real database that cannot be cloned.
    pub async fn steps(
        &self,
        world: &World,
        real: impl Fn() -> Result<std::sync::Arc<World>, Error>,
        stage: &HashMap<String, Settings>,
        place: &Path,
        say: impl Fn(&str),
    ) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        for (name, source) in &self.sources {
            let path = match source {
                Source::File(path) => path.clone(),
                Source::Backup(text) => world.directory.join(rendered(world, text).await?),
                Source::Clone { rows } => {
                    let path = place.join(format!("clone_{name}"));
                    say(&format!(
                        "reading the real database {name}: {}",
                        if *rows { "definitions and rows" } else { "definitions" }
                    ));
                    let real = real()?;
                    let settings = real.targets.settings(&real, name).await.map_err(unready)?;
                    steps::copy_out(&world.programs, &settings, *rows, &path).await.map_err(unready)?;
                    if let Some(target) = stage.get(name) {
                        let roles = steps::roles(&world.programs, &path).await.map_err(unready)?;
                        make_roles(target, &roles).await?;
                        steps::copy_in(&world.programs, &path, target).await.map_err(unready)?;
                    }
                    continue;
                }
                Source::Seed(text) => {
                    steps.extend(step(name, &json!({ "sql": { "database": name, "file": text.raw } })));
                    continue;
                }
            };
            if let Some(settings) = stage.get(name) {
                let roles = steps::roles(&world.programs, &path).await.map_err(unready)?;
                make_roles(settings, &roles).await?;
            }
            say(&format!("{name} begins with {}", path.display()));
            let restore = json!({ "from": path.display().to_string(), "database": name, "into": "in_place" });
            steps.extend(step(name, &json!({ "restore": restore })));
        }
        Ok(steps)
    }
}

fn unready(failure: crate::run::Failure) -> Error {
    Error::Unready { failure }
}

async fn rendered(world: &World, text: &Text) -> Result<String, Error> {
    let scope = world.scope(&[&text.raw]).await.map_err(unready)?;
    template::plain(&text.raw, &scope).map_err(|error| Error::NotPrepared {
        why: format!("`{}`: {error}; give the parameter with -p", text.raw.trim()),
    })
}

/// Who owns or may do something in a backup: without them it could not be loaded as it is. They cannot log in.
async fn make_roles(settings: &Settings, roles: &[String]) -> Result<(), Error> {
    let failed = |error: crate::postgres::Error| Error::NotPrepared { why: error.message().to_owned() };
    let connection = Connection::connect(settings, "runplan:rehearsal").await.map_err(failed)?;
    for role in roles {
        match connection.execute(&format!("CREATE ROLE {}", escape_identifier(role))).await {
            Err(error) if error.sqlstate() != Some("42710") => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(())
}

/// A step that is not in the plan, made as an author would write it.
fn step(database: &str, action: &serde_json::Value) -> Vec<Step> {
    let mut step = action.clone();
    if let Some(fields) = step.as_object_mut() {
        fields.insert("id".to_owned(), format!("begin_{database}").into());
    }
    let text = format!("runplan: 1\nname: beginning\nsteps:\n- {step}\n");
    let loaded = plan::load(("beginning", &text), None, &|_| Ok(String::new()));
    loaded.plan.map(|plan| plan.steps.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> Rehearsal {
        let text = "runplan: 1\nname: t\nsteps: []\nrehearsal: {}\n";
        plan::load(("t", text), None, &|_| Err(String::new())).plan.unwrap().rehearsal.clone().unwrap()
    }

    #[test]
    fn a_backup_goes_to_the_database_that_is_named_or_the_only_one() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let read = |from: &str, known: &[&str]| {
            BeginArgs { from: vec![from.to_owned()], clone: None }.read(&names(known), &none())
        };
        assert!(read("/", &["app"]).unwrap().sources.contains_key("app"));
        assert!(read("b=/", &["a", "b"]).unwrap().sources.contains_key("b"));
        assert!(read("/", &["a", "b"]).is_err());
        assert!(read("/no/such/file", &["app"]).is_err());
    }

    #[test]
    fn a_step_is_made_as_it_is_written() {
        let made = step(
            "app",
            &json!({ "restore": { "from": "/a \"b\": c", "database": "app", "into": "in_place" } }),
        );
        assert_eq!(made[0].id.value.as_str(), "begin_app");
        let Action::Restore(restore) = &made[0].action.value else { panic!("{made:?}") };
        assert_eq!(restore.from.raw, "/a \"b\": c");
    }
}
