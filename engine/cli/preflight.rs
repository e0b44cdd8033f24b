//! `runplan preflight`, and the same questions before the first step of a run.

use super::check;
use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::files;
use super::launch;
use super::past::Past;
use super::surroundings::{self, Given};
use super::values::ValueArgs;
use super::{state_dir, stored};
use crate::clock::{self, Stopwatch};
use crate::plan::RunId;
use crate::run::{Accepted, Shape};
use crate::steps::{self, Concern, PreflightOptions, World};
use crate::store::Store;
use crate::terminal::{self, Screen};
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Asks the real systems whether a run could start: read-only, everything in one pass.
///
/// Programs and their versions, the server and its identity, privileges for every step, room on disk, backups read whole,
/// statements explained, sessions in the way, channels. `run` asks the same before its first step.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan preflight plans/scenario-2.yaml -p backup=\"$PWD/backups/before.sql.gz\"
  runplan preflight plans/scenario-2.yaml --params values.yaml --format json")]
pub struct Preflight {
    /// The plan
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    #[command(flatten)]
    values: ValueArgs,
    /// The site file, when it is not `runplan.yaml` beside or above the plan
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    #[command(flatten)]
    accepts: AcceptArgs,
    /// Where PostgreSQL's client programs are
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
}

/// What the operator knows and accepts.
#[derive(Debug, Default, Args)]
pub struct AcceptArgs {
    /// Go on in spite of this finding of preflight; may be given several times
    #[arg(long, value_name = "CODE")]
    accept: Vec<String>,
    /// Another server than the one the plan or the site file expects is meant
    #[arg(long)]
    retarget: bool,
}

impl Preflight {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let opened = files::open(&self.plan, self.site.as_deref())?;
        let found = check::findings(&opened.loaded);
        check::stop_on(screen, &found, &opened.loaded, false)?;
        let shape = stored::shape_of(opened.loaded)?;
        let params = self.values.complete(screen, &shape.plan, &self.plan.display().to_string())?;
        let shape = stored::with_values(screen, shape, &params)?;
        let store: Store = state_dir::open_to_read(globals)?;
        let run = RunId::new(shape.plan.name.value.as_str(), clock::now(), rand::random());
        let given = Given { params, pg_bin: self.pg_bin, ..Given::default() };
        // A world that no run has: the questions leave nothing behind.
        let world = surroundings::world(&run, &shape, opened.directory, store.directory(&run), given)?;
        let runtime = launch::runtime()?;
        let past = Past::read(&store, &shape, &world.params, &world.directory);
        let found = runtime.block_on(steps::preflight(&world, &self.accepts.options(screen, &past, &shape)));
        if screen.is_json() {
            screen.document(&serde_json::to_value(&found).unwrap_or_default());
        } else {
            screen.text(&terminal::preflight(screen, &found));
            self.accepts.remark_unused(screen, &found.unused);
        }
        Ok(match (found.is_held(), found.may_start()) {
            (true, _) => Exit::Held,
            (false, true) => Exit::Done,
            (false, false) => Exit::Preflight,
        })
    }
}

/// How far the backups are read, drawn over on a terminal, else said from time to time; nothing of those that are soon read.
struct Teller {
    screen: Screen,
    said: Mutex<Option<(Stopwatch, bool)>>,
}

/// How often it is said, drawn over and on lines of its own.
const DRAWN: Duration = Duration::from_millis(300);
const LINES: Duration = Duration::from_secs(30);

impl Teller {
    fn tell(&self, path: &Path, bytes: u64) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let apart = if self.screen.live { DRAWN } else { LINES };
        if said.get_or_insert_with(|| (Stopwatch::start(), false)).0.elapsed() >= apart && !self.screen.quiet
        {
            *said = Some((Stopwatch::start(), true));
            let size = steps::readable_size(bytes);
            self.screen.redraw(&format!("reading {} to its end: {size}", path.display()));
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        let said = self.said.get_mut().unwrap_or_else(PoisonError::into_inner);
        if said.is_some_and(|(_, shown)| shown) {
            self.screen.redraw("");
        }
    }
}

impl AcceptArgs {
    fn options(&self, screen: &Screen, past: &Past, shape: &Shape) -> PreflightOptions {
        let teller = Teller { screen: screen.clone(), said: Mutex::new(None) };
        PreflightOptions {
            accept: self.accept.clone(),
            retarget: self.retarget,
            seen: past.seen.clone(),
            known: past.known(shape),
            told: Arc::new(move |path, bytes| teller.tell(path, bytes)),
            ..PreflightOptions::default()
        }
    }

    /// In spite of what the operator goes on; that wants a reason.
    pub fn wants_reason(&self) -> Option<&'static str> {
        match (self.accept.is_empty(), self.retarget) {
            (false, _) => Some("--accept goes on in spite of a finding"),
            (true, true) => Some("--retarget lets the run go to another server than it was reviewed for"),
            (true, false) => None,
        }
    }

    fn remark_unused(&self, screen: &Screen, unused: &[String]) {
        for code in unused {
            screen.warn(&format!("--accept {code}: there is no such finding"));
        }
    }

    /// The questions before the first step of a run. What is to be known goes to stderr; what was accepted is given, for
    /// the journal.
    ///
    /// # Errors
    /// There is a reason not to start.
    pub fn prove(
        &self,
        screen: &Screen,
        runtime: &Runtime,
        world: &Arc<World>,
        past: &Past,
    ) -> Result<Vec<Accepted>, Error> {
        let found = runtime.block_on(steps::preflight(world, &self.options(screen, past, &world.shape)));
        self.remark_unused(screen, &found.unused);
        if found.may_start() {
            if past.is_rehearsed() {
                screen.say(&past.words(clock::now()));
            }
            screen.remark_unless_empty(&terminal::concerns(screen, &found));
            return Ok(accepted(&found));
        }
        let reasons = found.findings.iter().filter(|concern| concern.stops()).count();
        match screen.is_json() {
            true => screen.document(&serde_json::to_value(&found).unwrap_or_default()),
            false => screen.error_unless_empty(&terminal::concerns(screen, &found)),
        }
        match found.is_held() {
            true => Err(Error::TargetHeld {
                message: "a database of the plan is held by another run".to_owned(),
                help: "who has it, and how to go on, is said above".to_owned(),
                run: None,
            }),
            false => Err(Error::NotReady { reasons }),
        }
    }
}

/// What stands in the journal: the concerns that were accepted, and another server than the pinned one.
fn accepted(found: &steps::Preflight) -> Vec<Accepted> {
    let meant = |concern: &&Concern| concern.accepted || concern.short_code() == "retargeted";
    let one = |concern: &Concern| Accepted {
        code: concern.code.clone(),
        step: concern.step.clone(),
        message: concern.message.clone(),
    };
    found.findings.iter().filter(meant).map(one).collect()
}
