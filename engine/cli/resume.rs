//! `runplan resume`.

use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::launch::{self, Launch};
use super::past::Past;
use super::run::absolute;
use super::state_dir::{self, Meant};
use super::stored::Stored;
use super::surroundings::{self, Given, Missing};
use super::values::ValueArgs;
use super::{actor, amend, difference, reason, runs};
use crate::drive::{self, Start};
use crate::plan::RunId;
use crate::run::{Input, Phase, Started, State};
use crate::steps::World;
use crate::store::{Held, Store};
use crate::terminal::Screen;
use clap::Args;
use serde_json::{Map, Value};
use std::path::PathBuf;
use tokio::runtime::Runtime;

/// Goes on with a run that was parked or interrupted.
///
/// Done steps are not run again. What was interrupted is settled first: by the server's word on the transaction, the
/// recorded end of the program, a probe; what nobody can know is asked. The plan is the one the run was started with.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan resume                 the only run that is not over
  runplan resume k7f3            by the end of its id
  runplan resume k7f3 --wait     wait for approvals instead of parking
  runplan resume k7f3 --amend    with the plan as it is now, where it has changed")]
pub struct Resume {
    /// The run: its id, or the beginning or end of it
    run: Option<String>,
    /// Adopt the plan as it is now: steps that have not begun, or whose last attempt certainly changed nothing
    #[arg(long)]
    amend: bool,
    /// With --amend: the site file, when it is not `runplan.yaml` beside or above the plan
    #[arg(long, requires = "amend", value_name = "FILE")]
    site: Option<PathBuf>,
    #[command(flatten)]
    pub options: GoOn,
}

/// How a run goes on.
#[derive(Debug, Default, Args)]
pub struct GoOn {
    #[command(flatten)]
    values: ValueArgs,
    /// Wait for approvals instead of parking
    #[arg(long)]
    wait: bool,
    /// Go on although the run's mark on a database is gone, or its server was set back: somebody has looked that what the run
    /// did is there; what they saw
    #[arg(long, value_name = "REASON")]
    reclaim: Option<String>,
    /// Where PostgreSQL's client programs are, from now on [default: where the run was told last that they are]
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
    /// The file that tells which line of the journal was the last is gone or unusable, and nothing was cut off: how you know,
    /// for the report
    #[arg(long, value_name = "REASON")]
    without_head: Option<String>,
    /// Whether the plan as it is now takes the place of the stored one, and its site file.
    #[arg(skip)]
    amend: Option<Option<PathBuf>>,
}

impl Resume {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let absence = state_dir::absence(globals)?;
        if let Some(absence) = absence.filter(|_| self.run.is_none()) {
            screen.say(&format!("there is nothing to resume here: {absence}"));
            return Ok(Exit::Done);
        }
        let store = state_dir::open(globals)?;
        let run = match state_dir::meant(&store, self.run.as_deref())? {
            Meant::One(run) => run,
            Meant::None => {
                screen.say("there is nothing to resume: every run is over");
                return Ok(Exit::Done);
            }
            Meant::Several(briefs) => {
                runs::show(screen, &store, &briefs);
                return Err(Error::usage_with(
                    "several runs are not over",
                    "name the one to resume: runplan resume RUN",
                ));
            }
        };
        let amend = self.amend.then_some(self.site);
        let options = GoOn { amend, ..self.options };
        options.go_on(screen, &store, &run, |wait, attended| Start::Resume { attended, wait })
    }
}

/// A person answers for it that the journal is whole: said and journalled, and with that line the head is there again.
fn go_on_without_head(
    screen: &Screen,
    store: &Store,
    run: &RunId,
    state: &mut State,
    reason: &str,
) -> Result<(), Error> {
    let (held, head) = store.take_headless(run)?;
    let Some(fault) = head else {
        screen.remark("the head of the journal is there: --without-head changes nothing");
        return Ok(());
    };
    let by = actor::whoami();
    let message = format!(
        "the head of the journal was {fault}, so a cut end would not be noticed; {} answers for it: {reason}",
        by.name
    );
    screen.warn(&message);
    let warning = Input::Warning { step: None, message };
    launch::runtime()?.block_on(drive::record(held.journal(), state, &by, warning))?;
    Ok(())
}

impl GoOn {
    /// Takes a run up again. `start`: how, given whether approvals are waited for and whether somebody can be asked.
    ///
    /// # Errors
    /// Somebody else holds it, its journal is damaged, a target cannot be had, a secret value is missing.
    pub fn go_on(
        self,
        screen: &Screen,
        store: &Store,
        run: &RunId,
        start: impl FnOnce(bool, bool) -> Start,
    ) -> Result<Exit, Error> {
        self.prove_words(screen, store, run)?;
        let held = super::post::take(screen, store, run)?;
        let stored = Stored::read(store, run)?;
        super::post::stay(&stored.state)?;
        let started = stored.started()?.clone();
        let start = start(self.wait, screen.is_attended());
        if stored.state.phase == Phase::Finished && !matches!(start, Start::Undo { .. }) {
            screen.say(&format!("{run} is over already; `runplan status {run}` shows it"));
            let exit = launch::exit_of(&stored.state);
            if !stored.state.released && !started.rehearsal {
                self.release(screen, held, stored.state, &started)?;
            } else {
                drop(held);
            }
            super::telling::deliver(screen, store, run)?;
            return Ok(exit);
        }
        // Its databases were replaced; going on would reach the real ones.
        if started.rehearsal {
            return Err(Error::RehearsalOver { run: run.clone() });
        }
        let mut state = stored.state;
        let runtime = launch::runtime()?;
        let started = match &self.amend {
            None => {
                difference::tell(screen, &state, &started);
                started
            }
            Some(site) => {
                amend::amend(screen, &held, &mut state, &self.values, site.as_deref(), &runtime)?;
                state.started.as_deref().cloned().unwrap_or(started)
            }
        };
        let params = self.params(screen, &state.shape.plan, &started)?;
        let given = Given::again(&state, params, self.pg_bin.clone());
        let directory = PathBuf::from(&started.directory);
        let world = surroundings::world(run, &state.shape, directory, held.directory().to_path_buf(), given)?;
        self.take_targets(&held, &world, &mut state, &runtime)?;
        let estimates = Past::estimates(store, &state.shape.plan, &started);
        let launch = Launch { screen, store, held, state, world, attended: screen.is_attended(), estimates };
        launch.drive(runtime, start)
    }

    /// What people answer for is looked at before anything is done; for a journal without its head, that is the first thing.
    fn prove_words(&self, screen: &Screen, store: &Store, run: &RunId) -> Result<(), Error> {
        let mut state = Stored::read(store, run)?.state;
        reason::given("--reclaim", self.reclaim.as_deref(), &state)?;
        let without_head = reason::given("--without-head", self.without_head.as_deref(), &state)?;
        let Some(reason) = without_head else { return Ok(()) };
        super::post::stay(&state)?;
        go_on_without_head(screen, store, run, &mut state, reason)
    }

    /// Takes the targets. Who takes it on that a claim is gone, or a server was set back, is written down, with where the
    /// servers stand now.
    fn take_targets(
        &self,
        held: &Held,
        world: &World,
        state: &mut State,
        runtime: &Runtime,
    ) -> Result<(), Error> {
        let Some(reason) = &self.reclaim else {
            runtime.block_on(surroundings::hold_again(world, state, Missing::Stops))?;
            return self.name_programs(held, state, runtime);
        };
        runtime.block_on(surroundings::hold_again(world, state, Missing::IsTakenOn))?;
        let positions = runtime.block_on(surroundings::positions(world, state))?;
        let input = Input::Reclaim { reason: reason.clone(), positions };
        runtime.block_on(drive::record(held.journal(), state, &actor::whoami(), input))?;
        self.name_programs(held, state, runtime)
    }

    /// Whoever goes on with it later need not say again where the programs are.
    fn name_programs(&self, held: &Held, state: &mut State, runtime: &Runtime) -> Result<(), Error> {
        let Some(pg_bin) = self.pg_bin.as_deref().filter(|directory| directory.is_dir()) else {
            return Ok(());
        };
        let input = Input::Programs { pg_bin: absolute(pg_bin) };
        runtime.block_on(drive::record(held.journal(), state, &actor::whoami(), input))?;
        Ok(())
    }

    /// Claims the targets of a run that was moved here, and lets go of their locks: nothing goes on yet.
    ///
    /// # Errors
    /// Somebody else has one of them, or a server cannot be asked.
    pub fn reach(
        &self,
        screen: &Screen,
        held: &Held,
        state: &mut State,
        runtime: &Runtime,
    ) -> Result<(), Error> {
        reason::given("--reclaim", self.reclaim.as_deref(), state)?;
        let Some(started) = state.started.clone() else {
            return Err(Error::NeverBegan { run: state.run.clone() });
        };
        let params = self.params(screen, &state.shape.plan, &started)?;
        let given = Given::again(state, params, self.pg_bin.clone());
        let directory = PathBuf::from(&started.directory);
        let place = held.directory().to_path_buf();
        let world = surroundings::world(&state.run, &state.shape, directory, place, given)?;
        self.take_targets(held, &world, state, runtime)
    }

    /// Lets go of the targets of a run that was killed between its end and that.
    fn release(self, screen: &Screen, held: Held, mut state: State, started: &Started) -> Result<(), Error> {
        let run = state.run.clone();
        let params = self.params(screen, &state.shape.plan, started)?;
        let given = Given::again(&state, params, self.pg_bin);
        let directory = PathBuf::from(&started.directory);
        let place = held.directory().to_path_buf();
        let world = surroundings::world(&run, &state.shape, directory, place, given)?;
        let runtime = launch::runtime()?;
        let problems = runtime.block_on(async {
            surroundings::hold_again(&world, &state, Missing::IsTakenOn).await?;
            surroundings::release(&world, &held, &mut state).await
        })?;
        match problems.is_empty() {
            true => screen.say("its targets are let go"),
            false => problems.iter().for_each(|problem| screen.warn(problem)),
        }
        Ok(())
    }

    /// The values of the run: those it was started with; secret ones are not kept and are given anew.
    fn params(
        &self,
        screen: &Screen,
        plan: &crate::plan::Plan,
        started: &Started,
    ) -> Result<Map<String, Value>, Error> {
        let has_secret = plan.params.iter().any(|(_, param)| param.secret);
        if !has_secret {
            return Ok(started.params.clone());
        }
        let mut secret = plan.clone();
        secret.params.retain(|_, param| param.secret);
        let mut values = self.values.complete(screen, &secret, started.plan.as_str())?;
        values.extend(started.params.clone());
        Ok(values)
    }
}
