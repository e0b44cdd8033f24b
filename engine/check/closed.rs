//! Steps that want into a database that lets nobody in, after a freeze of the plan or because a swap put it aside: they fail
//! every time, and some of them with the application closed.

use super::context::Context;
use crate::plan::action::freeze::Mode;
use crate::plan::action::restore::Into;
use crate::plan::template::references;
use crate::plan::{Action, Finding, Question, Step, Text};

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    put_aside(context, findings);
    let Ok(graph) = &context.graph else { return };
    let steps = context.steps();
    for (at, freeze) in steps.iter().enumerate() {
        let Action::Freeze(action) = &freeze.action.value else { continue };
        // One that may be skipped closes nothing for certain.
        if action.mode != Mode::NoConnections || freeze.when.is_some() {
            continue;
        }
        let database = action.database.raw.trim();
        let opened = |step: usize| {
            steps.iter().enumerate().any(|(between, swap)| {
                matches!(&swap.action.value, Action::Swap(swap) if swap.database.raw.trim() == database)
                    && graph.is_before(at, between)
                    && graph.is_before(between, step)
            })
        };
        for (later, step) in steps.iter().enumerate().filter(|(later, _)| graph.is_before(at, *later)) {
            let inside = inside(context, step);
            let Some(text) = inside.into_iter().find(|text| text.raw.trim() == database) else { continue };
            if opened(later) {
                continue;
            }
            let message =
                format!("`{}` lets nobody into {database} any more, and this step wants to", freeze.id.value);
            findings.push(Finding::error("runplan::check::database_closed", text.span, message).help(
                format!(
                    "put the step before `{}`, or give that `mode: read_only`, which lets readers in",
                    freeze.id.value
                ),
            ));
        }
    }
}

/// Steps that want into what a swap put aside: nobody writes there unseen, so that an undo can bring it back as it was.
fn put_aside(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for text in context.steps().iter().flat_map(|step| inside(context, step)) {
        let names = references(&text.raw, true).unwrap_or_default();
        let Some((reference, swap, live)) = names.iter().find_map(|reference| {
            let [root, parts @ ..] = reference.parts.as_slice() else { return None };
            let (at, taken) = context.step_of(parts).filter(|_| root == "steps")?;
            let is_old = parts.get(taken).is_some_and(|output| output == "old_database");
            let step = context.steps().get(at).filter(|_| is_old)?;
            let Action::Swap(swap) = &step.action.value else { return None };
            Some((reference, &step.id.value, swap.database.raw.trim()))
        }) else {
            continue;
        };
        let message =
            format!("`{swap}` lets nobody into the database that it puts aside, and this step wants to");
        let span = context.place(text, reference.range.clone());
        findings.push(Finding::error("runplan::check::database_closed", span, message).help(format!(
            "put the step before `{swap}` and let it read {live}; or, after it, restore a backup of {live} beside it and read that; \
             `runplan undo` brings the old database back as it was"
        )));
    }
}

/// The databases that a step opens a session in.
fn inside<'c>(context: &'c Context<'_>, step: &'c Step) -> Vec<&'c Text> {
    match &step.action.value {
        Action::Backup(backup) => vec![&backup.database],
        Action::Sql(sql) => vec![&sql.database],
        Action::Copy(copy) => vec![&copy.from, &copy.to],
        Action::Restore(restore) if restore.into == Into::InPlace => vec![&restore.database],
        Action::Freeze(freeze) if freeze.mode == Mode::ReadOnly => vec![&freeze.database],
        Action::Verify(verify) => {
            let named = verify.use_.iter().filter_map(|name| context.plan.checks.get(name.value.as_str()));
            let asks = named.flatten().chain(&verify.checks).filter(|check| {
                !matches!(
                    check.question.value,
                    Question::Http(_) | Question::Shell(_) | Question::File(_) | Question::Backup(_)
                )
            });
            let both = asks.flat_map(|check| {
                let side = match &check.question.value {
                    Question::Lost(lost) => Some(&lost.side),
                    _ => None,
                };
                [check.database.as_ref().or(verify.database.as_ref()), side]
            });
            both.flatten().collect()
        }
        _ => Vec::new(),
    }
}
