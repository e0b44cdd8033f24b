//! A probe: the author's own question whether an attempt took effect. Must never read an answer into silence: what
//! cannot be asked is neither yes nor no.

use super::attempt::Attempt;
use super::expectation::{self, Answer};
use super::question::{Asker, Unanswered};
use crate::plan::{Probe, Question, Text};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a probe may take after its attempt was cancelled.
const LAST_QUESTION: Duration = Duration::from_secs(30);

/// What a probe says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// It took effect.
    Took(String),
    /// It certainly did not.
    Not(String),
    /// The question could not be put.
    Unasked(String),
}

/// Asks a probe. `database`: the step's own, if it has one.
pub async fn ask(attempt: &Attempt, probe: &Probe, database: Option<&Text>) -> Probed {
    // What was cancelled is asked about all the same, but not for long.
    let was_cancelled = attempt.cancelled.is_cancelled();
    let own = match was_cancelled {
        true => Attempt { cancelled: CancellationToken::new(), ..attempt.clone() },
        false => attempt.clone(),
    };
    let mut asker = Asker::new(&own, "probe");
    let database = probe.database.as_ref().or(database);
    let limit = was_cancelled.then_some(LAST_QUESTION);
    let answer = match asker.ask(&probe.question.value, database, limit).await {
        Ok(answer) => answer,
        Err(Unanswered::Cancelled) => return Probed::Unasked("the probe was cancelled".to_owned()),
        Err(Unanswered::Failed(failure)) => {
            return Probed::Unasked(format!("the probe could not be asked: {}", failure.message));
        }
    };
    let verdict = match asker.judge(probe.expect.as_ref(), &answer, "probe").await {
        Ok(verdict) => verdict,
        Err(failure) => {
            return Probed::Unasked(format!("the probe's `expect` is wrong: {}", failure.message));
        }
    };
    if verdict.passed {
        return Probed::Took(verdict.actual);
    }
    let told = format!("{} (wanted: {})", verdict.actual, verdict.expected);
    match silence(probe, &answer) {
        Some(why) if told.contains(&why) => Probed::Unasked(format!("the probe was not answered: {told}")),
        Some(why) => Probed::Unasked(format!("the probe was not answered: {why}; {told}")),
        None => Probed::Not(told),
    }
}

/// Why an answer says nothing of what was asked.
fn silence(probe: &Probe, answer: &Answer) -> Option<String> {
    let wants_json = probe.expect.as_ref().is_some_and(|expect| expect.conditions.json.is_some());
    let is_http = matches!(probe.question.value, Question::Http(_));
    let not_json = (is_http && wants_json && answer.json.is_none()).then(|| expectation::not_json(answer));
    answer.silent.clone().or(not_json)
}
