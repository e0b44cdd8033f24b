//! Signed approvals between this program, ssh-keygen and a real SSH agent: each takes what the other made.
#![allow(clippy::disallowed_methods, reason = "ssh-keygen and ssh-agent are started here")]

use crate::support::sandbox::Sandbox;
use std::process::{Child, Command, Stdio};

pub(super) const PLAN: &str = "title: Swap it\nseverity: high\nsteps:\n  \
    - { id: count, shell: { argv: [echo, 42 rows], repeatable: true, changes: none } }\n  \
    - { id: go, needs: [count], approve: { message: \"Swap? {{ steps.count.stdout }}\" } }\n  \
    - { id: end, needs: [go], shell: { argv: [\"true\"], repeatable: true, changes: none } }\n";

/// A key of that kind and passphrase; its public half.
pub(super) fn key(sandbox: &Sandbox, name: &str, kind: &[&str], passphrase: &str) -> String {
    let path = sandbox.path(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-N", passphrase, "-C", name, "-t"])
        .args(kind)
        .arg("-f")
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    sandbox.read(&format!("{name}.pub")).trim().to_owned()
}

/// A run that waits for bob, who signs with any of these keys.
pub(super) fn waiting(sandbox: &Sandbox, keys: &[String]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
    sandbox.write(
        "runplan.yaml",
        &format!(
            "runplan: 1\nroles: {{ lead: {{ people: [ {{ name: bob, keys: [{}] }} ] }} }}\nseverities: {{ high: {{ role: lead }} }}\n",
            keys.join(", ")
        ),
    );
    sandbox.plan(PLAN);
    sandbox.run("plan.yaml --reason test").code(4).says("waits for an approval by lead (bob)");
    sandbox.only_run()
}

fn keygen(sandbox: &Sandbox, line: &str, input: &str) -> String {
    let command = format!("ssh-keygen {line} < {input}");
    let output = Command::new("sh").arg("-c").arg(command).current_dir(sandbox.path("")).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    text
}

pub(super) struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An agent of its own, which holds these keys.
pub(super) fn agent(sandbox: &mut Sandbox, keys: &[&str]) -> Agent {
    let socket = sandbox.path("agent.sock");
    let child =
        Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    let agent = Agent(child);
    sandbox.until("the agent", |sandbox| sandbox.exists("agent.sock"));
    for key in keys {
        let added = Command::new("ssh-add")
            .args(["-q", &sandbox.path(key).display().to_string()])
            .env("SSH_AUTH_SOCK", &socket)
            .status()
            .unwrap();
        assert!(added.success());
    }
    sandbox.set("SSH_AUTH_SOCK", &socket.display().to_string());
    agent
}

/// The run goes on, and ssh-keygen finds the exported signature good.
fn goes_on(sandbox: &Sandbox, kind: &str) {
    sandbox.run("resume").code(0).says("Done after");
    let report = sandbox.run("report").code(0).stdout;
    assert!(
        report.contains(&format!("signed by {kind} (SHA256:")) && report.contains("), verified"),
        "{report}"
    );
    let json = sandbox.run("report --format json").code(0).json();
    assert_eq!(json["approvals"][0]["signed"]["verified"], true);
    let page = sandbox.run("report --format html").code(0).stdout;
    assert!(page.contains("verified"), "the page says so too");
    sandbox.run("report --signatures signed").code(0).says("ssh-keygen -Y verify -n runplan-approval");
    let verify = "-Y verify -n runplan-approval -f signed/allowed_signers -I bob -s signed/1-go.json.sig";
    let said = keygen(sandbox, verify, "signed/1-go.json");
    assert!(said.contains("Good \"runplan-approval\" signature for bob"), "{said}");
}

#[test]
fn a_key_file_of_each_kind_signs_and_ssh_keygen_says_good() {
    for (kind, of) in [
        ("ssh-ed25519", &["ed25519"][..]),
        ("ecdsa-sha2-nistp256", &["ecdsa", "-b", "256"]),
        ("ecdsa-sha2-nistp384", &["ecdsa", "-b", "384"]),
        ("ssh-rsa", &["rsa", "-b", "2048"]),
    ] {
        let sandbox = Sandbox::new();
        let public = key(&sandbox, "id", of, "");
        let run = waiting(&sandbox, &[public]);
        let said = sandbox.run(&format!("approve {run} go --key id --comment 'looks right'")).code(0);
        said.says("question: Swap? 42 rows").says("decided by: bob").says("approved by bob, signed");
        goes_on(&sandbox, kind);
    }
}

#[test]
fn the_agent_signs() {
    for (kind, of) in [("ssh-ed25519", &["ed25519"][..]), ("ssh-rsa", &["rsa", "-b", "2048"])] {
        let mut sandbox = Sandbox::new();
        let public = key(&sandbox, "id", of, "");
        key(&sandbox, "stray", &["ed25519"], "");
        waiting(&sandbox, &[public]);
        sandbox.run("approve plan go").code(2).complains("there is no SSH agent here");
        let _agent = agent(&mut sandbox, &["stray", "id"]);
        sandbox.run("approve plan go").code(0).says("approved by bob, signed");
        goes_on(&sandbox, kind);
    }
}

#[test]
fn an_agent_without_the_key_and_a_locked_key_file_are_told() {
    let mut sandbox = Sandbox::new();
    let public = key(&sandbox, "id", &["ed25519"], "hunter2-long");
    key(&sandbox, "stray", &["ed25519"], "");
    waiting(&sandbox, &[public]);
    sandbox.run("approve plan go --key id").code(2).complains("has a passphrase, and nobody can be asked");
    sandbox
        .run("approve plan go --key nothing")
        .code(3)
        .complains("nothing cannot be read: there is no such file");
    sandbox
        .run("approve plan go --key id.pub")
        .code(3)
        .complains("this is the public key")
        .complains("without `.pub`");
    sandbox.run("approve plan go --key runplan.yaml").code(3).complains("cannot be read");
    let agent = agent(&mut sandbox, &["stray"]);
    sandbox.run("approve plan go").code(2).complains("holds none of the keys");
    drop(agent);
    sandbox.run("approve plan go").code(2).complains("the SSH agent cannot be asked");
    let mut terminal = sandbox.terminal("approve plan go --key id", 50, 120);
    terminal.until("Passphrase of id");
    terminal.press("hunter2-long\r");
    terminal.until("Sign this?");
    terminal.press("y");
    terminal.until("approved by bob, signed");
    goes_on(&sandbox, "ssh-ed25519");
}

#[test]
fn a_decision_travels_as_a_file_and_is_signed_elsewhere() {
    let sandbox = Sandbox::new();
    let public = key(&sandbox, "id", &["ed25519"], "");
    key(&sandbox, "stray", &["ed25519"], "");
    waiting(&sandbox, &[public]);
    // Where the key is there is another state directory, or none.
    std::os::unix::fs::symlink(sandbox.state(), sandbox.path("linked")).unwrap();
    sandbox
        .run("--state linked approve plan go --comment fine --out decision.json")
        .code(0)
        .says("next, where the key is: runplan approve --in decision.json");
    sandbox.run("approve plan go --out decision.json").code(2).complains("is there already");
    sandbox.run("approve --in decision.json").code(2).complains("is not signed");
    sandbox.run("approve --in runplan.yaml").code(3).complains("it is not a decision");
    // Elsewhere there is no run, only the file and the key.
    let elsewhere = Sandbox::new();
    for name in ["decision.json", "id", "stray"] {
        elsewhere.write(name, &sandbox.read(name));
        let path = elsewhere.path(name);
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    elsewhere
        .run("approve --in decision.json --key stray --out signed.json")
        .code(2)
        .complains("none of those that the site file lists for bob");
    let shown = elsewhere.run("approve --in decision.json --key id --out signed.json").code(0);
    shown.says("question: Swap? 42 rows").says("comment: fine");
    let signed = elsewhere.read("signed.json");
    sandbox.write("forged.json", &signed.replace("fine", "good"));
    sandbox.run("approve --in forged.json").code(2).complains("was changed after it was signed");
    sandbox.write("signed.json", &signed);
    // A mail program cut it, or wrote it in its own way.
    let text = sandbox.read("signed.json");
    sandbox.write("cut.json", &text[..text.len() - 40]);
    sandbox.run("approve --in cut.json").code(3).complains("damaged on its way").complains("line");
    sandbox.write("later.json", &text.replace("\"format\": 1", "\"format\": 7"));
    sandbox.run("approve --in later.json").code(3).complains("its format is 7, and this version reads 1");
    sandbox.write("signed.json", &format!("\u{feff}{}", text.replace('\n', "\r\n")));
    // Who names the run and the step too, means those.
    for other in ["plan wait", "other go", "other"] {
        let refused = sandbox.run(&format!("approve {other} --in signed.json")).code(2);
        refused.complains(&format!("not on `{other}`")).complains("runplan approve --in signed.json");
    }
    sandbox.run("approve plan go --in signed.json").code(0).says("approved by bob, signed: \"fine\"");
    sandbox.run("approve --in signed.json").code(2).complains("it is approved already, by bob");
    goes_on(&sandbox, "ssh-ed25519");
}

#[test]
fn what_ssh_keygen_signed_is_taken() {
    let sandbox = Sandbox::new();
    let public = key(&sandbox, "id", &["ed25519"], "");
    waiting(&sandbox, &[public]);
    sandbox.run("approve plan go --out decision.json").code(0);
    let file: serde_json::Value = serde_json::from_str(&sandbox.read("decision.json")).unwrap();
    sandbox.write("text", file["text"].as_str().unwrap());
    keygen(&sandbox, "-Y sign -n file -f id text", "/dev/null");
    sandbox
        .run("approve --in decision.json --signature text.sig")
        .code(2)
        .complains("signed for another purpose (`file`");
    std::fs::remove_file(sandbox.path("text.sig")).unwrap();
    keygen(&sandbox, "-Y sign -n runplan-approval -f id text", "/dev/null");
    let signature = sandbox.read("text.sig");
    sandbox.write("text.sig", &format!("\u{feff}{}", signature.replace('\n', "\r\n")));
    sandbox.run("approve --in decision.json --signature text.sig").code(0).says("approved by bob, signed");
    goes_on(&sandbox, "ssh-ed25519");
}

#[test]
fn a_signed_rejection_and_a_signature_that_came_through_the_inbox() {
    let sandbox = Sandbox::new();
    let public = key(&sandbox, "id", &["ed25519"], "");
    let run = waiting(&sandbox, &[public]);
    sandbox.run("reject plan go --reason 'not now' --key id").code(0).says("rejected by bob, signed");
    let driven = sandbox.start("resume --wait");
    sandbox.until("the question", |sandbox| sandbox.step("go") == "awaiting_approval");
    sandbox.until("the holder", |sandbox| sandbox.run("resume").code == Some(5));
    sandbox.run(&format!("approve {run} go --key id")).code(0).says("approved by bob, signed");
    driven.wait().code(0);
    let json = sandbox.run("report --format json").code(0).json();
    let verified: Vec<_> =
        json["approvals"].as_array().unwrap().iter().map(|one| &one["signed"]["verified"]).collect();
    assert_eq!(verified, [true, true], "also the no of the attempt before");
}

#[test]
fn an_amended_plan_makes_a_signature_worthless() {
    let sandbox = Sandbox::new();
    let public = key(&sandbox, "id", &["ed25519"], "");
    waiting(&sandbox, &[public]);
    sandbox.run("approve plan go --out decision.json").code(0);
    sandbox.run("approve --in decision.json --key id --out signed.json").code(0);
    sandbox.plan(&PLAN.replace("Swap?", "Swap it all?"));
    sandbox.run("resume --amend").code(4);
    sandbox.run("approve --in signed.json").code(2).complains(
        "it was signed for another plan: the plan, its site file or a parameter has changed since",
    );
}

#[test]
fn broken_glass_stands_first_in_every_report() {
    let sandbox = Sandbox::new();
    let public = key(&sandbox, "id", &["ed25519"], "");
    let run = waiting(&sandbox, &[public]);
    sandbox.run("approve plan go --break-glass ''").code(2).complains("wants its reason");
    let said = sandbox.run("approve plan go --break-glass 'nobody answers'").code(0);
    said.says("BREAK-GLASS: approved by").complains("the glass is broken");
    assert!(sandbox.run("logs").stdout.contains("everybody is told that the glass was broken"), "at once");
    let resumed = sandbox.run(&format!("resume {run}")).code(0);
    assert!(!resumed.stdout.contains("everybody is told"), "once: {}", resumed.stdout);
    let report = sandbox.run("report").code(0).stdout;
    assert!(report.starts_with("> **BREAK-GLASS:**") && report.contains("nobody answers"), "{report}");
    let json = sandbox.run("report --format json").code(0).json();
    assert!(json["break_glass"][0].as_str().unwrap().contains("past the rules: nobody answers"));
    let page = sandbox.run("report --format html").code(0).stdout;
    let (glass, summary) = (page.find("id=\"break-glass\"").unwrap(), page.find("id=\"summary\"").unwrap());
    assert!(glass < summary);
}

/// The commands of the manual, as they stand there, prove what bob signed and nothing else.
#[test]
fn what_the_manual_says_proves_a_signature_without_runplan() {
    let sandbox = Sandbox::new();
    let public = key(&sandbox, "id", &["ed25519"], "");
    let run = waiting(&sandbox, &[public]);
    sandbox.run(&format!("approve {run} go --key id --comment 'looks right'")).code(0);
    let manual = include_str!("../../docs/approvals.md");
    let block = manual.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let script =
        block.replace("RUN", &run).replacen("runplan ", &format!("{} ", env!("CARGO_BIN_EXE_runplan")), 1);
    let prove = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-e", "-c", script]).current_dir(sandbox.path(""));
        sandbox.surround(&mut command);
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.success(), said.concat())
    };
    let (is_good, said) = prove(&script);
    assert!(is_good && said.contains("Good \"runplan-approval\" signature for bob"), "{said}");
    let text = sandbox.read("signed/1-go.json");
    assert!(text.contains("looks right"), "{text}");
    std::fs::write(sandbox.path("signed/1-go.json"), text.replace("looks right", "looks wrong")).unwrap();
    let verify = script.lines().last().unwrap();
    let (is_good, said) = prove(&format!("cd signed\n{verify}"));
    assert!(!is_good && said.contains("Could not verify signature"), "{said}");
}
