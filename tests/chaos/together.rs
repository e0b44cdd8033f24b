//! Several processes at the same instant: never do two of them drive a run, and what they say is never lost unsaid.

use super::kills::{size, threads};
use crate::support::sandbox::Sandbox;
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};

const STEPS: &str = "steps:
  - id: one
    shell: { run: echo one >> marks, changes: none }
  - id: go
    approve: { message: Go on? }
  - id: two
    shell: { run: echo two >> marks; sleep 0.05, changes: none }
";

/// A run that was begun and waits for its approval.
fn parked() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    sandbox.plan(STEPS).run("plan.yaml --plain").code(4);
    let run = sandbox.only_run();
    (sandbox, run)
}

fn events(sandbox: &Sandbox, run: &str, kind: &str) -> usize {
    let logs = sandbox.run(&format!("logs {run} --format json")).code(0);
    let events = logs.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["kind"] == kind).count()
}

/// Plays so many rounds, several at once, and says that it did.
#[allow(clippy::print_stdout, reason = "how many were played is what is looked at")]
fn rounds(what: &str, count: usize, play: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads(4) {
            scope.spawn(|| {
                loop {
                    match next.fetch_add(1, Ordering::Relaxed) {
                        round if round < count => play(round),
                        _ => break,
                    }
                }
            });
        }
    });
    println!("{what}: {count} rounds, never two of them at once, nothing lost or doubled");
}

#[test]
fn of_two_resumes_one_drives() {
    rounds("two resumes at one instant", size(200, 20), |round| {
        let (sandbox, run) = parked();
        sandbox.run(&format!("approve {run} go")).code(0);
        let line = format!("resume {run} --plain");
        let both = [sandbox.start(&line), sandbox.start(&line)].map(|started| started.wait());
        for ran in &both {
            // The other holds it, or it is over already.
            assert!([Some(0), Some(5)].contains(&ran.code), "round {round}: {}", ran.all());
        }
        assert!(both.iter().any(|ran| ran.code == Some(0)), "round {round}: nobody went on");
        assert_eq!(sandbox.read("marks"), "one\ntwo\n", "round {round}");
        assert_eq!(events(&sandbox, &run, "run_resumed"), 1, "round {round}: two drove it");
        sandbox.run(&format!("status {run} --verify")).code(0);
    });
}

#[test]
fn a_resume_and_an_approval_and_a_stop_at_one_instant() {
    rounds("a resume, an approval and a stop at one instant", size(200, 20), |round| {
        let (sandbox, run) = parked();
        let lines = [
            format!("resume {run} --plain"),
            format!("approve {run} go"),
            format!("stop {run}"),
            format!("resolve {run} go --retry --reason 'nothing to resolve'"),
        ];
        let at = round % lines.len();
        let order = lines[at..].iter().chain(&lines[..at]);
        let all: Vec<_> = order.map(|line| sandbox.start(line)).collect();
        for ran in all.into_iter().map(|started| started.wait()) {
            let code = ran.code.unwrap_or(70);
            assert!([0, 1, 2, 4, 5].contains(&code), "round {round}: {}", ran.all());
            assert!(!ran.stdout.contains("has not answered"), "round {round}: {}", ran.all());
        }
        // Whatever came first: it can be led to its end, and nothing was done twice.
        for _ in 0..4 {
            if sandbox.step("go") == "awaiting_approval" {
                sandbox.run(&format!("approve {run} go")).code(0);
            }
            if sandbox.run(&format!("resume {run} --plain")).code == Some(0) {
                break;
            }
        }
        assert_eq!(sandbox.read("marks"), "one\ntwo\n", "round {round}");
        sandbox.run(&format!("status {run} --verify")).code(0);
    });
}
