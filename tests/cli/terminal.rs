//! A person at a terminal: questions, answers, Ctrl-C.

use crate::support::sandbox::Sandbox;

const ASKS: &str = "\
title: Asks twice
steps:
  - { id: first, title: Shall it begin, approve: { message: \"Begin?\" } }
  - { id: second, approve: { confirm: \"Call support\" } }
";

#[test]
fn questions_are_asked_and_only_clear_answers_count() {
    let sandbox = Sandbox::new();
    sandbox.plan(ASKS);
    let mut terminal = sandbox.terminal("plan.yaml", 40, 100);
    terminal.until("approve? [yes/no");
    assert!(terminal.text().contains("Shall it begin") && terminal.text().contains("Begin?"));
    terminal.press("maybe\n");
    terminal.until("type `yes` or `no`");
    terminal.press("yes, checked with Ann\n");
    terminal.until("what you did and saw");
    terminal.press("\n");
    terminal.until("the evidence is wanted");
    terminal.press("ticket 4711\n");
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
    assert!(terminal.text().contains("Done after"), "{}", terminal.text());
    let report = sandbox.run("report").code(0).stdout;
    assert!(report.contains("checked with Ann") && report.contains("ticket 4711"), "{report}");
}

#[test]
fn a_no_wants_its_reason_and_parks() {
    let sandbox = Sandbox::new();
    sandbox.plan(ASKS);
    let mut terminal = sandbox.terminal("plan.yaml", 40, 100);
    terminal.until("approve? [yes/no");
    terminal.press("no\n");
    terminal.until("why not?");
    terminal.press("too risky\n");
    assert_eq!(terminal.wait(), 4, "{}", terminal.text());
    assert_eq!(sandbox.step("first"), "failed");
}

#[test]
fn a_question_answered_elsewhere_is_withdrawn() {
    let sandbox = Sandbox::new();
    sandbox.plan(ASKS);
    let mut terminal = sandbox.terminal("plan.yaml", 40, 100);
    terminal.until("approve? [yes/no");
    sandbox.run("approve plan first").code(0).says("approved by");
    terminal.until("the question about first is closed");
    terminal.until("what you did and saw");
    terminal.press("done it\n");
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
}

#[test]
fn ctrl_c_at_a_question_parks_and_answers_nothing() {
    let sandbox = Sandbox::new();
    sandbox.plan(ASKS);
    let mut terminal = sandbox.terminal("plan.yaml", 40, 100);
    terminal.until("approve? [yes/no");
    terminal.press("\u{3}");
    assert_eq!(terminal.wait(), 4, "{}", terminal.text());
    assert!(terminal.text().contains("runplan resume"), "{}", terminal.text());
    assert_eq!(sandbox.step("first"), "awaiting_approval");
}

#[test]
fn the_end_of_the_input_is_no_answer() {
    let sandbox = Sandbox::new();
    sandbox.plan(ASKS);
    let mut terminal = sandbox.terminal("plan.yaml", 40, 140);
    terminal.until("approve? [yes/no");
    // In the middle of a line it is not the end.
    terminal.press("ye\u{4}");
    terminal.until("> ye");
    terminal.press("\u{15}\u{4}");
    terminal.until("first is not answered; from any terminal:");
    assert_eq!(terminal.wait(), 4, "{}", terminal.text());
    let text = terminal.text();
    let run = sandbox.only_run();
    for command in [format!("runplan approve {run} first"), format!("runplan resume {run}")] {
        assert!(text.contains(&command), "{command} in\n{text}");
    }
    assert_eq!(sandbox.step("first"), "awaiting_approval");
}

#[test]
fn what_was_typed_ahead_answers_nothing() {
    let sandbox = Sandbox::new();
    sandbox.plan(ASKS);
    let mut terminal = sandbox.terminal("plan.yaml", 40, 100);
    terminal.press("yes\nyes\nyes\n");
    terminal.until("approve? [yes/no");
    terminal.press("yes\n");
    terminal.until("what you did and saw");
    assert_eq!(sandbox.step("second"), "awaiting_approval");
}

#[test]
fn missing_values_and_the_reason_are_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.plan(
        "params:\n  n: { type: integer, required: true, description: How many }\nseverity: high\n\
         steps:\n  - { id: first, approve: { message: \"{{ params.n }}?\" } }\n",
    );
    let mut terminal = sandbox.terminal("plan.yaml", 40, 100);
    terminal.until("n (How many)");
    terminal.press("seven\r");
    terminal.until("not a whole number");
    terminal.press("\u{15}7\r");
    terminal.until("Why is it run?");
    terminal.press("a test\r");
    terminal.until("7?");
    // What is typed before the question stands there is forgotten.
    terminal.until("approve? [yes/no");
    terminal.press("yes\n");
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
    assert!(sandbox.run("report").stdout.contains("| Reason | a test |"));
}
