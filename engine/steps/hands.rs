//! What the driver asks of the edge, so that the loop can be tested with scripted outcomes instead of a world.

use super::attempt::{Attempt, Sender};
use super::world::World;
use crate::clock::Timestamp;
use crate::plan::{Bare, Step, StepId, expand};
use crate::run::{Fact, Failure, Outcome, Outputs};
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A future that any thread may run.
pub type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What is to be done with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Act,
    Settle,
    Undo,
    /// An undo was interrupted.
    SettleUndo,
}

/// One thing to do.
pub struct Job {
    pub verb: Verb,
    pub step: Arc<Step>,
    pub attempt: u32,
    pub facts: Vec<Fact>,
    pub outputs: Outputs,
    /// What an undo may lose, agreed to.
    pub accepted_loss: Option<String>,
    pub started_at: Timestamp,
    pub cancelled: CancellationToken,
    pub send: Sender,
}

/// The edge as the driver sees it.
pub trait Hands {
    fn start(&self, job: Job) -> Work<Outcome>;
    /// A step has results now, or has none any more.
    fn learn(&self, step: &StepId, results: Option<&Value>, outputs: &Outputs);
    /// `run` in templates.
    fn tell_run(&self, values: Value);
    /// Runs one action of a handler.
    fn handle(&self, name: String, action: &Bare, send: Sender) -> Work<Option<Failure>>;
    /// The run is over: lets go of the targets. What could not be done, in words.
    fn release(&self) -> Work<Vec<String>>;
}

impl Hands for Arc<World> {
    fn start(&self, job: Job) -> Work<Outcome> {
        let verb = job.verb;
        let attempt = self.attempt(job);
        Box::pin(async move {
            match verb {
                Verb::Act => super::act(&attempt).await,
                Verb::Settle => super::settle(&attempt).await,
                Verb::Undo => super::undo(&attempt).await,
                Verb::SettleUndo => super::settle_undo(&attempt).await,
            }
        })
    }

    fn learn(&self, step: &StepId, results: Option<&Value>, outputs: &Outputs) {
        World::learn(self, step, results, outputs);
    }

    fn tell_run(&self, values: Value) {
        self.set_run_values(values);
    }

    fn handle(&self, name: String, action: &Bare, send: Sender) -> Work<Option<Failure>> {
        let step = expand::step_of(StepId::new(name), crate::plan::Span::default(), action);
        let job = Job {
            verb: Verb::Act,
            step: Arc::new(step),
            attempt: 1,
            facts: Vec::new(),
            outputs: Outputs::new(),
            accepted_loss: None,
            started_at: crate::clock::now(),
            cancelled: CancellationToken::new(),
            send,
        };
        let work = self.start(job);
        Box::pin(async move {
            match work.await {
                Outcome::Done(_) | Outcome::Skipped(_) => None,
                Outcome::Failed(failure) => Some(failure),
                Outcome::Unknown(evidence) => {
                    Some(Failure::new("runplan::handler::unknown", evidence.message))
                }
                Outcome::Asked(_) | Outcome::Again(_) => {
                    Some(Failure::new("runplan::handler::odd", "a handler cannot do this"))
                }
            }
        })
    }

    fn release(&self) -> Work<Vec<String>> {
        let world = self.clone();
        Box::pin(async move { world.targets.release(&world).await })
    }
}

impl World {
    fn attempt(self: &Arc<Self>, job: Job) -> Attempt {
        let undoing = matches!(job.verb, Verb::Undo | Verb::SettleUndo);
        Attempt {
            world: self.clone(),
            key: key(&job.step.id.value, job.attempt),
            step: job.step,
            number: job.attempt,
            facts: job.facts,
            outputs: job.outputs,
            accepted_loss: job.accepted_loss,
            started_at: job.started_at,
            cancelled: job.cancelled,
            undoing,
            send: job.send,
        }
    }
}

/// A name for the attempt's files: ids may hold `[`, `/` and worse after `for_each`.
fn key(step: &StepId, attempt: u32) -> String {
    let safe: String = step
        .as_str()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '_' { c } else { '-' })
        .take(80)
        .collect();
    let exact = safe == step.as_str();
    let tail = if exact {
        String::new()
    } else {
        format!("-{}", &crate::plan::digest::sha256(step.as_str().as_bytes())[..8])
    };
    format!("{safe}{tail}.{attempt}")
}
