//! What an answer must be, against what it is. Pure: the same answer and conditions always give the same verdict. Must
//! never pass what it cannot compare.

mod changed;
mod judge;
mod value;

pub use value::{describe, hashed, look_up, recorded};

use super::sql::rows::Rows;
use crate::plan::template::{self, Scope};
use crate::plan::{Conditions, Json, Text};
use judge::Judge;
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
    /// Why this is neither a yes nor a no to a probe: whoever was asked could not say.
    pub silent: Option<String>,
    /// The rows of a query.
    pub rows: Option<Rows>,
    pub status: Option<u16>,
    pub json: Option<Value>,
    /// It was read only so far, and may be JSON as a whole.
    pub cut: Option<u64>,
    /// There was nothing to ask with: it proves nothing, and is not counted as passed.
    pub left_out: bool,
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
    /// In place of the rows of the answer: how they differ from earlier ones.
    pub differences: Option<Vec<Value>>,
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
        let mut judge = Judge { answer, expected: Vec::new(), actual: Vec::new(), differences: None };
        if let Some(wrong) = &answer.wrong
            && !(self.status.is_some() && answer.status.is_some())
        {
            judge.actual.push(wrong.clone());
        }
        judge.all(self, name);
        judge.verdict()
    }
}

/// Why there is no JSON to look into.
pub fn not_json(answer: &Answer) -> String {
    match answer.cut {
        Some(limit) => format!("the answer is larger than {} MiB, too large to be read as JSON", limit >> 20),
        None => "the answer is not JSON".to_owned(),
    }
}

/// The verdict on an answer for which the author expects nothing in particular.
pub fn judge_alone(answer: &Answer) -> Verdict {
    let mut judge = Judge { answer, expected: Vec::new(), actual: Vec::new(), differences: None };
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
    fn a_word_and_its_text_are_told_apart() {
        let answer = Answer { status: Some(200), json: Some(json!({ "a": "true" })), ..Answer::default() };
        let verdict = Wanted { json: Some(json!({ "a": true })), ..Wanted::default() }.judge(&answer, "it");
        assert_eq!((verdict.actual.as_str(), verdict.expected.as_str()), ("a = \"true\"", "a = true"));
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
