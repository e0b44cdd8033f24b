//! The attempts under way: started, timed, cancelled; each ends in one message. Decides nothing.
#![allow(clippy::disallowed_methods, reason = "the steps' tasks are spawned here")]

use crate::clock;
use crate::plan::{Duration, StepId};
use crate::run::{Failure, Occasion, Outcome, Post, State, Untold, Words, handlers_of, said_by};
use crate::steps::{Hands, Job, Sender, Sent, Verb, Work};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What reaches the loop.
pub enum Message {
    Outcome {
        verb: Verb,
        step: StepId,
        attempt: u32,
        outcome: Outcome,
    },
    Sent {
        step: StepId,
        attempt: u32,
        sent: Sent,
    },
    Reply(Post),
    Handled {
        occasion: Occasion,
        index: u32,
        failure: Option<Failure>,
        last: bool,
    },
    /// A channel was told of that line of the journal, or was not.
    Told {
        occasion: Occasion,
        index: u32,
        failure: Option<Failure>,
        line: u64,
    },
}

pub struct Jobs<H> {
    pub hands: H,
    sender: mpsc::UnboundedSender<Message>,
    tokens: HashMap<StepId, CancellationToken>,
    tell: Sender,
}

impl<H: Hands> Jobs<H> {
    pub fn new(hands: H, sender: mpsc::UnboundedSender<Message>) -> Self {
        let out = sender.clone();
        let tell: Sender = Arc::new(move |step: &StepId, attempt, sent| {
            // The loop has ended: the attempt learns it when its fact is never answered.
            let _ = out.send(Message::Sent { step: step.clone(), attempt, sent });
        });
        Self { hands, sender, tokens: HashMap::new(), tell }
    }

    /// What templates may name of a run that was begun before.
    pub fn recall(&self, state: &State) {
        for (id, entry) in state.entries() {
            if let Some(results) = state.results(id) {
                self.hands.learn(id, Some(&results), &entry.outputs);
            }
        }
        self.hands.tell_run(state.run_values(clock::now()));
    }

    /// Where the answer goes to what a prompt asks about an attempt.
    pub fn replies(&self, attempt: u32) -> mpsc::UnboundedSender<Post> {
        let (reply, mut replies) = mpsc::unbounded_channel();
        let out = self.sender.clone();
        tokio::spawn(async move {
            while let Some(post) = replies.recv().await {
                let post = Post::Answer { attempt, answer: Box::new(post) };
                if out.send(Message::Reply(post)).is_err() {
                    break;
                }
            }
        });
        reply
    }

    pub fn start(&mut self, verb: Verb, state: &State, id: &StepId, attempt: u32) {
        let (Some(step), Some(entry)) = (state.shape.flow.step(id.as_str()), state.entry(id)) else { return };
        let cancelled = CancellationToken::new();
        self.tokens.insert(id.clone(), cancelled.clone());
        let undoing = matches!(verb, Verb::Undo | Verb::SettleUndo);
        let limit = match (&step.undo, undoing) {
            (Some(undo), true) => undo.timeout,
            (None, true) => None,
            (_, false) => step.timeout,
        };
        let work = self.hands.start(Job {
            verb,
            step: step.clone(),
            attempt,
            facts: entry.facts.clone(),
            outputs: entry.outputs.clone(),
            accepted_loss: entry.accepted_loss.clone(),
            started_at: entry.attempt_at.unwrap_or_else(clock::now),
            cancelled: cancelled.clone(),
            send: self.tell.clone(),
        });
        let out = self.sender.clone();
        let step = id.clone();
        tokio::spawn(async move {
            let outcome = timed(work, limit, &cancelled).await;
            let _ = out.send(Message::Outcome { verb, step, attempt, outcome });
        });
    }

    pub fn cancel(&self, step: &StepId) {
        if let Some(token) = self.tokens.get(step) {
            token.cancel();
        }
    }

    pub fn forget(&mut self, step: &StepId) {
        self.tokens.remove(step);
    }

    /// Tells people what they were not told yet.
    pub fn tell(&self, untold: &Untold, state: &State) {
        let Untold { line, occasion, index, notice, words, .. } = untold;
        // The same name whoever tells it: a receiver that has it already knows it again.
        let work = match words {
            Words::Site => {
                let name = format!("notice_{}_{index}_{line}", notice.subject);
                self.hands.notice(name, notice.clone(), self.tell.clone())
            }
            Words::Step(step, late) => {
                self.hands.late(step, notice.channel.clone(), (**late).clone(), self.tell.clone())
            }
            Words::Handler => {
                let number = usize::try_from(*index).unwrap_or(usize::MAX);
                let Some(handler) = handlers_of(state, *occasion).get(number) else { return };
                let name = format!("{}_handler_{index}_{line}", occasion.word());
                self.hands.handle(name, handler, self.tell.clone())
            }
        };
        let (out, line, occasion, index) = (self.sender.clone(), *line, *occasion, *index);
        tokio::spawn(async move {
            let failure = work.await;
            let _ = out.send(Message::Told { occasion, index, failure, line });
        });
    }

    /// Runs the plan's handlers of an occasion one after the other, without those that only say something: these are in
    /// the outbox. Whether there are any.
    pub fn handle(&self, occasion: Occasion, state: &State) -> bool {
        let actions = handlers_of(state, occasion);
        let name = occasion.word();
        let seq = state.seq;
        let acting = actions.iter().enumerate().filter(|(_, action)| said_by(action, state).is_none());
        let works: Vec<(usize, Work<Option<Failure>>)> = acting
            .map(|(index, action)| {
                let name = format!("{name}_handler_{index}_{seq}");
                (index, self.hands.handle(name, action, self.tell.clone()))
            })
            .collect();
        let count = works.len();
        let out = self.sender.clone();
        tokio::spawn(async move {
            for (number, (index, work)) in works.into_iter().enumerate() {
                let failure = work.await;
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                let last = number + 1 == count;
                let _ = out.send(Message::Handled { occasion, index, failure, last });
            }
        });
        count > 0
    }
}

/// The step's time limit: it is asked to stop, and what it then says is what counts.
async fn timed(work: Work<Outcome>, limit: Option<Duration>, cancelled: &CancellationToken) -> Outcome {
    let Some(limit) = limit else { return work.await };
    let mut work = work;
    tokio::select! {
        outcome = &mut work => return outcome,
        () = clock::sleep(limit.std()) => cancelled.cancel(),
    }
    match work.await {
        Outcome::Failed(failure) => Outcome::Failed(Failure {
            message: format!(
                "it took longer than its `timeout` of {limit} and was cancelled: {}",
                failure.message
            ),
            ..failure
        }),
        other => other,
    }
}
