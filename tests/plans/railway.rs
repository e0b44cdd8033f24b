//! The fragments for Railway, run by themselves; and the schema that the stand-in holds requests against.

use crate::support::graphql::{Def, Schema};
use crate::support::railway::{Railway, SCHEMA, TOKEN, Trouble};
use crate::support::sandbox::Sandbox;
use serde_json::{Value, json};

fn sandbox() -> Sandbox {
    Sandbox::new().variable("RAILWAY_TOKEN", TOKEN)
}

fn line(plan: &str, railway: &Railway) -> String {
    format!(
        "{}/plans/{plan}.yaml -p api={} -p environment=env -p service=app --plain",
        env!("CARGO_MANIFEST_DIR"),
        railway.url
    )
}

#[test]
fn maintenance_is_a_variable_and_a_deployment_that_is_waited_for() {
    let railway = Railway::start(|| {});
    railway.state().troubles =
        vec![("serviceInstanceDeployV2", Trouble::Lost), ("deployment", Trouble::Limited)];
    sandbox().run(&format!("{} -p project=project", line("maintenance-on", &railway))).code(0);
    sandbox().run(&format!("{} -p project=project", line("maintenance-off", &railway))).code(0);
    let set = railway.state().variables.clone();
    let names: Vec<_> =
        set.iter().map(|(of, name, value)| (of.as_str(), name.as_str(), value.as_str())).collect();
    assert_eq!(names, [("app", "MAINTENANCE_MODE", "true"), ("app", "MAINTENANCE_MODE", "false")]);
    assert_eq!(railway.state().invalid, Vec::<String>::new());
}

#[test]
fn a_deployment_that_crashes_is_a_failure_with_its_state() {
    let railway = Railway::start(|| {});
    railway.state().status = "CRASHED";
    let sandbox = sandbox();
    sandbox.run(&line("railway-deploy", &railway)).code(4).says("CRASHED");
    railway.state().status = "SUCCESS";
    let run = sandbox.only_run();
    sandbox.run(&format!("resume {run} --plain")).code(0);
    assert!(sandbox.run(&format!("status {run} --format json")).stdout.contains("listening"));
}

#[test]
fn a_wrong_token_is_said() {
    let railway = Railway::start(|| {});
    let sandbox = Sandbox::new().variable("RAILWAY_TOKEN", "another-token");
    sandbox.run(&line("railway-deploy", &railway)).code(4).says("Not Authorized");
}

#[test]
fn a_request_that_the_schema_does_not_allow_is_refused() {
    let schema = Schema::parse(SCHEMA);
    let read =
        |query: &str, variables: Value| schema.read(&json!({ "query": query, "variables": variables }));
    assert!(read("query($i: String!) { deployment(id: $i) { status } }", json!({ "i": "x" })).is_ok());
    for (query, variables, why) in [
        ("query($i: String!) { deployment(id: $i) { state } }", json!({ "i": "x" }), "no field `state`"),
        ("query($i: String!) { deployment(ID: $i) { status } }", json!({ "i": "x" }), "no argument `ID`"),
        ("query($i: String!) { deployment(id: $i) { status } }", json!({ "i": 5 }), "must be String!"),
        ("query($i: String!) { deployment(id: $i) { status } }", json!({}), "is missing"),
        (
            "query($i: Int!) { deployment(id: $i) { status } }",
            json!({ "i": 5 }),
            "id of deployment is String!",
        ),
        ("{ deployment { status } }", json!({}), "needs `id`"),
        ("{ deployment(id: \"x\") }", json!({}), "needs its fields named"),
        ("{ deployment(id: \"x\") { status } }", json!({ "i": 1 }), "not declared"),
        ("mutation { deployment(id: \"x\") { status } }", json!({}), "Mutation has no field"),
        (
            "mutation($i: VariableUpsertInput!) { variableUpsert(input: $i) }",
            json!({ "i": { "environmentId": "e", "projectId": "p", "name": "n", "val": "v" } }),
            "no field `val`",
        ),
    ] {
        let refused = read(query, variables).unwrap_err();
        assert!(refused.contains(why), "{query}: {refused}");
    }
}

fn name_of(of: &Value) -> String {
    match of["kind"].as_str() {
        Some("NON_NULL") => format!("{}!", name_of(&of["ofType"])),
        Some("LIST") => format!("[{}]", name_of(&of["ofType"])),
        _ => of["name"].as_str().unwrap().to_owned(),
    }
}

/// Where the introspection of the real API is at hand, beside the project, ours is a true part of it.
#[test]
fn the_schema_is_a_part_of_the_real_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/reference/railway-schema.json");
    let Ok(text) = std::fs::read_to_string(path) else { return };
    let real: Value = serde_json::from_str(&text).unwrap();
    let types = real["data"]["__schema"]["types"].as_array().unwrap();
    let list = |of: &Value| of.as_array().cloned().unwrap_or_default();
    let found = |items: &[Value], name: &str| items.iter().find(|item| item["name"] == name).cloned();
    for (name, def) in &Schema::parse(SCHEMA).0 {
        let real = found(types, name).unwrap_or_else(|| panic!("there is no {name}"));
        match def {
            Def::Scalar => assert_eq!(real["kind"], "SCALAR", "{name}"),
            Def::Enum(values) => {
                let mut real: Vec<String> = list(&real["enumValues"])
                    .iter()
                    .map(|one| one["name"].as_str().unwrap().to_owned())
                    .collect();
                let mut ours = values.clone();
                real.sort();
                ours.sort();
                assert_eq!(ours, real, "{name}");
            }
            Def::Input(fields) => {
                let all = list(&real["inputFields"]);
                assert_eq!(fields.len(), all.len(), "{name}");
                for (field, of) in fields {
                    assert_eq!(*of, name_of(&found(&all, field).unwrap()["type"]), "{name}.{field}");
                }
            }
            Def::Object(fields) => {
                for (field, ours) in fields {
                    let real = found(&list(&real["fields"]), field);
                    let real = real.unwrap_or_else(|| panic!("there is no {name}.{field}"));
                    assert_eq!(ours.of, name_of(&real["type"]), "{name}.{field}");
                    let args = list(&real["args"]);
                    assert_eq!(ours.args.len(), args.len(), "{name}.{field}");
                    for (arg, of) in &ours.args {
                        assert_eq!(
                            *of,
                            name_of(&found(&args, arg).unwrap()["type"]),
                            "{name}.{field}({arg})"
                        );
                    }
                }
            }
        }
    }
}
