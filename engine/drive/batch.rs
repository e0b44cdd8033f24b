//! The arrow: a batch of inputs is decided and applied in memory, made durable at once, then shown, answered and acted on.
//! Must never let anything out before it is durable.

use super::{Asker, Driver, Error, Inputs, Observer};
use crate::clock::{self, Timestamp};
use crate::run::{Actor, Effect, Event, Impossible, Input, Occasion, Record, StepState, decide};
use crate::steps::{Hands, Verb};
use crate::store::{self, Journal};
use tokio::sync::oneshot;

impl<J: Journal, H: Hands, O: Observer, A: Asker> Driver<J, H, O, A> {
    pub(super) async fn batch(
        &mut self,
        inputs: Inputs,
        acks: Vec<oneshot::Sender<()>>,
    ) -> Result<(), Error> {
        self.batch_taking(inputs, acks, &[]).await
    }

    /// Decides and applies in memory, makes all of it durable at once, then shows, answers and starts.
    pub(super) async fn batch_taking(
        &mut self,
        inputs: Inputs,
        acks: Vec<oneshot::Sender<()>>,
        taken: &[store::PostId],
    ) -> Result<(), Error> {
        let now = clock::now();
        let before = self.state.seq;
        let mut records = Vec::new();
        for (actor, input) in inputs {
            self.decide(&actor, input, now, &mut records)?;
        }
        let engine = Actor::engine();
        while self.decide(&engine, Input::Next, now, &mut records)? {}
        if self.stands_still()
            && let Some(undo) = self.undo.take()
        {
            let actor = self.actor.clone();
            self.decide(&actor, Input::Post(undo), now, &mut records)?;
            while self.decide(&engine, Input::Next, now, &mut records)? {}
        }
        if !records.is_empty() || !taken.is_empty() {
            self.journal.append_taking(before, &records, taken).await.map_err(Error::Journal)?;
        }
        for ack in acks {
            // Nobody waits any more: the attempt was cancelled.
            let _ = ack.send(());
        }
        self.carry_out(&records, now);
        Ok(())
    }

    /// Whether anything came of it.
    fn decide(
        &mut self,
        actor: &Actor,
        input: Input,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) -> Result<bool, Impossible> {
        let events = decide(&self.state, actor, input, now);
        let any = !events.is_empty();
        for event in events {
            let record = Record::seal(&self.run, self.state.seq + 1, now, actor, event, &self.state.head);
            self.state.apply(&record)?;
            records.push(record);
        }
        Ok(any)
    }

    fn carry_out(&mut self, records: &[Record], now: Timestamp) {
        if records.is_empty() {
            return;
        }
        for record in records {
            self.observer.recorded(record, &self.state);
            self.teach(&record.event);
        }
        self.jobs.hands.tell_run(self.state.run_values(now));
        for effect in records.iter().flat_map(|record| Effect::of(&record.event)) {
            self.effect(effect);
        }
        self.telling.begin(&self.state, &self.jobs);
    }

    fn teach(&mut self, event: &Event) {
        if matches!(event, Event::Parked { .. } | Event::RunFinished { .. } | Event::UndoRequested { .. }) {
            self.asker.end();
        }
        let Some(step) = event.step() else { return };
        match event {
            Event::StepDone { outputs, .. } => {
                let results = self.state.results(step);
                self.jobs.hands.learn(step, results.as_ref(), outputs);
                self.asker.withdraw(step);
            }
            // One of several has decided, or what was said did not count: the question stands, perhaps for others.
            Event::ApprovalGiven { step, .. } | Event::DecisionRefused { step, .. } => {
                self.ask(&step.clone());
            }
            Event::StepFailed { .. } | Event::SettleStarted { .. } | Event::StepRenewed { .. } => {
                self.asker.withdraw(step);
            }
            Event::StepResolved { .. } => {
                if let Some(results) = self.state.results(step) {
                    let outputs = self.state.entry(step).map(|entry| entry.outputs.clone());
                    self.jobs.hands.learn(step, Some(&results), &outputs.unwrap_or_default());
                }
                self.asker.withdraw(step);
            }
            Event::UndoDone { .. } => self.jobs.hands.learn(step, None, &serde_json::Map::new()),
            _ => {}
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Act { step, attempt } => self.jobs.start(Verb::Act, &self.state, &step, attempt),
            Effect::Settle { step, attempt } => {
                let undoing = self.state.entry(&step).is_some_and(|entry| entry.state == StepState::Undoing);
                let verb = if undoing { Verb::SettleUndo } else { Verb::Settle };
                self.jobs.start(verb, &self.state, &step, attempt);
            }
            Effect::Undo { step, attempt } => self.jobs.start(Verb::Undo, &self.state, &step, attempt),
            Effect::Cancel { step } => self.jobs.cancel(&step),
            Effect::Prompt { step } => self.ask(&step),
            Effect::Handle { occasion } => self.handle(occasion),
            // After the handlers: see `finish`.
            Effect::Release => {}
        }
    }

    fn handle(&mut self, occasion: Occasion) {
        self.handling += usize::from(self.jobs.handle(occasion, &self.state));
    }
}
