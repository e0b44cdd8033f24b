//! Names that are used -> what they mean: parameters, secrets, databases, channels, roles, named checks, steps and
//! their outputs; and whether a step is certainly finished where its outputs are read.

mod named;
mod order;

use super::context::Context;
use super::uses::{Owner, Place, Use};
use crate::plan::finding::suggest;
use crate::plan::template::{Piece, Reference, pieces};
use crate::plan::{Finding, Step, Text, vocabulary};
use order::Order;

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
    named::check(context, findings);
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
        let known = vocabulary::ROOTS.iter().chain(vocabulary::FUNCTIONS).copied();
        let help = habit(root).unwrap_or_else(|| suggest(root, known));
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
            let help = habit(root).unwrap_or_else(|| suggest(root, vocabulary::ROOTS.iter().copied()));
            unknown("runplan::check::unknown_name", "name", root, help)
        }
    }
}

/// What other tools call it.
fn habit(name: &str) -> Option<String> {
    let help = match name {
        "item" => "in a step with `for_each` it is `each.value`, and `each.key` its name",
        "env" => {
            "declare it under `secrets: { NAME: { env: NAME } }` and write `secrets.NAME`, or make it a parameter"
        }
        "vars" | "var" | "inputs" | "input" | "values" => "what a run is given is `params.NAME`",
        "outputs" | "needs" | "tasks" | "jobs" => "what a step gives is `steps.ID.OUTPUT`",
        _ => return None,
    };
    Some(help.to_owned())
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
