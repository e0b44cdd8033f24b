//! Changed and broken input for everything that reads text: nothing panics, nothing overflows the stack, nothing takes
//! longer than its limit. `make test` does it for a few seconds, `make fuzz SECONDS=3600` for long.
//!
//! Inputs are numbered; SEED and a number make the same input again: `SEED=1 FUZZ_INPUT=4711 cargo test fuzz::`.
//! They are tried in a process of their own, so that an input that ends it is known by its number.

mod corpus;
mod input;
mod mutation;
mod targets;
mod worker;

use crate::support::chance;
use worker::Job;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[test]
fn no_input_breaks_a_reader() {
    if let Some(job) = Job::of_this_process() {
        return job.work();
    }
    let seed = chance::seed();
    if let Some(only) = number("FUZZ_INPUT") {
        let input = corpus::Corpus::read().input(seed, only);
        println!("{}", input.shown());
        return targets::run(&input);
    }
    let seconds = number("FUZZ_SECONDS").unwrap_or(5);
    let jobs = number("FUZZ_JOBS").unwrap_or(1).max(1);
    let (tried, failures) = worker::watch(seed, seconds, jobs);
    println!("{tried} inputs in {seconds} s, seed {seed}");
    assert!(tried > 0, "nothing was tried");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What it found once, as small as it is.
#[test]
fn what_was_found_stays_mended() {
    for (target, text) in [
        // The place of `the file holds no YAML document` was inside this mark.
        (input::Target::Plan, "\u{feff}"),
        (input::Target::Site, "\u{feff}"),
    ] {
        targets::run(&input::Input { target, bytes: text.as_bytes().to_vec(), choice: 0 });
    }
}

/// What would make all of the above worthless: a fuzzer that does not notice.
#[test]
fn a_broken_reader_is_noticed() {
    for (fault, told) in [("panic", "broken on purpose"), ("abort", "ended by"), ("hang", "took longer")] {
        let failures = worker::watch_broken(fault);
        assert!(failures.iter().any(|failure| failure.contains(told)), "{fault}: {failures:?}");
    }
}

#[test]
fn the_same_number_is_the_same_input() {
    let (one, two) = (corpus::Corpus::read(), corpus::Corpus::read());
    let mut targets = std::collections::BTreeSet::new();
    for number in 0..200 {
        let input = one.input(7, number);
        assert_eq!(input.shown(), two.input(7, number).shown());
        targets.insert(input.target.word());
    }
    assert_eq!(targets.len(), input::Target::ALL.len(), "{targets:?}");
}
