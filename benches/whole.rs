//! A whole run without a world: the loop, the core and a journal in memory, every step done at once.

use runplan::drive::{self, Asker, Observer, Setup, Start};
use runplan::graph::Graph;
use runplan::plan::action::notify::Level;
use runplan::plan::{Action, Bare, Loaded, Name, RunId, StepId};
use runplan::run::{Actor, Failure, Outcome, Outputs, Phase, Post, Record, Shape, Started, State};
use runplan::steps::{Hands, Job, Progress, Sender, Work};
use runplan::store::MemoryJournal;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio::sync::mpsc;

/// A run that can be driven again and again.
pub struct Run {
    shape: Shape,
    runtime: tokio::runtime::Runtime,
}

impl Run {
    pub fn new(loaded: Loaded) -> Self {
        let shape = Shape {
            plan: loaded.plan.clone().expect("a plan"),
            site: None,
            flow: loaded.flow.clone(),
            graph: Arc::new(Graph::new(&loaded.flow).expect("no cycle")),
            loaded: Arc::new(loaded),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { shape, runtime }
    }

    /// From the first event to the last.
    pub fn drive(&self) -> State {
        let run = RunId::parse("bench-20261122-0311-k7f3").expect("an id");
        let (_signals, signals) = mpsc::unbounded_channel();
        let setup = Setup {
            state: State::new(run, self.shape.clone()),
            journal: MemoryJournal::new(),
            hands: Instant,
            observer: Blind,
            asker: Absent,
            signals,
            actor: Actor { name: "bench".to_owned(), uid: 0, host: "bench".to_owned() },
        };
        let start = Start::Begin(Box::new(started()));
        let state = self.runtime.block_on(drive::run(setup, start)).expect("driven");
        assert_eq!(state.phase, Phase::Finished);
        state
    }
}

/// Values for a plan's parameters.
pub fn params() -> Map<String, Value> {
    Map::from_iter([
        ("part".to_owned(), 7.into()),
        ("talk".to_owned(), true.into()),
        ("directory".to_owned(), "./out".into()),
    ])
}

fn started() -> Started {
    Started {
        plan: Name::new("bench"),
        title: None,
        sources: Vec::new(),
        has_site: false,
        params: params(),
        plan_digest: String::new(),
        digest: String::new(),
        reason: None,
        severity: None,
        incident_started_at: None,
        overridden: None,
        directory: ".".to_owned(),
        attended: false,
        wait: false,
        accepted: Vec::new(),
        targets: std::collections::BTreeMap::new(),
        rehearsal: false,
        began_with: None,
        pg_bin: None,
        version: "bench".to_owned(),
    }
}

/// Whatever is asked for is done.
struct Instant;

impl Hands for Instant {
    fn start(&self, job: Job) -> Work<Outcome> {
        let mut outputs = Outputs::new();
        if matches!(job.step.action.value, Action::Sql(_)) {
            outputs.insert("row_count".to_owned(), 3.into());
        }
        Box::pin(async move { Outcome::Done(outputs) })
    }

    fn learn(&self, _: &StepId, _: Option<&Value>, _: &Outputs) {}

    fn tell_run(&self, _: Value) {}

    fn handle(&self, _: String, _: &Bare, _: Sender) -> Work<Option<Failure>> {
        Box::pin(async { None })
    }

    fn release(&self) -> Work<Vec<String>> {
        Box::pin(async { Vec::new() })
    }
}

/// Nobody looks.
struct Blind;

impl Observer for Blind {
    fn recorded(&mut self, _: &Record, _: &State) {}
    fn progress(&mut self, _: &StepId, _: &Progress, _: &State) {}
    fn said(&mut self, _: &StepId, _: Level, _: &str) {}
}

/// Nobody is there to be asked.
struct Absent;

impl Asker for Absent {
    fn ask(&mut self, _: &State, _: &StepId, _: mpsc::UnboundedSender<Post>) {}
    fn withdraw(&mut self, _: &StepId) {}
    fn end(&mut self) {}
}
