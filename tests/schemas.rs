//! The JSON Schemas are those of the Rust types, say something about every field, and accept what the reader accepts.

use runplan::plan::schema;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn compare(name: &str, schema: &Value) {
    let path = root().join("schemas").join(name);
    let text = serde_json::to_string_pretty(schema).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(root().join("schemas")).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == text,
        "{name} is out of date: UPDATE=1 writes it"
    );
}

#[test]
fn the_schemas_are_up_to_date() {
    compare("plan.schema.json", &schema::plan());
    compare("site.schema.json", &schema::site());
}

/// Every property with its path.
fn properties<'s>(schema: &'s Value, path: &str, found: &mut Vec<(String, &'s Value)>) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                if let ("properties", Value::Object(fields)) = (key.as_str(), value) {
                    for (name, field) in fields {
                        found.push((format!("{path}.{name}"), field));
                        properties(field, &format!("{path}.{name}"), found);
                    }
                } else if key != "examples" && key != "default" {
                    properties(value, &format!("{path}/{key}"), found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| properties(item, path, found)),
        _ => {}
    }
}

#[test]
fn every_property_has_a_description_and_examples() {
    let mut missing = Vec::new();
    for (name, schema) in [("plan", schema::plan()), ("site", schema::site())] {
        let mut found = Vec::new();
        properties(&schema, name, &mut found);
        assert!(found.len() > 30);
        for (path, field) in found {
            for key in ["description", "examples"] {
                if field.get(key).is_none_or(|value| {
                    value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty)
                }) {
                    missing.push(format!("{path}: no {key}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

fn as_json(text: &str) -> Value {
    let mut yaml: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    yaml.apply_merge().unwrap();
    serde_json::to_value(yaml).unwrap()
}

fn yaml_files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

fn is_site(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name == "runplan.yaml" || name.ends_with(".site.yaml")
}

#[test]
fn shipped_and_good_plans_are_valid() {
    let plan = jsonschema::validator_for(&schema::plan()).unwrap();
    let site = jsonschema::validator_for(&schema::site()).unwrap();
    let mut wrong = Vec::new();
    for path in
        yaml_files(&root().join("plans")).into_iter().chain(yaml_files(&root().join("tests/check/good")))
    {
        let value = as_json(&std::fs::read_to_string(&path).unwrap());
        let validator = if is_site(&path) { &site } else { &plan };
        for error in validator.iter_errors(&value) {
            wrong.push(format!("{}: {} at {}", path.display(), error, error.instance_path()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_has_the_wrong_shape_is_not_valid() {
    let plan = jsonschema::validator_for(&schema::plan()).unwrap();
    for name in [
        "unknown-step-field",
        "no-action",
        "two-actions",
        "missing-message",
        "unknown-word",
        "bad-duration",
        "two-questions",
    ] {
        let path = root().join(format!("tests/check/cases/{name}.yaml"));
        assert!(!plan.is_valid(&as_json(&std::fs::read_to_string(&path).unwrap())), "{name} is accepted");
    }
}

#[test]
fn every_shipped_plan_points_to_its_schema() {
    for path in yaml_files(&root().join("plans")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let kind = if is_site(&path) { "site" } else { "plan" };
        let line = format!("# yaml-language-server: $schema=../schemas/{kind}.schema.json");
        assert_eq!(text.lines().next(), Some(line.as_str()), "{}", path.display());
    }
}
