//! What going back would lose: what was written to the database since it was swapped in. Stated, in rows, and given a code;
//! only who gives that code again goes back, and only while nothing more was written.

use super::super::attempt::Attempt;
use super::super::database::Database;
use super::super::freeze::{self, Counters, Watch};
use super::super::lost::{self, Wish};
use super::super::position;
use super::super::stop::{self, Stop};
use super::super::targets::{Target, application_name};
use super::{Sessions, Swapping};
use crate::clock::{self, Stopwatch};
use crate::plan::{Action, Step};
use crate::postgres::Connection;
use crate::run::{ASKED_LOSS, Failure};
use serde_json::json;
use std::time::Duration;

/// The fact: the old database is about to be opened.
const OPENING: &str = "opening";
/// How long it is tried to shut it again.
const SHUTTING: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);

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
    let tables = watch.by_table();
    let before = |table: &String| swapping.written.get(table).copied().unwrap_or(0);
    // Reset: what it counts now says nothing of what was counted before.
    let is_forgotten =
        now.writes < swapping.counters.writes || tables.iter().any(|(table, writes)| *writes < before(table));
    let rows = tables.iter().map(|(table, writes)| (table, writes.saturating_sub(before(table))));
    let rows: Vec<(&String, u64)> = rows.filter(|(_, more)| *more > 0).collect();
    let (compared, is_same) = match compared(attempt, target, sessions, old).await {
        Ok(summary) => {
            let is_same = summary.contains("would change no row");
            (format!("; {summary}"), is_same)
        }
        Err(stop @ (Stop::Unknown(_) | Stop::Ending)) => return Err(stop),
        Err(stop) => {
            attempt.warn(format!("the old database could not be compared: {}", stop.message()));
            (String::new(), false)
        }
    };
    let live = &swapping.live;
    let message = match is_forgotten {
        true => {
            let lost = if is_same { "" } else { "; swapping back would lose what was" };
            format!(
                "the server has forgotten what was written to {live} (it crashed, or its statistics were reset), so nobody can \
             prove that nothing was written since the swap{lost}{compared}"
            )
        }
        false => {
            let lost = if is_same { "none of it is left in a row" } else { "swapping back would lose that" };
            format!(
                "{live} was written to since the swap: {}{}; {lost}{compared}",
                written(&rows),
                own(attempt, target)
            )
        }
    };
    attempt.note(ASKED_LOSS, json!({ "code": code })).await?;
    let (run, step) = (&attempt.world.run, &attempt.step.id.value);
    let of = if is_forgotten { "unproved" } else { "written" };
    Err(Failure::new(format!("runplan::swap::{of}"), message)
        .help(format!(
            "if it may be lost: `runplan resolve {run} {step} --retry --accept-loss {code} --reason 'it may be lost'`, then `runplan resume \
             {run}`; the code holds while nothing more is written, so close the application first"
        ))
        .permanent()
        .into())
}

fn written(rows: &[(&String, u64)]) -> String {
    if rows.is_empty() {
        return "its tables or their definitions were changed".to_owned();
    }
    let total: u64 = rows.iter().map(|(_, rows)| rows).sum();
    let each: Vec<String> = rows.iter().take(6).map(|(table, rows)| format!("{rows} of {table}")).collect();
    format!("{total} rows were inserted, changed or deleted ({})", each.join(", "))
}

/// The steps of this run that write there after the swap, as the plan has them: the counters count them and their undo.
fn own(attempt: &Attempt, target: &Target) -> String {
    let shape = &attempt.world.shape;
    let Some(swap) = shape.flow.index(attempt.step.id.as_str()) else { return String::new() };
    let later = shape.flow.steps().iter().enumerate().filter(|(at, _)| shape.graph.is_before(swap, *at));
    let writes = |step: &Step| position::changed(step).is_some_and(|text| text.raw.trim() == target.name);
    let own: Vec<&str> = later.filter(|(_, step)| writes(step)).map(|(_, step)| step.id.as_str()).collect();
    match own.is_empty() {
        true => String::new(),
        false => format!(" (of this run {} writes there too, and so does its undo)", own.join(", ")),
    }
}

/// Shuts the old database again, if an earlier try of this work left it open.
pub async fn shut_again(attempt: &Attempt, target: &Target) -> Result<(), Stop> {
    match attempt.own_fact(OPENING).and_then(serde_json::Value::as_u64).map(u32::try_from) {
        Some(Ok(oid)) => shut(attempt, target, oid).await,
        _ => Ok(()),
    }
}

/// In a session of its own: the other may be lost, and it must not stay open for that.
async fn shut(attempt: &Attempt, target: &Target, oid: u32) -> Result<(), Stop> {
    let name = application_name(&attempt.world, attempt.step.id.value.as_str());
    let watch = Stopwatch::start();
    loop {
        let tried = async {
            let server = Connection::connect(&target.maintenance, &name).await?;
            let Some(found) = Database::by_oid(&server, oid).await? else { return Ok(()) };
            if found.open && found.name != target.database {
                server.execute(&freeze::connections(&found.name, false)).await?;
            }
            Ok::<(), crate::postgres::Error>(())
        };
        match tried.await {
            Ok(()) => return Ok(()),
            Err(error) if watch.elapsed() > SHUTTING => {
                let what =
                    format!("the old database (OID {oid}) was opened for a comparison and may still be open");
                return Err(Stop::from(error).after(&what).in_doubt());
            }
            Err(_) => clock::sleep(PAUSE).await,
        }
    }
}

/// What the plan's own comparisons do not show is not shown here either.
fn masked(attempt: &Attempt) -> Vec<String> {
    let plan = &attempt.world.shape.plan;
    let verifies = attempt.world.shape.flow.steps().iter().filter_map(|step| match &step.action.value {
        Action::Verify(verify) => Some(verify),
        _ => None,
    });
    let inline = verifies.flat_map(|verify| &verify.checks);
    let lost = inline.chain(plan.checks.iter().flat_map(|(_, checks)| checks));
    lost.flat_map(|check| check.mask.iter().cloned()).collect()
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
    let mask = masked(attempt);
    let wish = Wish { mask: &mask, ..Wish::default() };
    let opened = !old.open;
    if opened {
        // Durable first: who takes this up after a crash shuts it again.
        attempt.note(OPENING, json!(old.oid)).await?;
        sessions.other.execute(&freeze::connections(&old.name, true)).await?;
    }
    let report = lost::compare(attempt, target, &there, &wish).await;
    if opened {
        shut(attempt, target, old.oid).await?;
    }
    let report = report?;
    let summary =
        report.summary.split("; ").next().unwrap_or_default().replace("the side would", "going back would");
    Ok(match &report.file {
        Some(file) => format!("; against the old database {summary}: see {}", file.display())
            .trim_start_matches("; ")
            .to_owned(),
        None => format!("against the old database {summary}"),
    })
}
