//! Names that are used -> what they mean: parameters, secrets, databases, channels, roles, named checks, steps and
//! their outputs; and whether a step is certainly finished where its outputs are read.

use super::context::Context;
use super::site;
use super::uses::{Owner, Place, Use};
use crate::plan::action::Action;
use crate::plan::action::restore::Into;
use crate::plan::finding::suggest;
use crate::plan::rehearsal::Beginning;
use crate::plan::template::{Piece, Reference, pieces, read_condition};
use crate::plan::{Bare, Changes, Finding, Name, Sp, Step, Text, vocabulary};
use std::collections::HashMap;

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut order = Order::new(context);
    for (one, names) in context.read_uses() {
        for reference in &names.references {
            if let Some(finding) = reference_to(context, one, reference, &mut order) {
                findings.push(finding);
            }
        }
        if one.place == Place::Database {
            findings.extend(database(context, one.text));
        }
    }
    order.answer(findings);
    named(context, findings);
}

fn place(context: &Context<'_>, one: &Use<'_>, reference: &Reference) -> crate::plan::Span {
    context.place(one.text, reference.range.clone())
}

/// What is wrong with one dotted name. Whether a step comes before is asked of the whole graph at once, later.
fn reference_to(
    context: &Context<'_>,
    one: &Use<'_>,
    reference: &Reference,
    order: &mut Order<'_, '_>,
) -> Option<Finding> {
    let [root, rest @ ..] = reference.parts.as_slice() else { return None };
    let span = place(context, one, reference);
    let unknown = |code, what: &str, name: &str, help: String| {
        let message = format!("there is no {what} `{name}`");
        Some(Finding::error(code, span, message).label(format!("unknown {what}")).help(help))
    };
    if root == "steps" {
        return step(context, one, reference, span, order);
    }
    let Some(name) = rest.first() else {
        if vocabulary::ROOTS.contains(&root.as_str()) {
            let message = format!("`{root}` is not a value by itself");
            return Some(
                Finding::error("runplan::check::bare_name", span, message)
                    .help(format!("name one: `{root}.NAME`")),
            );
        }
        let help = suggest(root, vocabulary::ROOTS.iter().chain(vocabulary::FUNCTIONS).copied());
        return unknown("runplan::check::unknown_name", "name", root, help);
    };
    let part = |code, known: &[&str]| {
        let field = rest.get(1)?;
        (!known.contains(&field.as_str()))
            .then(|| unknown(code, "field", &reference.path, suggest(field, known.iter().copied())))?
    };
    if context.is_broken(name) {
        return None;
    }
    if one.place == Place::Condition && !matches!(root.as_str(), "params" | "run") {
        let message = format!("a condition cannot use `{}`", reference.path);
        return Some(
            Finding::error("runplan::check::not_in_condition", span, message)
                .label("not known to a condition")
                .help("a `when` is decided without servers and secrets: use `params`, `steps` and `run`"),
        );
    }
    match root.as_str() {
        "params" => {
            match context.plan.params.get(name.as_str()) {
                None => {
                    let known = context.plan.params.keys().map(|name| name.value.as_str());
                    unknown("runplan::check::unknown_param", "parameter", name, suggest(name, known))
                }
                Some(param) if !param.required && param.default.is_none() && !reference.guarded => {
                    let message = format!("`{}` has no value when none is given", reference.path);
                    Some(
                    Finding::error("runplan::check::maybe_missing", span, message)
                        .label("neither required nor with a default")
                        .help("give the parameter a `default:` or `required: true`, or write `| default(...)`"),
                )
                }
                Some(param) if param.type_.value != crate::plan::param::Type::List => {
                    part("runplan::check::unknown_field", &[])
                }
                Some(_) => None,
            }
        }
        "secrets" if !context.secrets.contains_key(name.as_str()) => unknown(
            "runplan::check::unknown_secret",
            "secret",
            name,
            suggest(name, context.secrets.keys().copied()),
        ),
        "secrets" => part("runplan::check::unknown_field", &[]),
        "databases" if !context.databases.contains_key(name.as_str()) => {
            Some(unknown_database(context, name, span))
        }
        "databases" if rest.len() == 1 => {
            let message = format!("`databases.{name}` is not a value by itself");
            let help = format!("name a field: {}", vocabulary::DATABASE.join(", "));
            Some(Finding::error("runplan::check::bare_name", span, message).help(help))
        }
        "databases" => part("runplan::check::unknown_field", vocabulary::DATABASE),
        "run" => field(name, vocabulary::RUN, span, "run"),
        "site" => field(name, vocabulary::SITE, span, "site"),
        "rehearsal" if one.owner != Owner::Rehearsal => {
            let message = format!("`{}` has a value in a rehearsal alone", reference.path);
            Some(
                Finding::error("runplan::check::rehearsal_only", span, message)
                    .help("use it under `rehearsal:`, and give the run a parameter"),
            )
        }
        "rehearsal" => field(name, vocabulary::REHEARSAL, span, "rehearsal"),
        "each" => {
            let message = "`each` has a value in a step with `for_each` alone";
            Some(
                Finding::error("runplan::check::unknown_name", span, message)
                    .help("give the step `for_each:`"),
            )
        }
        _ => {
            let help = suggest(root, vocabulary::ROOTS.iter().copied());
            unknown("runplan::check::unknown_name", "name", root, help)
        }
    }
}

fn field(name: &str, known: &[&str], span: crate::plan::Span, of: &str) -> Option<Finding> {
    (!known.contains(&name)).then(|| {
        Finding::error("runplan::check::unknown_field", span, format!("`{of}` has no field `{name}`"))
            .label("unknown field")
            .help(suggest(name, known.iter().copied()))
    })
}

fn step(
    context: &Context<'_>,
    one: &Use<'_>,
    reference: &Reference,
    span: crate::plan::Span,
    order: &mut Order<'_, '_>,
) -> Option<Finding> {
    let parts = reference.parts.get(1..).unwrap_or_default();
    let Some(name) = parts.first() else {
        return Some(
            Finding::error("runplan::check::bare_name", span, "`steps` is not a value by itself")
                .help("name a step and its output: `steps.restored.database`"),
        );
    };
    let Some((target, taken)) = context.step_of(parts) else {
        let prepared = context.plan.rehearsal.iter().flat_map(|rehearsal| &rehearsal.prepare);
        let in_rehearsal =
            one.owner == Owner::Rehearsal && prepared.clone().any(|step| step.id.as_str() == name);
        if context.is_broken(name) || in_rehearsal {
            return None;
        }
        let known = context.steps().iter().map(|step| step.id.as_str());
        let message = format!("there is no step `{name}`");
        return Some(
            Finding::error("runplan::check::unknown_step", span, message)
                .label("unknown step")
                .help(suggest(name, known)),
        );
    };
    order.ask(one, reference, target);
    let step = &context.steps()[target];
    output(step, &parts[taken..], reference, span)
}

fn output(step: &Step, parts: &[String], reference: &Reference, span: crate::plan::Span) -> Option<Finding> {
    let known = vocabulary::outputs_of(step);
    let (id, kind) = (&step.id.value, step.action.kind());
    let Some(output) = parts.first() else {
        if reference.guarded {
            return None;
        }
        let help = format!("name an output of it: {}", known.join(", "));
        let message = format!("`steps.{id}` is not a value by itself");
        return Some(Finding::error("runplan::check::bare_name", span, message).help(help));
    };
    if !known.contains(&output.as_str()) {
        let message = format!("{} step has no output `{output}`", kind.with_article());
        return Some(
            Finding::error("runplan::check::unknown_output", span, message)
                .label(format!("`{id}` is {} step", kind.with_article()))
                .help(suggest(output, known.iter().copied())),
        );
    }
    if parts.len() > 1 && !vocabulary::has_parts(output, step) {
        let message = format!("`{output}` of {} step has no parts", kind.with_article());
        return Some(
            Finding::error("runplan::check::unknown_output", span, message)
                .help(format!("write `steps.{id}.{output}`")),
        );
    }
    None
}

/// Questions about the order, asked while the names are read and answered together.
struct Order<'c, 'l> {
    context: &'c Context<'l>,
    /// The steps that use a set of named checks.
    users: HashMap<&'l str, Vec<usize>>,
    pairs: Vec<(usize, usize)>,
    findings: Vec<Finding>,
    skipped: Vec<Finding>,
}

impl<'c, 'l> Order<'c, 'l> {
    fn new(context: &'c Context<'l>) -> Self {
        let mut users: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, step) in context.steps().iter().enumerate() {
            if let Action::Verify(verify) = &step.action.value {
                for name in &verify.use_ {
                    users.entry(name.as_str()).or_default().push(at);
                }
            }
        }
        Self { context, users, pairs: Vec::new(), findings: Vec::new(), skipped: Vec::new() }
    }

    fn ask(&mut self, one: &Use<'_>, reference: &Reference, target: usize) {
        let span = place(self.context, one, reference);
        let id = self.context.id(target);
        let who = one.owner.describe(self.context);
        let mut later: Vec<usize> = Vec::new();
        match one.owner {
            Owner::Step(at) => later.push(at),
            Owner::After(at) if at == target => {}
            Owner::After(at) => later.push(at),
            Owner::Checks(name) => later.extend(self.users.get(name).into_iter().flatten()),
            Owner::Handler(_) if reference.guarded => {}
            Owner::Handler(name) => {
                let message =
                    format!("`{}` may have no value when the handler `{name}` runs", reference.path);
                let help = format!("write `{{{{ {} | default('not yet') }}}}`", reference.path);
                self.skipped.push(Finding::error("runplan::check::maybe_missing", span, message).help(help));
            }
            Owner::Setting | Owner::Rehearsal => {
                let message = format!("{who} cannot use an output of `{id}`");
                self.skipped.push(
                    Finding::error("runplan::check::too_early", span, message)
                        .label("no step is finished then")
                        .help("use a parameter"),
                );
            }
        }
        for at in later {
            let reader = self.context.id(at);
            let message = if at == target {
                format!("{who} uses its own output, which it has when it is finished")
            } else {
                format!("{who} uses an output of `{id}`, which need not be finished before it")
            };
            self.pairs.push((target, at));
            self.findings.push(
                Finding::error("runplan::check::not_before", span, message)
                    .label(format!("`{id}` is not among the steps that `{reader}` waits for")),
            );
            self.skip(reference, target, at, span);
        }
    }

    /// A step that `when` skips has no outputs.
    fn skip(&mut self, reference: &Reference, target: usize, at: usize, span: crate::plan::Span) {
        let (earlier, later) = (&self.context.steps()[target], &self.context.steps()[at]);
        let Some(when) = &earlier.when else { return };
        let proves = |text: &Text| {
            let names = read_condition(&text.raw).ok();
            let path = format!("steps.{}", earlier.id.value);
            names.is_some_and(|names| {
                names
                    .proves
                    .iter()
                    .any(|proved| reference.path.starts_with(proved) && proved.starts_with(&path))
            })
        };
        let same = later.when.as_ref().is_some_and(|own| own.raw.trim() == when.raw.trim() || proves(own));
        if reference.guarded || same {
            return;
        }
        let id = &earlier.id.value;
        let message = format!("`{}` has no value when `{id}` is skipped", reference.path);
        self.skipped.push(
            Finding::error("runplan::check::maybe_missing", span, message)
                .label(format!("`{id}` has a `when`"))
                .help(format!(
                    "write `{} | default(...)`, or give `{}` the same `when`",
                    reference.path, later.id.value
                )),
        );
    }

    fn answer(self, findings: &mut Vec<Finding>) {
        findings.extend(self.skipped);
        // In a cycle nothing comes before anything; the cycle is told instead.
        let Ok(graph) = &self.context.graph else { return };
        let before = graph.all_before(&self.pairs);
        let wrong = |at: &usize| !before[*at];
        let swapped: Vec<(usize, usize)> =
            (0..before.len()).filter(wrong).map(|at| (self.pairs[at].1, self.pairs[at].0)).collect();
        let findings_there = self.findings.into_iter().enumerate().filter(|(at, _)| wrong(at));
        for ((at, finding), after) in findings_there.zip(graph.all_before(&swapped)) {
            let (target, reader) = self.pairs[at];
            let (id, reader_id) = (self.context.id(target), self.context.id(reader));
            findings.push(finding.help(if target == reader {
                "use a parameter, or the output of an earlier step".to_owned()
            } else if after {
                format!("`{id}` runs after `{reader_id}`: move one of them")
            } else {
                format!("add `{id}` to the `needs` of `{reader_id}`")
            }));
        }
    }
}

fn unknown_database(context: &Context<'_>, name: &str, span: crate::plan::Span) -> Finding {
    let message = format!("there is no database `{name}`");
    let help = if context.databases.is_empty() {
        "define it under `databases:`, in the plan or in the site file".to_owned()
    } else {
        suggest(name, context.databases.keys().copied())
    };
    Finding::error("runplan::check::unknown_database", span, message).label("unknown database").help(help)
}

/// The text of a `database:` field: a known name, or a step's database output alone.
fn database(context: &Context<'_>, text: &Text) -> Option<Finding> {
    if !text.has_template() {
        let name = text.raw.as_str();
        let known = context.databases.contains_key(name) || context.is_broken(name);
        return (!known).then(|| unknown_database(context, name, text.span));
    }
    let parts = pieces(&text.raw).ok()?;
    let alone = match parts.as_slice() {
        [Piece::Expression(expression, _)] => {
            let expression = expression.trim();
            expression.starts_with("steps.")
                || expression.starts_with("steps[")
                || expression.starts_with("each")
        }
        _ => false,
    };
    let output = ["database", "old_database"]
        .iter()
        .any(|output| text.raw.trim_end_matches([' ', '}']).ends_with(output));
    (!alone || !output).then(|| {
        let message = "a database is a name from `databases`, or the database output of a step";
        Finding::error("runplan::check::bad_database", text.span, message)
            .help("write a name, or `{{ steps.restored.database }}` alone")
    })
}

/// Names that stand outside templates.
fn named(context: &Context<'_>, findings: &mut Vec<Finding>) {
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
    rehearsal.load.iter().for_each(|(name, beginning)| beginnings(name, beginning, findings));
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

/// What a database of the rehearsal begins with: one thing.
fn beginnings(name: &Sp<String>, beginning: &Beginning, findings: &mut Vec<Finding>) {
    let given = [beginning.backup.is_some(), beginning.clone.is_some(), beginning.seed.is_some()];
    let message = match given.iter().filter(|given| **given).count() {
        0 => "neither `backup`, `clone` nor `seed` is given",
        1 => return,
        _ => "more than one of `backup`, `clone` and `seed` is given",
    };
    findings.push(
        Finding::error("runplan::check::either_or", name.span, message)
            .help("give one; more can be put in by the steps of `prepare`"),
    );
}
