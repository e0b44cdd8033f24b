//! One judgement: each condition held against the answer; what was wanted and what was found instead, in words.

use super::changed;
use super::value::{compare, describe, equal, hashed, is_empty, look_up, of_shape, recorded, subject, words};
use super::{Answer, Tolerance, Verdict, Wanted, not_json};
use serde_json::{Map, Value};

/// Gathers what is wanted and what is not so.
pub struct Judge<'a> {
    pub answer: &'a Answer,
    pub expected: Vec<String>,
    /// What is not as it should be.
    pub actual: Vec<String>,
    pub differences: Option<Vec<Value>>,
}

impl Judge<'_> {
    pub fn hold(&mut self, holds: bool, expected: String, actual: impl FnOnce() -> String) {
        self.expected.push(expected);
        if !holds {
            let actual = actual();
            if !self.actual.contains(&actual) {
                self.actual.push(actual);
            }
        }
    }

    pub fn verdict(self) -> Verdict {
        let passed = self.actual.is_empty();
        let actual = if passed { describe(self.answer) } else { self.actual.join("; ") };
        let expected = if self.expected.is_empty() { "success".to_owned() } else { self.expected.join(", ") };
        Verdict { passed, expected, actual, differences: self.differences }
    }

    pub fn all(&mut self, wanted: &Wanted, name: &str) {
        let answer = self.answer;
        let now = subject(answer);
        let shown = || describe(answer);
        if let Some(value) = &wanted.equals {
            let holds = equal(value, &of_shape(answer, value), wanted.tolerance);
            self.hold(holds, words(value), shown);
        }
        if let Some(value) = &wanted.not {
            let holds = !equal(value, &of_shape(answer, value), wanted.tolerance);
            self.hold(holds, format!("not {}", words(value)), shown);
        }
        if let Some(value) = &wanted.at_least {
            let holds = compare(&now, value).is_some_and(std::cmp::Ordering::is_ge);
            self.hold(holds, format!("at least {}", words(value)), shown);
        }
        if let Some(value) = &wanted.at_most {
            let holds = compare(&now, value).is_some_and(std::cmp::Ordering::is_le);
            self.hold(holds, format!("at most {}", words(value)), shown);
        }
        if let Some((low, high)) = &wanted.between {
            let holds = compare(&now, low).is_some_and(std::cmp::Ordering::is_ge)
                && compare(&now, high).is_some_and(std::cmp::Ordering::is_le);
            self.hold(holds, format!("between {} and {}", words(low), words(high)), shown);
        }
        if let Some(empty) = wanted.empty {
            let expected = if empty { "nothing" } else { "something" };
            self.hold(is_empty(answer) == empty, expected.to_owned(), shown);
        }
        if let Some(pattern) = &wanted.matches {
            let text = now.as_str().map_or_else(|| words(&now), str::to_owned);
            let holds = !now.is_null() && regex::Regex::new(pattern).is_ok_and(|regex| regex.is_match(&text));
            self.hold(holds, format!("a match of /{pattern}/"), shown);
        }
        if let Some(earlier) = &wanted.unchanged_since {
            self.unchanged(earlier, wanted.tolerance, name);
        }
        if let Some(status) = wanted.status {
            let holds = answer.status == Some(status);
            self.hold(holds, format!("status {status}"), || match answer.status {
                Some(status) => format!("status {status}"),
                None => "no status".to_owned(),
            });
        }
        if let Some(Value::Object(paths)) = &wanted.json {
            self.paths(paths);
        } else if let Some(whole) = &wanted.json {
            let holds = answer.json.as_ref().is_some_and(|json| equal(whole, json, None));
            let shown = || answer.json.as_ref().map_or_else(|| not_json(answer), |_| describe(answer));
            self.hold(holds, format!("the JSON {}", words(whole)), shown);
        }
    }

    fn unchanged(&mut self, earlier: &Value, tolerance: Option<Tolerance>, name: &str) {
        let now = recorded(self.answer);
        let then = match earlier {
            Value::Array(results) if results.iter().all(|result| result.get("name").is_some()) => results
                .iter()
                .find(|result| result["name"] == name)
                .and_then(|result| result.get("value"))
                .cloned(),
            // What a backup recorded: check by check.
            Value::Object(record) if record.contains_key(name) => record.get(name).cloned(),
            other => Some(other.clone()),
        };
        if let Some(why) = then.as_ref().and_then(|then| then.get("failed")?.as_str()) {
            let actual = format!("`{name}` could not be recorded before: {why}");
            return self.hold(false, "as before".to_owned(), || actual);
        }
        match then {
            Some(then) if then.get("sha256").is_some() => {
                let holds = then == hashed(self.answer);
                if !holds && self.answer.rows.is_some() {
                    self.differences = Some(Vec::new());
                }
                self.hold(holds, "as before".to_owned(), || "it has changed".to_owned());
            }
            Some(then) => {
                let holds = equal(&then, &now, tolerance);
                if !holds
                    && let Some(rows) = &self.answer.rows
                    && (then.is_array() || then.is_object() || rows.rows.len() > 1)
                {
                    let differences = changed::differences(&then, rows);
                    let words = changed::words(&differences);
                    self.differences = Some(differences);
                    return self.hold(false, "the rows as before".to_owned(), || words);
                }
                self.hold(holds, format!("as before: {}", words(&then)), || words(&now));
            }
            None => self.hold(false, "as before".to_owned(), || format!("`{name}` was not recorded before")),
        }
    }

    fn paths(&mut self, paths: &Map<String, Value>) {
        let Some(json) = &self.answer.json else {
            self.hold(false, "JSON".to_owned(), || not_json(self.answer));
            return;
        };
        for (path, value) in paths {
            let found = look_up(json, path);
            let holds = found.is_some_and(|found| equal(value, found, None));
            // A number and its text, `true` and "true": only as JSON they look different.
            let alike = !holds && found.is_some_and(|found| words(found) == words(value));
            let told = |value: &Value| if alike { value.to_string() } else { words(value) };
            self.hold(holds, format!("{path} = {}", told(value)), || match found {
                Some(found) => format!("{path} = {}", told(found)),
                None => format!("there is no {path}"),
            });
        }
    }
}
