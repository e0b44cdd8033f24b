//! What the driver asks of the edge, so that the loop can be tested with scripted outcomes instead of a world.

use super::attempt::{Attempt, Sender};
use super::world::World;
use crate::clock::Timestamp;
use crate::plan::action::Notify;
use crate::plan::{Action, Bare, Sp, Step, StepId, expand};
use crate::run::{Fact, Failure, Late, Notice, Outcome, Outputs};
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
    /// Tells a channel of the site what happened.
    fn notice(&self, name: String, notice: Notice, send: Sender) -> Work<Option<Failure>> {
        let _ = (name, notice, send);
        Box::pin(async { None })
    }
    /// Tells a channel what a step said and did not wait for.
    fn late(&self, step: &StepId, channel: String, late: Late, send: Sender) -> Work<Option<Failure>> {
        let _ = (step, channel, late, send);
        Box::pin(async { None })
    }
    /// The run is over: lets go of the targets. What could not be done, in words.
    fn release(&self) -> Work<Vec<String>>;
}

impl Hands for Arc<World> {
    fn start(&self, job: Job) -> Work<Outcome> {
        let verb = job.verb;
        let attempt = self.attempt(job);
        Box::pin(async move {
            match verb {
                Verb::Act => match still_ours(&attempt).await {
                    Ok(()) => super::act(&attempt).await,
                    Err(failure) => Outcome::Failed(failure),
                },
                Verb::Settle => super::settle(&attempt).await,
                Verb::Undo => match still_ours(&attempt).await {
                    Ok(()) => super::undo(&attempt).await,
                    Err(failure) => Outcome::Failed(failure),
                },
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
        let attempt = self.attempt(job_of(step, send));
        Box::pin(async move {
            if let (Action::Notify(notify), None) = (&attempt.step.action.value, &attempt.world.rehearsal) {
                return super::notify::handler(&attempt, notify).await;
            }
            // Whatever became of the targets: people are told.
            match super::act(&attempt).await {
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

    fn notice(&self, name: String, notice: Notice, send: Sender) -> Work<Option<Failure>> {
        let attempt = self.attempt(job_of(speaker(StepId::new(name)), send));
        Box::pin(async move { super::notify::notice(&attempt, &notice).await })
    }

    fn late(&self, step: &StepId, channel: String, late: Late, send: Sender) -> Work<Option<Failure>> {
        let attempt = self.attempt(job_of(speaker(step.clone()), send));
        Box::pin(async move { super::notify::late(&attempt, &channel, late).await })
    }

    fn release(&self) -> Work<Vec<String>> {
        let world = self.clone();
        Box::pin(async move { world.targets.release(&world).await })
    }
}

/// A run whose lock is lost, or that goes on elsewhere, does nothing more: also nothing that leaves its databases alone. What
/// changes one of them asks by itself, and later.
async fn still_ours(attempt: &Attempt) -> Result<(), Failure> {
    let step = &attempt.step;
    let action = if attempt.undoing { step.undo.as_ref().map(|undo| &undo.action) } else { None };
    match action.unwrap_or(&step.action).value {
        Action::Shell(_) | Action::Http(_) | Action::Backup(_) => attempt.world.targets.prove().await,
        _ => Ok(()),
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

/// A step that only says something.
fn speaker(name: StepId) -> Step {
    let span = crate::plan::Span::default();
    let action = Sp::new(Action::Notify(Notify::made()), span);
    expand::step_of(name, span, &Bare { timeout: None, retry: None, action })
}

/// What is done beside the graph: nothing of it was done before, and nobody cancels it.
fn job_of(step: Step, send: Sender) -> Job {
    Job {
        verb: Verb::Act,
        step: Arc::new(step),
        attempt: 1,
        facts: Vec::new(),
        outputs: Outputs::new(),
        accepted_loss: None,
        started_at: crate::clock::now(),
        cancelled: CancellationToken::new(),
        send,
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
