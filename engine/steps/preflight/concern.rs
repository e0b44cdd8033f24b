//! What preflight found: concerns, which may stop a run, and facts, which a person wants to know. Data; how it looks is
//! terminal/'s.

use crate::plan::{Severity, StepId};
use crate::postgres;
use crate::run::Failure;
use crate::secret::Redactor;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

/// What the codes begin with.
const PREFIX: &str = "runplan::preflight::";
/// What no operator can accept: the run would certainly fail, or harm another one.
const FINAL: &[&str] = &[
    "target_held",
    "pooled",
    "standby",
    "server_version",
    "wrong_target",
    "secret_empty",
    "maintenance_is_target",
];

/// A reason to think twice, or not to start at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Concern {
    /// Stable: `runplan::preflight::disk_unknown`.
    pub code: String,
    pub severity: Severity,
    /// The step that would meet it; None when it concerns the whole run.
    pub step: Option<StepId>,
    pub message: String,
    /// What to do now.
    pub help: Option<String>,
    /// The operator knows and goes on.
    pub accepted: bool,
}

/// Something that was found to be so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// A database, a step, a file.
    pub about: String,
    pub text: String,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preflight {
    pub plan: String,
    /// Errors first.
    pub findings: Vec<Concern>,
    pub facts: Vec<Fact>,
    /// Codes that were to be accepted and that nothing bears.
    pub unused: Vec<String>,
}

impl Concern {
    fn new(code: &str, severity: Severity, message: impl Into<String>) -> Self {
        let code = if code.contains("::") { code.to_owned() } else { format!("{PREFIX}{code}") };
        Self { code, severity, step: None, message: message.into(), help: None, accepted: false }
    }

    pub fn error(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message)
    }

    pub fn warning(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, message)
    }

    pub fn step(mut self, step: &StepId) -> Self {
        self.step = Some(step.clone());
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whether the run must not start because of it.
    pub fn stops(&self) -> bool {
        self.severity == Severity::Error && !self.accepted
    }

    /// Whether an operator may accept it.
    pub fn is_final(&self) -> bool {
        let without = [
            "runplan::postgres::",
            "runplan::secret::",
            "runplan::archive::",
            "runplan::backup::",
            "runplan::sql::",
        ];
        FINAL.contains(&self.short_code()) || without.iter().any(|prefix| self.code.starts_with(prefix))
    }

    /// The code without `runplan::preflight::`, as it may be typed.
    pub fn short_code(&self) -> &str {
        self.code.strip_prefix(PREFIX).unwrap_or(&self.code)
    }

    /// A failure of the layers below.
    pub fn of_failure(failure: &Failure) -> Self {
        let concern = Self::error(&failure.code, &failure.message);
        Self { help: failure.help.clone(), ..concern }
    }

    /// A server that does not answer as it should.
    pub fn of_server(error: &postgres::Error) -> Self {
        let concern = Self::error(error.kind().code(), error.message());
        Self { help: error.help().map(str::to_owned), ..concern }
    }
}

impl Preflight {
    pub(super) fn new(plan: &str, found: Found, accept: &[String]) -> Self {
        let Found { mut concerns, facts } = found;
        let unused = accept
            .iter()
            .filter(|wanted| {
                let named = |concern: &&mut Concern| {
                    concern.code == **wanted || concern.short_code() == wanted.as_str()
                };
                let mut any = false;
                for concern in concerns.iter_mut().filter(named) {
                    concern.accepted = !concern.is_final();
                    any = true;
                }
                !any
            })
            .cloned()
            .collect();
        // A stable sort: within a severity the order of the questions stays.
        concerns.sort_by_key(|concern| concern.severity);
        Self { plan: plan.to_owned(), findings: concerns, facts, unused }
    }

    /// Whether nothing stops the run.
    pub fn may_start(&self) -> bool {
        !self.findings.iter().any(Concern::stops)
    }

    /// Whether another run has a target of this one.
    pub fn is_held(&self) -> bool {
        self.findings.iter().any(|concern| concern.short_code() == "target_held")
    }
}

impl Serialize for Preflight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Preflight", 5)?;
        out.serialize_field("format", &1)?;
        out.serialize_field("plan", &self.plan)?;
        out.serialize_field("may_start", &self.may_start())?;
        out.serialize_field("findings", &self.findings)?;
        out.serialize_field("facts", &self.facts)?;
        out.end()
    }
}

/// What one question gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub concerns: Vec<Concern>,
    pub facts: Vec<Fact>,
}

impl Found {
    pub fn add(&mut self, concern: Concern) {
        if !self.concerns.contains(&concern) {
            self.concerns.push(concern);
        }
    }

    pub fn fact(&mut self, about: impl std::fmt::Display, text: impl Into<String>) {
        let fact = Fact { about: about.to_string(), text: text.into() };
        if !self.facts.contains(&fact) {
            self.facts.push(fact);
        }
    }

    pub fn extend(&mut self, other: Self) {
        other.concerns.into_iter().for_each(|concern| self.add(concern));
        other.facts.into_iter().for_each(|fact| self.fact(fact.about, fact.text));
    }

    /// The same without any secret.
    pub fn cleaned(self, redactor: &Redactor) -> Self {
        let concern = |concern: Concern| Concern {
            message: redactor.clean(&concern.message),
            help: concern.help.map(|help| redactor.clean(&help)),
            ..concern
        };
        let fact = |fact: Fact| Fact { text: redactor.clean(&fact.text), ..fact };
        Self {
            concerns: self.concerns.into_iter().map(concern).collect(),
            facts: self.facts.into_iter().map(fact).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_quotes_of_a_secret_is_not_shown() {
        let mut found = Found::default();
        found.add(
            Concern::error("statement_refused", "not a number: \"hunter2-long\"").help("ask hunter2-long"),
        );
        found.fact("app", "hunter2-long rows");
        let found = found.cleaned(&Redactor::new([&crate::secret::Secret::new("hunter2-long")]));
        assert_eq!(found.concerns[0].message, "not a number: \"[redacted]\"");
        assert_eq!(found.concerns[0].help.as_deref(), Some("ask [redacted]"));
        assert_eq!(found.facts[0].text, "[redacted] rows");
    }

    fn found() -> Found {
        let mut found = Found::default();
        found.add(Concern::warning("disk_unknown", "how much room there is cannot be told"));
        found.add(Concern::error("prepared_transaction", "one is open").step(&StepId::from("switched")));
        found.add(Concern::error("target_held", "by another run"));
        found.fact("app", "PostgreSQL 15.18");
        found
    }

    #[test]
    fn what_is_accepted_no_longer_stops_but_another_runs_target_always_does() {
        let accept =
            ["prepared_transaction", "runplan::preflight::target_held", "no_such"].map(str::to_owned);
        let all = Preflight::new("test", found(), &accept);
        let stops: Vec<&str> =
            all.findings.iter().filter(|one| one.stops()).map(Concern::short_code).collect();
        assert_eq!((stops, all.may_start()), (vec!["target_held"], false));
        assert_eq!(all.unused, ["no_such"]);
        assert!(all.is_held());
    }

    #[test]
    fn as_json() {
        let json = serde_json::to_value(Preflight::new("test", found(), &[])).unwrap();
        assert_eq!(json["format"], 1);
        assert_eq!(
            json["findings"][0],
            serde_json::json!({
                "code": "runplan::preflight::prepared_transaction", "severity": "error", "step": "switched",
                "message": "one is open", "help": null, "accepted": false
            })
        );
        assert_eq!(json["facts"][0], serde_json::json!({ "about": "app", "text": "PostgreSQL 15.18" }));
    }
}
