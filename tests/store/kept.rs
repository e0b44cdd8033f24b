//! Journals that earlier versions wrote (`journals/format-1`: one parked, one whose process was killed, one undone): the
//! program of today reads them, proves them, and goes on with them. When the format changes, one more is kept here.

use crate::support::sandbox::Sandbox;
use std::path::{Path, PathBuf};

/// What is done to a line.
type Change = fn(&str) -> String;

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/journals/format-1").join(name)
}

/// The state of a user who has that run, and its id. Its steps write to the file `marks`.
fn sandbox(name: &str) -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let marks = sandbox.path("marks").display().to_string();
    let sandbox = sandbox.variable("MARKS", &marks);
    let run = std::fs::read_to_string(kept(name).join("run")).unwrap().trim().to_owned();
    let place = sandbox.state().join("runs").join(&run);
    std::fs::create_dir_all(&place).unwrap();
    for directory in [sandbox.state(), sandbox.state().join("runs"), place.clone()] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    for entry in std::fs::read_dir(kept(name)).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "run" {
            std::fs::copy(entry.path(), place.join(entry.file_name())).unwrap();
        }
    }
    (sandbox, run)
}

#[test]
fn every_kept_journal_is_read_and_proved() {
    for (name, phase, result) in
        [("parked", "forward", None), ("killed", "forward", None), ("undone", "finished", Some("undone"))]
    {
        let (sandbox, run) = sandbox(name);
        let status = sandbox.run(&format!("status {run} --format json")).code(0).json();
        assert_eq!((status["phase"].as_str(), status["result"].as_str()), (Some(phase), result), "{name}");
        sandbox.run(&format!("status {run} --verify")).code(0);
        sandbox.run("runs").code(0);
        sandbox.run(&format!("report {run} --format json")).code(0);
        sandbox.run(&format!("logs {run}")).code(0);
        assert_eq!(sandbox.read("marks"), "", "{name}: looking does nothing");
    }
}

#[test]
fn a_parked_run_of_an_earlier_version_goes_on() {
    let (sandbox, run) = sandbox("parked");
    sandbox.run(&format!("approve {run} asked")).code(0);
    sandbox.run(&format!("resume {run}")).code(0);
    assert_eq!(sandbox.read("marks"), "three\n");
    sandbox.run(&format!("status {run} --verify")).code(0);
    sandbox.run(&format!("undo {run} --yes --reason wrong")).code(1);
    assert_eq!(sandbox.read("marks"), "three\nnot three\nnot two\nnot one\n");
}

#[test]
fn a_killed_run_of_an_earlier_version_goes_on() {
    let (sandbox, run) = sandbox("killed");
    // Step `one` is done and stays done; what became of `two` is asked, and it may be repeated.
    sandbox.run(&format!("resume {run}")).code(4);
    assert_eq!(sandbox.read("marks"), "two\ntwo ended\n");
    sandbox.run(&format!("approve {run} asked")).code(0);
    sandbox.run(&format!("resume {run}")).code(0);
    assert_eq!(sandbox.read("marks"), "two\ntwo ended\nthree\n");
    sandbox.run(&format!("status {run} --verify")).code(0);
}

#[test]
fn an_undone_run_of_an_earlier_version_is_over() {
    let (sandbox, run) = sandbox("undone");
    let ran = sandbox.run(&format!("resume {run}"));
    assert_ne!(ran.code, Some(70), "{}", ran.all());
    assert_eq!(sandbox.read("marks"), "");
}

/// One more line, as a later version would write it.
fn add(sandbox: &Sandbox, run: &str, change: impl Fn(&str) -> String) {
    use sha2::Digest;
    let path = sandbox.state().join("runs").join(run).join("journal.db");
    let database = rusqlite::Connection::open(path).unwrap();
    let last = "SELECT seq, line FROM journal ORDER BY seq DESC LIMIT 1";
    let (seq, line): (i64, String) =
        database.query_row(last, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let (body, hash) = line.rsplit_once(",\"hash\":\"").unwrap();
    let hash = hash.trim_end_matches("\"}");
    let mut next: serde_json::Value = serde_json::from_str(&format!("{body}}}")).unwrap();
    next["seq"] = (seq + 1).into();
    let body = change(&next.to_string());
    let digest = sha2::Sha256::digest(format!("{hash}\n{body}"));
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("{},\"hash\":\"{hash}\"}}", &body[..body.len() - 1]);
    let sql = "INSERT INTO journal (seq, line) VALUES (?1, ?2)";
    database.execute(sql, rusqlite::params![seq + 1, line]).unwrap();
}

#[test]
fn what_a_later_version_wrote_is_named_and_not_gone_on_with() {
    let changes: [(&str, Change); 2] = [
        ("danced", |line| line.replace("\"kind\":\"parked\"", "\"kind\":\"danced\"")),
        ("format 2", |line| line.replace("\"format\":1", "\"format\":2")),
    ];
    for (what, change) in changes {
        let (sandbox, run) = sandbox("parked");
        add(&sandbox, &run, |line| {
            let changed = change(line);
            assert_ne!(changed, line, "{what}");
            changed
        });
        let verified = sandbox.run(&format!("status {run} --verify"));
        assert!(verified.code != Some(0) && verified.all().contains(what), "{}", verified.all());
        for command in ["resume", "undo --yes --reason x", "approve"] {
            let step = if command == "approve" { "asked" } else { "" };
            let ran = sandbox.run(&format!("{command} {run} {step}"));
            assert!(!matches!(ran.code, Some(0 | 70)), "{}", ran.all());
            assert!(ran.all().contains(what), "{}", ran.all());
        }
        assert_eq!(sandbox.read("marks"), "", "{what}: nothing was done");
    }
}

#[test]
fn a_damaged_journal_is_named_by_verify_and_refused_by_resume() {
    let sound = std::fs::read(kept("parked").join("journal.db")).unwrap();
    let (mut named, mut tried) = (0, 0);
    for at in (0..sound.len()).step_by(sound.len() / 40) {
        for torn in [false, true] {
            let (sandbox, run) = sandbox("parked");
            let mut bytes = sound.clone();
            match torn {
                true => bytes.truncate(at),
                false => bytes[at] ^= 0x21,
            }
            std::fs::write(sandbox.state().join("runs").join(&run).join("journal.db"), bytes).unwrap();
            let verified = sandbox.run(&format!("status {run} --verify"));
            tried += 1;
            assert_ne!(verified.code, Some(70), "byte {at}: {}", verified.all());
            if verified.code == Some(0) {
                continue;
            }
            named += 1;
            for command in [format!("resume {run}"), format!("approve {run} asked")] {
                let ran = sandbox.run(&command);
                assert!(!matches!(ran.code, Some(0 | 70)), "byte {at}, torn {torn}: {}", ran.all());
            }
            assert_eq!(sandbox.read("marks"), "", "byte {at}: nothing was done");
        }
    }
    println!("{named} of {tried} damages were named; the others touch no line");
    assert!(named > tried / 2);
}
