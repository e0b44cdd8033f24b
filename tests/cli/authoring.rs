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

const TEMPLATES: [&str; 10] = [
    "blank",
    "scenario-1",
    "scenario-2",
    "scenario-3",
    "method-1",
    "method-2",
    "method-3",
    "method-4",
    "guarded-migration",
    "verify-suite",
];

#[test]
fn every_template_is_a_plan_without_a_finding() {
    let sandbox = Sandbox::new();
    for from in TEMPLATES {
        sandbox.run(&format!("new my-{from} --from {from}")).code(0).says("--dry-run").silent_on_stderr();
        let text = sandbox.read(&format!("my-{from}.yaml"));
        assert_eq!(text.lines().next(), Some("# yaml-language-server: $schema=./plan.schema.json"), "{from}");
        assert!(text.contains(&format!("\nname: my_{}\n", from.replace('-', "_"))), "{text}");
        sandbox.run(&format!("check my-{from}.yaml --strict")).code(0).says("ok").silent_on_stderr();
        sandbox.run(&format!("my-{from}.yaml --dry-run")).code(0);
    }
    // What one of them uses stands beside it.
    assert!(sandbox.exists("maintenance-on.yaml") && sandbox.exists("maintenance-off.yaml"));
    // Templates that nobody can ask for would be dead, and those not listed above unchecked.
    let help = sandbox.run("new --help").code(0).stdout;
    assert!(TEMPLATES.iter().all(|from| help.contains(from)));
    sandbox.run("new x --from scenario-4").code(2);
}

#[test]
fn the_first_plan_runs_as_it_is() {
    let sandbox = Sandbox::new();
    sandbox.run("new first").code(0).says("written: first.yaml");
    sandbox.run("first.yaml -p who=you").code(0).says("Hello you");
}

#[test]
fn a_new_plan_overwrites_nothing_and_has_a_name() {
    let sandbox = Sandbox::new();
    sandbox.write("there.yaml", "mine");
    sandbox.run("new there").code(2).complains("is there already");
    assert_eq!(sandbox.read("there.yaml"), "mine");
    sandbox.run("new 1st").code(2).complains("cannot be the name of a plan");
    sandbox.run("new none/x").code(2).complains("its directory is not there");
    sandbox.write("schemas/plan.schema.json", "{}").write("plans/other.txt", "");
    let ran = sandbox.run("new plans/next.yml --format json").code(0);
    assert_eq!(ran.json()["file"], "plans/next.yml");
    let text = sandbox.read("plans/next.yml");
    assert!(text.starts_with("# yaml-language-server: $schema=../schemas/plan.schema.json\n"), "{text}");
    assert!(!ran.stdout.contains("runplan schema"), "the schema is there");
}
