//! What can be run and should not be left so: no way back, no witness, steps beside each other on one database, things
//! that nothing uses.

use super::context::Context;
use super::uses::Place;
use crate::graph::Graph;
use crate::plan::action::http::Method;
use crate::plan::action::restore::Into;
use crate::plan::{Action, Changes, Finding, Step, StepId, Table, action};
use std::collections::{HashMap, HashSet};

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for (at, step) in context.steps().iter().enumerate() {
        way_back(context, at, step, findings);
        witness(step, findings);
    }
    if let Ok(graph) = &context.graph {
        approvals(context, graph, findings);
        beside(context, graph, findings);
    }
    unused(context, findings);
}

fn is_reading(method: Method) -> bool {
    matches!(method, Method::Get | Method::Head)
}

fn way_back(context: &Context<'_>, at: usize, step: &Step, findings: &mut Vec<Finding>) {
    if step.undo.is_some() || step.irreversible.is_some() || context.flow.made(&step.id.value).is_some() {
        return;
    }
    let changes = match &step.action.value {
        Action::Sql(sql) if sql.read_only => return,
        Action::Sql(_) => {
            if context.statements.of_step(at).is_some_and(|read| read.is_read_only()) {
                let message = format!("`{}` only reads, and does not say so", step.id.value);
                findings.push(
                    Finding::warning("runplan::check::only_reads", step.action.span, message)
                        .help("write `read_only: true`: the server then holds it to that"),
                );
                return;
            }
            None
        }
        Action::Shell(shell) => shell.changes.as_ref(),
        Action::Http(http) if is_reading(http.method) => return,
        Action::Http(http) => http.changes.as_ref(),
        _ => return,
    };
    let is_program = matches!(step.action.value, Action::Shell(_) | Action::Http(_));
    match changes {
        Some(Changes::Nothing) => {}
        None if is_program => {
            let message = format!("`{}` does not say what it changes", step.id.value);
            findings.push(
                Finding::warning("runplan::check::unknown_changes", step.action.span, message)
                    .help("write `changes: none`, or the name of the database"),
            );
        }
        _ => {
            let message = format!("`{}` changes something and has no way back", step.id.value);
            findings.push(
                Finding::warning("runplan::check::no_undo", step.action.span, message)
                    .help("add `undo:` with what reverses it, or `irreversible: \"reason\"`"),
            );
        }
    }
}

/// After a crash nobody could tell whether it took effect.
fn witness(step: &Step, findings: &mut Vec<Finding>) {
    let blind = match &step.action.value {
        Action::Shell(shell) => shell.probe.is_none() && !shell.repeatable,
        Action::Http(http) => http.probe.is_none() && !http.repeatable && !is_reading(http.method),
        _ => false,
    };
    if blind {
        let message = format!("nobody could tell after a crash whether `{}` took effect", step.id.value);
        findings.push(
            Finding::warning("runplan::check::no_witness", step.action.span, message)
                .help("write `repeatable: true` if doing it twice does no harm, else a `probe:` that tells"),
        );
    }
}

fn approvals(context: &Context<'_>, graph: &Graph, findings: &mut Vec<Finding>) {
    for (at, step) in context.steps().iter().enumerate() {
        if matches!(step.action.value, Action::Approve(_)) && graph.dependents(at).is_empty() {
            let message = format!("nothing waits for the approval `{}`", step.id.value);
            findings.push(
                Finding::warning("runplan::check::useless_approval", step.id.span, message)
                    .help("make the steps that it is for need it"),
            );
        }
    }
}

/// The database that a step changes.
fn changed(context: &Context<'_>, at: usize, step: &Step) -> Option<String> {
    let same = |raw: &str| raw.split_whitespace().collect::<String>();
    let named = |changes: Option<&Changes>| match changes {
        Some(Changes::Database(name)) => Some(name.to_string()),
        _ => None,
    };
    match &step.action.value {
        Action::Sql(sql) => {
            let reads =
                sql.read_only || context.statements.of_step(at).is_some_and(|read| read.is_read_only());
            (!reads).then(|| same(&sql.database.raw))
        }
        Action::Swap(swap) => Some(same(&swap.database.raw)),
        Action::Copy(copy) => Some(same(&copy.to.raw)),
        Action::Freeze(freeze) => Some(same(&freeze.database.raw)),
        Action::Restore(restore) if restore.into == Into::InPlace => Some(same(&restore.database.raw)),
        Action::Restore(action::Restore { into: Into::Other(name), .. }) => Some(name.to_string()),
        Action::Shell(shell) => named(shell.changes.as_ref()),
        Action::Http(http) => named(http.changes.as_ref()),
        _ => None,
    }
}

/// Steps that change one database one after the other are a chain: each waits for the one before it in the order.
fn beside(context: &Context<'_>, graph: &Graph, findings: &mut Vec<Finding>) {
    let mut by_database: HashMap<String, Vec<usize>> = HashMap::new();
    for at in graph.waves().iter().flatten().copied() {
        if let Some(database) = changed(context, at, &context.steps()[at]) {
            by_database.entry(database).or_default().push(at);
        }
    }
    let mut chains: Vec<(String, Vec<usize>)> = by_database.into_iter().collect();
    chains.sort();
    let pairs: Vec<(usize, usize)> =
        chains.iter().flat_map(|(_, chain)| chain.windows(2).map(|two| (two[0], two[1]))).collect();
    let names =
        chains.iter().flat_map(|(name, chain)| std::iter::repeat_n(name, chain.len().saturating_sub(1)));
    for ((pair, before), name) in pairs.iter().zip(graph.all_before(&pairs)).zip(names) {
        if !before {
            let (one, other) = (context.id(pair.0), context.id(pair.1));
            let span = context.steps()[pair.1].id.span;
            if let (Some(base), true) = (copied(one), copied(one) == copied(other)) {
                let message =
                    format!("the copies of `{base}` run side by side and change the same database, {name}");
                findings.push(Finding::warning("runplan::check::side_by_side", span, message).help(
                    "write it as one step, or each copy as a step of its own that needs the one before",
                ));
                continue;
            }
            let message =
                format!("`{one}` and `{other}` can run side by side and change the same database, {name}");
            findings.push(
                Finding::warning("runplan::check::side_by_side", span, message)
                    .help(format!("make one need the other: `needs: [{one}]`")),
            );
        }
    }
}

/// `dump` of `dump[users]`.
fn copied(id: &StepId) -> Option<&str> {
    id.as_str().split_once('[').map(|(base, _)| base)
}

fn unused(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut used: HashSet<(&str, &str)> = HashSet::new();
    for (one, names) in context.read_uses() {
        for reference in &names.references {
            if let [root, name, ..] = reference.parts.as_slice() {
                used.insert((root, name));
            }
        }
        if one.place == Place::Database {
            used.insert(("databases", &one.text.raw));
        }
    }
    let steps = context
        .steps()
        .iter()
        .flat_map(|step| std::iter::once(&step.action).chain(step.undo.iter().map(|undo| &undo.action)));
    let prepared =
        context.plan.rehearsal.iter().flat_map(|rehearsal| rehearsal.prepare.iter().map(|step| &step.action));
    for action in steps.chain(prepared) {
        let changes = match &action.value {
            Action::Shell(shell) => shell.changes.as_ref(),
            Action::Http(http) => http.changes.as_ref(),
            Action::Verify(verify) => {
                used.extend(verify.use_.iter().map(|name| ("checks", name.as_str())));
                None
            }
            Action::Restore(restore) => {
                if let Into::Other(name) = &restore.into {
                    used.insert(("databases", name.as_str()));
                }
                None
            }
            Action::Backup(backup) => {
                used.extend(backup.record.iter().map(|name| ("checks", name.as_str())));
                None
            }
            _ => None,
        };
        if let Some(Changes::Database(name)) = changes {
            used.insert(("databases", name.as_str()));
        }
    }
    used.extend(
        context.plan.steps.iter().filter_map(|step| Some(("windows", step.window.as_ref()?.as_str()))),
    );
    // A list has become steps; its parameter was used for that.
    let written = context.loaded.written.iter().flat_map(|plan| &plan.steps);
    for text in written.filter_map(|step| step.for_each.as_ref()).flat_map(|list| list.value.texts()) {
        let name = text.raw.trim_matches(['{', '}', ' ']).strip_prefix("params.");
        used.extend(name.map(|name| ("params", name)));
    }
    let plan = context.plan;
    tell(&used, &plan.params, "params", "parameter", findings);
    tell(&used, &plan.secrets, "secrets", "secret", findings);
    tell(&used, &plan.databases, "databases", "database", findings);
    tell(&used, &plan.checks, "checks", "set of checks", findings);
    tell(&used, &plan.windows, "windows", "window", findings);
}

fn tell<T>(
    used: &HashSet<(&str, &str)>,
    table: &Table<T>,
    root: &str,
    what: &str,
    findings: &mut Vec<Finding>,
) {
    for name in table.keys() {
        if !used.contains(&(root, name.value.as_str())) {
            let message = format!("the {what} `{}` is not used", name.value);
            findings.push(
                Finding::warning("runplan::check::unused", name.span, message)
                    .label("unused")
                    .help("use it or remove it"),
            );
        }
    }
}
