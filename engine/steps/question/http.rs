//! `http`: a request and its answer. What the request itself expects counts too; `until` is waited for, but not for long.

use super::super::attempt::Attempt;
use super::super::expectation::{self, Answer, Wanted};
use super::super::http::exchange::{Reply, Trouble};
use super::super::http::{answer, graphql, pace, request, verdict};
use super::Unanswered;
use crate::clock::{self, Stopwatch};
use crate::plan::Expect;
use crate::plan::action::Http;
use crate::run::Failure;
use std::time::Duration;

/// So long a question waits for its `until`, unless it has a `timeout` of its own.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn ask(attempt: &Attempt, action: &Http, limit: Option<Duration>) -> Result<Answer, Unanswered> {
    let request = request::request(attempt, action, limit).await?;
    let expect = wanted(attempt, action.expect.as_ref()).await?;
    let until = wanted(attempt, action.until.as_ref()).await?;
    let watch = Stopwatch::start();
    let patience = limit.unwrap_or(PATIENCE);
    let passes = |wanted: &Option<Wanted>, reply: &Reply| {
        wanted.as_ref().is_none_or(|wanted| verdict(action, Some(wanted), reply).passed)
    };
    let reply = loop {
        let is_it = |reply: &Reply| passes(&expect, reply) && passes(&until, reply);
        match pace::send(attempt, &request, is_it).await {
            Ok(reply) if passes(&until, &reply) || watch.elapsed() + action.every.std() >= patience => {
                break reply;
            }
            Ok(_) => {}
            Err(Trouble::Cancelled) => return Err(Unanswered::Cancelled),
            Err(_) if until.is_some() && watch.elapsed() + action.every.std() < patience => {}
            Err(trouble) => return Err(Failure::new("runplan::http::no_answer", trouble.message()).into()),
        }
        clock::sleep(action.every.std()).await;
    };
    let mut answer = answer(&reply);
    if expect.is_some() || until.is_some() {
        let judged = expect.iter().chain(&until).map(|wanted| verdict(action, Some(wanted), &reply));
        answer.wrong = judged.into_iter().find(|verdict| !verdict.passed).map(|verdict| verdict.actual);
    }
    // Without a status no `expect: { status: ... }` makes it good.
    if let Some(wrong) = action.graphql.as_ref().and_then(|_| graphql::wrong(&reply)) {
        answer.wrong = Some(wrong);
        answer.status = None;
    }
    Ok(answer)
}

async fn wanted(attempt: &Attempt, expect: Option<&Expect>) -> Result<Option<Wanted>, Failure> {
    let Some(expect) = expect else { return Ok(None) };
    let scope = attempt.scope(expectation::texts(&expect.conditions)).await?;
    let wanted = Wanted::new(&expect.conditions, &scope);
    wanted.map(Some).map_err(|why| Failure::new("runplan::http::expect", why).permanent())
}
