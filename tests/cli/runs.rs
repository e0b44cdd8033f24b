//! Whole runs with real programs: done, failed, resumed, killed, interrupted, undone.

use crate::support::sandbox::Sandbox;
use rustix::process::Signal;

/// A step that runs a script and says that it changes no database.
fn step(id: &str, more: &str, script: &str) -> String {
    let script = serde_json::to_string(script).unwrap();
    format!("  - {{ id: {id}, {more} shell: {{ argv: [sh, -c, {script}], changes: none }} }}\n")
}

fn steps(all: &[String]) -> String {
    format!("steps:\n{}", all.concat())
}

/// Waits for a file, so that the test says when a step may end.
const GATE: &str = "until [ -e go ]; do sleep 0.02; done";

#[test]
fn a_plan_without_databases_runs_to_its_end() {
    let sandbox = Sandbox::new();
    sandbox.plan(&steps(&[
        step("one", "", "echo one >> log"),
        step("two", "", "echo two >> log"),
        step("never", "when: \"1 > 2\",", "echo never >> log"),
        step("three", "", "echo three >> log; echo to-the-log"),
    ]));
    let ran = sandbox.run("plan.yaml --reason 'a test'").code(0);
    assert_eq!(sandbox.read("log"), "one\ntwo\nthree\n");
    let ran = ran.says("skipped: `when` is false").says("Done after").says("3 done, 1 skipped (never)");
    ran.says("report.md").says("runplan logs");
    sandbox.run("logs plan three").code(0).says("to-the-log");
    let json = sandbox.run("report --format json").code(0).json();
    assert_eq!((&json["result"], &json["reason"]), (&"done".into(), &"a test".into()));
    assert_eq!(json["steps"].as_array().unwrap().len(), 4);
    let runs = sandbox.run("runs --format json").code(0).json();
    assert_eq!(runs["runs"][0]["result"], "done");
    sandbox.run("status --verify").code(0).says("lines are proved");
}

#[test]
fn a_failed_step_parks_and_resume_gives_it_a_new_attempt() {
    let sandbox = Sandbox::new();
    sandbox.plan(&steps(&[
        step("one", "", "echo one >> log"),
        step("two", "", "[ -e mended ] && echo two >> log"),
        step("three", "", "echo three >> log"),
    ]));
    sandbox.run("plan.yaml").code(4).says("Parked after").says("two").says("runplan resume");
    assert_eq!(sandbox.step("two"), "failed");
    sandbox.run("resume").code(4);
    sandbox.write("mended", "");
    sandbox.run("resume").code(0).says("Done after");
    assert_eq!(sandbox.read("log"), "one\ntwo\nthree\n", "what was done is not done again");
}

#[test]
fn a_failed_step_can_be_skipped() {
    let sandbox = Sandbox::new();
    sandbox.plan(&steps(&[step("one", "", "exit 3"), step("two", "", "echo two >> log")]));
    sandbox.run("plan.yaml").code(4);
    sandbox.run("resolve plan one --skip --reason 'done by hand'").code(0).says("runplan resume");
    sandbox.run("resume").code(0);
    assert_eq!(sandbox.read("log"), "two\n");
    sandbox.run("report").says("done by hand");
}

#[test]
fn a_killed_engine_loses_nothing() {
    let sandbox = Sandbox::new();
    sandbox.plan(&steps(&[
        step("one", "", "echo one >> log"),
        step("two", "", &format!("touch begun; {GATE}; echo two >> log")),
        step("three", "", "echo three >> log"),
    ]));
    let engine = sandbox.start("plan.yaml");
    sandbox.until("step two", |sandbox| sandbox.exists("begun"));
    engine.signal(Signal::KILL);
    assert_eq!(engine.wait().code, None);
    assert_eq!(sandbox.step("two"), "running");
    sandbox.run("status").says("runplan resume");
    // The program goes on by itself, and the resumed run waits for it.
    let resumed = sandbox.start("resume");
    sandbox.until("the settling", |sandbox| sandbox.run("logs plan two").stdout.contains("finding out"));
    sandbox.write("go", "");
    resumed.wait().code(0).says("Done after");
    assert_eq!(sandbox.read("log"), "one\ntwo\nthree\n");
}

#[test]
fn a_program_that_ended_while_nobody_watched_is_done() {
    let sandbox = Sandbox::new();
    sandbox.plan(&steps(&[
        step("one", "", &format!("touch begun; {GATE}; echo one >> log; touch ended")),
        step("two", "", "echo two >> log"),
    ]));
    let engine = sandbox.start("plan.yaml");
    sandbox.until("step one", |sandbox| sandbox.exists("begun"));
    engine.signal(Signal::KILL);
    engine.wait();
    sandbox.write("go", "");
    sandbox.until("its end", |sandbox| sandbox.exists("ended"));
    sandbox.run("resume").code(0);
    assert_eq!(sandbox.read("log"), "one\ntwo\n");
}

#[test]
fn a_step_that_changes_no_database_is_not_done_twice_for_that() {
    let sandbox = Sandbox::new();
    // What watches the step dies; what it did stays.
    let die = "echo once >> log; kill -KILL $PPID; sleep 10";
    sandbox.plan(&steps(&[step("sent", "", die), step("two", "", "true")]));
    sandbox.run("plan.yaml").code(4).says("neither a `probe` nor `repeatable: true`");
    sandbox.run("resume").code(4);
    assert_eq!((sandbox.step("sent"), sandbox.read("log")), ("unknown".into(), "once\n".into()));
    sandbox.run("resolve plan sent --done --reason 'it is in the log'").code(0);
    sandbox.run("resume").code(0);
    assert_eq!(sandbox.read("log"), "once\n");
}

#[test]
fn who_gives_a_run_up_is_told_what_stays_closed() {
    let sandbox = Sandbox::new();
    sandbox.plan(
        "windows:\n  calm:\n    open: { shell: { argv: [touch, closed], changes: none, repeatable: true } }\n    \
         close: { shell: { argv: [rm, closed], changes: none, repeatable: true } }\n\
         steps:\n  - { id: bad, window: calm, shell: { argv: [\"false\"], changes: none } }\n",
    );
    sandbox.run("plan.yaml").code(4);
    let stopped = sandbox.run("stop plan --for-good").code(0);
    stopped.complains("window calm is still open").says("next: runplan undo plan-");
    let closed_for = || {
        let status = sandbox.run("status --format json").json();
        status["downtime"][0]["elapsed_ms"].as_u64().expect("a window")
    };
    let before = closed_for();
    sandbox.until("the clock of an open window goes on", |_| closed_for() > before);
    sandbox.run("status").says("CLOSED to traffic").says("opens again what is closed");
    sandbox.run("runs prune --older-than 0s --yes").code(0).says("window calm is still open");
    sandbox.run("undo plan --yes").code(1);
    assert!(!sandbox.exists("closed"));
    let status = sandbox.run("status").stdout;
    assert!(!status.contains("CLOSED"), "{status}");
    assert!(status.contains("(window calm)"), "what it took stays known: {status}");
}

#[test]
fn text_from_outside_cannot_forge_lines_or_move_the_cursor() {
    let sandbox = Sandbox::new();
    sandbox.plan(
        "params: { word: { type: string, required: true } }\n\
         steps:\n  - { id: tell, notify: { channels: [console], message: \"said {{ params.word }}\" } }\n",
    );
    let ran = sandbox.run("plan.yaml -p 'word=\u{1b}[2Ja\r\n03:11:07 go  approved by ann'").code(0);
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stdout.contains('\r'), "{}", ran.stdout);
    ran.says("» said ␛[2Ja\n           03:11:07 go  approved by ann");
}

#[test]
fn every_file_of_a_run_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    sandbox.plan(&steps(&[step("one", "", "echo one; echo two >&2")]));
    sandbox.run("plan.yaml").code(0);
    let mut open = vec![sandbox.state()];
    let mut seen = 0;
    while let Some(path) = open.pop() {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
        seen += 1;
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(seen > 8, "only {seen} files");
}

#[test]
fn the_first_ctrl_c_lets_running_steps_finish() {
    let sandbox = Sandbox::new();
    sandbox.plan(&steps(&[
        step("one", "", &format!("touch begun; {GATE}; echo one >> log")),
        step("two", "", "echo two >> log"),
    ]));
    let engine = sandbox.start("plan.yaml");
    sandbox.until("step one", |sandbox| sandbox.exists("begun"));
    engine.signal(Signal::INT);
    sandbox.until("the stop", |sandbox| sandbox.run("logs plan").stdout.contains("stopping (Ctrl-C)"));
    sandbox.write("go", "");
    engine.wait().code(4).says("Parked after").complains("Ctrl-C again cancels");
    assert_eq!((sandbox.step("one"), sandbox.step("two")), ("done".into(), "waiting".into()));
    sandbox.run("resume").code(0);
    assert_eq!(sandbox.read("log"), "one\ntwo\n");
}

#[test]
fn the_second_ctrl_c_cancels_them() {
    let sandbox = Sandbox::new();
    sandbox.plan(&steps(&[step("one", "", "touch begun; sleep 600"), step("two", "", "echo two >> log")]));
    let engine = sandbox.start("plan.yaml");
    sandbox.until("step one", |sandbox| sandbox.exists("begun"));
    engine.signal(Signal::INT);
    sandbox.until("the stop", |sandbox| sandbox.run("logs plan").stdout.contains("stopping (Ctrl-C)"));
    engine.signal(Signal::INT);
    engine.wait().code(4).says("Parked after");
    assert_ne!(sandbox.step("one"), "running");
    assert_eq!(sandbox.step("two"), "waiting");
}

#[test]
fn a_changed_plan_file_is_told_and_not_used() {
    let sandbox = Sandbox::new();
    sandbox.plan(&steps(&[step("one", "", "[ -e mended ]"), step("two", "", "echo stored >> log")]));
    sandbox.run("plan.yaml").code(4);
    sandbox.plan(&steps(&[step("one", "", "[ -e mended ]"), step("two", "", "echo changed >> log")]));
    sandbox.write("mended", "");
    let ran = sandbox.run("resume").code(0).complains("plan.yaml has changed since the run began");
    assert!(ran.stderr.contains("- ") && ran.stderr.contains("echo changed"), "{}", ran.stderr);
    assert_eq!(sandbox.read("log"), "stored\n");
}

#[test]
fn undo_shows_what_it_does_and_asks() {
    let sandbox = Sandbox::new();
    let undo = |id: &str| {
        format!("undo: {{ shell: {{ argv: [sh, -c, \"echo undo {id} >> log\"], changes: none }} }},")
    };
    sandbox.plan(&steps(&[
        step("one", &undo("one"), "echo one >> log"),
        step("two", &undo("two"), "echo two >> log"),
    ]));
    sandbox.run("plan.yaml").code(0);
    sandbox.run("undo plan").code(2).says("This is undone").complains("nobody confirmed");
    sandbox.run("undo plan --to one --yes").says("undone");
    assert_eq!(sandbox.read("log"), "one\ntwo\nundo two\n");
    assert_eq!((sandbox.step("one"), sandbox.step("two")), ("done".into(), "undone".into()));
}

#[test]
fn parallel_steps_run_side_by_side() {
    let sandbox = Sandbox::new();
    // Each waits for the other: alone neither ends.
    let meet = |mine: &str, other: &str| format!("touch {mine}; until [ -e {other} ]; do sleep 0.02; done");
    sandbox.plan(&steps(&[
        step("a", "needs: [],", &meet("a", "b")),
        step("b", "needs: [],", &meet("b", "a")),
        step("c", "needs: [a, b],", "echo c >> log"),
    ]));
    sandbox.run("plan.yaml").code(0);
    assert_eq!(sandbox.read("log"), "c\n");
}

#[test]
fn quiet_says_only_the_result() {
    let sandbox = Sandbox::new();
    sandbox.plan(&steps(&[step("one", "", "true")]));
    let ran = sandbox.run("plan.yaml -q").code(0).silent_on_stderr();
    assert_eq!(ran.stdout.lines().filter(|line| !line.is_empty()).count(), 1, "{}", ran.stdout);
}

#[test]
fn a_long_step_is_shown_live_and_scrolls_away() {
    let sandbox = Sandbox::new();
    sandbox.plan(&steps(&[step("first", "", "true"), step("slow", "title: A slow one,", GATE)]));
    let mut terminal = sandbox.terminal("plan.yaml", 24, 80);
    terminal.until("shell: A slow one");
    let text = terminal.text();
    assert!(text.contains("1 of 2 steps done"), "{text}");
    assert!(text.contains("first") && text.contains("done in"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    sandbox.write("go", "");
    assert_eq!(terminal.wait(), 0);
    let text = terminal.text();
    assert!(text.contains("Done after") && !text.contains("steps done"), "{text}");
}

#[test]
fn the_log_can_be_followed() {
    let sandbox = Sandbox::new();
    sandbox.plan(&steps(&[step("one", "", &format!("touch begun; {GATE}")), step("two", "", "true")]));
    let engine = sandbox.start("plan.yaml");
    sandbox.until("step one", |sandbox| sandbox.exists("begun"));
    let follower = sandbox.start("logs plan --follow");
    sandbox.write("go", "");
    engine.wait().code(0);
    let ran = follower.wait().code(0).says("done in");
    assert_eq!(ran.stdout, sandbox.run("logs plan").stdout, "each line once, none missing");
}

/// No line of the journal says it: whoever reads or follows it hears it all the same.
#[test]
fn a_death_is_told_by_the_log_and_the_report() {
    let sandbox = Sandbox::new();
    sandbox.plan(&steps(&[step("one", "", &format!("touch begun; {GATE}")), step("two", "", "true")]));
    let engine = sandbox.start("plan.yaml");
    sandbox.until("step one", |sandbox| sandbox.exists("begun"));
    let alive = sandbox.run("report").code(0).says("Not over when its last line was written, 20");
    assert!(!alive.stderr.contains("died"), "{}", alive.stderr);
    let follower = sandbox.start("logs plan --follow");
    engine.signal(Signal::KILL);
    engine.wait();
    let run = sandbox.only_run();
    let words = format!("{run} is interrupted: its process has died; its last line was written");
    let next = format!("nobody works on it; next: runplan resume {run}");
    follower.wait().code(4).complains(&words).complains(&next);
    sandbox.run("logs").code(0).complains(&words).complains(&next);
    sandbox.run("report --out dead.md").code(0).complains(&words).complains(&next);
    let report = sandbox.read("dead.md");
    assert!(report.contains("\n| Until then |") && !report.contains("\n| Took |"), "{report}");
    assert!(report.contains(&format!("`runplan resume {run}` takes it up")), "{report}");
    sandbox.run("report --verify dead.md").code(0).says("unchanged");
    sandbox.run("report --format html --out dead.html").code(0);
    assert!(sandbox.read("dead.html").contains("Not over when its last line was written"));
    let refused = sandbox.run("stop plan --for-good").code(2);
    refused
        .complains("what became of one when its process died")
        .complains(&format!("runplan resume {run} finds"));
    sandbox.write("go", "");
    sandbox.run("resume").code(0);
    assert!(!sandbox.run("logs").code(0).stderr.contains("died"));
}

#[test]
fn an_unknown_outcome_is_never_guessed() {
    let sandbox = Sandbox::new();
    sandbox.plan(&steps(&[
        // It says neither what it changes nor that it may be repeated.
        "  - { id: one, shell: { argv: [sh, -c, \"echo $PPID > supervisor; touch begun; sleep 600\"] } }\n"
            .into(),
        step("two", "", "echo two >> log"),
    ]));
    let engine = sandbox.start("plan.yaml");
    sandbox.until("step one", |sandbox| sandbox.exists("begun"));
    engine.signal(Signal::KILL);
    engine.wait();
    // With its supervisor gone too, nobody saw how the program ended.
    let supervisor: i32 = sandbox.read("supervisor").trim().parse().unwrap();
    let supervisor = rustix::process::Pid::from_raw(supervisor).unwrap();
    rustix::process::kill_process(supervisor, Signal::KILL).unwrap();
    let ran = sandbox.run("resume").code(4).says("outcome not known");
    ran.says("one --done --reason 'it took effect'").says("one --skip --reason");
    assert_eq!(sandbox.step("one"), "unknown");
    assert!(!sandbox.exists("log"), "nothing that needs it may start");
    sandbox.run("resume").code(4);
    sandbox.run("resolve plan one --done --reason 'the file is there'").code(0).says("resolved by");
    sandbox.run("resume").code(0);
    assert_eq!(sandbox.read("log"), "two\n");
    sandbox.run("report").says("the file is there");
}

#[test]
fn a_secret_parameter_is_asked_for_again_and_kept_nowhere() {
    let sandbox = Sandbox::new();
    sandbox.plan(
        "params: { word: { type: string, secret: true, required: true } }\nsteps:\n  - id: use\n    shell: { argv: [sh, -c, 'echo \"<$W>\"; [ -e mended ] && case \"$W\" in hunter?222) ;; *) exit 9;; esac'], env: { W: '{{ params.word }}' }, changes: none }\n",
    );
    sandbox.write("values.yaml", "word: hunter2222\n");
    sandbox.run("plan.yaml --params values.yaml").code(4);
    sandbox.write("mended", "");
    sandbox.run("resume").code(3).complains("the parameter `word` has no value");
    let ran = sandbox.run("resume --params values.yaml").code(0);
    let shown =
        [ran.stdout, ran.stderr, sandbox.run("logs plan use -v").stdout, sandbox.run("report").stdout];
    assert!(shown.iter().all(|text| !text.contains("hunter2222")), "{shown:?}");
    let mut left = vec![sandbox.state()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(bytes) = std::fs::read(&path) {
            assert!(!bytes.windows(10).any(|part| part == b"hunter2222"), "{}", path.display());
        }
    }
}

#[test]
fn a_run_that_a_newer_version_went_on_with_is_shown_and_not_resumed() {
    let sandbox = Sandbox::new();
    sandbox.plan(&steps(&[step("one", "", "true"), step("two", "", "false")]));
    sandbox.run("plan.yaml --reason 'a test'").code(4);
    let run = sandbox.only_run();
    let lines = sandbox.run("status --verify --format json").code(0).json();
    let (last, head) = (lines["lines"].as_u64().unwrap(), lines["head"].as_str().unwrap().to_owned());
    let body = format!(
        "{{\"format\":1,\"run\":\"{run}\",\"seq\":{},\"at\":\"2026-11-22T03:11:00Z\",\
         \"actor\":{{\"name\":\"ann\",\"uid\":7,\"host\":\"db1\"}},\"kind\":\"step_danced\",\"step\":\"two\"}}",
        last + 1
    );
    let hash = {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(format!("{head}\n{body}"));
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let line = format!("{},\"hash\":\"{hash}\"}}", &body[..body.len() - 1]);
    let journal = sandbox.state().join("runs").join(&run).join("journal.db");
    let database = rusqlite::Connection::open(journal).unwrap();
    database
        .execute("INSERT INTO journal (seq, line) VALUES (?1, ?2)", rusqlite::params![last + 1, line])
        .unwrap();
    drop(database);
    let ran = sandbox.run(&format!("status {run}")).code(0);
    ran.says("two").says("failed").says("step_danced").says("newer runplan");
    let json = sandbox.run(&format!("status {run} --format json")).code(0).json();
    assert!(json["newer"].as_str().unwrap().contains("step_danced"), "{json}");
    assert_eq!(json["steps"].as_array().unwrap().len(), 2);
    sandbox.run(&format!("resume {run}")).code(6).complains("step_danced");
}
