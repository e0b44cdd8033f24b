//! What stands on a person's screen while something is asked: how the run stands, the question below it, what is typed last.

use crate::support::pty::Terminal;
use crate::support::sandbox::Sandbox;

/// Two steps end when their file is there, or the sandbox is not, while somebody is asked.
const BUSY: &str = "\
title: A run with company
steps:
  - { id: held, title: Copies the archive, shell: { run: 'while [ ! -e one -a -e plan.yaml ]; do sleep 0.02; done', repeatable: true, changes: none } }
  - { id: other, needs: [], shell: { run: 'while [ ! -e two -a -e plan.yaml ]; do sleep 0.02; done', repeatable: true, changes: none } }
  - { id: go, needs: [], title: Swap it in?, approve: { message: \"Swap app for app_rp?\" } }
";
const ASK: &str = "approve? [yes/no";

fn busy() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.plan(BUSY);
    sandbox
}

/// The last line that holds anything.
fn last(terminal: &Terminal) -> String {
    terminal.text().lines().last().unwrap_or_default().to_owned()
}

fn typed(terminal: &mut Terminal, keys: &str, shown: &str) {
    terminal.press(keys);
    terminal.until(shown);
    assert_eq!(last(terminal), shown, "{}", terminal.text());
}

#[test]
fn how_the_run_stands_is_seen_above_the_question_and_what_is_typed_stays_last() {
    let sandbox = busy();
    let mut terminal = sandbox.terminal("plan.yaml", 24, 80);
    terminal.until(ASK);
    typed(&mut terminal, "yes, it", "> yes, it");
    terminal.until("next: answer below");
    let text = terminal.text();
    for part in ["▸ held", "▸ other", "? go", "next: answer below", "go: Swap it in?", "Swap app for app_rp?"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    // What another step says goes above all of it, once.
    sandbox.write("two", "");
    terminal.until("done in");
    sandbox.until("what runs", |_| !terminal.text().contains("▸ other"));
    let text = terminal.text();
    assert_eq!(last(&terminal), "> yes, it", "{text}");
    assert!(text.contains("▸ held") && text.matches(ASK).count() == 1, "{text}");
    let (row, column) = terminal.screen().cursor_position();
    assert_eq!((usize::from(row), column), (text.lines().count() - 1, 9), "{text}");
    typed(&mut terminal, "\u{7f}t is well", "> yes, it is well");
    terminal.press("\r");
    terminal.until("approved by");
    terminal.until("next: Ctrl-C stops");
    assert!(!terminal.text().contains(ASK), "{}", terminal.text());
    sandbox.write("one", "");
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
    assert!(sandbox.run("report").stdout.contains("it is well"));
}

#[test]
fn the_command_that_answers_says_where_the_run_is_and_is_broken_by_the_terminal_alone() {
    let sandbox = Sandbox::new();
    sandbox.plan("steps:\n  - { id: go, approve: { message: \"Now?\" } }\n");
    let mut terminal = sandbox.terminal("plan.yaml --state elsewhere", 24, 40);
    terminal.until(ASK);
    terminal.until("answer below");
    let shown = || terminal.screen().contents();
    let command = format!("runplan --state {} approve ", sandbox.path("elsewhere").display());
    sandbox.until("the command in one line", |_| shown().lines().any(|line| line.starts_with(&command)));
    let line = shown().lines().find(|line| line.starts_with(&command)).unwrap().to_owned();
    // It is longer than the terminal, and typed as it stands it does what it says.
    assert!(line.len() > 40, "{line}");
    sandbox.run(line.strip_prefix("runplan ").unwrap()).code(0).says("approved by");
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
}

#[test]
fn the_clocks_go_on_while_it_is_asked() {
    let sandbox = busy();
    let terminal = sandbox.terminal("plan.yaml", 24, 80);
    terminal.until(ASK);
    // Nothing happens but the time.
    terminal.until("0 of 3 steps done, 2s");
    terminal.until("0 of 3 steps done, 3s");
    assert!(terminal.text().contains(ASK), "{}", terminal.text());
}

#[test]
fn a_terminal_of_another_size_shows_the_same_question() {
    let sandbox = busy();
    let mut terminal = sandbox.terminal("plan.yaml", 24, 80);
    terminal.until(ASK);
    typed(
        &mut terminal,
        "yes, and more than there is room for on it",
        "> yes, and more than there is room for on it",
    );
    for (rows, columns, shown) in [
        (12, 40, "> nd more than there is room for on it"),
        (40, 120, "> yes, and more than there is room for on it"),
        (24, 80, "> yes, and more than there is room for on it"),
    ] {
        terminal.resize(rows, columns);
        sandbox.until("the new size", |_| last(&terminal) == shown && terminal.text().contains("? go"));
        let text = terminal.text();
        assert!(text.contains(ASK) && text.contains("go: Swap it in?"), "{text}");
        assert_eq!(text.matches("go: Swap it in?").count(), 1, "{text}");
    }
}

#[test]
fn a_question_that_has_no_room_is_read_above_and_again_on_demand() {
    let sandbox = Sandbox::new();
    let message: String = (1..30).map(|at| format!("line {at} of it\\n")).collect();
    sandbox.plan(&format!("steps:\n  - {{ id: go, approve: {{ message: \"{message}\" }} }}\n"));
    let mut terminal = sandbox.terminal("plan.yaml", 12, 40);
    terminal.until("more lines: type ?");
    assert_eq!(last(&terminal), ">", "{}", terminal.text());
    let before = terminal.raw().matches("line 29 of it").count();
    terminal.press("?\r");
    sandbox.until("all of it", |_| terminal.raw().matches("line 29 of it").count() > before);
    terminal.press("yes\r");
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
}

#[test]
fn a_decision_from_elsewhere_takes_the_question_away_with_what_was_typed() {
    let sandbox = busy();
    let mut terminal = sandbox.terminal("plan.yaml", 24, 80);
    terminal.until(ASK);
    typed(&mut terminal, "no, bec", "> no, bec");
    sandbox.run("approve plan go --comment 'from here'").code(0);
    terminal.until("the question about go is closed");
    terminal.until("next: Ctrl-C stops");
    let text = terminal.text();
    assert!(text.contains("from here") && !text.contains("> no") && !text.contains(ASK), "{text}");
    sandbox.write("one", "").write("two", "");
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
}

#[test]
fn time_that_is_up_while_it_is_asked_is_said() {
    let sandbox = Sandbox::new();
    sandbox.plan("steps:\n  - { id: go, approve: { message: \"Now?\", expires: 1s } }\n");
    let mut terminal = sandbox.terminal("plan.yaml", 24, 80);
    terminal.until("it counts as no");
    assert_eq!(terminal.wait(), 4, "{}", terminal.text());
    assert!(terminal.text().contains("nobody decided in time"), "{}", terminal.text());
}

#[test]
fn ctrl_c_stops_as_elsewhere_once_and_twice() {
    let sandbox = busy();
    let mut terminal = sandbox.terminal("plan.yaml", 24, 80);
    terminal.until(ASK);
    terminal.press("ye\u{3}");
    terminal.until("Ctrl-C again cancels");
    terminal.until("stopping: nothing new is started");
    terminal.press("\u{3}");
    assert_eq!(terminal.wait(), 4, "{}", terminal.text());
    assert!(terminal.text().contains("Parked after"), "{}", terminal.text());
    assert_eq!(sandbox.step("go"), "awaiting_approval");
}

const SITE: &str = "\
runplan: 1
roles: { dba: { people: [ann, bob, cem, ROOT] } }
severities: { high: { role: dba } }
";

fn me() -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let uid = format!(":{}:", rustix::process::getuid().as_raw());
    passwd.lines().find(|line| line.contains(&uid)).unwrap().split(':').next().unwrap().to_owned()
}

#[test]
fn whoever_cannot_decide_is_told_who_can_instead_of_being_asked() {
    // Who started it does not decide; and a role that is another's.
    for (people, why) in
        [("ROOT, ann, bob", "started the run and cannot approve it"), ("ann, bob", "is none of: ann, bob")]
    {
        let sandbox = Sandbox::new();
        sandbox.write("runplan.yaml", &SITE.replace("ann, bob, cem, ROOT", people).replace("ROOT", &me()));
        sandbox.plan(
            "severity: high\nsteps:\n  - { id: go, approve: { message: \"Now?\", count: 2, expires: 1h } }\n",
        );
        let terminal = sandbox.terminal("plan.yaml --reason why", 40, 140);
        terminal.until("You are not asked:");
        let text = terminal.text();
        let run = sandbox.only_run();
        for part in [
            why,
            "may decide: ann, bob (dba)",
            "0 of 2 have agreed",
            "it counts as no",
            &format!("runplan approve {run} go"),
            &format!("runplan reject {run} go --reason 'why not'"),
            "severity: high; started by",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains(ASK) && !text.lines().any(|line| line.starts_with("> ")), "{text}");
        // It goes on waiting.
        terminal.until("? go");
        assert_eq!(sandbox.step("go"), "awaiting_approval");
    }
}

#[test]
fn who_has_agreed_is_asked_no_more_and_told_who_is_missing() {
    let sandbox = Sandbox::new();
    sandbox.write("runplan.yaml", &SITE.replace("ROOT", &me()));
    sandbox.plan(
        "severity: high\nsteps:\n  - { id: go, approve: { message: \"Now?\", count: 2, allow_requester: true } }\n",
    );
    let mut terminal = sandbox.terminal("plan.yaml --reason why", 40, 140);
    terminal.until("0 of 2 have agreed");
    terminal.until(ASK);
    terminal.press("yes, fine\r");
    terminal.until("has approved already");
    let text = terminal.text();
    assert!(text.contains(&format!("1 of 2 have agreed: {} (fine)", me())), "{text}");
    assert!(text.contains("may decide: ann, bob, cem (dba)") && !text.contains(ASK), "{text}");
}

#[test]
fn an_answer_that_does_not_count_is_asked_for_again() {
    let sandbox = Sandbox::new();
    sandbox.plan("steps:\n  - { id: go, approve: { confirm: \"Call support\" } }\n");
    let mut terminal = sandbox.terminal("plan.yaml", 24, 80);
    terminal.until("what you did and saw");
    // From elsewhere, without the evidence that is wanted.
    sandbox.run("approve plan go").code(2);
    terminal.until("was not accepted");
    terminal.until("what you did and saw");
    terminal.press("called, ticket 12\r");
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
}

#[test]
fn where_lines_are_only_added_nothing_stands_on_the_line_that_is_typed() {
    let sandbox = busy();
    let mut terminal = sandbox.terminal("plan.yaml --plain", 24, 100);
    terminal.until(ASK);
    terminal.press("yes, it");
    terminal.until("yes, it");
    sandbox.write("two", "");
    terminal.until("Step other: done");
    // What was typed stands there again, below.
    sandbox.until("the answer", |_| last(&terminal) == "yes, it");
    terminal.press(" is\r");
    sandbox.write("one", "");
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
    let text = terminal.text();
    assert!(text.lines().any(|line| line == "yes, it is"), "{text}");
    for line in text.lines().filter(|line| line.contains("Step") || line.contains(ASK)) {
        assert!(!line.contains("yes, it"), "{line} in\n{text}");
    }
    assert!(!terminal.raw().contains("\u{1b}["), "{:?}", terminal.raw());
}

#[test]
fn where_lines_are_only_added_a_question_that_is_gone_from_sight_comes_again() {
    let sandbox = Sandbox::new();
    let mut steps = String::from("steps:\n  - { id: go, approve: { message: \"Now?\" } }\n");
    steps.push_str(
        "  - { id: held, needs: [], shell: { run: 'while [ ! -e one -a -e plan.yaml ]; do sleep 0.02; done', repeatable: true, changes: none } }\n",
    );
    for at in 0..14 {
        steps.push_str(&format!(
            "  - {{ id: told_{at}, needs: [held], notify: {{ channels: [console], message: \"line {at}\" }} }}\n"
        ));
    }
    sandbox.plan(&steps);
    let mut terminal = sandbox.terminal("plan.yaml --plain", 12, 100);
    terminal.until(ASK);
    let before = terminal.raw().matches(ASK).count();
    sandbox.write("one", "");
    sandbox.until("the question again", |_| terminal.raw().matches(ASK).count() > before);
    terminal.press("yes\r");
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
}
