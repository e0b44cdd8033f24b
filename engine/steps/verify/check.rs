//! One check: asked until it passes or its tries are used up. Must never let a masked value out.

use super::super::expectation::{self, Answer, Verdict};
use super::super::question::{Asker, Unanswered};
use crate::clock::Stopwatch;
use crate::plan::{Check, Question, Text};
use serde_json::{Map, Value, json};

/// Rows that show what is wrong.
const MOST_ROWS: usize = 20;
/// Most characters of a value in them.
const LONGEST_VALUE: usize = 500;
/// Rows in a message.
const EXAMPLES: usize = 3;
const MASK: &str = "***";

/// What a check found.
#[derive(Debug, Clone)]
pub struct Finding {
    pub name: String,
    pub passed: bool,
    /// Nothing was asked: it is neither passed nor failed.
    pub left_out: bool,
    pub expected: String,
    pub actual: String,
    /// For a later `unchanged_since`.
    pub value: Value,
    /// The rows that show what is wrong, masked.
    pub rows: Vec<Value>,
    /// How many there are in all.
    pub row_count: Option<usize>,
    pub summary: Option<String>,
    /// Nobody answered what a person is to decide by: what a swap would lose.
    pub owed: bool,
    /// What the question itself adds to the record.
    pub details: Map<String, Value>,
}

/// The attempt was cancelled.
pub struct Cancelled;

pub async fn ask(
    asker: &mut Asker<'_>,
    check: &Check,
    database: Option<&Text>,
) -> Result<Finding, Cancelled> {
    let database = check.database.as_ref().or(database);
    let tries = check.retry.as_ref().map_or(1, |retry| retry.attempts.value.max(1));
    let watch = Stopwatch::start();
    for number in 1..tries {
        let finding = once(asker, check, database).await?;
        if finding.passed {
            return Ok(finding);
        }
        let wait = check.retry.as_ref().map(|retry| retry.wait(number).std()).unwrap_or_default();
        let doing = format!("waiting for the check {} (last: {})", check.name.value, finding.actual);
        if !asker.attempt.linger(wait, &doing, &watch).await {
            return Err(Cancelled);
        }
    }
    once(asker, check, database).await
}

async fn once(asker: &mut Asker<'_>, check: &Check, database: Option<&Text>) -> Result<Finding, Cancelled> {
    let limit = check.timeout.map(|limit| limit.std());
    asker.mask.clone_from(&check.mask);
    let answer = match asker.ask(&check.question.value, database, limit).await {
        Ok(answer) => answer,
        Err(Unanswered::Cancelled) => return Err(Cancelled),
        Err(Unanswered::Failed(failure)) => return Ok(unanswered(check, failure.message)),
    };
    match asker.judge(check.expect.as_ref(), &answer, &check.name.value).await {
        Ok(verdict) => Ok(found(check, &answer, verdict)),
        Err(failure) => Ok(unanswered(check, failure.message)),
    }
}

fn unanswered(check: &Check, why: String) -> Finding {
    Finding {
        name: check.name.value.clone(),
        passed: false,
        left_out: false,
        expected: "an answer".to_owned(),
        actual: why,
        value: Value::Null,
        rows: Vec::new(),
        row_count: None,
        summary: None,
        owed: matches!(check.question.value, Question::Lost(_)),
        details: Map::new(),
    }
}

fn found(check: &Check, answer: &Answer, verdict: Verdict) -> Finding {
    let columns = answer.rows.as_ref().map_or(&[][..], |rows| rows.columns.as_slice());
    let hides = columns.iter().any(|column| check.mask.contains(column));
    let rows: Vec<Value> = match (&verdict.differences, &answer.rows, verdict.passed) {
        (Some(differences), _, false) => {
            differences.iter().take(MOST_ROWS).map(|row| masked(row.clone(), &check.mask)).collect()
        }
        (None, Some(rows), false) => {
            rows.rows.iter().take(MOST_ROWS).map(|row| masked(rows.object(row), &check.mask)).collect()
        }
        _ => Vec::new(),
    };
    let single = hides && columns.len() == 1 && answer.rows.as_ref().is_some_and(|rows| rows.rows.len() == 1);
    Finding {
        name: check.name.value.clone(),
        left_out: answer.left_out && verdict.passed,
        passed: verdict.passed,
        expected: verdict.expected,
        actual: if single { MASK.to_owned() } else { verdict.actual },
        value: if hides { expectation::hashed(answer) } else { expectation::recorded(answer) },
        row_count: match &verdict.differences {
            Some(differences) => Some(differences.len()),
            None => answer.rows.as_ref().map(|rows| rows.rows.len()),
        },
        rows,
        summary: answer.summary.clone(),
        owed: false,
        details: answer.details.clone(),
    }
}

fn masked(row: Value, mask: &[String]) -> Value {
    let Value::Object(row) = row else { return row };
    let shown = row.into_iter().map(|(column, value)| {
        let value = match value {
            _ if mask.contains(&column) => MASK.into(),
            Value::String(text) => match text.char_indices().nth(LONGEST_VALUE) {
                Some((at, _)) => format!("{}…", &text[..at]).into(),
                None => text.into(),
            },
            other => other,
        };
        (column, value)
    });
    Value::Object(shown.collect::<Map<_, _>>())
}

impl Finding {
    pub fn result(&self) -> Value {
        let mut result = json!({
            "name": self.name,
            "passed": self.passed,
            "expected": self.expected,
            "actual": self.actual,
            "value": self.value,
            "rows": self.rows,
        });
        if let Some(map) = result.as_object_mut() {
            map.extend(self.left_out.then(|| ("left_out".to_owned(), true.into())));
            map.extend(self.row_count.map(|count| ("row_count".to_owned(), count.into())));
            map.extend(self.details.clone());
        }
        result
    }

    /// `every user has a wallet: 17 rows (wanted: nothing), such as id=3; id=9`
    pub fn words(&self) -> String {
        let examples: Vec<String> =
            self.rows.iter().filter(|row| !self.has_told(row)).take(EXAMPLES).map(row_words).collect();
        let such = match self.row_count {
            Some(count) if count > 0 && !examples.is_empty() => format!(", such as {}", examples.join("; ")),
            _ => String::new(),
        };
        format!("{}: {} (wanted: {}){such}", self.name, self.actual, self.expected)
    }

    /// Whether the sentence names this object already.
    fn has_told(&self, row: &Value) -> bool {
        let text = |column: &str| row.get(column).and_then(Value::as_str);
        match (text("kind"), text("object")) {
            (Some(kind), Some(object)) => self.actual.contains(&format!("{kind} {object}")),
            _ => false,
        }
    }
}

fn row_words(row: &Value) -> String {
    let Value::Object(row) = row else { return row.to_string() };
    if let [Some(fault), Some(kind), Some(object)] =
        ["difference", "kind", "object"].map(|column| row.get(column).and_then(Value::as_str))
    {
        return format!("{fault} {kind} {object}");
    }
    let pairs = row.iter().take(4).map(|(column, value)| match value {
        Value::String(text) => format!("{column}={}", text.chars().take(40).collect::<String>()),
        other => format!("{column}={other}"),
    });
    pairs.collect::<Vec<_>>().join(", ")
}
