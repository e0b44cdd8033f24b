//! `counts`: the rows of every table, in one snapshot, against those of a backup.

use super::super::archive::{Manifest, Reading};
use super::super::attempt::Attempt;
use super::super::expectation::{Answer, Doubt, Tolerance};
use super::super::sql::rows::Rows;
use super::super::sql::session::{self, Limits};
use super::{Unanswered, given, plain_list};
use crate::plan::Text;
use crate::plan::check::AgainstBackup;
use crate::postgres::{Connection, escape_identifier};
use crate::run::Failure;
use crate::sql::{is_called, parts_of};
use serde_json::{Map, Value};

pub async fn ask(
    attempt: &Attempt,
    check: &AgainstBackup,
    database: Option<&Text>,
) -> Result<Answer, Unanswered> {
    let tolerance = match &check.tolerance {
        None => Tolerance::Absolute(0.0),
        Some(text) => Tolerance::parse(&text.value).ok_or_else(|| {
            let message = format!("`tolerance: {}` is neither a number nor a percentage", text.value);
            Failure::new("runplan::verify::expect", message).permanent()
        })?,
    };
    let mut wanted = of_backup(attempt, &check.matches).await?;
    if let Some(chosen) = plain_list(attempt, check.tables.as_deref()).await? {
        if let Some(missing) = chosen.iter().find(|table| !wanted.keys().any(|name| is_called(name, table))) {
            let message = format!("the backup holds no table {missing}");
            return Ok(Answer { wrong: Some(message), ..Answer::default() });
        }
        wanted.retain(|name, _| chosen.iter().any(|table| is_called(name, table)));
    }
    let target = attempt.world.targets.find(&attempt.world, given(database)?).await?;
    let connection = session::open(attempt, &target, Limits::default())
        .await
        .map_err(|error| session::failure(&error, ""))?;
    let mut differing = Vec::new();
    connection.execute(BEGIN).await.map_err(|error| session::failure(&error, ""))?;
    for (name, then) in &wanted {
        let now = count(&connection, name).await?;
        let then = then.as_u64().unwrap_or(0);
        let is_near = now.is_some_and(|now| tolerance.admits(then as f64, now as f64));
        if !is_near {
            differing.push(vec![name.clone().into(), then.into(), now.map_or(Value::Null, Value::from)]);
        }
    }
    let of = wanted.len();
    let doubt = (!differing.is_empty()).then(|| Doubt {
        expected: "the rows of the backup".to_owned(),
        actual: format!("{} of {of} tables have other counts", differing.len()),
    });
    Ok(Answer {
        doubt,
        summary: differing.is_empty().then(|| format!("{of} tables have the rows of the backup")),
        value: differing.len().into(),
        rows: Some(Rows {
            columns: ["table", "backup", "now"].map(str::to_owned).to_vec(),
            rows: differing,
            affected: 0,
        }),
        ..Answer::default()
    })
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off; SELECT 1";

/// From the manifest, or from reading the backup.
async fn of_backup(attempt: &Attempt, text: &Text) -> Result<Map<String, Value>, Unanswered> {
    let path = attempt.path(text).await?;
    if let Some(manifest) = Manifest::read(&path)? {
        return Ok(manifest.tables);
    }
    let reading = Reading::new(&attempt.world.programs, &attempt.cancelled);
    Ok(attempt.world.proofs.standing(&reading, &path).await?.tables)
}

/// None: there is no such table.
async fn count(connection: &Connection, name: &str) -> Result<Option<u64>, Failure> {
    let (schema, table) = parts_of(name);
    let schema = schema.unwrap_or_else(|| "public".to_owned());
    let relation = format!("{}.{}", escape_identifier(&schema), escape_identifier(&table));
    // A savepoint, so that a missing table does not end the snapshot.
    let sql = format!("SAVEPOINT one; SELECT pg_catalog.count(*) FROM ONLY {relation}");
    match connection.last(&sql).await {
        Ok(found) => Ok(found.rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok())),
        Err(error) if matches!(error.sqlstate(), Some("42P01" | "3F000")) => {
            connection
                .execute("ROLLBACK TO SAVEPOINT one")
                .await
                .map_err(|error| session::failure(&error, ""))?;
            Ok(None)
        }
        Err(error) => Err(session::failure(&error, &format!("{name}: "))),
    }
}
