//! Secrets reach the program, and nothing else.

use super::support::{Bench, block, sh, until};
use runplan::process::{Command, Stdin};
use runplan::secret::Secret;
use std::path::Path;

const PASSWORD: &str = "correct-horse-battery";

/// Whether any file below holds the text.
fn holds(directory: &Path, text: &str) -> bool {
    std::fs::read_dir(directory).unwrap().flatten().any(|entry| {
        let path = entry.path();
        let read = || String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).contains(text);
        if path.is_dir() { holds(&path, text) } else { read() }
    })
}

#[test]
fn secrets_are_in_no_argument_list_and_in_no_file() {
    let bench = Bench::new();
    let (ready, go) = (bench.path("ready"), bench.path("go"));
    let script = format!(
        "read word; [ \"$word\" = \"$DB_PASSWORD-in\" ] || exit 9; [ ${{#DB_PASSWORD}} = {} ] || exit 8
        touch {}; while [ ! -e {} ]; do sleep 0.01; done
        printf 'a %s b %s' \"$DB_PASSWORD\" \"${{DB_PASSWORD:0:10}}\"; sleep 0.05
        printf '%s c\\n' \"${{DB_PASSWORD:10}}\"; printf %s \"$DB_PASSWORD\" | base64 >&2",
        PASSWORD.len(),
        ready.display(),
        go.display()
    );
    let command = Command {
        secret_env: vec![("DB_PASSWORD".into(), Secret::new(PASSWORD))],
        stdin: Stdin::Bytes(Secret::new(format!("{PASSWORD}-in\n"))),
        redact: vec![Secret::new("another-secret")],
        ..sh(&script)
    };
    block(async {
        let mut running = bench.supervisor.start("step.1", &command, None).await.unwrap();
        until("the program is ready", || ready.exists());
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&line).contains(PASSWORD), "{:?}", entry.path());
        }
        let session = std::fs::read_to_string(bench.record("step.1.jsonl")).unwrap();
        let session: serde_json::Value = serde_json::from_str(session.lines().next().unwrap()).unwrap();
        let environ = std::fs::read(format!("/proc/{}/environ", session["session"])).unwrap();
        assert!(
            !String::from_utf8_lossy(&environ).contains("CARGO"),
            "the supervisor's environment is empty"
        );
        std::fs::write(&go, "").unwrap();
        let exit = running.wait().await.unwrap();
        assert_eq!(exit.code, Some(0), "{exit:?}");
        assert_eq!(exit.stdout.text(), "a [redacted] b [redacted] c\n");
        assert!(exit.stderr.text().starts_with("[redacted]"), "{}", exit.stderr.text());
    });
    assert!(bench.record("step.1.stdout").exists());
    assert!(!holds(bench.directory.path(), PASSWORD));
}
