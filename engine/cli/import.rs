//! `runplan import`.

use super::actor;
use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::resume::GoOn;
use super::stored::Stored;
use super::{launch, reason, state_dir};
use crate::drive;
use crate::run::Input;
use crate::store::Store;
use crate::terminal::Screen;
use clap::Args;
use std::path::PathBuf;

/// Takes over a run that another machine exported, to go on with it here.
///
/// The file is proved first: every byte, and the chain of the journal. Then the run's targets are claimed at a higher epoch,
/// so that the other machine, if it still goes on with the run, is stopped before its next effect, and what it still
/// has on the servers is ended. It need not be reachable. A file is taken over once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan import scenario_2-20261122-0311-k7f3.run --takeover 'bastion is down'
  runplan import k7f3.run --takeover 'moved to the new bastion' --directory /srv/plans")]
pub struct Import {
    /// The file that `runplan export` wrote
    file: PathBuf,
    /// Why it is taken over, for the report
    #[arg(long, value_name = "REASON")]
    takeover: String,
    /// Where the plan's relative paths begin here [default: as there, else the current directory]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    options: GoOn,
}

impl Import {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        reason::prove("--takeover", &self.takeover)?;
        let store = state_dir::open(globals)?;
        let (run, was_here) = store.import(&self.file)?;
        let taken = self.take_over(screen, &store, &run);
        // What is found wrong with its databases is looked into here.
        let stays = matches!(taken, Ok(()) | Err(Error::ClaimGone { .. } | Error::SetBack { .. }));
        if !stays && !was_here {
            // Somebody else has it, or it could not be asked: nothing of it is left here.
            store.remove(&run)?;
        }
        taken?;
        screen.say(&format!("{run} is taken over"));
        screen.say(&format!("next: runplan resume {run}"));
        Ok(Exit::Done)
    }

    fn take_over(&self, screen: &Screen, store: &Store, run: &crate::plan::RunId) -> Result<(), Error> {
        let held = store.take(run)?;
        let mut state = Stored::read(store, run)?.state;
        let Some(moved) = state.moved.clone() else {
            return Err(Error::NotImported {
                path: self.file.clone(),
                why: "it was not written by `runplan export`".to_owned(),
                help: "export it where it is".to_owned(),
            });
        };
        let directory = match (&self.directory, state.started.as_ref()) {
            (Some(given), _) => Some(std::path::absolute(given).unwrap_or_else(|_| given.clone())),
            (None, Some(started)) if PathBuf::from(&started.directory).is_dir() => None,
            (None, _) => std::env::current_dir().ok(),
        };
        let input = Input::TakeOver {
            epoch: state.epoch + 1,
            from: format!("{} on {}", moved.by.name, moved.by.host),
            reason: self.takeover.clone(),
            directory: directory.map(|path| path.display().to_string()),
        };
        let runtime = launch::runtime()?;
        runtime.block_on(drive::record(held.journal(), &mut state, &actor::whoami(), input))?;
        if state.started.as_ref().is_some_and(|started| started.rehearsal) {
            return Err(Error::RehearsalOver { run: run.clone() });
        }
        self.options.reach(screen, &held, &mut state, &runtime)
    }
}
