//! `shell`: a program whose success, or whose output, is the answer.

use super::super::attempt::Attempt;
use super::super::expectation::Answer;
use super::super::failures::failure_of;
use super::super::shell::{GRACE, command, outputs};
use super::Unanswered;
use crate::plan::action::Shell;
use crate::run::Failure;
use serde_json::{Map, Value};
use std::time::Duration;

/// The detail that says where the output of a program is that failed.
pub const FILES: &str = "files";
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
    let supervisor = &attempt.world.supervisor;
    let asked = async {
        let mut running = supervisor.start(&key, &command, Some(limit)).await?;
        tokio::select! {
            biased;
            exit = running.wait() => exit.map(Some),
            () = attempt.cancelled.cancelled() => running.cancel(GRACE).await.map(|()| None),
        }
    };
    let exit = match asked.await {
        Ok(Some(exit)) => exit,
        Ok(None) => return Err(Unanswered::Cancelled),
        Err(error) => {
            // Nobody would watch what a dead supervisor left of it.
            if let Err(left) = supervisor.end_orphans(&key).await {
                attempt.warn(left.to_string());
            }
            return Err(Unanswered::Failed(failure_of(&error)));
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
    let mut details = Map::new();
    if wrong.is_some() {
        details.insert(FILES.to_owned(), outputs::files(&exit).into());
    }
    let stdout = outputs::whole(&exit.stdout);
    Ok(Answer {
        wrong: wrong.clone(),
        json: outputs::parse(&stdout),
        value: Value::String(stdout.trim_end().to_owned()),
        // A program that could not be started, or was killed, has answered nothing.
        silent: wrong.filter(|_| matches!(exit.code, None | Some(126 | 127))),
        details,
        ..Answer::default()
    })
}
