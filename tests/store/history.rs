//! Estimates from earlier runs.

use super::support::{State, at};
use runplan::store::{Estimates, Median, Timing, Valued};
use std::collections::BTreeMap;

fn timing(digest: &str, second: i64, rehearsal: bool, steps: &[(&str, u64)]) -> Timing {
    Timing {
        plan: "scenario_2".to_owned(),
        digest: digest.to_owned(),
        at: at(second),
        rehearsal,
        total_ms: steps.iter().map(|(_, ms)| ms).sum(),
        downtime_ms: rehearsal.then_some(7),
        steps: steps.iter().map(|(step, ms)| ((*step).to_owned(), *ms)).collect(),
        params: BTreeMap::new(),
        began_with: None,
    }
}

/// Medians of real runs: how long, of how many.
fn steps(found: &[(&str, u64, usize)]) -> BTreeMap<String, Median> {
    let one = |ms, runs| Median { ms, runs, rehearsed: false, other_values: false };
    found.iter().map(|(step, ms, runs)| ((*step).to_owned(), one(*ms, *runs))).collect()
}

#[test]
fn nothing_is_known_at_first() {
    let state = State::new();
    assert_eq!(
        state.store.estimates(("scenario_2", "d"), &BTreeMap::new(), false).unwrap(),
        Estimates::default()
    );
}

#[test]
fn the_nearest_evidence_counts() {
    let state = State::new();
    let record = |timing: Timing| state.store.record_durations(&timing).unwrap();
    record(timing("old", 1, false, &[("a", 1), ("b", 1), ("c", 1)]));
    record(timing("d", 2, true, &[("a", 20), ("b", 20)]));
    record(timing("d", 3, false, &[("a", 300)]));
    record(timing("d", 4, false, &[("a", 100)]));
    record(timing("d", 5, false, &[("a", 900)]));
    record(Timing { plan: "other".to_owned(), ..timing("d", 6, true, &[("a", 5), ("z", 5)]) });
    let estimates = state.store.estimates(("scenario_2", "d"), &BTreeMap::new(), false).unwrap();
    // Real runs of the plan as it was before say more about the real database than a rehearsal does.
    assert_eq!(estimates.steps, steps(&[("a", 300, 3), ("b", 1, 1), ("c", 1, 1)]));
    let for_rehearsal = state.store.estimates(("scenario_2", "d"), &BTreeMap::new(), true).unwrap().steps;
    let one = |ms, runs, rehearsed| Median { ms, runs, rehearsed, other_values: false };
    assert_eq!((for_rehearsal["a"], for_rehearsal["c"]), (one(20, 1, true), one(1, 1, false)));
    assert_eq!(estimates.rehearsal, Some(timing("d", 2, true, &[("a", 20), ("b", 20)])));
    assert_eq!(
        state.store.estimates(("scenario_2", "new"), &BTreeMap::new(), false).unwrap().rehearsal,
        None
    );
}

#[test]
fn what_was_given_other_values_counts_last_and_is_said_to_be() {
    let state = State::new();
    let of = |sha256: &str, bytes| {
        BTreeMap::from([("backup".to_owned(), Valued { sha256: sha256.to_owned(), bytes: Some(bytes) })])
    };
    let record = |timing, params| state.store.record_durations(&Timing { params, ..timing }).unwrap();
    record(timing("d", 1, true, &[("a", 20)]), of("one", 7));
    record(timing("d", 2, false, &[("a", 900), ("b", 5)]), of("other", 7));
    // The same file, grown since.
    record(timing("d", 3, false, &[("a", 900)]), of("one", 8));
    let steps = state.store.estimates(("scenario_2", "d"), &of("one", 7), false).unwrap().steps;
    assert_eq!(steps["a"], Median { ms: 20, runs: 1, rehearsed: true, other_values: false });
    assert_eq!(steps["b"], Median { ms: 5, runs: 1, rehearsed: false, other_values: true });
    // Of what is not known nothing is said.
    let steps = state.store.estimates(("scenario_2", "d"), &BTreeMap::new(), false).unwrap().steps;
    assert_eq!(steps["a"], Median { ms: 900, runs: 2, rehearsed: false, other_values: false });
}

#[test]
fn old_runs_are_outweighed() {
    let state = State::new();
    (0..30).for_each(|n| state.store.record_durations(&timing("d", n, false, &[("a", 1000)])).unwrap());
    (30..60).for_each(|n| state.store.record_durations(&timing("d", n, false, &[("a", 5)])).unwrap());
    assert_eq!(
        state.store.estimates(("scenario_2", "d"), &BTreeMap::new(), false).unwrap().steps,
        steps(&[("a", 5, 20)])
    );
}

#[test]
fn the_last_rehearsal_is_shown() {
    let state = State::new();
    for second in [5, 9, 7] {
        state.store.record_durations(&timing("d", second, true, &[("a", 1)])).unwrap();
    }
    let rehearsal =
        state.store.estimates(("scenario_2", "d"), &BTreeMap::new(), false).unwrap().rehearsal.unwrap();
    assert_eq!((rehearsal.at, rehearsal.downtime_ms), (at(9), Some(7)));
}

#[test]
fn damage_costs_only_what_is_damaged() {
    let state = State::new();
    state.store.record_durations(&timing("d", 1, false, &[("a", 1)])).unwrap();
    let path = state.root().join("history.jsonl");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend(b"\xff\xfe{\"plan\":\n");
    std::fs::write(&path, bytes).unwrap();
    state.store.record_durations(&timing("d", 2, false, &[("b", 2)])).unwrap();
    assert_eq!(
        state.store.estimates(("scenario_2", "d"), &BTreeMap::new(), false).unwrap().steps,
        steps(&[("a", 1, 1), ("b", 2, 1)])
    );
}

#[test]
fn the_file_has_an_end_and_many_can_write_to_it() {
    let state = State::new();
    let name = "n".repeat(2000);
    let write = |from: i64| {
        (from..from + 400)
            .for_each(|n| state.store.record_durations(&timing("d", n, false, &[(&name, 1)])).unwrap());
    };
    std::thread::scope(|scope| (0..8).for_each(|n| drop(scope.spawn(move || write(n * 400)))));
    let text = std::fs::read_to_string(state.root().join("history.jsonl")).unwrap();
    assert!(text.len() < 5 * 1024 * 1024 && text.len() > 2_000_000, "{}", text.len());
    assert!(text.lines().all(|line| serde_json::from_str::<Timing>(line).is_ok()));
}
