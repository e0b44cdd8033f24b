//! The application is closed and opened by a program of its own, where it is not on Railway.

use super::plan;
use crate::support::sandbox::Sandbox;
use std::os::unix::fs::PermissionsExt;

/// A program that keeps what it was told, and refuses while a file says so.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("page", "#!/bin/sh\ncd \"$(dirname \"$0\")\"\n[ ! -e busy ] || { echo 'the gateway is busy' >&2; exit 3; }\necho \"$1\" >> told\n");
    std::fs::set_permissions(sandbox.path("page"), std::fs::Permissions::from_mode(0o755)).unwrap();
    sandbox
}

fn line(sandbox: &Sandbox, state: &str) -> String {
    format!(
        "{} -p program={} -p state={state} --plain",
        plan("maintenance-command"),
        sandbox.path("page").display()
    )
}

#[test]
fn a_program_is_told_to_close_and_to_open() {
    let sandbox = sandbox();
    sandbox.run(&line(&sandbox, "on")).code(0);
    sandbox.run(&line(&sandbox, "off")).code(0);
    assert_eq!(sandbox.read("told"), "on\noff\n");
    sandbox.run(&line(&sandbox, "ajar")).code(3).complains("is not one of its choices");
}

#[test]
fn one_that_fails_is_told_again_by_resume() {
    let sandbox = sandbox();
    sandbox.write("busy", "");
    sandbox.run(&line(&sandbox, "on")).code(4).says("the gateway is busy");
    std::fs::remove_file(sandbox.path("busy")).unwrap();
    sandbox.run(&format!("resume {} --plain", sandbox.only_run())).code(0);
    assert_eq!(sandbox.read("told"), "on\n");
}

#[test]
fn another_plan_uses_it_and_its_undo_opens_again() {
    let sandbox = sandbox();
    std::fs::copy(plan("maintenance-command"), sandbox.path("maintenance-command.yaml")).unwrap();
    sandbox.plan(
        "steps:\n- id: closed\n  uses: maintenance-command.yaml\n  with: { params: { program: ./page } }\n\
         - id: fails\n  shell: { argv: [\"false\"], repeatable: true, changes: none }\n",
    );
    sandbox.run("plan.yaml --plain").code(4);
    assert_eq!(sandbox.step("closed.switched"), "done");
    sandbox.run(&format!("undo {} --yes --plain", sandbox.only_run())).code(1);
    assert_eq!(sandbox.read("told"), "on\noff\n");
}
