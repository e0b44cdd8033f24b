//! The last look at what a step says, before the journal sees it: no secret passes. Must never alter what a later step
//! goes by (a database's name, a path); where such a thing would hold a secret, it is refused where it is made.

use super::attempt::Attempt;
use crate::plan::Action;
use crate::run::{Evidence, Failure, Outcome, Outputs};
use crate::secret::Redactor;
use serde_json::Value;

/// An outcome without secrets.
pub fn redacted(attempt: &Attempt, outcome: Outcome) -> Outcome {
    let world = &attempt.world;
    if world.secrets.all().is_empty() {
        return outcome;
    }
    let redactor = world.secrets.redactor();
    match outcome {
        Outcome::Done(outputs) => Outcome::Done(match &attempt.step.action.value {
            // What strangers said.
            Action::Http(_) | Action::Verify(_) => of_outputs(&redactor, outputs),
            // It is carried out, and cannot be rolled back any more.
            Action::Sql(sql) if !sql.transaction => of_outputs(&redactor, outputs),
            _ => outputs,
        }),
        Outcome::Failed(failure) => Outcome::Failed(Failure {
            message: redactor.clean(&failure.message),
            help: failure.help.map(|help| redactor.clean(&help)),
            ..failure
        }),
        Outcome::Unknown(evidence) => Outcome::Unknown(Evidence {
            message: redactor.clean(&evidence.message),
            facts: evidence.facts.iter().map(|fact| redactor.clean(fact)).collect(),
        }),
        Outcome::Skipped(why) => Outcome::Skipped(redactor.clean(&why)),
        Outcome::Again(why) => Outcome::Again(redactor.clean(&why)),
        Outcome::Asked(ask) => Outcome::Asked(ask),
    }
}

/// Outputs without secrets.
pub fn of_outputs(redactor: &Redactor, outputs: Outputs) -> Outputs {
    outputs.into_iter().map(|(name, value)| (name, of_value(redactor, value))).collect()
}

fn of_value(redactor: &Redactor, value: Value) -> Value {
    match value {
        Value::String(text) => redactor.clean(&text).into(),
        Value::Array(items) => items.into_iter().map(|item| of_value(redactor, item)).collect(),
        Value::Object(map) => Value::Object(of_outputs(redactor, map)),
        other => other,
    }
}
