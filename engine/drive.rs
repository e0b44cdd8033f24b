//! The only scheduling loop: inputs -> decide -> events -> durable -> shown -> effects. Nothing is shown, answered or
//! started before its event is durable; if that fails, the process stops without acting.
#![allow(clippy::disallowed_methods, reason = "the steps' tasks are spawned here")]

mod batch;
mod delivery;
mod jobs;
mod post;

pub use delivery::{DELIVERY, Delivery, Far};
pub use post::{Heard, PostError, post, read_inbox, record};

use crate::clock::{self, Timestamp};
use crate::plan::action::notify::Level;
use crate::plan::{RunId, StepId};
use crate::run::{Actor, Event, Impossible, Input, Phase, Post, Record, Started, State, decide, next_wakeup};
use crate::steps::{Hands, Progress, Sent, Verb};
use crate::store::{self, Journal};
use delivery::Telling;
use jobs::{Jobs, Message};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How often the inbox is looked into.
const INBOX: Duration = Duration::from_millis(200);
/// More messages than this are left for the next batch.
const LARGEST_BATCH: usize = 1024;
/// Handlers never hold up the end of a run for longer.
const HANDLERS: Duration = Duration::from_secs(60);

/// Sees what happens, after it is durable.
pub trait Observer {
    fn recorded(&mut self, record: &Record, state: &State);
    fn progress(&mut self, step: &StepId, progress: &Progress, state: &State);
    /// A notification for the console.
    fn said(&mut self, step: &StepId, level: Level, message: &str);
    /// Time goes by; several times a second.
    fn idle(&mut self, _state: &State) {}
    /// How far the delivery is of what a run that stands still has to say; also when nothing changed.
    fn delivering(&mut self, _far: &Far) {}
}

/// Asks the person at the terminal.
pub trait Asker {
    /// Asks about a step that waits for an approval, or whose outcome is not known; the answer is sent, whenever it comes.
    /// Again: what is asked has changed, or the answer did not count.
    fn ask(&mut self, state: &State, step: &StepId, reply: mpsc::UnboundedSender<Post>);
    /// It is decided, or it is too late.
    fn withdraw(&mut self, step: &StepId);
    /// Nothing is asked any more: the run stands still.
    fn end(&mut self);
}

/// A wish to stop, from a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    pub hard: bool,
    pub reason: String,
}

impl Stop {
    /// The reason of the first one at a keyboard.
    pub const CTRL_C: &str = "Ctrl-C";
}

/// What a run is driven with.
pub struct Setup<J, H, O, A> {
    pub state: State,
    pub journal: J,
    pub hands: H,
    pub observer: O,
    pub asker: A,
    pub signals: mpsc::UnboundedReceiver<Stop>,
    pub actor: Actor,
}

/// How it begins.
pub enum Start {
    Begin(Box<Started>),
    Resume { attended: bool, wait: bool },
    Undo { to: Option<StepId>, reason: String, attended: bool, wait: bool },
}

/// Why the loop stopped before the run was parked or finished.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error("the journal cannot be written, so nothing more is done")]
    #[diagnostic(
        code(runplan::drive::journal),
        help("mend it, then `runplan resume`: what was done is known, what was begun is settled")
    )]
    Journal(#[source] store::Error),
    #[error("the journal and the plan do not fit")]
    #[diagnostic(code(runplan::drive::impossible), help("`runplan status RUN --verify` names the place"))]
    Impossible(#[from] Impossible),
}

struct Driver<J, H, O, A> {
    run: RunId,
    state: State,
    journal: J,
    observer: O,
    asker: A,
    actor: Actor,
    jobs: Jobs<H>,
    /// Handlers of the plan that are under way.
    handling: usize,
    telling: Telling,
    /// An undo that begins when everything that was interrupted is settled.
    undo: Option<Post>,
}

/// Drives a run until it is parked or finished, and delivers what it has to say.
///
/// # Errors
/// The journal fails, or does not fit the plan. Nothing was started after the last durable event.
pub async fn run<J: Journal, H: Hands, O: Observer, A: Asker>(
    setup: Setup<J, H, O, A>,
    start: Start,
) -> Result<State, Error> {
    let (mut delivery, mut observer) = until_still(setup, start).await?;
    delivery.go_on(DELIVERY, &mut observer).await;
    Ok(delivery.leave())
}

/// Drives a run until it is parked or finished; its targets are let go then. What it still has to say is left to whoever
/// called, who may show the end before.
///
/// # Errors
/// As `run`.
pub async fn until_still<J: Journal, H: Hands, O: Observer, A: Asker>(
    setup: Setup<J, H, O, A>,
    start: Start,
) -> Result<(Delivery<J, H>, O), Error> {
    let Setup { state, journal, hands, observer, asker, mut signals, actor } = setup;
    let (sender, mut messages) = mpsc::unbounded_channel();
    let jobs = Jobs::new(hands, sender);
    let mut driver = Driver {
        run: state.run.clone(),
        state,
        journal,
        observer,
        asker,
        actor,
        jobs,
        handling: 0,
        telling: Telling::default(),
        undo: None,
    };
    driver.jobs.recall(&driver.state);
    let first = driver.opening(start);
    driver.batch(first, Vec::new()).await?;
    driver.ask_again();
    let mut inbox_at = clock::Stopwatch::start();
    while !driver.is_over() {
        let wait = driver.patience(&inbox_at);
        let mut inputs = VecDeque::new();
        let mut acks = Vec::new();
        tokio::select! {
            biased;
            Some(stop) = signals.recv() => {
                inputs.push_back((driver.actor.clone(), Input::Stop { hard: stop.hard, reason: stop.reason }));
            }
            Some(message) = messages.recv() => {
                driver.take(message, &mut inputs, &mut acks);
                while inputs.len() < LARGEST_BATCH
                    && let Ok(message) = messages.try_recv()
                {
                    driver.take(message, &mut inputs, &mut acks);
                }
            }
            () = clock::sleep(wait) => {}
        }
        if inbox_at.elapsed() >= INBOX {
            inbox_at = clock::Stopwatch::start();
            driver.look_into_inbox().await?;
        }
        inputs.push_back((Actor::engine(), Input::Tick));
        driver.batch(inputs, acks).await?;
        driver.observer.idle(&driver.state);
    }
    let is_wanted = driver.finish(&mut messages, &mut signals).await;
    let Driver { state, journal, observer, jobs, telling, .. } = driver;
    Ok((Delivery { state, journal, jobs, messages, signals, telling, is_wanted }, observer))
}

type Inputs = VecDeque<(Actor, Input)>;

impl<J: Journal, H: Hands, O: Observer, A: Asker> Driver<J, H, O, A> {
    fn opening(&mut self, start: Start) -> Inputs {
        let mut inputs = VecDeque::new();
        match start {
            Start::Begin(started) => inputs.push_back((self.actor.clone(), Input::Begin(started))),
            Start::Resume { attended, wait } => {
                inputs.push_back((self.actor.clone(), Input::Resume { attended, wait }));
            }
            Start::Undo { to, reason, attended, wait } => {
                inputs.push_back((self.actor.clone(), Input::Resume { attended, wait }));
                let undo = Post::Undo { to, reason };
                // Else the run would go forward when the undo is refused.
                if self.is_refused(&undo) {
                    let reason = "what was interrupted is settled before the undo".to_owned();
                    inputs.push_back((self.actor.clone(), Input::Stop { hard: false, reason }));
                    self.undo = Some(undo);
                } else {
                    inputs.push_back((self.actor.clone(), Input::Post(undo)));
                }
            }
        }
        inputs
    }

    /// Questions that were open when the run was taken up.
    fn ask_again(&mut self) {
        let open: Vec<StepId> = self.state.awaiting().chain(self.state.unknown()).cloned().collect();
        for step in open {
            self.ask(&step);
        }
    }

    fn ask(&mut self, step: &StepId) {
        if self.state.attended && self.state.parked.is_none() {
            let attempt = self.state.entry(step).map_or(0, |entry| entry.attempts);
            self.asker.ask(&self.state, step, self.jobs.replies(attempt));
        }
    }

    fn is_over(&self) -> bool {
        self.stands_still() && self.undo.is_none()
    }

    fn stands_still(&self) -> bool {
        let is_finished = self.state.phase == Phase::Finished && self.state.running().next().is_none();
        is_finished || self.state.parked.is_some()
    }

    fn is_refused(&self, undo: &Post) -> bool {
        decide(&self.state, &self.actor, Input::Post(undo.clone()), clock::now())
            .iter()
            .any(|event| matches!(event, Event::DecisionRefused { .. }))
    }

    /// How long to wait for a message at most.
    fn patience(&self, inbox_at: &clock::Stopwatch) -> Duration {
        let inbox = INBOX.saturating_sub(inbox_at.elapsed());
        let wakeup = next_wakeup(&self.state).map(|at| until(at, clock::now()));
        wakeup.map_or(inbox, |wakeup| wakeup.min(inbox))
    }

    fn take(&mut self, message: Message, inputs: &mut Inputs, acks: &mut Vec<oneshot::Sender<()>>) {
        let engine = Actor::engine();
        match message {
            Message::Outcome { verb: Verb::Act | Verb::Settle, step, attempt, outcome } => {
                self.jobs.forget(&step);
                inputs.push_back((engine, Input::Outcome { step, attempt, outcome }));
            }
            Message::Outcome { verb: Verb::Undo | Verb::SettleUndo, step, attempt, outcome } => {
                self.jobs.forget(&step);
                inputs.push_back((engine, Input::Undone { step, attempt, outcome }));
            }
            Message::Sent { step, attempt, sent } => match sent {
                Sent::Fact { fact, done } => {
                    acks.push(done);
                    inputs.push_back((engine, Input::Note { step, attempt, fact }));
                }
                Sent::Warning(message) => {
                    inputs.push_back((engine, Input::Warning { step: Some(step), message }));
                }
                Sent::Said { level, message } => self.observer.said(&step, level, &message),
                Sent::Progress(progress) => self.observer.progress(&step, &progress, &self.state),
            },
            Message::Reply(post) => inputs.push_back((self.actor.clone(), Input::Post(post))),
            Message::Handled { occasion, index, failure, last } => {
                self.handling -= usize::from(last);
                inputs.push_back((engine, Input::HandlerFinished { occasion, index, failure, line: None }));
            }
            Message::Told { occasion, index, failure, line } => {
                self.telling.end((line, occasion, index));
                let line = Some(line);
                inputs.push_back((engine, Input::HandlerFinished { occasion, index, failure, line }));
            }
        }
    }

    /// One message after the other, so that each sender finds the lines that its own led to.
    async fn look_into_inbox(&mut self) -> Result<(), Error> {
        for posted in self.journal.inbox().await.map_err(Error::Journal)? {
            let inputs = VecDeque::from([(posted.actor, Input::Post(posted.post))]);
            self.batch_taking(inputs, Vec::new(), &[posted.id]).await?;
        }
        Ok(())
    }

    /// Waits for the plan's handlers, within their limit, and lets go of the targets when the run is over. What people say
    /// meanwhile is heard; whoever wants the run, or the terminal back, gets it. Whether somebody does. Receivers of what the
    /// site's channels are told are not waited for.
    async fn finish(
        &mut self,
        messages: &mut mpsc::UnboundedReceiver<Message>,
        signals: &mut mpsc::UnboundedReceiver<Stop>,
    ) -> bool {
        let began = clock::Stopwatch::start();
        let mut is_wanted = false;
        while self.handling > 0 && !is_wanted && began.elapsed() < HANDLERS {
            let mut inputs = VecDeque::new();
            let mut acks = Vec::new();
            tokio::select! {
                biased;
                Some(stop) = signals.recv() => is_wanted |= stop.hard,
                Some(message) = messages.recv() => self.take(message, &mut inputs, &mut acks),
                () = clock::sleep(INBOX.min(HANDLERS.saturating_sub(began.elapsed()))) => {}
            }
            inputs.retain(|(_, input)| is_afterwards(input));
            // The result stands; a handler that cannot be recorded changes nothing.
            if self.batch(inputs, acks).await.is_err() {
                break;
            }
            is_wanted |= self.hear().await;
        }
        if self.handling > 0 {
            let message = "not all handlers of the plan had ended when the run was let go".to_owned();
            let inputs = VecDeque::from([(Actor::engine(), Input::Warning { step: None, message })]);
            let _ = self.batch(inputs, Vec::new()).await;
        }
        // What a late message came to.
        let mut inputs = VecDeque::new();
        while let Ok(message) = messages.try_recv() {
            self.take(message, &mut inputs, &mut Vec::new());
        }
        inputs.retain(|(_, input)| is_afterwards(input));
        let _ = self.batch(inputs, Vec::new()).await;
        if self.state.phase == Phase::Finished {
            let problems = self.jobs.hands.release().await;
            let mut inputs: Inputs = problems
                .into_iter()
                .map(|message| (Actor::engine(), Input::Warning { step: None, message }))
                .collect();
            if inputs.is_empty() {
                inputs.push_back((Actor::engine(), Input::Released));
            }
            let _ = self.batch(inputs, Vec::new()).await;
        }
        self.hear().await || is_wanted
    }

    /// What people say to a run that stands still. Whether another process wants it.
    async fn hear(&mut self) -> bool {
        // What cannot be read now waits for the next process.
        let Ok(heard) = read_inbox(&self.journal, &mut self.state).await else { return false };
        for record in &heard.records {
            self.observer.recorded(record, &self.state);
        }
        if self.state.broken_glass.is_some() {
            let _ = self.batch(VecDeque::from([(Actor::engine(), Input::TellBroken)]), Vec::new()).await;
        }
        heard.wanted
    }
}

/// What is still written down of a run that stands still.
fn is_afterwards(input: &Input) -> bool {
    matches!(input, Input::HandlerFinished { .. } | Input::Warning { .. })
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}
