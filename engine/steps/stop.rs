//! Why an attempt ends early, so that a step's file can use `?` and still end in one of the outcomes. Must never turn an
//! error into success.

use super::attempt::{Attempt, Ending};
use super::failures::failure_of;
use crate::postgres::{self, Connection};
use crate::process;
use crate::run::{Evidence, Failure, Outcome, Outputs};
use std::future::Future;

/// The end of an attempt that is not `Done`.
#[derive(Debug, Clone)]
pub enum Stop {
    Failed(Failure),
    Unknown(Evidence),
    Again(String),
    /// The run is ending: nothing more may be done, not even tidying up.
    Ending,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Ending> for Stop {
    fn from(_: Ending) -> Self {
        Self::Ending
    }
}

/// Nothing of ours hangs on it: what does is told apart where it is sent.
impl From<postgres::Error> for Stop {
    fn from(error: postgres::Error) -> Self {
        Self::Failed(failure_of(&error))
    }
}

impl From<process::Error> for Stop {
    fn from(error: process::Error) -> Self {
        Self::Failed(failure_of(&error))
    }
}

impl Stop {
    /// The same end, with more said before it.
    pub fn after(self, what: &str) -> Self {
        match self {
            Self::Failed(failure) => {
                Self::Failed(Failure { message: format!("{what}: {}", failure.message), ..failure })
            }
            Self::Unknown(evidence) => {
                Self::Unknown(Evidence { message: format!("{what}: {}", evidence.message), ..evidence })
            }
            other @ (Self::Again(_) | Self::Ending) => other,
        }
    }

    /// After a crash, or when something is left behind: an error is no proof that nothing happened.
    pub fn in_doubt(self) -> Self {
        match self {
            Self::Failed(failure) => {
                let what = "what became of the attempt could not be found out, or not be put right";
                Self::Unknown(Evidence::new(what, std::iter::once(failure.message).chain(failure.help)))
            }
            other => other,
        }
    }

    /// In words.
    pub fn message(&self) -> &str {
        match self {
            Self::Failed(failure) => &failure.message,
            Self::Unknown(evidence) => &evidence.message,
            Self::Again(why) => why,
            Self::Ending => "the run is ending",
        }
    }
}

/// What the attempt came to.
pub fn outcome(result: Result<Outputs, Stop>) -> Outcome {
    match result {
        Ok(outputs) => Outcome::Done(outputs),
        Err(Stop::Failed(failure)) => Outcome::Failed(failure),
        Err(Stop::Unknown(evidence)) => Outcome::Unknown(evidence),
        Err(Stop::Again(why)) => Outcome::Again(why),
        Err(Stop::Ending) => Outcome::Unknown(Evidence::new(Ending.to_string(), [])),
    }
}

/// What an attempt noted, if it did.
///
/// # Errors
/// It is there and cannot be read: that is not the same as not there.
pub fn noted<T: serde::de::DeserializeOwned>(attempt: &Attempt, name: &str) -> Result<Option<T>, Stop> {
    attempt.fact(name).map(T::deserialize).transpose().map_err(|error| {
        let facts = [format!("the fact {name} cannot be read: {error}")];
        Stop::Unknown(Evidence::new("what the attempt did is not known", facts))
    })
}

/// Somebody, or the step's time limit, asked the attempt to stop, and it did.
pub fn cancelled() -> Failure {
    Failure::new("runplan::step::cancelled", "it was cancelled").help("`runplan resume` tries it again")
}

/// Waits for work that changes nothing; a cancelled attempt lets it go.
pub async fn unless_cancelled<T, E: Into<Stop>>(
    attempt: &Attempt,
    work: impl Future<Output = Result<T, E>> + Send,
) -> Result<T, Stop> {
    tokio::select! {
        result = work => result.map_err(Into::into),
        () = attempt.cancelled.cancelled() => Err(cancelled().into()),
    }
}

/// Runs a statement; a cancelled attempt cancels it on the server and waits for its end.
pub async fn cancel_on_server<T>(
    attempt: &Attempt,
    connection: &Connection,
    work: impl Future<Output = Result<T, postgres::Error>> + Send,
) -> Result<T, Stop> {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        result = &mut work => return result.map_err(Stop::from),
        () = attempt.cancelled.cancelled() => {}
    }
    let asked = connection.cancel().await;
    match (work.await, asked) {
        (Ok(value), _) => Ok(value),
        (Err(_), Ok(())) => Err(cancelled().into()),
        (Err(error), Err(_)) => Err(error.into()),
    }
}
