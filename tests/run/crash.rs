//! The loop stopped at every append, before and after it became durable, and resumed: every effect happens exactly once,
//! and the end is the same as without the crash.

use crate::support::script::{Absent, Blind, Script};
use crate::support::shape::{shape, started};
use jiff::Timestamp;
use runplan::drive::{self, Setup, Start, Stop};
use runplan::plan::{RunId, StepId};
use runplan::run::{Actor, Event, Finish, Phase, Post, Shape, State, StepState, Why};
use runplan::store::{Fault, MemoryJournal};
use tokio::sync::mpsc;

const PLAN: &str = r#"
runplan: 1
name: test
limits: { parallel: 2 }
windows:
  closed:
    open:  { shell: { argv: ["true"], repeatable: true } }
    close: { shell: { argv: ["true"], repeatable: true } }
steps:
  - id: one
    shell: { argv: ["true"] }
    undo: { shell: { argv: ["true"] } }
  - id: left
    window: closed
    shell: { argv: ["true"] }
    undo: { shell: { argv: ["true"] } }
  - id: right
    window: closed
    needs: [one]
    shell: { argv: ["true"] }
    undo: { shell: { argv: ["true"] } }
    retry: { attempts: 3, every: 1ms }
  - id: never
    needs: [left]
    when: "1 > 2"
    shell: { argv: ["true"] }
  - id: last
    needs: [never, right, closed.close]
    shell: { argv: ["true"] }
    undo: { shell: { argv: ["true"] } }
handlers:
  finished: [ { notify: { channels: [console], message: done } } ]
"#;

const STEPS: [&str; 6] = ["one", "closed.open", "left", "right", "closed.close", "last"];

fn ann() -> Actor {
    Actor { name: "ann".to_owned(), uid: 1000, host: "here".to_owned() }
}

fn replay(shape: &Shape, journal: &MemoryJournal) -> State {
    let mut state = State::new(RunId::parse("test-1").unwrap(), shape.clone());
    for record in journal.records() {
        state.apply(&record).unwrap();
    }
    state
}

async fn go(
    shape: &Shape,
    journal: &MemoryJournal,
    script: &Script,
    start: Start,
) -> Result<State, drive::Error> {
    let (_stop, signals) = mpsc::unbounded_channel::<Stop>();
    let setup = Setup {
        state: replay(shape, journal),
        journal: journal.reopen(),
        hands: script.clone(),
        observer: Blind,
        asker: Absent,
        signals,
        actor: ann(),
    };
    drive::run(setup, start).await
}

/// As `go`, with an append that fails.
async fn go_until(
    shape: &Shape,
    journal: MemoryJournal,
    script: &Script,
    start: Start,
    fault: (u64, Fault),
) -> Result<State, drive::Error> {
    let (_stop, signals) = mpsc::unbounded_channel::<Stop>();
    let state = replay(shape, &journal);
    journal.fail(fault.0, fault.1);
    let setup = Setup {
        state,
        journal,
        hands: script.clone(),
        observer: Blind,
        asker: Absent,
        signals,
        actor: ann(),
    };
    drive::run(setup, start).await
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn resume() -> Start {
    Start::Resume { attended: false, wait: false }
}

fn assert_whole(state: &State, script: &Script, what: &str) {
    assert_eq!(state.result, Some(Finish::Done), "{what}");
    for step in STEPS {
        assert_eq!(script.count(step), 1, "{what}: {step} took effect {} times", script.count(step));
    }
    assert_eq!(script.count("never"), 0, "{what}");
}

#[test]
fn a_run_without_a_crash() {
    let (shape, journal, script) = (shape(PLAN), MemoryJournal::new(), Script::default());
    script.failures.lock().unwrap().insert("right".to_owned(), 2);
    let state = block(go(&shape, &journal, &script, Start::Begin(Box::new(started(false))))).unwrap();
    assert_whole(&state, &script, "no crash");
    assert_eq!(state.entry(&StepId::from("right")).unwrap().attempts, 3);
    assert_eq!(state.entry(&StepId::from("never")).unwrap().state, StepState::Skipped);
    assert_eq!(script.count("handler finished"), 1);
    let acts = script.marks.lock().unwrap().acts.clone();
    let at = |step: &str| acts.iter().position(|act| act == step).unwrap();
    assert!(
        at("one") < at("closed.open") && at("closed.open") < at("left") && at("left") < at("closed.close")
    );
    assert!(at("right") < at("closed.close") && at("closed.close") < at("last"));
}

#[test]
fn stopped_at_every_append_and_resumed() {
    for fault in [Fault::Before, Fault::After] {
        let mut nth = 1;
        loop {
            let (shape, journal, script) = (shape(PLAN), MemoryJournal::new(), Script::default());
            script.failures.lock().unwrap().insert("right".to_owned(), 1);
            let what = format!("{fault:?} {nth}");
            let begin = Start::Begin(Box::new(started(false)));
            let first = block(go_until(&shape, journal.reopen(), &script, begin, (nth, fault)));
            if first.is_ok() {
                assert!(nth > 10, "the run has only {nth} appends");
                break;
            }
            if journal.records().is_empty() {
                assert_eq!(script.marks.lock().unwrap().acts, Vec::<String>::new(), "{what}");
                nth += 1;
                continue;
            }
            let state = block(go(&shape, &journal, &script, resume())).unwrap();
            assert_whole(&state, &script, &what);
            nth += 1;
        }
    }
}

#[test]
fn stopped_twice_and_resumed() {
    for first in 2..12 {
        for second in 1..8 {
            let (shape, journal, script) = (shape(PLAN), MemoryJournal::new(), Script::default());
            let begin = Start::Begin(Box::new(started(false)));
            let _ = block(go_until(&shape, journal.reopen(), &script, begin, (first, Fault::After)));
            let _ = block(go_until(&shape, journal.reopen(), &script, resume(), (second, Fault::Before)));
            let replayed = replay(&shape, &journal);
            let state = match replayed.phase {
                Phase::Finished => replayed,
                _ => block(go(&shape, &journal, &script, resume())).unwrap(),
            };
            assert_whole(&state, &script, &format!("{first}, {second}"));
        }
    }
}

#[test]
fn an_undo_stopped_at_every_append_and_resumed() {
    for nth in 1..30 {
        let (shape, journal, script) = (shape(PLAN), MemoryJournal::new(), Script::default());
        block(go(&shape, &journal, &script, Start::Begin(Box::new(started(false))))).unwrap();
        let undo = || Start::Undo { to: None, reason: "wrong".to_owned(), attended: false, wait: false };
        let ended = block(go_until(&shape, journal.reopen(), &script, undo(), (nth, Fault::After)));
        let state = match ended {
            Ok(state) => state,
            Err(_) => {
                let replayed = replay(&shape, &journal);
                let start = if replayed.phase == Phase::Backward { resume() } else { undo() };
                match replayed.result {
                    Some(Finish::Undone) => replayed,
                    _ => block(go(&shape, &journal, &script, start)).unwrap(),
                }
            }
        };
        assert_eq!(state.result, Some(Finish::Undone), "{nth}: {:?}", state.parked);
        for step in STEPS {
            assert_eq!(script.marks.lock().unwrap().undone.get(step), Some(&1), "{nth}: {step}");
        }
    }
}

#[test]
fn an_approval_parks_and_a_post_goes_on() {
    let text = r#"
runplan: 1
name: test
steps:
  - { id: go, approve: { message: "Now?" } }
  - { id: act, shell: { argv: ["true"] } }
"#;
    let (shape, journal, script) = (shape(text), MemoryJournal::new(), Script::default());
    let mut state = block(go(&shape, &journal, &script, Start::Begin(Box::new(started(false))))).unwrap();
    assert!(matches!(&state.parked, Some(Why::Approval { step }) if step.as_str() == "go"));
    assert_eq!(script.count("act"), 0);
    let post = Post::Approve { step: StepId::from("go"), comment: "fine".to_owned() };
    block(drive::post(&journal.reopen(), &mut state, &ann(), post.clone())).unwrap();
    let again = block(drive::post(&journal.reopen(), &mut state, &ann(), post)).unwrap();
    assert!(matches!(again[0].event, Event::DecisionRefused { .. }), "an approval counts once");
    let state = block(go(&shape, &journal, &script, resume())).unwrap();
    assert_eq!((state.result, script.count("act")), (Some(Finish::Done), 1));
    let approved = &state.entry(&StepId::from("go")).unwrap().outputs;
    assert_eq!(approved["approved_by"], "ann");
}

#[test]
fn a_post_reaches_a_waiting_run() {
    let text = r#"
runplan: 1
name: test
steps:
  - { id: go, approve: { message: "Now?" } }
  - { id: act, shell: { argv: ["true"] } }
"#;
    let (shape, journal, script) = (shape(text), MemoryJournal::new(), Script::default());
    let post = Post::Approve { step: StepId::from("go"), comment: String::new() };
    let state = block(async {
        let start = Start::Begin(Box::new(runplan::run::Started { wait: true, ..started(false) }));
        let waiting = go(&shape, &journal, &script, start);
        let approving = async {
            // It asks within the first batch; the post waits in the inbox until it is looked into.
            while journal.records().iter().all(|record| record.event.kind() != "approval_requested") {
                tokio::task::yield_now().await;
            }
            journal.post(Timestamp::UNIX_EPOCH, &ann(), &post);
        };
        tokio::join!(waiting, approving).0.unwrap()
    });
    assert_eq!((state.result, script.count("act")), (Some(Finish::Done), 1));
}

#[test]
fn each_of_two_posts_finds_the_lines_that_it_led_to() {
    let text = r#"
runplan: 1
name: test
steps:
  - { id: go, approve: { message: "Now?" } }
"#;
    let (shape, journal, script) = (shape(text), MemoryJournal::new(), Script::default());
    let post = Post::Approve { step: StepId::from("go"), comment: String::new() };
    let start = Start::Begin(Box::new(runplan::run::Started { wait: true, ..started(false) }));
    let (_, ids) = block(async {
        let approving = async {
            while journal.records().iter().all(|record| record.event.kind() != "approval_requested") {
                tokio::task::yield_now().await;
            }
            [(); 2].map(|()| journal.post(Timestamp::UNIX_EPOCH, &ann(), &post))
        };
        tokio::join!(go(&shape, &journal, &script, start), approving)
    });
    let kinds = ids.map(|id| {
        let line = journal.outcome_of(id).unwrap().unwrap().start;
        journal.records()[usize::try_from(line).unwrap() - 1].event.kind()
    });
    assert_eq!(kinds, ["approval_given", "decision_refused"]);
}

#[test]
fn a_guard_cannot_be_skipped() {
    let text = r#"
runplan: 1
name: test
steps:
  - { id: go, approve: { message: "Now?" } }
  - { id: harm, shell: { argv: ["true"], destructive: true } }
  - { id: after, approve: { message: "And now?" } }
"#;
    let (shape, journal, script) = (shape(text), MemoryJournal::new(), Script::default());
    let mut state = block(go(&shape, &journal, &script, Start::Begin(Box::new(started(false))))).unwrap();
    let reject = Post::Reject { step: StepId::from("go"), reason: "no".to_owned() };
    block(drive::post(&journal.reopen(), &mut state, &ann(), reject)).unwrap();
    let skip = |step: &str| Post::Resolve {
        loss: None,
        step: StepId::from(step),
        resolution: runplan::run::Resolution::Skip,
        reason: "it is late".to_owned(),
    };
    let records = block(drive::post(&journal.reopen(), &mut state, &ann(), skip("go"))).unwrap();
    assert!(matches!(&records[0].event, Event::DecisionRefused { reason, .. } if reason.contains("harm")));
    assert_eq!(script.count("harm"), 0);
}
