//! A step's own session: named so that it is found again, limited so that it cannot block others for long, and
//! cancelled on the server when the attempt is. Must never leave a statement running unwatched.

use super::super::attempt::Attempt;
use super::super::failures::failure_of;
use super::super::targets::{Target, application_name};
use crate::plan::Duration;
use crate::postgres::{Class, Connection, Error, ResultSet, identity};
use crate::run::Failure;

/// An open transaction whose engine has stopped moving (a suspended process, a full disk) ends itself.
const LONGEST_IDLE: &str = "5min";
/// How long the server may take to answer a wish to cancel.
const CANCEL_LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

/// The limits of a session.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    pub lock_timeout: Option<Duration>,
    pub statement_timeout: Option<Duration>,
}

/// Why a statement gave no result that may be used.
#[derive(Debug)]
pub enum Trouble {
    Server(Error),
    /// The attempt was cancelled before anything was sent.
    NotSent,
    /// The attempt was cancelled; with what the server then answered, if it did.
    Cancelled(Option<Result<Vec<ResultSet>, Error>>),
}

/// Connects to a target and sets the limits.
pub async fn open(attempt: &Attempt, target: &Target, limits: Limits) -> Result<Connection, Error> {
    let name = application_name(&attempt.world, attempt.step.id.as_str());
    let connection = Connection::connect(&target.settings, &name).await?;
    let mut setup = format!(
        "SET standard_conforming_strings = on; SET idle_in_transaction_session_timeout = '{LONGEST_IDLE}'"
    );
    for (name, limit) in
        [("lock_timeout", limits.lock_timeout), ("statement_timeout", limits.statement_timeout)]
    {
        if let Some(limit) = limit {
            setup.push_str(&format!("; SET {name} = '{}ms'", limit.std().as_millis().min(i32::MAX as u128)));
        }
    }
    connection.execute(&setup).await?;
    if identity::server_version(&connection).await? >= 140_000 {
        // A server on a system that cannot do it refuses, and only notices later that we are gone.
        match connection.execute("SET client_connection_check_interval = '1s'").await {
            Err(error) if error.class() == Class::Unknown => return Err(error),
            _ => {}
        }
    }
    Ok(connection)
}

/// Runs SQL until it is answered or the attempt is cancelled.
pub async fn run(attempt: &Attempt, connection: &Connection, sql: &str) -> Result<Vec<ResultSet>, Trouble> {
    if attempt.cancelled.is_cancelled() {
        return Err(Trouble::NotSent);
    }
    let mut work = std::pin::pin!(connection.text(sql));
    tokio::select! {
        biased;
        done = &mut work => return done.map_err(Trouble::Server),
        () = attempt.cancelled.cancelled() => {}
    }
    let answer = async {
        // The statement's own answer tells whether it was cancelled; this one may also go wrong.
        let _ = connection.cancel().await;
        work.await
    };
    Err(Trouble::Cancelled(tokio::time::timeout(CANCEL_LIMIT, answer).await.ok()))
}

/// The failure of an attempt that was cancelled before anything could take effect.
pub fn cancelled(what: &str) -> Failure {
    Failure::new("runplan::step::cancelled", format!("it was cancelled; {what}"))
}

/// The server's error with its detail, as a failure; `place` says which statement.
pub fn failure(error: &Error, place: &str) -> Failure {
    let mut failure = failure_of(error);
    let detail = error.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
    failure.message = format!("{place}{}{detail}", failure.message);
    failure.help = failure.help.filter(|help| !help.is_empty());
    failure
}
