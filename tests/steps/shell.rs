//! Programs: what they are given, what is taken from them, what is found out when somebody dies.

use crate::support::stage::{Stage, done, failed, plan};
use runplan::run::Outcome;
use runplan::steps::{self, Attempt};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// A stage with one step `s`.
fn step(fields: &str) -> Stage {
    plan(&format!("steps:\n- id: s\n  shell: {{ {fields} }}")).set()
}

async fn until(condition: impl Fn() -> bool) {
    let watch = runplan::clock::Stopwatch::start();
    while !condition() {
        assert!(watch.elapsed().as_secs() < 20, "it never came to that");
        runplan::clock::sleep(Duration::from_millis(5)).await;
    }
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// Whether the process whose number a file holds still does anything.
fn lives(file: &Path) -> bool {
    let pid = std::fs::read_to_string(file).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['R', 'S', 'D', 'T']))
}

#[tokio::test]
async fn outputs_are_what_the_program_printed() {
    let text = "steps:
- id: s
  shell:
    run: |
      cat; echo '{\"deployment\": {\"id\": \"d-1\"}, \"v\": 12}'; echo oops >&2; test \"$A\" = 'a b'
    stdin: \" \"
    env: { A: \"{{ params.a }}\" }
    outputs: { id: { json: deployment.id }, version: { regex: '\"v\": (\\d+)' } }";
    let outputs = plan(text).param("a", "a b").set().done("s").await;
    assert_eq!(
        (&outputs["exit_code"], &outputs["id"], &outputs["version"]),
        (&json!(0), &json!("d-1"), &json!("12"))
    );
    assert_eq!((&outputs["stderr"], &outputs["json"]["v"]), (&json!("oops\n"), &json!(12)));
    let outputs = step("argv: [sh, -c, 'printf %100000s x'], success_codes: [0, 3]").done("s").await;
    let stdout = outputs["stdout"].as_str().unwrap();
    assert!(stdout.len() < 70_000 && stdout.contains("bytes left out") && stdout.ends_with('x'));
    step("argv: [sh, -c, 'exit 3'], success_codes: [0, 3]").done("s").await;
}

#[tokio::test]
async fn a_program_that_fails_says_why() {
    let failure = failed(step("argv: [sh, -c, 'echo first; echo no such thing >&2; exit 7']").act("s").await);
    assert_eq!(failure.message, "the program failed with exit code 7: no such thing (on stdout: first)");
    let help = failure.help.unwrap();
    assert!(help.contains(".stdout and ") && help.contains(".stderr; next: runplan logs "), "{help}");
    let failure = failed(step("argv: [sh, -c, 'echo only this; exit 1']").act("s").await);
    assert_eq!(failure.message, "the program failed with exit code 1: only this");
    assert!(!failure.help.unwrap().contains(".stderr"));
    // The reason stands last.
    let failure = failed(step("argv: [sh, -c, 'printf %2000s x; echo the reason; exit 1']").act("s").await);
    assert!(failure.message.ends_with("the reason") && failure.message.len() < 600, "{failure:?}");
    let failure = failed(step("run: \"false | true; echo not reached\"").act("s").await);
    assert!(failure.message.contains("exit code 1"), "pipefail: {failure:?}");
    let failure = failed(step("argv: [no-such-program-anywhere]").act("s").await);
    assert_eq!(failure.code, "runplan::process::not_found");
    let failure = failed(step("argv: [echo, x], outputs: { v: { json: a } }").act("s").await);
    assert!(failure.message.contains("the program succeeded, but the output `v`"), "{failure:?}");
    let failure = failed(step("argv: [pwd], cwd: /no/such/place").act("s").await);
    assert_eq!(failure.code, "runplan::process::working_directory");
}

#[tokio::test]
async fn a_probe_that_cannot_be_started_has_not_said_no() {
    for (probe, is_answer) in
        [("exit 1", true), ("exit 126", false), ("exit 127", false), ("kill -9 $$", false)]
    {
        let fields =
            format!("argv: [sh, -c, 'kill -9 $$'], probe: {{ shell: {{ argv: [sh, -c, '{probe}'] }} }}");
        match step(&fields).act("s").await {
            Outcome::Failed(_) => assert!(is_answer, "{probe}"),
            Outcome::Unknown(evidence) => {
                assert!(
                    !is_answer && evidence.facts.iter().any(|fact| fact.contains("was not answered")),
                    "{evidence:?}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn secrets_go_by_the_environment_and_come_back_by_nothing() {
    let stage = |fields: &str| {
        plan(&format!("steps:\n- id: s\n  shell: {{ {fields} }}")).secret("TOKEN", "hunter2-long").set()
    };
    let env = "env: { T: \"{{ secrets.TOKEN }}\" }";
    let shown = stage(&format!("argv: [sh, -c, 'echo $T; test \"$T\" = hunter2\"\"-long'], {env}"));
    assert_eq!(shown.done("s").await["stdout"], "[redacted]\n");
    let named = stage(&format!("argv: [sh, -c, 'echo $T'], {env}, outputs: {{ t: {{ regex: '.+' }} }}"));
    let failure = failed(named.act("s").await);
    assert!(failure.message.contains("holds a secret"), "{failure:?}");
    let failure = failed(stage("argv: [echo, \"x{{ secrets.TOKEN }}\"]").act("s").await);
    assert!(failure.permanent && !failure.message.contains("hunter2"), "{failure:?}");
    let stdin = stage("argv: [sh, -c, 'wc -c'], stdin: \"{{ secrets.TOKEN }}\"");
    assert_eq!(stdin.done("s").await["stdout"].as_str().unwrap().trim(), "12");
    let failure = failed(stage(&format!("argv: [sh, -c, 'echo $T >&2; exit 1'], {env}")).act("s").await);
    assert!(failure.message.contains("[redacted]"), "{failure:?}");
}

#[tokio::test]
async fn cancelled_the_whole_tree_is_ended_and_only_the_certain_is_said() {
    for (fields, outcome) in [
        ("repeatable: true", "failed"),
        // It changes no database; whether it may be done twice is another question.
        ("changes: none", "unknown"),
        ("probe: { file: { path: ./began } }", "done"),
        ("probe: { file: { path: ./never } }", "failed"),
        ("probe: { sql: SELECT 1 }", "unknown"),
        ("success_codes: [0]", "unknown"),
    ] {
        let stage = step(&format!("run: \"sleep 600 & echo $! > began; wait\", {fields}"));
        let attempt = stage.attempt("s", 1);
        let (came, ()) = tokio::join!(steps::act(&attempt), async {
            until(|| lines(&stage.path("began")) == 1).await;
            attempt.cancelled.cancel();
        });
        let word = match came {
            Outcome::Done(_) => "done",
            Outcome::Failed(_) => "failed",
            Outcome::Unknown(_) => "unknown",
            other => panic!("{other:?}"),
        };
        assert_eq!(word, outcome, "{fields}");
        // That it may be done twice does not say that it did nothing.
        let half = stage.facts("s", 1).iter().any(|fact| fact.name == "may_be_half_done");
        assert_eq!(half, fields == "repeatable: true", "{fields}");
        assert!(!lives(&stage.path("began")), "the child is gone");
    }
}

#[tokio::test]
async fn a_program_outlives_its_engine_and_is_waited_for() {
    let mut stage = step("run: \"echo x >> ran; while ! test -e go; do sleep 0.02; done; echo done\"");
    tokio::select! {
        outcome = stage.act("s") => panic!("{outcome:?}"),
        () = until(|| lines(&stage.path("ran")) == 1) => {}
    }
    stage.restart().await;
    let (outcome, ()) = tokio::join!(stage.settle("s"), async {
        runplan::clock::sleep(Duration::from_millis(100)).await;
        std::fs::write(stage.path("go"), "").unwrap();
    });
    assert_eq!(done(outcome)["stdout"], "done\n");
    stage.restart().await;
    assert_eq!(done(stage.settle("s").await)["stdout"], "done\n", "its exit is on record");
    assert_eq!(lines(&stage.path("ran")), 1);
}

#[tokio::test]
async fn what_was_never_started_is_started() {
    let stage = step("argv: [\"true\"]");
    assert!(matches!(stage.settle("s").await, Outcome::Again(_)));
}

#[tokio::test]
async fn when_the_supervisor_dies_too_the_rest_is_ended_and_the_author_decides() {
    for (fields, wanted) in [
        ("repeatable: true", "again"),
        ("probe: { file: { path: ./began } }", "done"),
        ("probe: { file: { path: ./never } }", "again"),
        ("success_codes: [0]", "unknown"),
    ] {
        let mut stage = step(&format!("run: \"echo $$ > began; sleep 600\", {fields}"));
        tokio::select! {
            outcome = stage.act("s") => panic!("{outcome:?}"),
            () = until(|| lines(&stage.path("began")) == 1) => {}
        }
        let record = std::fs::read_to_string(stage.path("state/process/s.1.jsonl")).unwrap();
        let start: Value = serde_json::from_str(record.lines().next().unwrap()).unwrap();
        let supervisor = i32::try_from(start["session"].as_i64().unwrap()).unwrap();
        let pid = rustix::process::Pid::from_raw(supervisor).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        stage.restart().await;
        let outcome = stage.settle("s").await;
        let word = match &outcome {
            Outcome::Done(_) => "done",
            Outcome::Again(_) => "again",
            Outcome::Unknown(_) => "unknown",
            other => panic!("{other:?}"),
        };
        assert_eq!(word, wanted, "{fields}: {outcome:?}");
        assert!(!lives(&stage.path("began")), "nothing is left running");
    }
}

#[tokio::test]
async fn an_undo_may_be_tried_again_under_the_same_attempt() {
    let text = "steps:\n- id: s\n  shell: { argv: [\"true\"] }
  undo: { shell: { run: \"echo x >> tries; test $(wc -l < tries) -ge 2\", repeatable: true } }";
    let mut stage = plan(text).set();
    stage.done("s").await;
    failed(stage.undo("s").await);
    done(stage.undo("s").await);
    stage.restart().await;
    done(steps::settle_undo(&Attempt { undoing: true, ..stage.attempt("s", 1) }).await);
    assert_eq!(lines(&stage.path("tries")), 2, "the last try is found, not run again");
}

mod values {
    use super::*;
    use proptest::prelude::*;

    fn hostile() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "'", "\"", "\\", "$(id)", "`id`", "$HOME", ";", "&&", "|", "\n", "*", "~", "!", "#", "é", "😀",
            " ", "  ", "-n", "EOF", "{{", "%s", "\t", "a",
        ]);
        prop::collection::vec(pieces, 0..10).prop_map(|parts| parts.concat())
    }

    #[test]
    fn every_value_reaches_the_program_as_it_is() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(24));
        let checked = runner.run(&hostile(), |value| {
            let text = "steps:
- id: script
  shell: { run: \"printf %s {{ params.x }} | cat\" }
- id: argv
  shell: { argv: [printf, \"%s\", \"{{ params.x }}\"] }
- id: stdin
  shell: { argv: [cat], stdin: \"{{ params.x }}\" }
- id: env
  shell: { argv: [sh, -c, 'printf %s \"$X\"'], env: { X: \"{{ params.x }}\" } }";
            let stage = plan(text).param("x", value.clone()).set();
            for id in ["script", "argv", "stdin", "env"] {
                let outputs = runtime.block_on(stage.done(id));
                prop_assert_eq!(outputs["stdout"].as_str(), Some(value.as_str()), "{}", id);
            }
            Ok(())
        });
        checked.unwrap();
    }
}
