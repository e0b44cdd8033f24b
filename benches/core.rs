//! What the pure parts cost: read, check, order, the review of a dry run, and a whole run without a world, for plans of
//! 100 to 10,000 steps, in processor time. After the measurements it prints how the time of one step grows with the
//! plan: it must not.
//!
//! `cargo bench --bench core`; a word after `--` chooses, such as `check/mix`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that fails is none"
)]
#![allow(clippy::print_stdout, reason = "it prints a table")]

mod growth;
mod plans;
mod whole;

use criterion::{BenchmarkId, Criterion, SamplingMode};
use growth::Growth;
use plans::Shape;
use runplan::check::{CheckOptions, check};
use runplan::graph::Graph;
use runplan::plan::{Loaded, load};
use runplan::review::{ReviewInput, review};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::Duration;

const SIZES: [usize; 3] = [100, 1_000, 10_000];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .without_plots()
        .configure_from_args();
    let mut growth = Growth::default();
    for shape in Shape::ALL {
        for steps in SIZES {
            phases(&mut criterion, &mut growth, shape, steps);
        }
    }
    criterion.final_summary();
    println!("{growth}");
}

fn phases(criterion: &mut Criterion, growth: &mut Growth, shape: Shape, steps: usize) {
    let text = shape.plan(steps);
    let loaded = read(&text);
    let found = check(&loaded, &CheckOptions::default());
    let errors: Vec<&String> = found.iter().filter(|one| one.is_error()).map(|one| &one.message).collect();
    assert!(errors.is_empty(), "{} of {steps}: {errors:?}", shape.word());
    assert_eq!(loaded.flow.len(), steps, "{}", shape.word());

    let mut measure = Measure { criterion, growth, shape, steps };
    measure.phase("read", || read(&text));
    measure.phase("check", || check(&loaded, &CheckOptions::default()));
    measure.phase("order", || Graph::new(&loaded.flow).expect("no cycle"));
    let graph = Graph::new(&loaded.flow).expect("no cycle");
    let input = ReviewInput { params: whole::params(), ..ReviewInput::default() };
    measure.phase("review", || review(&loaded, &graph, &input));
    let run = whole::Run::new(loaded.clone());
    measure.phase("run", || run.drive());
}

fn read(text: &str) -> Loaded {
    load(("bench.yaml", text), None, &|path| Err(format!("{path} is not there")))
}

/// What this thread has computed so far: what else the machine does is no matter of these parts.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

struct Measure<'m> {
    criterion: &'m mut Criterion,
    growth: &'m mut Growth,
    shape: Shape,
    steps: usize,
}

impl Measure<'_> {
    /// Measures the work alone, not what it takes to let go of its result.
    fn phase<T>(&mut self, phase: &'static str, mut work: impl FnMut() -> T) {
        let Self { criterion, growth, shape, steps } = self;
        let mut group = criterion.benchmark_group(phase);
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(BenchmarkId::new(shape.word(), *steps), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    let began = thread_time();
                    let result = black_box(work());
                    let time = thread_time() - began;
                    drop(result);
                    growth.note(phase, *shape, *steps, time);
                    total += time;
                }
                total
            });
        });
        group.finish();
    }
}
