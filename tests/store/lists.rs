//! Runs at a glance, and finding one by what a person types.

use super::support::{Chain, Helper, State, at, block, run_id, started, warned};
use runplan::plan::{RunId, StepId};
use runplan::run::{Event, Finish, Occasion, Phase, Why};
use runplan::store::{Brief, Error, Journal, Summary};

fn write(state: &State, run: &str, events: Vec<Event>) -> RunId {
    let run = RunId::parse(run).unwrap();
    let held = state.store.create(&run).unwrap();
    let mut chain = Chain { run: run.clone(), seq: 0, hash: String::new() };
    let records: Vec<_> = events.into_iter().map(|event| chain.event(event)).collect();
    block(held.journal().append(0, &records)).unwrap();
    run
}

fn only(state: &State) -> Summary {
    let list = state.store.list().unwrap();
    let [Brief { summary: Some(summary), problem: None, .. }] = &list[..] else { panic!("{list:?}") };
    summary.clone()
}

fn handled(occasion: Occasion) -> Event {
    Event::HandlerFinished { occasion, index: 0, failure: None, line: None }
}

#[test]
fn a_run_that_goes_on_is_shown() {
    let state = State::new();
    assert_eq!(state.store.list().unwrap(), []);
    write(&state, "one", vec![started("scenario_2"), warned("\"kind\":\"undo_requested\"")]);
    let summary = only(&state);
    assert_eq!(summary.plan.as_str(), "scenario_2");
    assert_eq!(summary.reason.as_deref(), Some("wrong amounts"));
    assert_eq!((summary.started_at, summary.last_at, summary.lines), (at(1), at(2), 2));
    assert_eq!((summary.phase, summary.finished, summary.parked), (Phase::Forward, None, None));
}

#[test]
fn an_end_is_found_behind_its_handlers() {
    let state = State::new();
    let mut events = vec![started("a"), Event::RunFinished { result: Finish::Undone }];
    events.extend((0..9).map(|_| handled(Occasion::Finished)));
    write(&state, "one", events);
    let summary = only(&state);
    assert_eq!((summary.phase, summary.finished), (Phase::Finished, Some((at(2), Finish::Undone))));
    assert_eq!(summary.last_at, at(11));
}

#[test]
fn a_parked_run_keeps_its_direction() {
    let state = State::new();
    let undo = Event::UndoRequested { to: None, reason: "no".to_owned() };
    let parked = Event::Parked { why: Why::UndoFailed { step: StepId::from("a") } };
    write(&state, "one", vec![started("a"), undo, warned("x"), parked, handled(Occasion::Parked)]);
    let summary = only(&state);
    assert_eq!(summary.phase, Phase::Backward);
    assert_eq!(summary.parked, Some(Why::UndoFailed { step: StepId::from("a") }));
    let resumed = Event::RunResumed { attended: false, wait: false };
    let undone = Event::Parked { why: Why::UndoFailed { step: StepId::from("a") } };
    let again = State::new();
    write(&again, "one", vec![started("a"), undone, resumed]);
    assert_eq!(only(&again).parked, None, "it goes on");
}

#[test]
fn one_bad_run_hides_no_other() {
    let state = State::new();
    let bad = write(&state, "bad", vec![started("a")]);
    write(&state, "good", vec![started("a")]);
    drop(state.store.create(&RunId::parse("empty").unwrap()).unwrap());
    std::fs::write(state.store.directory(&bad).join("journal.db"), "nonsense").unwrap();
    std::fs::create_dir(state.root().join("runs/.hidden")).unwrap();
    std::fs::create_dir(state.root().join("runs/nothing")).unwrap();
    let list = state.store.list().unwrap();
    let names: Vec<_> = list.iter().map(|brief| (brief.run.as_str(), brief.problem.is_some())).collect();
    assert_eq!(names, [("good", false), ("bad", true), ("empty", true), ("nothing", true)]);
}

#[test]
fn a_list_is_sorted_by_time_and_leaves_no_trace() {
    let state = State::new();
    let chain = |run: &str, when| {
        let run = RunId::parse(run).unwrap();
        let held = state.store.create(&run).unwrap();
        let actor = runplan::run::Actor::engine();
        let record = runplan::run::Record::seal(&run, 1, when, &actor, started("a"), "");
        block(held.journal().append(0, &[record])).unwrap();
    };
    // Two begin in the same second.
    let later = at(5).checked_add(std::time::Duration::from_micros(1)).unwrap();
    chain("b", later);
    chain("a", at(9));
    chain("e", at(5));
    chain("c", at(1));
    let files = || {
        let mut files: Vec<_> = walk(&state.root());
        files.sort();
        files
    };
    let before = files();
    let names: Vec<_> = state.store.list().unwrap().iter().map(|brief| brief.run.to_string()).collect();
    assert_eq!(names, ["c", "e", "b", "a"]);
    assert_eq!(files(), before);
}

fn walk(path: &std::path::Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap().flatten() {
        let data = entry.metadata().unwrap();
        if data.is_dir() {
            found.extend(walk(&entry.path()));
        } else {
            found.push((entry.path(), data.len()));
        }
    }
    found
}

#[test]
fn a_held_run_is_listed() {
    let state = State::new();
    let held = state.store.create(&run_id()).unwrap();
    let mut chain = Chain::new();
    let first = chain.event(started("a"));
    block(held.journal().append(0, &[first])).unwrap();
    drop(held);
    let mut runner = Helper::start("append", &state.root());
    runner.expect("acknowledged");
    assert!(only(&state).lines > 1);
    runner.kill();
    assert!(only(&state).lines > 1);
}

#[test]
fn a_run_is_found_by_its_beginning_or_its_end() {
    let state = State::new();
    let make = |run: &str| drop(state.store.create(&RunId::parse(run).unwrap()).unwrap());
    make("scenario-2-20261122-0311-k7f3");
    make("scenario-2-20261122-0412-a2b3");
    make("scenario-2");
    let find = |wanted: &str| state.store.find(wanted).map(|run| run.to_string());
    assert_eq!(find("k7f3").unwrap(), "scenario-2-20261122-0311-k7f3");
    assert_eq!(find("scenario-2-20261122-04").unwrap(), "scenario-2-20261122-0412-a2b3");
    assert_eq!(find("scenario-2").unwrap(), "scenario-2", "the whole id comes first");
    let error = find("scenario").unwrap_err();
    assert!(matches!(&error, Error::Ambiguous { among, .. } if among.len() == 3), "{error}");
    for nothing in ["", "x", "../scenario-2"] {
        assert!(matches!(find(nothing), Err(Error::NoRun { .. })), "{nothing}");
    }
}
