//! `http`: a request and its answer. What the request itself expects counts too.

use super::super::attempt::Attempt;
use super::super::expectation::{self, Answer, Wanted};
use super::super::http::{answer, exchange, request};
use super::Unanswered;
use crate::plan::action::Http;
use crate::run::Failure;
use std::time::Duration;

pub async fn ask(attempt: &Attempt, action: &Http, limit: Option<Duration>) -> Result<Answer, Unanswered> {
    let request = request::request(attempt, action, limit).await?;
    let reply = match exchange::send(&request, &attempt.cancelled).await {
        Ok(reply) => reply,
        Err(exchange::Trouble::Cancelled) => return Err(Unanswered::Cancelled),
        Err(trouble) => return Err(Failure::new("runplan::http::no_answer", trouble.message()).into()),
    };
    let mut answer = answer(&reply);
    for expect in action.expect.iter().chain(&action.until) {
        let scope = attempt.scope(expectation::texts(&expect.conditions)).await?;
        let wanted = Wanted::new(&expect.conditions, &scope)
            .map_err(|why| Failure::new("runplan::http::expect", why).permanent())?;
        let verdict = wanted.judge(&answer, "");
        answer.wrong = (!verdict.passed).then_some(verdict.actual);
    }
    Ok(answer)
}
