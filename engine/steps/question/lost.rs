//! `lost`: what a swap would lose. The comparison is in steps/lost; here it becomes an answer.

use super::super::attempt::Attempt;
use super::super::expectation::{Answer, Doubt};
use super::super::lost::{TableLoss, Wish, compare};
use super::{Unanswered, given, plain_list};
use crate::plan::Text;
use crate::plan::check::Lost;
use serde_json::{Map, Value, json};

pub async fn ask(
    attempt: &Attempt,
    check: &Lost,
    database: Option<&Text>,
    mask: &[String],
) -> Result<Answer, Unanswered> {
    let world = &attempt.world;
    let live = world.targets.find(world, given(database)?).await?;
    let side = world.targets.find(world, &check.side).await?;
    let tables = plain_list(attempt, check.tables.as_deref()).await?;
    let wish = Wish { tables: tables.as_deref(), mask, ..Wish::default() };
    let report = match compare(attempt, &live, &side, &wish).await {
        Ok(report) => report,
        Err(_) if attempt.cancelled.is_cancelled() => return Err(Unanswered::Cancelled),
        Err(failure) => return Err(failure.into()),
    };
    let lost = report.only_live + report.changed + report.values();
    let doubt = (!report.is_same())
        .then(|| Doubt { expected: "no difference".to_owned(), actual: report.summary.clone() });
    let mut details = Map::new();
    let differing: Vec<&TableLoss> = report
        .tables
        .iter()
        .chain(&report.objects)
        .filter(|table| table.differs() || table.estimate)
        .collect();
    details.insert("tables".to_owned(), json!(differing));
    details.insert("since".to_owned(), json!(report.since));
    details.insert("until".to_owned(), json!(report.until));
    if let Some(file) = &report.file {
        details.insert("file".to_owned(), json!(file));
    }
    Ok(Answer {
        doubt,
        value: Value::from(lost),
        json: serde_json::to_value(&report).ok(),
        summary: Some(report.summary),
        details,
        ..Answer::default()
    })
}
