//! A run whose journal cannot grow any more, at every size where that can happen: it stops without acting on what is not
//! durable, and with room again it goes on, every step exactly once.
#![allow(clippy::disallowed_methods, reason = "the program under test is started under a limit of the shell")]

use crate::support::cluster::RUNPLAN;
use crate::support::sandbox::{Ran, Sandbox};
use std::process::{Command, Stdio};

const STEPS: usize = 24;

/// Runs with no file larger than so many KiB: a write beyond it is an error, as on a full disk.
fn run_within(sandbox: &Sandbox, kib: usize, line: &str) -> Ran {
    let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" {line}");
    let output = Command::new("bash")
        .args(["-c", &script, RUNPLAN])
        .current_dir(sandbox.path(""))
        .env("RUNPLAN_STATE", sandbox.state())
        .env("HOME", sandbox.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran::of(line, &output)
}

fn plan() -> String {
    let step = |at: usize| {
        format!("- id: s{at}\n  shell: {{ run: \"echo s{at} >> marks\", changes: none, repeatable: true }}\n")
    };
    format!("steps:\n{}", (0..STEPS).map(step).collect::<String>())
}

#[test]
fn a_run_without_room_stops_and_goes_on_with_room() {
    let (mut stopped, mut whole) = (0, 0);
    for kib in (4..=340).step_by(12) {
        let sandbox = Sandbox::new();
        sandbox.plan(&plan());
        let ran = run_within(&sandbox, kib, "run plan.yaml --plain");
        assert_ne!(ran.code, Some(70), "{kib} KiB: {}", ran.all());
        if ran.code == Some(0) {
            whole += 1;
            continue;
        }
        stopped += 1;
        let marks = sandbox.read("marks").lines().count();
        let runs = std::fs::read_dir(sandbox.state().join("runs")).map_or(0, Iterator::count);
        if runs == 0 || sandbox.run("runs --format json").json()["runs"] == serde_json::json!([]) {
            assert_eq!(marks, 0, "{kib} KiB: steps ran without a journal");
            continue;
        }
        let resumed = sandbox.run("resume").code(0);
        if marks == 0 && resumed.all().contains("there is nothing to resume") {
            continue;
        }
        let mut lines: Vec<String> = sandbox.read("marks").lines().map(str::to_owned).collect();
        lines.dedup();
        let wanted: Vec<String> = (0..STEPS).map(|at| format!("s{at}")).collect();
        assert_eq!(lines, wanted, "{kib} KiB");
        sandbox.run(&format!("status {} --verify", sandbox.only_run())).code(0);
    }
    println!("{stopped} sizes stopped the run, {whole} held it");
    assert!(stopped > 4 && whole > 0, "{stopped} stopped, {whole} whole");
}
