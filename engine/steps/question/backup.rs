//! `backup`: a backup read whole: whether it is one, how old it is, what it holds.

use super::super::archive::{Inspection, Reading};
use super::super::attempt::Attempt;
use super::super::expectation::Answer;
use super::{Unanswered, plain_list};
use crate::clock::{self, Timestamp};
use crate::plan::Duration;
use crate::plan::check::BackupCheck;
use crate::sql::is_called;
use serde_json::{Value, json};

pub async fn ask(attempt: &Attempt, check: &BackupCheck) -> Result<Answer, Unanswered> {
    let path = attempt.path(&check.path).await?;
    let tables = plain_list(attempt, check.tables.as_deref()).await?.unwrap_or_default();
    let reading = Reading::new(&attempt.world.programs, &attempt.cancelled);
    // Who asks for it has it read, whatever is known of it.
    let found = match attempt.world.proofs.anew(&reading, &path).await {
        Ok(found) => found,
        Err(_) if attempt.cancelled.is_cancelled() => return Err(Unanswered::Cancelled),
        // A backup that cannot be used is what was asked about.
        Err(failure) => return Ok(Answer { wrong: Some(failure.message), ..Answer::default() }),
    };
    Ok(Answer {
        wrong: wrong(&found, check.max_age, &tables, clock::now()),
        value: found.rows.into(),
        json: Some(json!({
            "path": path,
            "sha256": found.sha256,
            "bytes": found.bytes,
            "rows": found.rows,
            "taken_at": found.taken_at,
            "tables": found.tables,
        })),
        summary: Some(summary(&found)),
        ..Answer::default()
    })
}

fn wrong(found: &Inspection, max_age: Option<Duration>, tables: &[String], now: Timestamp) -> Option<String> {
    if !found.complete {
        return Some("nothing in it says where it should end, so it may be cut short".to_owned());
    }
    if let Some(limit) = max_age {
        let Some(taken) = found.taken_at.as_deref().and_then(|at| at.parse::<Timestamp>().ok()) else {
            return Some("nobody wrote down when it was taken".to_owned());
        };
        let age = std::time::Duration::try_from(now.duration_since(taken)).unwrap_or_default();
        if age > limit.std() {
            return Some(format!("it was taken at {taken}, longer than {limit} ago"));
        }
    }
    let missing: Vec<&str> = tables
        .iter()
        .map(String::as_str)
        .filter(|wanted| !found.tables.keys().any(|name| is_called(name, wanted)))
        .collect();
    (!missing.is_empty()).then(|| format!("it does not hold {}", missing.join(", ")))
}

fn summary(found: &Inspection) -> String {
    let rows: u64 = found.tables.values().filter_map(Value::as_u64).sum();
    let taken = found.taken_at.as_deref().map(|at| format!(", taken at {at}")).unwrap_or_default();
    format!("{} tables with {rows} rows{taken}", found.tables.len())
}
