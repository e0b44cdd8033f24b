//! The values of a plan's parameters, from the command line, a file, the environment, the defaults, and, on a terminal,
//! from the person there. Secret ones must never come from argv, where everybody sees them.

use super::error::Error;
use super::files;
use crate::check::{Given, Resolved, describe, resolve_params};
use crate::plan::decode::{Decode, Reader};
use crate::plan::param::Type;
use crate::plan::{Finding, Json, Param, Plan, Sources, Span, Text, node};
use crate::terminal::{self, Screen};
use clap::Args;
use serde_json::{Map, Value};
use std::convert::Infallible;
use std::path::{Path, PathBuf};

/// Where values come from on the command line.
#[derive(Debug, Clone, Default, Args)]
pub struct ValueArgs {
    /// A value of a parameter; may be given several times
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE")]
    param: Vec<String>,
    /// A YAML or JSON file with values of parameters
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
    /// Values that come before the file's: a rehearsal's.
    #[arg(skip)]
    base: Map<String, Value>,
}

impl ValueArgs {
    /// With values that hold unless the file or the command line says otherwise.
    pub fn over(&self, base: Map<String, Value>) -> Self {
        Self { base, ..self.clone() }
    }

    /// What can be known without asking anybody.
    ///
    /// # Errors
    /// `-p` without `=`, a secret on the command line, a file that cannot be read.
    pub fn resolve(&self, screen: &Screen, plan: &Plan) -> Result<Resolved, Error> {
        let mut cli = Vec::new();
        for text in &self.param {
            let Some((name, value)) = text.split_once('=') else {
                let help = "write it as -p name=value";
                return Err(Error::usage_with(format!("`-p {text}` has no `=`"), help));
            };
            if plan.params.get(name).is_some_and(|param| param.secret) {
                let variable = variable(name);
                return Err(Error::usage_with(
                    format!("`{name}` is secret: on the command line everybody on this machine can read it"),
                    format!("give it as {variable}, in a file with --params, or at the prompt"),
                ));
            }
            cli.push((name.to_owned(), value.to_owned()));
        }
        let mut file = self.base.clone();
        if let Some(path) = &self.params {
            file.extend(read_file(screen, path)?);
        }
        Ok(resolve_params(plan, &Given { cli, file, env: &|name| std::env::var(name).ok() }))
    }

    /// The values of a run: whoever is at the terminal is asked for what is missing.
    ///
    /// # Errors
    /// A value is wrong or missing.
    pub fn complete(&self, screen: &Screen, plan: &Plan, what: &str) -> Result<Map<String, Value>, Error> {
        let mut resolved = self.resolve(screen, plan)?;
        if resolved.findings.is_empty() && screen.is_attended() {
            for name in std::mem::take(&mut resolved.missing) {
                match plan.params.get(name.as_str()) {
                    Some(param) => drop(resolved.values.insert(name.clone(), ask(screen, &name, param)?)),
                    None => resolved.missing.push(name),
                }
            }
        }
        resolved.findings.extend(resolved.missing.iter().map(|name| {
            let param = plan.params.get(name.as_str());
            let about = param.map(describe).unwrap_or_default();
            let way = match param {
                Some(param) if param.secret => {
                    format!("it is secret: give it as {} or in a file with --params", variable(name))
                }
                _ => format!("give it with -p {name}=..."),
            };
            Finding::unplaced("runplan::cli::missing_value", format!("the parameter `{name}` has no value"))
                .help(format!("{way}; {about}"))
        }));
        stop_on(screen, &resolved.findings, what)?;
        Ok(resolved.values)
    }
}

fn variable(name: &str) -> String {
    format!("RUNPLAN_PARAM_{}", name.to_ascii_uppercase())
}

fn read_file(screen: &Screen, path: &Path) -> Result<Map<String, Value>, Error> {
    let text = files::read(path, "give a YAML or JSON file with `name: value` lines")?;
    let mut sources = Sources::default();
    let file = sources.add(path.display().to_string(), text.as_str());
    let mut reader = Reader::default();
    let found = match node::read(&text, file) {
        Ok(node) => Json::decode(&node, &mut reader),
        Err(findings) => {
            reader.findings.extend(findings);
            None
        }
    };
    let texts = &mut |text: &Text| Ok::<_, Infallible>(Value::String(text.raw.clone()));
    match found.map(|json| json.build(texts)) {
        Some(Ok(Value::Object(values))) => return Ok(values),
        Some(_) => reader.push(
            Finding::error(
                "runplan::cli::params_file",
                Span::new(file, 0..1),
                "this is not a list of parameters",
            )
            .help("write one `name: value` a line, or a JSON object"),
        ),
        None => {}
    }
    refuse(screen, &reader.findings, &sources, &path.display().to_string())
}

/// Shows what is wrong with values, and stops there.
///
/// # Errors
/// Anything is wrong.
pub fn stop_on(screen: &Screen, found: &[Finding], what: &str) -> Result<(), Error> {
    match found.is_empty() {
        true => Ok(()),
        false => refuse(screen, found, &Sources::default(), &format!("the values for {what}")),
    }
}

/// Shows what is wrong and refuses to go on.
fn refuse<T>(screen: &Screen, found: &[Finding], sources: &Sources, what: &str) -> Result<T, Error> {
    if screen.is_json() {
        screen.document(&terminal::findings_json(found, sources));
    } else {
        screen.error_unless_empty(&terminal::findings(screen, found, sources));
    }
    Err(Error::Invalid { what: what.to_owned(), errors: found.len() })
}

fn ask(screen: &Screen, name: &str, param: &Param) -> Result<Value, Error> {
    let prompt = match &param.description {
        Some(description) => format!("{name} ({description})"),
        None => name.to_owned(),
    };
    let choices: Option<&[String]> = match param.type_.value {
        Type::Choice => param.choices.as_deref(),
        _ => None,
    };
    let parse = |text: &str| param.parse(text).map(drop);
    let given = terminal::ask_value(screen, &prompt, choices, param.secret, &parse).ok_or_else(|| {
        Error::usage_with(format!("`{name}` has no value"), format!("give it with -p {name}=..."))
    })?;
    param.parse(&given).map_err(|why| Error::usage(format!("the value of `{name}` cannot be used: {why}")))
}

/// The values that are not secret: what is stored.
pub fn public(plan: &Plan, values: &Map<String, Value>) -> Map<String, Value> {
    let secret = |name: &str| plan.params.get(name).is_some_and(|param| param.secret);
    values
        .iter()
        .filter(|(name, _)| !secret(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The values of a plan that nobody gave any, and the required parameters that have none.
pub fn defaults(plan: &Plan) -> (Map<String, Value>, Vec<String>) {
    let nothing = Given { cli: Vec::new(), file: Map::new(), env: &|_| None };
    let resolved = resolve_params(plan, &nothing);
    (resolved.values, resolved.missing)
}
