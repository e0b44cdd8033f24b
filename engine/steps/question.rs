//! A question to the world, put once: what a check and a probe ask. Only ever reads what it asks a database. Whether the
//! answer is right is not its business.

mod amcheck;
mod backup;
mod counts;
mod file;
mod http;
mod lost;
mod schema;
mod shell;
pub use shell::FILES;
mod sql;

use super::attempt::Attempt;
use super::expectation::{self, Answer, Verdict, Wanted};
use crate::plan::{Expect, Question, Text};
use crate::postgres::Connection;
use crate::run::Failure;
use std::collections::HashMap;
use std::time::Duration;

/// Why there is no answer.
#[derive(Debug)]
pub enum Unanswered {
    Failed(Failure),
    Cancelled,
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Puts questions for an attempt, one after the other; keeps its sessions between them.
pub struct Asker<'a> {
    pub attempt: &'a Attempt,
    /// Begins the keys of programs it runs.
    label: &'static str,
    sessions: HashMap<String, Connection>,
    /// Columns whose values the next question must not write down.
    pub mask: Vec<String>,
}

impl<'a> Asker<'a> {
    pub fn new(attempt: &'a Attempt, label: &'static str) -> Self {
        Self { attempt, label, sessions: HashMap::new(), mask: Vec::new() }
    }

    /// One answer, within a time limit of its own if it has one.
    ///
    /// # Errors
    /// The question cannot be put, or nobody answers.
    pub async fn ask(
        &mut self,
        question: &Question,
        database: Option<&Text>,
        limit: Option<Duration>,
    ) -> Result<Answer, Unanswered> {
        let cancelled = self.attempt.cancelled.clone();
        let work = self.put(question, database, limit);
        let limited = async {
            match limit {
                // The question's own way of giving up, which cleans up after itself, comes first.
                Some(limit) => tokio::time::timeout(limit + SLACK, work).await.unwrap_or_else(|_| {
                    let message = format!("no answer came within {} s", limit.as_secs_f64());
                    Err(Failure::new("runplan::verify::timeout", message).into())
                }),
                None => work.await,
            }
        };
        match question {
            // It ends its program by itself.
            Question::Shell(_) => limited.await,
            _ => tokio::select! {
                biased;
                answer = limited => answer,
                () = cancelled.cancelled() => Err(Unanswered::Cancelled),
            },
        }
    }

    async fn put(
        &mut self,
        question: &Question,
        database: Option<&Text>,
        limit: Option<Duration>,
    ) -> Result<Answer, Unanswered> {
        match question {
            Question::Sql(text) => Box::pin(sql::ask(self, text, database, limit)).await,
            Question::Http(request) => Box::pin(http::ask(self.attempt, request, limit)).await,
            Question::Shell(command) => Box::pin(shell::ask(self.attempt, command, self.label, limit)).await,
            Question::File(file) => Box::pin(file::ask(self.attempt, file)).await,
            Question::Backup(check) => Box::pin(backup::ask(self.attempt, check)).await,
            Question::Counts(check) => Box::pin(counts::ask(self.attempt, check, database)).await,
            Question::Lost(check) => Box::pin(lost::ask(self.attempt, check, database, &self.mask)).await,
            Question::Schema(check) => Box::pin(schema::ask(self.attempt, check, database)).await,
            Question::Amcheck(check) => Box::pin(amcheck::ask(self.attempt, check, database)).await,
        }
    }

    /// Whether an answer is what is expected.
    ///
    /// # Errors
    /// The expectation cannot be rendered.
    pub async fn judge(
        &self,
        expect: Option<&Expect>,
        answer: &Answer,
        name: &str,
    ) -> Result<Verdict, Failure> {
        let Some(expect) = expect else { return Ok(expectation::judge_alone(answer)) };
        let scope = self.attempt.scope(expectation::texts(&expect.conditions)).await?;
        let wanted = Wanted::new(&expect.conditions, &scope)
            .map_err(|why| Failure::new("runplan::verify::expect", why).permanent())?;
        Ok(wanted.judge(answer, name))
    }
}

/// The database that a question is about.
fn given(database: Option<&Text>) -> Result<&Text, Failure> {
    database.ok_or_else(|| {
        let message = "the question has no `database` to ask";
        Failure::new("runplan::verify::question", message).permanent()
    })
}

/// Names of tables, their templates filled in.
async fn plain_list(attempt: &Attempt, texts: Option<&[Text]>) -> Result<Option<Vec<String>>, Failure> {
    let Some(texts) = texts else { return Ok(None) };
    let mut names = Vec::with_capacity(texts.len());
    for text in texts {
        names.push(attempt.plain(text).await?);
    }
    Ok(Some(names))
}

/// How much longer than its limit a question is waited for, while it gives up by itself.
const SLACK: Duration = Duration::from_secs(15);
