//! Rows as they were recorded before against those of now: what is missing, what is extra, what changed.

use crate::steps::sql::rows::Rows;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The differences, each as a row that says which it is. A row changed when another one begins with the same value.
pub fn differences(then: &Value, now: &Rows) -> Vec<Value> {
    let mut missing: Vec<Map<String, Value>> = match then {
        Value::Null => Vec::new(),
        Value::Array(rows) => rows.iter().map(|row| object(row, now)).collect(),
        row => vec![object(row, now)],
    };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let told = |row: &Map<String, Value>| Value::Object(row.clone()).to_string();
    let mut extra: Vec<Map<String, Value>> =
        now.rows.iter().map(|row| object(&now.object(row), now)).collect();
    extra.iter().for_each(|row| *counts.entry(told(row)).or_default() += 1);
    let mut both: BTreeMap<String, usize> = BTreeMap::new();
    missing.retain(|row| match counts.get_mut(&told(row)).filter(|count| **count > 0) {
        Some(count) => {
            *count -= 1;
            *both.entry(told(row)).or_default() += 1;
            false
        }
        None => true,
    });
    extra.retain(|row| match both.get_mut(&told(row)).filter(|count| **count > 0) {
        Some(count) => {
            *count -= 1;
            false
        }
        None => true,
    });
    let first = now.columns.first().filter(|_| now.columns.len() > 1);
    let mut found = Vec::new();
    for was in missing {
        let is_now = |is: &Map<String, Value>| first.is_some_and(|key| is.get(key) == was.get(key));
        found.push(match extra.iter().position(is_now) {
            Some(at) => difference("changed", turned(&was, &extra.remove(at))),
            None => difference("missing", was),
        });
    }
    found.extend(extra.into_iter().map(|row| difference("extra", row)));
    found
}

/// `2 missing, 1 changed`
pub fn words(differences: &[Value]) -> String {
    let count = |kind: &str| differences.iter().filter(|row| row["difference"] == kind).count();
    let parts = ["missing", "extra", "changed"].map(|kind| (count(kind), kind));
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} {kind}")).collect();
    if parts.is_empty() { "the same rows in another order".to_owned() } else { parts.join(", ") }
}

/// What was recorded of a single column is its value alone.
fn object(row: &Value, now: &Rows) -> Map<String, Value> {
    match (row, now.columns.as_slice()) {
        (Value::Object(row), _) => row.clone(),
        (value, columns) => {
            let column = columns.first().cloned().unwrap_or_else(|| "value".to_owned());
            Map::from_iter([(column, value.clone())])
        }
    }
}

/// Where the two differ, both values.
fn turned(was: &Map<String, Value>, is: &Map<String, Value>) -> Map<String, Value> {
    let plain = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "nothing".to_owned(),
    };
    let one = |(name, now): (&String, &Value)| {
        let value = match was.get(name) {
            Some(before) if before == now => now.clone(),
            before => format!("{} → {}", plain(before), plain(Some(now))).into(),
        };
        (name.clone(), value)
    };
    is.iter().map(one).collect()
}

fn difference(kind: &str, row: Map<String, Value>) -> Value {
    let mut all = Map::from_iter([("difference".to_owned(), kind.into())]);
    all.extend(row);
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(then: Value, columns: &[&str], now: Value) -> (Value, String) {
        let rows = now.as_array().unwrap().iter().map(|row| row.as_array().unwrap().clone()).collect();
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        let found = differences(&then, &Rows { columns, rows, affected: 0 });
        let words = words(&found);
        (Value::Array(found), words)
    }

    #[test]
    fn rows_are_missing_extra_or_changed() {
        let then = json!([{ "id": 1, "name": "a" }, { "id": 2, "name": "b" }, { "id": 3, "name": "c" }]);
        let (found, words) = of(then, &["id", "name"], json!([[2, "b"], [3, "x"], [4, "d"]]));
        assert_eq!(words, "1 missing, 1 extra, 1 changed");
        assert_eq!(
            found,
            json!([
                { "difference": "missing", "id": 1, "name": "a" },
                { "difference": "changed", "id": 3, "name": "c → x" },
                { "difference": "extra", "id": 4, "name": "d" },
            ])
        );
        let (found, _) = of(json!([1, 1, 2]), &["id"], json!([[1], [2]]));
        assert_eq!(found, json!([{ "difference": "missing", "id": 1 }]), "each of two that are alike");
        assert_eq!(of(Value::Null, &["id"], json!([[1], [2]])).1, "2 extra");
        assert_eq!(of(json!({ "id": 1, "n": 2 }), &["id", "n"], json!([])).1, "1 missing");
        assert_eq!(of(json!([1, 2]), &["id"], json!([[2], [1]])).1, "the same rows in another order");
    }
}
