//! What an answer must be, against what it is. Pure: the same answer and conditions always give the same verdict. Must
//! never pass what it cannot compare.

use super::sql::rows::Rows;
use crate::plan::template::{self, Scope};
use crate::plan::{Conditions, Json, Text};
use serde_json::{Map, Value};

/// The answer to a question.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// What the question itself finds wrong with it, without any `expect`: a failed program, a broken backup.
    pub wrong: Option<String>,
    /// What is wrong with it as long as the author expects nothing in particular.
    pub doubt: Option<Doubt>,
    /// A single value: stdout, a count.
    pub value: Value,
    /// The rows of a query.
    pub rows: Option<Rows>,
    pub status: Option<u16>,
    pub json: Option<Value>,
    /// One sentence that says it better than a count could.
    pub summary: Option<String>,
    /// More for the record: a file of differing rows, the tables.
    pub details: Map<String, Value>,
}

/// What is usually expected of such an answer, and what there is instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    pub expected: String,
    pub actual: String,
}

/// Conditions with their templates rendered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    pub equals: Option<Value>,
    pub not: Option<Value>,
    pub at_least: Option<Value>,
    pub at_most: Option<Value>,
    pub between: Option<(Value, Value)>,
    pub empty: Option<bool>,
    pub matches: Option<String>,
    pub unchanged_since: Option<Value>,
    pub tolerance: Option<Tolerance>,
    pub status: Option<u16>,
    pub json: Option<Value>,
}

/// How far a number may be off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    Absolute(f64),
    Percent(f64),
}

/// What came of a comparison, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub passed: bool,
    pub expected: String,
    pub actual: String,
}

impl Tolerance {
    /// `5` or `1%`.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, of) = match text.trim().strip_suffix('%') {
            Some(number) => (number, Self::Percent as fn(f64) -> Self),
            None => (text, Self::Absolute as fn(f64) -> Self),
        };
        number.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0).map(of)
    }

    /// Whether `actual` is near enough to `wanted`.
    pub fn admits(self, wanted: f64, actual: f64) -> bool {
        let most = match self {
            Self::Absolute(most) => most,
            Self::Percent(percent) => wanted.abs() * percent / 100.0,
        };
        (wanted - actual).abs() <= most
    }
}

/// Every text in the conditions, for their scope.
pub fn texts(conditions: &Conditions) -> Vec<&Text> {
    let single = [
        &conditions.equals,
        &conditions.not,
        &conditions.at_least,
        &conditions.at_most,
        &conditions.unchanged_since,
        &conditions.json,
    ];
    let pairs = conditions.between.iter().flatten();
    single.into_iter().flatten().chain(pairs).flat_map(Json::texts).collect()
}

impl Wanted {
    /// Renders the conditions.
    ///
    /// # Errors
    /// A template, or a condition that means nothing.
    pub fn new(conditions: &Conditions, scope: &Scope) -> Result<Self, String> {
        let mut render = |text: &Text| {
            template::value(&text.raw, scope).map_err(|error| format!("{error}, in `{}`", text.raw.trim()))
        };
        let mut build = |json: &Option<Json>| json.as_ref().map(|json| json.build(&mut render)).transpose();
        let between = match conditions.between.as_deref() {
            None => None,
            Some([low, high]) => Some((
                build(&Some(low.clone()))?.unwrap_or_default(),
                build(&Some(high.clone()))?.unwrap_or_default(),
            )),
            Some(_) => return Err("`between` wants two numbers".to_owned()),
        };
        let tolerance = match &conditions.tolerance {
            None => None,
            Some(text) => Some(Tolerance::parse(&text.value).ok_or_else(|| {
                format!("`tolerance: {}` is neither a number nor a percentage", text.value)
            })?),
        };
        Ok(Self {
            equals: build(&conditions.equals)?,
            not: build(&conditions.not)?,
            at_least: build(&conditions.at_least)?,
            at_most: build(&conditions.at_most)?,
            between,
            empty: conditions.empty,
            matches: conditions.matches.as_ref().map(|text| text.value.clone()),
            unchanged_since: build(&conditions.unchanged_since)?,
            tolerance,
            status: conditions.status,
            json: build(&conditions.json)?,
        })
    }

    /// Whether an answer is what it must be. `name`: the check's, by which an earlier result is found.
    pub fn judge(&self, answer: &Answer, name: &str) -> Verdict {
        let mut judge = Judge { answer, expected: Vec::new(), actual: Vec::new() };
        if let Some(wrong) = &answer.wrong
            && !(self.status.is_some() && answer.status.is_some())
        {
            judge.actual.push(wrong.clone());
        }
        judge.all(self, name);
        judge.verdict()
    }
}

/// The verdict on an answer for which the author expects nothing in particular.
pub fn judge_alone(answer: &Answer) -> Verdict {
    let mut judge = Judge { answer, expected: Vec::new(), actual: Vec::new() };
    judge.actual.extend(answer.wrong.clone());
    if let Some(doubt) = &answer.doubt {
        judge.hold(false, doubt.expected.clone(), || doubt.actual.clone());
    }
    judge.verdict()
}

/// A query is usually a question that is answered by one row that says true.
pub fn says_true(rows: &Rows) -> Option<Doubt> {
    let holds = matches!(rows.rows.as_slice(), [row] if row.first() == Some(&Value::Bool(true)));
    let actual = || describe(&Answer { rows: Some(rows.clone()), ..Answer::default() });
    (!holds).then(|| Doubt { expected: "one row that says true".to_owned(), actual: actual() })
}

struct Judge<'a> {
    answer: &'a Answer,
    expected: Vec<String>,
    /// What is not as it should be.
    actual: Vec<String>,
}

impl Judge<'_> {
    fn hold(&mut self, holds: bool, expected: String, actual: impl FnOnce() -> String) {
        self.expected.push(expected);
        if !holds {
            let actual = actual();
            if !self.actual.contains(&actual) {
                self.actual.push(actual);
            }
        }
    }

    fn verdict(self) -> Verdict {
        let passed = self.actual.is_empty();
        let actual = if passed { describe(self.answer) } else { self.actual.join("; ") };
        let expected = if self.expected.is_empty() { "success".to_owned() } else { self.expected.join(", ") };
        Verdict { passed, expected, actual }
    }

    fn all(&mut self, wanted: &Wanted, name: &str) {
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
            other => Some(other.clone()),
        };
        match then {
            Some(then) if then.get("sha256").is_some() => {
                let holds = then == hashed(self.answer);
                self.hold(holds, "as before".to_owned(), || "it has changed".to_owned());
            }
            Some(then) => {
                let holds = equal(&then, &now, tolerance);
                self.hold(holds, format!("as before: {}", words(&then)), || words(&now));
            }
            None => self.hold(false, "as before".to_owned(), || format!("`{name}` was not recorded before")),
        }
    }

    fn paths(&mut self, paths: &Map<String, Value>) {
        let Some(json) = &self.answer.json else {
            self.hold(false, "JSON".to_owned(), || "the answer is not JSON".to_owned());
            return;
        };
        for (path, value) in paths {
            let found = look_up(json, path);
            let holds = found.is_some_and(|found| equal(value, found, None));
            self.hold(holds, format!("{path} = {}", words(value)), || match found {
                Some(found) => format!("{path} = {}", words(found)),
                None => format!("there is no {path}"),
            });
        }
    }
}

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
fn subject(answer: &Answer) -> Value {
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
fn of_shape(answer: &Answer, wanted: &Value) -> Value {
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

fn is_empty(answer: &Answer) -> bool {
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

fn equal(wanted: &Value, actual: &Value, tolerance: Option<Tolerance>) -> bool {
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

fn compare(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
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

fn words(value: &Value) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of_rows(columns: &[&str], rows: Value) -> Answer {
        let rows = rows.as_array().unwrap().iter().map(|row| row.as_array().unwrap().clone()).collect();
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        Answer { rows: Some(Rows { columns, rows, affected: 0 }), ..Answer::default() }
    }

    fn of_value(value: Value) -> Answer {
        Answer { value, ..Answer::default() }
    }

    #[test]
    fn each_condition_passes_and_fails() {
        let one = |value: Value| of_rows(&["a"], json!([[value]]));
        let none = || of_rows(&["a"], json!([]));
        let many = || of_rows(&["a"], json!([[1], [2]]));
        let with = |set: &dyn Fn(&mut Wanted)| {
            let mut wanted = Wanted::default();
            set(&mut wanted);
            wanted
        };
        let equals = |value: Value| with(&|wanted| wanted.equals = Some(value.clone()));
        let cases: Vec<(Wanted, Answer, bool)> = vec![
            (equals(json!(3)), one(json!(3)), true),
            (equals(json!(3)), one(json!(4)), false),
            (equals(json!(3)), none(), false),
            (equals(json!(1)), many(), false),
            (equals(json!(null)), one(json!(null)), true),
            (equals(json!(null)), none(), false),
            (equals(json!(3)), one(json!("3.0")), true),
            (equals(json!("3")), one(json!(3)), true),
            (equals(json!(true)), one(json!("true")), false),
            (equals(json!([1, 2])), many(), true),
            (equals(json!([1])), one(json!(1)), true),
            (equals(json!([])), none(), true),
            (equals(json!({ "a": 1, "b": "x" })), of_rows(&["a", "b"], json!([[1, "x"]])), true),
            (equals(json!(9007199254740993_i64)), one(json!(9007199254740992_i64)), false),
            (with(&|w| w.not = Some(json!(0))), one(json!(1)), true),
            (with(&|w| w.not = Some(json!(0))), one(json!(0)), false),
            (with(&|w| w.at_least = Some(json!(2))), one(json!(2)), true),
            (with(&|w| w.at_least = Some(json!(2))), one(json!(1)), false),
            (with(&|w| w.at_least = Some(json!(2))), one(json!("many")), false),
            (with(&|w| w.at_least = Some(json!(2))), none(), false),
            (with(&|w| w.at_most = Some(json!(2.5))), one(json!(2)), true),
            (with(&|w| w.at_most = Some(json!(2))), one(json!(null)), false),
            (with(&|w| w.between = Some((json!(1), json!(3)))), one(json!(3)), true),
            (with(&|w| w.between = Some((json!(1), json!(3)))), one(json!(4)), false),
            (with(&|w| w.empty = Some(true)), none(), true),
            (with(&|w| w.empty = Some(true)), many(), false),
            (with(&|w| w.empty = Some(false)), many(), true),
            (with(&|w| w.empty = Some(true)), of_value(json!(" \n")), true),
            (with(&|w| w.matches = Some("^v\\d+".into())), one(json!("v12")), true),
            (with(&|w| w.matches = Some("^v\\d+".into())), one(json!("12")), false),
            (with(&|w| w.matches = Some("(".into())), one(json!("(")), false),
            (
                with(&|w| {
                    w.equals = Some(json!(100));
                    w.tolerance = Tolerance::parse("1%");
                }),
                one(json!(101)),
                true,
            ),
            (
                with(&|w| {
                    w.equals = Some(json!(100));
                    w.tolerance = Tolerance::parse("1%");
                }),
                one(json!(102)),
                false,
            ),
        ];
        for (wanted, answer, passes) in cases {
            let verdict = wanted.judge(&answer, "it");
            assert_eq!(verdict.passed, passes, "{wanted:?} on {answer:?}: {verdict:?}");
        }
    }

    #[test]
    fn an_answer_to_http_is_looked_into() {
        let json = json!({ "status": "healthy", "services": { "database": { "status": "connected" } }, "n": [1, 2],
                           "a.b": 7 });
        let answer = Answer { status: Some(200), json: Some(json), ..Answer::default() };
        let judge = |json: Value, status| {
            Wanted { json: Some(json), status, ..Wanted::default() }.judge(&answer, "it")
        };
        assert!(
            judge(json!({ "services.database.status": "connected", "n.1": 2, "a.b": 7 }), Some(200)).passed
        );
        let verdict = judge(json!({ "services.database.status": "down", "nowhere": 1 }), Some(503));
        assert!(!verdict.passed);
        assert_eq!(verdict.actual, "status 200; services.database.status = connected; there is no nowhere");
    }

    #[test]
    fn without_expect_a_query_must_say_true_once() {
        let of = |rows: Value| {
            let answer = of_rows(&["ok"], rows);
            judge_alone(&Answer { doubt: answer.rows.as_ref().and_then(says_true), ..answer }).passed
        };
        assert!(of(json!([[true]])));
        assert!(!of(json!([[false]])) && !of(json!([])) && !of(json!([[true], [true]])) && !of(json!([[1]])));
        assert!(judge_alone(&of_value(json!("x"))).passed);
        let wrong = Answer { wrong: Some("exit code 1".into()), ..Answer::default() };
        assert_eq!(judge_alone(&wrong).actual, "exit code 1");
        assert!(!Wanted { equals: Some(json!(null)), ..Wanted::default() }.judge(&wrong, "it").passed);
    }

    #[test]
    fn unchanged_since_finds_its_own_earlier_result() {
        let large = of_rows(&["a"], (0..2000).map(|n| json!([n])).collect());
        let other = of_rows(&["a"], (0..2001).map(|n| json!([n])).collect());
        for (then, now, same) in [
            (of_rows(&["a"], json!([[5]])), of_rows(&["a"], json!([[5]])), true),
            (of_rows(&["a"], json!([[5]])), of_rows(&["a"], json!([[6]])), false),
            (large.clone(), large.clone(), true),
            (large, other, false),
        ] {
            let results =
                json!([{ "name": "other", "value": 1 }, { "name": "it", "value": recorded(&then) }]);
            let wanted = Wanted { unchanged_since: Some(results), ..Wanted::default() };
            assert_eq!(wanted.judge(&now, "it").passed, same);
            assert!(!wanted.judge(&now, "unknown").passed);
        }
    }
}
