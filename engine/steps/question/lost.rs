//! `lost`: what swapping a side database in would lose. Fails when it would lose or change anything; a plan that only
//! wants to know says `report_only`.

use super::super::expectation::Answer;
use super::super::lost;
use super::{Asker, Unanswered};
use crate::plan::Text;
use crate::plan::check::Lost;
use crate::run::Failure;

pub async fn ask(asker: &Asker<'_>, check: &Lost, database: Option<&Text>) -> Result<Answer, Unanswered> {
    let Some(database) = database else {
        let message = "the comparison has no `database`";
        return Err(Failure::new("runplan::verify::question", message).permanent().into());
    };
    let attempt = asker.attempt;
    let targets = &attempt.world.targets;
    let live = targets.find(&attempt.world, database).await?;
    let side = targets.find(&attempt.world, &check.side).await?;
    let tables = super::plain_list(attempt, check.tables.as_deref()).await?;
    let report = lost::compare(attempt, &live, &side, tables.as_deref()).await?;
    let rows = report.only_live + report.changed;
    let json = serde_json::to_value(&report).unwrap_or_default();
    Ok(Answer {
        wrong: (rows > 0).then(|| report.summary.clone()),
        value: rows.into(),
        json: Some(json),
        summary: Some(report.summary),
        ..Answer::default()
    })
}
