//! `shell`: a program whose success, or whose output, is the answer.

use super::super::attempt::Attempt;
use super::super::expectation::Answer;
use super::super::failures::failure_of;
use super::super::shell::{GRACE, command, outputs};
use super::Unanswered;
use crate::plan::action::Shell;
use crate::run::Failure;
use serde_json::Value;
use std::time::Duration;

/// A question that takes longer than this has no answer.
const LIMIT: Duration = Duration::from_secs(600);

pub async fn ask(
    attempt: &Attempt,
    action: &Shell,
    label: &str,
    limit: Option<Duration>,
) -> Result<Answer, Unanswered> {
    // A question may be put often, and again after a crash: each time under a name of its own.
    let key = format!("{}.{label}-{:08x}", attempt.key, rand::random::<u32>());
    let command = command::command(attempt, action, &key).await?;
    if attempt.cancelled.is_cancelled() {
        return Err(Unanswered::Cancelled);
    }
    let limit = limit.unwrap_or(LIMIT);
    let failed = |error: &crate::process::Error| Unanswered::Failed(failure_of(error));
    let mut running =
        attempt.world.supervisor.start(&key, &command, Some(limit)).await.map_err(|error| failed(&error))?;
    let exit = tokio::select! {
        biased;
        exit = running.wait() => exit.map_err(|error| failed(&error))?,
        () = attempt.cancelled.cancelled() => {
            running.cancel(GRACE).await.map_err(|error| failed(&error))?;
            return Err(Unanswered::Cancelled);
        }
    };
    if exit.timed_out {
        let message = format!("no answer came within {} s", limit.as_secs_f64());
        return Err(Failure::new("runplan::verify::timeout", message).into());
    }
    let is_success = exit.code.is_some_and(|code| action.success_codes.contains(&i64::from(code)));
    let wrong = (!is_success).then(|| {
        let words = outputs::last_words(&exit);
        let said = if words.is_empty() { String::new() } else { format!(": {words}") };
        match (exit.code, exit.signal) {
            (Some(code), _) => format!("exit code {code}{said}"),
            (None, Some(signal)) => format!("killed by signal {signal}{said}"),
            (None, None) => format!("no exit code{said}"),
        }
    });
    let stdout = outputs::whole(&exit.stdout);
    Ok(Answer {
        wrong,
        json: outputs::parse(&stdout),
        value: Value::String(stdout.trim_end().to_owned()),
        ..Answer::default()
    })
}
