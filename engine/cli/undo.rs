//! `runplan undo`.

use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::resume::GoOn;
use super::state_dir;
use super::stored::Stored;
use super::surroundings::named;
use crate::drive::Start;
use crate::plan::{Action, RunId, StepId};
use crate::report;
use crate::run::{Finish, Phase, Reversal, State, StepState, claims, reversal, reversed, way_back};
use crate::store::Store;
use crate::terminal::{self, Screen, Tone};
use clap::Args;

/// Undoes what a run did, the newest first, and shows before what that is.
///
/// Only what was done is undone, with the values that were recorded. A step without a way back stops the undo there.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan undo k7f3
  runplan undo k7f3 --dry-run        what would be undone
  runplan undo k7f3 --to frozen      only what came after the step `frozen`
  runplan undo k7f3 --partly         although a step has no way back: it stops there
  runplan undo k7f3 --yes --reason 'the copy was the wrong one'")]
pub struct Undo {
    /// The run: its id, or the beginning or end of it
    run: String,
    /// Keep this step and what was done before it
    #[arg(long, value_name = "STEP")]
    to: Option<String>,
    /// Why, for the report
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Show what would be undone, and touch nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Begin although a step has no way back, and stop there
    #[arg(long)]
    partly: bool,
    /// Do not ask whether to begin
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    options: GoOn,
}

impl Undo {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let store = state_dir::open(globals)?;
        let run = store.find(&self.run)?;
        let state = Stored::read(&store, &run)?.state;
        let to = self.to.as_deref().map(|to| super::named::step_of(&state, to)).transpose()?;
        if let Some(step) = to.as_ref().filter(|step| !state.done().any(|done| done == *step)) {
            let message = format!("{step} is not done, so nothing can be undone back to it");
            return Err(Error::usage_with(message, format!("`runplan status {run}` shows what is done")));
        }
        let way = way_back(&state, to.as_ref());
        let steps: Vec<StepId> = way.iter().map(|(id, _)| (*id).clone()).collect();
        if steps.is_empty() && failed(&state).next().is_none() {
            screen.say(&match state.result {
                Some(Finish::Undone) => format!("{run} is undone already: {}", reversed(&state)),
                _ => format!("{run} has done nothing that could be undone"),
            });
            // Killed after its last event, and before it let go of its targets.
            let holds = state.phase == Phase::Finished && !state.released;
            if holds && !self.dry_run && state.started.as_ref().is_some_and(|started| !started.rehearsal) {
                let over = |wait, attended| Start::Resume { attended, wait };
                self.options.go_on(screen, &store, &run, over)?;
                return Ok(Exit::Done);
            }
            if state.phase == Phase::Forward && to.is_none() && !self.dry_run {
                return self.end(screen, &store, &run, &state);
            }
            return Ok(Exit::Done);
        }
        super::post::stay(&state)?;
        super::post::prove_open(&state, self.reason.as_deref().unwrap_or_default())?;
        show(screen, &state, &way);
        let stop = stop_of(&state, &way);
        let undone = &steps[..stop.unwrap_or(steps.len())];
        let shut = report::shut_by(&state, undone);
        warn(screen, &state, &way, stop);
        for words in &shut {
            screen.warn(&format!("after that {words}"));
        }
        if self.dry_run {
            return Ok(Exit::Done);
        }
        if let Some(at) = stop.filter(|_| !self.partly && (self.yes || !screen.is_attended())) {
            return Err(refusal(&run, &way, at));
        }
        let question = match (stop.map(|at| &steps[at]), shut.is_empty()) {
            (None, true) => "Undo this?".to_owned(),
            (None, false) => "Undo this, and leave it CLOSED as said above?".to_owned(),
            (Some(step), true) => format!("Undo only what came after {step}, and stop there?"),
            (Some(step), false) => {
                format!("Undo only what came after {step}, stop there, and leave it CLOSED as said above?")
            }
        };
        let confirmed = self.yes || screen.is_attended() && terminal::confirm(screen, &question);
        if !confirmed {
            let message = "nobody confirmed the undo";
            return Err(Error::usage_with(message, "confirm it on a terminal, or with --yes"));
        }
        let reason = self.reason.unwrap_or_else(|| "asked for by `runplan undo`".to_owned());
        self.options.go_on(screen, &store, &run, |wait, attended| Start::Undo { to, reason, attended, wait })
    }

    /// Nothing was done: the run is over with that, and its targets are let go.
    fn end(self, screen: &Screen, store: &Store, run: &RunId, state: &State) -> Result<Exit, Error> {
        super::post::stay(state)?;
        super::post::prove_open(state, self.reason.as_deref().unwrap_or_default())?;
        let confirmed = self.yes || screen.is_attended() && terminal::confirm(screen, "End it here?");
        if !confirmed {
            let message = format!("nobody confirmed that {run} ends here and lets go of its targets");
            return Err(Error::usage_with(message, "confirm it on a terminal, or with --yes"));
        }
        let reason = self.reason.unwrap_or_else(|| "asked for by `runplan undo`".to_owned());
        let start = |wait, attended| Start::Undo { to: None, reason, attended, wait };
        self.options.go_on(screen, store, run, start)
    }
}

/// What an undo comes by, and why it may have acted if it is not done.
type Way<'s> = [(&'s StepId, Option<&'static str>)];

/// Where the undo would stop: the newest step that has no way back, or that nobody knows the doings of.
fn stop_of(state: &State, way: &Way<'_>) -> Option<usize> {
    way.iter().position(|(id, doubt)| {
        let step = state.shape.flow.step(id.as_str());
        doubt.is_some() || step.is_some_and(|step| matches!(reversal(step), Reversal::None(_)))
    })
}

fn refusal(run: &RunId, way: &Way<'_>, at: usize) -> Error {
    let (step, doubt) = way[at];
    // One that is not done is nothing to undo back to.
    let only = match (at, doubt) {
        (0, _) | (_, Some(_)) => String::new(),
        _ => format!("`runplan undo {run} --to {step} --yes` undoes only what came after it; "),
    };
    let why = match doubt {
        None => "has no way back".to_owned(),
        Some(why) => why.to_owned(),
    };
    Error::usage_with(
        format!("step {step} {why}, so nothing was undone"),
        format!("{only}`runplan undo {run} --partly --yes` begins all the same, and parks at {step}"),
    )
}

/// What stands in the way of the undo, before anybody says yes to it.
fn warn(screen: &Screen, state: &State, way: &Way<'_>, stop: Option<usize>) {
    for id in state.running().chain(state.unknown()) {
        screen.warn(&format!("it is not known yet whether {id} took effect: that is settled first"));
    }
    for words in (0..stop.unwrap_or(way.len())).filter_map(|at| asked_later(state, way[at].0, &way[..at])) {
        screen.warn(&words);
    }
    let Some(at) = stop else { return };
    let done = if at == 0 { "nothing is undone".to_owned() } else { format!("the {at} after it are undone") };
    let (step, run) = (way[at].0, &state.run);
    screen.warn(&match way[at].1 {
        Some(why) => format!(
            "step {step} {why}: the undo stops there ({done}) and asks what is left of it; `runplan status {run}` then shows \
             the answers, and `runplan resume {run}` undoes what came before it"
        ),
        None => format!(
            "step {step} has no way back: the undo stops there ({done}); then `runplan resolve {run} {step} --skip --reason \
             'it stays as it is'` and `runplan resume {run}` undo what came before it"
        ),
    });
}

/// What the undo of a swap will ask; `newer`: what is undone before it.
fn asked_later(state: &State, swap: &StepId, newer: &Way<'_>) -> Option<String> {
    let step = |id: &StepId| state.shape.flow.step(id.as_str());
    let Action::Swap(action) = &step(swap)?.action.value else { return None };
    let database = action.database.raw.trim();
    let own = newer.iter().filter_map(|(id, _)| step(id)).filter(|step| {
        claims(step)
            && !matches!(step.action.value, Action::Freeze(_))
            && named(step).as_deref() == Some(database)
    });
    let own: Vec<&str> = own.map(|step| step.id.as_str()).collect();
    let code = "it gives the code that agrees to it (`--accept-loss`)";
    Some(match own.is_empty() {
        true => format!(
            "if anybody has written to {database} since it was swapped in, the undo of {swap} stops and asks whether that may \
             be lost; {code}"
        ),
        false => format!(
            "the undo of {swap} stops and asks whether what was written to {database} since it was swapped in may be lost: {} \
             of this run wrote there, what others wrote is found then; {code}",
            own.join(", ")
        ),
    })
}

/// What an undo that was begun could not undo.
fn failed(state: &State) -> impl Iterator<Item = &StepId> {
    state.entries().filter(|(_, entry)| entry.state == StepState::UndoFailed).map(|(id, _)| id)
}

fn show(screen: &Screen, state: &State, way: &Way<'_>) {
    let paint = screen.paint();
    screen.say("This is undone, in this order:");
    for id in failed(state) {
        let words =
            format!("its undo failed, and comes first: `runplan status {}` shows the ways on", state.run);
        screen.say(&format!("  {}  {}", paint.of(Tone::Strong, id.as_str()), paint.of(Tone::Bad, &words)));
    }
    for (id, doubt) in way {
        let Some(step) = state.shape.flow.step(id.as_str()) else { continue };
        let (tone, words) = match (doubt, reversal(step)) {
            (Some(why), Reversal::Given(bare)) => {
                let kind = bare.action.kind().word();
                (
                    Tone::Bad,
                    format!(
                        "MAY HAVE ACTED: it {why}; the undo stops here and asks (the plan's undo, {kind}, can be run)"
                    ),
                )
            }
            (Some(why), _) => (Tone::Bad, format!("MAY HAVE ACTED: it {why}; the undo stops here and asks")),
            (None, Reversal::Nothing) => (Tone::Faint, "nothing to undo".to_owned()),
            (None, Reversal::BuiltIn(words)) => (Tone::Plain, words.to_owned()),
            (None, Reversal::Given(bare)) => {
                (Tone::Plain, format!("the plan's undo ({})", bare.action.kind().word()))
            }
            (None, Reversal::None(why)) => {
                (Tone::Bad, format!("CANNOT be undone: {why}; the undo stops here"))
            }
        };
        screen.say(&format!("  {}  {}", paint.of(Tone::Strong, id.as_str()), paint.of(tone, &words)));
    }
}
