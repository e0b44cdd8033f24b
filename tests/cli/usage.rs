//! Arguments, help, and what is said when they are wrong.

use crate::support::sandbox::Sandbox;
use clap::{CommandFactory, Parser};
use runplan::cli::{Cli, with_command};
use std::ffi::OsString;

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

/// Every command and every command of a command, with the words that call it.
fn commands() -> Vec<(String, clap::Command)> {
    fn gather(words: &str, command: &clap::Command, found: &mut Vec<(String, clap::Command)>) {
        found.push((words.to_owned(), command.clone()));
        for below in
            command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help")
        {
            gather(&format!("{words} {}", below.get_name()), below, found);
        }
    }
    let mut program = Cli::command();
    program.build();
    let mut found = Vec::new();
    gather("runplan", &program, &mut found);
    assert!(found.len() > 30, "{}", found.len());
    found
}

/// The lines under `Examples:`, as typed, without what is said about them.
fn examples(command: &clap::Command) -> Vec<String> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines = after.lines().skip_while(|line| *line != "Examples:").skip(1);
    let lines = lines.take_while(|line| line.starts_with("  "));
    lines.map(|line| line.trim().split("  ").next().unwrap().to_owned()).collect()
}

/// The words of the first command of a line, as a shell reads them.
fn words(line: &str) -> Vec<OsString> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for sign in line.chars() {
        match (sign, quote) {
            ('|' | '>', None) => break,
            (sign, Some(open)) if sign == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(sign);
                word.get_or_insert_default();
            }
            (' ', None) => words.extend(word.take().map(OsString::from)),
            (sign, _) => word.get_or_insert_default().push(sign),
        }
    }
    assert_eq!(quote, None, "{line}");
    words.extend(word.map(OsString::from));
    words
}

#[test]
fn every_command_and_argument_says_what_it_is() {
    for (words, command) in commands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.trim().is_empty(), "`{words}` does not say what it does");
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.trim().is_empty(), "`{words}`: {} has no help", argument.get_id());
            assert!(!help.trim().ends_with('.'), "`{words}`: {}: {help}", argument.get_id());
        }
    }
    let help = Sandbox::new().run("--help").code(0).silent_on_stderr().says("Exit codes: 0 done").stdout;
    assert!(!help.contains("__"), "{help}");
    Sandbox::new().run("--version").code(0).says(env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_example_of_the_help_can_be_typed() {
    for (name, command) in commands() {
        let examples = examples(&command);
        assert!(!examples.is_empty(), "`{name}` has no examples");
        for line in &examples {
            let typed = words(line);
            assert_eq!(typed.first().map(OsString::as_os_str), Some("runplan".as_ref()), "`{name}`: {line}");
            if let Err(error) = Cli::try_parse_from(with_command(typed)) {
                panic!("`{name}`: {line}\n{error}");
            }
        }
        assert!(
            name == "runplan" || examples.iter().any(|line| line.starts_with(&name)),
            "`{name}`: {examples:?}"
        );
    }
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
    sandbox.write("runplan", "a file");
    sandbox.plan("steps:\n  - { id: a, shell: { argv: [touch, done], changes: none } }\n");
    sandbox.run("plan.yaml").code(6).complains("is in the way");
    assert!(!sandbox.exists("done"));
}

#[test]
fn a_state_directory_that_is_not_there_is_named() {
    let sandbox = Sandbox::new();
    sandbox.plan("steps:\n  - { id: a, shell: { argv: [touch, done], changes: none } }\n");
    sandbox.run("plan.yaml").code(0);
    sandbox.run("resume").code(0).says("every run is over");
    std::fs::rename(sandbox.path("runplan"), sandbox.path("moved")).unwrap();
    for command in ["resume", "status", "runs", "runs --open"] {
        sandbox.run(command).code(0).says("/runplan is not there; if runs were kept in it, mount it again");
    }
    assert!(!sandbox.exists("runplan"), "looking for runs makes no directory");
    // The place where it was mounted.
    std::fs::create_dir(sandbox.path("runplan")).unwrap();
    for command in ["resume", "status", "runs"] {
        sandbox
            .run(command)
            .code(0)
            .says("/runplan holds no runs and never did; if runs were kept in it, mount it");
    }
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

#[test]
fn what_is_to_be_typed_names_the_state_directory_where_it_must() {
    let sandbox = Sandbox::new();
    sandbox.plan("steps:\n  - { id: go, approve: { message: \"Swap it?\" } }\n");
    let place = sandbox.path("my state").display().to_string();
    let ran = sandbox.run(&format!("--state '{place}' run plan.yaml")).code(4);
    let named = format!("runplan --state '{place}' ");
    let runs = sandbox.run(&format!("--state '{place}' runs --format json")).json();
    let run = runs["runs"][0]["run"].as_str().unwrap().to_owned();
    assert_eq!(runs["runs"][0]["parked"]["command"], format!("{named}approve {run} go"));
    ran.says(&format!("Next       {named}approve {run} go")).says(&format!("{named}logs {run}"));
    let lacking = format!("runplan approve {run}");
    let status = sandbox.run(&format!("status --state '{place}'")).code(0);
    assert!(!status.stdout.contains(&lacking), "{}", status.stdout);
    let report =
        std::fs::read_to_string(sandbox.path("my state").join("runs").join(&run).join("report.md")).unwrap();
    assert!(report.contains(&format!("`{named}approve {run} go`")), "{report}");
    // What is shown can be typed as it stands.
    let command = status.stdout.lines().find_map(|line| line.trim().strip_prefix("Next")).unwrap().trim();
    sandbox
        .run(command.strip_prefix("runplan ").unwrap())
        .code(0)
        .says(&format!("next: {named}resume {run}"));
    let wrong = sandbox.run(&format!("--state '{place}' approve {run} go")).code(2);
    wrong.complains(&format!("`{named}status {run}`"));
    // The directory that a command takes by itself is not named, whichever way it was given.
    let usual = sandbox.state().display().to_string();
    let ran = sandbox.run(&format!("--state '{usual}' run plan.yaml")).code(4);
    ran.says("Next       runplan approve plan-");
    // Another terminal knows nothing of what only this one was told.
    let exported = sandbox.path("exported").display().to_string();
    let ran = sandbox.start_with("run plan.yaml", &[("RUNPLAN_STATE", &exported)]).wait().code(4);
    ran.says(&format!("Next       runplan --state {exported} approve plan-"));
    // The other machine has a directory of its own.
    sandbox
        .run(&format!("--state {exported} export plan --out moved.run"))
        .code(0)
        .says("next, on the other machine: runplan import ");
}
