//! What the command refuses before a run hears of it, and what a run refuses when its site file has changed.
#![allow(clippy::disallowed_methods, reason = "ssh-add is started here")]

use super::signed::{PLAN, agent, key, waiting};
use crate::support::refusals::{prove, prove_complete, table};
use crate::support::sandbox::Sandbox;
use std::process::Command;

/// What was complained of, without the word before it and what to do about it.
pub fn why(sandbox: &Sandbox, line: &str) -> String {
    let ran = sandbox.run(&format!("{line} --format json"));
    // Warnings come before it.
    let last = ran.stderr.lines().next_back().unwrap_or_default();
    let error: serde_json::Value =
        serde_json::from_str(last).unwrap_or_else(|_| panic!("{line}: {}", ran.all()));
    let message = error["error"]["message"].as_str().unwrap();
    message.strip_prefix("it was not accepted: ").unwrap_or(message).to_owned()
}

const TWO: &str = "steps:\n  - { id: one, approve: { message: One? } }\n  - { id: two, needs: [], approve: { message: Two? } }\n";

fn steps() -> Vec<(&'static str, String)> {
    let sandbox = Sandbox::new();
    sandbox.plan(TWO);
    sandbox.run("plan.yaml").code(4);
    let mut said = vec![
        ("no_step", why(&sandbox, "approve plan three")),
        ("several_wait", why(&sandbox, "approve plan")),
    ];
    key(&sandbox, "id", &["ed25519"], "");
    said.push(("nobody_signs", why(&sandbox, "approve plan one --key id")));
    sandbox.run("reject plan one --reason no").code(0);
    sandbox.run("reject plan two --reason no").code(0);
    said.push(("nothing_waits", why(&sandbox, "approve plan")));
    said
}

fn keys() -> Vec<(&'static str, String)> {
    let mut sandbox = Sandbox::new();
    let locked = key(&sandbox, "locked", &["ed25519"], "hunter2-long");
    let id = key(&sandbox, "id", &["ed25519"], "");
    key(&sandbox, "stray", &["ed25519"], "");
    waiting(&sandbox, &[locked, id]);
    let mut said = vec![
        ("key_unreadable", why(&sandbox, "approve plan go --key runplan.yaml")),
        ("key_unreadable", why(&sandbox, "approve plan go --key id.pub")),
        ("key_locked", why(&sandbox, "approve plan go --key locked")),
        ("no_agent", why(&sandbox, "approve plan go")),
    ];
    let held = agent(&mut sandbox, &["stray"]);
    said.push(("agent_lacks", why(&sandbox, "approve plan go")));
    drop(held);
    said.push(("agent_silent", why(&sandbox, "approve plan go")));

    sandbox.run("approve plan go --out decision.json").code(0);
    said.push(("file_there", why(&sandbox, "approve plan go --out decision.json")));
    said.push(("not_signed", why(&sandbox, "approve --in decision.json")));
    said.push(("no_file", why(&sandbox, "approve --in runplan.yaml")));
    said.push(("other_meant", why(&sandbox, "approve plan end --in decision.json")));
    said.push(("key_not_listed", why(&sandbox, "approve --in decision.json --key stray --out signed.json")));
    sandbox.run("approve plan go --key id").code(0);
    said.push(("does_not_wait", why(&sandbox, "approve plan go --key id")));
    said
}

/// An agent that wants each signature confirmed, with nobody to confirm it.
fn unwilling() -> Vec<(&'static str, String)> {
    let mut sandbox = Sandbox::new();
    let id = key(&sandbox, "id", &["ed25519"], "");
    waiting(&sandbox, &[id]);
    let _held = agent(&mut sandbox, &[]);
    let added = Command::new("ssh-add")
        .args(["-q", "-c", &sandbox.path("id").display().to_string()])
        .env("SSH_AUTH_SOCK", sandbox.path("agent.sock"))
        .status();
    assert!(added.unwrap().success());
    vec![("agent_unwilling", why(&sandbox, "approve plan go"))]
}

fn several_people() -> Sandbox {
    let sandbox = Sandbox::new();
    let (bob, carol) = (key(&sandbox, "bob", &["ed25519"], ""), key(&sandbox, "carol", &["ed25519"], ""));
    key(&sandbox, "stray", &["ed25519"], "");
    let eve = key(&sandbox, "eve", &["ed25519"], "");
    let people = format!("{{ name: bob, keys: [\"{bob}\"] }}, {{ name: carol, keys: [\"{carol}\"] }}");
    sandbox.write("runplan.yaml", &format!("runplan: 1\nroles: {{ lead: {{ people: [ {people} ] }}, other: {{ people: [ {{ name: eve, keys: [\"{eve}\"] }} ] }} }}\nseverities: {{ high: {{ role: lead }} }}\n"));
    sandbox.plan(PLAN);
    sandbox.run("plan.yaml --reason test").code(4);
    sandbox
}

fn several() -> Vec<(&'static str, String)> {
    let sandbox = several_people();
    vec![
        ("unclear", why(&sandbox, "approve plan go --out decision.json")),
        ("key_of_nobody", why(&sandbox, "approve plan go --key stray")),
        ("no_why", why(&sandbox, "reject plan go --reason ' '")),
    ]
}

/// What is said on a terminal where these keys are pressed after these words.
fn typed(sandbox: &Sandbox, steps: &[(&str, &str)], said: &str) -> String {
    let mut terminal = sandbox.terminal("approve plan go --key locked", 50, 150);
    for (words, keys) in steps {
        terminal.until(words);
        terminal.press(keys);
    }
    terminal.until(said);
    let screen = terminal.screen().contents();
    let line = screen.lines().find(|line| line.contains(said)).unwrap();
    line.trim().trim_start_matches("× ").to_owned()
}

fn prompts() -> Vec<(&'static str, String)> {
    let sandbox = Sandbox::new();
    let locked = key(&sandbox, "locked", &["ed25519"], "hunter2-long");
    waiting(&sandbox, &[locked]);
    let asked = "Passphrase of locked";
    vec![
        ("passphrase_wrong", typed(&sandbox, &[(asked, "hunter3-long\r")], "is wrong")),
        (
            "not_agreed",
            typed(&sandbox, &[(asked, "hunter2-long\r"), ("Sign this?", "n")], "nothing was signed"),
        ),
    ]
}

#[test]
fn a_key_of_another_role_is_called_by_its_name() {
    let sandbox = several_people();
    let said = why(&sandbox, "approve plan go --key eve");
    assert_eq!(said, "eve has none of the roles that decide; they are: bob, carol");
}

#[test]
fn every_refusal_of_the_command_is_said_as_the_table_says() {
    let said: Vec<_> = [steps(), keys(), unwilling(), several(), prompts()].concat();
    prove(1, &said);
}

#[test]
fn no_refusal_of_the_command_is_missing_from_the_table() {
    let sources = [
        include_str!("../../engine/cli/decision.rs"),
        include_str!("../../engine/cli/decision_file.rs"),
        include_str!("../../engine/cli/keys.rs"),
        include_str!("../../engine/cli/agent.rs"),
    ];
    prove_complete(1, &sources, &["a passphrase is wanted", "this key cannot sign: …"]);
}

/// A key or a person that is taken out of the site file while a decision of theirs is on its way.
#[test]
fn who_is_taken_out_of_the_site_file_decides_no_more() {
    let rows = table(0);
    let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
    let sandbox = Sandbox::new();
    let (old, new) = (key(&sandbox, "old", &["ed25519"], ""), key(&sandbox, "new", &["ed25519"], ""));
    waiting(&sandbox, std::slice::from_ref(&old));
    sandbox.run("approve plan go --key old --out signed.json").code(0);
    let site = sandbox.read("runplan.yaml");
    sandbox.write("runplan.yaml", &site.replace(&old, &new));
    sandbox.run("resume --amend").code(4);
    let said = why(&sandbox, "approve --in signed.json");
    assert!(row("other_key").fits(&said), "{said}");
    sandbox.write("runplan.yaml", &site.replace("name: bob", "name: carol"));
    sandbox.run("resume --amend").code(4);
    let said = why(&sandbox, "approve --in signed.json");
    assert!(row("wrong_role").fits(&said), "{said}");
    // The very site file again is another question.
    sandbox.write("runplan.yaml", &site);
    sandbox.run("resume --amend").code(4);
    let said = why(&sandbox, "approve --in signed.json");
    assert!(
        row("other_plan").fits(&said) || row("other_attempt").fits(&said) || row("other_request").fits(&said),
        "{said}"
    );
}
