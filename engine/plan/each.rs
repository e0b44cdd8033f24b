//! `for_each`: one step for every value of a list that is known before the run. The copies are `id[key]`; `each.key` and
//! `each.value` become what they stand for, so that a copy is a step like any other.

use super::finding::Finding;
use super::json::Json;
use super::name::StepId;
use super::param::default_of;
use super::rehearsal::StandIn;
use super::rewrite::{self, Form, Rewrite, literal};
use super::source::Sp;
use super::step::Step;
use super::template::{Piece, Reference, pieces};
use super::text::Text;
use super::{MOST_STEPS, Param, Table};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// What a list is made from.
pub struct Known<'k> {
    pub params: &'k Table<Param>,
    /// The values of the run, when they are known.
    pub values: Option<&'k Map<String, Value>>,
}

/// Every step with `for_each` gives way to its copies.
pub fn unroll(steps: Vec<Step>, known: &Known<'_>, findings: &mut Vec<Finding>) -> Vec<Step> {
    let mut out = Vec::with_capacity(steps.len());
    for mut step in steps {
        let Some(list) = step.for_each.take() else {
            out.push(step);
            continue;
        };
        match entries(&list, known) {
            Ok(Entries::Known(entries)) => {
                let mut seen = HashSet::new();
                for (key, _) in &entries {
                    if !seen.insert(key) {
                        let message = format!("`{key}` is twice in the list of `{}`", step.id.value);
                        findings.push(
                            Finding::error("runplan::plan::bad_list", list.span, message)
                                .help("every copy has a name of its own: remove one of the two"),
                        );
                    }
                }
                if out.len() + entries.len() > MOST_STEPS {
                    let message = format!("`{}` makes more than {MOST_STEPS} steps", step.id.value);
                    findings.push(Finding::error("runplan::plan::too_many_steps", list.span, message));
                    continue;
                }
                out.extend(entries.into_iter().map(|(key, value)| {
                    copy(&step, &key, &literal(&Value::String(key.clone())), &literal(&value))
                }));
            }
            Ok(Entries::Late(expression)) => {
                // Nobody knows yet how many there are: one stands for all, and may be none.
                let mut one =
                    copy(&step, "…", &format!("({expression} | first)"), &format!("({expression} | first)"));
                let some = format!("{expression} | length > 0");
                let when = match &one.when {
                    Some(when) => format!("({some}) and ({})", super::template::bare_expression(&when.raw).0),
                    None => some,
                };
                one.when = Some(Text::written(when, list.span));
                out.push(one);
            }
            Err(why) => {
                findings.push(
                    Finding::error("runplan::plan::bad_list", list.span, format!("`for_each` of `{}` {why}", step.id.value))
                        .help("write a list, a mapping, or `\"{{ params.NAME }}\"` with a parameter of the type list"),
                );
                // Without its list the step stands for itself, so that the rest can be checked.
                out.push(copy(&step, "…", "\"…\"", "\"…\""));
            }
        }
    }
    out
}

/// What stands in for a step with `for_each` stands in for each of its copies. `steps` are those with their lists.
pub fn stand_ins(written: Vec<StandIn>, steps: &[Step], known: &Known<'_>) -> Vec<StandIn> {
    let mut out = Vec::with_capacity(written.len());
    for stand_in in written {
        let step = steps.iter().find(|step| step.id.value == stand_in.step.value);
        let Some(list) = step.and_then(|step| step.for_each.as_ref()) else {
            out.push(stand_in);
            continue;
        };
        let copy = |key: &str, key_text: &str, value_text: &str| {
            let mut copy = stand_in.clone();
            copy.step.value = of(&stand_in.step.value, key);
            rewrite::bare(&mut copy.with, &mut Each { key: key_text, value: value_text });
            copy
        };
        match entries(list, known) {
            Ok(Entries::Known(entries)) => out.extend(
                entries
                    .into_iter()
                    .map(|(key, value)| copy(&key, &literal(&Value::String(key.clone())), &literal(&value))),
            ),
            Ok(Entries::Late(expression)) => {
                let first = format!("({expression} | first)");
                out.push(copy("…", &first, &first));
            }
            // The step itself tells what is wrong with the list.
            Err(_) => out.push(copy("…", "\"…\"", "\"…\"")),
        }
    }
    out
}

enum Entries {
    Known(Vec<(String, Value)>),
    /// An expression that has no value yet.
    Late(String),
}

fn entries(list: &Sp<Json>, known: &Known<'_>) -> Result<Entries, String> {
    if let Json::Text(text) = &list.value {
        let parts = pieces(&text.raw).map_err(|error| format!("cannot be read: {error}"))?;
        let [Piece::Expression(expression, _)] = parts.as_slice() else {
            return Err("is a text".to_owned());
        };
        let expression = expression.trim();
        let name = expression.strip_prefix("params.").unwrap_or_default();
        let Some((key, param)) = known.params.get_key_value(name) else {
            return Err(format!("is `{expression}`, which is no parameter"));
        };
        let value = match known.values {
            Some(values) => Some(values.get(name).cloned().unwrap_or(Value::Array(Vec::new()))),
            None => default_of(&key.value, param, &mut Vec::new()),
        };
        return match value {
            Some(value) => keyed(value).map(Entries::Known),
            None => Ok(Entries::Late(expression.to_owned())),
        };
    }
    if list.value.texts().iter().any(|text| text.has_template()) {
        return Err("holds templates in its values".to_owned());
    }
    let value: Result<Value, std::convert::Infallible> =
        list.value.build(&mut |text| Ok(Value::String(text.raw.clone())));
    keyed(value.unwrap_or_default()).map(Entries::Known)
}

fn keyed(value: Value) -> Result<Vec<(String, Value)>, String> {
    match value {
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(at, item)| match &item {
                Value::String(text) => Ok((text.clone(), item)),
                Value::Number(_) | Value::Bool(_) => Ok((item.to_string(), item)),
                Value::Object(_) => Ok(((at + 1).to_string(), item)),
                Value::Null | Value::Array(_) => {
                    Err("holds a value that is no text, number or mapping".to_owned())
                }
            })
            .collect(),
        Value::Object(map) => Ok(map.into_iter().collect()),
        _ => Err("is no list".to_owned()),
    }
}

fn of(id: &StepId, key: &str) -> StepId {
    StepId::new(format!("{id}[{key}]"))
}

fn copy(step: &Step, key: &str, key_text: &str, value_text: &str) -> Step {
    let mut copy = step.clone();
    copy.id.value = of(&step.id.value, key);
    copy.title = step.title.as_ref().map(|title| format!("{title}: {key}"));
    rewrite::step(&mut copy, &mut Each { key: key_text, value: value_text });
    copy
}

struct Each<'e> {
    key: &'e str,
    value: &'e str,
}

impl Rewrite for Each<'_> {
    fn text(&mut self, text: &mut Text, form: Form) {
        rewrite::replace(text, form, &mut |reference: &Reference| match reference
            .parts
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .as_slice()
        {
            ["each", "key", ..] => Some((2, self.key.to_owned())),
            ["each", "value", ..] => Some((2, self.value.to_owned())),
            _ => None,
        });
    }
}
