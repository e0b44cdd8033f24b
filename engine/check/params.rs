//! What the plan declares before its steps: parameters, secrets, limits, the site's channels.

use super::context::Context;
use super::uses::{Owner, Place};
use crate::plan::param::{Param, Type, default_of};
use crate::plan::site::SecretSource;
use crate::plan::{Finding, Level, Sp, Table, written_password};

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for (name, param) in &context.plan.params {
        let before = findings.len();
        shape(name, param, findings);
        // A default is judged by bounds and choices that make sense.
        if findings.len() == before {
            default_of(&name.value, param, findings);
        }
        secret(name, param, findings);
        if param.required && param.default.is_some() {
            let message = format!("`{}` is required and has a default, which is never used", name.value);
            findings.push(
                Finding::error("runplan::check::required_default", name.span, message)
                    .help("remove `required: true` or `default:`"),
            );
        }
    }
    sources(&context.plan.secrets, findings);
    if let Some(site) = context.loaded.site.as_deref() {
        sources(&site.secrets, findings);
    }
    written_passwords(context, findings);
    let parallel = &context.plan.limits.parallel;
    if parallel.value == 0 {
        findings.push(
            Finding::error("runplan::check::zero", parallel.span, "no step could run with `parallel: 0`")
                .help("write 1 or more"),
        );
    }
    severity(context, findings);
}

fn shape(name: &Sp<String>, param: &Param, findings: &mut Vec<Finding>) {
    let of = param.type_.value;
    let mut wrong = |code, span, message: String, help: &str| {
        findings.push(Finding::error(code, span, message).help(help));
    };
    if let (Some(min), Some(max)) = (param.min, param.max)
        && min > max
    {
        let message = format!("`{}` can have no value: its least is {min}, its most {max}", name.value);
        wrong("runplan::check::bad_range", name.span, message, "exchange `min` and `max`");
    }
    let sized =
        if of == Type::List { param.items.as_ref().map_or(Type::String, |items| items.value) } else { of };
    if (param.min.is_some() || param.max.is_some())
        && matches!(sized, Type::Boolean | Type::Choice | Type::Timestamp | Type::Duration)
    {
        let message = format!("`{}` is a {sized}, which has no `min` and `max`", name.value);
        wrong("runplan::check::bad_range", name.span, message, "remove them");
    }
    let is_choice = sized == Type::Choice;
    match &param.choices {
        None if is_choice => {
            let message = format!("`{}` is a choice without `choices`", name.value);
            wrong("runplan::check::bad_choices", name.span, message, "add `choices: [a, b]`");
        }
        Some(choices) if is_choice && choices.is_empty() => {
            let message = format!("`{}` has nothing to choose from", name.value);
            wrong("runplan::check::bad_choices", name.span, message, "add `choices: [a, b]`");
        }
        Some(choices) if is_choice => {
            if let Some(twice) =
                choices.iter().enumerate().find(|(at, choice)| choices[..*at].contains(choice))
            {
                let message = format!("`{}` can be chosen twice", twice.1);
                wrong("runplan::check::bad_choices", name.span, message, "remove one of the two");
            }
        }
        Some(_) => {
            let message = format!("`{}` is a {of}, and has `choices`", name.value);
            wrong(
                "runplan::check::bad_choices",
                name.span,
                message,
                "write `type: choice`, or remove `choices`",
            );
        }
        None => {}
    }
    match &param.items {
        Some(items) if of != Type::List => {
            let message = format!("`{}` is a {of}, and has `items`", name.value);
            wrong("runplan::check::bad_items", items.span, message, "write `type: list`, or remove `items`");
        }
        Some(items) if items.value == Type::List => {
            let message = format!("`{}` is a list of lists", name.value);
            wrong("runplan::check::bad_items", items.span, message, "a list holds plain values");
        }
        _ => {}
    }
    if let Some(pattern) = &param.pattern
        && let Err(error) = regex::Regex::new(&format!("^(?:{})$", pattern.value))
    {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let message = format!("`{}` is not a regular expression: {why}", pattern.value);
        wrong(
            "runplan::check::bad_pattern",
            pattern.span,
            message,
            "escape what shall be taken as it is with `\\`",
        );
    }
}

fn secret(name: &Sp<String>, param: &Param, findings: &mut Vec<Finding>) {
    if let Some(default) = param.default.as_ref().filter(|_| param.secret) {
        let message = format!("the secret parameter `{}` has its value written in the plan", name.value);
        findings.push(
            Finding::error("runplan::check::secret_default", default.span, message)
                .label("everyone who reads the plan reads it")
                .help("remove the default, or take the value from `secrets:`"),
        );
    }
}

fn sources(secrets: &Table<SecretSource>, findings: &mut Vec<Finding>) {
    for (name, source) in secrets {
        let given = [source.env.is_some(), source.file.is_some(), source.command.is_some()];
        let given = given.iter().filter(|given| **given).count();
        let empty =
            source.command.as_ref().is_some_and(|command| command.first().is_none_or(String::is_empty));
        let message = match given {
            1 if empty => format!("the command of the secret `{}` is empty", name.value),
            1 => continue,
            0 => format!("the secret `{}` comes from nowhere", name.value),
            _ => format!("the secret `{}` comes from two places", name.value),
        };
        findings.push(
            Finding::error("runplan::check::secret_source", name.span, message)
                .help("give one of `env: NAME`, `file: PATH`, `command: [program, argument]`"),
        );
    }
}

/// `postgres://user:password@host/db` in a file that is kept in a repository.
fn written_passwords(context: &Context<'_>, findings: &mut Vec<Finding>) {
    // What stands in for a secret in a rehearsal opens nothing.
    let addresses = context
        .uses
        .iter()
        .filter(|one| matches!(one.place, Place::Connection | Place::Url) && one.owner != Owner::Rehearsal);
    let written = |span, help: &str| {
        Finding::error("runplan::check::password_written", span, "a password is written in the file")
            .label("everyone who reads the file reads it")
            .help(help)
    };
    for one in addresses {
        let raw = &one.text.raw;
        let setting = raw.split_whitespace().find_map(|part| part.strip_prefix("password="));
        let setting =
            setting.filter(|password| one.place == Place::Connection && !password.starts_with("{{"));
        let setting = setting.and_then(|password| raw.find(password).map(|at| at..at + password.len()));
        if let Some(range) = written_password(raw).or(setting) {
            let help = match one.place {
                Place::Url => {
                    "take the credentials from a secret: `headers: { Authorization: \"{{ secrets.TOKEN }}\" }`"
                }
                _ => "take the address from a secret: `url: \"{{ secrets.DATABASE_URL }}\"`",
            };
            findings.push(written(context.place(one.text, range), help));
        }
    }
    for channel in context.channels.values() {
        for text in [&channel.password, &channel.secret, &channel.routing_key].into_iter().flatten() {
            if !text.has_template() && !text.raw.trim().is_empty() {
                findings.push(written(text.span, "take it from a secret: `\"{{ secrets.NAME }}\"`"));
            }
        }
    }
}

fn severity(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Some(least) = context.plan.minimum_severity else { return };
    let span = context.plan.severity.as_ref().map_or(context.plan.name.span, |text| text.span);
    let message = match &context.plan.severity {
        None => "`minimum_severity` needs a `severity`".to_owned(),
        // Levels are in order, the worst first.
        Some(text) => match Level::from_word(&text.raw) {
            Some(level) if level > least => {
                format!("`{level}` is less than the minimum, `{least}`: the plan can never run")
            }
            _ => return,
        },
    };
    findings.push(
        Finding::error("runplan::check::minimum_severity", span, message)
            .help("write `severity: \"{{ params.severity }}\"` with a parameter of the type choice"),
    );
}
