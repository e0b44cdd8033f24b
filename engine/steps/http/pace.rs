//! A server that asks to be left alone for a while is left alone, and asked again. Must never send again what was taken on:
//! 429, and 503 with a time, say that it was not.

use super::super::attempt::Attempt;
use super::exchange::{self, Reply, Request, Trouble};
use crate::clock;
use jiff::fmt::rfc2822;
use std::time::Duration;

/// So often a server may ask for patience; more of it is a failure.
const MOST_WAITS: u32 = 10;
/// Nobody waits longer than this by itself.
const LONGEST: Duration = Duration::from_secs(600);
/// A server that does not say for how long: this, and each time twice as long, up to `LONGEST_GUESS`.
const FIRST_GUESS: Duration = Duration::from_secs(1);
const LONGEST_GUESS: Duration = Duration::from_secs(60);

/// Sends a request; answers that ask for patience are waited out, unless `wanted` says that they are what is wanted.
pub async fn send(
    attempt: &Attempt,
    request: &Request,
    wanted: impl Fn(&Reply) -> bool,
) -> Result<Reply, Trouble> {
    let mut guess = FIRST_GUESS;
    for _ in 0..MOST_WAITS {
        let reply = exchange::send(request, &attempt.cancelled).await?;
        if wanted(&reply) {
            return Ok(reply);
        }
        let Some(wait) = patience(&reply, guess) else { return Ok(reply) };
        if wait > LONGEST {
            attempt.warn(format!(
                "{} asks to be left alone for {} s, longer than it is waited for",
                request.shown,
                wait.as_secs()
            ));
            return Ok(reply);
        }
        attempt.warn(format!(
            "{} answers {}: it is asked again in {:.1} s",
            request.shown,
            reply.status,
            wait.as_secs_f64()
        ));
        tokio::select! {
            () = clock::sleep(wait) => {}
            // What was refused did not arrive.
            () = attempt.cancelled.cancelled() => return Ok(reply),
        }
        guess = (guess * 2).min(LONGEST_GUESS);
    }
    exchange::send(request, &attempt.cancelled).await
}

/// How long a server wants to be left alone. `guess`: when it does not say.
pub fn patience(reply: &Reply, guess: Duration) -> Option<Duration> {
    let asked = asked(reply);
    match reply.status {
        429 => Some(asked.unwrap_or(guess)),
        503 => asked,
        _ => None,
    }
}

/// How long it asks to be left alone, whatever its status.
pub fn asked(reply: &Reply) -> Option<Duration> {
    reply.headers.get("retry-after").and_then(serde_json::Value::as_str).and_then(read)
}

/// Seconds, or a time.
fn read(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let until = rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(until.duration_since(clock::now())).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_how_long_or_not() {
        let guess = Duration::from_secs(7);
        let of = |status: u16, after: Option<&str>| {
            let headers = after.map(|after| ("retry-after".to_owned(), after.into())).into_iter().collect();
            patience(&Reply { status, headers, ..Reply::default() }, guess)
        };
        assert_eq!(of(429, Some("3")), Some(Duration::from_secs(3)));
        assert_eq!(of(429, None), Some(guess));
        assert_eq!(of(429, Some("soon")), Some(guess));
        assert_eq!(of(429, Some("Sun, 06 Nov 1994 08:49:37 GMT")), Some(Duration::ZERO));
        assert!(of(429, Some("Sun, 06 Nov 2895 08:49:37 GMT")).unwrap() > LONGEST);
        assert_eq!(of(503, Some("0")), Some(Duration::ZERO));
        assert_eq!((of(503, None), of(500, Some("1")), of(200, Some("1"))), (None, None, None));
    }
}
