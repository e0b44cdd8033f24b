//! The commands of those who write plans: what changed, how it looks, what a code means, how to begin.

use crate::support::sandbox::Sandbox;

const PLAN: &str = "steps:\n  - { id: a, notify: { channels: [console], message: m } }\n  - { id: b, notify: { channels: [console], message: n } }\n";

fn two_plans() -> Sandbox {
    let sandbox = Sandbox::new();
    let whole = |steps: &str| format!("runplan: 1\nname: plan\n{steps}");
    sandbox.write("old.yaml", &whole(PLAN));
    sandbox.write("new.yaml", &whole(&PLAN.replace("message: n", "message: other")));
    sandbox
}

#[test]
fn a_difference_ends_with_0_unless_it_is_asked_for() {
    let sandbox = two_plans();
    sandbox.run("diff old.yaml new.yaml").code(0).says("~ b  notify, reads").says("message  n -> other");
    sandbox.run("diff old.yaml new.yaml --exit-code").code(1);
    sandbox.run("diff old.yaml old.yaml --exit-code").code(0).says("no difference");
    let quiet = sandbox.run("diff old.yaml new.yaml -q --exit-code").code(1);
    assert_eq!(quiet.stdout, "");
}

#[test]
fn a_difference_for_programs_and_for_a_pull_request() {
    let sandbox = two_plans();
    let json = sandbox.run("diff old.yaml new.yaml --format json").code(0).json();
    assert_eq!((&json["format"], &json["equal"]), (&1.into(), &false.into()));
    assert_eq!(json["steps"][0]["fields"][0]["field"], "action.message");
    sandbox
        .run("diff old.yaml new.yaml --format markdown")
        .code(0)
        .says("```diff\n- message: n\n+ message: other");
}

#[test]
fn what_cannot_be_compared_is_said() {
    let sandbox = two_plans();
    sandbox.run("diff old.yaml none.yaml").code(3).complains("there is no such file");
    sandbox.write("bad.yaml", "runplan: 1\nname: bad\nsteps: []\n");
    sandbox.run("diff old.yaml bad.yaml").code(3).complains("bad.yaml cannot be used");
}

#[test]
fn a_graph_is_drawn_for_every_reader() {
    let sandbox = two_plans();
    sandbox.run("graph old.yaml").code(0).says("   1   · a  notify").says("after a");
    sandbox.run("graph old.yaml --format text").code(0).says("· reads");
    sandbox.run("graph old.yaml --format svg").code(0).says("<svg xmlns");
    sandbox.run("graph old.yaml --format mermaid").code(0).says("flowchart TD").says("s0 --> s1");
    sandbox.run("graph old.yaml --format markdown").code(0).says("```mermaid\nflowchart TD");
    let json = sandbox.run("graph old.yaml --format json").code(0).json();
    assert_eq!(json["waves"], serde_json::json!([["a"], ["b"]]));
    assert_eq!((&json["steps"][1]["needs"][0], &json["no_return"]), (&"a".into(), &serde_json::Value::Null));
    sandbox.run("check old.yaml --format svg").code(2).complains("--format svg is for `graph` alone");
}

#[test]
fn the_schemas_are_the_files_that_ship() {
    let sandbox = Sandbox::new();
    for (of, file) in [("", "plan"), ("plan", "plan"), ("site", "site")] {
        let shipped = format!("{}/schemas/{file}.schema.json", env!("CARGO_MANIFEST_DIR"));
        let found = sandbox.run(&format!("schema {of}")).code(0);
        assert_eq!(found.stdout, std::fs::read_to_string(shipped).unwrap(), "schema {of}");
    }
}
