//! The engine killed, the supervisor killed, both; the machine restarted.

use super::support::{Bench, block, lives, number, sh, supervisor, until};
use runplan::process::{Command, Found};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::Duration;

/// Tells the test binary, started once more, to be an engine: a process directory and a script.
const ENGINE: &str = "RUNPLAN_TEST_ENGINE";

/// Not a test of its own: the engine that the tests below kill.
#[test]
fn engine() {
    let Some(wish) = std::env::var_os(ENGINE) else { return };
    let wish = wish.into_string().unwrap();
    let (directory, script) = wish.split_once('\n').unwrap();
    block(async {
        let mut running = supervisor(Path::new(directory)).start("step.1", &sh(script), None).await.unwrap();
        running.wait().await.unwrap();
    });
}

/// An engine that runs the script.
fn an_engine(bench: &Bench, script: &str) -> std::process::Command {
    #[allow(clippy::disallowed_methods, reason = "the test starts an engine to kill it")]
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "process::crashes::engine"]).stdout(std::process::Stdio::null());
    command.env(ENGINE, format!("{}\n{script}", bench.record("").display()));
    command
}

fn start_engine(bench: &Bench, script: &str) -> std::process::Child {
    an_engine(bench, script).spawn().unwrap()
}

/// From now on the disk of this process and its children keeps nothing: every sync is an I/O error.
#[allow(unsafe_code, reason = "the standard library knows no system call filter")]
fn break_the_disk() -> std::io::Result<()> {
    let op = |code: u32, k: u32, jt: u8| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    let is = |number: i64, skip: u8| op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number as u32, skip);
    let fails = libc::SECCOMP_RET_ERRNO | libc::EIO as u32;
    let mut filter = [
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        is(libc::SYS_fsync, 2),
        is(libc::SYS_fdatasync, 1),
        op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
        op(libc::BPF_RET | libc::BPF_K, fails, 0),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the filter lives until the kernel has copied it; both calls take no other memory.
    let set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    if set { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[test]
#[allow(unsafe_code, reason = "the filter is set between fork and exec")]
fn nothing_is_started_whose_record_the_disk_does_not_keep() {
    use std::os::unix::process::CommandExt;
    let bench = Bench::new();
    // The boot was noted while the disk was well.
    std::fs::create_dir(bench.record("")).unwrap();
    std::fs::write(bench.record("boots"), format!("{}\n", runplan::process::boot_id())).unwrap();
    let mark = bench.path("mark");
    let mut engine = an_engine(&bench, &format!("echo ran >> {}", mark.display()));
    // SAFETY: only two system calls are made there.
    let refused =
        unsafe { engine.pre_exec(break_the_disk) }.stdout(std::process::Stdio::piped()).output().unwrap();
    let said = format!("{refused:?}");
    assert!(said.contains("NotStarted") && said.contains("could not be recorded"), "{said}");
    assert!(!mark.exists(), "it was not started");
    // What nobody has started may be started.
    block(async {
        assert!(matches!(bench.supervisor.find("step.1").await.unwrap(), Found::Nothing));
    });
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    until("it is gone", || !lives(pid));
}

fn supervisor_pid(bench: &Bench) -> i32 {
    let record = std::fs::read_to_string(bench.record("step.1.jsonl")).unwrap();
    let record: serde_json::Value = serde_json::from_str(record.lines().next().unwrap()).unwrap();
    record["session"].as_i64().unwrap() as i32
}

/// Writes its process id, waits for a file, then ends.
fn patient(bench: &Bench) -> String {
    let (pid, go) = (bench.path("pid"), bench.path("go"));
    format!(
        "echo before; echo $$ > {}; until [ -e {} ]; do sleep 0.01; done; echo after; exit 6",
        pid.display(),
        go.display()
    )
}

fn kill_engine_amid(bench: &Bench, script: &str) -> i32 {
    let mut engine = start_engine(bench, script);
    let pid = number(&bench.path("pid"));
    engine.kill().unwrap();
    engine.wait().unwrap();
    assert!(lives(pid), "the program goes on");
    pid
}

#[test]
fn the_program_outlives_its_engine_and_two_others_see_its_end() {
    let bench = Bench::new();
    let pid = kill_engine_amid(&bench, &patient(&bench));
    block(async {
        let other = supervisor(&bench.record(""));
        let Found::Running(mut first) = bench.supervisor.find("step.1").await.unwrap() else {
            panic!("it runs")
        };
        let Found::Running(mut second) = other.find("step.1").await.unwrap() else { panic!("it runs") };
        assert_eq!((first.pid(), second.pid()), (Some(pid), Some(pid)));
        // The same supervisor takes new work from both.
        for (number, engine) in [&bench.supervisor, &other].into_iter().enumerate() {
            let mut new = engine.start(&format!("new{number}"), &sh("echo $PPID"), None).await.unwrap();
            assert_eq!(new.wait().await.unwrap().stdout.text(), format!("{}\n", supervisor_pid(&bench)));
        }
        std::fs::write(bench.path("go"), "").unwrap();
        for exit in [first.wait().await.unwrap(), second.wait().await.unwrap()] {
            assert_eq!((exit.code, exit.stdout.text().as_str()), (Some(6), "before\nafter\n"));
        }
    });
}

#[test]
fn an_end_that_no_engine_saw_is_found_and_the_supervisor_is_gone() {
    let bench = Bench::new();
    kill_engine_amid(&bench, &patient(&bench));
    let watcher = supervisor_pid(&bench);
    std::fs::write(bench.path("go"), "").unwrap();
    until("nobody is left", || !lives(watcher));
    block(async {
        let Found::Exited(exit) = bench.supervisor.find("step.1").await.unwrap() else {
            panic!("it has ended")
        };
        assert_eq!((exit.code, exit.stdout.text().as_str()), (Some(6), "before\nafter\n"));
        assert!(!bench.supervisor.end_orphans("step.1").await.unwrap());
        assert!(matches!(bench.supervisor.find("step.2").await.unwrap(), Found::Nothing));
        // Work goes on under a new supervisor.
        let mut next = bench.supervisor.start("step.2", &sh("exit 2"), None).await.unwrap();
        assert_eq!(next.wait().await.unwrap().code, Some(2));
    });
}

#[test]
fn an_attempt_of_a_dead_engine_can_be_ended() {
    let bench = Bench::new();
    let pid = kill_engine_amid(&bench, &patient(&bench));
    block(async {
        assert!(bench.supervisor.end_orphans("step.1").await.unwrap());
        assert!(!lives(pid));
        let Found::Exited(exit) = bench.supervisor.find("step.1").await.unwrap() else {
            panic!("it has ended")
        };
        assert!(exit.cancelled);
    });
}

#[test]
fn when_the_supervisor_dies_too_the_orphans_are_found_and_ended() {
    let bench = Bench::new();
    let (pid, far) = (bench.path("pid"), bench.path("far"));
    let script = format!(
        "setsid bash -c 'echo $$ > {}; exec sleep 1000' & sleep 1000 & echo $$ > {}; wait",
        far.display(),
        pid.display()
    );
    let leader = kill_engine_amid(&bench, &script);
    let far = number(&far);
    kill(supervisor_pid(&bench));
    block(async {
        let found = bench.supervisor.find("step.1").await.unwrap();
        let Found::Orphaned { pgid, evidence } = found else { panic!("{found:?}") };
        assert_eq!(pgid, Some(leader));
        assert!(
            evidence.contains(&format!("sleep (pid {far})")) && evidence.contains("is gone"),
            "{evidence}"
        );
        assert!(bench.supervisor.end_orphans("step.1").await.unwrap());
        assert!(!lives(leader) && !lives(far));
        assert!(!bench.supervisor.end_orphans("step.1").await.unwrap(), "nothing is left");
        let found = bench.supervisor.find("step.1").await.unwrap();
        let Found::Lost { evidence } = found else { panic!("{found:?}") };
        assert!(evidence.contains("no exit was recorded"), "{evidence}");
        let error = bench.supervisor.start("step.1", &sh("true"), None).await.unwrap_err();
        assert!(error.to_string().contains("started before"), "never twice under one key");
    });
}

#[test]
fn a_live_engine_learns_of_its_supervisors_death_and_goes_on() {
    let bench = Bench::new();
    block(async {
        let mut running = bench.supervisor.start("step.1", &sh("exec sleep 1000"), None).await.unwrap();
        let pid = running.pid().unwrap();
        kill(supervisor_pid(&bench));
        let error = running.wait().await.unwrap_err();
        assert!(error.to_string().contains("the supervisor died"), "{error}");
        assert!(matches!(bench.supervisor.find("step.1").await.unwrap(), Found::Orphaned { .. }));
        bench.supervisor.end_orphans("step.1").await.unwrap();
        assert!(!lives(pid));
        let mut next = bench.supervisor.start("step.2", &sh("exit 2"), None).await.unwrap();
        assert_eq!(next.wait().await.unwrap().code, Some(2));
    });
}

#[test]
fn another_process_with_the_same_number_is_left_alone() {
    let bench = Bench::new();
    block(async {
        let mut stranger = bench.supervisor.start("stranger", &sh("exec sleep 1000"), None).await.unwrap();
        let pid = stranger.pid().unwrap();
        bench.sh("true").await;
        // As if the attempt had had that number before, and the supervisor had died.
        let record = bench.record("step.1.jsonl");
        let text = std::fs::read_to_string(&record).unwrap();
        let first = text.lines().next().unwrap();
        std::fs::write(&record, format!("{first}\n{{\"pgid\":{pid},\"start_time\":1}}\n")).unwrap();
        assert!(!bench.supervisor.end_orphans("step.1").await.unwrap());
        assert!(lives(pid));
        assert!(matches!(bench.supervisor.find("step.1").await.unwrap(), Found::Lost { .. }));
        stranger.cancel(Duration::from_secs(1)).await.unwrap();
        assert_eq!(stranger.wait().await.unwrap().signal, Some(15));
    });
}

/// Makes the record one of another boot.
fn reboot(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let boot = runplan::process::boot_id();
    assert!(text.contains(boot), "{text}");
    std::fs::write(path, text.replace(boot, "00000000-0000-4000-8000-000000000000")).unwrap();
}

#[test]
fn after_a_reboot_nothing_is_taken_for_granted() {
    let bench = Bench::new();
    block(async {
        bench.sh("true").await;
        let record = bench.record("step.1.jsonl");
        reboot(&record);
        let found = bench.supervisor.find("step.1").await.unwrap();
        let Found::Lost { evidence } = found else { panic!("{found:?}") };
        assert!(evidence.contains("restarted"), "{evidence}");
        let text = std::fs::read_to_string(&record).unwrap();
        let begun: Vec<&str> = text.lines().take(2).collect();
        std::fs::write(&record, format!("{}\n", begun.join("\n"))).unwrap();
        assert!(matches!(bench.supervisor.find("step.1").await.unwrap(), Found::Lost { .. }));
        assert!(!bench.supervisor.end_orphans("step.1").await.unwrap());
        // Even the absence of a record proves nothing then.
        assert!(matches!(bench.supervisor.find("step.2").await.unwrap(), Found::Nothing));
        reboot(&bench.record("boots"));
        assert!(matches!(bench.supervisor.find("step.2").await.unwrap(), Found::Lost { .. }));
    });
}

#[test]
fn a_supervisor_that_died_between_its_two_lines_leaves_doubt() {
    let bench = Bench::new();
    block(async {
        bench.sh("true").await;
        let record = bench.record("step.1.jsonl");
        let text = std::fs::read_to_string(&record).unwrap();
        std::fs::write(&record, format!("{}\n", text.lines().next().unwrap())).unwrap();
        let found = bench.supervisor.find("step.1").await.unwrap();
        let Found::Lost { evidence } = found else { panic!("{found:?}") };
        assert!(evidence.contains("whether the program ran is not known"), "{evidence}");
        // With the lock held, something lives.
        let lock = std::fs::File::open(&record).unwrap();
        lock.lock().unwrap();
        let found = bench.supervisor.find("step.1").await.unwrap();
        assert!(matches!(found, Found::Orphaned { pgid: None, .. }), "{found:?}");
    });
}

#[test]
fn signals_of_a_terminal_do_not_end_the_supervisor() {
    let bench = Bench::new();
    block(async {
        let mut running = bench.supervisor.start("step.1", &sh(&patient(&bench)), None).await.unwrap();
        number(&bench.path("pid"));
        let watcher = Pid::from_raw(supervisor_pid(&bench)).unwrap();
        for signal in [Signal::INT, Signal::HUP, Signal::TERM] {
            kill_process(watcher, signal).unwrap();
        }
        // And the program has the usual answer to them, not the supervisor's.
        let mut other = bench.supervisor.start("step.2", &sh("kill -HUP $$; sleep 1"), None).await.unwrap();
        assert_eq!(other.wait().await.unwrap().signal, Some(1));
        std::fs::write(bench.path("go"), "").unwrap();
        assert_eq!(running.wait().await.unwrap().code, Some(6));
    });
}

#[test]
fn a_long_path_is_no_obstacle() {
    let bench = Bench::new();
    let deep = bench.path(&format!("{0}/{0}/{0}", "long".repeat(50)));
    block(async {
        let first = supervisor(&deep);
        let command = Command::new(["sleep", "0.2"]);
        let _running = first.start("step.1", &command, None).await.unwrap();
        let Found::Running(mut again) = supervisor(&deep).find("step.1").await.unwrap() else {
            panic!("it runs")
        };
        assert!(again.wait().await.unwrap().success());
    });
}
