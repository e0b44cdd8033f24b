//! What earlier steps of the run found: looked up among the ancestors of a step, nearest in the plan first. Must never take
//! a step into account that might still be running.

use super::attempt::Attempt;
use crate::plan::Step;
use serde_json::Value;

/// The results of the last ancestor that fits.
pub fn newest(attempt: &Attempt, fits: impl Fn(&Step, &Value) -> bool) -> Option<Value> {
    let shape = &attempt.world.shape;
    let here = shape.flow.index(attempt.step.id.value.as_str())?;
    let ancestors = shape.graph.ancestors(here);
    ancestors.iter().rev().find_map(|at| {
        let step = shape.flow.steps().get(*at)?;
        let results = results(attempt, step.id.value.as_str())?;
        fits(step, &results).then_some(results)
    })
}

/// A step's results; `maintenance.open` is nested in templates.
fn results(attempt: &Attempt, id: &str) -> Option<Value> {
    let mut value = attempt.world.results.value();
    for part in id.split('.') {
        value = value.get_attr(part).ok().filter(|value| !value.is_undefined())?;
    }
    serde_json::to_value(&value).ok()
}
