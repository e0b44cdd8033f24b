//! Records that are torn, damaged, of another boot, or name a process that is another one now: what became of the program
//! is not known then, with the evidence; it is never taken for done, and nobody else's process is touched.

use super::support::{Bench, block, lives};
use crate::support::sandbox::{Sandbox, processes};
use runplan::process::Found;
use rustix::process::Signal;
use std::path::{Path, PathBuf};

const OTHER_BOOT: &str = "00000000-0000-4000-8000-000000000000";

#[test]
fn a_record_cut_anywhere_never_tells_an_exit() {
    let bench = Bench::new();
    block(async {
        bench.sh("exit 0").await;
        let record = bench.record("step.1.jsonl");
        let text = std::fs::read(&record).unwrap();
        let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
        let edges: Vec<usize> = ends.flat_map(|end| [end.saturating_sub(1), end, end + 1]).collect();
        let known = ["is damaged", "whether the program ran is not known", "no exit was recorded"];
        let mut seen = [0; 3];
        for end in (0..text.len()).filter(|end| end % 9 == 0 || edges.contains(end)) {
            std::fs::write(&record, &text[..end]).unwrap();
            let found = bench.supervisor.find("step.1").await.unwrap();
            let Found::Lost { evidence } = &found else { panic!("{end} bytes: {found:?}") };
            let which = known.iter().position(|known| evidence.contains(known));
            seen[which.unwrap_or_else(|| panic!("{end} bytes: {evidence}"))] += 1;
            assert!(!bench.supervisor.end_orphans("step.1").await.unwrap(), "there is nothing to end");
        }
        assert!(seen.iter().all(|count| *count > 2), "{seen:?}");
        std::fs::write(&record, &text).unwrap();
        let found = bench.supervisor.find("step.1").await.unwrap();
        assert!(matches!(&found, Found::Exited(exit) if exit.code == Some(0)), "{found:?}");
    });
}

#[test]
fn a_damaged_record_that_somebody_holds_is_not_taken_for_ended() {
    let bench = Bench::new();
    block(async {
        bench.sh("true").await;
        let record = bench.record("step.1.jsonl");
        for damaged in ["", "{\"format\":1,\"ke"] {
            std::fs::write(&record, damaged).unwrap();
            // As a program of the attempt would.
            let lock = std::fs::File::open(&record).unwrap();
            lock.lock().unwrap();
            let found = bench.supervisor.find("step.1").await.unwrap();
            let Found::Orphaned { pgid: None, evidence } = &found else { panic!("{found:?}") };
            assert!(evidence.contains("is damaged") && evidence.contains("lock is held"), "{evidence}");
            let error = bench.supervisor.end_orphans("step.1").await.unwrap_err();
            assert!(error.to_string().contains("lock is held"), "{error}");
        }
    });
}

/// A run whose engine was killed amid its first step, whose program then ended unseen; and the step's record.
fn ended_unseen() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let script = "echo once >> log; touch begun; until [ -e go ]; do sleep 0.02; done";
    sandbox.plan(&format!(
        "steps:\n  - {{ id: one, shell: {{ argv: [sh, -c, \"{script}\"], changes: none }} }}\n  \
         - {{ id: two, shell: {{ argv: [sh, -c, \"echo two >> log\"], changes: none }} }}\n"
    ));
    let engine = sandbox.start("plan.yaml");
    sandbox.until("step one", |sandbox| sandbox.exists("begun"));
    engine.signal(Signal::KILL);
    engine.wait();
    sandbox.write("go", "");
    sandbox.until("its end", |sandbox| processes(sandbox).is_empty());
    let directory = sandbox.state().join("runs").join(sandbox.only_run()).join("process");
    let files = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let mut records = files.filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
    let record = records.next().expect("a record");
    assert!(records.next().is_none());
    (sandbox, record)
}

fn line(text: &str, number: usize) -> String {
    text.split_inclusive('\n').take(number).collect()
}

/// The record is damaged; then the run asks, tells that, and does nothing by itself.
fn is_asked(evidence: &str, damage: impl Fn(&Path, &str)) {
    let (sandbox, record) = ended_unseen();
    let text = std::fs::read_to_string(&record).unwrap();
    assert!(text.contains("finished_at"), "{text}");
    damage(&record, &text);
    for _ in 0..2 {
        sandbox.run("resume").code(4).says("outcome not known").says("one --done --reason 'it took effect'");
        assert_eq!((sandbox.step("one"), sandbox.step("two")), ("unknown".into(), "waiting".into()));
        assert_eq!(sandbox.read("log"), "once\n");
    }
    let status = sandbox.run("status --format json").code(0).json();
    assert!(status["steps"][0]["evidence"].to_string().contains(evidence), "{evidence}: {status}");
    sandbox.run("resolve plan one --done --reason 'it is in the log'").code(0);
    sandbox.run("resume").code(0);
    assert_eq!(sandbox.read("log"), "once\ntwo\n");
}

#[test]
fn a_torn_last_line_is_no_exit() {
    is_asked("no exit was recorded", |record, text| {
        std::fs::write(record, &text[..text.len() - 7]).unwrap();
    });
}

#[test]
fn half_a_record_is_no_exit() {
    is_asked("whether the program ran is not known", |record, text| {
        std::fs::write(record, line(text, 1)).unwrap();
    });
    is_asked("is damaged", |record, text| std::fs::write(record, &text[..20]).unwrap());
    is_asked("is damaged", |record, _| std::fs::write(record, "").unwrap());
}

#[test]
fn a_record_that_is_no_text_is_no_exit() {
    is_asked("cannot be read", |record, text| {
        let mut bytes = text.as_bytes().to_vec();
        let at = bytes.len() / 2;
        bytes[at] = 0xff;
        std::fs::write(record, bytes).unwrap();
    });
}

#[test]
fn an_exit_of_another_boot_is_not_trusted() {
    let boot = runplan::process::boot_id();
    is_asked("was restarted", |record, text| {
        std::fs::write(record, text.replace(boot, OTHER_BOOT)).unwrap();
    });
    // On another machine nothing was restarted, and the program may still run where it was started.
    is_asked(
        "it was started on elsewhere, and nobody here can see whether it still runs there",
        |record, text| {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            let moved = text
                .replace(boot, OTHER_BOOT)
                .replace(&format!("\"host\":\"{host}\""), "\"host\":\"elsewhere\"");
            std::fs::write(record, moved).unwrap();
        },
    );
    is_asked("it was started on elsewhere", |record, _| {
        std::fs::remove_file(record).unwrap();
        std::fs::write(record.with_file_name("boots"), format!("{OTHER_BOOT} elsewhere\n")).unwrap();
    });
    // Nor is it when the record itself did not reach the disk.
    is_asked("may not have reached the disk", |record, _| {
        std::fs::remove_file(record).unwrap();
        std::fs::write(record.with_file_name("boots"), format!("{OTHER_BOOT}\n")).unwrap();
    });
}

#[test]
fn a_process_that_has_the_number_now_is_neither_waited_for_nor_ended() {
    #[allow(clippy::disallowed_methods, reason = "a process of somebody else")]
    let mut stranger = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = i32::try_from(stranger.id()).unwrap();
    is_asked("no exit was recorded", |record, text| {
        let begun = line(text, 1);
        std::fs::write(record, format!("{begun}{{\"pgid\":{pid},\"start_time\":1}}\n")).unwrap();
    });
    assert!(lives(pid), "it is somebody else's");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}
