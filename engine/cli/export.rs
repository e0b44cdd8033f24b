//! `runplan export`.

use super::actor;
use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::stored::Stored;
use super::{launch, state_dir};
use crate::drive;
use crate::run::{Input, Phase};
use crate::terminal::Screen;
use clap::Args;
use std::path::PathBuf;

/// Writes a run to a file, to go on with it on another machine.
///
/// The file holds everything: the journal, what was said to the run, what its steps put out and wrote. From then on the
/// run does nothing here; it goes on where the file is imported. Secrets are not in it: they are read anew there.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan export k7f3
  runplan export k7f3 --out /mnt/share/k7f3.run
  runplan --state /mnt/lost-machine/state export k7f3 --unsettled    from the disk of a lost machine")]
pub struct Export {
    /// The run: its id, or the beginning or end of it
    run: String,
    /// Where to; it must not be there yet [default: RUN.run]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also with steps that were interrupted: certainly nothing of them runs on the machine any more
    #[arg(long)]
    unsettled: bool,
}

impl Export {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let store = state_dir::open(globals)?;
        let run = store.find(&self.run)?;
        let held = store.take(&run)?;
        let mut state = Stored::read(&store, &run)?.state;
        if state.phase == Phase::Finished && state.released {
            let help = format!("`runplan report {run}` has all of it");
            return Err(Error::usage_with(format!("{run} is over: there is nothing to go on with"), help));
        }
        if let Some(step) = state.running().next().filter(|_| !self.unsettled) {
            let message = format!("step {step} was interrupted, and may still be at work on this machine");
            let help = format!(
                "`runplan resume {run}` and then `runplan stop {run}` settle it; if the machine is lost, --unsettled"
            );
            return Err(Error::usage_with(message, help));
        }
        let to = self.out.unwrap_or_else(|| PathBuf::from(format!("{run}.run")));
        let to = std::path::absolute(&to).unwrap_or(to);
        if to.exists() {
            let message = format!("{} is there already", to.display());
            return Err(Error::usage_with(message, "name another file with --out"));
        }
        // First: a file that could be imported while the run goes on here must never be.
        let input = Input::Export { to: to.display().to_string() };
        let runtime = launch::runtime()?;
        runtime.block_on(drive::record(held.journal(), &mut state, &actor::whoami(), input))?;
        held.export(&to)?;
        screen.say(&format!("{run} is in {}; here nothing more is done with it", to.display()));
        let import = format!("next, on the other machine: runplan import {} --takeover REASON", to.display());
        screen.say_for_elsewhere(&import);
        Ok(Exit::Done)
    }
}
