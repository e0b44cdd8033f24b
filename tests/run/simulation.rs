//! Random plans, random outcomes, random crashes and stale answers against the pure core.

use crate::support::chance::{Chance, seed};
use crate::support::shape::{shape, started};
use jiff::Timestamp;
use runplan::plan::{RunId, StepId};
use runplan::run::{
    Actor, Ask, Event, Evidence, Failure, Input, Outcome, Phase, Post, Record, Resolution, State, StepState,
    decide, next_wakeup,
};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

const RUNS: usize = 400;
const FEWEST_EVENTS: usize = 20_000;

/// A random plan: needs point backwards, so that there is no cycle.
fn plan(chance: &mut Chance) -> String {
    let steps = 1 + chance.below(24);
    let parallel = 1 + chance.below(4);
    let undo = if chance.one_in(6) { "undo" } else { "park" };
    let mut text =
        format!("runplan: 1\nname: test\non_failure: {undo}\nlimits: {{ parallel: {parallel} }}\nsteps:\n");
    for step in 0..steps {
        let needs: Vec<String> =
            (0..step).filter(|_| chance.one_in(4)).map(|need| format!("s{need}")).collect();
        let _ = writeln!(text, "  - id: s{step}\n    needs: [{}]", needs.join(", "));
        if chance.one_in(5) {
            let _ = writeln!(text, "    retry: {{ attempts: {}, every: 1s }}", 1 + chance.below(3));
        }
        if chance.one_in(8) {
            text.push_str("    continue_on_failure: true\n");
        }
        if chance.one_in(8) {
            let _ = writeln!(text, "    when: {}", chance.one_in(2));
        }
        match chance.below(5) {
            0 => text.push_str("    approve: { message: go? }\n"),
            1 => text.push_str("    shell: { argv: [\"true\"], changes: none }\n"),
            2 => {
                text.push_str("    shell: { argv: [\"true\"] }\n    undo: { shell: { argv: [\"true\"] } }\n")
            }
            3 => text.push_str("    shell: { argv: [\"true\"] }\n    irreversible: it is\n"),
            _ => text.push_str("    notify: { channels: [console], message: m }\n"),
        }
    }
    text
}

/// A run without a world: attempts are a list, their outcomes are chosen.
struct Simulation {
    chance: Chance,
    state: State,
    records: Vec<Record>,
    now: Timestamp,
    /// Attempts and undos under way.
    jobs: Vec<(StepId, u32, bool)>,
    /// Answers of attempts that a crash has orphaned; they may still arrive.
    stale: Vec<(StepId, u32, bool)>,
    done: HashSet<StepId>,
}

fn actor(name: &str) -> Actor {
    Actor { name: name.to_owned(), uid: 1, host: "h".to_owned() }
}

impl Simulation {
    fn new(seed: u64) -> (String, Self) {
        let mut chance = Chance::new(seed);
        let text = plan(&mut chance);
        let state = State::new(RunId::parse("test-1").unwrap(), shape(&text));
        let simulation = Self {
            chance,
            state,
            records: Vec::new(),
            now: Timestamp::UNIX_EPOCH,
            jobs: Vec::new(),
            stale: Vec::new(),
            done: HashSet::new(),
        };
        (text, simulation)
    }

    fn input(&mut self, who: &Actor, input: Input) -> usize {
        let events = decide(&self.state, who, input, self.now);
        let count = events.len();
        for event in events {
            self.hold_invariants(&event);
            let run = self.state.run.clone();
            let record = Record::seal(&run, self.state.seq + 1, self.now, who, event, &self.state.head);
            self.state.apply(&record).unwrap();
            self.begin_jobs(&record.event);
            self.records.push(record);
        }
        count
    }

    fn settle(&mut self, who: &Actor, input: Input) {
        self.input(who, input);
        while self.input(&Actor::engine(), Input::Next) > 0 {}
        let parallel = usize::from(self.state.shape.plan.limits.parallel.value);
        assert!(self.state.running().count() <= parallel, "more than {parallel} at once");
        if self.state.parked.is_some() || self.state.phase == Phase::Finished {
            assert_eq!(self.state.running().count(), 0, "it stands still while something runs");
        }
    }

    fn hold_invariants(&mut self, event: &Event) {
        match event {
            Event::StepStarted { step, .. } => {
                assert!(!self.done.contains(step), "{step} is done and is started again");
                let at = self.state.shape.flow.index(step.as_str()).unwrap();
                for need in self.state.shape.graph.needs(at) {
                    let need = &self.state.shape.flow.steps()[*need];
                    let entry = self.state.entry(&need.id.value).unwrap();
                    let fine = match entry.state {
                        StepState::Done | StepState::Skipped => true,
                        StepState::Failed => need.continue_on_failure,
                        _ => false,
                    };
                    assert!(fine, "{step} is started before {}, which is {:?}", need.id.value, entry.state);
                }
            }
            Event::StepDone { step, .. } => assert!(self.done.insert(step.clone()), "{step} is done twice"),
            Event::UndoStarted { step, .. } => {
                assert_eq!(self.state.phase, Phase::Backward);
                assert!(self.done.contains(step), "{step} is undone but was never done");
                let at = self.state.shape.flow.index(step.as_str()).unwrap();
                for dependent in self.state.shape.graph.dependents(at) {
                    let id = &self.state.shape.flow.steps()[*dependent].id.value;
                    let state = self.state.entry(id).unwrap().state;
                    assert!(!matches!(state, StepState::Done | StepState::Undoing), "{step} before {id}");
                }
            }
            Event::RunFinished { result: runplan::run::Finish::Done } => {
                for (id, entry) in self.state.entries() {
                    let may_fail = self.state.shape.flow.step(id.as_str()).unwrap().continue_on_failure;
                    let fine = matches!(entry.state, StepState::Done | StepState::Skipped)
                        || (may_fail && entry.state == StepState::Failed);
                    assert!(fine, "finished, but {id} is {:?}", entry.state);
                }
            }
            _ => {}
        }
    }

    fn begin_jobs(&mut self, event: &Event) {
        match event {
            Event::StepStarted { step, attempt } | Event::SettleStarted { step, attempt } => {
                let undoing = self.state.entry(step).unwrap().state == StepState::Undoing;
                self.jobs.push((step.clone(), *attempt, undoing));
            }
            Event::UndoStarted { step, attempt } => self.jobs.push((step.clone(), *attempt, true)),
            _ => {}
        }
    }

    fn outcome(&mut self) -> Outcome {
        match self.chance.below(12) {
            0 | 1 => Outcome::Failed(Failure::new("c", "m")),
            2 => Outcome::Unknown(Evidence::new("who knows", [])),
            3 => Outcome::Again("it did not happen".to_owned()),
            _ => Outcome::Done(serde_json::Map::new()),
        }
    }

    fn finish_job(&mut self, stale: bool) {
        let list = if stale { &mut self.stale } else { &mut self.jobs };
        if list.is_empty() {
            return;
        }
        let (step, attempt, undo) = list.swap_remove(self.chance.below(list.len()));
        let approve = matches!(
            self.state.shape.flow.step(step.as_str()).unwrap().action.value,
            runplan::plan::Action::Approve(_)
        );
        let mut outcome = self.outcome();
        if undo {
            if matches!(outcome, Outcome::Again(_)) {
                outcome = Outcome::Done(serde_json::Map::new());
            }
            self.settle(&Actor::engine(), Input::Undone { step, attempt, outcome });
            return;
        }
        if approve && matches!(outcome, Outcome::Done(_)) {
            outcome = Outcome::Asked(Box::new(Ask {
                message: "go?".to_owned(),
                confirm: false,
                people: Vec::new(),
                roles: Vec::new(),
                count: 1,
                expires_at: None,
                allow_requester: true,
            }));
        }
        if stale && matches!(outcome, Outcome::Again(_)) {
            return;
        }
        self.settle(&Actor::engine(), Input::Outcome { step, attempt, outcome });
    }

    /// The process is gone: the state is what the journal says, and nothing else.
    fn crash(&mut self) {
        let mut replayed = State::new(self.state.run.clone(), self.state.shape.clone());
        let mut previous = String::new();
        for (index, record) in self.records.iter().enumerate() {
            let read = Record::read(&record.line, index as u64 + 1, &previous).unwrap();
            previous.clone_from(&read.hash);
            assert_eq!(read.event, record.event, "what was written is what is read");
            replayed.apply(&read).unwrap();
        }
        assert_eq!(describe(&replayed), describe(&self.state), "replay and live differ");
        self.state = replayed;
        self.stale.append(&mut self.jobs);
        self.settle(&actor("ann"), Input::Resume { attended: false, wait: false });
    }

    /// One thing that may happen next.
    fn step(&mut self) {
        if self.state.parked.is_some() {
            self.answer();
            self.settle(&actor("ann"), Input::Resume { attended: false, wait: false });
            return;
        }
        match self.chance.below(20) {
            0 => self.crash(),
            1 => self.finish_job(true),
            2 => {
                let hard = self.chance.one_in(2);
                self.settle(&actor("ann"), Input::Stop { hard, reason: "enough".to_owned() });
            }
            3 => self.answer(),
            _ => {
                if let Some(at) = next_wakeup(&self.state).filter(|_| self.jobs.is_empty()) {
                    self.now = self.now.max(at);
                    self.settle(&Actor::engine(), Input::Tick);
                }
                self.finish_job(false);
            }
        }
    }

    /// A person says something, sensible or not.
    fn answer(&mut self) {
        let ann = actor("ann");
        let awaiting = self.state.awaiting().next().cloned();
        let stuck = self.state.unknown().chain(self.state.failed()).next().cloned();
        if let Some(step) = awaiting {
            let post = match self.chance.below(4) {
                0 => Post::Reject { step, reason: "no".to_owned() },
                _ => Post::Approve { step, comment: "fine".to_owned() },
            };
            self.settle(&ann, Input::Post(post));
        } else if let Some(step) = stuck {
            let all = [Resolution::Done, Resolution::Retry, Resolution::Skip, Resolution::Failed];
            let resolution = all[self.chance.below(4)];
            // A resolved step counts as done: that is what the answer says.
            let known = self.state.entry(&step).unwrap().state == StepState::Unknown;
            if known && resolution == Resolution::Done {
                self.done.insert(step.clone());
            }
            self.settle(&ann, Input::Post(Post::Resolve { step, resolution, reason: "looked".to_owned() }));
        } else if self.chance.one_in(3) {
            self.settle(&ann, Input::Post(Post::Undo { to: None, reason: "back".to_owned() }));
        }
    }

    fn run(&mut self) {
        self.settle(&actor("ann"), Input::Begin(Box::new(started(false))));
        for _ in 0..400 {
            if self.state.phase == Phase::Finished {
                break;
            }
            self.step();
        }
        self.crash_check();
    }

    fn crash_check(&mut self) {
        let before = self.records.len();
        if self.state.phase != Phase::Finished {
            self.crash();
            assert!(self.records.len() >= before);
        }
    }
}

/// Everything of a state that matters, as text.
fn describe(state: &State) -> String {
    let mut text = format!(
        "{:?} {:?} {:?} {} {} {:?} {:?}\n",
        state.phase,
        state.parked,
        state.result,
        state.seq,
        state.head,
        state.done().collect::<Vec<_>>(),
        next_wakeup(state),
    );
    for (id, entry) in state.entries() {
        let _ = writeln!(text, "{id} {entry:?}");
    }
    text
}

#[test]
fn the_core_holds_its_invariants() {
    let first = seed();
    let mut events = 0;
    let mut ends: HashMap<String, usize> = HashMap::new();
    for run in 0..RUNS as u64 {
        let seed = first.wrapping_add(run);
        let (text, mut simulation) = Simulation::new(seed);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulation.run()));
        if let Err(panic) = result {
            let tail: Vec<String> =
                simulation.records.iter().rev().take(12).rev().map(|record| record.line.clone()).collect();
            eprintln!("SEED={seed}\n{text}\n{}", tail.join("\n"));
            std::panic::resume_unwind(panic);
        }
        events += simulation.records.len();
        let end = simulation.state.result.map_or("standing", runplan::run::Finish::word);
        *ends.entry(end.to_owned()).or_default() += 1;
    }
    assert!(events >= FEWEST_EVENTS, "only {events} events");
    // A simulation that never reaches an end proves nothing about it.
    for end in ["done", "undone"] {
        assert!(ends.get(end).copied().unwrap_or(0) > RUNS / 20, "{ends:?}");
    }
}
