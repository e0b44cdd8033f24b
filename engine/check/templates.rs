//! What a template may be in its place: syntax, filters, tests, functions, and where a secret must not go.

use super::context::Context;
use super::uses::{Place, Use};
use super::{quoting, script};
use crate::plan::finding::suggest;
use crate::plan::template::{Names, Used};
use crate::plan::{Finding, vocabulary};

/// The filters of minijinja and of the plan language.
const FILTERS: &[&str] = &[
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "format",
    "groupby",
    "ident",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "like",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "zip",
];

/// Filters for text that people read; where values are quoted they would get round it or double it.
const MESSAGE_FILTERS: &[&str] = &["e", "escape", "format", "indent", "pprint", "safe", "tojson"];

const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "gt",
    "in",
    "int",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "safe",
    "sameas",
    "sequence",
    "startingwith",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
];

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for (one, names) in context.uses.iter().zip(&context.names) {
        match names {
            Err(error) => findings.push(syntax(context, one, error)),
            Ok(names) => {
                words(context, one, names, findings);
                secrets(context, one, names, findings);
                if one.text.has_template() {
                    match one.place {
                        Place::Sql | Place::Query | Place::Predicate => {
                            quoting::check(context, one, findings)
                        }
                        Place::Script => script::check(context, one, findings),
                        _ => {}
                    }
                }
            }
        }
    }
}

fn syntax(context: &Context<'_>, one: &Use<'_>, error: &crate::plan::template::Error) -> Finding {
    let span = context.place(one.text, error.range.clone());
    let message = &error.message;
    if message.contains("messages only") {
        return Finding::error(
            "runplan::check::tag_not_here",
            span,
            format!("{message}, not in {}", one.place.describe()),
        )
        .help("compute the value in a step or a parameter, and put it in with `{{ }}`");
    }
    Finding::error("runplan::check::template_syntax", span, format!("the template cannot be read: {message}"))
        .label("here")
        .help(if message.contains("not closed") {
            "close it with `}}`"
        } else {
            "inside `{{ }}` stands an expression: a name, a comparison, a filter"
        })
}

fn words(context: &Context<'_>, one: &Use<'_>, names: &Names, findings: &mut Vec<Finding>) {
    let mut unknown = |used: &Used, what: &str, known: &[&str]| {
        let span = context.place(one.text, used.range.clone());
        let message = format!("there is no {what} `{}`", used.name);
        findings.push(
            Finding::error("runplan::check::unknown_filter", span, message)
                .label(format!("unknown {what}"))
                .help(suggest(&used.name, known.iter().copied())),
        );
    };
    for used in names.filters.iter().filter(|used| !FILTERS.contains(&used.name.as_str())) {
        unknown(used, "filter", FILTERS);
    }
    for used in names.tests.iter().filter(|used| !TESTS.contains(&used.name.as_str())) {
        unknown(used, "test", TESTS);
    }
    for used in names.functions.iter().filter(|used| !vocabulary::FUNCTIONS.contains(&used.name.as_str())) {
        unknown(used, "function", vocabulary::FUNCTIONS);
    }
    for used in &names.foreign {
        let span = context.place(one.text, used.range.clone());
        let message = format!("the tag `{}` cannot be used in a plan", used.name);
        findings.push(
            Finding::error("runplan::check::tag_not_here", span, message)
                .help("a template stands alone: write the text out"),
        );
    }
    for used in &names.filters {
        filter_in_place(context, one, used, findings);
    }
}

fn filter_in_place(context: &Context<'_>, one: &Use<'_>, used: &Used, findings: &mut Vec<Finding>) {
    let name = used.name.as_str();
    let quoted = one.place.is_sql() || matches!(one.place, Place::Script | Place::Url | Place::Argument);
    let why = if quoted && MESSAGE_FILTERS.contains(&name) {
        "every value is quoted for its place already; remove the filter"
    } else if matches!(name, "ident" | "like") && !one.place.is_sql() {
        "it is for SQL alone; remove the filter"
    } else {
        return;
    };
    let span = context.place(one.text, used.range.clone());
    let message = format!("the filter `{name}` cannot be used in {}", one.place.describe());
    findings
        .push(Finding::error("runplan::check::filter_not_here", span, message).label("not here").help(why));
}

fn secrets(context: &Context<'_>, one: &Use<'_>, names: &Names, findings: &mut Vec<Finding>) {
    if one.place.keeps_secrets() {
        return;
    }
    for reference in &names.references {
        let name = reference.parts.get(1).map_or("", String::as_str);
        let is_secret = match reference.parts[0].as_str() {
            "secrets" => true,
            "params" => context.plan.params.get(name).is_some_and(|param| param.secret),
            _ => false,
        };
        if !is_secret {
            continue;
        }
        let span = context.place(one.text, reference.range.clone());
        let what = &reference.path;
        let finding = match one.place {
            Place::Argument => Finding::error(
                "runplan::check::secret_in_argv",
                span,
                format!("the secret `{what}` would be an argument, which every user of the machine can read"),
            )
            .help("pass it by `env:` or `stdin:`"),
            Place::Script => Finding::error(
                "runplan::check::secret_in_script",
                span,
                format!("the secret `{what}` would be in a script"),
            )
            .help(format!(
                "write `env: {{ SECRET: \"{{{{ {what} }}}}\" }}` and use \"$SECRET\" in the script"
            )),
            place => Finding::error(
                "runplan::check::secret_shown",
                span,
                format!("the secret `{what}` would be shown: {} is displayed and stored", place.describe()),
            )
            .help("a secret may go to `env`, `stdin`, a header, a body, SQL and a connection"),
        };
        findings.push(finding.label("secret"));
    }
}
