//! What is proved before a run: every rule over the whole plan, all findings in one pass, sorted by place. Pure; it must
//! never ask a server, a file or the clock. One file for each family of rules.

mod actions;
mod closed;
mod codes;
mod computed;
mod context;
mod copies;
mod evaluated;
mod expectations;
mod guard;
mod ids;
mod interpreters;
mod lent;
mod params;
mod quoting;
mod references;
mod script;
mod site;
mod sql;
mod statements;
mod templates;
mod uses;
mod values;
mod warnings;

pub use codes::{Code, Example, codes, explain};
pub use computed::computed;
pub use lent::held_back;
pub use uses::Place;
pub use values::{Given, Resolved, describe, resolve_params};

use crate::plan::{Finding, Loaded, Severity};
use context::Context;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckOptions {
    /// After so many findings the rest is only counted.
    pub most: usize,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { most: 500 }
    }
}

type Rule = fn(&Context<'_>, &mut Vec<Finding>);

/// Rules that hold for whatever could be read.
const RULES: &[Rule] = &[
    ids::check,
    references::check,
    templates::check,
    params::check,
    site::check,
    actions::check,
    expectations::check,
    sql::check,
    computed::check,
];

/// Rules that would blame a plan for what could not be read.
const WHOLE_RULES: &[Rule] = &[guard::check, closed::check, warnings::check];

/// An `expect` without conditions; where something could not be read, its conditions may be what it was.
const EMPTY_EXPECT: &str = "runplan::check::empty_expect";

/// Everything that is wrong with a plan: what reading it found, and what the rules find.
pub fn check(loaded: &Loaded, options: &CheckOptions) -> Vec<Finding> {
    let mut findings = loaded.findings.clone();
    if let Some(plan) = loaded.plan.as_deref() {
        let context = Context::new(loaded, plan);
        for rule in RULES {
            rule(&context, &mut findings);
        }
        if loaded.has_errors() {
            findings.retain(|finding| finding.code != EMPTY_EXPECT);
        }
        if loaded.broken.is_empty() {
            for rule in WHOLE_RULES {
                rule(&context, &mut findings);
            }
        }
    }
    sort(copies::joined(findings, loaded), options.most)
}

/// By place, errors first at the same place, each once; the copies that a window or a list makes tell nothing new.
fn sort(mut findings: Vec<Finding>, most: usize) -> Vec<Finding> {
    findings.sort_by(|a, b| {
        (a.span, a.severity, a.code, &a.message).cmp(&(b.span, b.severity, b.code, &b.message))
    });
    findings.dedup_by(|a, b| a.span == b.span && a.code == b.code && a.message == b.message);
    if findings.len() > most {
        let errors = findings[most..].iter().filter(|finding| finding.is_error()).count();
        let message = format!("{} more findings, {errors} of them errors", findings.len() - most);
        findings.truncate(most);
        let severity = if errors > 0 { Severity::Error } else { Severity::Warning };
        let rest = Finding { severity, ..Finding::unplaced("runplan::check::and_more", message) };
        findings.push(rest.help("correct the first ones and check again"));
    }
    findings
}
