//! The live view on a real terminal, and the same from another one: sizes, resizes, colours, `--plain`.

use crate::support::pty::Terminal;
use crate::support::sandbox::Sandbox;
use std::fmt::Write;

const HELD: &str = "\
title: Waits for a file
steps:
  - { id: first, title: The first step, shell: { argv: [\"true\"], changes: none, repeatable: true } }
  - id: held
    title: Until the file is there
    verify:
      checks:
        - { name: quick, shell: { argv: [\"true\"] } }
        - { name: the file, shell: { run: \"until test -e flag; do sleep 0.05; done\" } }
";

const ASKS: &str = "steps:\n  - { id: go, approve: { message: \"Shall it go on?\" } }\n";

/// A run that is held until there is a file `flag`, on a terminal of its own.
fn held(sandbox: &Sandbox, options: &str, rows: u16, cols: u16) -> Terminal {
    sandbox.plan(HELD);
    let terminal = sandbox.terminal(&format!("plan.yaml {options}"), rows, cols);
    sandbox.until("the step runs", |sandbox| sandbox.exists("runplan/runs"));
    terminal
}

/// Nothing is wider than the terminal, nothing stands there twice.
#[track_caller]
fn is_clean(terminal: &Terminal) {
    let text = terminal.text();
    for once in ["next: ", "of 2 steps done", "to stop: "] {
        assert_eq!(text.matches(once).count(), 1, "{once} in\n{text}");
    }
}

#[test]
fn the_view_of_a_running_plan() {
    let sandbox = Sandbox::new();
    let mut terminal = held(&sandbox, "", 24, 80);
    terminal.until("checking");
    let text = terminal.text();
    for part in [
        "▸ held",
        "verify: Until the file is there",
        "1 of 2 steps done",
        "next: Ctrl-C stops",
        "to stop: safe at any",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    is_clean(&terminal);
    sandbox.write("flag", "");
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
    let end = terminal.text();
    assert!(end.contains("Done after") && !end.contains("▸") && !end.contains("next: "), "{end}");
    assert!(end.contains("first   done in"), "{end}");
}

#[test]
fn narrow_terminals_and_resizes_leave_one_view() {
    let sandbox = Sandbox::new();
    let mut terminal = held(&sandbox, "", 24, 30);
    terminal.until("checking");
    is_clean(&terminal);
    for (rows, cols) in [(24, 20), (12, 100), (24, 40), (40, 120), (9, 30), (24, 80)] {
        terminal.resize(rows, cols);
        let width = usize::from(cols) - 1;
        // The whole view has the new width when its last line stands there.
        let wanted = if cols < 60 { "\n1 of 2 steps" } else { "] 1 of 2 steps" };
        terminal.until(wanted);
        let is_narrower = |text: &str| text.lines().all(|line| line.chars().count() <= width + 1);
        assert!(is_narrower(&terminal.text()), "{}", terminal.text());
        is_clean(&terminal);
    }
    let bars = terminal.text().matches("▸ held").count();
    assert_eq!(bars, 1, "{}", terminal.text());
    sandbox.write("flag", "");
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
}

#[test]
fn two_hundred_steps_on_a_real_screen() {
    let mut steps = "limits: { parallel: 64 }\nsteps:\n".to_owned();
    for at in 0..200 {
        let step = match at % 10 {
            3 => {
                "shell: { run: \"until test -e flag; do sleep 0.1; done\", changes: none, repeatable: true }"
            }
            _ => "notify: { channels: [console], message: told }",
        };
        let _ = writeln!(steps, "  - {{ id: step_{at}, needs: [], title: The step {at}, {step} }}");
    }
    let sandbox = Sandbox::new();
    sandbox.plan(&steps);
    let mut terminal = sandbox.terminal("plan.yaml", 24, 80);
    // All twenty run, and eighteen have room.
    terminal.until("… and 2 more running");
    terminal.until("180 of 200 steps done");
    let text = terminal.text();
    assert!(text.contains("▸ step_"), "{text}");
    assert!(text.contains("next: Ctrl-C stops"), "{text}");
    sandbox.write("flag", "");
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
    assert!(terminal.text().contains("200 done"), "{}", terminal.text());
}

#[test]
fn without_colours_and_without_drawing() {
    for (name, value, options, is_drawn) in [
        ("NO_COLOR", "1", "", true),
        ("TERM", "dumb", "", false),
        ("NO_COLOR", "1", "--plain", false),
        ("COLUMNS", "80", "--color never", true),
    ] {
        let sandbox = Sandbox::new().variable(name, value);
        let mut terminal = held(&sandbox, options, 24, 80);
        match is_drawn {
            true => terminal.until("▸ held"),
            false => terminal.until("first"),
        }
        sandbox.write("flag", "");
        assert_eq!(terminal.wait(), 0, "{}", terminal.text());
        let raw = terminal.raw();
        let colours = raw.match_indices("\u{1b}[").filter(|(at, _)| {
            raw[at + 2..].trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
        });
        assert_eq!(colours.count(), 0, "{name}={value} {options}: {raw:?}");
        assert_eq!(raw.contains('\u{1b}'), is_drawn, "{name}={value} {options}: {raw:?}");
    }
}

#[test]
fn a_run_is_watched_from_another_terminal() {
    let sandbox = Sandbox::new();
    let mut first = held(&sandbox, "", 24, 80);
    first.until("checking");
    let head = || sandbox.run("status --format json").code(0).json()["head"].clone();
    let before = head();
    let mut second = sandbox.terminal("watch", 24, 80);
    // What was never journaled is seen too, to the last check.
    first.until("1 of 2 (50 %)");
    second.until("1 of 2 (50 %)");
    is_clean(&second);
    let text = second.text();
    assert!(text.contains("first   done in") && text.contains("Ctrl-C leaves"), "{text}");
    second.resize(24, 40);
    second.until("\n1 of 2 steps");
    // Whoever only looks can leave.
    let mut third = sandbox.terminal("watch", 24, 80);
    third.until("▸ held");
    third.press("\u{3}");
    assert_ne!(third.wait(), 0);
    assert_eq!(head(), before, "looking changes nothing");
    sandbox.write("flag", "");
    assert_eq!((first.wait(), second.wait()), (0, 0));
    assert!(second.text().contains("Done after"), "{}", second.text());
    assert!(!sandbox.exists(&format!("runplan/runs/{}/progress.json", sandbox.only_run())));
}

#[test]
fn a_parked_run_is_watched_until_it_is_over() {
    let sandbox = Sandbox::new();
    sandbox.plan(ASKS);
    sandbox.run("plan.yaml").code(4);
    let mut short = sandbox.terminal("watch", 24, 80);
    assert_eq!(short.wait(), 4);
    assert!(
        short.text().contains("Parked") && short.text().contains("runplan approve plan-"),
        "{}",
        short.text()
    );
    let mut long = sandbox.terminal("watch --stay", 24, 80);
    long.until("PARKED: step go waits for an approval");
    long.until("next: runplan approve");
    sandbox.run("approve plan go").code(0);
    long.until("next: to go on");
    long.until("runplan resume plan-");
    sandbox.run("status").code(0).says("is answered").says("Next       runplan resume");
    sandbox.run("resume plan").code(0);
    assert_eq!(long.wait(), 0, "{}", long.text());
    assert!(long.text().contains("Done after"), "{}", long.text());
}

#[test]
fn a_finished_run_is_shown_with_its_end() {
    let sandbox = Sandbox::new();
    sandbox.run("watch").code(2).complains("there are no runs yet");
    let made = "steps:\n  - { id: made, shell: { argv: [touch, made], changes: none, repeatable: true }, \
        undo: { shell: { argv: [rm, made], changes: none, repeatable: true } } }";
    sandbox.plan(&ASKS.replacen("steps:", made, 1));
    sandbox.run("plan.yaml").code(4);
    sandbox.run("reject plan go --reason no").code(0);
    sandbox
        .run("status")
        .code(0)
        .says("Parked after")
        .says("step go failed")
        .says("Next       runplan resume");
    sandbox.run("undo plan --yes").code(1);
    let mut terminal = sandbox.terminal("watch", 24, 80);
    assert_eq!(terminal.wait(), 1, "{}", terminal.text());
    assert!(terminal.text().contains("Undone after"), "{}", terminal.text());
    let plain = sandbox.run("watch").code(1).says("rejected by").says("Undone after").silent_on_stderr();
    assert!(!plain.stdout.contains('\u{1b}'));
    let journal = sandbox.run("logs --format json").code(0).stdout;
    let watched = sandbox.run("watch --format json").code(1).stdout;
    let summary = watched.strip_prefix(&journal).expect("the journal, then the summary");
    let summary: serde_json::Value = serde_json::from_str(summary).unwrap();
    assert_eq!((&summary["kind"], &summary["exit"]), (&"summary".into(), &1.into()));
}

#[test]
fn a_run_that_was_killed_is_said_to_be_interrupted() {
    let sandbox = Sandbox::new();
    let terminal = held(&sandbox, "", 24, 80);
    terminal.until("checking");
    let mut watching = sandbox.terminal("watch", 24, 80);
    watching.until("▸ held");
    drop(terminal);
    assert_eq!(watching.wait(), 4, "{}", watching.text());
    assert!(watching.text().contains("runplan resume"), "{}", watching.text());
    sandbox.write("flag", "");
    sandbox.run("resume").code(0);
}

#[test]
fn who_stays_is_told_that_the_process_has_died() {
    let sandbox = Sandbox::new();
    let terminal = held(&sandbox, "", 24, 80);
    terminal.until("checking");
    let mut watching = sandbox.terminal("watch --stay", 24, 80);
    let plain = sandbox.start("watch --stay --plain");
    watching.until("▸ held");
    drop(terminal);
    watching.until("INTERRUPTED: its process has died");
    watching.until("runplan resume plan-");
    assert!(!watching.text().contains("▸ held"), "{}", watching.text());
    let runs = sandbox.run("runs --format json").json();
    assert_eq!(runs["runs"][0]["state"], "interrupted: its process has died");
    let status =
        sandbox.run("status").code(0).says("Interrupted: its process has died; its last line was written");
    let status = status.says("1 interrupted (held)").says("finds out what became of held, then goes on");
    let status = status.says("until then nobody works on it");
    assert!(!status.stdout.contains("running") && !status.stdout.contains("under way"), "{}", status.stdout);
    sandbox.write("flag", "");
    sandbox.run("resume").code(0);
    assert_eq!(watching.wait(), 0, "{}", watching.text());
    assert!(watching.text().contains("Done after"), "{}", watching.text());
    plain.wait().code(0).says("its process has died; next: runplan resume plan-").says("Done after");
}

#[test]
fn a_screen_reader_hears_sentences() {
    let windows = "windows: { maintenance: { open: { shell: { argv: [\"true\"], repeatable: true, changes: none } }, close: { shell: { argv: [\"true\"], repeatable: true, changes: none } } } }\n";
    let sandbox = Sandbox::new();
    sandbox.plan(&format!(
        "{windows}steps:\n  - {{ id: told, window: maintenance, notify: {{ channels: [console], message: Rolling back }} }}\n  \
         - {{ id: go, window: maintenance, approve: {{ message: \"Shall it go on?\" }} }}\n"
    ));
    let mut terminal = sandbox.terminal("plan.yaml --plain", 40, 160);
    terminal.until("approve? [yes/no");
    terminal.press("yes\n");
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
    let text = terminal.text();
    for sentence in [
        " Step told: says: Rolling back.\n",
        " The run: the application is closed to traffic (window maintenance).\n",
        " Step go: waits for an approval.\nShall it go on?\n",
        " The run: the application is open to traffic again after ",
        "\nSteps: 4 done.\n",
    ] {
        assert!(text.contains(sentence), "{sentence:?} in\n{text}");
    }
    let raw = terminal.raw();
    let is_drawn = |c: char| matches!(c, '\u{1b}' | '»' | '›' | '‹' | '\u{2500}'..='\u{25ff}');
    assert!(!raw.contains(is_drawn), "{raw:?}");
    let mut wrong = sandbox.terminal("watch nothing --plain", 40, 160);
    assert_eq!(wrong.wait(), 2);
    let said = wrong.raw();
    assert!(said.contains("there is no run nothing") && !said.contains(is_drawn), "{said:?}");
}

#[test]
fn on_a_narrow_terminal_the_summary_has_its_values_below_their_names() {
    let sandbox = Sandbox::new();
    sandbox.plan("steps:\n  - { id: one, shell: { argv: ['false'], changes: none } }\n");
    let mut terminal = sandbox.terminal("plan.yaml", 50, 40);
    assert_eq!(terminal.wait(), 4, "{}", terminal.text());
    let text = terminal.text();
    for part in ["\nSteps\n  1 failed (one)\n", "\nNext\n  runplan resume plan-"] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    let summary = text.split("Parked after").nth(1).unwrap();
    assert!(summary.lines().all(|line| !line.starts_with("          ")), "{text}");
}

#[test]
fn on_a_very_narrow_terminal_no_word_is_broken() {
    let sandbox = Sandbox::new();
    let trouble = "everything immediately considered impossible";
    sandbox.plan(&format!(
        "steps:\n  - {{ id: one, shell: {{ argv: [sh, -c, 'echo {trouble} >&2; exit 1'], changes: none }} }}\n"
    ));
    let mut terminal = sandbox.terminal("plan.yaml", 90, 20);
    assert_eq!(terminal.wait(), 4, "{}", terminal.text());
    let text = terminal.text();
    for word in trouble.split(' ') {
        assert!(
            text.lines().any(|line| line.split(' ').any(|part| part.contains(word))),
            "{word} in\n{text}"
        );
    }
}
