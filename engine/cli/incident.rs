//! When the incident began: `--incident-started`; and times as people write them.

use super::error::Error;
use crate::clock::{self, Timestamp};
use crate::plan::Duration;
use crate::report::amount::{between, span, time};
use crate::run::{self, Overdue, State};
use crate::terminal::Screen;

/// `40m` (ago), `2026-11-22T03:11Z`, or `2026-11-22 03:11` by this machine's clock.
///
/// # Errors
/// It is none of these, or lies in the future.
pub fn began(text: &str) -> Result<Timestamp, Error> {
    let (now, text) = (clock::now(), text.trim());
    let began = moment(text).ok_or_else(|| {
        Error::usage_with(
            format!("`{text}` does not say when the incident began"),
            "write how long ago (`40m`), or a time: `03:11`, `2026-11-22T03:11Z`, `2026-11-22 03:11`",
        )
    })?;
    match began <= now {
        true => Ok(began),
        false => Err(Error::usage(format!(
            "the incident cannot have begun at {}: that is still to come",
            time(began)
        ))),
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

/// Says which time a time of day was taken for.
pub fn tell(screen: &Screen, option: &str, text: &str, at: Timestamp) {
    if time_of_day(text).is_some() {
        let at = at.to_zoned(jiff::tz::TimeZone::system());
        screen.remark(&format!(
            "{option} {}: taken for {}",
            text.trim(),
            at.strftime("%Y-%m-%d %H:%M:%S %Z")
        ));
    }
}

/// `02:40`, as it is typed at night.
fn time_of_day(text: &str) -> Option<jiff::civil::Time> {
    let text = text.trim();
    let is_one = text.contains(':') && text.chars().all(|c| c.is_ascii_digit() || c == ':');
    is_one.then(|| text.parse().ok()).flatten()
}

/// The last such time of the day.
fn last(time: jiff::civil::Time, now: &jiff::Zoned) -> Option<Timestamp> {
    let on = |day: jiff::civil::Date| {
        Some(day.to_datetime(time).to_zoned(now.time_zone().clone()).ok()?.timestamp())
    };
    on(now.date()).filter(|at| *at <= now.timestamp()).or_else(|| on(now.date().yesterday().ok()?))
}

/// The same for any time. A day is its beginning; a time of day is the last such one.
pub fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let ago = Duration::parse(text.trim_end_matches("ago"))
        .and_then(|ago| clock::now().checked_sub(ago.std()).ok());
    let local = || {
        let time: jiff::civil::DateTime = text.parse().ok()?;
        Some(time.to_zoned(jiff::tz::TimeZone::system()).ok()?.timestamp())
    };
    let of_day = || last(time_of_day(text)?, &clock::now().to_zoned(jiff::tz::TimeZone::system()));
    ago.or_else(of_day).or_else(|| text.parse().ok()).or_else(local)
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
        assert!(began("yesterday").is_err() && began("25:00").is_err());
        let now: jiff::Zoned = "2026-11-22T03:05:00+01:00[Europe/Berlin]".parse().unwrap();
        let at = |text| last(time_of_day(text).unwrap(), &now).unwrap().to_string();
        assert_eq!(at("02:40"), "2026-11-22T01:40:00Z");
        assert_eq!(at("23:50"), "2026-11-21T22:50:00Z");
        assert!(began("00:00").is_ok() && began("23:59:59").is_ok());
        assert!(
            began("2999-01-01T00:00:00Z")
                .unwrap_err()
                .to_string()
                .contains("2999-01-01 00:00:00 UTC: that is still")
        );
    }
}
