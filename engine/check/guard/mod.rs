//! The guard: what destroys data has a verified backup of it and an approval after that backup behind it; a swap has a
//! verified side, the rows it would lose, and an approval after both. A guard that may not run guards nothing.

mod copy;
mod danger;
mod own;
mod reach;
mod swap;

use super::context::Context;
use crate::plan::{Action, Finding, Severity, Step};
use danger::Danger;
use std::collections::HashSet;

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Ok(graph) = &context.graph else { return };
    let dangers: Vec<Danger<'_>> = danger::all(context);
    swap::check(context, graph, findings);
    reach::check(context, graph, &dangers, findings);
    copy::check(context, graph, findings);
    useless(context, &dangers, findings);
}

/// The name of a database as it is compared: blanks in a template do not count.
fn same(raw: &str) -> String {
    raw.split_whitespace().collect()
}

/// A step that certainly runs and whose failure stops what needs it.
fn is_certain(step: &Step) -> bool {
    step.when.is_none() && !step.continue_on_failure
}

fn is_approval(step: &Step) -> bool {
    is_certain(step) && matches!(&step.action.value, Action::Approve(approve) if approve.message.is_some())
}

/// `unguarded: reason` makes a warning of it.
fn lowered(step: &Step, finding: Finding) -> Finding {
    match &step.unguarded {
        Some(reason) => {
            Finding { severity: Severity::Warning, label: format!("unguarded: {}", reason.value), ..finding }
        }
        None => {
            let help = finding.help.clone().unwrap_or_default();
            finding.help(format!("{help}; or say why it needs none: `unguarded: \"reason\"`"))
        }
    }
}

/// `unguarded` where there is nothing to guard.
fn useless(context: &Context<'_>, dangers: &[Danger<'_>], findings: &mut Vec<Finding>) {
    let dangerous: HashSet<usize> = dangers.iter().map(|danger| danger.step).collect();
    for (at, step) in context.steps().iter().enumerate() {
        let Some(reason) = &step.unguarded else { continue };
        let dangerous =
            matches!(step.action.value, Action::Swap(_)) || dangerous.contains(&at) || copy::overwrites(step);
        if !dangerous {
            let message = format!("`{}` destroys nothing that would need a guard", step.id.value);
            findings.push(
                Finding::warning("runplan::check::useless_unguarded", reason.span, message)
                    .help("remove `unguarded`"),
            );
        }
    }
}
