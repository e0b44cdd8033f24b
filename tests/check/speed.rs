//! Checking grows with the plan and not faster. Times are compared with each other, never with a clock on the wall.

use runplan::check::{CheckOptions, check};
use runplan::clock::Stopwatch;
use runplan::plan::load;
use std::fmt::Write;

/// A chain in which every step reads the first one, an approved backup at the start, and destruction everywhere.
fn plan(steps: usize) -> String {
    let mut text = String::from(
        "runplan: 1\nname: t\ndatabases:\n  app: { url: \"postgres://db.test/app\" }\nsteps:\n  \
         - { id: kept, backup: { database: app, to: ./b } }\n  - { id: go, approve: { message: \"{{ steps.kept.path }}\" } }\n",
    );
    for at in 0..steps {
        let _ = match at % 4 {
            0 => writeln!(
                text,
                "  - {{ id: s{at}, irreversible: x, sql: {{ database: app, statement: \"DROP TABLE t{at}\" }} }}"
            ),
            1 => writeln!(
                text,
                "  - {{ id: s{at}, notify: {{ channels: [console], message: \"{{{{ steps.kept.path }}}} {{{{ steps.s{}.elapsed }}}}\" }} }}",
                at / 2
            ),
            2 => writeln!(
                text,
                "  - {{ id: s{at}, needs: [s{}, go], shell: {{ argv: [\"true\", \"{{{{ steps.s{}.elapsed }}}}\"], changes: none, repeatable: true }} }}",
                at - 1,
                at - 1
            ),
            _ => writeln!(
                text,
                "  - {{ id: s{at}, verify: {{ database: app, checks: [{{ name: n, sql: SELECT {at}, expect: {at} }}] }} }}"
            ),
        };
    }
    text
}

fn times(steps: usize) -> (f64, f64) {
    let text = plan(steps);
    let best = |run: &dyn Fn() -> f64| (0..3).map(|_| run()).fold(f64::MAX, f64::min);
    let parse = best(&|| {
        let watch = Stopwatch::start();
        let loaded = load(("t.yaml", &text), None, &|_| Err(String::new()));
        assert_eq!(loaded.findings, []);
        watch.elapsed().as_secs_f64()
    });
    let loaded = load(("t.yaml", &text), None, &|_| Err(String::new()));
    let checked = best(&|| {
        let watch = Stopwatch::start();
        assert_eq!(check(&loaded, &CheckOptions::default()), []);
        watch.elapsed().as_secs_f64()
    });
    (parse, checked)
}

#[test]
fn ten_thousand_steps_cost_ten_times_a_thousand() {
    let (_, small) = times(1_000);
    let (parse, large) = times(10_000);
    println!("1,000 steps: check {small:.3} s; 10,000 steps: parse {parse:.3} s, check {large:.3} s");
    // Quadratic growth would be a factor of a hundred.
    assert!(large < small * 25.0, "1,000 steps took {small} s, 10,000 took {large} s");
}
