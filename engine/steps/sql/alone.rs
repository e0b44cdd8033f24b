//! Statements that cannot run in a transaction: one by one, each noted before it is sent. When an answer is an error or
//! is lost, the author's probe decides. Must never take an error for proof that nothing happened.

use super::super::attempt::Attempt;
use super::super::hold::Hold;
use super::super::probe::{self, Probed};
use super::super::targets::Target;
use super::orphan;
use super::remains::{self, Intent};
use super::rows::{self, Rows};
use super::session::{self, Limits, Trouble};
use super::text::Statement;
use crate::clock;
use crate::plan::Probe;
use crate::plan::action::Sql;
use crate::postgres::{Backend, Class, Error, ResultSet};
use crate::run::{Evidence, Failure, Outcome, Outputs};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// The fact that a statement is about to be sent.
pub const INTENT: &str = "statement_intended";
const PAUSE: Duration = Duration::from_millis(250);

pub async fn act(
    attempt: &Attempt,
    action: &Sql,
    target: &Target,
    hold: Option<Arc<Hold>>,
    statements: &[Statement],
) -> Outcome {
    let limits =
        Limits { lock_timeout: Some(action.lock_timeout), statement_timeout: action.statement_timeout };
    let opened = tokio::select! {
        opened = session::open(attempt, target, limits) => opened,
        () = attempt.cancelled.cancelled() => return Outcome::Failed(session::cancelled("nothing was sent")),
    };
    let connection = match opened {
        Ok(connection) => connection,
        Err(error) => return Outcome::Failed(session::failure(&error, "")),
    };
    let mut last = Rows::default();
    for (at, statement) in statements.iter().enumerate() {
        let place = Place { at, of: statements.len() };
        if let Some(hold) = &hold
            && let Err(failure) = hold.check().await
        {
            let message = format!("{place}{}", failure.message);
            return Outcome::Failed(place.failed(Failure { message, ..failure }));
        }
        // A wrong statement is found before anything of it can have happened.
        let types = match rows::types(&connection, statement).await {
            Ok(types) => types,
            Err(error) => return Outcome::Failed(place.failed(session::failure(&error, &place.to_string()))),
        };
        let intent = match remains::prepare(attempt, &connection, &statement.sql).await {
            Ok(intent) => intent,
            Err(failure) => return Outcome::Failed(place.failed(failure)),
        };
        let fact = json!({ "statement": at, "backend": connection.backend() });
        if attempt.note(INTENT, fact).await.is_err() {
            return Outcome::Failed(session::cancelled("the run ended before the statement was sent"));
        }
        match session::run(attempt, &connection, &statement.sql).await {
            Ok(mut results) => last = Rows::new(results.pop().unwrap_or_default(), &types),
            Err(Trouble::NotSent) => {
                return Outcome::Failed(place.failed(session::cancelled("it was not sent")));
            }
            // It was finished before the wish to cancel it arrived.
            Err(Trouble::Cancelled(Some(Ok(mut results)))) if at + 1 == statements.len() => {
                last = Rows::new(results.pop().unwrap_or_default(), &types);
            }
            Err(trouble) => {
                let sent = Sent { place, intent, backend: connection.backend() };
                return unheard(attempt, action, target, &sent, trouble).await;
            }
        }
        // IF NOT EXISTS takes an invalid one for good.
        if let Some(intent) = &intent
            && let Some(failure) = remains::found(&connection, intent).await
        {
            return Outcome::Failed(place.failed(failure));
        }
    }
    Outcome::Done(outputs(attempt, &last))
}

/// Which statement.
struct Place {
    at: usize,
    of: usize,
}

/// A statement that was sent.
struct Sent<'a> {
    place: Place,
    intent: Option<Intent>,
    backend: &'a Backend,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.of {
            1 => Ok(()),
            of => write!(f, "statement {} of {of}: ", self.at + 1),
        }
    }
}

impl Place {
    /// Says what stays done.
    fn failed(&self, failure: Failure) -> Failure {
        let before = match self.at {
            0 => String::new(),
            1 => "; the statement before it was carried out".to_owned(),
            many => format!("; the {many} statements before it were carried out"),
        };
        Failure { message: format!("{}{before}", failure.message), ..failure }
    }
}

fn outputs(attempt: &Attempt, last: &Rows) -> Outputs {
    let (mut outputs, cut) = last.outputs();
    let count = if last.has_columns() { last.rows.len() as u64 } else { last.affected };
    outputs.insert("row_count".to_owned(), count.into());
    if cut {
        outputs.insert("rows_cut".to_owned(), true.into());
        attempt.warn(format!("only the first of {} rows are kept in `rows`", last.rows.len()));
    }
    outputs
}

/// An error, a lost answer or a cancelled statement: the probe tells what is there now.
async fn unheard(
    attempt: &Attempt,
    action: &Sql,
    target: &Target,
    Sent { place, intent, backend }: &Sent<'_>,
    trouble: Trouble,
) -> Outcome {
    let (failure, answered) = match &trouble {
        Trouble::Server(error) => {
            (session::failure(error, &place.to_string()), error.class() != Class::Unknown)
        }
        Trouble::Cancelled(answer) => {
            (session::cancelled("the statement was cancelled on the server"), was_answered(answer.as_ref()))
        }
        Trouble::NotSent => (session::cancelled("the statement was not sent"), true),
    };
    if !answered && let Err(why) = no_longer_running(attempt, target, backend).await {
        return unknown(&failure.message, why);
    }
    match (&action.probe, answered) {
        (Some(probe), _) => match ask(attempt, action, target, intent.as_ref(), probe).await {
            Probed::Took(_) => Outcome::Done(outputs(attempt, &Rows::default())),
            Probed::Not(_) => {
                Outcome::Failed(place.failed(remains::named(attempt, target, intent.as_ref(), failure).await))
            }
            Probed::Unasked(why) => unknown(&failure.message, why),
        },
        (None, true) => {
            let failure = failure
                .help("what a statement outside a transaction did before its error may remain: look before repeating it");
            Outcome::Failed(place.failed(remains::named(attempt, target, intent.as_ref(), failure).await))
        }
        (None, false) => without_probe(attempt, target, intent.as_ref(), &failure.message).await,
    }
}

/// The probe's word. One that only looks for the name takes an index that is not valid for the one that was to be built.
async fn ask(
    attempt: &Attempt,
    action: &Sql,
    target: &Target,
    intent: Option<&Intent>,
    probe: &Probe,
) -> Probed {
    let said = Box::pin(probe::ask(attempt, probe, Some(&action.database))).await;
    match (&said, intent) {
        (Probed::Took(_), Some(intent)) => match remains::invalid(attempt, target, intent).await {
            Ok(None) => said,
            Ok(Some(name)) => Probed::Not(format!("the index {name} is there and is not valid")),
            Err(error) => Probed::Unasked(format!("the index cannot be asked about: {}", error.message())),
        },
        _ => said,
    }
}

fn was_answered(answer: Option<&Result<Vec<ResultSet>, Error>>) -> bool {
    answer
        .is_some_and(|answer| answer.as_ref().map_or_else(|error| error.class() != Class::Unknown, |_| true))
}

fn unknown(what: &str, why: String) -> Outcome {
    Outcome::Unknown(Evidence::new("whether the statement took effect is not known", [what.to_owned(), why]))
}

async fn without_probe(attempt: &Attempt, target: &Target, intent: Option<&Intent>, what: &str) -> Outcome {
    let said = remains::words(attempt, target, intent).await;
    let said = said.map(|(said, help)| format!("; {said}; {help}")).unwrap_or_default();
    unknown(what, format!("there is no `probe` to ask{said}"))
}

/// After a crash: the statement may still be running on the server. It is waited for, then the probe decides.
pub async fn settle(attempt: &Attempt, action: &Sql, target: &Target) -> Outcome {
    let Some(fact) = attempt.own_fact(INTENT) else {
        return Outcome::Again("no statement was sent".to_owned());
    };
    let sent = fact["statement"].as_u64().unwrap_or(0) + 1;
    let message = format!("statement {sent} was sent, and its answer was not heard");
    let backend: Backend = match serde_json::from_value(fact["backend"].clone()) {
        Ok(backend) => backend,
        Err(error) => return unknown(&message, format!("the fact {INTENT} cannot be read: {error}")),
    };
    if let Err(why) = no_longer_running(attempt, target, &backend).await {
        return unknown(&message, why);
    }
    let Some(probe) = &action.probe else {
        return without_probe(attempt, target, remains::intent(attempt).as_ref(), &message).await;
    };
    match ask(attempt, action, target, remains::intent(attempt).as_ref(), probe).await {
        Probed::Took(_) => Outcome::Done(outputs(attempt, &Rows::default())),
        Probed::Not(why) => {
            // Of the statements before it the probe says nothing.
            if sent > 1 {
                attempt.mention_half();
            }
            Outcome::Again(format!("the probe says that it did not take effect: {why}"))
        }
        Probed::Unasked(why) => unknown(&message, why),
    }
}

/// Waits for the statement of a session that nobody listens to; ends the session when the attempt is cancelled, or when
/// it has nothing more to do.
async fn no_longer_running(attempt: &Attempt, target: &Target, backend: &Backend) -> Result<(), String> {
    let words = |error: Error| format!("the server cannot be asked: {}", error.message());
    let connection = orphan::connect(attempt, target).await.map_err(words)?;
    let mut told = false;
    loop {
        let state = orphan::state(&connection, backend).await.map_err(words)?;
        match state.as_deref() {
            None => return Ok(()),
            Some("active") if !attempt.cancelled.is_cancelled() => {}
            Some(_) => {
                return match orphan::end_one(&connection, backend).await.map_err(words)? {
                    true => Ok(()),
                    false => Err(format!("backend {} was told to end and has not", backend.pid)),
                };
            }
        }
        if !told {
            attempt.warn(format!("backend {} still works on the statement; it is waited for", backend.pid));
            told = true;
        }
        tokio::select! {
            () = clock::sleep(PAUSE) => {}
            () = attempt.cancelled.cancelled() => {}
        }
    }
}
