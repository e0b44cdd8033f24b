//! The world of a run, made from its plan and what was given on the command line; and the reasons not to start in it.

use super::actor;
use super::error::Error;
use super::state_dir;
use crate::drive;
use crate::plan::{Action, Changes, Name, RunId, Sp, Span, Step, StepId, Table, expand};
use crate::postgres::{Programs, Settings};
use crate::run::{
    Actor, Effects, Input, Phase, Replacement, Shape, State, StepState, claims, effects, replacement,
};
use crate::secret::Secret;
use crate::steps::{Refused, Secrets, Targets, World, WorldOptions};
use crate::store::Held;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a world is made from, besides the plan.
#[derive(Default)]
pub struct Given {
    /// With the secret ones.
    pub params: Map<String, Value>,
    /// Values of secrets given outright.
    pub secrets: HashMap<String, Secret>,
    pub pg_bin: Option<PathBuf>,
    /// Of a run that was taken over, and when that was.
    pub epoch: (u64, Option<String>),
    /// A rehearsal: `rehearsal` in templates, and the databases that take the place of the real ones.
    pub rehearsal: Option<(Map<String, Value>, HashMap<String, Settings>)>,
}

impl Given {
    /// For a run that has begun. Without a word about it, its programs are where they were; but on another machine they
    /// may be elsewhere.
    pub fn again(state: &State, params: Map<String, Value>, pg_bin: Option<PathBuf>) -> Self {
        let started = state.started.as_deref().and_then(|started| started.pg_bin.as_ref());
        let named = started.map(PathBuf::from).filter(|directory| directory.is_dir());
        let epoch = (state.epoch, state.taken_at.map(|at| at.to_string()));
        Self { params, epoch, pg_bin: pg_bin.or(named), ..Self::default() }
    }
}

/// # Errors
/// The program does not find itself.
pub fn world(
    run: &RunId,
    shape: &Shape,
    directory: PathBuf,
    state: PathBuf,
    given: Given,
) -> Result<Arc<World>, Error> {
    let exe = std::env::current_exe().map_err(|error| Error::NoSelf { why: error.to_string() })?;
    let (rehearsal, replaced) = match given.rehearsal {
        Some((values, databases)) => (Some(values), databases),
        None => (None, HashMap::new()),
    };
    // STATE/runs/RUN
    let place = state.ancestors().nth(2).and_then(state_dir::place_of);
    let mut secrets = given.secrets;
    secrets.extend(secret_params(shape, &given.params));
    Ok(World::new(WorldOptions {
        run: run.clone(),
        shape: shape.clone(),
        operator: actor::whoami(),
        secrets: Secrets::new(table(&shape.loaded.secrets()), secrets, directory.clone()),
        targets: Targets::new(table(&shape.loaded.databases()), replaced)
            .at_epoch(given.epoch.0, given.epoch.1),
        directory,
        state,
        exe,
        programs: Programs::new(given.pg_bin, std::env::var_os("PATH")),
        params: given.params,
        rehearsal,
        place,
    }))
}

/// Refuses words that hold a secret of the plan: what people say to a run is kept in its journal, and shown. Secrets that
/// only a command gives are not known here.
///
/// # Errors
/// They hold one.
pub fn prove_open(shape: &Shape, directory: &Path, words: &str) -> Result<(), Error> {
    let secrets = Secrets::new(table(&shape.loaded.secrets()), HashMap::new(), directory.to_owned());
    match secrets.redactor().finds(words) {
        false => Ok(()),
        true => Err(Error::usage_with(
            "what was given holds a secret of the plan, and it would be kept in the journal and shown in the report",
            "say it without the secret; a value that is one belongs to a parameter with `secret: true`; nothing was recorded",
        )),
    }
}

/// The values of secret parameters, so that they are found wherever they would be shown. Under names that no secret has.
fn secret_params(shape: &Shape, params: &Map<String, Value>) -> HashMap<String, Secret> {
    let mut found = HashMap::new();
    for (name, _) in shape.plan.params.iter().filter(|(_, param)| param.secret) {
        let values = match params.get(name.value.as_str()) {
            Some(Value::Array(items)) => items.as_slice(),
            Some(value) => std::slice::from_ref(value),
            None => continue,
        };
        for (at, value) in values.iter().enumerate() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            found.insert(format!("params.{}.{at}", name.value), Secret::new(text));
        }
    }
    found
}

fn table<T: Clone>(merged: &indexmap::IndexMap<&str, &T>) -> Table<T> {
    merged.iter().map(|(name, value)| (Sp::made((*name).to_owned()), (*value).clone())).collect()
}

/// The databases that this run changes, by their names in the plan: in its steps, in what undoes them, in its handlers.
pub fn changed(shape: &Shape) -> BTreeSet<String> {
    let known = shape.loaded.databases();
    let handlers = &shape.plan.handlers;
    let handled = [&handlers.waiting, &handlers.parked, &handlers.failed, &handlers.finished];
    let undone = shape.flow.steps().iter().filter_map(|step| step.undo.as_ref());
    let others = handled.into_iter().flatten().chain(undone.map(|undo| &**undo));
    let made = others.map(|bare| Arc::new(expand::step_of(StepId::new("other"), Span::default(), bare)));
    let steps = shape.flow.steps().iter().cloned().chain(made);
    let named = steps.filter(|step| effects(step) != Effects::Reads).filter_map(|step| named(&step));
    named.filter(|name| known.contains_key(name.as_str())).collect()
}

/// The database a step names outright; one that a step makes stands beside one of these.
pub fn named(step: &Step) -> Option<String> {
    let text = match &step.action.value {
        Action::Backup(action) => &action.database,
        Action::Restore(action) => match &action.into {
            crate::plan::action::restore::Into::Other(name) => return Some(name.to_string()),
            _ => &action.database,
        },
        Action::Swap(action) => &action.database,
        Action::Copy(action) => &action.to,
        Action::Freeze(action) => &action.database,
        Action::Sql(action) => &action.database,
        Action::Shell(crate::plan::action::Shell { changes, replaces, .. })
        | Action::Http(crate::plan::action::Http { changes, replaces, .. }) => match replaces {
            Some(text) => text,
            None => return changed_name(changes.as_ref()),
        },
        Action::Verify(_) | Action::Approve(_) | Action::Notify(_) => return None,
    };
    (!text.has_template()).then(|| text.raw.trim().to_owned())
}

fn changed_name(changes: Option<&Changes>) -> Option<String> {
    match changes? {
        Changes::Nothing => None,
        Changes::Database(Sp { value: name, .. }) => Some(Name::as_str(name).to_owned()),
    }
}

/// Takes the locks of the targets, before anything is begun, and says on which servers they are.
///
/// # Errors
/// Somebody else has one of them, or a server cannot be asked.
pub async fn hold(world: &World) -> Result<BTreeMap<String, String>, Error> {
    let mut servers = BTreeMap::new();
    for name in changed(&world.shape) {
        let server = hold_one(world, &name, Missing::IsTakenOn).await?;
        servers.insert(name, server);
    }
    Ok(servers)
}

/// Takes one lock, and says on which server it is. `Stops`: a claim must stand there.
async fn hold_one(world: &World, name: &str, missing: Missing) -> Result<String, Error> {
    let held = match missing {
        Missing::Stops => world.targets.hold_claimed(world, name).await,
        Missing::IsTakenOn => world.targets.hold(world, name).await,
    };
    let hold = held.map_err(|refused| match refused {
        Refused::Held(holder) => Error::TargetHeld {
            message: holder.message,
            help: holder.help,
            run: holder.run.as_deref().and_then(RunId::parse),
        },
        Refused::Failed(failure) => Error::Unready { failure },
        Refused::Unclaimed(name) => Error::ClaimGone { name, run: world.run.clone() },
    })?;
    Ok(hold.server.clone())
}

/// Lets go of the targets of a run that is over, and journals it when nothing stood in the way. What did, in words.
///
/// # Errors
/// The journal fails.
pub async fn release(world: &World, held: &Held, state: &mut State) -> Result<Vec<String>, Error> {
    let problems = world.targets.release(world).await;
    if problems.is_empty() {
        drive::record(held.journal(), state, &Actor::engine(), Input::Released).await?;
    }
    Ok(problems)
}

/// What a claim that should stand and does not means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nothing is done: nobody knows what became of what the run did.
    Stops,
    /// Somebody has looked, or the run is given up.
    IsTakenOn,
}

/// Whether a step that is done cannot but have claimed the target, and the run has not let go of it since.
fn has_claimed(state: &State, name: &str) -> bool {
    if state.phase == Phase::Finished
        || state.was_released
        || !matches!(replacement(state, name), Replacement::Never)
    {
        return false;
    }
    let is_done = |step: &Step| {
        state
            .entry(&step.id.value)
            .is_some_and(|entry| matches!(entry.state, StepState::Undone) || entry.state.stands())
    };
    let mut steps = state.shape.flow.steps().iter();
    steps.any(|step| claims(step) && is_done(step) && named(step).as_deref() == Some(name))
}

/// As `hold`, for a run that has begun: it goes on where it began, and not before what it did there, or nowhere. Where a step
/// replaces the server, that is the new one; while nobody knows which it is, the next step that needs it takes it.
///
/// # Errors
/// As `hold`; another server answers under the same address; the run's claim is gone, or the server was set back, and
/// nobody took that on.
pub async fn hold_again(world: &World, state: &State, missing: Missing) -> Result<(), Error> {
    let started = state.started.as_deref();
    for name in changed(&world.shape) {
        let wanted = match replacement(state, &name) {
            Replacement::Never => started.and_then(|started| started.targets.get(&name)).cloned(),
            Replacement::Taken(server) => Some(server),
            Replacement::Begun { since, started } => {
                world.targets.let_go(&name, since, started.as_deref()).await;
                continue;
            }
        };
        let must_stand = if has_claimed(state, &name) { missing } else { Missing::IsTakenOn };
        let found = hold_one(world, &name, must_stand).await?;
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            return Err(Error::OtherServer { name, wanted, found });
        }
        if missing == Missing::Stops
            && let Some(noted) = state.position(&name)
        {
            let why = world.targets.set_back(world, &name, noted).await;
            if let Some(why) = why.map_err(|failure| Error::Unready { failure })? {
                return Err(Error::SetBack { name, run: state.run.clone(), why });
            }
        }
    }
    Ok(())
}

/// Where the servers stand on which the run has changed something, as far as it was noted before.
///
/// # Errors
/// One of them cannot be written to.
pub async fn positions(world: &World, state: &State) -> Result<BTreeMap<String, Value>, Error> {
    let names: Vec<String> = state.positioned().map(str::to_owned).collect();
    let found = world.targets.positions(world, &names).await.map_err(|failure| Error::Unready { failure })?;
    Ok(found.into_iter().collect())
}
