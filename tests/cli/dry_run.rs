//! The dry run touches nothing, needs nothing, and gives the same bytes each time.

use crate::support::sandbox::Sandbox;

fn scenario_2() -> String {
    let plan = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/scenario-2.yaml");
    shlex::try_quote(plan.to_str().unwrap()).unwrap().into_owned()
}

#[test]
fn the_shipped_plan_is_reviewed_without_server_secrets_or_parameters() {
    let sandbox = Sandbox::new();
    let plan = scenario_2();
    let ran = sandbox.run(&format!("{plan} --dry-run")).code(0).silent_on_stderr();
    let ran = ran.says("Wave 1").says("switched").says("‹param backup›");
    assert!(!sandbox.state().exists(), "a dry run leaves nothing behind");
    let again = sandbox.run(&format!("run {plan} --dry-run")).code(0);
    assert_eq!(ran.stdout, again.stdout);
}

#[test]
fn it_is_json_and_markdown_too() {
    let sandbox = Sandbox::new();
    let plan = scenario_2();
    let json = sandbox.run(&format!("{plan} --dry-run --format json")).code(0).json();
    assert_eq!(json["format"], 1);
    assert_eq!(json["plan"], "scenario_2");
    assert_eq!(json["digest"], serde_json::Value::Null, "a required parameter is missing");
    assert_eq!(json["plan_digest"].as_str().unwrap().len(), 64);
    assert_eq!(json["steps"].as_array().unwrap().len(), 20);
    let markdown = sandbox.run(&format!("{plan} --dry-run --format markdown")).code(0).stdout;
    assert!(markdown.starts_with('#') && markdown.contains("safety_backup"), "{markdown}");
}

#[test]
fn the_digest_is_that_of_plan_and_values() {
    let sandbox = Sandbox::new();
    let plan = scenario_2();
    let digest = |values: &str| {
        let json = sandbox.run(&format!("{plan} --dry-run --format json {values}")).code(0).json();
        json["digest"].as_str().unwrap().to_owned()
    };
    assert_eq!(digest("-p backup=a"), digest("-p backup=a"));
    assert_ne!(digest("-p backup=a"), digest("-p backup=b"));
    let other = format!("{plan} --dry-run -p backup=b --expect-digest {}", digest("-p backup=a"));
    sandbox.run(&other).code(6).complains("not the one that was reviewed");
    sandbox.run(&format!("{plan} --dry-run -p backup=b --expect-digest {}", digest("-p backup=b"))).code(0);
}

#[test]
fn values_come_from_everywhere_in_order() {
    let sandbox =
        Sandbox::new().variable("RUNPLAN_PARAM_A", "from env").variable("RUNPLAN_PARAM_B", "from env");
    sandbox.plan(
        "params:\n  a: { type: string, required: true }\n  b: { type: string, required: true }\n  c: { type: integer, required: true }\n  d: { type: string, default: from default }\n\
         steps:\n  - { id: s, notify: { channels: [console], message: \"{{ params.a }}{{ params.b }}{{ params.c }}{{ params.d }}\" } }\n",
    );
    sandbox.write("values.yaml", "b: from file\nc: 7\n");
    let json = sandbox.run("plan.yaml --dry-run --format json --params values.yaml -p c=8").code(0).json();
    assert_eq!(
        json["params"],
        serde_json::json!({ "a": "from env", "b": "from file", "c": 8, "d": "from default" })
    );
}

#[test]
fn wrong_values_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.plan(
        "params:\n  n: { type: integer, required: true }\n  word: { type: string, secret: true, required: true }\n\
         steps:\n  - { id: s, shell: { argv: [echo, \"{{ params.n }}\"], env: { W: \"{{ params.word }}\" }, changes: none } }\n",
    );
    sandbox.run("plan.yaml --dry-run -p n=abc").code(3).complains("`abc` is not a whole number");
    sandbox.run("plan.yaml --dry-run -p m=1").code(3).complains("known here: n, word");
    sandbox.run("plan.yaml --dry-run -p n").code(2).complains("has no `=`");
    sandbox
        .run("plan.yaml --dry-run -p word=hunter22")
        .code(2)
        .complains("everybody on this machine can read it");
    sandbox.run("plan.yaml").code(3).complains("the parameter `n` has no value");
    sandbox.write("values.yaml", "- 1\n");
    sandbox.run("plan.yaml --dry-run --params values.yaml").code(3).complains("not a list of parameters");
    sandbox.write("values.yaml", "n: [\n");
    sandbox.run("plan.yaml --dry-run --params values.yaml").code(3).complains("values.yaml:");
    sandbox.run("plan.yaml --dry-run --params nothing.yaml").code(3).complains("there is no such file");
}

#[test]
fn values_that_a_template_fails_with_are_refused_at_their_place() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "plan.yaml",
        "runplan: 1\nname: t\nparams:\n  l: { type: list, required: true }\nsteps:\n  \
         - { id: a, notify: { channels: [console], message: \"{{ params.l[0] }}\" } }\n",
    );
    sandbox.run("plan.yaml --dry-run").code(0);
    sandbox.run("plan.yaml --dry-run -p l=a").code(0).says("message");
    for line in ["plan.yaml --dry-run -p l=", "plan.yaml -p l="] {
        sandbox.run(line).code(3).complains("template_fails").complains("plan.yaml:6:");
    }
    assert!(!sandbox.state().exists(), "nothing was begun");
}

#[test]
fn the_errors_that_values_make_are_shown_at_their_place() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "plan.yaml",
        "runplan: 1\nname: t\ndatabases: { app: { url: \"postgres://h/d\" } }\nparams:\n  l: { type: list, default: [a] }\n\
         steps:\n  - { id: b, for_each: \"{{ params.l }}\", backup: { database: app, to: \"./{{ each.value }}\" } }\n  \
         - { id: go, approve: { message: m } }\n  \
         - { id: gone, sql: { database: app, statement: DROP TABLE t } }\n",
    );
    sandbox.run("plan.yaml --dry-run").code(0);
    sandbox.run("plan.yaml --dry-run -p l=").code(3).complains("check::unguarded").complains("plan.yaml:9:");
}
