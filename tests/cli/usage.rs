//! Arguments, help, and what is said when they are wrong.

use crate::support::sandbox::Sandbox;

#[test]
fn wrong_usage_exits_2_and_says_what_is_meant() {
    let sandbox = Sandbox::new();
    sandbox.run("").code(2).complains("Usage: runplan");
    sandbox.run("statsu").code(2).complains("similar subcommand exists: 'status'");
    sandbox.run("check").code(2).complains("required arguments");
    sandbox.run("check --nope x.yaml").code(2).complains("--nope");
    sandbox.run("resolve some-run some_step --reason x").code(2).complains("--done");
    sandbox
        .run("resolve some-run some_step --done --retry --reason x")
        .code(2)
        .complains("cannot be used with");
    sandbox.run("run plan.yaml --quiet --verbose").code(2);
}

#[test]
fn an_error_is_an_object_for_programs() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run("statsu --format json").code(2);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["error"]["code"], "runplan::cli::usage");
    let ran = sandbox.run("check nothing.yaml --format=json").code(3);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["format"], 1);
    assert_eq!(error["error"]["code"], "runplan::cli::unreadable");
}

#[test]
fn help_has_examples_for_every_command() {
    let sandbox = Sandbox::new();
    let help = sandbox.run("--help").code(0).silent_on_stderr().says("Exit codes: 0 done").stdout;
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|word| !word.is_empty()))
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() >= 15, "{commands:?}");
    for command in commands {
        sandbox
            .run(&format!("{command} --help"))
            .code(0)
            .says("Examples:")
            .says(&format!("runplan {command}"));
    }
    assert!(!help.contains("__"), "{help}");
    sandbox.run("--version").code(0).says(env!("CARGO_PKG_VERSION"));
}

#[test]
fn completions_and_schemas_are_printed() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish"] {
        sandbox.run(&format!("completions {shell}")).code(0).says("resolve");
    }
    assert_eq!(sandbox.run("schema").code(0).json(), runplan::plan::schema::plan());
    assert_eq!(sandbox.run("schema site").code(0).json(), runplan::plan::schema::site());
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let sandbox = Sandbox::new();
    let line = format!("{} schema | head -c 10", crate::support::cluster::RUNPLAN);
    #[allow(clippy::disallowed_methods, reason = "a shell with a pipe is wanted")]
    let output = std::process::Command::new("bash")
        .args(["-o", "pipefail", "-c", &line])
        .current_dir(sandbox.path(""))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_is_not_a_state_directory_is_refused_before_anything_is_done() {
    let sandbox = Sandbox::new();
    sandbox.write("state", "a file");
    sandbox.plan("steps:\n  - { id: a, shell: { argv: [touch, done], changes: none } }\n");
    sandbox.run("plan.yaml").code(6).complains("is in the way");
    assert!(!sandbox.exists("done"));
}

#[test]
fn there_is_nothing_to_resume_at_first() {
    let sandbox = Sandbox::new();
    sandbox.run("resume").code(0).says("nothing to resume");
    sandbox.run("runs").code(0).says("no runs yet");
    sandbox.run("status").code(0).says("no runs yet");
    sandbox.run("resume nowhere").code(2).complains("there is no run nowhere");
    assert_eq!(
        sandbox.run("runs --format json").code(0).json(),
        serde_json::json!({"format": 1, "runs": []})
    );
}
