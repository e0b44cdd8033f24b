//! `runplan resolve` and `stop`, and how every word reaches a run: what people say to a run, from any terminal. A run that somebody
//! holds finds it in its inbox; else it is decided here. Must never report as accepted what the journal does not hold.

use super::actor;
use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::incident;
use super::launch;
use super::named::{find, find_in_order, step_of};
use super::stored::Stored;
use super::surroundings::{self, Given, Missing};
use super::telling;
use crate::clock;
use crate::drive;
use crate::plan::RunId;
use crate::report::{self, amount, tell};
use crate::run::{Actor, Event, Phase, Post, Record, Resolution, State, standing};
use crate::store::{self, Held, Store};
use crate::terminal::{Lines, Screen};
use clap::{ArgGroup, Args};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

/// How long the holder of a run may take to answer. It looks into its inbox five times a second.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(50);

/// Says what became of a step whose outcome is not known, or lets a run go on past a failed one.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true), after_help = "\
Examples:
  runplan resolve k7f3 switched --done --reason 'the new database is there'
  runplan resolve k7f3 deploy --retry --reason 'nothing was deployed'
  runplan resolve k7f3 notify_team --skip --reason 'told them by phone'
  runplan resolve k7f3 switched --retry --accept-loss 3f9a12c4 --reason 'the four messages are copied'")]
pub struct Resolve {
    /// The run: its id, or the beginning or end of it
    run: String,
    /// The step
    step: String,
    /// It took effect
    #[arg(long, group = "what")]
    done: bool,
    /// Do it again
    #[arg(long, group = "what")]
    retry: bool,
    /// Go on without it
    #[arg(long, group = "what")]
    skip: bool,
    /// It failed
    #[arg(long, group = "what")]
    failed: bool,
    /// How you know, for the report
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Undo a swap although that loses what was written since: the code that the refusal gave
    #[arg(long, value_name = "CODE", requires = "retry")]
    accept_loss: Option<String>,
}

/// Stops a run that is under way: nothing new is started, running steps finish, then it parks.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan stop k7f3
  runplan stop k7f3 --now        cancel running steps
  runplan stop k7f3 --for-good   a parked run is given up; nothing is undone")]
pub struct Stop {
    /// The run: its id, or the beginning or end of it
    run: String,
    /// Cancel running steps
    #[arg(long)]
    now: bool,
    /// End a parked run: it cannot be resumed, what it did stays, its targets are free again
    #[arg(long, conflicts_with = "now")]
    for_good: bool,
    /// Why, for the report
    #[arg(
        long,
        default_value = "asked for by `runplan stop`",
        hide_default_value = true,
        value_name = "TEXT"
    )]
    reason: String,
}

impl Resolve {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let (store, run) = find_in_order(globals, "resolve", &self.run, Some(&self.step))?;
        let state = Stored::read(&store, &run)?.state;
        let step = step_of(&state, &self.step)?;
        let resolution = match (self.done, self.retry, self.skip) {
            (true, _, _) => Resolution::Done,
            (_, true, _) => Resolution::Retry,
            (_, _, true) => Resolution::Skip,
            _ => Resolution::Failed,
        };
        let post = Post::Resolve { step, resolution, reason: self.reason, loss: self.accept_loss };
        say(screen, &store, &run, to(&state, post))
    }
}

impl Stop {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let (store, run) = find(globals, &self.run)?;
        if store.holder(&run)?.is_none() {
            let state = Stored::read(&store, &run)?.state;
            if self.for_good && state.phase != Phase::Finished {
                return give_up(screen, &store, &run, self.reason);
            }
            screen.say(&format!("{run} is not under way: there is nothing to stop"));
            next(screen, &state);
            return Ok(Exit::Done);
        }
        if self.for_good {
            let help = "stop it first: runplan stop RUN";
            return Err(Error::usage_with(format!("{run} is under way"), help));
        }
        say(screen, &store, &run, Post::Stop { hard: self.now, reason: self.reason })
    }
}

/// Ends a run that nobody drives, and frees its targets.
fn give_up(screen: &Screen, store: &Store, run: &RunId, reason: String) -> Result<Exit, Error> {
    let held = take(screen, store, run)?;
    let mut stored = Stored::read(store, run)?;
    stay(&stored.state)?;
    let under_way: Vec<&str> = stored.state.running().map(|step| step.as_str()).collect();
    if !under_way.is_empty() {
        let steps = under_way.join(", ");
        return Err(Error::usage_with(
            format!(
                "{run} cannot be given up: nobody knows yet what became of {steps} when its process died"
            ),
            format!("runplan resume {run} finds that out; give it up when it stands still"),
        ));
    }
    prove_open(&stored.state, &reason)?;
    let started = stored.started()?.clone();
    let directory = PathBuf::from(&started.directory);
    let given = Given::again(&stored.state, started.params.clone(), None);
    let state = held.directory().to_path_buf();
    let world = surroundings::world(run, &stored.state.shape, directory, state, given)?;
    let runtime = launch::runtime()?;
    if !started.rehearsal {
        // While the targets cannot be had, the run stays what it is, and is found by its claim.
        runtime.block_on(surroundings::hold_again(&world, &stored.state, Missing::IsTakenOn))?;
    }
    let actor = actor::whoami();
    let records =
        runtime.block_on(drive::post(held.journal(), &mut stored.state, &actor, Post::End { reason }))?;
    show(screen, &records, &stored.state);
    if let Some(why) = refusal(&records) {
        return Err(Error::Refused { run: run.clone(), why });
    }
    for problem in runtime.block_on(surroundings::release(&world, &held, &mut stored.state))? {
        screen.warn(&problem);
    }
    next(screen, &stored.state);
    drop(held);
    telling::deliver(screen, store, run)?;
    Ok(Exit::Done)
}

/// Takes a run, with everything decided that was said to it while nobody read it. Whoever only delivers its last messages
/// lets go of it.
///
/// # Errors
/// Somebody drives it; its journal is damaged.
pub fn take(screen: &Screen, store: &Store, run: &RunId) -> Result<Held, Error> {
    let held = match store.take(run) {
        Err(store::Error::Held { by, .. }) if stands_still(&Stored::read(store, run)?.state) => {
            let by = by.map_or_else(|| "another process".to_owned(), |by| by.to_string());
            screen
                .remark(&format!("{by} still delivers notifications of {run}, and is asked to let go of it"));
            store.post(run, &actor::whoami(), &Post::LetGo)?;
            let watch = clock::Stopwatch::start();
            loop {
                match store.take(run) {
                    Err(store::Error::Held { .. }) if watch.elapsed() < PATIENCE => clock::block(LOOK),
                    taken => break taken?,
                }
            }
        }
        taken => taken?,
    };
    let mut state = Stored::read(store, run)?.state;
    let heard = launch::runtime()?.block_on(drive::read_inbox(held.journal(), &mut state))?;
    show(screen, &heard.records, &state);
    Ok(held)
}

/// Nobody drives it on by himself.
fn stands_still(state: &State) -> bool {
    state.parked.is_some() || state.phase == Phase::Finished
}

/// A run that was moved goes on elsewhere, and nowhere else.
///
/// # Errors
/// `Moved`, with where it went.
pub fn stay(state: &State) -> Result<(), Error> {
    match &state.moved {
        None => Ok(()),
        Some(moved) => Err(Error::Moved {
            run: state.run.clone(),
            to: moved.to.clone(),
            by: format!("{} on {}", moved.by.name, moved.by.host),
            at: amount::time(moved.at),
        }),
    }
}

/// An answer to what is asked now, and to nothing that may be asked later.
pub fn to(state: &State, post: Post) -> Post {
    let attempt = post.step().and_then(|step| state.entry(step)).map(|entry| entry.attempts);
    match attempt {
        Some(attempt) => Post::Answer { attempt, answer: Box::new(post) },
        None => post,
    }
}

/// Says it to the run, and shows what came of it.
///
/// # Errors
/// The run did not accept it, or cannot be reached.
pub fn say(screen: &Screen, store: &Store, run: &RunId, post: Post) -> Result<Exit, Error> {
    prove_open(&Stored::read(store, run)?.state, &serde_json::to_string(&post).unwrap_or_default())?;
    let (records, state, is_held) = match store.take(run) {
        Ok(held) => {
            let mut state = Stored::read(store, run)?.state;
            let runtime = launch::runtime()?;
            let heard = runtime.block_on(drive::read_inbox(held.journal(), &mut state))?;
            show(screen, &heard.records, &state);
            stay(&state)?;
            if state.phase == Phase::Finished {
                return Err(Error::Refused { run: run.clone(), why: "the run is over".to_owned() });
            }
            let actor = actor::whoami();
            let records = runtime.block_on(drive::post(held.journal(), &mut state, &actor, post))?;
            (records, state, false)
        }
        Err(store::Error::Held { .. }) => match wait(store, run, &post)? {
            Some(Answer { is_held: false, state, records }) if records.is_empty() => {
                return unheard(screen, run, &state, &post);
            }
            Some(Answer { records, state, is_held }) => (records, state, is_held),
            None => {
                screen.say("it is said; the process that holds the run has not answered yet");
                return Ok(Exit::Done);
            }
        },
        Err(error) => return Err(error.into()),
    };
    show(screen, &records, &state);
    if let Some(why) = refusal(&records) {
        return Err(Error::Refused { run: run.clone(), why });
    }
    if records.is_empty() {
        screen.say("nothing came of it: it was so already");
    }
    if !is_held {
        next(screen, &state);
        // What it comes to is told at once, not only by whoever takes the run up.
        if state.broken_glass.is_some() || !state.untold.is_empty() {
            telling::deliver(screen, store, run)?;
        }
    }
    Ok(Exit::Done)
}

/// Words that are said to a run hold none of its secrets.
///
/// # Errors
/// They do.
pub fn prove_open(state: &State, words: &str) -> Result<(), Error> {
    let directory = state.started.as_deref().map(|started| PathBuf::from(&started.directory));
    surroundings::prove_open(&state.shape, &directory.unwrap_or_default(), words)
}

/// Who held the run ended without hearing it, and nothing came of it afterwards.
fn unheard(screen: &Screen, run: &RunId, state: &State, post: &Post) -> Result<Exit, Error> {
    stay(state)?;
    if matches!(post, Post::Stop { .. }) {
        screen.say(&format!("{run} is not under way any more: there is nothing to stop"));
    } else if state.phase == Phase::Finished {
        return Err(Error::Refused { run: run.clone(), why: "the run is over".to_owned() });
    } else {
        screen.say("nothing came of it: it was so already");
    }
    next(screen, state);
    Ok(Exit::Done)
}

/// What came of something that was said.
struct Answer {
    records: Vec<Record>,
    state: State,
    /// Somebody drives the run, or did so when it was heard.
    is_held: bool,
}

/// Puts it into the inbox of a run that somebody holds, and waits for the answer. Should the holder end without reading
/// it, it is decided here.
fn wait(store: &Store, run: &RunId, post: &Post) -> Result<Option<Answer>, Error> {
    let id = store.post(run, &actor::whoami(), post)?;
    let watch = clock::Stopwatch::start();
    let mut is_held = true;
    while watch.elapsed() < PATIENCE {
        if let Some(lines) = store.outcome_of(run, id)? {
            let stored = Stored::read(store, run)?;
            let records = led_to(&stored.records, &lines, &actor::whoami());
            // Who only delivers its last messages does nothing with the answer.
            let is_held = is_held && !stands_still(&stored.state);
            return Ok(Some(Answer { records, state: stored.state, is_held }));
        }
        if store.holder(run)?.is_none()
            && let Ok(held) = store.take(run)
        {
            is_held = false;
            let mut state = Stored::read(store, run)?.state;
            launch::runtime()?.block_on(drive::read_inbox(held.journal(), &mut state))?;
            continue;
        }
        clock::block(LOOK);
    }
    Ok(None)
}

/// Those of the lines that one message of that actor led to: those that were decided with the first. None when that one is
/// somebody else's, for then nothing came of the message.
fn led_to(records: &[Record], lines: &Range<u64>, by: &Actor) -> Vec<Record> {
    let at = records.iter().find(|record| record.seq == lines.start).map(|record| record.at);
    let later = records.iter().filter(|record| lines.contains(&record.seq));
    later.take_while(|record| record.actor == *by && Some(record.at) == at).cloned().collect()
}

fn refusal(records: &[Record]) -> Option<String> {
    records.iter().find_map(|record| match &record.event {
        Event::DecisionRefused { reason, .. } => Some(reason.clone()),
        _ => None,
    })
}

fn show(screen: &Screen, records: &[Record], state: &State) {
    let lines = Lines::new(screen, state);
    for record in records {
        match screen.is_json() {
            true => screen.line(&record.line),
            false => screen.say(&lines.of(record.at, &tell(record, state))),
        }
    }
}

/// What to type now.
fn next(screen: &Screen, state: &State) {
    let run = &state.run;
    let closed: Vec<String> = report::windows(state)
        .into_iter()
        .filter_map(|window| window.shut())
        .chain(report::frozen(state).into_iter().map(|(_, name)| {
            format!("database {name} is still frozen: read-only, but for who sets that aside")
        }))
        .collect();
    if state.result.is_some() {
        closed.iter().for_each(|what| screen.warn(what));
    }
    if let Some(words) = incident::overdue(state) {
        screen.warn(&words);
    }
    let now = clock::now();
    let command = match (&state.parked, state.result) {
        // It opens again what is closed.
        (_, Some(_)) if !closed.is_empty() => format!("runplan undo {run}"),
        (_, Some(_)) => format!("runplan report {run}"),
        (_, None) => {
            let standing = standing(state, now, screen.me());
            standing.map_or_else(|| format!("runplan resume {run}"), |standing| standing.typed())
        }
    };
    screen.say(&format!("next: {}", screen.command(&command)));
}
