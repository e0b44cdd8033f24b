//! `http`: one request, or one again and again until the answer is the wanted one. Must never send a request twice that
//! may have arrived, unless the author says that this does no harm.

pub mod arrival;
pub mod exchange;
pub mod graphql;
pub mod pace;
pub mod request;
pub mod trust;

use super::attempt::Attempt;
use super::changes;
use super::expectation::{self, Answer, Verdict, Wanted};
use super::probe::{self, Probed};
use crate::clock::Stopwatch;
use crate::plan::Expect;
use crate::plan::action::Http;
use crate::plan::action::http::Method;
use crate::run::{Evidence, Failure, Outcome, Outputs};
use arrival::Arrival;
use exchange::{Reply, Request, Trouble};
use serde_json::{Value, json};

/// The fact that a request follows which must not be sent twice.
const SENDING: &str = "sending";
/// So much of a body is kept in the outputs.
const LARGEST_OUTPUT: usize = 64 * 1024;
/// So much of a body is told where it is not the wanted one.
const LARGEST_QUOTE: usize = 200;
/// JSON over this size is not kept as an output.
const LARGEST_JSON: usize = 256 * 1024;

pub async fn act(attempt: &Attempt, action: &Http) -> Outcome {
    match run(attempt, action).await {
        Ok(outcome) => outcome,
        Err(failure) => Outcome::Failed(failure),
    }
}

async fn run(attempt: &Attempt, action: &Http) -> Result<Outcome, Failure> {
    let limit = attempt.step.timeout.map(|limit| limit.std());
    let request = request::request(attempt, action, limit).await?;
    let expect = wanted(attempt, action.expect.as_ref()).await?;
    let until = wanted(attempt, action.until.as_ref()).await?;
    changes::claim(attempt, action.changes.as_ref()).await?;
    if !is_repeatable(action) {
        let fact = json!({ "method": request.method, "to": request.shown });
        if attempt.note(SENDING, fact).await.is_err() {
            return Err(cancelled("the run ended before the request was sent"));
        }
    }
    let sent = match &until {
        Some(until) => poll(attempt, action, &request, until).await?,
        None => {
            let is_it = |reply: &Reply| verdict(action, expect.as_ref(), reply).passed;
            pace::send(attempt, &request, is_it).await
        }
    };
    match sent {
        Ok(reply) => Ok(judge(attempt, action, &request, expect.as_ref(), reply).await),
        Err(trouble) => Ok(unanswered(attempt, action, &request, &trouble).await),
    }
}

fn is_repeatable(action: &Http) -> bool {
    action.repeatable || matches!(action.method, Method::Get | Method::Head)
}

fn cancelled(what: &str) -> Failure {
    Failure::new("runplan::step::cancelled", format!("it was cancelled; {what}"))
}

async fn wanted(attempt: &Attempt, expect: Option<&Expect>) -> Result<Option<Wanted>, Failure> {
    let Some(expect) = expect else { return Ok(None) };
    let scope = attempt.scope(expectation::texts(&expect.conditions)).await?;
    let wanted = Wanted::new(&expect.conditions, &scope);
    wanted.map(Some).map_err(|why| Failure::new("runplan::http::expect", why).permanent())
}

/// The answer as a check sees it.
pub fn answer(reply: &Reply) -> Answer {
    let fine = (200..300).contains(&reply.status);
    Answer {
        wrong: (!fine).then(|| format!("status {}", reply.status)),
        value: Value::String(reply.body.clone()),
        status: Some(reply.status),
        json: reply.json.clone(),
        cut: reply.cut.then_some(exchange::LARGEST_BODY),
        ..Answer::default()
    }
}

/// Whether it is the wanted one. The `errors` of GraphQL are never that.
pub fn verdict(action: &Http, wanted: Option<&Wanted>, reply: &Reply) -> Verdict {
    let answer = answer(reply);
    let verdict =
        wanted.map_or_else(|| expectation::judge_alone(&answer), |wanted| wanted.judge(&answer, ""));
    match action.graphql.as_ref().and_then(|_| graphql::wrong(reply)) {
        Some(wrong) => {
            let expected =
                if verdict.expected.is_empty() { "no errors".to_owned() } else { verdict.expected };
            Verdict { passed: false, actual: wrong, expected, differences: None }
        }
        None => with_words(verdict, reply),
    }
}

/// A status alone does not say why, nor a redirect where to.
fn with_words(verdict: Verdict, reply: &Reply) -> Verdict {
    let status = format!("status {}", reply.status);
    if let Some(to) = reply.to.as_ref().filter(|_| !verdict.passed && verdict.actual == status) {
        return Verdict { actual: format!("{status}, a redirect to {to}, which is not followed"), ..verdict };
    }
    let body = reply.body.trim();
    if verdict.passed || body.is_empty() || verdict.actual != status {
        return verdict;
    }
    let end = body.floor_char_boundary(LARGEST_QUOTE);
    let more = if end < body.len() { " ..." } else { "" };
    Verdict { actual: format!("{}: {}{more}", verdict.actual, &body[..end]), ..verdict }
}

/// Asks until the answer is the wanted one. Only the step's end ends it otherwise.
async fn poll(
    attempt: &Attempt,
    action: &Http,
    request: &Request,
    until: &Wanted,
) -> Result<Result<Reply, Trouble>, Failure> {
    let watch = Stopwatch::start();
    loop {
        let is_it = |reply: &Reply| verdict(action, Some(until), reply).passed;
        let last = match pace::send(attempt, request, is_it).await {
            Ok(reply) => {
                let verdict = verdict(action, Some(until), &reply);
                if verdict.passed {
                    return Ok(Ok(reply));
                }
                format!("{} (wanted: {})", verdict.actual, verdict.expected)
            }
            Err(trouble @ (Trouble::Lost(_) | Trouble::Cancelled)) if !is_repeatable(action) => {
                return Ok(Err(trouble));
            }
            Err(trouble) => trouble.message().to_owned(),
        };
        let doing = format!("waiting for {} (last: {last})", request.shown);
        if !attempt.linger(action.every.std(), &doing, &watch).await {
            let message = format!("{} did not become what `until` wants; last: {last}", request.shown);
            return Err(Failure::new("runplan::http::until", message));
        }
    }
}

async fn judge(
    attempt: &Attempt,
    action: &Http,
    request: &Request,
    expect: Option<&Wanted>,
    reply: Reply,
) -> Outcome {
    let verdict = if action.until.is_some() && expect.is_none() {
        Verdict { passed: true, expected: String::new(), actual: String::new(), differences: None }
    } else {
        verdict(action, expect, &reply)
    };
    if verdict.passed {
        return Outcome::Done(outputs(attempt, reply));
    }
    let message = format!(
        "{} {} answered: {} (wanted: {})",
        request.method, request.shown, verdict.actual, verdict.expected
    );
    let failure = Failure::new("runplan::http::answer", message.clone());
    if is_repeatable(action) {
        return Outcome::Failed(failure);
    }
    match arrival::of(&reply, action.graphql.is_some()) {
        // Where it was sent it will not be taken later either.
        Arrival::Refused if reply.status < 400 => Outcome::Failed(failure.permanent()),
        Arrival::Refused => Outcome::Failed(failure),
        Arrival::Doubtful => by_probe(attempt, action, message, Outcome::Failed(failure)).await,
        Arrival::Accepted => accepted(attempt, action, message).await,
    }
}

/// It was taken on, whatever is wrong with the answer: that it did nothing only the probe can say, and that all is well
/// only somebody who looks at it.
async fn accepted(attempt: &Attempt, action: &Http, message: String) -> Outcome {
    let mut failure = Failure::new("runplan::http::answer", message.clone()).permanent();
    failure.help = action.probe.is_some().then(|| "the probe says that it did not take effect".to_owned());
    match by_probe(attempt, action, message.clone(), Outcome::Failed(failure)).await {
        Outcome::Done(outputs) => {
            let probe = outputs.get("probe").and_then(Value::as_str).unwrap_or_default();
            let facts = [message, format!("the probe says that it took effect: {probe}")];
            Outcome::Unknown(Evidence::new(
                "the request took effect, but its answer is not the wanted one",
                facts,
            ))
        }
        outcome => outcome,
    }
}

async fn unanswered(attempt: &Attempt, action: &Http, request: &Request, trouble: &Trouble) -> Outcome {
    let what = format!("{} {}: {}", request.method, request.shown, trouble.message());
    let failure = Failure::new("runplan::http::no_answer", what.clone());
    match trouble {
        Trouble::NotSent(_) => Outcome::Failed(failure),
        Trouble::Lost(_) | Trouble::Cancelled if is_repeatable(action) => {
            attempt.mention_half();
            Outcome::Failed(failure)
        }
        Trouble::Lost(_) | Trouble::Cancelled => {
            by_probe(attempt, action, what, Outcome::Failed(failure)).await
        }
    }
}

/// Asks the probe, if there is one; `not`: what it means when nothing took effect.
async fn by_probe(attempt: &Attempt, action: &Http, what: String, not: Outcome) -> Outcome {
    let message = "whether the request took effect is not known";
    let Some(probe) = &action.probe else {
        return Outcome::Unknown(Evidence::new(message, [what, "there is no `probe` to ask".to_owned()]));
    };
    match Box::pin(probe::ask(attempt, probe, None)).await {
        Probed::Took(why) => {
            let mut outputs = Outputs::new();
            outputs.insert("probe".to_owned(), why.into());
            Outcome::Done(outputs)
        }
        Probed::Not(_) => not,
        Probed::Unasked(why) => Outcome::Unknown(Evidence::new(message, [what, why])),
    }
}

fn outputs(attempt: &Attempt, reply: Reply) -> Outputs {
    let mut outputs = Outputs::new();
    let length = match reply.cut {
        true => format!("is larger than {} MiB", exchange::LARGEST_BODY >> 20),
        false => format!("has {} bytes", reply.body.len()),
    };
    outputs.insert("status".to_owned(), reply.status.into());
    let is_small = reply.body.len() <= LARGEST_JSON;
    if !is_small && (reply.json.is_some() || reply.cut) {
        attempt.warn(format!(
            "the answer {length}: over {} KiB nothing of it is kept as `json`",
            LARGEST_JSON / 1024
        ));
    }
    outputs.insert("json".to_owned(), reply.json.filter(|_| is_small).unwrap_or_default());
    outputs.insert("headers".to_owned(), Value::Object(reply.headers));
    let end = reply.body.floor_char_boundary(LARGEST_OUTPUT);
    if end < reply.body.len() {
        attempt.warn(format!("the answer {length}: only its first {end} bytes are kept as `body`"));
    }
    outputs.insert("body".to_owned(), reply.body.get(..end).unwrap_or_default().into());
    outputs
}

pub async fn settle(attempt: &Attempt, action: &Http) -> Outcome {
    if is_repeatable(action) {
        attempt.mention_half();
        return Outcome::Again("sending it twice does no harm".to_owned());
    }
    if attempt.own_fact(SENDING).is_none() {
        return Outcome::Again("it was not sent".to_owned());
    }
    let again = Outcome::Again("the probe says that it did not take effect".to_owned());
    by_probe(
        attempt,
        action,
        "the request was about to be sent, and its answer was not heard".to_owned(),
        again,
    )
    .await
}
