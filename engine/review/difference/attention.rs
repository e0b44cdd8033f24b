//! What a reviewer of a change should look at first: what becomes irreversible, what is no longer guarded.

use super::{Change, Difference, StepChange};
use serde_json::Value;

/// In words, the gravest first as the steps stand.
pub fn of(difference: &Difference) -> Vec<String> {
    let mut out = Vec::new();
    no_return(difference, &mut out);
    difference.steps.iter().for_each(|step| of_step(step, &mut out));
    out
}

fn no_return(difference: &Difference, out: &mut Vec<String>) {
    let (old, new) = (&difference.old.no_return, &difference.new.no_return);
    let renamed = |id: &str| {
        let found = difference.steps.iter().find(|step| step.was.as_deref() == Some(id));
        found.map_or(id.to_owned(), |step| step.id.clone())
    };
    out.extend(match (old, new) {
        (None, Some(point)) => {
            Some(format!("there is a point of no return now: {}, {}", point.step, point.reason))
        }
        (Some(point), None) => {
            Some(format!("there is no point of no return any more; it was {}", point.step))
        }
        (Some(old), Some(new)) if renamed(&old.step) != new.step => {
            Some(format!("the point of no return is {} now; it was {}", new.step, old.step))
        }
        _ => None,
    });
}

fn of_step(step: &StepChange, out: &mut Vec<String>) {
    let id = &step.id;
    let field = |name: &str| step.fields.iter().find(|change| change.field == name);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match (step.change, step.kind.as_str()) {
        (Change::Removed, "approve") => out.push(format!("{id} is gone: nobody is asked there any more")),
        (Change::Removed, "backup") => out.push(format!("{id} is gone: this backup is not taken any more")),
        (Change::Removed, "verify") => out.push(format!("{id} is gone: this is not verified any more")),
        (Change::Added, _) if step.effect == "irreversible" => {
            out.push(format!("{id} is new, and there is no way back from it"));
        }
        _ => {}
    }
    if step.change == Change::Removed {
        return;
    }
    if let Some(change) = field("effect").filter(|_| step.change != Change::Added) {
        out.push(format!("{id} is {} now; it was {}", text(&change.new), text(&change.old)));
    }
    if let Some(change) = field("unguarded") {
        match &change.new {
            Value::Null => out.push(format!("{id} is guarded again")),
            reason => out.push(format!("{id} runs without its guard: {}", text(reason))),
        }
    }
    if step.change == Change::Added {
        return;
    }
    if let Some(change) = field("approval.who") {
        out.push(format!("{id} is approved by {} now; it was {}", text(&change.new), text(&change.old)));
    }
    if field("approval.allow_requester").is_some_and(|change| change.new == Value::Bool(true)) {
        out.push(format!("{id} may be approved by the requester now"));
    }
    if field("continue_on_failure").is_some_and(|change| change.new == Value::Bool(true)) {
        out.push(format!("a failure of {id} does not stop the steps that need it any more"));
    }
    if field("action.report_only").is_some_and(|change| change.new == Value::Bool(true)) {
        out.push(format!("{id} only reports now: what it finds stops nothing"));
    }
    if let Some(change) = field("decision") {
        out.push(format!("{id} would be: {}; it was: {}", text(&change.new), text(&change.old)));
    }
    if field("kind").is_some() {
        out.push(format!("{id} does something else now: {}", step.kind));
    }
}
