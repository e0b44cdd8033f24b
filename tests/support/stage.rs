//! Steps without a driver: a world made by hand, attempts in it, and a sender that keeps what they say. A crash is a
//! future that is dropped at a fact, and a new world over the same files and databases.

use super::cluster::{self, RUNPLAN, connect, shared};
use runplan::clock;
use runplan::graph::Graph;
use runplan::plan::{self, StepId, Table};
use runplan::postgres::{Programs, Settings};
use runplan::run::{Actor, Fact, Outcome, Outputs, Shape};
use runplan::secret::Secret;
use runplan::steps::{self, Attempt, Secrets, Sent, Targets, World, WorldOptions};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// What a stage is made of.
#[derive(Default)]
pub struct Setting {
    plan: String,
    site: Option<String>,
    databases: HashMap<String, Settings>,
    secrets: HashMap<String, Secret>,
    params: Map<String, Value>,
    rehearsal: Option<Map<String, Value>>,
    files: Vec<(String, String)>,
    exe: Option<PathBuf>,
    programs: Option<Programs>,
    run: Option<String>,
}

/// A run's world and what its attempts said.
pub struct Stage {
    pub world: Arc<World>,
    directory: tempfile::TempDir,
    setting: Setting,
    shape: Shape,
    heard: Arc<Heard>,
    learned: Mutex<Vec<(String, Value, Outputs)>>,
}

/// What was said, in order.
#[derive(Default)]
struct Heard {
    facts: Mutex<Vec<(StepId, u32, Fact)>>,
    warnings: Mutex<Vec<String>>,
    progress: Mutex<Vec<(String, u64)>>,
    said: Mutex<Vec<String>>,
    crash: Mutex<Option<Crash>>,
    crashed: Notify,
    /// Answers that a crash keeps from being given.
    unanswered: Mutex<Vec<oneshot::Sender<()>>>,
}

struct Crash {
    fact: String,
    durable: bool,
}

/// A plan's text without its first two lines (`runplan: 1`, `name: test`).
pub fn plan(text: &str) -> Setting {
    Setting { plan: format!("runplan: 1\nname: test\n{text}"), ..Setting::default() }
}

impl Setting {
    pub fn site(mut self, text: &str) -> Self {
        self.site = Some(format!("runplan: 1\n{text}"));
        self
    }

    pub fn database(mut self, name: &str, settings: &Settings) -> Self {
        self.databases.insert(name.to_owned(), settings.clone());
        self
    }

    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.insert(name.to_owned(), Secret::new(value));
        self
    }

    pub fn param(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.params.insert(name.to_owned(), value.into());
        self
    }

    pub fn rehearsal(mut self, values: Value) -> Self {
        self.rehearsal = Some(values.as_object().expect("a mapping").clone());
        self
    }

    /// Another run than the usual one.
    pub fn run(mut self, id: &str) -> Self {
        self.run = Some(id.to_owned());
        self
    }

    /// A program in the place of `runplan` for what the steps start.
    pub fn exe(mut self, path: &Path) -> Self {
        self.exe = Some(path.to_owned());
        self
    }

    /// Other client programs than those of the version under test.
    pub fn programs(mut self, programs: Programs) -> Self {
        self.programs = Some(programs);
        self
    }

    /// A file beside the plan.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    pub fn set(self) -> Stage {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in &self.files {
            std::fs::write(directory.path().join(name), text).expect("write");
        }
        let beside = directory.path().to_owned();
        let site = self.site.as_deref().map(|text| ("runplan.yaml", text));
        let loaded = plan::load(("test.yaml", &self.plan), site, &|name| {
            std::fs::read_to_string(beside.join(name)).map_err(|error| error.to_string())
        });
        assert_eq!(loaded.findings, [], "{}", self.plan);
        let shape = Shape {
            plan: loaded.plan.clone().expect("a plan"),
            site: loaded.site.clone(),
            flow: loaded.flow.clone(),
            graph: Arc::new(Graph::new(&loaded.flow).expect("no cycle")),
            loaded: Arc::new(loaded),
        };
        let world = world(&self, &shape, directory.path());
        Stage { world, directory, setting: self, shape, heard: Arc::default(), learned: Mutex::default() }
    }
}

fn world(setting: &Setting, shape: &Shape, directory: &Path) -> Arc<World> {
    let mut databases: Table<plan::site::Database> =
        shape.site.as_ref().map(|site| site.databases.clone()).unwrap_or_default();
    databases.extend(shape.plan.databases.clone());
    let world = World::new(WorldOptions {
        run: plan::RunId::parse(setting.run.as_deref().unwrap_or("test-20261122-0311-k7f3")).expect("an id"),
        shape: shape.clone(),
        operator: operator(),
        directory: directory.to_owned(),
        state: directory.join("state"),
        exe: setting.exe.clone().unwrap_or_else(|| RUNPLAN.into()),
        programs: setting.programs.clone().unwrap_or_else(cluster::programs),
        secrets: Secrets::new(shape.plan.secrets.clone(), setting.secrets.clone(), directory.to_owned()),
        targets: Targets::new(databases, setting.databases.clone()),
        params: setting.params.clone(),
        rehearsal: setting.rehearsal.clone(),
        place: None,
    });
    world.set_run_values(json!({ "id": "test-20261122-0311-k7f3", "reason": "a test" }));
    world
}

pub fn operator() -> Actor {
    Actor { name: "alice".to_owned(), uid: 1000, host: "laptop".to_owned() }
}

impl Stage {
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn plan(&self) -> &plan::Plan {
        &self.shape.plan
    }

    /// The same run with other values of its parameters.
    pub fn give(&mut self, params: Map<String, Value>) {
        self.setting.params = params;
        self.world = world(&self.setting, &self.shape, self.directory.path());
    }

    /// An attempt of a step, with what its earlier tries under the same number noted.
    pub fn attempt(&self, id: &str, number: u32) -> Attempt {
        let prepare = self.shape.plan.rehearsal.iter().flat_map(|rehearsal| &rehearsal.prepare);
        let step = self.shape.flow.step(id).cloned();
        let step =
            step.or_else(|| prepare.into_iter().find(|step| step.id.as_str() == id).cloned().map(Arc::new));
        let heard = self.heard.clone();
        Attempt {
            world: self.world.clone(),
            step: step.unwrap_or_else(|| panic!("no step {id}")),
            number,
            facts: self.facts(id, number),
            outputs: self.outputs(id),
            accepted_loss: None,
            started_at: clock::now(),
            cancelled: CancellationToken::new(),
            key: format!("{id}.{number}"),
            undoing: false,
            send: Arc::new(move |step, number, sent| heard.hear(step, number, sent)),
        }
    }

    pub async fn act(&self, id: &str) -> Outcome {
        steps::act(&self.attempt(id, 1)).await
    }

    pub async fn settle(&self, id: &str) -> Outcome {
        steps::settle(&self.attempt(id, 1)).await
    }

    pub async fn undo(&self, id: &str) -> Outcome {
        steps::undo(&Attempt { undoing: true, ..self.attempt(id, 1) }).await
    }

    /// The outputs of a step that must be done; they are known to templates from here on.
    pub async fn done(&self, id: &str) -> Outputs {
        let outputs = done(self.act(id).await);
        self.learn(id, &outputs);
        outputs
    }

    /// Results as the driver makes them known.
    pub fn learn(&self, id: &str, outputs: &Outputs) {
        let results = Value::Object(outputs.clone());
        self.world.learn(&StepId::new(id), Some(&results), outputs);
        self.learned.lock().unwrap().push((id.to_owned(), results, outputs.clone()));
    }

    /// The name of the side database that a step made.
    pub fn database_of(&self, id: &str) -> String {
        self.outputs(id)["database"].as_str().expect("a name").to_owned()
    }

    pub fn outputs_of(&self, id: &str) -> Outputs {
        self.outputs(id)
    }

    /// Acts until the step notes a fact, and dies there: before it is durable, or just after.
    pub async fn act_until(&self, id: &str, fact: &str, durable: bool) {
        *self.heard.crash.lock().unwrap() = Some(Crash { fact: fact.to_owned(), durable });
        let attempt = self.attempt(id, 1);
        tokio::select! {
            outcome = steps::act(&attempt) => panic!("it ended before the fact {fact}: {outcome:?}"),
            () = self.heard.crashed.notified() => {}
        }
    }

    /// The same of an undo: dies where it notes the fact, which is durable.
    pub async fn undo_until(&self, id: &str, fact: &str) {
        self.undo_dying(id, fact, true, None).await;
    }

    /// Before the fact is durable, or just after; `loss`: what somebody agreed to lose.
    pub async fn undo_dying(&self, id: &str, fact: &str, durable: bool, loss: Option<String>) {
        *self.heard.crash.lock().unwrap() = Some(Crash { fact: fact.to_owned(), durable });
        let attempt = Attempt { undoing: true, accepted_loss: loss, ..self.attempt(id, 1) };
        tokio::select! {
            outcome = steps::undo(&attempt) => panic!("it ended before the fact {fact}: {outcome:?}"),
            () = self.heard.crashed.notified() => {}
        }
    }

    /// An undo by somebody who agreed to that loss.
    pub async fn undo_accepting(&self, id: &str, loss: Option<String>) -> Outcome {
        let attempt = self.attempt(id, 1);
        steps::undo(&Attempt { undoing: true, accepted_loss: loss, ..attempt }).await
    }

    /// A fact that an earlier process noted.
    pub fn remember(&self, id: &str, number: u32, name: &str, data: Value) {
        let fact = Fact { name: name.to_owned(), data };
        self.heard.facts.lock().unwrap().push((StepId::new(id), number, fact));
    }

    /// Another process takes the run up: nothing is left in memory but what the journal holds.
    pub async fn restart(&mut self) {
        self.heard.unanswered.lock().unwrap().clear();
        self.world = world(&self.setting, &self.shape, self.directory.path());
        self.unlocked().await;
        for (id, results, outputs) in self.learned.lock().unwrap().iter() {
            self.world.learn(&StepId::new(id.as_str()), Some(results), outputs);
        }
    }

    /// The run is over; another stage may have its databases.
    pub async fn end(self) {
        assert_eq!(self.world.targets.release(&self.world).await, Vec::<String>::new());
        let Self { setting, .. } = self;
        unlocked(&setting).await;
    }

    async fn unlocked(&self) {
        unlocked(&self.setting).await;
    }

    pub fn facts(&self, id: &str, number: u32) -> Vec<Fact> {
        let facts = self.heard.facts.lock().unwrap();
        let own = facts.iter().filter(|(step, attempt, _)| step.as_str() == id && *attempt == number);
        own.map(|(_, _, fact)| fact.clone()).collect()
    }

    fn outputs(&self, id: &str) -> Outputs {
        let learned = self.learned.lock().unwrap();
        learned
            .iter()
            .rev()
            .find(|(step, ..)| step == id)
            .map(|(.., outputs)| outputs.clone())
            .unwrap_or_default()
    }

    pub fn warnings(&self) -> Vec<String> {
        self.heard.warnings.lock().unwrap().clone()
    }

    /// What long work says of itself, and how far it is.
    pub fn progress(&self) -> Vec<(String, u64)> {
        self.heard.progress.lock().unwrap().clone()
    }

    /// What was said to the people at the console.
    pub fn said(&self) -> Vec<String> {
        self.heard.said.lock().unwrap().clone()
    }
}

/// Waits until the server has noticed that a lock's session is gone.
async fn unlocked(setting: &Setting) {
    for settings in setting.databases.values() {
        let held = format!("SELECT count(*) FROM pg_locks WHERE {}", lock_of(settings.database()));
        let look = connect(&shared().settings("postgres").expect("settings")).await;
        let watch = clock::Stopwatch::start();
        while look.one(&held).await.expect("locks") != "0" {
            assert!(watch.elapsed().as_secs() < 20, "an attempt of the old world is still alive");
            clock::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

/// The advisory lock on a target, as a condition on `pg_locks`.
pub fn lock_of(database: &str) -> String {
    format!(
        "locktype = 'advisory' AND (classid::bigint << 32 | objid::bigint) = \
         ('x' || substr(encode(sha256('runplan target {database}'), 'hex'), 1, 16))::bit(64)::bigint"
    )
}

impl Heard {
    fn hear(&self, step: &StepId, number: u32, sent: Sent) {
        match sent {
            Sent::Fact { fact, done } => self.note(step, number, fact, done),
            Sent::Warning(message) => self.warnings.lock().unwrap().push(message),
            Sent::Said { message, .. } => self.said.lock().unwrap().push(message),
            Sent::Progress(told) => self.progress.lock().unwrap().push((told.doing, told.done)),
        }
    }

    fn note(&self, step: &StepId, number: u32, fact: Fact, done: oneshot::Sender<()>) {
        let mut crash = self.crash.lock().unwrap();
        let dies = crash.as_ref().is_some_and(|crash| crash.fact == fact.name);
        let keeps = !dies || crash.as_ref().is_some_and(|crash| crash.durable);
        if keeps {
            self.facts.lock().unwrap().push((step.clone(), number, fact));
        }
        if dies {
            *crash = None;
            self.unanswered.lock().unwrap().push(done);
            self.crashed.notify_one();
        } else {
            let _ = done.send(());
        }
    }
}

/// The outputs of an outcome that must be `Done`.
#[track_caller]
pub fn done(outcome: Outcome) -> Outputs {
    match outcome {
        Outcome::Done(outputs) => outputs,
        other => panic!("it is not done: {other:?}"),
    }
}

/// The failure of an outcome that must be `Failed`.
#[track_caller]
pub fn failed(outcome: Outcome) -> runplan::run::Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("it did not fail: {other:?}"),
    }
}
