//! What a run that stands still has yet to say to the site's channels: delivered with a line that shows it, after the end was
//! shown and the targets were let go. Must never hold a run against somebody who wants it.

use super::error::Error;
use super::launch;
use super::signals;
use super::stored::Stored;
use super::surroundings::{self, Given};
use crate::drive::{self, DELIVERY, Delivery, Far, Observer};
use crate::plan::action::notify::Level;
use crate::plan::{RunId, StepId};
use crate::report::amount::time;
use crate::report::tell;
use crate::run::{Actor, Input, Phase, Record, State};
use crate::steps::{self, Hands, Progress};
use crate::store::{Journal, Store};
use crate::terminal::{Lines, Screen, Tone};
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::Runtime;

/// A receiver that answers within this is waited for without a word.
pub const GRACE: Duration = Duration::from_millis(500);

/// What is in a run's outbox, a line each.
pub fn untold(state: &State) -> Vec<String> {
    let one = |untold: &crate::run::Untold| {
        let at = time(untold.at);
        let tried = match untold.rounds {
            0 => String::new(),
            1 => ", given up once".to_owned(),
            many => format!(", given up {many} times"),
        };
        format!("{}: {} of {at}{tried}", untold.notice.channel, untold.notice.subject.replace('_', "-"))
    };
    state.untold.iter().map(one).collect()
}

/// Shows how far a delivery is: drawn over on a terminal, else said once.
pub struct Teller<'s> {
    screen: &'s Screen,
    lines: Lines,
    shown: Option<Far>,
    /// Nothing is said of what is under way.
    is_patient: bool,
}

impl<'s> Teller<'s> {
    pub fn new(screen: &'s Screen, state: &State) -> Self {
        Self { screen, lines: Lines::new(screen, state), shown: None, is_patient: false }
    }

    fn wipe(&mut self) {
        if self.shown.take().is_some() {
            self.screen.redraw("");
        }
    }
}

impl Observer for Teller<'_> {
    fn recorded(&mut self, record: &Record, state: &State) {
        let told = tell(record, state);
        if self.screen.is_json() {
            self.screen.line(&record.line);
        } else if !told.minor {
            self.wipe();
            self.screen.say(&self.lines.of(record.at, &told));
        }
    }

    fn progress(&mut self, _: &StepId, _: &Progress, _: &State) {}

    fn said(&mut self, _: &StepId, _: Level, message: &str) {
        self.wipe();
        self.screen.say(&self.lines.one(crate::clock::now(), Tone::Strong, "run", &format!("» {message}")));
    }

    fn delivering(&mut self, far: &Far) {
        if self.is_patient || self.shown.as_ref() == Some(far) || far.is_over() {
            return;
        }
        let is_first = self.shown.is_none();
        if self.screen.live || is_first {
            self.screen.redraw(&words(far));
        }
        self.shown = Some(far.clone());
    }
}

impl Drop for Teller<'_> {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// `still telling slack: 2 of 3 done, Ctrl-C leaves it for the next command`
fn words(far: &Far) -> String {
    let (names, Far { done, all, .. }) = (far.channels.join(", "), far);
    format!("still telling {names}: {done} of {all} done, Ctrl-C leaves it for the next command")
}

/// Delivers until all is, somebody wants the run or the terminal, or the time is up.
pub fn finish<J: Journal, H: Hands>(
    screen: &Screen,
    runtime: &Runtime,
    mut delivery: Delivery<J, H>,
) -> State {
    signals::stand_still();
    let mut teller = Teller::new(screen, delivery.state());
    let state = runtime.block_on(async {
        teller.is_patient = true;
        let is_told = delivery.go_on(GRACE, &mut teller).await;
        teller.is_patient = false;
        if !is_told {
            delivery.go_on(DELIVERY, &mut teller).await;
        }
        delivery.leave()
    });
    drop(teller);
    let left = untold(&state);
    if !left.is_empty() {
        let how = match state.phase {
            Phase::Finished => {
                format!("; told by {}", screen.command(&format!("runplan resume {}", state.run)))
            }
            Phase::Forward | Phase::Backward => ", whoever takes the run up tries again".to_owned(),
        };
        screen.remark(&format!("not told yet{how}: {}", left.join("; ")));
    }
    state
}

/// Delivers what a run that nobody holds has yet to say. One that somebody else took meanwhile is theirs to tell of.
///
/// # Errors
/// Its journal is damaged or cannot be written.
pub fn deliver(screen: &Screen, store: &Store, run: &RunId) -> Result<(), Error> {
    let Ok(held) = store.take(run) else { return Ok(()) };
    let mut state = Stored::read(store, run)?.state;
    let runtime = launch::runtime()?;
    if state.broken_glass.is_some() {
        runtime.block_on(drive::record(held.journal(), &mut state, &Actor::engine(), Input::TellBroken))?;
    }
    let Some(started) = state.started.clone() else { return Ok(()) };
    if state.untold.is_empty() || state.moved.is_some() {
        return Ok(());
    }
    let given = Given::again(&state, started.params.clone(), None);
    let directory = PathBuf::from(&started.directory);
    let world = surroundings::world(run, &state.shape, directory, held.directory().to_path_buf(), given)?;
    for failure in runtime.block_on(steps::read_secrets(&world)) {
        screen.warn(&format!("{}; should a program print it, nobody will know", failure.message));
    }
    let stops = signals::listen(false)
        .map_err(|error| Error::System { what: "listening to signals", why: error.to_string() })?;
    let named: std::collections::BTreeSet<String> =
        state.untold.iter().map(|untold| untold.notice.channel.clone()).collect();
    let state = finish(screen, &runtime, Delivery::new(state, held.journal(), world, stops));
    runtime.shutdown_timeout(Duration::from_secs(1));
    if state.untold.is_empty() {
        screen.say(&format!("told: {}", named.into_iter().collect::<Vec<_>>().join(", ")));
    }
    Ok(())
}
