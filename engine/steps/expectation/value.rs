//! Values of an answer: picked, compared, recorded, described. What cannot be compared is never equal.

use super::{Answer, Tolerance};
use crate::steps::sql::rows::Rows;
use serde_json::{Map, Value};

/// A dotted path into JSON; a number picks an item of a list. A key that itself holds dots is found too.
pub fn look_up<'v>(json: &'v Value, path: &str) -> Option<&'v Value> {
    if path.is_empty() {
        return Some(json);
    }
    if let Value::Array(items) = json {
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        return look_up(items.get(first.parse::<usize>().ok()?)?, rest);
    }
    let map = json.as_object()?;
    if let Some(found) = map.get(path) {
        return Some(found);
    }
    path.match_indices('.').find_map(|(at, _)| look_up(map.get(&path[..at])?, &path[at + 1..]))
}

/// What is compared: the only value, or all values of the only column, or the rows as objects.
pub fn subject(answer: &Answer) -> Value {
    let Some(rows) = &answer.rows else { return answer.value.clone() };
    match rows.rows.as_slice() {
        [row] if row.len() == 1 => row.first().cloned().unwrap_or_default(),
        [row] => rows.object(row),
        [] => Value::Null,
        _ => all_rows(rows),
    }
}

fn all_rows(rows: &Rows) -> Value {
    let single = |row: &Vec<Value>| row.first().cloned().unwrap_or_default();
    match rows.columns.len() {
        1 => rows.rows.iter().map(single).collect(),
        _ => rows.rows.iter().map(|row| rows.object(row)).collect(),
    }
}

/// A list is compared with all rows, however many there are, and a value with the first column of the only row.
pub fn of_shape(answer: &Answer, wanted: &Value) -> Value {
    match (&answer.rows, wanted) {
        (Some(rows), Value::Array(_)) => all_rows(rows),
        (Some(rows), Value::Object(_)) if rows.rows.len() == 1 => {
            rows.rows.first().map(|row| rows.object(row)).unwrap_or_default()
        }
        (Some(rows), _) if rows.rows.len() == 1 => {
            rows.rows.first().and_then(|row| row.first()).cloned().unwrap_or_default()
        }
        (Some(rows), Value::Null) if rows.rows.is_empty() => Value::String("no rows".to_owned()),
        _ => subject(answer),
    }
}

/// What a later `unchanged_since` compares with: small answers as they are, large ones by their hash.
pub fn recorded(answer: &Answer) -> Value {
    let value = whole(answer);
    if value.to_string().len() <= LARGEST_RECORD { value } else { hashed(answer) }
}

/// An answer of which only its hash may be kept.
pub fn hashed(answer: &Answer) -> Value {
    let mut map = Map::new();
    if let Some(rows) = &answer.rows {
        map.insert("rows".to_owned(), rows.rows.len().into());
    }
    let text = whole(answer).to_string();
    map.insert("sha256".to_owned(), crate::plan::digest::sha256(text.as_bytes()).into());
    Value::Object(map)
}

fn whole(answer: &Answer) -> Value {
    match (&answer.rows, &answer.json) {
        (Some(_), _) => subject(answer),
        (None, Some(json)) => json.clone(),
        (None, None) => answer.value.clone(),
    }
}

/// Most bytes of an answer that are kept as they are.
const LARGEST_RECORD: usize = 4096;
/// Most characters of a value in a message.
const LONGEST_WORDS: usize = 200;

pub fn is_empty(answer: &Answer) -> bool {
    match &answer.rows {
        Some(rows) => rows.rows.is_empty(),
        None => match &answer.value {
            Value::Null => answer.json.as_ref().is_none_or(Value::is_null),
            Value::String(text) => text.trim().is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(entries) => entries.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        },
    }
}

pub fn equal(wanted: &Value, actual: &Value, tolerance: Option<Tolerance>) -> bool {
    if let (Some(tolerance), Some(wanted), Some(actual)) = (tolerance, number(wanted), number(actual)) {
        return tolerance.admits(wanted, actual);
    }
    match (wanted, actual) {
        (Value::Array(wanted), Value::Array(actual)) => {
            wanted.len() == actual.len()
                && wanted.iter().zip(actual).all(|(wanted, actual)| equal(wanted, actual, tolerance))
        }
        (Value::Object(wanted), Value::Object(actual)) => {
            wanted.len() == actual.len()
                && wanted.iter().all(|(key, wanted)| {
                    actual.get(key).is_some_and(|actual| equal(wanted, actual, tolerance))
                })
        }
        // A numeric with many digits, or what a program printed, is a text: the number in it counts.
        (Value::Number(_), _) | (_, Value::Number(_)) => {
            compare(actual, wanted) == Some(std::cmp::Ordering::Equal)
        }
        _ => wanted == actual,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

pub fn compare(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    let whole = |value: &Value| match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse::<i64>().ok(),
        _ => None,
    };
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => number(left)?.partial_cmp(&number(right)?),
    }
}

pub fn words(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    short(&text)
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST_WORDS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// An answer in words.
pub fn describe(answer: &Answer) -> String {
    if let Some(summary) = &answer.summary {
        return summary.clone();
    }
    if let Some(rows) = &answer.rows {
        return match rows.rows.len() {
            0 => "no rows".to_owned(),
            1 if rows.columns.len() == 1 => words(&subject(answer)),
            1 => "1 row".to_owned(),
            many => format!("{many} rows"),
        };
    }
    match (answer.status, &answer.value) {
        (Some(status), _) => format!("status {status}"),
        (None, Value::Null) => "success".to_owned(),
        (None, value) => words(value),
    }
}
