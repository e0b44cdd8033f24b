//! All statements of a step in one transaction, committed exactly once: nothing is committed before its witness and its
//! outputs are durable, and a COMMIT whose answer is lost is asked about, never sent again.

use super::super::attempt::Attempt;
use super::super::hold::Hold;
use super::super::targets::{Target, application_name};
use super::isolation::{self, Isolation};
use super::rows::{self, Rows};
use super::session::{self, Limits, Trouble};
use super::settle::{self, INTENT, Intent};
use super::text::{Changes, Statement};
use crate::clock;
use crate::plan::action::Sql;
use crate::postgres::{Class, Connection, Error, witness};
use crate::run::{Failure, Outcome, Outputs};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How often a transaction is tried that lost a race for a lock, within one attempt.
const TRIES: u32 = 5;
/// The pause after the first such loss; it grows, and chance keeps two rivals from meeting again.
const PAUSE: Duration = Duration::from_millis(200);

/// How one try ended short of an outcome.
pub enum Short {
    /// Certainly rolled back.
    Failed(Failure),
    /// Certainly rolled back, and the same may succeed now.
    Lost(Failure),
}

/// A step's work, the same in every try.
pub struct Work<'a> {
    pub attempt: &'a Attempt,
    pub target: &'a Target,
    /// None: it only reads.
    pub hold: Option<Arc<Hold>>,
    pub limits: Limits,
    pub inside: &'a dyn Inside,
}

/// A future of one try.
pub type Doing<'a> = Pin<Box<dyn Future<Output = Result<Outputs, Short>> + Send + 'a>>;

/// What is done between BEGIN and COMMIT. Whatever the COMMIT needs beside the database must be durable when it ends.
pub trait Inside: Sync {
    fn run<'a>(&'a self, connection: &'a Connection) -> Doing<'a>;

    /// The isolation level that the author asks for: it must be known at BEGIN, before the first snapshot.
    fn isolation(&self) -> Option<Isolation> {
        None
    }
}

/// The statements of an `sql` step.
pub struct Script<'a> {
    pub attempt: &'a Attempt,
    pub action: &'a Sql,
    pub statements: &'a [Statement],
}

impl Inside for Script<'_> {
    fn run<'a>(&'a self, connection: &'a Connection) -> Doing<'a> {
        Box::pin(self.all(connection))
    }

    fn isolation(&self) -> Option<Isolation> {
        isolation::of(self.statements)
    }
}

impl Work<'_> {
    pub async fn run(&self) -> Outcome {
        for number in 1.. {
            let failure = match self.once().await {
                Ok(outcome) => return outcome,
                Err(Short::Failed(failure)) => return Outcome::Failed(failure),
                Err(Short::Lost(failure)) => failure,
            };
            if number == TRIES {
                let message = format!("{}; {TRIES} tries in a row", failure.message);
                return Outcome::Failed(Failure { message, ..failure }.help(
                    "see who holds the lock: SELECT pid, query, pg_blocking_pids(pid) FROM pg_stat_activity",
                ));
            }
            let pause = PAUSE.mul_f64(f64::from(number) * (0.5 + rand::random::<f64>()));
            tokio::select! {
                () = clock::sleep(pause) => {}
                () = self.attempt.cancelled.cancelled() => {
                    return Outcome::Failed(session::cancelled("the transaction was rolled back"));
                }
            }
        }
        Outcome::Failed(session::cancelled("it was never tried"))
    }

    async fn once(&self) -> Result<Outcome, Short> {
        let connection = self.until_cancelled(session::open(self.attempt, self.target, self.limits)).await?;
        // Connected now, so that no lock is held while it takes its time.
        let second = match self.hold {
            Some(_) => Some(self.until_cancelled(self.second(&connection)).await?),
            None => None,
        };
        // Said aloud: in a frozen database transactions are read-only unless they ask for more.
        let level = self.inside.isolation().map(Isolation::clause).unwrap_or_default();
        let begin = match self.hold {
            // The first snapshot makes it final: after it no statement can turn the transaction into one that writes.
            None => format!("BEGIN {level} READ ONLY; SELECT 1"),
            Some(_) => format!("BEGIN {level} READ WRITE"),
        };
        send(self.attempt, &connection, &begin, "").await?;
        match self.inside(&connection, second).await {
            Err(short) => {
                // What was sent before it is answered: a ROLLBACK that fails has lost its session, which is one too.
                let _ = tokio::time::timeout(PATIENCE, connection.execute("ROLLBACK")).await;
                Err(short)
            }
            done => done,
        }
    }

    async fn inside(&self, connection: &Connection, second: Option<Connection>) -> Result<Outcome, Short> {
        let outputs = self.inside.run(connection).await?;
        let (Some(hold), Some(second)) = (&self.hold, second) else {
            send(self.attempt, connection, "ROLLBACK", "").await?;
            return Ok(Outcome::Done(outputs));
        };
        self.still_ours(connection, hold).await?;
        let witness = match witness::prepare(connection, &second).await {
            // It was idle for as long as the statements took.
            Err(_) if second.is_closed() => {
                let again = self.second(connection).await.map_err(lost_before)?;
                witness::prepare(connection, &again).await
            }
            prepared => prepared,
        };
        let witness = witness.map_err(lost_before)?;
        let intent = Intent { witness, outputs };
        if self.attempt.cancelled.is_cancelled() {
            return Err(Short::Failed(session::cancelled("the transaction was rolled back")));
        }
        let fact = serde_json::to_value(&intent).unwrap_or_default();
        if self.attempt.note(INTENT, fact).await.is_err() {
            let message = "the run ended before the COMMIT; the transaction was rolled back";
            return Err(Short::Failed(Failure::new("runplan::step::cancelled", message)));
        }
        self.commit(connection, intent).await
    }

    /// Not cancelled any more: a COMMIT that waits for a standby would stop waiting, not stop committing.
    async fn commit(&self, connection: &Connection, intent: Intent) -> Result<Outcome, Short> {
        let error = tokio::select! {
            answer = connection.text("COMMIT") => match answer {
                Ok(_) => {
                    for notice in connection.take_notices().iter().filter(|notice| notice.severity == "WARNING") {
                        let detail = notice.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
                        self.attempt.warn(format!("the server said at COMMIT: {}{detail}", notice.message));
                    }
                    return Ok(Outcome::Done(intent.outputs));
                }
                Err(error) => error,
            },
            () = self.too_late() => {
                Error::lost(connection.endpoint(), "no answer to COMMIT came after the attempt was cancelled")
            }
        };
        let failure = session::failure(&error, "COMMIT: ");
        match error.class() {
            Class::Clean => Err(Short::Failed(failure)),
            Class::Retryable => Err(Short::Lost(failure)),
            Class::Unknown => {
                Ok(settle::after_lost_answer(self.attempt, self.target, &intent, &failure).await)
            }
        }
    }

    async fn too_late(&self) {
        self.attempt.cancelled.cancelled().await;
        clock::sleep(PATIENCE).await;
    }

    /// Last before the COMMIT, in the same transaction: the lock stands, and so does the claim.
    async fn still_ours(&self, connection: &Connection, hold: &Hold) -> Result<(), Short> {
        let held = connection.one(&format!("SELECT {}", hold.check_sql())).await.map_err(lost_before)?;
        if held == "t" {
            return Ok(());
        }
        let failure = hold.lost().await;
        let message = format!("{}; the transaction was rolled back", failure.message);
        Err(Short::Failed(Failure { message, ..failure }))
    }

    /// A session of its own on the same host, which flushes the WAL past the witness.
    async fn second(&self, connection: &Connection) -> Result<Connection, Error> {
        let step = format!("witness {}", self.attempt.step.id.value);
        Connection::connect(connection.settings(), &application_name(&self.attempt.world, &step)).await
    }

    async fn until_cancelled<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Short> {
        tokio::select! {
            biased;
            done = work => done.map_err(|error| Short::Failed(session::failure(&error, ""))),
            () = self.attempt.cancelled.cancelled() => Err(Short::Failed(session::cancelled("nothing was sent"))),
        }
    }
}

impl Script<'_> {
    async fn all(&self, connection: &Connection) -> Result<Outputs, Short> {
        let mut changed = 0;
        let mut last = Rows::default();
        for (at, statement) in self.statements.iter().enumerate() {
            let place = match self.statements.len() {
                1 => String::new(),
                many => format!("statement {} of {many}: ", at + 1),
            };
            let types = match at + 1 == self.statements.len() {
                true => rows::types(connection, statement).await.map_err(|error| short(&error, &place))?,
                false => Vec::new(),
            };
            let before = self.counted(connection, statement).await?;
            let result = send(self.attempt, connection, &statement.sql, &place).await?;
            changed += match statement.changes {
                Changes::Told => result.affected,
                Changes::Nothing => 0,
                Changes::Uncountable | Changes::Counted => {
                    self.counted(connection, statement).await?.saturating_sub(before)
                }
            };
            last = Rows::new(result, &types);
        }
        self.expect(changed, &last)?;
        self.outputs(changed, &last)
    }

    /// The transaction's count of changed rows, asked for only when a limit needs it.
    async fn counted(&self, connection: &Connection, statement: &Statement) -> Result<u64, Short> {
        let is_limited = self.action.expect.as_ref().is_some_and(|expect| expect.max_rows.is_some());
        if !is_limited {
            return Ok(0);
        }
        match statement.changes {
            Changes::Told | Changes::Nothing => return Ok(0),
            Changes::Uncountable => {
                let message = "`max_rows` cannot count what a TRUNCATE removes";
                return Err(Short::Failed(
                    expectation(message).help("use DELETE, or leave `max_rows` out").permanent(),
                ));
            }
            Changes::Counted => {}
        }
        let counters = "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::pg_catalog.int8, \
             pg_catalog.current_setting('track_counts') FROM pg_catalog.pg_stat_xact_user_tables";
        let row = connection.row(counters).await.map_err(lost_before)?;
        if row.optional(1).as_deref() != Some("on") {
            let message = "`max_rows` cannot be held: the server does not count (track_counts is off)";
            return Err(Short::Failed(expectation(message)));
        }
        Ok(row.optional(0).and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    fn expect(&self, changed: u64, last: &Rows) -> Result<(), Short> {
        let Some(expect) = &self.action.expect else { return Ok(()) };
        // What the author says of it: numbers alone say nothing of their cause.
        let unexpected = |message: String| {
            let failure = expectation(message);
            Err(Short::Failed(match &self.attempt.step.description {
                Some(words) => failure.help(words),
                None => failure,
            }))
        };
        if let Some(most) = expect.max_rows
            && changed > most
        {
            return unexpected(format!("{changed} rows would change, more than the {most} of `max_rows`"));
        }
        let (count, what) = count(changed, last);
        match expect.rows {
            Some(wanted) if wanted != count => {
                unexpected(format!("{count} rows {what}, and `rows` wants {wanted}"))
            }
            _ => Ok(()),
        }
    }

    fn outputs(&self, changed: u64, last: &Rows) -> Result<Outputs, Short> {
        let (mut outputs, cut) = last.outputs();
        outputs.insert("row_count".to_owned(), count(changed, last).0.into());
        if cut {
            outputs.insert("rows_cut".to_owned(), true.into());
            self.attempt.warn(format!("only the first of {} rows are kept in `rows`", last.rows.len()));
        }
        let secrets = self.attempt.world.secrets.redactor();
        if secrets.finds(&serde_json::Value::Object(outputs.clone()).to_string()) {
            let message = "the result holds a secret, which must not reach the journal";
            return Err(Short::Failed(
                expectation(message).help("do not select it; the transaction was rolled back"),
            ));
        }
        Ok(outputs)
    }
}

/// A statement's result; cancelled on the server with the attempt.
pub async fn send(
    attempt: &Attempt,
    connection: &Connection,
    sql: &str,
    place: &str,
) -> Result<crate::postgres::ResultSet, Short> {
    match session::run(attempt, connection, sql).await {
        Ok(mut results) => Ok(results.pop().unwrap_or_default()),
        Err(Trouble::Server(error)) => Err(short(&error, place)),
        Err(Trouble::NotSent | Trouble::Cancelled(_)) => {
            Err(Short::Failed(session::cancelled("the transaction was rolled back")))
        }
    }
}

/// How long a session is listened to that may be gone.
const PATIENCE: Duration = Duration::from_secs(10);

fn expectation(message: impl Into<String>) -> Failure {
    Failure::new("runplan::sql::expect", message).help("nothing was changed: the transaction was rolled back")
}

/// Rows returned, or changed when nothing is returned.
fn count(changed: u64, last: &Rows) -> (u64, &'static str) {
    match last.has_columns() {
        true => (last.rows.len() as u64, "were returned"),
        false => (changed, "would change"),
    }
}

/// Before the COMMIT every failure is certain: what was not committed is rolled back, whoever is lost.
pub fn short(error: &Error, place: &str) -> Short {
    let failure = session::failure(error, place);
    match error.class() {
        Class::Retryable => Short::Lost(failure),
        Class::Clean => Short::Failed(failure),
        Class::Unknown => Short::Failed(failure.help("nothing was changed: it had not been committed")),
    }
}

fn lost_before(error: Error) -> Short {
    short(&error, "")
}
