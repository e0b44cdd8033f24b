//! `runplan watch`. Looks at a run that another process drives. Must never append to it, hold it or post to it.

use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::past::Past;
use super::state_dir;
use super::stored;
use super::{launch, progress};
use crate::clock::{self, Stopwatch, Timestamp};
use crate::drive::Observer;
use crate::plan::{RunId, StepId};
use crate::run::{Course, Phase, Record, State};
use crate::store::Store;
use crate::terminal::{self, Places, Screen, Surface, Times, View};
use clap::Args;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// A run that stands still says within that time what belongs to its end.
const STILL: Duration = Duration::from_secs(2);
/// Lines of its past that are shown above a live view.
const PAST: usize = 40;

/// Shows a run as the terminal does that drives it; only looks.
///
/// It ends when the run ends or parks, with the run's exit code. Ctrl-C leaves; the run goes on. What a dump or a restore
/// has done so far is shown as the run's own process tells it, at most twice a second. What notifications say on the
/// console is shown there alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan watch                   the run that is not over, else the last one
  runplan watch k7f3
  runplan watch k7f3 --stay       goes on when it parks, until it is over
  runplan watch k7f3 --plain      whole sentences, nothing is drawn over
  runplan watch k7f3 --format json  the journal, an event a line, as it grows

Exit codes: that of the run: 0 done, 1 failed or undone, 4 parked or interrupted.")]
pub struct Watch {
    /// The run: its id, or the beginning or end of it
    run: Option<String>,
    /// Stay when the run parks, or nobody drives it any more, until it is over
    #[arg(long)]
    stay: bool,
}

impl Watch {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let store = state_dir::open_to_read(globals)?;
        let run = state_dir::meant_or_last(&store, self.run.as_deref(), "watch")?;
        wait_for_the_beginning(screen, &store, &run)?;
        let mut watched = Watched::begin(screen, &store, &run, self.stay)?;
        loop {
            // Asked before the reading, so that nothing written by a holder who leaves in between is missed.
            let is_held = store.holder(&run).map_or(true, |holder| holder.is_some());
            watched.look()?;
            watched.notice(is_held);
            if watched.is_over(is_held) {
                break;
            }
            clock::block(LOOK);
        }
        Ok(watched.end())
    }
}

/// A rehearsal has a run before its server is filled and its first event is written.
fn wait_for_the_beginning(screen: &Screen, store: &Store, run: &RunId) -> Result<(), Error> {
    let mut is_told = false;
    loop {
        let is_held = store.holder(run).map_or(true, |holder| holder.is_some());
        let loaded = store.load(run)?;
        if !loaded.records.is_empty() || loaded.damage.is_some() || !is_held {
            return Ok(());
        }
        if !is_told {
            screen.remark(&format!("{run} is being prepared"));
            is_told = true;
        }
        clock::block(LOOK);
    }
}

/// A run that is followed.
struct Watched<'w> {
    screen: &'w Screen,
    store: &'w Store,
    directory: PathBuf,
    state: State,
    /// When something happened last.
    last: Timestamp,
    view: View,
    stay: bool,
    /// The journal's files when they were read last.
    seen: Vec<(u64, Option<SystemTime>)>,
    told: HashMap<StepId, Timestamp>,
    /// Its process has died, and that was said.
    is_orphaned: bool,
    /// Since it was seen to stand still.
    still: Option<Stopwatch>,
}

impl<'w> Watched<'w> {
    fn begin(screen: &'w Screen, store: &'w Store, run: &RunId, stay: bool) -> Result<Self, Error> {
        let directory = store.directory(run);
        let records = Self::read(store, run)?;
        let mut state = stored::before(run, &records)?;
        let surface = Surface::new(screen);
        // A live view has its whole past in `logs`; where lines are only added, all of them are.
        let left_out = if surface.is_live() { records.len().saturating_sub(PAST) } else { 0 };
        for record in records.iter().take(left_out) {
            stored::fold(&mut state, record)?;
        }
        if left_out > 0 {
            screen.line(&format!("{left_out} earlier events are left out; all of them: runplan logs {run}"));
        }
        let started = stored::started(&records);
        let estimates = started.map(|started| Past::estimates(store, &state.shape.plan, started));
        let view = View::watching(screen, surface, &state, estimates.unwrap_or_default(), stay);
        let mut watched = Self {
            screen,
            store,
            directory,
            state,
            last: clock::now(),
            view,
            stay,
            seen: Vec::new(),
            told: HashMap::new(),
            is_orphaned: false,
            still: None,
        };
        watched.tell(&records)?;
        Ok(watched)
    }

    /// All lines that are proved.
    fn read(store: &Store, run: &RunId) -> Result<Vec<Record>, Error> {
        let loaded = store.load(run)?;
        Ok(loaded.whole()?)
    }

    /// What is new.
    fn look(&mut self) -> Result<(), Error> {
        let now = self.fingerprint();
        if now != self.seen {
            let records = Self::read(self.store, &self.state.run)?;
            self.tell(&records)?;
            self.seen = now;
        }
        for (step, at, progress) in progress::read(&self.directory, &self.state) {
            if self.told.insert(step.clone(), at) != Some(at) {
                self.view.progress(&step, &progress, &self.state);
            }
        }
        Ok(())
    }

    fn tell(&mut self, records: &[Record]) -> Result<(), Error> {
        for record in records {
            if record.seq > self.state.seq {
                stored::fold(&mut self.state, record)?;
                self.view.recorded(record, &self.state);
            }
            self.last = record.at;
        }
        Ok(())
    }

    /// Reading and proving all of a long journal five times a second would be felt by whoever writes it.
    fn fingerprint(&self) -> Vec<(u64, Option<SystemTime>)> {
        let files = ["journal.db", "journal.db-wal", "head"];
        let found = files.iter().map(|name| std::fs::metadata(self.directory.join(name)));
        found.flatten().map(|file| (file.len(), file.modified().ok())).collect()
    }

    fn time_the_stillness(&mut self) {
        let is_still = self.state.parked.is_some() || self.state.phase == Phase::Finished;
        match (is_still, &self.still) {
            (true, None) => self.still = Some(Stopwatch::start()),
            (false, Some(_)) => self.still = None,
            _ => {}
        }
    }

    /// Whoever stays is told when the run's process dies: no line of the journal says so.
    fn notice(&mut self, is_held: bool) {
        self.time_the_stillness();
        let is_orphaned = Course::of(&self.state, is_held, clock::now(), None) == Course::Interrupted;
        if self.stay && is_orphaned != self.is_orphaned {
            self.is_orphaned = is_orphaned;
            self.view.orphan(is_orphaned, &self.state);
        }
    }

    fn is_over(&self, is_held: bool) -> bool {
        // Whoever holds one that stands still for longer only delivers its last messages.
        let is_left = !is_held || self.still.as_ref().is_some_and(|still| still.elapsed() >= STILL);
        match Course::of(&self.state, is_held, clock::now(), None) {
            Course::Over(_) | Course::Moved | Course::Killed => is_left,
            Course::Parked(_) | Course::Interrupted | Course::Waits(_) | Course::UnderWay => {
                !self.stay && is_left
            }
        }
    }

    fn end(self) -> Exit {
        // The live lines go before the last words.
        drop(self.view);
        let Self { screen, directory, state, last, .. } = self;
        let exit = match (&state.parked, state.result) {
            // Nobody drives it: it can be taken up again.
            (None, None) => Exit::Parked,
            _ => launch::exit_of(&state),
        };
        if screen.is_json() {
            screen.json(&terminal::summary_json(screen, &state, exit.code(), clock::now()));
        } else {
            let report = Some(directory.join("report.md")).filter(|path| path.is_file());
            let times = Times { last, now: clock::now() };
            screen.text(&terminal::summary(screen, &state, &Places { report, directory }, times));
        }
        exit
    }
}
