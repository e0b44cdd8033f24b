//! Hands without a world: outcomes out of a script, every effect counted. What an attempt did is remembered across
//! "crashes" as the world would remember it; `settle` answers from that memory.

use runplan::plan::action::notify::Level;
use runplan::plan::{Action, Bare, StepId};
use runplan::run::{Ask, Evidence, Failure, Outcome, Outputs, Post, Record, State};
use runplan::steps::{Hands, Job, Progress, Sender, Sent, Verb, Work};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// The world that outlives the engine.
#[derive(Debug, Default)]
pub struct Marks {
    /// How often each step took effect.
    pub done: HashMap<String, u32>,
    pub undone: HashMap<String, u32>,
    /// Acts of steps, in order.
    pub acts: Vec<String>,
}

#[derive(Clone, Default)]
pub struct Script {
    pub marks: Arc<Mutex<Marks>>,
    /// How often a step fails before it succeeds.
    pub failures: Arc<Mutex<HashMap<String, u32>>>,
    /// Steps of which nobody can tell whether they took effect.
    pub unclear: Arc<Mutex<HashSet<String>>>,
}

impl Script {
    pub fn count(&self, step: &str) -> u32 {
        self.marks.lock().unwrap().done.get(step).copied().unwrap_or(0)
    }

    fn is_unclear(&self, step: &str) -> bool {
        self.unclear.lock().unwrap().contains(step)
    }
}

fn unclear() -> Outcome {
    Outcome::Unknown(Evidence::new("nobody can tell", []))
}

/// An approval is asked for; the core does the rest.
fn question() -> Outcome {
    Outcome::Asked(Box::new(ask("Now?")))
}

/// Whoever reaches the run may answer, at any time.
pub fn ask(message: &str) -> Ask {
    Ask {
        message: message.to_owned(),
        confirm: false,
        people: Vec::new(),
        roles: Vec::new(),
        count: 1,
        expires_at: None,
        allow_requester: true,
        nonce: String::new(),
    }
}

async fn act(script: Script, job: Job) -> Outcome {
    if matches!(job.step.action.value, Action::Approve(_)) {
        return question();
    }
    let id = job.step.id.value.as_str().to_owned();
    let due = {
        let mut failures = script.failures.lock().unwrap();
        match failures.get_mut(&id) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    };
    if script.is_unclear(&id) {
        script.marks.lock().unwrap().acts.push(id);
        return unclear();
    }
    if due {
        return Outcome::Failed(Failure::new("test::failed", "as told"));
    }
    // An intent is noted and durable before the effect: the same discipline as the real steps.
    let (done, durable) = tokio::sync::oneshot::channel();
    let fact = runplan::run::Fact { name: "intended".to_owned(), data: Value::Null };
    (job.send)(&job.step.id.value, job.attempt, Sent::Fact { fact, done });
    if durable.await.is_err() {
        // The engine is gone: no effect.
        return Outcome::Failed(Failure::new("test::ending", "the run is ending"));
    }
    let mut marks = script.marks.lock().unwrap();
    marks.acts.push(id.clone());
    *marks.done.entry(id).or_default() += 1;
    Outcome::Done(Outputs::new())
}

impl Hands for Script {
    fn start(&self, job: Job) -> Work<Outcome> {
        let script = self.clone();
        let id = job.step.id.value.as_str().to_owned();
        Box::pin(async move {
            match job.verb {
                Verb::Act => act(script, job).await,
                Verb::Settle if script.is_unclear(&id) => unclear(),
                Verb::Settle if script.count(&id) > 0 => Outcome::Done(Outputs::new()),
                Verb::Settle => Outcome::Again("it left no mark".to_owned()),
                Verb::Undo | Verb::SettleUndo => {
                    let mut marks = script.marks.lock().unwrap();
                    // A built-in undo looks how far it came: twice is once.
                    marks.undone.insert(id, 1);
                    Outcome::Done(Outputs::new())
                }
            }
        })
    }

    fn learn(&self, _: &StepId, _: Option<&Value>, _: &Outputs) {}

    fn tell_run(&self, _: Value) {}

    fn handle(&self, name: String, _: &Bare, _: Sender) -> Work<Option<Failure>> {
        let marks = self.marks.clone();
        Box::pin(async move {
            let occasion = name.split('_').next().unwrap_or_default().to_owned();
            *marks.lock().unwrap().done.entry(format!("handler {occasion}")).or_default() += 1;
            None
        })
    }

    fn release(&self) -> Work<Vec<String>> {
        Box::pin(async { Vec::new() })
    }
}

/// Nobody looks.
pub struct Blind;

impl runplan::drive::Observer for Blind {
    fn recorded(&mut self, _: &Record, _: &State) {}
    fn progress(&mut self, _: &StepId, _: &Progress, _: &State) {}
    fn said(&mut self, _: &StepId, _: Level, _: &str) {}
}

/// Nobody is there to be asked.
pub struct Absent;

impl runplan::drive::Asker for Absent {
    fn ask(&mut self, _: &State, _: &StepId, _: mpsc::UnboundedSender<Post>) {}
    fn withdraw(&mut self, _: &StepId) {}
    fn end(&mut self) {}
}
