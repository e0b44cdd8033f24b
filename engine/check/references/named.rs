//! Names that stand outside templates: channels, roles, sets of checks, databases, what a rehearsal names.

use super::unknown_database;
use crate::check::context::Context;
use crate::check::site;
use crate::plan::action::Action;
use crate::plan::action::restore::Into;
use crate::plan::finding::suggest;
use crate::plan::rehearsal::Beginning;
use crate::plan::{Bare, Changes, Finding, Name, Sp};

/// Every name of the plan that no template holds.
pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for step in context.steps() {
        action(context, &step.action, findings);
        if let Some(undo) = &step.undo {
            action(context, &undo.action, findings);
        }
    }
    let handlers = &context.plan.handlers;
    for bare in
        [&handlers.waiting, &handlers.parked, &handlers.failed, &handlers.finished].into_iter().flatten()
    {
        handler(bare, findings);
        action(context, &bare.action, findings);
    }
    rehearsal(context, findings);
}

fn handler(bare: &Bare, findings: &mut Vec<Finding>) {
    let destroys = match &bare.action.value {
        Action::Notify(_) => false,
        Action::Shell(shell) => shell.destructive || shell.replaces.is_some(),
        Action::Http(http) => http.destructive || http.replaces.is_some(),
        _ => {
            let message = format!("a handler cannot do {}", bare.action.kind().with_article());
            findings.push(
                Finding::error("runplan::check::bad_handler", bare.action.span, message)
                    .label("not in a handler")
                    .help(
                        "a handler tells people: use notify, shell or http; what changes something is a step",
                    ),
            );
            return;
        }
    };
    if destroys {
        let message = "a handler cannot destroy anything: no backup and no approval come before it";
        findings.push(
            Finding::error("runplan::check::bad_handler", bare.action.span, message)
                .label("declared destructive")
                .help("make a step of it, behind a `backup` and an `approve`"),
        );
    }
}

fn action(context: &Context<'_>, action: &Action, findings: &mut Vec<Finding>) {
    match action {
        Action::Notify(notify) => {
            notify.channels.iter().for_each(|name| site::channel(context, name, findings));
        }
        Action::Approve(approve) => approve.roles.iter().for_each(|name| site::role(context, name, findings)),
        Action::Verify(verify) => verify.use_.iter().for_each(|name| checks(context, name, findings)),
        Action::Backup(backup) => backup.record.iter().for_each(|name| checks(context, name, findings)),
        Action::Shell(shell) => changes(context, shell.changes.as_ref(), findings),
        Action::Http(http) => changes(context, http.changes.as_ref(), findings),
        Action::Restore(restore) => {
            if let Into::Other(name) = &restore.into {
                restored_into(context, name, findings);
            }
        }
        Action::Swap(_) | Action::Copy(_) | Action::Freeze(_) | Action::Sql(_) => {}
    }
}

fn checks(context: &Context<'_>, name: &Sp<Name>, findings: &mut Vec<Finding>) {
    let text = name.as_str();
    if !context.plan.checks.contains_key(text) && !context.is_broken(text) {
        let known = context.plan.checks.keys().map(|name| name.value.as_str());
        findings.push(
            Finding::error(
                "runplan::check::unknown_checks",
                name.span,
                format!("there are no checks named `{text}`"),
            )
            .label("not under `checks:`")
            .help(suggest(text, known)),
        );
    }
}

fn changes(context: &Context<'_>, changes: Option<&Changes>, findings: &mut Vec<Finding>) {
    if let Some(Changes::Database(name)) = changes {
        database_named(context, name, findings);
    }
}

/// `into` of a restore: a word of its own, or a database.
fn restored_into(context: &Context<'_>, name: &Sp<Name>, findings: &mut Vec<Finding>) {
    let text = name.as_str();
    if !context.databases.contains_key(text) && !context.is_broken(text) {
        let known: Vec<&str> =
            ["side", "in_place"].into_iter().chain(context.databases.keys().copied()).collect();
        findings.push(unknown_database(context, text, name.span).help(suggest(text, known)));
    }
}

fn database_named(context: &Context<'_>, name: &Sp<Name>, findings: &mut Vec<Finding>) {
    let text = name.as_str();
    if !context.databases.contains_key(text) && !context.is_broken(text) {
        findings.push(unknown_database(context, text, name.span));
    }
}

fn rehearsal(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Some(rehearsal) = &context.plan.rehearsal else { return };
    rehearsal.load.iter().for_each(|(name, beginning)| beginnings(context, name, beginning, findings));
    let mut unknown = |code, what: &str, name: &str, span, known: Vec<&str>| {
        let message = format!("the rehearsal names a {what} `{name}` that the plan does not have");
        findings.push(Finding::error(code, span, message).help(suggest(name, known)));
    };
    for name in rehearsal.params.keys() {
        if !context.plan.params.contains_key(name.value.as_str()) && !context.is_broken(&name.value) {
            let known = context.plan.params.keys().map(|name| name.value.as_str()).collect();
            unknown("runplan::check::unknown_param", "parameter", &name.value, name.span, known);
        }
    }
    for name in rehearsal.secrets.keys() {
        if !context.secrets.contains_key(name.value.as_str()) && !context.is_broken(&name.value) {
            let known = context.secrets.keys().copied().collect();
            unknown("runplan::check::unknown_secret", "secret", &name.value, name.span, known);
        }
    }
    for stand_in in &rehearsal.stand_ins {
        let id = stand_in.step.as_str();
        if context.flow.index(id).is_none() && !context.is_broken(id) {
            let known = context.steps().iter().map(|step| step.id.as_str()).collect();
            unknown("runplan::check::unknown_step", "step", id, stand_in.step.span, known);
        }
    }
    for name in rehearsal.load.keys() {
        if !context.databases.contains_key(name.value.as_str()) && !context.is_broken(&name.value) {
            let known = context.databases.keys().copied().collect();
            unknown("runplan::check::unknown_database", "database", &name.value, name.span, known);
        }
    }
    for database in rehearsal.serve.iter().filter_map(|served| served.database.as_ref()) {
        if !context.databases.contains_key(database.as_str()) && !context.is_broken(database.as_str()) {
            let known = context.databases.keys().copied().collect();
            unknown("runplan::check::unknown_database", "database", database.as_str(), database.span, known);
        }
    }
    for step in &rehearsal.prepare {
        action(context, &step.action, findings);
    }
}

/// Whether something could not be read between this name and the next.
fn unreadable_after(context: &Context<'_>, name: &Sp<String>) -> bool {
    let names = context.plan.rehearsal.iter().flat_map(|rehearsal| rehearsal.load.keys());
    let next = names.map(|other| other.span.start).filter(|start| *start > name.span.start).min();
    let within = name.span.end..next.unwrap_or(usize::MAX);
    let mut spans =
        context.loaded.findings.iter().filter(|finding| finding.is_error()).filter_map(|f| f.span);
    spans.any(|span| span.file == name.span.file && within.contains(&span.start))
}

/// What a database of the rehearsal begins with: one thing.
fn beginnings(context: &Context<'_>, name: &Sp<String>, beginning: &Beginning, findings: &mut Vec<Finding>) {
    let given = [beginning.backup.is_some(), beginning.clone.is_some(), beginning.seed.is_some()];
    let message = match given.iter().filter(|given| **given).count() {
        // What could not be read may have been the one.
        0 if unreadable_after(context, name) => return,
        0 => "neither `backup`, `clone` nor `seed` is given",
        1 => return,
        _ => "more than one of `backup`, `clone` and `seed` is given",
    };
    findings.push(
        Finding::error("runplan::check::either_or", name.span, message)
            .help("give one; more can be put in by the steps of `prepare`"),
    );
}
