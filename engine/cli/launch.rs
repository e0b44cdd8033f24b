//! Drives a run that is held, in sight of whoever watches, to its end or its next stop; then says what came of it.
//! Shared by run, resume, undo and rehearse. Must never start anything by itself: the driver does.

use super::actor;
use super::error::Error;
use super::exit::Exit;
use super::likeness;
use super::progress::Shared;
use super::signals;
use super::state_dir;
use super::stored::Stored;
use super::telling;
use crate::clock;
use crate::drive::{self, Setup, Start};
use crate::plan::StepId;
use crate::report;
use crate::review::Usual;
use crate::run::{Finish, Phase, State, placed};
use crate::steps::{self, World};
use crate::store::{Held, Store, Timing};
use crate::terminal::{self, Places, Prompts, Screen, Surface, Times, View};
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// How long the end waits for work that nobody needs any more.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// The runtime on which a run's connections and steps live. One thread: steps wait, they do not compute.
///
/// # Errors
/// The system gives no more descriptors or threads.
pub fn runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::System { what: "the runtime", why: error.to_string() })
}

/// A run that is ready to be driven.
pub struct Launch<'l> {
    pub screen: &'l Screen,
    pub store: &'l Store,
    pub held: Held,
    pub state: State,
    pub world: Arc<World>,
    /// Somebody at this terminal can be asked.
    pub attended: bool,
    /// How long steps took before.
    pub estimates: HashMap<StepId, Usual>,
}

impl Launch<'_> {
    /// Until the run is parked or finished; the summary is shown.
    ///
    /// # Errors
    /// The journal fails; nothing was begun after its last line.
    pub fn drive(self, runtime: Runtime, start: Start) -> Result<Exit, Error> {
        let Self { screen, store, held, state, world, attended, estimates } = self;
        for failure in runtime.block_on(steps::read_secrets(&world)) {
            screen.warn(&format!("{}; should a program print it, nobody will know", failure.message));
        }
        let surface = Surface::new(screen);
        let signals = signals::listen(surface.is_live())
            .map_err(|error| Error::System { what: "listening to signals", why: error.to_string() })?;
        let actor = actor::whoami();
        let setup = Setup {
            observer: Shared::new(View::new(screen, surface.clone(), &state, estimates), held.directory()),
            asker: Prompts::new(screen, surface, &actor.name, attended),
            journal: held.journal(),
            hands: world,
            signals,
            actor,
            state,
        };
        let driven = runtime.block_on(async {
            let (mut delivery, mut observer) = drive::until_still(setup, start).await?;
            // For programs the summary is the last line, after all of the journal's.
            let limit = if screen.is_json() { drive::DELIVERY } else { telling::GRACE };
            let is_told = delivery.go_on(limit, &mut observer).await;
            Ok::<_, drive::Error>((delivery, is_told))
        });
        let (delivery, is_told) = match driven {
            Ok(driven) => driven,
            Err(error) => {
                runtime.shutdown_timeout(PATIENCE);
                return Err(error.into());
            }
        };
        let directory = held.directory().to_path_buf();
        let state = delivery.state().clone();
        remember(store, &state);
        let report = write_report(store, &state, &directory);
        let exit = exit_of(&state);
        let show = |report| {
            if screen.is_json() {
                screen.json(&terminal::summary_json(screen, &state, exit.code(), clock::now()));
            } else {
                let now = clock::now();
                let places = Places { report, directory: directory.clone() };
                screen.text(&terminal::summary(screen, &state, &places, Times { last: now, now }));
            }
        };
        // Nobody waits for a receiver that is slow: the targets are let go, and whoever wants the run gets it.
        if is_told || screen.is_json() {
            drop(delivery);
            runtime.shutdown_timeout(PATIENCE);
            // Let go of it, so that whoever reads the summary can act on it at once.
            drop(held);
            show(report);
        } else {
            show(report);
            telling::finish(screen, &runtime, delivery);
            write_report(store, &state, &directory);
            runtime.shutdown_timeout(PATIENCE);
            drop(held);
        }
        Ok(exit)
    }
}

/// What a script is told.
pub fn exit_of(state: &State) -> Exit {
    match (&state.parked, state.result) {
        (Some(_), _) => Exit::Parked,
        (None, Some(Finish::Done)) => Exit::Done,
        (None, Some(Finish::Failed | Finish::Undone)) => Exit::Failed,
        // The driver ends with one of the two.
        (None, None) => Exit::Bug,
    }
}

/// The report beside the journal. It can be made again at any time, so a failure to write it is no failure of the run.
fn write_report(store: &Store, state: &State, directory: &Path) -> Option<PathBuf> {
    let stored = Stored::read(store, &state.run).ok()?;
    let text = report::markdown(&report::Report::of(&stored.state, &stored.records));
    let place = state_dir::place_of(store.root());
    let text = placed(&text, place.as_deref());
    let path = directory.join("report.md");
    let mut private = OpenOptions::new();
    private.write(true).create(true).truncate(true).mode(0o600);
    private.open(&path).and_then(|mut file| file.write_all(text.as_bytes())).ok()?;
    Some(path)
}

/// How long the steps took, for the estimates of later runs.
fn remember(store: &Store, state: &State) {
    let (Some(started), Some(began), Some(ended)) = (&state.started, state.started_at, state.finished_at)
    else {
        return;
    };
    if state.phase != Phase::Finished || state.result != Some(Finish::Done) {
        return;
    }
    let steps = state.done().filter_map(|id| {
        let entry = state.entry(id)?;
        Some((id.to_string(), report::amount::between(entry.attempt_at?, entry.finished_at?)))
    });
    let closed = report::windows(state);
    let downtime = closed
        .iter()
        .map(|window| report::amount::between(window.opened_at, window.closed_at.unwrap_or(ended)))
        .reduce(|a, b| a + b)
        .or_else(|| report::swaps(state).into_iter().map(|(_, ms)| ms).reduce(|a, b| a + b));
    // An estimate that is missing is shown as unknown.
    let _ = store.record_durations(&Timing {
        plan: started.plan.to_string(),
        digest: started.plan_digest.clone(),
        at: ended,
        rehearsal: started.rehearsal,
        total_ms: report::amount::between(began, ended),
        downtime_ms: downtime,
        steps: steps.collect(),
        params: likeness::valued(&state.shape.plan, &started.params, Path::new(&started.directory)),
        began_with: started.began_with.clone(),
    });
}
