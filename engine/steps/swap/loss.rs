//! What going back would lose: what was written to the database since it was swapped in. Stated, in rows, and given a code;
//! only who gives that code again goes back, and only while nothing more was written.

use super::super::attempt::Attempt;
use super::super::database::Database;
use super::super::freeze::{self, Counters, Watch};
use super::super::lost;
use super::super::stop::{self, Stop};
use super::super::targets::{Target, application_name};
use super::{Sessions, Swapping};
use crate::postgres::Connection;
use crate::run::Failure;

/// So much of the fingerprint is the code.
const CODE: usize = 8;

/// What must stand still from here on; an error where more was written than somebody agreed to lose.
pub async fn expect_agreed(
    attempt: &Attempt,
    target: &Target,
    sessions: &Sessions,
    swapping: &Swapping,
    old: &Database,
) -> Result<Counters, Stop> {
    let name = application_name(&attempt.world, attempt.step.id.value.as_str());
    let inside = stop::unless_cancelled(attempt, Connection::connect(&target.settings, &name)).await?;
    let watch = Watch::take(&inside).await?;
    drop(inside);
    let now = watch.counters(swapping.side_oid);
    if now == swapping.counters {
        return Ok(now);
    }
    let code: String = now.fingerprint.chars().take(CODE).collect();
    if attempt.accepted_loss.as_ref() == Some(&code) {
        attempt.warn(format!("what was written since the swap is lost, as agreed ({code})"));
        return Ok(now);
    }
    let rows: Vec<(String, u64)> = watch
        .by_table()
        .into_iter()
        .filter_map(|(table, writes)| {
            let more = writes.saturating_sub(swapping.written.get(&table).copied().unwrap_or(0));
            (more > 0).then_some((table, more))
        })
        .collect();
    let written = match rows.as_slice() {
        [] => "its tables or their definitions were changed".to_owned(),
        rows => {
            let total: u64 = rows.iter().map(|(_, rows)| rows).sum();
            let each: Vec<String> =
                rows.iter().take(6).map(|(table, rows)| format!("{rows} of {table}")).collect();
            format!("{total} rows were inserted, changed or deleted ({})", each.join(", "))
        }
    };
    let compared = match compared(attempt, target, sessions, old).await {
        Ok(summary) => format!("; {summary}"),
        Err(stop) => {
            attempt.warn(format!("the old database could not be compared: {}", stop.message()));
            String::new()
        }
    };
    let (run, step) = (&attempt.world.run, &attempt.step.id.value);
    let message = format!(
        "{} was written to since the swap: {written}; swapping back would lose that{compared}",
        swapping.live
    );
    Err(Failure::new("runplan::swap::written", message)
        .help(format!(
            "if it may be lost: `runplan resolve {run} {step} --retry --accept-loss {code} --reason ...`, then `runplan resume \
             {run}`; the code holds while nothing more is written, so close the application first"
        ))
        .permanent()
        .into())
}

/// Row by row, with the old database open for as long as that takes.
async fn compared(
    attempt: &Attempt,
    target: &Target,
    sessions: &Sessions,
    old: &Database,
) -> Result<String, Stop> {
    let there = Target {
        database: old.name.clone(),
        settings: target.settings.with_database(&old.name),
        is_side: true,
        ..target.clone()
    };
    let opened = !old.open;
    if opened {
        sessions.other.execute(&freeze::connections(&old.name, true)).await?;
    }
    let report = lost::compare(attempt, target, &there, None).await;
    if opened {
        sessions.other.execute(&freeze::connections(&old.name, false)).await?;
    }
    let report = report?;
    let summary =
        report.summary.split("; ").next().unwrap_or_default().replace("the swap would", "going back would");
    Ok(match &report.file {
        Some(file) => format!("; against the old database {summary}: see {}", file.display())
            .trim_start_matches("; ")
            .to_owned(),
        None => format!("against the old database {summary}"),
    })
}
