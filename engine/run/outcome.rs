//! How an attempt ends: done, failed (it certainly changed nothing more), or unknown. A failed step is data, not an error.

use crate::plan::Name;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The named results of a step.
pub type Outputs = Map<String, Value>;

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Done(Outputs),
    /// It certainly did not take effect, or says what it changed.
    Failed(Failure),
    /// It may have taken effect.
    Unknown(Evidence),
    /// `approve`: people are asked.
    Asked(Box<Ask>),
    /// It was not run at all, for the reason given (a rehearsal without a stand-in).
    Skipped(String),
    /// Settling found that it certainly did not take effect, or may be repeated: a new attempt.
    Again(String),
}

/// Why a step failed, in words, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable: `runplan::sql::deadlock`.
    pub code: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Trying again cannot help: a rejected approval, a broken template.
    #[serde(default)]
    pub permanent: bool,
}

impl Failure {
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), help: None, permanent: false }
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn permanent(mut self) -> Self {
        self.permanent = true;
        self
    }
}

/// What is known about an attempt whose outcome is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What is not known, in one sentence.
    pub message: String,
    /// The facts, a line each: what was looked at and what it said.
    pub facts: Vec<String>,
}

impl Evidence {
    pub fn new(message: impl Into<String>, facts: impl IntoIterator<Item = String>) -> Self {
        Self { message: message.into(), facts: facts.into_iter().collect() }
    }
}

/// Something a step learned or is about to do, durable before it goes on; what `settle` reads after a crash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// `commit_intended`, `side_chosen`, ...: defined by the step's file in steps/.
    pub name: String,
    pub data: Value,
}

/// A question to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The question as it is shown.
    pub message: String,
    /// A human task instead of a question.
    pub confirm: bool,
    /// Who may answer, by name; empty: anyone who reaches the state.
    pub people: Vec<String>,
    pub roles: Vec<Name>,
    /// How many must agree.
    pub count: u16,
    pub expires_at: Option<Timestamp>,
    pub allow_requester: bool,
    /// Nobody could know it before it was asked: no answer can be older than its question.
    #[serde(default)]
    pub nonce: String,
}

impl Ask {
    /// Who may answer: the roles with their people, without the one who started the run where that one may not, and without
    /// those who have agreed. None: anyone.
    pub fn who(&self, requester: Option<&str>, agreed: &[&str]) -> Option<String> {
        if self.people.is_empty() {
            return None;
        }
        let barred =
            requester.filter(|name| !self.allow_requester && self.people.iter().any(|one| one == name));
        let people = self.people.iter().map(String::as_str);
        let people: Vec<&str> = people.filter(|one| Some(*one) != barred && !agreed.contains(one)).collect();
        let not = barred.map(|name| format!("not {name}, who started the run")).unwrap_or_default();
        let named = match (people.is_empty(), not.is_empty()) {
            (false, true) => people.join(", "),
            (false, false) => format!("{}; {not}", people.join(", ")),
            (true, _) => format!("nobody else is in it; {not}"),
        };
        let roles: Vec<&str> = self.roles.iter().map(Name::as_str).collect();
        Some(if roles.is_empty() { named } else { format!("{} ({named})", roles.join(", ")) })
    }
}
