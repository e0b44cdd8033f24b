//! The values a plan is run with: what was given -> typed values, what is missing, and what is wrong with it. Pure: the
//! environment comes as a function.

use crate::plan::finding::suggest;
use crate::plan::param::default_of;
use crate::plan::{Finding, Param, Plan};
use serde_json::{Map, Value};

/// What was given, the strongest first: the command line, a file, the environment.
pub struct Given<'g> {
    /// `-p name=value`, in the order given.
    pub cli: Vec<(String, String)>,
    /// `--params FILE`
    pub file: Map<String, Value>,
    /// Reads `RUNPLAN_PARAM_<NAME>`.
    pub env: &'g dyn Fn(&str) -> Option<String>,
}

/// The values of a run, before anybody is asked.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// In the plan's order; parameters without a value are left out.
    pub values: Map<String, Value>,
    /// Required parameters without a value.
    pub missing: Vec<String>,
    pub findings: Vec<Finding>,
}

/// Reads, checks and completes the values of a plan's parameters.
pub fn resolve_params(plan: &Plan, given: &Given<'_>) -> Resolved {
    let mut resolved = Resolved::default();
    let known = || plan.params.keys().map(|name| name.value.as_str()).collect::<Vec<_>>();
    let names = given.cli.iter().map(|(name, _)| (name, "the command line"));
    for (name, place) in names.chain(given.file.keys().map(|name| (name, "the file of parameters"))) {
        if !plan.params.contains_key(name.as_str()) {
            let message = format!("{place} gives a value for `{name}`, which the plan does not have");
            resolved.findings.push(
                Finding::unplaced("runplan::check::unknown_value", message).help(suggest(name, known())),
            );
        }
    }
    for (at, (name, _)) in given.cli.iter().enumerate() {
        if given.cli[..at].iter().any(|(earlier, _)| earlier == name) {
            let message = format!("`{name}` is given twice on the command line");
            resolved.findings.push(
                Finding::unplaced("runplan::check::value_twice", message)
                    .help("give it once; a list is `a,b,c`"),
            );
        }
    }
    for (name, param) in &plan.params {
        let name = name.value.as_str();
        match value(name, param, given) {
            Some((Ok(value), _)) => drop(resolved.values.insert(name.to_owned(), value)),
            Some((Err(why), place)) => {
                // A secret value is not repeated in its own error.
                let why = if param.secret { "it is not a value of its type".to_owned() } else { why };
                let message = format!("the value of `{name}` from {place} cannot be used: {why}");
                let help = describe(param);
                resolved.findings.push(Finding::unplaced("runplan::check::bad_value", message).help(help));
            }
            None => match default_of(name, param, &mut Vec::new()) {
                Some(value) => drop(resolved.values.insert(name.to_owned(), value)),
                None if param.required => resolved.missing.push(name.to_owned()),
                None => {}
            },
        }
    }
    resolved
}

type Found = (Result<Value, String>, &'static str);

fn value(name: &str, param: &Param, given: &Given<'_>) -> Option<Found> {
    if let Some((_, text)) = given.cli.iter().rev().find(|(given, _)| given == name) {
        return Some((param.parse(text), "the command line"));
    }
    if let Some(value) = given.file.get(name) {
        return Some((param.take(value), "the file of parameters"));
    }
    let variable = format!("RUNPLAN_PARAM_{}", name.to_ascii_uppercase());
    (given.env)(&variable).map(|text| (param.parse(&text), "the environment"))
}

/// What a value of it looks like.
pub fn describe(param: &Param) -> String {
    let mut text = format!("its type is {}", param.type_.value);
    if let Some(items) = &param.items {
        text.push_str(&format!(" of {}", items.value));
    }
    if let Some(choices) = &param.choices {
        text.push_str(&format!(": one of {}", choices.join(", ")));
    }
    match (param.min, param.max) {
        (Some(min), Some(max)) => text.push_str(&format!(", from {min} to {max}")),
        (Some(min), None) => text.push_str(&format!(", at least {min}")),
        (None, Some(max)) => text.push_str(&format!(", at most {max}")),
        (None, None) => {}
    }
    if let Some(description) = &param.description {
        text.push_str(&format!(" ({description})"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::load;

    const PLAN: &str = "runplan: 1\nname: t\nparams:\n  severity: { type: choice, choices: [high, low], default: high }\n  \
        backup: { type: path, required: true }\n  count: { type: integer, min: 1, max: 9 }\n  \
        tables: { type: list }\n  token: { type: integer, secret: true }\nsteps:\n  - { id: a, notify: { channels: [console], message: m } }\n";

    fn resolve(cli: &[(&str, &str)], file: &str, env: &[(&str, &str)]) -> Resolved {
        let loaded = load(("t.yaml", PLAN), None, &|_| Err(String::new()));
        let given = Given {
            cli: cli.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            file: serde_json::from_str(file).unwrap(),
            env: &|name| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()),
        };
        resolve_params(loaded.plan.as_ref().unwrap(), &given)
    }

    #[test]
    fn the_strongest_source_wins() {
        let env = [("RUNPLAN_PARAM_BACKUP", "env"), ("RUNPLAN_PARAM_COUNT", "3")];
        let resolved = resolve(&[("backup", "cli")], r#"{"backup": "file", "tables": ["a"]}"#, &env);
        assert_eq!(
            serde_json::to_string(&resolved.values).unwrap(),
            r#"{"severity":"high","backup":"cli","count":3,"tables":["a"]}"#
        );
        assert!(resolved.missing.is_empty() && resolved.findings.is_empty());
        assert_eq!(resolve(&[], r#"{"backup": "file"}"#, &env).values["backup"], "file");
        assert_eq!(resolve(&[], r#"{"backup": 12}"#, &env).values["backup"], "12");
        assert_eq!(resolve(&[], "{}", &env).values["backup"], "env");
    }

    #[test]
    fn what_is_missing_or_wrong_is_told() {
        let resolved = resolve(
            &[("bakup", "x"), ("count", "12"), ("token", "hunter2")],
            r#"{"severity": "urgent"}"#,
            &[],
        );
        assert_eq!(resolved.missing, ["backup"]);
        let told: Vec<String> = resolved
            .findings
            .iter()
            .map(|finding| {
                format!(
                    "{}: {} ({})",
                    finding.code,
                    finding.message,
                    finding.help.as_deref().unwrap_or_default()
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "runplan::check::unknown_value: the command line gives a value for `bakup`, which the plan does not have (did you mean `backup`?)",
                "runplan::check::bad_value: the value of `severity` from the file of parameters cannot be used: `urgent` is not one of its choices; known here: high, low (its type is choice: one of high, low)",
                "runplan::check::bad_value: the value of `count` from the command line cannot be used: it is 12, more than 9 (its type is integer, from 1 to 9)",
                "runplan::check::bad_value: the value of `token` from the command line cannot be used: it is not a value of its type (its type is integer)",
            ]
        );
        assert!(!format!("{:?}", resolved.findings).contains("hunter2"));
    }
}
