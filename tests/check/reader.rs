//! The reader of YAML: it agrees with the other parser on whatever is accepted, and never panics, whatever it is given.

use super::corpus::{plans, read};
use proptest::prelude::*;
use runplan::check::{CheckOptions, check};
use runplan::plan::node::{Kind, Node, Style, is_null, read as read_node};
use runplan::plan::{FileId, load};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The tree as plain data, by YAML's core schema: how `serde_yaml` reads the same text.
fn data(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar { text, style: Style::Plain } => plain(text),
        Kind::Scalar { text, .. } => Value::String(text.clone()),
        Kind::List(items) => items.iter().map(data).collect(),
        Kind::Map(entries) => {
            Value::Object(entries.iter().map(|(key, value)| (key.value.clone(), data(value))).collect())
        }
    }
}

fn plain(text: &str) -> Value {
    match text {
        text if is_null(text) => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => {
            let digits = text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
            let number = text.parse::<i64>().ok().map(Value::from);
            let number = number.or_else(|| {
                text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number)
            });
            number.filter(|_| digits).unwrap_or_else(|| Value::String(text.to_owned()))
        }
    }
}

fn other(text: &str) -> Value {
    let mut value: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    value.apply_merge().unwrap();
    json(&value)
}

fn json(value: &serde_yaml::Value) -> Value {
    use serde_yaml::Value as Yaml;
    match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => Value::Bool(*value),
        Yaml::Number(number) => serde_json::to_value(number).unwrap(),
        Yaml::String(text) => Value::String(text.clone()),
        Yaml::Sequence(items) => items.iter().map(json).collect(),
        Yaml::Mapping(map) => {
            let entries = map.iter().map(|(key, value)| {
                let key =
                    key.as_str().map_or_else(|| serde_json::to_string(&json(key)).unwrap(), str::to_owned);
                (key, json(value))
            });
            Value::Object(entries.collect::<Map<_, _>>())
        }
        Yaml::Tagged(tagged) => json(&tagged.value),
    }
}

fn accepted() -> Vec<PathBuf> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let shipped = std::fs::read_dir(shipped).unwrap().map(|entry| entry.unwrap().path());
    let shipped = shipped.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    plans("good").into_iter().chain(shipped).collect()
}

#[test]
fn both_parsers_read_the_same() {
    let mut files = accepted();
    // A bad plan that is YAML is read alike too.
    files.extend(plans("cases").into_iter().filter(|path| {
        let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        read_node(&text, FileId(0)).is_ok() && !text.contains("\\0")
    }));
    assert!(files.len() > 100);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let ours = data(&read_node(&text, FileId(0)).unwrap());
        assert_eq!(ours, other(&text), "{}", path.display());
    }
}

/// Cuts, doubles, swaps and replaces parts of a text.
fn mutated() -> impl Strategy<Value = String> {
    let texts: Vec<String> = plans("good")
        .iter()
        .chain(&plans("cases"))
        .map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())
        .filter(|text| text.len() < 4000)
        .collect();
    let change = (
        0..6usize,
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        "[\\PC\n\t{}\\[\\]'\"|>&*%:#-]{0,6}",
    );
    (prop::sample::select(texts), prop::collection::vec(change, 1..8)).prop_map(|(text, changes)| {
        let mut chars: Vec<char> = text.chars().collect();
        for (kind, one, other, insert) in changes {
            if chars.is_empty() {
                break;
            }
            let (a, b) = (one.index(chars.len()), other.index(chars.len()));
            let (start, end) = (a.min(b), a.max(b));
            let end = end.min(start + 40);
            match kind {
                0 => drop(chars.drain(start..end)),
                1 => {
                    let _ = chars.splice(start..start, insert.chars()).count();
                }
                2 => {
                    let copy: Vec<char> = chars[start..end].to_vec();
                    let _ = chars.splice(end..end, copy).count();
                }
                3 => chars.swap(a, b),
                4 => {
                    let _ = chars.splice(start..end, insert.chars()).count();
                }
                _ => chars.truncate(end.max(1)),
            }
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every finding stands inside its file, whatever the file holds.
    #[test]
    fn nothing_panics_on_mutated_plans(text in mutated()) {
        let loaded = load(("t.yaml", &text), None, &|_| Ok("SELECT 1".to_owned()));
        for finding in check(&loaded, &CheckOptions::default()) {
            if let Some(span) = finding.span {
                let source = loaded.sources.get(span.file).unwrap();
                prop_assert!(source.text.get(span.range()).is_some(), "{finding:?}");
            }
        }
    }
}

#[test]
fn good_plans_stay_good_with_windows_line_ends() {
    for path in plans("good") {
        let text = std::fs::read_to_string(&path).unwrap().replace('\n', "\r\n");
        let site = std::fs::read_to_string(path.with_extension("site.yaml")).ok();
        let plain = read(&path);
        let loaded = load(("t.yaml", &text), site.as_ref().map(|text| ("s", text.as_str())), &|file| {
            std::fs::read_to_string(path.parent().unwrap().join("files").join(file))
                .map_err(|error| error.to_string())
        });
        let found = check(&loaded, &CheckOptions::default());
        assert_eq!(found, [], "{}", path.display());
        assert_eq!(loaded.plan, plain.plan, "{}", path.display());
    }
}
