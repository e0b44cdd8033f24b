//! What touches databases, once more on every other version of PostgreSQL: this test program again, with that version's
//! programs and a server of its own.

use crate::support::versions::version;
use runplan::process::plain;

/// The tests that are repeated. Those of processes and HTTP do not care for the server.
const MODULES: [&str; 6] = [
    "steps::backup::",
    "steps::restore::",
    "steps::swap::",
    "steps::freeze::",
    "steps::sql::",
    "steps::copy::",
];

#[track_caller]
fn pass_on(major: u32) {
    let Some(version) = version(major) else { return };
    let mut command = plain::command(std::env::current_exe().unwrap());
    command
        .args(MODULES)
        .args(["--test-threads=3", "--color=never"])
        .env("RUNPLAN_TEST_PG_BIN", &version.bin);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "on PostgreSQL {major}:\n{said}");
    // A filter that matches nothing passes too.
    let passed = said.split(" passed;").next().and_then(|before| before.rsplit(' ').next());
    let passed: u32 = passed.and_then(|count| count.parse().ok()).unwrap_or(0);
    assert!(passed >= 20, "on PostgreSQL {major} only {passed} tests ran:\n{said}");
}

#[test]
fn everything_that_touches_databases_passes_on_16() {
    pass_on(16);
}

#[test]
fn everything_that_touches_databases_passes_on_18() {
    pass_on(18);
}
