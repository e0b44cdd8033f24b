//! `verify`: checks, all of them, whatever each one finds. Must never change anything, and never call a question that
//! could not be asked a passed check.

mod check;

use super::attempt::{Attempt, Unit};
use super::question::{Asker, FILES};
use super::redacted;
use crate::plan::Check;
use crate::plan::action::Verify;
use crate::run::{Failure, Outcome, Outputs};
use check::Finding;
use serde_json::Value;

/// The fact that holds the results of a step that fails.
const RESULTS: &str = "results";

pub async fn act(attempt: &Attempt, action: &Verify) -> Outcome {
    let checks = match checks(attempt, action) {
        Ok(checks) => checks,
        Err(failure) => return Outcome::Failed(failure),
    };
    let total = checks.len();
    let mut asker = Asker::new(attempt, "check");
    let mut findings = Vec::with_capacity(total);
    for check in checks {
        attempt.progress("checking", findings.len() as u64, Some(total as u64), Unit::Items);
        match check::ask(&mut asker, check, action.database.as_ref()).await {
            Ok(finding) => findings.push(finding),
            Err(check::Cancelled) => {
                let message = format!("it was cancelled after {} of {total} checks", findings.len());
                return Outcome::Failed(Failure::new("runplan::step::cancelled", message));
            }
        }
    }
    attempt.progress("checking", total as u64, Some(total as u64), Unit::Items);
    let outputs = outputs(&findings);
    let failed: Vec<&Finding> = findings.iter().filter(|finding| !finding.passed).collect();
    // What is only reported may be anything but unknown where an approval shows it.
    let tolerated = action.report_only && !failed.iter().any(|finding| finding.owed);
    if failed.is_empty() || tolerated {
        return Outcome::Done(outputs);
    }
    let words: Vec<String> = failed.iter().map(|finding| finding.words()).collect();
    let message = format!("{} of {total} checks failed: {}", failed.len(), words.join(". "));
    // A failed step has no outputs; a report shows these.
    let outputs = redacted::of_outputs(&attempt.world.secrets.redactor(), outputs);
    if attempt.note(RESULTS, Value::Object(outputs)).await.is_err() {
        return Outcome::Failed(Failure::new("runplan::step::cancelled", "the run ended during the checks"));
    }
    let mut failure = Failure::new("runplan::verify::failed", message);
    failure.help = match action.report_only {
        true => Some("`report_only` lets differences pass, not that nobody could look for them".to_owned()),
        false => files(&failed),
    };
    Outcome::Failed(failure)
}

/// Where the whole output of the programs is that answered wrongly.
fn files(failed: &[&Finding]) -> Option<String> {
    let of =
        |finding: &&Finding| Some(format!("{}: {}", finding.name, finding.details.get(FILES)?.as_str()?));
    let files: Vec<String> = failed.iter().filter_map(of).collect();
    (!files.is_empty()).then(|| files.join("; "))
}

/// The named ones first.
fn checks<'a>(attempt: &'a Attempt, action: &'a Verify) -> Result<Vec<&'a Check>, Failure> {
    let plan = &attempt.world.shape.plan;
    let mut checks: Vec<&Check> = Vec::new();
    for name in &action.use_ {
        let Some(named) = plan.checks.get(name.value.as_str()) else {
            let message = format!("the plan has no checks called `{}`", name.value);
            return Err(Failure::new("runplan::verify::unknown", message).permanent());
        };
        checks.extend(named);
    }
    checks.extend(&action.checks);
    Ok(checks)
}

fn outputs(findings: &[Finding]) -> Outputs {
    let failed = findings.iter().filter(|finding| !finding.passed).count();
    let left_out = findings.iter().filter(|finding| finding.left_out).count();
    let mut outputs = Outputs::new();
    outputs.insert("passed".to_owned(), (findings.len() - failed - left_out).into());
    outputs.insert("failed".to_owned(), failed.into());
    outputs.insert("summary".to_owned(), summary(findings).into());
    outputs.insert("results".to_owned(), findings.iter().map(Finding::result).collect());
    outputs
}

/// One sentence.
fn summary(findings: &[Finding]) -> String {
    if let [only] = findings
        && let Some(summary) = &only.summary
    {
        return summary.clone();
    }
    let failed: Vec<String> = findings
        .iter()
        .filter(|finding| !finding.passed)
        .map(|finding| format!("{} ({})", finding.name, finding.actual))
        .collect();
    let left_out = findings.iter().filter(|finding| finding.left_out).count();
    let said: Vec<&str> = findings.iter().filter_map(|finding| finding.summary.as_deref()).collect();
    let mut sentence = match (findings.len(), failed.is_empty()) {
        (all, true) if left_out > 0 => {
            format!("{} of {all} checks passed, {left_out} left out", all - left_out)
        }
        (1, true) => "the check passed".to_owned(),
        (all, true) => format!("all {all} checks passed"),
        (all, false) => format!("{} of {all} checks failed: {}", failed.len(), failed.join(", ")),
    };
    for said in said {
        sentence = format!("{sentence}; {said}");
    }
    sentence
}
