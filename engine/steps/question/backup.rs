//! `backup`: a backup is proved whole by its manifest's checksums, or by reading all of it; its age and tables are looked at.
//! `counts`: a database's rows against those in a backup.

use super::super::archive::{Inspection, Reading, inspect};
use super::super::attempt::Attempt;
use super::super::expectation::{Answer, Tolerance};
use super::super::sql::session::{self, Limits};
use super::{Asker, Unanswered};
use crate::clock;
use crate::plan::Text;
use crate::plan::check::{AgainstBackup, BackupCheck};
use crate::postgres::escape_identifier;
use crate::run::Failure;
use serde_json::json;

pub async fn ask(attempt: &Attempt, check: &BackupCheck) -> Result<Answer, Unanswered> {
    let path = attempt.path(&check.path).await?;
    let wanted = super::plain_list(attempt, check.tables.as_deref()).await?.unwrap_or_default();
    let found = match prove(attempt, &check.path).await {
        Ok(found) => found,
        // What is wrong with the backup is the answer.
        Err(failure) => return Ok(Answer { wrong: Some(failure.message), ..Answer::default() }),
    };
    let mut wrong = Vec::new();
    if !found.complete {
        wrong.push("nothing proves that it is whole".to_owned());
    }
    let missing: Vec<&String> = wanted.iter().filter(|table| rows_of(&found, table).is_none()).collect();
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|name| name.as_str()).collect();
        wrong.push(format!("it does not hold {}", names.join(", ")));
    }
    if let Some(limit) = check.max_age {
        match found.taken_at.as_deref().and_then(|at| at.parse::<clock::Timestamp>().ok()) {
            None => wrong.push("nobody wrote down when it was taken".to_owned()),
            Some(at)
                if clock::now().duration_since(at) > jiff::SignedDuration::from_millis(limit.ms as i64) =>
            {
                wrong.push(format!("it was taken at {at}, longer than {limit} ago"));
            }
            Some(_) => {}
        }
    }
    let summary = format!(
        "{}: {} tables, {} rows{}",
        path.display(),
        found.tables.len(),
        found.rows,
        found.taken_at.as_deref().map(|at| format!(", taken at {at}")).unwrap_or_default()
    );
    Ok(Answer {
        wrong: (!wrong.is_empty()).then(|| wrong.join("; ")),
        value: found.rows.into(),
        json: Some(json!({ "sha256": found.sha256, "tables": found.tables, "taken_at": found.taken_at })),
        summary: Some(summary),
        ..Answer::default()
    })
}

/// The rows of every table in a backup against those in a database.
pub async fn counts(
    asker: &Asker<'_>,
    check: &AgainstBackup,
    database: Option<&Text>,
) -> Result<Answer, Unanswered> {
    let Some(database) = database else {
        let message = "the counts have no `database`";
        return Err(Failure::new("runplan::verify::question", message).permanent().into());
    };
    let attempt = asker.attempt;
    let found = prove(attempt, &check.matches).await?;
    let only = super::plain_list(attempt, check.tables.as_deref()).await?;
    let tolerance = check.tolerance.as_ref().and_then(|text| Tolerance::parse(&text.value));
    let target = attempt.world.targets.find(&attempt.world, database).await?;
    let limits = Limits { lock_timeout: None, statement_timeout: None };
    let connection =
        session::open(attempt, &target, limits).await.map_err(|error| session::failure(&error, ""))?;
    let mut wrong = Vec::new();
    let mut compared = 0usize;
    for (table, rows) in &found.tables {
        let rows = rows.as_u64().unwrap_or(0);
        let (schema, name) = table.split_once('.').unwrap_or(("public", table));
        if only.as_ref().is_some_and(|only| !only.iter().any(|one| one == table || one == name)) {
            continue;
        }
        compared += 1;
        let sql = format!("SELECT count(*) FROM {}.{}", escape_identifier(schema), escape_identifier(name));
        match connection.one(&sql).await {
            Ok(count) => {
                let count: u64 = count.parse().unwrap_or(0);
                let near = tolerance.unwrap_or(Tolerance::Absolute(0.0)).admits(rows as f64, count as f64);
                if !near {
                    wrong.push(format!("{table} has {count} rows, {rows} in the backup"));
                }
            }
            Err(error) if error.sqlstate() == Some("42P01") => {
                wrong.push(format!("{table} is missing, {rows} rows in the backup"));
            }
            Err(error) => return Err(session::failure(&error, "").into()),
        }
    }
    if compared == 0 {
        wrong.push("the backup holds none of the tables".to_owned());
    }
    let off = wrong.len();
    Ok(Answer {
        wrong: (off > 0).then(|| wrong.join("; ")),
        value: off.into(),
        summary: (off == 0).then(|| format!("{compared} tables have the rows of the backup")),
        ..Answer::default()
    })
}

async fn prove(attempt: &Attempt, path: &Text) -> Result<Inspection, Failure> {
    let path = attempt.path(path).await?;
    let reading = Reading::new(&attempt.world.programs, &attempt.cancelled);
    inspect(&reading, &path).await
}

/// `users` means the table of that name in any schema.
fn rows_of(found: &Inspection, table: &str) -> Option<u64> {
    found
        .tables
        .iter()
        .find(|(name, _)| *name == table || name.split_once('.').is_some_and(|(_, bare)| bare == table))
        .map(|(_, rows)| rows.as_u64().unwrap_or(0))
}
