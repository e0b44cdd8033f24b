//! `http`: a request and its answer. What the request itself expects counts too; `until` is waited for, but not for long.

use super::super::attempt::Attempt;
use super::super::expectation::{self, Answer, Wanted};
use super::super::http::exchange::{Reply, Trouble};
use super::super::http::{answer, arrival, graphql, pace, request, verdict};
use super::Unanswered;
use crate::clock::Stopwatch;
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
        let last = match pace::send(attempt, &request, is_it).await {
            Ok(reply) if passes(&until, &reply) || watch.elapsed() + action.every.std() >= patience => {
                break reply;
            }
            Ok(reply) => told(action, until.as_ref(), &reply),
            Err(Trouble::Cancelled) => return Err(Unanswered::Cancelled),
            Err(trouble) if until.is_some() && watch.elapsed() + action.every.std() < patience => {
                trouble.message().to_owned()
            }
            Err(trouble) => return Err(Failure::new("runplan::http::no_answer", trouble.message()).into()),
        };
        let doing = format!("waiting for {} (last: {last})", request.shown);
        if !attempt.linger(action.every.std(), &doing, &watch).await {
            return Err(Unanswered::Cancelled);
        }
    };
    let mut answer = answer(&reply);
    answer.silent = arrival::silence(&reply);
    let wants_json = |expect: &&Expect| expect.conditions.json.is_some();
    if reply.json.is_none() && action.expect.iter().chain(&action.until).any(|expect| wants_json(&expect)) {
        answer.silent = Some(expectation::not_json(&answer));
    }
    if expect.is_some() || until.is_some() {
        let judged = expect.iter().chain(&until).map(|wanted| verdict(action, Some(wanted), &reply));
        answer.wrong = judged.into_iter().find(|verdict| !verdict.passed).map(|verdict| verdict.actual);
    }
    // Without a status no `expect: { status: ... }` makes it good.
    if let Some(wrong) = action.graphql.as_ref().and_then(|_| graphql::wrong(&reply)) {
        answer.silent = Some(wrong.clone());
        answer.wrong = Some(wrong);
        answer.status = None;
    }
    Ok(answer)
}

fn told(action: &Http, until: Option<&Wanted>, reply: &Reply) -> String {
    let verdict = verdict(action, until, reply);
    format!("{} (wanted: {})", verdict.actual, verdict.expected)
}

async fn wanted(attempt: &Attempt, expect: Option<&Expect>) -> Result<Option<Wanted>, Failure> {
    let Some(expect) = expect else { return Ok(None) };
    let scope = attempt.scope(expectation::texts(&expect.conditions)).await?;
    let wanted = Wanted::new(&expect.conditions, &scope);
    wanted.map(Some).map_err(|why| Failure::new("runplan::http::expect", why).permanent())
}
