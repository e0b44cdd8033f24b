//! What a run that stands still has yet to say, delivered after its targets were let go and its end was shown. What is not
//! delivered stays in the run's outbox, which is its journal, for whoever takes the run up next. Must never hold the run
//! against somebody who wants it.

use super::jobs::{Jobs, Message};
use super::post::{read_inbox, record};
use super::{INBOX, Inputs, Observer, Stop};
use crate::clock;
use crate::clock::Stopwatch;
use crate::run::{Actor, Input, Occasion, State, Untold};
use crate::steps::{Hands, Sent};
use crate::store::Journal;
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long receivers are waited for when nobody wants the run.
pub const DELIVERY: Duration = Duration::from_secs(60);

/// How far a delivery is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Far {
    /// Whose answer is waited for.
    pub channels: Vec<String>,
    /// Messages that were delivered or given up.
    pub done: usize,
    pub all: usize,
}

impl Far {
    pub fn is_over(&self) -> bool {
        self.channels.is_empty()
    }
}

/// Which message: one line may be of several occasions, and each numbers its own.
pub(super) type Id = (u64, Occasion, u32);

fn id(untold: &Untold) -> Id {
    (untold.line, untold.occasion, untold.index)
}

/// What this process tells, and told: nothing is begun twice.
#[derive(Default)]
pub(super) struct Telling {
    begun: HashSet<Id>,
    under_way: Vec<(Id, String)>,
    done: usize,
}

impl Telling {
    /// Begins with everything that was not begun here.
    pub(super) fn begin<H: Hands>(&mut self, state: &State, jobs: &Jobs<H>) {
        for untold in &state.untold {
            if self.begun.insert(id(untold)) {
                self.under_way.push((id(untold), untold.notice.channel.clone()));
                jobs.tell(untold, state);
            }
        }
    }

    pub(super) fn end(&mut self, ended: Id) {
        self.under_way.retain(|(one, _)| *one != ended);
        self.done += 1;
    }
}

/// What is left to say of a run that this process holds.
pub struct Delivery<J, H> {
    pub(super) state: State,
    pub(super) journal: J,
    pub(super) jobs: Jobs<H>,
    pub(super) messages: mpsc::UnboundedReceiver<Message>,
    pub(super) signals: mpsc::UnboundedReceiver<Stop>,
    pub(super) telling: Telling,
    /// Somebody wants the run, or the terminal.
    pub(super) is_wanted: bool,
}

impl<J: Journal, H: Hands> Delivery<J, H> {
    /// Of a run that nobody drives.
    pub fn new(state: State, journal: J, hands: H, signals: mpsc::UnboundedReceiver<Stop>) -> Self {
        let (sender, messages) = mpsc::unbounded_channel();
        let jobs = Jobs::new(hands, sender);
        jobs.recall(&state);
        Self { state, journal, jobs, messages, signals, telling: Telling::default(), is_wanted: false }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn far(&self) -> Far {
        let Telling { under_way, done, .. } = &self.telling;
        let channels: BTreeSet<&String> = under_way.iter().map(|(_, channel)| channel).collect();
        Far { channels: channels.into_iter().cloned().collect(), done: *done, all: done + under_way.len() }
    }

    /// Delivers for so long at most; whether nothing is under way any more. What people say meanwhile is heard.
    pub async fn go_on<O: Observer>(&mut self, limit: Duration, observer: &mut O) -> bool {
        let began = Stopwatch::start();
        loop {
            self.telling.begin(&self.state, &self.jobs);
            observer.delivering(&self.far());
            let left = limit.saturating_sub(began.elapsed());
            if self.is_wanted || left.is_zero() {
                return self.far().is_over();
            }
            let is_told = self.telling.under_way.is_empty();
            let mut inputs = VecDeque::new();
            tokio::select! {
                biased;
                Some(_) = self.signals.recv() => self.is_wanted = true,
                Some(message) = self.messages.recv() => self.take(message, &mut inputs, observer),
                () = std::future::ready(()), if is_told => {}
                () = clock::sleep(INBOX.min(left)) => {}
            }
            while let Ok(message) = self.messages.try_recv() {
                self.take(message, &mut inputs, observer);
            }
            if self.write(inputs, observer).await.is_err() {
                return false;
            }
            self.is_wanted |= self.hear(observer).await;
            if is_told && self.far().is_over() && self.telling.has_all(&self.state) {
                return true;
            }
        }
    }

    fn take<O: Observer>(&mut self, message: Message, inputs: &mut Inputs, observer: &mut O) {
        let engine = Actor::engine();
        match message {
            Message::Told { occasion, index, failure, line } => {
                self.telling.end((line, occasion, index));
                let line = Some(line);
                inputs.push_back((engine, Input::HandlerFinished { occasion, index, failure, line }));
            }
            Message::Handled { occasion, index, failure, .. } => {
                inputs.push_back((engine, Input::HandlerFinished { occasion, index, failure, line: None }));
            }
            Message::Sent { step, sent: Sent::Warning(message), .. } => {
                // What is said for a channel belongs to no step of the plan.
                let step = Some(step).filter(|step| self.state.entry(step).is_some());
                inputs.push_back((engine, Input::Warning { step, message }));
            }
            Message::Sent { step, sent: Sent::Said { level, message }, .. } => {
                observer.said(&step, level, &message);
            }
            Message::Sent { .. } | Message::Outcome { .. } | Message::Reply(_) => {}
        }
    }

    async fn write<O: Observer>(&mut self, inputs: Inputs, observer: &mut O) -> Result<(), super::PostError> {
        for (actor, input) in inputs {
            for one in record(&self.journal, &mut self.state, &actor, input).await? {
                observer.recorded(&one, &self.state);
            }
        }
        Ok(())
    }

    /// What people say to a run that stands still. Whether another process wants it.
    async fn hear<O: Observer>(&mut self, observer: &mut O) -> bool {
        // What cannot be read now waits for the next process.
        let Ok(heard) = read_inbox(&self.journal, &mut self.state).await else { return false };
        for record in &heard.records {
            observer.recorded(record, &self.state);
        }
        if self.state.broken_glass.is_some() {
            let told = VecDeque::from([(Actor::engine(), Input::TellBroken)]);
            // It is told by the next process, then.
            let _ = self.write(told, observer).await;
        }
        heard.wanted
    }

    /// The end of it: what was not told stays in the outbox.
    pub fn leave(self) -> State {
        self.state
    }
}

impl Telling {
    /// Nothing came in that was not begun.
    fn has_all(&self, state: &State) -> bool {
        state.untold.iter().all(|one| self.begun.contains(&id(one)))
    }
}
