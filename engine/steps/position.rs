//! Where the server stands after a step that changed a database on it: noted with the step's end, and compared when the run is
//! taken up again. Must never hold a step up, nor turn what is done into a failure.

use super::attempt::Attempt;
use super::failures::failure_of;
use super::targets::{Targets, application_name};
use super::world::World;
use crate::plan::action::restore::Into;
use crate::plan::{Action, Changes, Step, Text};
use crate::postgres::{self, Connection, Error, Position, position};
use crate::run::{Failure, Outcome, POSITION, claims};
use serde_json::{Value, json};
use std::time::Duration;

/// So long a server may take that has just answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// Notes it for a step that is done, beside its end: the two are durable together.
pub async fn note(attempt: &Attempt, outcome: &Outcome) {
    let Some(text) = changed(&attempt.step) else { return };
    let world = &attempt.world;
    if !matches!(outcome, Outcome::Done(_)) {
        return;
    }
    let Ok(target) = world.targets.find(world, &text).await else { return };
    match world.targets.position(world, &target.name).await {
        Ok(Some(position)) => {
            attempt.mention(POSITION, json!({ "database": target.name, "position": position }));
        }
        Ok(None) => {}
        Err(error) => attempt.warn(format!(
            "where the server of {} stands now was not noted, so one that is set back to before this step would not be \
             noticed: {}",
            target.name,
            error.message()
        )),
    }
}

/// The database that a step claims for what it does.
pub fn changed(step: &Step) -> Option<Text> {
    if !claims(step) {
        return None;
    }
    let named = |changes: Option<&Changes>| match changes {
        Some(Changes::Database(name)) => Some(Text::made(name.value.as_str())),
        _ => None,
    };
    match &step.action.value {
        Action::Restore(action) => match &action.into {
            Into::Other(name) => Some(Text::made(name.value.as_str())),
            Into::Side | Into::InPlace => Some(action.database.clone()),
        },
        Action::Swap(action) => Some(action.database.clone()),
        Action::Copy(action) => Some(action.to.clone()),
        Action::Freeze(action) => Some(action.database.clone()),
        Action::Sql(action) => Some(action.database.clone()),
        Action::Shell(action) => named(action.changes.as_ref()),
        Action::Http(action) => named(action.changes.as_ref()),
        Action::Backup(_) | Action::Verify(_) | Action::Approve(_) | Action::Notify(_) => None,
    }
}

impl Targets {
    /// Marks where the server of a database stands. None: this process does not hold it.
    ///
    /// # Errors
    /// The server does not answer, or cannot be written to.
    pub async fn position(&self, world: &World, name: &str) -> Result<Option<Position>, Error> {
        let Some(hold) = self.holds.lock().await.get(name).cloned() else { return Ok(None) };
        let marked = async {
            let label = application_name(world, "position");
            let connection = Connection::connect(hold.lock.session().settings(), &label).await?;
            position::take(&connection).await
        };
        match tokio::time::timeout(PATIENCE, marked).await {
            Ok(marked) => marked.map(Some),
            Err(_) => Err(Error::lost(hold.lock.session().endpoint(), "it does not answer")),
        }
    }

    /// Why the server of a database that is held cannot have everything that it had when `noted` was; nothing when it has.
    ///
    /// # Errors
    /// It cannot be asked; what was noted cannot be read.
    pub async fn set_back(
        &self,
        world: &World,
        name: &str,
        noted: &Value,
    ) -> Result<Option<String>, Failure> {
        let Some(hold) = self.holds.lock().await.get(name).cloned() else { return Ok(None) };
        let then: Position = serde_json::from_value(noted.clone()).map_err(|error| {
            Failure::new("runplan::target::position", format!("where {name} stood cannot be read: {error}"))
        })?;
        let failed = |error: postgres::Error| failure_of(&error);
        // A session of its own: what fails in it would cost the lock where that is.
        let label = application_name(world, "position");
        let connection = Connection::connect(hold.lock.session().settings(), &label).await.map_err(failed)?;
        position::set_back(&connection, &then).await.map_err(failed)
    }

    /// Marks where the servers of these databases stand, of those that are held.
    ///
    /// # Errors
    /// One of them cannot be marked.
    pub async fn positions(&self, world: &World, names: &[String]) -> Result<Vec<(String, Value)>, Failure> {
        let mut found = Vec::new();
        for name in names {
            let position = self.position(world, name).await.map_err(|error| failure_of(&error))?;
            found.extend(position.map(|position| (name.clone(), json!(position))));
        }
        Ok(found)
    }
}
