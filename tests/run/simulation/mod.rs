//! Random plans, random outcomes, random crashes, stale answers and people who say anything at any time, against the
//! pure core and a world that remembers what was done to it. A million events in `make test`; SIMULATE=n for more. The
//! seed of a run that breaks a law is printed: `SEED=n SIMULATE=1 cargo test the_core_holds` makes it again.

mod elsewhere;
mod journal;
mod laws;
mod people;
mod plans;
mod play;
mod world;

use crate::support::chance::seed;
use play::Play;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Runs of one plan: reading a plan costs more than running it here.
const SAME_PLAN: u64 = 32;

#[derive(Default)]
struct Tally {
    events: usize,
    kinds: BTreeMap<&'static str, usize>,
    ends: BTreeMap<String, usize>,
}

fn simulate(seed: u64, kept: &mut Option<(u64, plans::Made)>) -> Tally {
    let number = seed / SAME_PLAN;
    let made = match kept.take() {
        Some((known, made)) if known == number => made,
        _ => plans::Made::new(number),
    };
    let mut play = Play::new(seed, &made);
    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play.run()));
    // What was wrong with it has been printed.
    assert!(
        played.is_ok(),
        "SEED={seed} SIMULATE=1
{}
{}",
        made.written.text(),
        play.told(40)
    );
    let mut tally = Tally { events: play.count(), ..Tally::default() };
    for event in play.events() {
        *tally.kinds.entry(event.kind()).or_default() += 1;
    }
    *tally.ends.entry(play.end().to_owned()).or_default() += 1;
    *kept = Some((number, made));
    tally
}

#[test]
fn the_core_holds_its_laws() {
    let fewest = std::env::var("SIMULATE").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let next = AtomicU64::new(seed());
    let (total, broken) = (Mutex::new(Tally::default()), AtomicBool::new(false));
    let worker = || {
        while !broken.load(Ordering::Relaxed) && total.lock().unwrap().events < fewest {
            let first = next.fetch_add(SAME_PLAN, Ordering::Relaxed);
            let mut kept = None;
            // The first one is the seed itself, so that it can be made again alone.
            for seed in first..first + if fewest == 1 { 1 } else { SAME_PLAN } {
                let Ok(tally) =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulate(seed, &mut kept)))
                else {
                    return broken.store(true, Ordering::Relaxed);
                };
                let mut total = total.lock().unwrap();
                total.events += tally.events;
                tally.kinds.into_iter().for_each(|(kind, n)| *total.kinds.entry(kind).or_default() += n);
                tally.ends.into_iter().for_each(|(end, n)| *total.ends.entry(end).or_default() += n);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
        (0..threads).for_each(|_| drop(scope.spawn(worker)));
    });
    assert!(!broken.into_inner(), "a law was broken; its seed is printed above");
    let total = total.into_inner().unwrap();
    println!("{} events: {:?}\n{:?}", total.events, total.ends, total.kinds);
    if fewest >= 100_000 {
        total.assert_wide();
    }
}

impl Tally {
    /// A simulation that never comes to something proves nothing about it.
    fn assert_wide(&self) {
        let runs: usize = self.ends.values().sum();
        for end in ["done", "undone", "failed"] {
            assert!(self.ends.get(end).copied().unwrap_or(0) > runs / 50, "{end}: {:?}", self.ends);
        }
        for kind in [
            "run_started",
            "run_resumed",
            "step_started",
            "step_skipped",
            "fact_noted",
            "step_done",
            "step_failed",
            "step_unknown",
            "retry_scheduled",
            "step_reopened",
            "settle_started",
            "approval_requested",
            "approval_given",
            "approval_rejected",
            "decision_refused",
            "step_resolved",
            "stop_requested",
            "cancel_requested",
            "parked",
            "undo_requested",
            "undo_started",
            "undo_done",
            "undo_failed",
            "handler_finished",
            "warned",
            "run_finished",
            "targets_released",
            "plan_amended",
            "run_exported",
            "run_taken_over",
        ] {
            let many = self.kinds.get(kind).copied().unwrap_or(0);
            assert!(many > self.events / 10_000, "{kind} happened {many} times");
        }
    }
}
