//! When the incident began: `--incident-started`; and times as people write them.

use super::error::Error;
use crate::clock::{self, Timestamp};
use crate::plan::Duration;
use crate::report::amount::{between, span};
use crate::run::{self, Overdue, State};

/// `40m` (ago), `2026-11-22T03:11Z`, or `2026-11-22 03:11` by this machine's clock.
///
/// # Errors
/// It is none of these, or lies in the future.
pub fn began(text: &str) -> Result<Timestamp, Error> {
    let (now, text) = (clock::now(), text.trim());
    let began = moment(text).ok_or_else(|| {
        Error::usage_with(
            format!("`{text}` does not say when the incident began"),
            "write how long ago (`40m`), or a time: `2026-11-22T03:11Z`, `2026-11-22 03:11`",
        )
    })?;
    match began <= now {
        true => Ok(began),
        false => {
            Err(Error::usage(format!("the incident cannot have begun at {began}: that is still to come")))
        }
    }
}

/// What a parked run, which has no clock, cannot say by itself: its deadline has passed, and whom to call.
pub fn overdue(state: &State) -> Option<String> {
    let Overdue { severity, due_at, call } = run::overdue(state, clock::now())?;
    let ago = span(between(due_at, clock::now()));
    let call = if call.is_empty() { String::new() } else { format!("; to be told: {}", call.join("; ")) };
    Some(format!(
        "the deadline of {severity} passed {ago} ago, and a parked run tells nobody until it is resumed{call}"
    ))
}

/// The same for any time. A day is its beginning.
pub fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let ago = Duration::parse(text.trim_end_matches("ago"))
        .and_then(|ago| clock::now().checked_sub(ago.std()).ok());
    let local = || {
        let time: jiff::civil::DateTime = text.parse().ok()?;
        Some(time.to_zoned(jiff::tz::TimeZone::system()).ok()?.timestamp())
    };
    ago.or_else(|| text.parse().ok()).or_else(local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_ago_and_a_time_is_a_time() {
        let ago = clock::now().duration_since(began("40m").unwrap()).as_secs();
        assert!((2399..2460).contains(&ago), "{ago}");
        assert!(began("1h30m ago").is_ok());
        assert_eq!(began("2026-01-02T03:04:05Z").unwrap().to_string(), "2026-01-02T03:04:05Z");
        assert!(began("2026-01-02 03:04").is_ok());
        assert!(began("yesterday").is_err());
        assert!(began("2999-01-01T00:00:00Z").unwrap_err().to_string().contains("still to come"));
    }
}
