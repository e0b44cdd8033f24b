//! Whether anything was written since a freeze, by the counters that proved it. Must never call a database unwritten when the
//! server has forgotten what it counted.

use super::Counters;
use crate::postgres::escape_identifier;
use crate::run::Failure;
use serde::Deserialize;
use serde_json::Value;

/// What mends it: the run proves it anew, with everything that followed the freeze.
const AGAIN: &str = "look at what was written; then `runplan resume` freezes it again, makes the backups and comparisons \
                     that followed anew, and asks for approval again; or take the run back (`runplan undo`)";

/// What mends a freeze that let nobody in, and was opened: what looked at the database before it must get in again.
pub fn reopened(database: &str, open: bool) -> String {
    const AGAIN: &str = "`runplan resume` looks at it again, makes its backups and comparisons anew, closes it and asks for \
                         approval again; or take this run back (`runplan undo`)";
    match open {
        true => AGAIN.to_owned(),
        false => format!(
            "have it looked at: as its owner, in another database: ALTER DATABASE {} ALLOW_CONNECTIONS true; then {AGAIN}",
            escape_identifier(database)
        ),
    }
}

/// Which writes are held against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    All,
    /// Not those to the catalogs: an attempt of our own that was rolled back has written there.
    Rows,
}

/// The counters that a freeze left behind; None where it let nobody in and counted nothing.
///
/// # Errors
/// They cannot be read.
pub fn counted(frozen: &Value) -> Result<Option<Counters>, serde_json::Error> {
    match frozen.get("counters").filter(|counters| !counters.is_null()) {
        Some(counters) => Counters::deserialize(counters).map(Some),
        None => Ok(None),
    }
}

/// What the counters of now say: nothing was written, else the refusal with the code `runplan::<of>::written` or `unproved`.
///
/// # Errors
/// Something was written, or nobody can know.
pub fn unwritten(
    of: &str,
    database: &str,
    then: &Counters,
    now: &Counters,
    writes: Writes,
    why: &str,
) -> Result<(), Failure> {
    let same = match (writes, &then.rows) {
        (Writes::Rows, Some(rows)) => now.oid == then.oid && now.rows.as_ref() == Some(rows),
        _ => now.oid == then.oid && now.fingerprint == then.fingerprint && now.writes == then.writes,
    };
    if now.writes < then.writes {
        let message = format!(
            "the server has forgotten what was written to {database} before (it crashed, or its statistics were reset), \
             so nobody can prove any more that nothing was written since the freeze"
        );
        return Err(Failure::new(format!("runplan::{of}::unproved"), message).help(AGAIN));
    }
    if same {
        return Ok(());
    }
    Err(Failure::new(format!("runplan::{of}::written"), why).help(AGAIN))
}

/// The refusal, in words.
pub fn refusal(database: &str) -> String {
    format!(
        "{database} was written to since the freeze; those writes would be lost without anybody having seen them"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(fingerprint: &str, rows: &str, writes: u64) -> Counters {
        Counters { oid: 1, fingerprint: fingerprint.into(), writes, rows: Some(rows.into()) }
    }

    #[test]
    fn rows_count_always_catalogs_until_an_attempt_of_our_own_wrote_there() {
        let then = counters("a", "r", 5);
        let judge = |now: &Counters, writes| {
            unwritten("swap", "app", &then, now, writes, "why").map_err(|failure| failure.code)
        };
        let written = Err("runplan::swap::written".to_owned());
        assert_eq!(judge(&then, Writes::All), Ok(()));
        assert_eq!(judge(&counters("b", "r", 6), Writes::All), written);
        assert_eq!(judge(&counters("b", "r", 6), Writes::Rows), Ok(()));
        assert_eq!(judge(&counters("b", "s", 6), Writes::Rows), written);
        assert_eq!(judge(&counters("b", "s", 4), Writes::Rows), Err("runplan::swap::unproved".to_owned()));
        // A freeze of an older version said nothing of the rows alone.
        let older = Counters { rows: None, ..then.clone() };
        let judged = unwritten("swap", "app", &older, &counters("b", "r", 6), Writes::Rows, "why");
        assert_eq!(judged.map_err(|failure| failure.code), written);
    }
}
