//! `check`: every fault in one pass, each at its place.

use crate::support::sandbox::Sandbox;

const BAD: &str = "\
runplan: 1
name: bad
steps:
  - id: one
    shell: { argv: [echo, \"{{ params.nope }}\"], changes: none }
  - id: two
    needs: [on]
    shel: { argv: [\"true\"] }
";

#[test]
fn a_good_plan_is_ok() {
    let sandbox = Sandbox::new();
    sandbox.plan("steps:\n  - { id: a, notify: { channels: [console], message: m } }\n");
    sandbox.run("check plan.yaml").code(0).says("ok  plan.yaml  1 step").silent_on_stderr();
    let json = sandbox.run("check plan.yaml --format json").code(0).json();
    assert_eq!(json, serde_json::json!({ "format": 1, "findings": [] }));
    sandbox.run("check -q plan.yaml").code(0).silent_on_stderr();
}

#[test]
fn all_faults_are_shown_at_their_place() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.yaml", BAD);
    let ran = sandbox.run("check bad.yaml").code(3);
    let text = ran.stderr.clone();
    for part in [
        "runplan::check::unknown_param",
        "[bad.yaml:5:31]",
        "runplan::plan::unknown_field",
        "did you mean `shell`?",
        "errors",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours off a terminal");
}

#[test]
fn findings_for_programs_have_lines_and_columns() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.yaml", BAD);
    let json = sandbox.run("check bad.yaml --format json").code(3).json();
    let findings = json["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["code"] == "runplan::check::unknown_param").unwrap();
    assert_eq!(found["severity"], "error");
    assert_eq!(found["file"], "bad.yaml");
    assert_eq!((&found["line"], &found["column"]), (&5.into(), &31.into()));
    assert_eq!((&found["end_line"], &found["end_column"]), (&5.into(), &42.into()));
}

#[test]
fn several_plans_are_checked_in_one_go() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.yaml", BAD);
    sandbox.plan("steps:\n  - { id: a, notify: { channels: [console], message: m } }\n");
    let ran = sandbox.run("check bad.yaml missing.yaml plan.yaml").code(3);
    ran.says("ok  plan.yaml").complains("missing.yaml cannot be read").complains("unknown_param");
}

#[test]
fn a_fault_of_the_site_file_is_told_once_for_all_plans() {
    let sandbox = Sandbox::new();
    let step = "steps:\n  - { id: a, notify: { channels: [console], message: m } }\n";
    sandbox.write("plans/a.yaml", &format!("runplan: 1\nname: a\n{step}"));
    sandbox.write("plans/b.yaml", &format!("runplan: 1\nname: b\n{step}"));
    sandbox.write("runplan.yaml", "runplan: 1\ncontact: {}\n");
    let ran = sandbox.run("check plans/a.yaml plans/b.yaml runplan.yaml").code(3);
    assert_eq!(ran.stderr.matches("did you mean `contacts`?").count(), 1, "{}", ran.stderr);
}

#[test]
fn what_is_no_plan_gets_one_clear_error() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("directory")).unwrap();
    std::fs::write(sandbox.path("binary.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    sandbox.write("empty.yaml", "");
    sandbox.write("text.yaml", "just text");
    sandbox.write("open.yaml", "a: [1, 2");
    sandbox.write("large.yaml", &"# nothing\n".repeat(1_000_000));
    sandbox.run("check nothing.yaml").code(3).complains("there is no such file");
    sandbox.run("check directory").code(3).complains("it is a directory");
    sandbox.run("check binary.yaml").code(3).complains("it is not UTF-8 text (byte 0)");
    sandbox.run("check large.yaml").code(3).complains("the most is");
    for name in ["empty.yaml", "text.yaml", "open.yaml"] {
        sandbox.run(&format!("check {name}")).code(3).complains(name).complains("1 error");
    }
}

#[test]
fn an_alias_bomb_is_refused_quickly() {
    let sandbox = Sandbox::new();
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let inner = format!("*a{},", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
    }
    sandbox.write("bomb.yaml", &text);
    let began = runplan::clock::Stopwatch::start();
    sandbox.run("check bomb.yaml").code(3);
    assert!(began.elapsed().as_secs() < 10);
}

#[test]
fn warnings_stop_only_with_strict() {
    let sandbox = Sandbox::new();
    sandbox.plan("params: { unused: { type: string } }\nsteps:\n  - { id: a, notify: { channels: [console], message: m } }\n");
    sandbox.run("check plan.yaml").code(0).complains("warning");
    sandbox.run("check plan.yaml --strict").code(3);
}

#[test]
fn what_an_included_plan_is_given_is_held_to_its_parameter_when_the_values_are_known() {
    let sandbox = Sandbox::new().variable("RUNPLAN_PARAM_W", "hush");
    sandbox
        .write(
            "inner.yaml",
            "runplan: 1\nname: inner\nparams:\n  most: { type: integer, required: true, max: 10 }\n  \
             word: { type: string, pattern: '[a-z]+', required: true, secret: true }\nsteps:\n  \
             - { id: say, notify: { channels: [console], message: '{{ params.most }}' } }\n  \
             - { id: hush, shell: { argv: ['true'], env: { W: '{{ params.word }}' }, changes: none, repeatable: true } }\n",
        )
        .plan(
            "params:\n  n: { type: integer, default: 5 }\n  w: { type: string, required: true, secret: true }\nsteps:\n  \
             - { id: sub, uses: inner.yaml, with: { params: { most: '{{ params.n }}', word: 'x{{ params.w }}' } } }\n",
        );
    sandbox.run("check plan.yaml").code(0);
    sandbox.run("plan.yaml --dry-run -p n=10").code(0).says("10");
    for line in ["plan.yaml --dry-run -p n=11", "plan.yaml -p n=11", "preflight plan.yaml -p n=11"] {
        sandbox
            .run(line)
            .code(3)
            .complains("`inner.yaml` cannot take this as `most`: it is 11, more than 10");
    }
    // A secret is not repeated.
    let ran = sandbox.variable("RUNPLAN_PARAM_W", "HUSH").run("plan.yaml").code(3);
    let ran = ran.complains("`inner.yaml` cannot take this as `word`");
    assert!(!ran.all().contains("HUSH"));
}
