//! A run that stands still: what an undo, an approval or a resume may make of it, and what they may not.

use crate::support::script::{Absent, Blind, Script, ask};
use crate::support::shape::{shape, started};
use jiff::{SignedDuration, Timestamp};
use runplan::clock;
use runplan::drive::{self, Setup, Start};
use runplan::plan::{RunId, StepId};
use runplan::run::{
    Actor, Ask, Course, Event, Evidence, Failure, Finish, Input, Outcome, Outputs, Phase, Post, Record,
    Resolution, Shape, State, StepState, Why, decide, next_wakeup, standing,
};
use runplan::store::MemoryJournal;
use std::collections::HashSet;
use tokio::sync::mpsc;

fn ann() -> Actor {
    Actor { name: "ann".to_owned(), uid: 1000, host: "here".to_owned() }
}

fn new(shape: &Shape) -> State {
    State::new(RunId::parse("test-1").unwrap(), shape.clone())
}

/// Another process takes the run up.
fn go(shape: &Shape, journal: &MemoryJournal, script: &Script, start: Start) -> State {
    let mut state = new(shape);
    for record in journal.records() {
        state.apply(&record).unwrap();
    }
    let (_stop, signals) = mpsc::unbounded_channel();
    let setup = Setup {
        state,
        journal: journal.reopen(),
        hands: script.clone(),
        observer: Blind,
        asker: Absent,
        signals,
        actor: ann(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let driven =
        async { tokio::time::timeout(std::time::Duration::from_secs(20), drive::run(setup, start)).await };
    runtime.block_on(driven).expect("it stands still forever").unwrap()
}

fn begin() -> Start {
    Start::Begin(Box::new(started(false)))
}

fn undo(to: Option<&str>) -> Start {
    Start::Undo { to: to.map(StepId::from), reason: "wrong".to_owned(), attended: false, wait: false }
}

const SIDE_BY_SIDE: &str = "
runplan: 1
name: test
limits: { parallel: 1 }
steps:
  - id: first
    shell: { argv: [\"true\"] }
    undo: { shell: { argv: [\"true\"] } }
  - id: unclear
    needs: [first]
    shell: { argv: [\"true\"] }
    undo: { shell: { argv: [\"true\"] } }
  - id: beside
    needs: [first]
    shell: { argv: [\"true\"] }
    undo: { shell: { argv: [\"true\"] } }
";

#[test]
fn a_refused_undo_starts_nothing() {
    let (shape, journal, script) = (shape(SIDE_BY_SIDE), MemoryJournal::new(), Script::default());
    script.unclear.lock().unwrap().insert("unclear".to_owned());
    script.failures.lock().unwrap().insert("beside".to_owned(), 1);
    let state = go(&shape, &journal, &script, begin());
    assert!(matches!(state.parked, Some(Why::Unknown { .. })), "{:?}", state.parked);
    let acts = script.marks.lock().unwrap().acts.clone();
    let state = go(&shape, &journal, &script, undo(None));
    assert_eq!(script.marks.lock().unwrap().acts, acts, "an undo went forward");
    assert!(state.parked.is_some() && state.phase == Phase::Forward);
    assert!(script.marks.lock().unwrap().undone.is_empty());
    // What helps is named, wherever somebody looks.
    let resolve = "runplan resolve test-1 unclear --done";
    let said = journal.records().into_iter().rev().find_map(|record| match record.event {
        Event::DecisionRefused { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(said.as_ref().is_some_and(|said| said.contains(resolve)), "{said:?}");
    assert!(matches!(state.parked, Some(Why::Stopped { .. })), "{:?}", state.parked);
    let standing = standing(&state, clock::now(), None).unwrap();
    assert!(standing.others.iter().any(|other| other.contains(resolve)), "{standing:?}");
    // Now it can be told, so the undo goes through.
    script.unclear.lock().unwrap().clear();
    script.marks.lock().unwrap().done.insert("unclear".to_owned(), 1);
    let state = go(&shape, &journal, &script, undo(None));
    assert_eq!(state.result, Some(Finish::Undone));
    let undone: HashSet<String> = script.marks.lock().unwrap().undone.keys().cloned().collect();
    assert_eq!(undone, HashSet::from(["first".to_owned(), "unclear".to_owned()]));
}

#[test]
fn an_undo_of_a_run_given_up_in_doubt_ends() {
    let (shape, journal, script) = (shape(SIDE_BY_SIDE), MemoryJournal::new(), Script::default());
    script.unclear.lock().unwrap().insert("unclear".to_owned());
    let mut state = go(&shape, &journal, &script, begin());
    let end = Post::End { reason: "enough".to_owned() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(drive::post(&journal.reopen(), &mut state, &ann(), end)).unwrap();
    let state = go(&shape, &journal, &script, undo(None));
    assert_eq!((state.phase, state.result), (Phase::Finished, Some(Finish::Failed)));
    assert!(script.marks.lock().unwrap().undone.is_empty());
}

#[test]
fn an_undo_to_a_step_that_is_not_done_is_refused() {
    let (shape, journal, script) = (shape(SIDE_BY_SIDE), MemoryJournal::new(), Script::default());
    script.failures.lock().unwrap().insert("beside".to_owned(), 1);
    go(&shape, &journal, &script, begin());
    let state = go(&shape, &journal, &script, undo(Some("beside")));
    assert!(state.parked.is_some(), "{:?}", state.result);
    assert!(script.marks.lock().unwrap().undone.is_empty(), "everything was undone");
}

/// The core alone, with a clock of our own.
struct Core {
    state: State,
    now: Timestamp,
}

impl Core {
    fn new(text: &str) -> Self {
        Self { state: new(&shape(text)), now: Timestamp::UNIX_EPOCH }
    }

    fn say(&mut self, input: Input) -> Vec<Event> {
        let mut said = self.one(input);
        loop {
            let next = self.one(Input::Next);
            if next.is_empty() {
                return said;
            }
            said.extend(next);
        }
    }

    fn one(&mut self, input: Input) -> Vec<Event> {
        let events = decide(&self.state, &ann(), input, self.now);
        for event in &events {
            let (seq, head) = (self.state.seq + 1, self.state.head.clone());
            let record = Record::seal(&self.state.run.clone(), seq, self.now, &ann(), event.clone(), &head);
            self.state.apply(&record).unwrap();
        }
        events
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn end(&mut self, step: &str, outcome: Outcome) -> Vec<Event> {
        let (step, attempt) = (StepId::from(step), self.of(step).attempts);
        self.say(Input::Outcome { step, attempt, outcome })
    }

    fn of(&self, step: &str) -> &runplan::run::Entry {
        self.state.entry(&StepId::from(step)).unwrap()
    }
}

fn resume() -> Input {
    Input::Resume { attended: false, wait: false }
}

#[test]
fn a_yes_after_the_time_is_up_is_no_yes() {
    let mut core =
        Core::new("runplan: 1\nname: test\nsteps:\n  - id: go\n    approve: { message: go?, expires: 1h }\n");
    core.say(Input::Begin(Box::new(started(false))));
    let ask = Ask { expires_at: Some(core.now + SignedDuration::from_secs(3600)), ..ask("go?") };
    core.end("go", Outcome::Asked(Box::new(ask)));
    assert!(matches!(core.state.parked, Some(Why::Approval { .. })));
    let stands = |core: &Core| runplan::run::standing(&core.state, core.now, None).unwrap();
    assert_eq!(stands(&core).command, "runplan approve test-1 go");
    // Nobody holds the run, so no tick comes; whoever looks is told all the same.
    core.pass(3600);
    let late = stands(&core);
    assert_eq!(late.command, "runplan resume test-1");
    assert!(
        late.words.contains("expired since 1970-01-01 01:00:00 UTC") && late.words.contains("asks again"),
        "{late:?}"
    );
    assert_eq!(Course::of(&core.state, false, core.now, None), Course::Parked(late));
    let yes = Input::Post(Post::Approve { step: StepId::from("go"), comment: String::new() });
    let said = core.say(yes);
    assert!(matches!(said.as_slice(), [Event::DecisionRefused { .. }]), "{said:?}");
    // It is asked anew, and does not stand there for ever.
    core.say(resume());
    assert_eq!((core.of("go").state, core.of("go").attempts), (StepState::Running, 2));
}

#[test]
fn a_retry_without_a_place_waits_without_asking_for_time() {
    let mut core = Core::new(
        "runplan: 1\nname: test\nlimits: { parallel: 1 }\nsteps:\n  - id: one\n    shell: { argv: [\"true\"] }\n    \
         retry: { attempts: 3, every: 1s }\n  - id: two\n    needs: []\n    shell: { argv: [\"true\"] }\n",
    );
    core.say(Input::Begin(Box::new(started(false))));
    core.end("one", Outcome::Failed(Failure::new("c", "m")));
    assert_eq!(core.of("two").state, StepState::Running);
    core.pass(10);
    core.say(Input::Tick);
    assert_eq!(next_wakeup(&core.state), None, "the loop would turn without a pause");
    core.end("two", Outcome::Done(Outputs::new()));
    core.say(Input::Tick);
    assert_eq!(core.of("one").state, StepState::Running);
}

/// A freeze that may hold, or a swap that may have renamed, done again by itself would take what it left for what it found.
#[test]
fn retry_never_tries_an_unknown_outcome_again() {
    for action in ["freeze: { database: app }", "swap: { database: app, with: app_side }"] {
        let mut core = Core::new(&format!(
            "runplan: 1\nname: test\ndatabases: {{ app: {{ url: \"postgres://h/d\" }} }}\nsteps:\n  - id: one\n    {action}\n    \
             retry: {{ attempts: 5, every: 1s }}\n"
        ));
        core.say(Input::Begin(Box::new(started(false))));
        // A certain failure is tried again; what is not known is not, with four attempts left.
        core.end("one", Outcome::Failed(Failure::new("runplan::postgres::lost", "lost")));
        assert!(matches!(core.of("one").state, StepState::Retrying { .. }), "{action}");
        core.pass(10);
        core.say(Input::Tick);
        assert_eq!(core.of("one").attempts, 2);
        core.end("one", Outcome::Unknown(Evidence::new("nobody knows", [])));
        for _ in 0..3 {
            core.pass(3600);
            core.say(Input::Tick);
            assert_eq!((core.of("one").state, core.of("one").attempts), (StepState::Unknown, 2), "{action}");
        }
        assert_eq!(next_wakeup(&core.state), None, "{action}");
        // Whoever takes it up asks what became of that attempt, and begins no other.
        core.say(resume());
        assert_eq!(core.of("one").attempts, 2, "{action}");
        core.end("one", Outcome::Unknown(Evidence::new("nobody knows", [])));
        assert_eq!((core.of("one").state, core.of("one").attempts), (StepState::Unknown, 2), "{action}");
        // Only a person has it done again.
        let (step, reason) = (StepId::from("one"), "it took no effect".to_owned());
        core.say(Input::Post(Post::Resolve { step, resolution: Resolution::Retry, reason, loss: None }));
        core.say(resume());
        assert_eq!((core.of("one").state, core.of("one").attempts), (StepState::Running, 3), "{action}");
    }
}

#[test]
fn a_run_resumed_after_its_deadline_goes_on() {
    let mut core = Core::new(
        "runplan: 1\nname: test\nlimits: { deadline: 1h }\nsteps:\n  - id: one\n    shell: { argv: [\"true\"] }\n  \
         - id: two\n    shell: { argv: [\"true\"] }\n",
    );
    core.say(Input::Begin(Box::new(started(false))));
    core.pass(3600);
    core.say(Input::Tick);
    core.end("one", Outcome::Done(Outputs::new()));
    assert!(matches!(core.state.parked, Some(Why::Stopped { .. })), "{:?}", core.state.parked);
    core.say(resume());
    core.say(Input::Tick);
    core.end("two", Outcome::Done(Outputs::new()));
    assert_eq!(core.state.result, Some(Finish::Done));
}

#[test]
fn an_undo_that_was_interrupted_still_knows_what_the_step_gave() {
    let (shape, journal, script) = (shape(SIDE_BY_SIDE), MemoryJournal::new(), Script::default());
    let mut state = go(&shape, &journal, &script, begin());
    let first = StepId::from("beside");
    for event in [
        Event::UndoRequested { to: None, reason: String::new() },
        Event::UndoStarted { step: first.clone(), attempt: 1 },
    ] {
        let record = Record::seal(
            &state.run.clone(),
            state.seq + 1,
            state.started_at.unwrap(),
            &ann(),
            event,
            &state.head,
        );
        state.apply(&record).unwrap();
    }
    assert!(state.results(&first).is_some());
}

/// Whoever takes a parked run up does not destroy anything on the word of evidence that has gone stale meanwhile: it is taken
/// anew first, and so is the approval that was given for it.
#[test]
fn what_destroys_waits_until_stale_evidence_is_taken_anew() {
    let renewed = |waited: i64| {
        let mut core = Core::new(
            "runplan: 1\nname: test\nsteps:\n  - id: proof\n    verify: { checks: [ { name: f, file: { path: f } } ] }\n  \
             - id: go\n    approve: { message: go? }\n  - id: gone\n    shell: { argv: [\"true\"], destructive: true }\n",
        );
        core.say(Input::Begin(Box::new(started(false))));
        core.end("proof", Outcome::Done(Outputs::new()));
        let ask = ask("go?");
        core.end("go", Outcome::Asked(Box::new(ask)));
        core.pass(waited);
        core.say(Input::Post(Post::Approve { step: StepId::from("go"), comment: String::new() }));
        let said = core.say(resume());
        let renewed: Vec<(String, String)> = said
            .iter()
            .filter_map(|event| match event {
                Event::StepRenewed { step, reason } => Some((step.to_string(), reason.clone())),
                _ => None,
            })
            .collect();
        (renewed, core)
    };
    let (none, core) = renewed(60);
    assert_eq!((none.len(), core.of("gone").state), (0, StepState::Running), "{none:?}");
    let (both, mut core) = renewed(16 * 60);
    let words = [("proof", "it is older than 15m"), ("go", "what it was given for is proved anew")];
    assert_eq!(both, words.map(|(step, reason)| (step.to_owned(), reason.to_owned())));
    assert_eq!((core.of("proof").state, core.of("gone").attempts), (StepState::Running, 0));
    core.end("proof", Outcome::Done(Outputs::new()));
    assert_eq!((core.of("go").state, core.of("gone").attempts), (StepState::Running, 0), "it is asked again");
}
