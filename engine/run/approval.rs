//! What a person agrees to, as one canonical JSON value: the question, the plan, the target and what stands behind it. What is
//! shown is rendered from this value alone, so what is seen is what is signed. Pure; says nothing of who may decide.

use super::state::{Entry, State};
use super::transition::StepState;
use crate::plan::{Action, Question, StepId, digest};
use serde_json::{Map, Value, json};

/// The format of canonical decisions.
pub const FORMAT: u64 = 1;
/// A longer text among the outputs stands for itself by its digest.
const LONGEST_OUTPUT: usize = 2000;
/// A longer text is no decision.
const LONGEST_TEXT: usize = 1 << 20;

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Approve,
    Reject,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }
}

/// The decision of one person about what is asked now. None: nothing is asked about this step.
pub fn decision(
    state: &State,
    step: &StepId,
    approver: &str,
    verdict: Verdict,
    comment: &str,
) -> Option<Value> {
    let entry = state.entry(step).filter(|entry| entry.state == StepState::AwaitingApproval)?;
    let ask = entry.ask.as_ref()?;
    let started = state.started.as_deref()?;
    let (seq, head) = entry.asked_at.clone().unwrap_or_default();
    let site = started.has_site.then(|| started.sources.get(1)).flatten();
    Some(sorted(&json!({
        "format": FORMAT,
        "run": state.run.as_str(),
        "plan": started.plan.as_str(),
        "step": step.as_str(),
        "attempt": entry.attempts,
        "nonce": ask.nonce,
        "decision": verdict.word(),
        "approver": approver,
        "comment": comment,
        "question": ask.message,
        "is_task": ask.confirm,
        "roles": ask.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>(),
        "count": ask.count,
        "requester": state.requester.as_ref().map(|actor| actor.name.clone()),
        "reason": started.reason,
        "severity": started.severity,
        "digest": started.digest,
        "plan_digest": started.plan_digest,
        "site_digest": site.map(|site| digest::sha256(site.text.as_bytes())),
        "params": started.params,
        "targets": targets(state),
        "outputs": outputs(state, step),
        "losses": losses(state, step),
        "expires_at": ask.expires_at.map(|at| at.to_string()),
        "asked_at_line": seq,
        "journal_head": head,
    })))
}

/// The databases that the run changes: the server that each is on, and what the site file says that it is.
fn targets(state: &State) -> Value {
    let Some(started) = state.started.as_deref() else { return Value::Null };
    let databases = state.shape.loaded.databases();
    let one = |(name, system): (&String, &String)| {
        let expect = databases.get(name.as_str()).and_then(|database| database.expect.as_ref());
        let environment = expect.and_then(|expect| expect.environment.clone());
        (name.clone(), json!({ "system_identifier": system, "environment": environment }))
    };
    Value::Object(started.targets.iter().map(one).collect())
}

/// Steps that are done and that this one comes after.
fn before<'s>(state: &'s State, step: &StepId) -> Vec<(&'s StepId, &'s Entry)> {
    let Some(at) = state.shape.flow.index(step.as_str()) else { return Vec::new() };
    let ancestors = state.shape.graph.ancestors(at);
    let mut found: Vec<(&StepId, &Entry)> = ancestors
        .into_iter()
        .filter_map(|at| Some((state.id_at(at)?, state.entry_at(at)?)))
        .filter(|(_, entry)| !entry.outputs.is_empty())
        .collect();
    found.sort_by_key(|(id, _)| id.as_str());
    found
}

fn outputs(state: &State, step: &StepId) -> Value {
    let of = |entry: &Entry| {
        let one = |(name, value): (&String, &Value)| (name.clone(), brief(value));
        Value::Object(entry.outputs.iter().map(one).collect())
    };
    Value::Object(before(state, step).into_iter().map(|(id, entry)| (id.to_string(), of(entry))).collect())
}

fn brief(value: &Value) -> Value {
    let text = value.as_str().map_or_else(|| canonical(value), str::to_owned);
    match text.len() > LONGEST_OUTPUT {
        true => json!({ "bytes": text.len(), "sha256": digest::sha256(text.as_bytes()) }),
        false => value.clone(),
    }
}

/// What would be lost, as the steps that counted it put it.
fn losses(state: &State, step: &StepId) -> Value {
    let counts = |id: &StepId| match state.shape.flow.step(id.as_str()).map(|step| &step.action.value) {
        Some(Action::Verify(verify)) => {
            verify.checks.iter().any(|check| matches!(check.question.value, Question::Lost(_)))
        }
        _ => false,
    };
    let told = before(state, step).into_iter().filter(|(id, _)| counts(id));
    let told = told.filter_map(|(id, entry)| Some((id.to_string(), entry.outputs.get("summary")?.clone())));
    Value::Object(told.collect())
}

/// One text for one value: keys in order, no space between.
pub fn canonical(value: &Value) -> String {
    sorted(value).to_string()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| name.as_str());
            Value::Object(fields.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Reads a canonical text, and nothing else: what could be read in two ways is not read.
///
/// # Errors
/// In words: it is too long, is not JSON, or not in the canonical form.
pub fn read(text: &str) -> Result<Map<String, Value>, String> {
    if text.len() > LONGEST_TEXT {
        return Err("the decision is too long to be one".to_owned());
    }
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("the decision is not JSON: {error}"))?;
    if canonical(&value) != text {
        return Err("the decision is not in its canonical form, so it was not made by runplan".to_owned());
    }
    match value {
        Value::Object(fields) if fields.get("format") == Some(&FORMAT.into()) => Ok(fields),
        _ => Err("the decision is of a format that this version does not know".to_owned()),
    }
}

/// In this order, what matters first; what is not here comes after it.
const FIRST: &[(&str, &str)] = &[
    ("decision", "decision"),
    ("approver", "decided by"),
    ("comment", "comment"),
    ("question", "question"),
    ("losses", "would be lost"),
    ("run", "run"),
    ("step", "step"),
    ("attempt", "attempt"),
    ("plan", "plan"),
    ("severity", "severity"),
    ("reason", "reason"),
    ("requester", "started by"),
    ("targets", "target"),
    ("params", "parameter"),
    ("outputs", "output"),
    ("expires_at", "expires at"),
];

/// The decision for people, a line each: every field of it, whatever it holds.
pub fn shown(decision: &Map<String, Value>) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, label) in FIRST {
        if let Some(value) = decision.get(*name) {
            tell(label, value, &mut lines);
        }
    }
    for (name, value) in decision {
        if !FIRST.iter().any(|(first, _)| first == name) {
            tell(&name.replace('_', " "), value, &mut lines);
        }
    }
    lines
}

fn tell(label: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Null => lines.push(format!("{label}: -")),
        Value::String(text) if text.is_empty() => lines.push(format!("{label}: -")),
        Value::String(text) => {
            let mut text = text.lines();
            lines.push(format!("{label}: {}", text.next().unwrap_or_default()));
            lines.extend(text.map(|line| format!("    {line}")));
        }
        Value::Object(fields) if fields.is_empty() => lines.push(format!("{label}: -")),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| tell(&format!("{label} {name}"), value, lines));
        }
        other => lines.push(format!("{label}: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_one_text() {
        let text = canonical(&json!({ "b": [ { "z": 1, "a": "ü\n" } ], "a": null, "format": 1 }));
        assert_eq!(text, r#"{"a":null,"b":[{"a":"ü\n","z":1}],"format":1}"#);
        assert!(read(&text).is_ok());
        for other in [text.replace(':', ": "), format!("{text}\n"), r#"{"format":1,"a":1}"#.to_owned()] {
            assert!(read(&other).unwrap_err().contains("canonical"), "{other}");
        }
        assert!(read("yes").unwrap_err().contains("not JSON"));
        assert!(read(r#"{"format":2}"#).unwrap_err().contains("format"));
    }

    #[test]
    fn nothing_that_is_signed_is_left_out_of_what_is_shown() {
        let decision = json!({ "decision": "approve", "odd": { "deep": ["x", 7] }, "question": "one\ntwo" });
        let Value::Object(fields) = decision else { unreachable!() };
        assert_eq!(shown(&fields), ["decision: approve", "question: one", "    two", r#"odd deep: ["x",7]"#]);
    }
}
