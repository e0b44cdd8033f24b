//! `shell`: a program under the supervisor, which goes on when the engine dies. Must never start a program again that may
//! have done its work, unless the author says that this does no harm.

pub mod command;
pub mod outputs;

use super::attempt::Attempt;
use super::changes;
use super::failures::failure_of;
use super::probe::{self, Probed};
use crate::plan::action::Shell;
use crate::process::{self, Exit, Found, Running};
use crate::run::{Evidence, Failure, Outcome, Outputs};
use std::time::Duration;

/// Between SIGTERM and SIGKILL for a program that is cancelled.
pub const GRACE: Duration = Duration::from_secs(10);

pub async fn act(attempt: &Attempt, action: &Shell) -> Outcome {
    let key = keys(attempt).1;
    match start(attempt, action, &key).await {
        Ok(Ok(running)) => watch(attempt, action, &key, running).await,
        // Nobody heard whether it was started.
        Ok(Err(process::Error::SupervisorDied { .. })) => unwatched(attempt, action, &key).await,
        Ok(Err(error)) => Outcome::Failed(failure_of(&error)),
        Err(failure) => Outcome::Failed(failure),
    }
}

async fn start(
    attempt: &Attempt,
    action: &Shell,
    key: &str,
) -> Result<Result<Running, process::Error>, Failure> {
    let command = command::command(attempt, action, key).await?;
    changes::claim(attempt, action.changes.as_ref()).await?;
    if attempt.cancelled.is_cancelled() {
        return Err(Failure::new(
            "runplan::step::cancelled",
            "it was cancelled before the program was started",
        ));
    }
    // The supervisor holds the limit too, for when nobody is there to cancel.
    let limit = attempt.step.timeout.map(|limit| limit.std() + GRACE);
    Ok(attempt.world.supervisor.start(key, &command, limit).await)
}

/// The key of the last program that this attempt started, and the next free one. An undo that is tried again keeps its
/// attempt's number, and a settled program may be run again under it.
fn keys(attempt: &Attempt) -> (String, String) {
    let named = |number: u32| match number {
        1 => attempt.key.clone(),
        number => format!("{}.again{number}", attempt.key),
    };
    let free = (1..).find(|number| !attempt.world.supervisor.is_taken(&named(*number))).unwrap_or(1);
    (named(free.saturating_sub(1).max(1)), named(free))
}

/// Waits for the program's end; a cancelled attempt ends it first.
async fn watch(attempt: &Attempt, action: &Shell, key: &str, mut running: Running) -> Outcome {
    let exit = tokio::select! {
        biased;
        exit = running.wait() => exit,
        () = attempt.cancelled.cancelled() => match running.cancel(GRACE).await {
            Ok(()) => running.wait().await,
            Err(error) => Err(error),
        },
    };
    match exit {
        Ok(exit) => ended(attempt, action, &exit).await,
        Err(process::Error::SupervisorDied { .. }) => unwatched(attempt, action, key).await,
        Err(error) => unknown("the program cannot be watched", vec![error.to_string()]),
    }
}

/// The supervisor is gone; what it recorded, and what is left of the program, tells.
async fn unwatched(attempt: &Attempt, action: &Shell, key: &str) -> Outcome {
    match attempt.world.supervisor.find(key).await {
        Ok(Found::Exited(exit)) => ended(attempt, action, &exit).await,
        Ok(Found::Nothing) => Outcome::Failed(Failure::new(
            "runplan::shell::not_started",
            "the supervisor died before it started",
        )),
        Ok(Found::Running(_)) => unknown("the program is still running", Vec::new()),
        Ok(Found::Orphaned { evidence, .. }) => orphaned(attempt, action, key, evidence).await,
        Ok(Found::Lost { evidence }) => by_probe(attempt, action, evidence, not_again).await,
        Err(error) => unknown("the supervisor died", vec![error.to_string()]),
    }
}

fn unknown(what: &str, facts: Vec<String>) -> Outcome {
    let message = "whether the program took effect is not known";
    Outcome::Unknown(Evidence::new(message, std::iter::once(what.to_owned()).chain(facts)))
}

/// What an exit means.
async fn ended(attempt: &Attempt, action: &Shell, exit: &Exit) -> Outcome {
    for evidence in &exit.evidence {
        attempt.warn(evidence.clone());
    }
    let is_success = exit.code.is_some_and(|code| action.success_codes.contains(&i64::from(code)));
    if is_success && !exit.timed_out {
        return match outputs::outputs(exit, &action.outputs) {
            Ok(outputs) => Outcome::Done(outputs),
            Err(failure) => Outcome::Failed(failure),
        };
    }
    let words = outputs::last_words(exit);
    let said = if words.is_empty() { String::new() } else { format!(": {words}") };
    let run = &attempt.world.run;
    let help = format!("{}; next: runplan logs {run} {}", outputs::files(exit), attempt.step.id.value);
    match (exit.code, exit.cancelled || exit.timed_out) {
        (Some(code), false) => {
            let message = format!("the program failed with exit code {code}{said}");
            Outcome::Failed(Failure::new("runplan::shell::exit_code", message).help(help))
        }
        (_, was_ended) => {
            let how = match (was_ended, exit.timed_out, exit.signal) {
                (true, true, _) => "the program was ended: its time was up".to_owned(),
                (true, false, _) if exit.signal.is_none() && exit.code.is_none() => {
                    return Outcome::Failed(Failure::new(
                        "runplan::step::cancelled",
                        "it was cancelled before it began",
                    ));
                }
                (true, ..) => "the program was cancelled".to_owned(),
                (false, _, Some(signal)) => format!("the program was killed by signal {signal}"),
                (false, ..) => "the program ended without an exit code".to_owned(),
            };
            by_probe(attempt, action, format!("{how}{said}"), not_again).await
        }
    }
}

/// The program did not get to its end, and took no effect as far as the author can tell.
fn not_again(evidence: String) -> Outcome {
    Outcome::Failed(Failure::new("runplan::shell::ended", evidence))
}

fn again(evidence: String) -> Outcome {
    Outcome::Again(evidence)
}

/// What an interrupted program means: the probe's word, else the author's that it does no harm, else unknown.
async fn by_probe(
    attempt: &Attempt,
    action: &Shell,
    evidence: String,
    not: fn(String) -> Outcome,
) -> Outcome {
    if let Some(probe) = &action.probe {
        return match Box::pin(probe::ask(attempt, probe, None)).await {
            Probed::Took(why) => {
                let mut outputs = Outputs::new();
                outputs.insert("probe".to_owned(), why.into());
                Outcome::Done(outputs)
            }
            Probed::Not(why) => not(format!("{evidence}; the probe says that it did not take effect: {why}")),
            Probed::Unasked(why) => unknown(&evidence, vec![why]),
        };
    }
    // That it changes no database does not say that it may be done twice.
    if action.repeatable {
        attempt.mention_half();
        return not(evidence);
    }
    unknown(&evidence, vec!["it has neither a `probe` nor `repeatable: true`".to_owned()])
}

async fn orphaned(attempt: &Attempt, action: &Shell, key: &str, evidence: String) -> Outcome {
    match attempt.world.supervisor.end_orphans(key).await {
        Ok(_) => by_probe(attempt, action, format!("{evidence}; it was ended"), again).await,
        Err(error) => unknown(&evidence, vec![error.to_string()]),
    }
}

pub async fn settle(attempt: &Attempt, action: &Shell) -> Outcome {
    let key = keys(attempt).0;
    match attempt.world.supervisor.find(&key).await {
        Ok(Found::Nothing) => Outcome::Again("the program was never started".to_owned()),
        Ok(Found::Running(running)) => watch(attempt, action, &key, running).await,
        Ok(Found::Exited(exit)) => ended(attempt, action, &exit).await,
        Ok(Found::Orphaned { evidence, .. }) => orphaned(attempt, action, &key, evidence).await,
        Ok(Found::Lost { evidence }) => by_probe(attempt, action, evidence, again).await,
        Err(error) => unknown("the record of the program cannot be read", vec![error.to_string()]),
    }
}
