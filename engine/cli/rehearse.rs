//! `runplan rehearse`: the whole plan for real, on a throw-away PostgreSQL. Must never reach a database of the plan (but to
//! read one that is cloned): every one is replaced, and what would reach the world outside has a stand-in or is skipped, and said to be.

use super::beginning::{BeginArgs, Beginnings};
use super::check;
use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::files;
use super::launch::{self, Launch};
use super::past::Past;
use super::stage::Stage;
use super::surroundings::{self, Given};
use super::values::{self, ValueArgs};
use super::{actor, leftover, matrix, run, signals, state_dir, stored};
use crate::clock;
use crate::drive::{self, Setup, Start};
use crate::plan::template;
use crate::plan::{self, Loaded, Plan, Rehearsal, RunId, Step, StepId, digest, expand};
use crate::postgres::Programs;
use crate::review::{self, ReviewInput};
use crate::run::{Failure, Finish, Input, Outcome, Phase, Post, Shape, Started, State, StepState, Why};
use crate::secret::Secret;
use crate::steps::World;
use crate::store::{Held, MemoryJournal, Store};
use crate::terminal::{Prompts, Screen, Surface, View};
use clap::Args;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Executes the whole plan on a throw-away PostgreSQL on this machine.
///
/// The plan's `rehearsal:` block fills the databases, or a backup (--from), or a clone of the real ones (--clone), and says
/// what stands in for the world outside. Nothing outside this machine is changed, and nothing is left but the journal, the
/// logs and the report. Needs PostgreSQL's server programs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan rehearse plans/scenario-2.yaml
  runplan rehearse plans/scenario-2.yaml --from backups/app_20260103.sql.gz
  runplan rehearse plans/scenario-2.yaml --clone data
  runplan rehearse plans/scenario-2.yaml --reason 'before the migration on Tuesday'")]
pub struct Rehearse {
    /// The plan
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    #[command(flatten)]
    values: ValueArgs,
    #[command(flatten)]
    begin: BeginArgs,
    /// Why it is rehearsed, for the report
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The site file, when it is not `runplan.yaml` beside or above the plan
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    /// Where PostgreSQL's programs are
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
}

impl Rehearse {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let opened = files::open(&self.plan, self.site.as_deref())?;
        let found = check::findings(&opened.loaded);
        check::stop_on(screen, &found, &opened.loaded, false)?;
        let shape = stored::shape_of(opened.loaded)?;
        let rehearsal = match shape.plan.rehearsal.clone() {
            Some(rehearsal) => rehearsal,
            None if self.begin.is_given() => nothing(),
            None => return Err(Error::NoRehearsal { plan: self.plan.clone() }),
        };
        let names: Vec<String> = shape.loaded.databases().keys().map(|name| (*name).to_owned()).collect();
        let beginnings = self.begin.read(&names, &rehearsal)?;
        let mut with_files = (*shape.loaded).clone();
        let directory = opened.directory.clone();
        plan::load_rehearsal(&mut with_files, &|name| files::read_text(&directory.join(name)));
        check::stop_on(screen, &with_files.findings.clone(), &with_files, false)?;

        let store = state_dir::open(globals)?;
        for said in leftover::clean(&store)? {
            screen.remark(&said);
        }
        let run = RunId::new(shape.plan.name.value.as_str(), clock::now(), rand::random());
        let runtime = launch::runtime()?;
        let held = store.create(&run)?;
        let place = leftover::place(held.directory());
        screen.say("starting a throw-away PostgreSQL ...");
        let stage = runtime.block_on(self.stage(&names, &rehearsal, &place))?;
        let rehearsed =
            Rehearsed { screen, store: &store, shape, rehearsal, beginnings, with_files, directory, place };
        let outcome = rehearsed.go(&self, &run, held, runtime, &stage);
        if let Err(error) = stage.strike() {
            screen.warn(&format!("the throw-away server did not stop in order: {error}"));
        }
        // Its backups are of a database that is gone.
        let _ = std::fs::remove_dir_all(&rehearsed.place);
        outcome
    }

    async fn stage(&self, names: &[String], rehearsal: &Rehearsal, place: &Path) -> Result<Stage, Error> {
        let programs = Programs::new(self.pg_bin.clone(), std::env::var_os("PATH"));
        let exe = std::env::current_exe().map_err(|error| Error::NoSelf { why: error.to_string() })?;
        Ok(Stage::set(names, rehearsal, place, &programs, exe).await?)
    }
}

/// A rehearsal whose stage is set.
struct Rehearsed<'r> {
    screen: &'r Screen,
    store: &'r Store,
    shape: Shape,
    rehearsal: Rehearsal,
    beginnings: Beginnings,
    with_files: Loaded,
    directory: PathBuf,
    place: PathBuf,
}

impl Rehearsed<'_> {
    fn go(
        &self,
        args: &Rehearse,
        run: &RunId,
        held: Held,
        runtime: tokio::runtime::Runtime,
        stage: &Stage,
    ) -> Result<Exit, Error> {
        let prepared = runtime.block_on(self.prepare(run, args, stage))?;
        let rehearsed = runtime.block_on(self.params(&prepared))?;
        let params = args.values.over(rehearsed).complete(self.screen, &self.shape.plan, "the rehearsal")?;
        let shape = stored::with_values(self.screen, self.shape.clone(), &params)?;
        let plan_digest = digest::of_plan(&shape.loaded);
        let input = ReviewInput { params: params.clone(), ..ReviewInput::default() };
        let started = Started {
            title: shape.plan.title.clone(),
            sources: run::sources(&shape.loaded),
            has_site: shape.site.is_some(),
            params: values::public(&shape.plan, &params),
            digest: digest::with_params(&plan_digest, &review::shown_params(&shape.plan, &input)),
            plan_digest,
            severity: matrix::severity(&shape, &params)?,
            began_with: self.beginnings.began_with(),
            ..self.started(&shape, args.reason.clone().or_else(|| Some("rehearsal".to_owned())))
        };
        let given = self.given(args, stage, params);
        let state = State::new(run.clone(), shape.clone());
        // Stand-ins may name files, which are no part of the plan itself.
        let (plan, flow) = (shape.loaded.plan.clone(), shape.loaded.flow.clone());
        let with_files = Loaded { plan, flow, ..self.with_files.clone() };
        let standing = Shape { loaded: Arc::new(with_files), ..shape.clone() };
        let world = surroundings::world(
            run,
            &standing,
            self.directory.clone(),
            held.directory().to_path_buf(),
            given,
        )?;
        runtime.block_on(surroundings::hold(&world))?;
        self.screen.say("the rehearsal begins");
        let estimates = Past::estimates(self.store, &shape.plan, &started);
        let launch =
            Launch { screen: self.screen, store: self.store, held, state, world, attended: false, estimates };
        let exit = launch.drive(runtime, Start::Begin(Box::new(started)))?;
        end(&self.store.take(run)?, self.store, run)?;
        Ok(if exit == Exit::Parked { Exit::Failed } else { exit })
    }

    /// Runs the steps that fill the databases; their results are for the parameters.
    async fn prepare(&self, run: &RunId, args: &Rehearse, stage: &Stage) -> Result<Arc<World>, Error> {
        // What is known of the parameters: a backup may be named by one.
        let values = args.values.resolve(self.screen, &self.shape.plan)?.values;
        let work = self.place.join("prepare");
        let world = |shape: &Shape, given| {
            surroundings::world(run, shape, self.directory.clone(), work.clone(), given)
        };
        let look = world(&self.shape, self.given(args, stage, values.clone()))?;
        let real = || {
            let given = Given { params: values.clone(), pg_bin: args.pg_bin.clone(), ..Given::default() };
            world(&self.shape, given)
        };
        let say = |text: &str| self.screen.say(text);
        let mut steps = self.beginnings.steps(&look, real, &stage.databases(), &self.place, say).await?;
        let (kept, seeds) = self.beginnings.without_seeds(&self.rehearsal.prepare);
        if !seeds.is_empty() {
            self.screen.say(&format!("left out, for the databases are filled already: {}", seeds.join(", ")));
        }
        steps.extend(kept);
        let shape = self.preparation(steps)?;
        let state = State::new(run.clone(), shape.clone());
        let world = world(&shape, self.given(args, stage, values.clone()))?;
        if shape.flow.is_empty() {
            return Ok(world);
        }
        self.screen.say("filling it as the plan's rehearsal says");
        let surface = Surface::new(self.screen);
        let signals = signals::listen(surface.is_live())
            .map_err(|error| Error::System { what: "listening to signals", why: error.to_string() })?;
        let actor = actor::whoami();
        let setup = Setup {
            // To a program its events would look like those of the run itself.
            observer: match self.screen.is_json() {
                true => View::Silent,
                false => View::new(self.screen, surface.clone(), &state, HashMap::new()),
            },
            asker: Prompts::new(self.screen, surface, &actor.name, false),
            journal: MemoryJournal::new(),
            hands: world.clone(),
            signals,
            actor,
            state,
        };
        let started = self.started(&shape, None);
        let state = drive::run(setup, Start::Begin(Box::new(started))).await?;
        match state.result {
            Some(Finish::Done) => Ok(world),
            _ if matches!(state.parked, Some(Why::Stopped { .. })) => Err(Error::RehearsalStopped),
            _ => Err(Error::NotPrepared { why: why(&state) }),
        }
    }

    /// The steps of `prepare`, as a plan of their own.
    fn preparation(&self, steps: Vec<Step>) -> Result<Shape, Error> {
        let plan = Plan {
            steps,
            handlers: plan::Handlers { waiting: vec![], parked: vec![], failed: vec![], finished: vec![] },
            rehearsal: None,
            ..(*self.shape.plan).clone()
        };
        let flow = Arc::new(expand::flow(&plan));
        let loaded = Loaded { plan: Some(Arc::new(plan)), flow, ..self.with_files.clone() };
        stored::shape_of(loaded)
    }

    fn given(&self, args: &Rehearse, stage: &Stage, params: Map<String, Value>) -> Given {
        let secrets: HashMap<String, Secret> = self
            .rehearsal
            .secrets
            .iter()
            .map(|(name, text)| (name.value.clone(), Secret::new(text.raw.clone())))
            .collect();
        Given {
            params,
            secrets,
            pg_bin: args.pg_bin.clone(),
            rehearsal: Some((stage.values(), stage.databases())),
            ..Given::default()
        }
    }

    /// The values that the rehearsal gives, with the results of the preparation.
    async fn params(&self, prepared: &World) -> Result<Map<String, Value>, Error> {
        let mut values = Map::new();
        for (name, json) in &self.rehearsal.params {
            let texts: Vec<&str> = json.texts().into_iter().map(|text| text.raw.as_str()).collect();
            let scope = prepared.scope(&texts).await.map_err(|failure| Error::Unready { failure })?;
            let value = json.build(&mut |text| template::value(&text.raw, &scope)).map_err(|error| {
                Error::NotPrepared { why: format!("the value of `{}`: {error}", name.value) }
            })?;
            values.insert(name.value.clone(), value);
        }
        Ok(values)
    }

    /// The beginning of a journal; what fills the databases has no more.
    fn started(&self, shape: &Shape, reason: Option<String>) -> Started {
        Started {
            plan: shape.plan.name.value.clone(),
            title: None,
            sources: Vec::new(),
            has_site: false,
            params: Map::new(),
            plan_digest: String::new(),
            digest: String::new(),
            reason,
            severity: None,
            incident_started_at: None,
            overridden: None,
            directory: self.directory.display().to_string(),
            attended: false,
            wait: false,
            accepted: Vec::new(),
            targets: BTreeMap::new(),
            rehearsal: true,
            began_with: None,
            pg_bin: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// A rehearsal that stopped cannot go on: its server is gone.
///
/// # Errors
/// The journal cannot be read or written.
pub fn end(held: &Held, store: &Store, run: &RunId) -> Result<(), Error> {
    let mut stored = stored::Stored::read(store, run)?;
    if stored.state.phase == Phase::Finished {
        return Ok(());
    }
    let reason = "the rehearsal's throw-away server is gone";
    let (runtime, actor) = (launch::runtime()?, actor::whoami());
    let state = &mut stored.state;
    let running: Vec<(StepId, u32, bool)> = state
        .running()
        .filter_map(|id| {
            let entry = state.entry(id)?;
            Some((id.clone(), entry.attempts, entry.state == StepState::Undoing))
        })
        .collect();
    for (step, attempt, undoing) in running {
        // Whatever it did is gone too.
        let outcome = Outcome::Failed(Failure::new("runplan::rehearse::gone", reason).permanent());
        let input = match undoing {
            false => Input::Outcome { step, attempt, outcome },
            true => Input::Undone { step, attempt, outcome },
        };
        runtime.block_on(drive::record(held.journal(), state, &actor, input))?;
    }
    let post = Post::End { reason: reason.to_owned() };
    runtime.block_on(drive::post(held.journal(), state, &actor, post))?;
    Ok(())
}

/// A plan that does not say how it is rehearsed: nothing stands in for anything.
fn nothing() -> Rehearsal {
    Rehearsal {
        params: plan::Table::new(),
        load: plan::Table::new(),
        prepare: Vec::new(),
        serve: Vec::new(),
        stand_ins: Vec::new(),
        secrets: plan::Table::new(),
    }
}

fn why(state: &State) -> String {
    let failed = state.failed().next().or_else(|| state.unknown().next());
    let said = failed.and_then(|id| Some((id, state.entry(id)?.failure.as_ref()?)));
    match said {
        Some((id, failure)) => format!("{id}: {}", failure.message),
        None => "it was stopped".to_owned(),
    }
}
