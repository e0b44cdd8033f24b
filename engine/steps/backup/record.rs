//! The values of named checks just before the dump, for the manifest. What cannot be answered is recorded as such: a backup is
//! not given up for it.

use super::super::attempt::Attempt;
use super::super::expectation;
use super::super::question::{Asker, Unanswered};
use super::super::stop::{self, Stop};
use crate::plan::action::Backup;
use crate::run::Failure;
use serde_json::{Map, Value, json};

/// Check by check: its name, and what it answered.
pub async fn values(attempt: &Attempt, action: &Backup) -> Result<Map<String, Value>, Stop> {
    let mut found = Map::new();
    let mut asker = Asker::new(attempt, "record");
    let secrets = attempt.world.secrets.redactor();
    for name in &action.record {
        let Some(checks) = attempt.world.shape.plan.checks.get(name.value.as_str()) else {
            let message = format!("the plan has no checks `{}`", name.value);
            return Err(Failure::new("runplan::backup::record", message).permanent().into());
        };
        for check in checks {
            let database = check.database.as_ref().unwrap_or(&action.database);
            let limit = check.timeout.map(|limit| limit.std());
            let why = match asker.ask(&check.question.value, Some(database), limit).await {
                Ok(answer) if answer.wrong.is_none() => {
                    let columns = answer.rows.as_ref().map_or(&[][..], |rows| rows.columns.as_slice());
                    let hides = columns.iter().any(|column| check.mask.contains(column));
                    let value = expectation::recorded(&answer);
                    // Neither the journal nor the manifest may hold a secret.
                    let hides = hides || secrets.finds(&value.to_string());
                    Ok(if hides { expectation::hashed(&answer) } else { value })
                }
                Ok(answer) => Err(answer.wrong.unwrap_or_default()),
                Err(Unanswered::Failed(failure)) => Err(failure.message),
                Err(Unanswered::Cancelled) => return Err(stop::cancelled().into()),
            };
            let value = why.unwrap_or_else(|why| {
                let why = secrets.clean(&why);
                attempt.warn(format!("`{}` could not be recorded: {why}", check.name.value));
                json!({ "failed": why })
            });
            found.insert(check.name.value.clone(), value);
        }
    }
    Ok(found)
}
