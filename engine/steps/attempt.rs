//! One attempt of a step: what it was given, and its ways to speak: durable facts, progress, a cancelled ear.

use super::world::World;
use crate::clock::{self, Stopwatch, Timestamp};
use crate::plan::action::notify::Level;
use crate::plan::template::{self, Scope};
use crate::plan::{Bare, Step, StepId, Text, expand};
use crate::run::{Fact, Failure, MAY_BE_HALF_DONE, Outcome, Outputs};
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is told how long something is waited for.
const TOLD: Duration = Duration::from_secs(1);

/// What an attempt tells the driver while it runs.
#[derive(Debug)]
pub enum Sent {
    /// Durable when `done` is answered.
    Fact {
        fact: Fact,
        done: tokio::sync::oneshot::Sender<()>,
    },
    Warning(String),
    /// A notification for the console.
    Said {
        level: Level,
        message: String,
    },
    Progress(Progress),
}

/// How far long work is; shown, never journaled.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What is being done, in a few words: `dumping`, `restoring`, `checking`.
    pub doing: String,
    /// How much is done, in `unit`.
    pub done: u64,
    /// An estimate of the whole; None: not known.
    pub total: Option<u64>,
    pub unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Bytes,
    Items,
    /// Milliseconds.
    Time,
}

/// The way to the driver.
pub type Sender = Arc<dyn Fn(&StepId, u32, Sent) + Send + Sync>;

/// The driver is gone; the attempt must stop where it is, without another effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the run is ending")]
pub struct Ending;

/// A fact is durable.
pub type Noted = Result<(), Ending>;

/// One attempt.
#[derive(Clone)]
pub struct Attempt {
    pub world: Arc<World>,
    pub step: Arc<Step>,
    pub number: u32,
    /// What this attempt noted before it was interrupted (settle), or while it was done (undo).
    pub facts: Vec<Fact>,
    /// What the step gave (undo).
    pub outputs: Outputs,
    /// What an undo may lose: the code that its refusal gave, and a person agreed to.
    pub accepted_loss: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// Set by a second Ctrl-C, a stop, or the step's timeout: clean up, say what is certain, return.
    pub cancelled: CancellationToken,
    /// Files of this attempt have names that begin with this; also the supervisor's key.
    pub key: String,
    /// Undoing: facts are noted under another name, so that the step's own stay readable.
    pub undoing: bool,
    pub send: Sender,
}

impl Attempt {
    /// Makes a fact durable. Nothing that follows from it may happen before this returns `Ok`.
    pub async fn note(&self, name: &str, data: Value) -> Noted {
        let (done, durable) = tokio::sync::oneshot::channel();
        let fact = self.fact_of(name, data);
        (self.send)(&self.step.id.value, self.number, Sent::Fact { fact, done });
        durable.await.map_err(|_| Ending)
    }

    /// A fact that is durable no later than what follows it; nobody waits for it.
    pub fn mention(&self, name: &str, data: Value) {
        let (done, _) = tokio::sync::oneshot::channel();
        let fact = self.fact_of(name, data);
        (self.send)(&self.step.id.value, self.number, Sent::Fact { fact, done });
    }

    /// Where what was interrupted is taken for nothing only because it may be done twice: an undo asks about it.
    pub fn mention_half(&self) {
        self.mention(MAY_BE_HALF_DONE, Value::Null);
    }

    fn fact_of(&self, name: &str, data: Value) -> Fact {
        let name = if self.undoing { format!("undo.{name}") } else { name.to_owned() };
        Fact { name, data }
    }

    /// The newest fact of a name.
    pub fn fact(&self, name: &str) -> Option<&Value> {
        let own = format!("undo.{name}");
        let undone = self.facts.iter().rev().find(|fact| self.undoing && fact.name == own);
        let found = undone.or_else(|| self.facts.iter().rev().find(|fact| fact.name == name));
        found.map(|fact| &fact.data)
    }

    /// The newest fact of a name that this very work noted: for an undo, never the step's own.
    pub fn own_fact(&self, name: &str) -> Option<&Value> {
        let own = if self.undoing { format!("undo.{name}") } else { name.to_owned() };
        self.facts.iter().rev().find(|fact| fact.name == own).map(|fact| &fact.data)
    }

    pub fn warn(&self, message: impl Into<String>) {
        let message = self.clean(message.into());
        (self.send)(&self.step.id.value, self.number, Sent::Warning(message));
    }

    pub fn say(&self, level: Level, message: impl Into<String>) {
        let message = self.clean(message.into());
        (self.send)(&self.step.id.value, self.number, Sent::Said { level, message });
    }

    pub fn progress(&self, doing: &str, done: u64, total: Option<u64>, unit: Unit) {
        let progress = Progress { doing: doing.to_owned(), done, total, unit };
        (self.send)(&self.step.id.value, self.number, Sent::Progress(progress));
    }

    /// Waits between two looks at something, and tells what for and for how long already. False: it was cancelled.
    pub async fn linger(&self, pause: Duration, doing: &str, since: &Stopwatch) -> bool {
        let doing = self.clean(doing.to_owned());
        let over = Stopwatch::start();
        loop {
            let waited = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.progress(&doing, waited, None, Unit::Time);
            let rest = pause.saturating_sub(over.elapsed());
            if rest.is_zero() {
                return true;
            }
            tokio::select! {
                () = clock::sleep(rest.min(TOLD)) => {}
                () = self.cancelled.cancelled() => return false,
            }
        }
    }

    fn clean(&self, text: String) -> String {
        let secrets = &self.world.secrets;
        if secrets.all().is_empty() { text } else { secrets.redactor().clean(&text) }
    }

    /// What the attempt's templates may name, with the secrets that these texts use.
    pub async fn scope<'t>(&self, texts: impl IntoIterator<Item = &'t Text>) -> Result<Scope, Failure> {
        let raw: Vec<&str> = texts.into_iter().map(|text| text.raw.as_str()).collect();
        self.world.scope(&raw).await
    }

    /// A text for a place that takes any text (a path, an argument).
    pub async fn plain(&self, text: &Text) -> Result<String, Failure> {
        let scope = self.scope([text]).await?;
        template::plain(&text.raw, &scope).map_err(|error| broken(text, &error))
    }

    /// A path; relative ones are relative to the plan's directory.
    pub async fn path(&self, text: &Text) -> Result<std::path::PathBuf, Failure> {
        Ok(self.world.directory.join(self.plain(text).await?))
    }

    /// The reverse action, as an attempt of its own with the same identity.
    pub fn inverse(&self, inverse: &Bare) -> Inverse {
        let mut step = expand::step_of(self.step.id.value.clone(), self.step.id.span, inverse);
        step.title.clone_from(&self.step.title);
        Inverse(Self { step: Arc::new(step), key: format!("{}.undo", self.key), ..self.clone() })
    }
}

/// The attempt to run an author's `undo`.
pub struct Inverse(Attempt);

impl Inverse {
    /// Boxed: an undo is an action, which could have an undo of its own type.
    pub fn run(self) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        Box::pin(async move { super::act(&self.0).await })
    }

    /// After a crash: what became of it, and the action again when that does no harm.
    pub fn settle_and_run(self) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        Box::pin(async move {
            match super::settle(&self.0).await {
                Outcome::Again(_) => super::act(&self.0).await,
                settled => settled,
            }
        })
    }
}

/// A template that cannot be rendered, as a step's failure.
pub fn broken(text: &Text, error: &template::Error) -> Failure {
    Failure::new("runplan::template::value", format!("{error}, in `{}`", text.raw.trim()))
        .help("the value is only known while the plan runs: see what the step that gives it answered (`runplan logs RUN`)")
        .permanent()
}
