//! Every way in which a run is told to stop: what runs ends or is cancelled, nothing new begins, the run parks and goes
//! on where it was; never is a step done twice, and nothing is left running.
#![allow(clippy::disallowed_methods, reason = "a login session that can be lost is started here")]

use crate::support::sandbox::{Sandbox, processes};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Command, Stdio};

/// Waits for a file, so that the test says when a step may end.
const GATE: &str = "touch begun; until [ -e go ]; do sleep 0.02; done; echo one >> log";

fn step(id: &str, script: &str) -> String {
    let script = serde_json::to_string(script).unwrap();
    format!("  - {{ id: {id}, shell: {{ argv: [sh, -c, {script}], changes: none }} }}\n")
}

/// Two steps of which the first runs until it is let go on.
fn gated(head: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.plan(&format!("{head}steps:\n{}{}", step("one", GATE), step("two", "echo two >> log")));
    sandbox
}

/// Two steps of which the first would run for ten minutes, with a child of its own.
fn endless() -> Sandbox {
    let sandbox = Sandbox::new();
    let script = "touch begun; sleep 600 & wait";
    sandbox.plan(&format!("steps:\n{}{}", step("one", script), step("two", "echo two >> log")));
    sandbox
}

fn begun(sandbox: &Sandbox) {
    sandbox.until("step one", |sandbox| sandbox.exists("begun"));
}

fn logged(sandbox: &Sandbox, words: &str) {
    sandbox.until(words, |sandbox| sandbox.run("logs plan").stdout.contains(words));
}

fn nothing_is_left(sandbox: &Sandbox) {
    sandbox.until("nothing of it runs", |sandbox| processes(sandbox).is_empty());
}

/// It was stopped softly: the step that ran is done, the next was not begun, and the rest follows once.
#[track_caller]
fn goes_on(sandbox: &Sandbox) {
    nothing_is_left(sandbox);
    assert_eq!((sandbox.step("one"), sandbox.step("two")), ("done".into(), "waiting".into()));
    assert_eq!(sandbox.read("log"), "one\n");
    sandbox.run("resume").code(0).says("Done after");
    assert_eq!(sandbox.read("log"), "one\ntwo\n");
    sandbox.run("status --verify").code(0);
}

/// It was stopped at once: what was cancelled is not taken for done, and nothing of it goes on.
#[track_caller]
fn was_cancelled(sandbox: &Sandbox) {
    nothing_is_left(sandbox);
    assert!(["failed", "unknown"].contains(&sandbox.step("one").as_str()), "{}", sandbox.step("one"));
    assert_eq!((sandbox.step("two"), sandbox.read("log")), ("waiting".into(), String::new()));
}

#[test]
fn ctrl_c_at_a_terminal_lets_what_runs_finish() {
    let sandbox = gated("");
    let mut terminal = sandbox.terminal("plan.yaml", 40, 100);
    begun(&sandbox);
    terminal.press("\u{3}");
    terminal.until("Ctrl-C again cancels");
    logged(&sandbox, "stopping (Ctrl-C)");
    sandbox.write("go", "");
    assert_eq!(terminal.wait(), 4, "{}", terminal.text());
    assert!(terminal.text().contains("runplan resume"), "{}", terminal.text());
    goes_on(&sandbox);
}

#[test]
fn ctrl_c_twice_at_a_terminal_cancels_what_runs() {
    let sandbox = endless();
    let mut terminal = sandbox.terminal("plan.yaml", 40, 100);
    begun(&sandbox);
    terminal.press("\u{3}");
    terminal.until("next: Ctrl-C again cancels what runs");
    terminal.press("\u{3}");
    assert_eq!(terminal.wait(), 4, "{}", terminal.text());
    was_cancelled(&sandbox);
}

#[test]
fn sigterm_is_as_one_ctrl_c_however_often_it_comes() {
    let sandbox = gated("");
    let engine = sandbox.start("plan.yaml");
    begun(&sandbox);
    for _ in 0..3 {
        engine.signal(Signal::TERM);
    }
    logged(&sandbox, "stopping (SIGTERM)");
    sandbox.write("go", "");
    engine.wait().code(4).says("Parked after");
    goes_on(&sandbox);
}

/// A login session on a terminal of its own, as sshd makes one.
fn session(sandbox: &Sandbox, line: &str) -> Child {
    let mut command = Command::new("script");
    sandbox.surround(&mut command);
    command.env("TERM", "xterm-256color").current_dir(sandbox.path(""));
    let line = line.replace("runplan", crate::support::cluster::RUNPLAN);
    command.args(["--quiet", "--flush", "--command", &line, "/dev/null"]).stdin(Stdio::piped());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_lost_login_session_parks_the_run_when_its_step_has_finished() {
    let sandbox = gated("");
    let mut session = session(&sandbox, "exec runplan plan.yaml");
    begun(&sandbox);
    // The terminal is gone from here on: nothing can be read or written.
    kill_process(Pid::from_child(&session), Signal::KILL).unwrap();
    session.wait().unwrap();
    logged(&sandbox, "stopping (SIGHUP)");
    assert_eq!(sandbox.step("one"), "running", "a lost session cancels nothing");
    sandbox.write("go", "");
    goes_on(&sandbox);
}

#[test]
fn a_login_session_lost_at_a_question_answers_nothing() {
    let sandbox = Sandbox::new();
    sandbox.plan("steps:\n  - { id: one, approve: { message: \"Begin?\" } }\n");
    let mut session = session(&sandbox, "exec runplan plan.yaml");
    sandbox.until("the question", |sandbox| {
        sandbox.exists("runplan/runs") && sandbox.run("status plan --format json").stdout.contains("awaiting")
    });
    kill_process(Pid::from_child(&session), Signal::KILL).unwrap();
    session.wait().unwrap();
    nothing_is_left(&sandbox);
    assert_eq!(sandbox.step("one"), "awaiting_approval");
    sandbox.run("approve plan one").code(0);
    sandbox.run("resume").code(0);
}

#[test]
fn a_terminal_that_a_kill_left_without_an_echo_has_it_again_with_the_next_command() {
    let sandbox = Sandbox::new();
    sandbox.plan("steps:\n  - { id: one, approve: { message: \"Begin?\" } }\n");
    let line = "runplan plan.yaml; stty -a > before; runplan runs 2> said; stty -a > after; runplan runs 2> again; \
                touch over";
    let mut session = session(&sandbox, line);
    sandbox.until("the question", |sandbox| {
        sandbox.exists("runplan/runs") && sandbox.run("status plan --format json").stdout.contains("awaiting")
    });
    let held = sandbox.run("status plan --format json").json()["held_by"].as_str().unwrap().to_owned();
    let pid = held.split(' ').nth(1).unwrap().parse().unwrap();
    // The echo goes when the question stands there, which no line of the journal says.
    let stat = || std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/stat")).unwrap_or_default();
    sandbox.until("the run waits on its terminal", |_| is_raw(&stat()));
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    sandbox.until("the commands after it", |sandbox| sandbox.exists("over"));
    session.wait().unwrap();
    for word in ["-echo ", "-icanon "] {
        assert!(sandbox.read("before").contains(word), "{}", sandbox.read("before"));
        assert!(!sandbox.read("after").contains(word), "{}", sandbox.read("after"));
    }
    assert!(
        sandbox.read("said").contains("had left this terminal without an echo"),
        "{}",
        sandbox.read("said")
    );
    assert_eq!(sandbox.read("again"), "");
    sandbox.run("approve plan one").code(0);
    sandbox.run("resume").code(0);
}

/// Whether the terminal of a process, given its `stat`, gives key by key.
fn is_raw(stat: &str) -> bool {
    let number: u32 =
        stat.rsplit(')').next().and_then(|rest| rest.split(' ').nth(5)?.parse().ok()).unwrap_or_default();
    let minor = (number & 0xff) | ((number >> 12) & 0xfff00);
    let terminal = std::fs::File::open(format!("/dev/pts/{minor}"));
    let modes = terminal.ok().and_then(|terminal| rustix::termios::tcgetattr(&terminal).ok());
    modes.is_some_and(|modes| !modes.local_modes.contains(rustix::termios::LocalModes::ICANON))
}

#[test]
fn stop_from_elsewhere_lets_what_runs_finish() {
    let sandbox = gated("");
    let engine = sandbox.start("plan.yaml");
    begun(&sandbox);
    sandbox.run("stop plan --reason lunch").code(0).says("stopping (lunch)");
    // Said twice, it is no more than said once.
    sandbox.run("stop plan --reason lunch").code(0);
    assert_eq!(sandbox.step("one"), "running");
    sandbox.write("go", "");
    engine.wait().code(4).says("lunch");
    goes_on(&sandbox);
}

#[test]
fn stop_now_from_elsewhere_cancels_what_runs() {
    let sandbox = endless();
    let engine = sandbox.start("plan.yaml");
    begun(&sandbox);
    sandbox.run("stop plan").code(0);
    sandbox.run("stop plan --now --reason fire").code(0).says("fire");
    engine.wait().code(4).says("fire");
    was_cancelled(&sandbox);
}

#[test]
fn a_deadline_that_is_reached_begins_nothing_new() {
    let sandbox = gated("limits: { deadline: 1s }\n");
    let engine = sandbox.start("plan.yaml");
    begun(&sandbox);
    logged(&sandbox, "the deadline of 1s has passed");
    assert_eq!(sandbox.step("one"), "running", "what runs may finish");
    sandbox.write("go", "");
    engine.wait().code(4).says("the deadline of 1s has passed");
    goes_on(&sandbox);
}
