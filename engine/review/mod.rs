//! What a dry run shows: plan and values -> every step with its final text, what it does to the world, its way back.
//! Pure; it must never read history, a secret, a clock or a server, so that the same input gives the same bytes.

mod action;
mod approval;
mod decision;
pub mod difference;
pub mod markdown;
pub mod text;
mod usual;
mod words;

pub use action::{Field, Shown};
pub use approval::{Approval, of as approval_of};
pub use decision::Decision;
pub use usual::Usual;

use crate::graph::Graph;
use crate::plan::template::{Scope, value_of};
use crate::plan::{Finding, Loaded, Placed, Plan, Step, StepId, digest};
use crate::run::{Effects, Reversal, effects, reversal};
use action::Writer;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The values a plan is reviewed with.
#[derive(Debug, Clone, Default)]
pub struct ReviewInput {
    pub params: Map<String, Value>,
    /// Required parameters that have no value.
    pub missing: Vec<String>,
    /// Shows what a rehearsal does: stand-ins in the place of what reaches the world outside.
    pub rehearsal: bool,
    /// What `check` found.
    pub findings: Vec<Finding>,
    /// How long steps took before, in milliseconds; empty unless history is asked for.
    pub estimates: HashMap<StepId, Usual>,
    /// When it was rehearsed, in words; none unless history is asked for.
    pub history: Option<String>,
}

/// A reviewed plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Review {
    pub format: u32,
    pub plan: String,
    pub title: Option<String>,
    /// Null while a required parameter is missing.
    pub digest: Option<String>,
    pub plan_digest: String,
    pub severity: Option<String>,
    pub params: Map<String, Value>,
    /// Required parameters without a value.
    pub missing: Vec<String>,
    /// When it was rehearsed, in words; not part of a stable review.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<String>,
    pub waves: Vec<Vec<String>>,
    pub steps: Vec<Reviewed>,
    pub no_return: Option<NoReturn>,
    pub findings: Vec<Placed>,
}

/// A step of a reviewed plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reviewed {
    pub id: String,
    pub kind: String,
    pub title: Option<String>,
    pub needs: Vec<String>,
    /// From 1.
    pub wave: usize,
    pub window: Option<String>,
    #[serde(flatten)]
    pub decision: Decision,
    pub timeout: Option<String>,
    pub retry: Option<String>,
    pub continue_on_failure: bool,
    /// `reads`, `reversible` or `irreversible`.
    pub effect: String,
    /// How it is undone, or why it cannot be; null when there is nothing to undo.
    pub undo: Option<String>,
    /// What the author's own undo does.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "action::serialize_optional")]
    pub undo_action: Option<Vec<Field>>,
    #[serde(serialize_with = "action::serialize")]
    pub action: Vec<Field>,
    pub approval: Option<Approval>,
    /// Why it may run without backup and approval before it.
    pub unguarded: Option<String>,
    pub estimate_ms: Option<u64>,
    /// What the estimate comes from: `3 runs`, `1 rehearsal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate_of: Option<String>,
    #[serde(skip)]
    pub usual: Option<Usual>,
}

/// The first step in order that cannot be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoReturn {
    pub step: String,
    pub reason: String,
}

/// A plan with its values, as it would run.
pub fn review(loaded: &Loaded, graph: &Graph, input: &ReviewInput) -> Review {
    let plan_digest = digest::of_plan(loaded);
    let findings = input.findings.iter().map(|finding| Placed::new(finding, &loaded.sources)).collect();
    let Some(plan) = loaded.plan.as_deref() else { return nothing(plan_digest, findings) };
    let params = shown_params(plan, input);
    let scope = scope(plan, loaded, input);
    let severity = plan
        .severity
        .as_ref()
        .map(|text| crate::plan::template::plain(&text.raw, &scope).unwrap_or_else(|_| text.raw.clone()));
    let steps = steps(plan, loaded, graph, input, &scope, severity.as_deref());
    Review {
        format: 1,
        plan: plan.name.to_string(),
        title: plan.title.clone(),
        digest: input.missing.is_empty().then(|| digest::with_params(&plan_digest, &params)),
        plan_digest,
        severity,
        missing: input.missing.clone(),
        history: input.history.clone(),
        waves: graph
            .waves()
            .iter()
            .map(|wave| wave.iter().filter_map(|at| Some(id(loaded.flow.steps().get(*at)?))).collect())
            .collect(),
        no_return: no_return(loaded, graph, &steps),
        steps,
        params,
        findings,
    }
}

fn nothing(plan_digest: String, findings: Vec<Placed>) -> Review {
    Review {
        format: 1,
        plan: String::new(),
        title: None,
        digest: None,
        plan_digest,
        severity: None,
        params: Map::new(),
        history: None,
        missing: Vec::new(),
        waves: Vec::new(),
        steps: Vec::new(),
        no_return: None,
        findings,
    }
}

fn id(step: &std::sync::Arc<Step>) -> String {
    step.id.value.to_string()
}

/// The values as they are shown and digested: in the plan's order, secret ones by their name alone.
pub fn shown_params(plan: &Plan, input: &ReviewInput) -> Map<String, Value> {
    plan.params
        .iter()
        .map(|(name, param)| {
            let name = name.value.clone();
            let value = match input.params.get(&name) {
                Some(_) if param.secret => Value::String(format!("‹secret param {name}›")),
                Some(value) => value.clone(),
                None => Value::Null,
            };
            (name, value)
        })
        .collect()
}

/// What is known before a run: parameters that are no secret, and what the plan pins of its databases.
fn scope(plan: &Plan, loaded: &Loaded, input: &ReviewInput) -> Scope {
    let mut params = input.params.clone();
    params.retain(|name, _| plan.params.get(name.as_str()).is_none_or(|param| !param.secret));
    let mut databases = Map::new();
    for (name, database) in loaded.databases() {
        let mut known = Map::new();
        let pinned = database.expect.as_ref();
        let environment = pinned.and_then(|pinned| pinned.environment.clone());
        for (field, value) in
            [("name", pinned.and_then(|pinned| pinned.database.clone())), ("environment", environment)]
        {
            known.extend(value.map(|value| (field.to_owned(), Value::String(value))));
        }
        databases.insert(name.to_owned(), Value::Object(known));
    }
    Scope::review([
        ("params".to_owned(), value_of(&Value::Object(params))),
        ("databases".to_owned(), value_of(&Value::Object(databases))),
    ])
}

fn steps(
    plan: &Plan,
    loaded: &Loaded,
    graph: &Graph,
    input: &ReviewInput,
    scope: &Scope,
    severity: Option<&str>,
) -> Vec<Reviewed> {
    let mut waves = vec![0; loaded.flow.len()];
    for (wave, members) in graph.waves().iter().enumerate() {
        members.iter().for_each(|at| waves[*at] = wave + 1);
    }
    let writer = Writer::new(plan, loaded, scope);
    let steps = loaded.flow.steps();
    steps
        .iter()
        .enumerate()
        .map(|(at, step)| {
            let stand_in = input.rehearsal.then(|| decision::stand_in(plan, step)).flatten();
            let (decision, action) = match stand_in {
                Some(Some(bare)) => (decision::of(step, scope), &bare.action),
                Some(None) => (decision::without_stand_in(step), &step.action),
                None => (decision::of(step, scope), &step.action),
            };
            let (undo, undo_action) = undo(step, &writer);
            Reviewed {
                id: id(step),
                kind: action.kind().to_string(),
                title: step.title.clone(),
                needs: graph.needs(at).iter().map(|need| id(&steps[*need])).collect(),
                wave: waves[at],
                window: step.window.as_ref().map(ToString::to_string),
                decision,
                timeout: step.timeout.map(|timeout| timeout.to_string()),
                retry: step.retry.as_ref().map(words::retry),
                continue_on_failure: step.continue_on_failure,
                effect: effects(step).word().to_owned(),
                undo,
                undo_action,
                action: writer.fields(action),
                approval: approval::of(step, loaded, severity),
                unguarded: step.unguarded.as_ref().map(|reason| reason.value.clone()),
                estimate_ms: input.estimates.get(&step.id.value).map(|usual| usual.ms),
                estimate_of: input.estimates.get(&step.id.value).map(|usual| usual.source()),
                usual: input.estimates.get(&step.id.value).copied(),
            }
        })
        .collect()
}

fn undo(step: &Step, writer: &Writer<'_>) -> (Option<String>, Option<Vec<Field>>) {
    match reversal(step) {
        Reversal::Nothing => (None, None),
        Reversal::BuiltIn(words) => (Some(words.to_owned()), None),
        Reversal::Given(bare) => {
            (Some(format!("the plan's own: {}", bare.action.kind())), Some(writer.fields(&bare.action)))
        }
        Reversal::None(reason) => (Some(format!("no way back: {reason}")), None),
    }
}

fn no_return(loaded: &Loaded, graph: &Graph, reviewed: &[Reviewed]) -> Option<NoReturn> {
    let order = graph.waves().iter().flatten();
    order.copied().find_map(|at| {
        let step = loaded.flow.steps().get(at)?;
        let skipped = reviewed.get(at).is_some_and(|step| step.decision.is_skip());
        if skipped || effects(step) != Effects::Irreversible {
            return None;
        }
        let Reversal::None(reason) = reversal(step) else { return None };
        Some(NoReturn { step: id(step), reason })
    })
}
