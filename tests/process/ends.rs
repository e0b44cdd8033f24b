//! Programs that end by themselves: exit codes, output, input, surroundings, what could not be started.

use super::support::{Bench, block, sh};
use runplan::process::{Command, Error, Found, Stdin};
use runplan::secret::Secret;
use std::time::Duration;

#[test]
fn exit_code_output_and_signal_are_told() {
    let bench = Bench::new();
    block(async {
        let exit = bench.sh("echo out; echo err >&2; exit 7").await;
        assert_eq!((exit.code, exit.signal), (Some(7), None));
        assert_eq!((exit.stdout.text().as_str(), exit.stderr.text().as_str()), ("out\n", "err\n"));
        assert!(!exit.success() && !exit.timed_out && !exit.cancelled && exit.evidence.is_empty());
        assert!(exit.finished_at >= exit.started_at && exit.elapsed > Duration::ZERO);

        let mut killed = bench.supervisor.start("step.2", &sh("kill -9 $$"), None).await.unwrap();
        let exit = killed.wait().await.unwrap();
        assert_eq!((exit.code, exit.signal), (None, Some(9)));
        assert_eq!(killed.wait().await.unwrap().signal, Some(9), "it may be asked again");
    });
}

#[test]
fn what_cannot_be_started_is_told_in_words_and_leaves_no_trace() {
    let bench = Bench::new();
    block(async {
        let start =
            async |command: &Command| bench.supervisor.start("step.1", command, None).await.unwrap_err();
        let missing = start(&Command::new(["railway", "down"])).await;
        assert_eq!(missing.to_string(), "program railway is not on PATH");
        let mut command = sh("true");
        command.cwd = Some(bench.path("nowhere"));
        let error = start(&command).await;
        assert!(matches!(&error, Error::WorkingDirectory { .. }), "{error}");
        assert!(
            error.to_string().contains("nowhere") && error.to_string().contains("No such file"),
            "{error}"
        );
        let plain = bench.path("plain");
        std::fs::write(&plain, "not a program").unwrap();
        let error = start(&Command::new([plain.to_str().unwrap()])).await;
        assert!(matches!(&error, Error::NotStarted { .. }), "{error}");
        assert!(error.to_string().contains("Permission denied"), "{error}");
        let input = Stdin::File(bench.path("no-input"));
        let error = start(&Command { stdin: input, ..sh("cat") }).await;
        assert!(matches!(error, Error::Stdin { .. }));
        assert!(matches!(start(&Command::default()).await, Error::Empty));
        assert!(matches!(bench.supervisor.find("step.1").await.unwrap(), Found::Nothing));
        // The same attempt may still be made.
        assert_eq!(bench.sh("true").await.code, Some(0));
    });
}

#[test]
fn a_program_runs_where_and_with_what_it_was_told() {
    let bench = Bench::new();
    block(async {
        let command = Command {
            cwd: Some(bench.directory.path().into()),
            env: vec![("COLOUR".into(), "blue".into()), ("PATH".into(), "/usr/bin:/bin".into())],
            inherit_env: false,
            ..sh("pwd; env | cut -d= -f1 | sort | tr '\\n' ' '")
        };
        let text = bench.run(&command).await.stdout.text();
        let (place, names) = text.split_once('\n').unwrap();
        assert_eq!(place, bench.directory.path().canonicalize().unwrap().to_str().unwrap());
        assert_eq!(names, "COLOUR PATH PWD RUNPLAN RUNPLAN_ATTEMPT SHLVL _ ");
        // Inherited is the engine's environment, not the supervisor's, which is empty.
        let script = sh("echo $CARGO_PKG_NAME");
        let mut inherited = bench.supervisor.start("step.2", &script, None).await.unwrap();
        assert_eq!(inherited.wait().await.unwrap().stdout.text(), "runplan\n");
        // In a group of its own, without a terminal, and with no descriptor but the standard ones and the lock.
        let script =
            "ps -o pgid= -o tty= -p $$ | tr -d ' '; echo $$; ls -1 /proc/$$/fd | wc -l; ls -l /proc/$$/fd";
        let mut alone = bench.supervisor.start("step.3", &sh(script), None).await.unwrap();
        let text = alone.wait().await.unwrap().stdout.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("{}?", lines[1]));
        let strangers: Vec<&&str> = lines[4..]
            .iter()
            .filter(|line| ["pipe:", "/dev/null", "/proc/"].iter().all(|known| !line.contains(known)))
            .filter(|line| !line.contains("step.3.jsonl"))
            .collect();
        assert!(strangers.is_empty(), "{text}");
        assert_eq!(lines.iter().filter(|line| line.contains("step.3.jsonl")).count(), 1, "{text}");
    });
}

#[test]
fn a_megabyte_of_input_arrives_and_ten_of_output() {
    let bench = Bench::new();
    block(async {
        let input = "0123456789abcdef".repeat(65_536);
        let command = Command { stdin: Stdin::Bytes(Secret::new(&input)), ..sh("wc -c; sleep 0") };
        assert_eq!(bench.run(&command).await.stdout.text(), "1048576\n");
        // A program that does not read its input is none the worse for it.
        let command = Command { stdin: Stdin::Bytes(Secret::new(&input)), ..sh("exit 3") };
        let mut running = bench.supervisor.start("step.2", &command, None).await.unwrap();
        assert_eq!(running.wait().await.unwrap().code, Some(3));

        let script = "echo first; head -c 10000000 /dev/zero | tr '\\0' x; echo; echo last";
        let mut running = bench.supervisor.start("step.3", &sh(script), None).await.unwrap();
        let out = running.wait().await.unwrap().stdout;
        assert_eq!(out.bytes, 10_000_012);
        assert_eq!(std::fs::metadata(&out.path).unwrap().len(), 10_000_012);
        assert!(out.head.starts_with("first\nxxx") && out.tail.ends_with("xxx\nlast\n"));
        assert_eq!((out.head.len(), out.tail.len()), (65_536, 65_536));
        assert!(out.text().contains("[9868940 bytes left out; the output is in "));
    });
}

#[test]
fn output_beyond_the_limit_keeps_its_end() {
    let bench = Bench::new();
    let supervisor = bench.supervisor.clone().with_output_limit(1000);
    block(async {
        let script = "seq 100000; echo the end";
        let out = supervisor.start("step.1", &sh(script), None).await.unwrap().wait().await.unwrap().stdout;
        assert_eq!(out.bytes, 588_903);
        assert!(out.tail.ends_with("99999\n100000\nthe end\n"));
        let text = std::fs::read_to_string(&out.path).unwrap();
        assert!(text.starts_with("1\n2\n3\n") && text.contains("bytes left out here: more than is kept"));
        assert!(text.len() < 70_000);
    });
}

#[test]
fn a_key_is_used_once() {
    let bench = Bench::new();
    block(async {
        assert!(!bench.supervisor.is_taken("step.1"));
        bench.sh("true").await;
        assert!(bench.supervisor.is_taken("step.1"));
        for _ in 0..2 {
            let error = bench.supervisor.start("step.1", &sh("true"), None).await.unwrap_err();
            assert!(matches!(error, Error::StartedBefore { .. }), "{error}");
        }
        let mut running = bench.supervisor.start("step.2", &sh("sleep 0.2; exit 4"), None).await.unwrap();
        let error = bench.supervisor.start("step.2", &sh("true"), None).await.unwrap_err();
        assert!(matches!(error, Error::StartedBefore { .. }), "{error}");
        assert_eq!(running.wait().await.unwrap().code, Some(4), "the refusal does not touch the first");
    });
}
