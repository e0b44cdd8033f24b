//! What included plans are given, held to their parameters as soon as a run's values are known. What comes out of a step
//! is not known then and passes here.

use crate::plan::include::Lent;
use crate::plan::template::{self, Scope};
use crate::plan::{Finding, Loaded, Plan};
use serde_json::{Map, Value};

/// The values that an included plan's parameter does not allow.
pub fn held_back(loaded: &Loaded, values: &Map<String, Value>) -> Vec<Finding> {
    let Some(plan) = loaded.plan.as_deref() else { return Vec::new() };
    loaded.lent.iter().filter_map(|lent| finding(plan, lent, values)).collect()
}

fn finding(plan: &Plan, lent: &Lent, values: &Map<String, Value>) -> Option<Finding> {
    let names = template::read(&format!("{{{{ {} }}}}", lent.expression), false).ok()?;
    let mut is_secret = lent.param.secret;
    for reference in &names.references {
        let [root, name, ..] = reference.parts.as_slice() else { return None };
        if root != "params" || !values.contains_key(name) {
            return None;
        }
        is_secret |= plan.params.get(name.as_str()).is_some_and(|param| param.secret);
    }
    let params = template::value_of(&Value::Object(values.clone()));
    let scope = Scope::new([("params".to_owned(), params)]);
    // What cannot be worked out is told where it stands.
    let value = template::evaluate(&lent.expression, 0..lent.expression.len(), &scope).ok()?;
    let why = lent.param.take(&serde_json::to_value(value).ok()?).err()?;
    // A secret value is not repeated in its own error.
    let why = if is_secret { "it is not a value of its type".to_owned() } else { why };
    let message = format!("`{}` cannot take this as `{}`: {why}", lent.to, lent.name);
    let help =
        format!("give other values to the parameters it is made of; there {}", super::describe(&lent.param));
    Some(Finding::error("runplan::check::bad_value", lent.span, message).help(help))
}
