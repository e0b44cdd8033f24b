//! `uses` and `with`: another plan's steps in the place of one, as `id.inner_id`. Its parameters become the values they
//! are given, its databases the names they stand for; one level deep.

use super::decode::{Decode, Table, record};
use super::each::{self, Known};
use super::finding::{Finding, suggest};
use super::json::Json;
use super::name::{Name, StepId};
use super::node::{Kind, Node};
use super::param::{Param, default_of};
use super::rewrite::{self, Form, Rewrite, literal};
use super::source::{Sp, Span};
use super::step::Step;
use super::template::{Piece, Reference, pieces};
use super::text::Text;
use super::{Plan, decode::Reader};
use serde_json::{Map, Value};
use std::collections::HashMap;

record! {
    /// What an included plan is given.
    pub struct With as "with" {
        /// Values of its parameters.
        /// Example: {"page": "{{ params.page }}"}
        params: Table<Sp<Json>> = Table::new(),
        /// For each of its databases, the database of this plan that it stands for.
        /// Example: {"app": "main"}
        databases: Table<Sp<Name>> = Table::new(),
    }
}

record! {
    /// Another plan's steps in the place of one.
    pub struct Include as "an include" {
        /// Its name in the plan; the steps are `id.inner_id`.
        /// Example: verified
        id: Sp<StepId>,
        /// A short title for people.
        /// Example: Verify everything
        title: Option<String>,
        /// What it is for.
        /// Example: The checks that every rollback ends with
        description: Option<String>,
        /// The steps that must be finished before its first ones. Without it: the step written above.
        /// Example: ["switched"]
        needs: Option<Vec<Sp<StepId>>>,
        /// A template expression; all its steps are skipped when it is false.
        /// Example: params.severity == 'critical'
        when: Option<Text>,
        /// The window in which its steps run.
        /// Example: maintenance
        window: Option<Sp<Name>>,
        /// The plan, beside this one.
        /// Example: verify-suite.yaml
        uses: Text,
        /// What it is given.
        /// Example: {"databases": {"app": "main"}}
        with: With = With { params: Table::new(), databases: Table::new() },
    }
}

/// A value that an included plan is given: what it is worked out from, and what the parameter there allows.
#[derive(Debug, Clone)]
pub struct Lent {
    /// The included file, as written.
    pub to: String,
    pub name: String,
    pub param: Param,
    /// In the terms of the plan that includes.
    pub expression: String,
    pub span: Span,
}

/// Takes the includes out of a plan's tree: each with the number of written steps before it.
pub fn take(root: &mut Node, reader: &mut Reader) -> Vec<(usize, Include)> {
    let mut taken = Vec::new();
    let Kind::Map(entries) = &mut root.kind else { return taken };
    let Some((_, Node { kind: Kind::List(items), .. })) =
        entries.iter_mut().find(|(key, _)| key.value == "steps")
    else {
        return taken;
    };
    let mut kept = Vec::with_capacity(items.len());
    for item in std::mem::take(items) {
        if item.get("uses").is_none() {
            kept.push(item);
        } else if let Some(include) = Include::decode(&item, reader) {
            taken.push((kept.len(), include));
        } else if let Some(Node { kind: Kind::Scalar { text, .. }, .. }) = item.get("id") {
            reader.broken.insert(text.clone());
        }
    }
    *items = kept;
    taken
}

/// The steps of an included plan as steps of this one, and its named checks, which come along as `id.name`.
pub fn inline(
    include: &Include,
    mut inner: Plan,
    outer: &mut Plan,
    lent: &mut Vec<Lent>,
    findings: &mut Vec<Finding>,
) -> Vec<Step> {
    let id = include.id.as_str();
    if let Some(window) = inner.steps.iter().find_map(|step| step.window.as_ref()) {
        let message = format!("the included plan has a step in the window `{window}`");
        findings.push(
            Finding::error("runplan::plan::window_in_include", include.uses.span, message)
                .help("give the include itself a `window:`"),
        );
    }
    let params = values(include, &inner, findings);
    lent.extend(templated(include, &inner, &params));
    databases(include, &inner, findings);
    let given = given_values(include);
    let known = Known { params: &inner.params, values: given.as_ref() };
    let steps = each::unroll(std::mem::take(&mut inner.steps), &known, findings);
    let ids: Vec<String> = steps.iter().map(|step| step.id.value.to_string()).collect();
    let mut into = Into { id, params, include, ids };
    for (name, checks) in inner.checks {
        let mut checks = checks;
        checks.iter_mut().for_each(|check| rewrite::check(check, &mut into));
        outer.checks.insert(Sp::new(format!("{id}.{}", name.value), name.span), checks);
    }
    steps.into_iter().enumerate().map(|(at, step)| place(step, at == 0, &mut into)).collect()
}

fn place(mut step: Step, first: bool, into: &mut Into<'_>) -> Step {
    rewrite::step(&mut step, into);
    let include = into.include;
    let own = |inner: &StepId| StepId::new(format!("{}.{inner}", include.id.value));
    step.id.value = own(&step.id.value);
    step.needs = match step.needs {
        // What begins at once begins when the include does.
        Some(needs) if needs.is_empty() => include.needs.clone(),
        Some(needs) => Some(needs.into_iter().map(|need| Sp::new(own(&need.value), need.span)).collect()),
        None if first => include.needs.clone(),
        None => None,
    };
    if let Some(outer) = &include.when {
        let outer_text = super::template::bare_expression(&outer.raw).0.trim();
        let when = match &step.when {
            Some(inner) => {
                format!("({outer_text}) and ({})", super::template::bare_expression(&inner.raw).0.trim())
            }
            None => outer_text.to_owned(),
        };
        step.when = Some(Text::written(when, outer.span));
    }
    step.window = include.window.clone();
    step
}

/// Each parameter of the included plan as an expression.
fn values(include: &Include, inner: &Plan, findings: &mut Vec<Finding>) -> HashMap<String, String> {
    let mut params = HashMap::new();
    for (name, value) in &include.with.params {
        if let Some(param) = inner.params.get(name.value.as_str()) {
            params.insert(name.value.clone(), expression(&value.value));
            if let Some(why) = written(value).and_then(|value| param.accept(&value).err()) {
                let message = format!("`{}` cannot take this as `{}`: {why}", include.uses.raw, name.value);
                findings.push(
                    Finding::error("runplan::plan::bad_with", value.span, message)
                        .help("give a value that the included plan's parameter allows"),
                );
            }
        } else {
            let known = inner.params.keys().map(|name| name.value.as_str());
            let message = format!("`{}` has no parameter `{}`", include.uses.raw, name.value);
            findings.push(
                Finding::error("runplan::plan::unknown_with", name.span, message)
                    .help(suggest(&name.value, known)),
            );
        }
    }
    for (name, param) in &inner.params {
        if params.contains_key(&name.value) {
            continue;
        }
        if let Some(value) = default_of(&name.value, param, &mut Vec::new()) {
            params.insert(name.value.clone(), literal(&value));
        } else if param.required {
            let message = format!("`{}` needs a value for `{}`", include.uses.raw, name.value);
            findings.push(
                Finding::error("runplan::plan::missing_with", include.uses.span, message)
                    .help(format!("add `with: {{ params: {{ {}: ... }} }}`", name.value)),
            );
        }
    }
    params
}

/// What can be held to its parameter only when the values of the run are known.
fn templated<'i>(
    include: &'i Include,
    inner: &'i Plan,
    params: &'i HashMap<String, String>,
) -> impl Iterator<Item = Lent> + 'i {
    include.with.params.iter().filter(|(_, value)| written(value).is_none()).filter_map(|(name, value)| {
        Some(Lent {
            to: include.uses.raw.clone(),
            name: name.value.clone(),
            param: inner.params.get(name.value.as_str())?.clone(),
            expression: params.get(name.value.as_str())?.clone(),
            span: value.span,
        })
    })
}

fn databases(include: &Include, inner: &Plan, findings: &mut Vec<Finding>) {
    if inner.databases.is_empty() {
        return;
    }
    for name in include.with.databases.keys() {
        if !inner.databases.contains_key(name.value.as_str()) {
            let known = inner.databases.keys().map(|name| name.value.as_str());
            let message = format!("`{}` has no database `{}`", include.uses.raw, name.value);
            findings.push(
                Finding::error("runplan::plan::unknown_with", name.span, message)
                    .help(suggest(&name.value, known)),
            );
        }
    }
}

/// The values that are written out, for lists that the included plan goes through.
fn given_values(include: &Include) -> Option<Map<String, Value>> {
    let mut values = Map::new();
    for (name, value) in &include.with.params {
        values.insert(name.value.clone(), written(value)?);
    }
    (!values.is_empty()).then_some(values)
}

/// A value without templates.
fn written(value: &Sp<Json>) -> Option<Value> {
    if value.value.texts().iter().any(|text| text.has_template()) {
        return None;
    }
    let built: Result<Value, std::convert::Infallible> =
        value.value.build(&mut |text| Ok(Value::String(text.raw.clone())));
    built.ok()
}

/// A value of `with` as an expression: `"{{ a }}/b"` is `(a ~ "/b")`.
fn expression(json: &Json) -> String {
    match json {
        Json::Text(text) => of_text(text),
        Json::List(items) => format!("[{}]", items.iter().map(expression).collect::<Vec<_>>().join(", ")),
        Json::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                format!("{}: {}", literal(&Value::from(key.as_str())), expression(value))
            });
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Json::Null => "none".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.to_string(),
    }
}

fn of_text(text: &Text) -> String {
    let Ok(parts) = pieces(&text.raw) else { return literal(&Value::from(text.raw.as_str())) };
    match parts.as_slice() {
        [Piece::Expression(expression, _)] => format!("({})", expression.trim()),
        [] => "\"\"".to_owned(),
        [Piece::Literal(text, _)] => literal(&Value::from(*text)),
        parts => {
            let parts = parts.iter().map(|part| match part {
                Piece::Literal(text, _) => literal(&Value::from(*text)),
                Piece::Expression(expression, _) => format!("({})", expression.trim()),
            });
            format!("({})", parts.collect::<Vec<_>>().join(" ~ "))
        }
    }
}

struct Into<'i> {
    id: &'i str,
    params: HashMap<String, String>,
    include: &'i Include,
    /// The ids of the included steps, as they are written there.
    ids: Vec<String>,
}

impl Into<'_> {
    fn outer(&self, database: &str) -> Option<&str> {
        self.include.with.databases.get(database).map(|name| name.as_str())
    }
}

impl Rewrite for Into<'_> {
    fn text(&mut self, text: &mut Text, form: Form) {
        if form == Form::File {
            if let Some((directory, _)) = self.include.uses.raw.rsplit_once('/') {
                text.raw = format!("{directory}/{}", text.raw);
            }
            return;
        }
        if form == Form::Database && !text.has_template() {
            if let Some(name) = self.outer(&text.raw) {
                text.raw = name.to_owned();
            }
            return;
        }
        rewrite::replace(text, form, &mut |reference: &Reference| {
            let parts: Vec<&str> = reference.parts.iter().map(String::as_str).collect();
            match parts.as_slice() {
                ["params", name, ..] => Some((2, self.params.get(*name)?.clone())),
                ["databases", name, ..] => Some((2, format!("databases.{}", self.outer(name)?))),
                ["steps", name, ..] if self.ids.iter().any(|id| id == name) => {
                    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                    let path = format!("{}.{name}", self.id);
                    Some((
                        2,
                        if plain {
                            format!("steps.{path}")
                        } else {
                            format!("steps[{}]", literal(&Value::from(path)))
                        },
                    ))
                }
                _ => None,
            }
        });
    }

    fn database(&mut self, name: &mut Name) {
        if let Some(outer) = self.outer(name.as_str()) {
            *name = Name::new(outer);
        }
    }

    fn checks(&mut self, name: &mut Name) {
        *name = Name::new(format!("{}.{name}", self.id));
    }
}
