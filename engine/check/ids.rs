//! Ids, `needs` and cycles: whether the steps form an order.

use super::context::Context;
use crate::graph::Cycle;
use crate::plan::finding::suggest;
use crate::plan::{Finding, Flow, Made, Span, Step, StepId};
use std::collections::{HashMap, HashSet};

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    written(&context.plan.steps, findings);
    if let Some(rehearsal) = &context.plan.rehearsal {
        written(&rehearsal.prepare, findings);
    }
    if context.plan.steps.is_empty() && context.loaded.broken.is_empty() && !context.loaded.has_errors() {
        findings.push(
            Finding::error("runplan::check::no_steps", context.plan.name.span, "the plan has no steps")
                .help("write at least one under `steps:`"),
        );
    }
    needs(context, findings);
    prepared(context, findings);
    windows(context, findings);
    if let Err(found) = &context.graph {
        findings.push(cycle(context, found));
    }
}

fn written(steps: &[Step], findings: &mut Vec<Finding>) {
    let mut first: HashMap<&str, Span> = HashMap::with_capacity(steps.len());
    for step in steps {
        let id = step.id.as_str();
        if first.insert(id, step.id.span).is_some() {
            let message = format!("the id `{id}` is given to two steps");
            findings.push(
                Finding::error("runplan::check::duplicate_id", step.id.span, message)
                    .label("second step of this name")
                    .help("rename one of them, and what refers to it"),
            );
        }
    }
}

fn needs(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for step in context.steps() {
        let mut seen: Vec<&StepId> = Vec::new();
        for need in step.needs.iter().flatten() {
            let name = need.as_str();
            if context.flow.index(name).is_none() && !context.is_broken(name) {
                let message = format!("`{}` needs `{name}`, which does not exist", step.id.value);
                let known = context.steps().iter().map(|step| step.id.as_str());
                findings.push(
                    Finding::error("runplan::check::unknown_need", need.span, message)
                        .label("no step has this id")
                        .help(suggest(name, known)),
                );
            }
            // A few needs are compared one by one; of many only the neighbours, so that it stays linear.
            if seen.len() < 16 && seen.contains(&&need.value) || seen.last() == Some(&&need.value) {
                let message = format!("`{}` needs `{name}` twice", step.id.value);
                findings.push(
                    Finding::warning("runplan::check::repeated_need", need.span, message)
                        .help("remove one of the two"),
                );
            }
            seen.push(&need.value);
        }
    }
}

/// The steps that prepare a rehearsal wait for one another alone.
fn prepared(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Some(rehearsal) = &context.plan.rehearsal else { return };
    let known: HashSet<&str> = rehearsal.prepare.iter().map(|step| step.id.as_str()).collect();
    for step in &rehearsal.prepare {
        for need in step.needs.iter().flatten().filter(|need| !known.contains(need.as_str())) {
            let message = format!("`{}` needs `{}`, which is not under `prepare`", step.id.value, need.value);
            let known = rehearsal.prepare.iter().map(|step| step.id.as_str());
            findings.push(
                Finding::error("runplan::check::unknown_need", need.span, message)
                    .label("no step of the preparation has this id")
                    .help(suggest(need.as_str(), known)),
            );
        }
    }
}

fn windows(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for step in &context.plan.steps {
        let Some(window) = &step.window else { continue };
        let name = window.as_str();
        if !context.plan.windows.contains_key(name) && !context.is_broken(name) {
            let known = context.plan.windows.keys().map(|name| name.value.as_str());
            findings.push(
                Finding::error(
                    "runplan::check::unknown_window",
                    window.span,
                    format!("there is no window `{name}`"),
                )
                .label("not under `windows:`")
                .help(suggest(name, known)),
            );
        }
    }
}

fn cycle(context: &Context<'_>, Cycle(path): &Cycle) -> Finding {
    let span = path.first().zip(path.get(1)).and_then(|(step, need)| {
        let step = context.flow.step(step.as_str())?;
        step.needs.iter().flatten().find(|known| known.value == *need).map(|known| known.span)
    });
    let drawn: Vec<&str> = path.iter().map(StepId::as_str).collect();
    let message = if let [one, _] = drawn.as_slice() {
        format!("`{one}` needs itself")
    } else {
        format!("the steps wait for each other: {}", drawn.join(" → "))
    };
    let finding = Finding::error("runplan::check::cycle", span.unwrap_or_default(), message)
        .label("each needs the next");
    match between(context, path) {
        Some((step, window)) => finding.help(format!(
            "`{step}` runs between steps of the window `{window}` without belonging to it: \
             give it `window: {window}`, or move it out of the window"
        )),
        None => finding.help("remove one of these `needs`"),
    }
}

/// A step outside a window that waits for one of its steps and that another of them waits for.
fn between<'p>(context: &Context<'_>, path: &'p [StepId]) -> Option<(&'p StepId, String)> {
    let Made::Open(window) = path.iter().find_map(|id| match context.flow.made(id) {
        Some(made @ Made::Open(_)) => Some(made),
        _ => None,
    })?
    else {
        return None;
    };
    let outside = path.iter().find(|id| {
        context.flow.step(id.as_str()).is_some_and(|step| {
            step.window.as_ref().is_none_or(|own| own.value != *window)
                && Flow::needs(step).any(|need| path.contains(need))
        })
    })?;
    Some((outside, window.to_string()))
}
