//! What a check expects: conditions that fit its kind, that can be met, and that can fail.

use super::context::Context;
use crate::plan::{Action, Check, Conditions, Expect, Finding, Json, Probe, Question, Sp, Span};

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for step in context.steps() {
        let undo = step.undo.as_ref().map(|undo| &undo.action);
        for action in std::iter::once(&step.action).chain(undo) {
            of_action(action, findings);
        }
    }
    if let Some(rehearsal) = &context.plan.rehearsal {
        rehearsal.prepare.iter().for_each(|step| of_action(&step.action, findings));
        rehearsal.stand_ins.iter().for_each(|stand_in| of_action(&stand_in.with.action, findings));
    }
    for checks in context.plan.checks.values() {
        checks.iter().for_each(|check| of_check(check, findings));
    }
}

fn of_action(action: &Sp<Action>, findings: &mut Vec<Finding>) {
    match &action.value {
        Action::Verify(verify) => verify.checks.iter().for_each(|check| of_check(check, findings)),
        Action::Sql(sql) => probe(sql.probe.as_deref(), action.span, findings),
        Action::Shell(shell) => probe(shell.probe.as_deref(), action.span, findings),
        Action::Http(http) => {
            for expect in http.expect.iter().chain(&http.until) {
                conditions(expect, "http", action.span, findings);
            }
            probe(http.probe.as_deref(), action.span, findings);
        }
        _ => {}
    }
}

fn probe(probe: Option<&Probe>, span: Span, findings: &mut Vec<Finding>) {
    let Some(probe) = probe else { return };
    match &probe.expect {
        Some(expect) => conditions(expect, probe.question.word(), span, findings),
        None if matches!(probe.question.value, Question::Sql(_)) => {
            findings.push(never(span, "a probe by SQL that expects nothing always says that it took effect"));
        }
        None => {}
    }
    inner(&probe.question, span, findings);
}

fn of_check(check: &Check, findings: &mut Vec<Finding>) {
    let span = check.name.span;
    match (&check.expect, &check.question.value) {
        (Some(expect), question) => {
            conditions(expect, question.word(), span, findings);
            if let Question::Sql(text) = question {
                counted(expect, &text.raw, span, findings);
            }
        }
        (None, Question::Sql(_)) => {
            findings.push(never(span, "a query that expects nothing passes whatever it finds"));
        }
        (None, _) => {}
    }
    inner(&check.question, span, findings);
}

fn inner(question: &Sp<Question>, span: Span, findings: &mut Vec<Finding>) {
    match &question.value {
        Question::Http(http) => {
            for expect in http.expect.iter().chain(&http.until) {
                conditions(expect, "http", span, findings);
            }
        }
        Question::Counts(against) | Question::Schema(against) => {
            if let Some(tolerance) = &against.tolerance {
                self::tolerance(tolerance, findings);
            }
            let counts = matches!(&question.value, Question::Counts(_));
            match &against.only {
                Some(_) if counts => wrong(
                    findings,
                    "runplan::check::wrong_condition",
                    span,
                    "`only` chooses among differences of definitions, and `counts` compares rows".to_owned(),
                    "leave it out, or ask with `schema`",
                ),
                Some(only) if only.is_empty() => {
                    findings.push(never(
                        span,
                        "a comparison in which no difference counts passes whatever it finds",
                    ));
                }
                _ => {}
            }
        }
        _ => {}
    }
}

fn never(span: Span, message: &str) -> Finding {
    Finding::error("runplan::check::never_fails", span, message)
        .label("it can never fail")
        .help("say what must be true: `expect: empty`, `expect: 1`, `expect: { at_least: 1 }`")
}

fn wrong(findings: &mut Vec<Finding>, code: &'static str, span: Span, message: String, help: &str) {
    findings.push(Finding::error(code, span, message).help(help));
}

fn conditions(expect: &Expect, kind: &str, span: Span, findings: &mut Vec<Finding>) {
    let conditions = &*expect.conditions;
    if *conditions == Conditions::none() {
        let finding = never(span, "an empty `expect` is met by every answer");
        findings.push(Finding { code: super::EMPTY_EXPECT, ..finding });
        return;
    }
    for (name, allowed) in given(conditions) {
        if !allowed.contains(&kind) {
            let message = format!("{kind} has no `{name}` to expect");
            let help = match kind {
                "file" | "backup" | "schema" | "counts" | "amcheck" => {
                    "remove `expect`: its own fields say what must be true".to_owned()
                }
                _ => format!("`{name}` is for {}", allowed.join(", ")),
            };
            wrong(findings, "runplan::check::wrong_condition", span, message, &help);
        }
    }
    if let Some(pattern) = &conditions.matches
        && let Err(error) = regex::Regex::new(&pattern.value)
    {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let message = format!("`{}` is not a regular expression: {why}", pattern.value);
        wrong(
            findings,
            "runplan::check::bad_pattern",
            pattern.span,
            message,
            "escape what shall be taken as it is with `\\`",
        );
    }
    if let Some(earlier) = &conditions.unchanged_since
        && !earlier.texts().iter().any(|text| text.has_template())
    {
        let at = earlier.texts().first().map_or(span, |text| text.span);
        let message = "`unchanged_since` is given a fixed value, and not what a step recorded".to_owned();
        let help = "write `{{ steps.before.results }}` of a `verify`, or `{{ steps.saved.record }}` of a `backup`; a fixed \
                    value is for `equals`";
        wrong(findings, "runplan::check::wrong_condition", at, message, help);
    }
    if let Some(text) = &conditions.tolerance {
        tolerance(text, findings);
        if conditions.equals.is_none() && conditions.unchanged_since.is_none() {
            let message = "`tolerance` needs a number to compare with".to_owned();
            wrong(
                findings,
                "runplan::check::wrong_condition",
                text.span,
                message,
                "add `equals` or `unchanged_since`",
            );
        }
    }
    if let Some(status) = conditions.status.filter(|status| !(100..600).contains(status)) {
        let message = format!("`{status}` is not a status of HTTP");
        wrong(findings, "runplan::check::impossible", span, message, "a status is a number from 100 to 599");
    }
    impossible(conditions, span, findings);
}

/// The conditions that are given, and the kinds of question they are for.
fn given(conditions: &Conditions) -> Vec<(&'static str, &'static [&'static str])> {
    const VALUE: &[&str] = &["sql", "shell", "http", "lost"];
    let all: [(&'static str, bool, &'static [&'static str]); 11] = [
        ("equals", conditions.equals.is_some(), VALUE),
        ("not", conditions.not.is_some(), VALUE),
        ("at_least", conditions.at_least.is_some(), VALUE),
        ("at_most", conditions.at_most.is_some(), VALUE),
        ("between", conditions.between.is_some(), VALUE),
        ("empty", conditions.empty.is_some(), &["sql", "shell", "lost"]),
        ("matches", conditions.matches.is_some(), &["sql", "shell", "http"]),
        ("unchanged_since", conditions.unchanged_since.is_some(), &["sql", "shell", "http"]),
        ("tolerance", conditions.tolerance.is_some(), VALUE),
        ("status", conditions.status.is_some(), &["http"]),
        ("json", conditions.json.is_some(), &["http", "shell"]),
    ];
    all.into_iter().filter(|(_, given, _)| *given).map(|(name, _, kinds)| (name, kinds)).collect()
}

fn impossible(conditions: &Conditions, span: Span, findings: &mut Vec<Finding>) {
    let mut bad = |message: String| {
        wrong(
            findings,
            "runplan::check::impossible",
            span,
            message,
            "no answer can be like that; correct the conditions",
        );
    };
    if let (Some(least), Some(most)) = (number(&conditions.at_least), number(&conditions.at_most))
        && least > most
    {
        bad(format!("nothing is at least {least} and at most {most}"));
    }
    if let Some(ends) = &conditions.between {
        match ends.as_slice() {
            [low, high] => {
                if let (Some(low), Some(high)) = (json_number(low), json_number(high))
                    && low > high
                {
                    bad(format!("nothing is between {low} and {high}"));
                }
            }
            _ => bad("`between` has two ends: `[1, 10]`".to_owned()),
        }
    }
    if conditions.equals.is_some() && conditions.equals == conditions.not {
        bad("`equals` and `not` are the same".to_owned());
    }
    if conditions.empty == Some(true)
        && (conditions.equals.is_some() || conditions.at_least.is_some() || conditions.matches.is_some())
    {
        bad("where there are no rows there is no value to compare".to_owned());
    }
}

/// `count(*)` is never less than nothing.
fn counted(expect: &Expect, sql: &str, span: Span, findings: &mut Vec<Finding>) {
    let counts = sql.trim_start().to_ascii_lowercase().starts_with("select count(");
    let only = Conditions { at_least: expect.conditions.at_least.clone(), ..Conditions::none() };
    if counts && *expect.conditions == only && number(&only.at_least).is_some_and(|least| least <= 0.0) {
        findings.push(never(span, "a count is always at least 0"));
    }
    // A count is a row, whatever it says.
    let only = Conditions { empty: Some(false), ..Conditions::none() };
    if counts && *expect.conditions == only {
        findings.push(never(span, "a count always returns a row"));
    }
}

fn number(json: &Option<Json>) -> Option<f64> {
    json.as_ref().and_then(json_number)
}

fn json_number(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        _ => None,
    }
}

fn tolerance(text: &Sp<String>, findings: &mut Vec<Finding>) {
    let number = text.value.strip_suffix('%').unwrap_or(&text.value).trim();
    if !number.parse::<f64>().is_ok_and(|number| number >= 0.0 && number.is_finite()) {
        let message = format!("`{}` is not a tolerance", text.value);
        wrong(
            findings,
            "runplan::check::bad_tolerance",
            text.span,
            message,
            "write a number or a percentage: `5`, `1%`",
        );
    }
}
