//! What a run proved and did, out of the outputs of its steps: checks, approvals, backups, statements.

use super::outcome::{number, text};
use crate::plan::template::{Piece, pieces};
use crate::plan::{Action, Question, Step, StepId, action};
use crate::run::{Ask, Decision, Entry, Event, Record, SentSql, Signed, State, StepState, keys_of};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

/// Characters of what a check found.
const LONGEST_WORD: usize = 300;

/// One check and what it found.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    pub step: StepId,
    pub name: String,
    pub passed: bool,
    /// Nobody looked, and the plan lets that pass.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub left_out: bool,
    /// Its failure does not fail the run.
    pub report_only: bool,
    /// What it found, and what was wanted, as it told it.
    pub found: String,
    pub wanted: String,
    /// Rows that should not be there, a line each.
    pub rows: Vec<String>,
    /// The same as a table of text, for people.
    #[serde(skip)]
    pub table: Vec<String>,
}

/// A person's decision.
#[derive(Debug, Clone, Serialize)]
pub struct Approval {
    pub step: StepId,
    pub question: String,
    pub by: String,
    /// As the operating system calls them.
    pub account: String,
    pub approved: bool,
    pub comment: String,
    pub at: Timestamp,
    /// `signed by ssh-ed25519 (SHA256:...), verified`; None: the operating system's word for it alone.
    pub signature: Option<String>,
    pub signed: Option<Signature>,
    /// In an emergency, past those who should have decided: why.
    pub break_glass: Option<String>,
}

/// A signature of a decision, proved when the report was made.
#[derive(Debug, Clone, Serialize)]
pub struct Signature {
    pub verified: bool,
    /// As in `authorized_keys`.
    pub key: String,
    pub fingerprint: String,
    /// What was signed, byte for byte.
    pub text: String,
    pub signature: String,
}

/// What is lost.
#[derive(Debug, Clone, Serialize)]
pub struct Loss {
    pub step: StepId,
    pub summary: String,
    /// It came to it: a database was exchanged or overwritten afterwards, and that stands.
    pub happened: bool,
    /// The run is over, and it did not come to it: it was undone, or nothing was exchanged.
    pub averted: bool,
}

/// A backup that was taken.
#[derive(Debug, Clone, Serialize)]
pub struct Backup {
    pub step: StepId,
    pub path: String,
    pub bytes: Option<u64>,
    pub tables: Option<u64>,
    pub sha256: Option<String>,
    pub taken_at: Option<String>,
}

/// SQL that was run.
#[derive(Debug, Clone, Serialize)]
pub struct Statement {
    pub step: StepId,
    /// As it was sent, with its values; secrets by their names.
    pub sql: String,
    /// Values stand in it that are not recorded (the journal is of an older version): `sql` is what the author wrote.
    pub as_written: bool,
    /// Of the text as it was sent, where values stand in it and no secret does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its end is not shown.
    pub cut: bool,
    /// It took the step back.
    pub undo: bool,
    pub rows: Option<u64>,
    pub read_only: bool,
}

impl Statement {
    /// What a reader must know of the text.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.as_written {
            notes.push(
                "as the plan has it: this journal does not hold the values that were put in".to_owned(),
            );
        }
        if self.cut {
            notes.push("its end is left out".to_owned());
        }
        notes.extend(self.sha256.as_ref().map(|digest| format!("SHA-256 as sent: {digest}")));
        notes
    }
}

/// Steps that gave results, with what they gave.
fn with_results(state: &State) -> impl Iterator<Item = (&Step, &Entry)> {
    let steps = state.shape.flow.steps().iter();
    steps
        .filter_map(|step| Some((step.as_ref(), state.entry(&step.id.value)?)))
        .filter(|(_, entry)| !entry.outputs.is_empty())
}

pub fn checks(state: &State) -> Vec<Checked> {
    let mut found = Vec::new();
    for step in state.shape.flow.steps() {
        let (Action::Verify(verify), Some(entry)) = (&step.action.value, state.entry(&step.id.value)) else {
            continue;
        };
        for result in results(entry) {
            found.push(Checked {
                step: step.id.value.clone(),
                name: word(result, &["name"]).unwrap_or_else(|| "check".to_owned()),
                passed: result.get("passed").and_then(Value::as_bool).unwrap_or(false),
                left_out: result.get("left_out").and_then(Value::as_bool).unwrap_or(false),
                report_only: verify.report_only,
                found: word(result, &["actual", "value"]).unwrap_or_default(),
                wanted: word(result, &["expected"]).unwrap_or_default(),
                rows: rows(result),
                table: super::rows::table(result),
            });
        }
    }
    found
}

/// What the checks of a step found. A step that failed has no outputs; it noted its results.
pub fn results(entry: &Entry) -> impl Iterator<Item = &Value> {
    let noted = entry.facts.iter().rev().find(|fact| fact.name == "results").map(|fact| &fact.data);
    let outputs = entry.outputs.get("results").or_else(|| noted?.get("results"));
    outputs.and_then(Value::as_array).into_iter().flatten()
}

/// The first of these fields that is there, as text; the journal has the whole of a long one.
fn word(result: &Value, names: &[&str]) -> Option<String> {
    let found = names.iter().find_map(|name| result.get(name).filter(|value| !value.is_null()))?;
    let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
    Some(match text.char_indices().nth(LONGEST_WORD) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    })
}

fn rows(result: &Value) -> Vec<String> {
    let rows = result.get("rows").and_then(Value::as_array);
    rows.into_iter().flatten().take(20).map(Value::to_string).collect()
}

/// What a swap loses, as the steps that counted it put it.
pub fn losses(state: &State) -> Vec<Loss> {
    let counts = |step: &&Step| match &step.action.value {
        Action::Verify(verify) => {
            verify.checks.iter().any(|check| matches!(check.question.value, Question::Lost(_)))
        }
        _ => false,
    };
    let happened = |counted: &Entry| {
        state.shape.flow.steps().iter().any(|step| {
            let loses = matches!(step.action.value, Action::Swap(_) | Action::Copy(_) | Action::Restore(_));
            // One that could not be undone, or was left, did what it did.
            let entry = state.entry(&step.id.value).filter(|entry| entry.state.stands());
            loses && entry.is_some_and(|entry| entry.finished_at >= counted.finished_at)
        })
    };
    // An undo that lost something was agreed to with that.
    let with_loss = state.entries().any(|(_, entry)| entry.accepted_loss.is_some());
    with_results(state)
        .filter(|(step, _)| counts(step))
        .filter_map(|(step, entry)| {
            let (step, summary) = (step.id.value.clone(), text(&entry.outputs, "summary")?);
            let happened = happened(entry);
            let averted = !happened && state.result.is_some() && !with_loss;
            Some(Loss { step, summary, happened, averted })
        })
        .collect()
}

/// Every decision, also those of questions that were asked again since.
pub fn approvals(state: &State, records: &[Record]) -> Vec<Approval> {
    let mut asks: HashMap<&StepId, &Ask> = HashMap::new();
    let mut found = Vec::new();
    for record in records {
        if let Event::ApprovalRequested { step, ask, .. } = &record.event {
            asks.insert(step, ask);
        }
        let (Some(step), Some(decision)) = (record.event.step(), Decision::of(record)) else { continue };
        let ask = asks.get(step);
        let signed = decision.signed.as_ref().map(|signed| proved(state, ask.copied(), &decision.by, signed));
        found.push(Approval {
            step: step.clone(),
            question: ask.map(|ask| ask.message.clone()).unwrap_or_default(),
            account: format!("uid {} on {}", decision.actor.uid, decision.actor.host),
            approved: decision.approved,
            at: decision.at,
            signature: signed.as_ref().map(words),
            signed,
            by: decision.by,
            comment: decision.comment,
            break_glass: decision.break_glass,
        });
    }
    found
}

fn proved(state: &State, ask: Option<&Ask>, by: &str, signed: &Signed) -> Signature {
    let keys = ask.map(|ask| keys_of(state, ask, by)).unwrap_or_default();
    let signer = signed.verify(keys.iter().map(String::as_str)).ok();
    Signature {
        verified: signer.is_some(),
        key: signer.as_ref().map(|signer| signer.key.clone()).unwrap_or_default(),
        fingerprint: signer.map(|signer| signer.fingerprint).unwrap_or_default(),
        text: signed.text.clone(),
        signature: signed.signature.clone(),
    }
}

fn words(signed: &Signature) -> String {
    let kind = signed.key.split_whitespace().next().unwrap_or_default();
    match signed.verified {
        true => format!("signed by {kind} ({}), verified", signed.fingerprint),
        false => "signed, but the signature does not verify with the keys of the site file".to_owned(),
    }
}

pub fn backups(state: &State) -> Vec<Backup> {
    with_results(state)
        .filter(|(step, _)| matches!(step.action.value, Action::Backup(_)))
        .filter_map(|(step, entry)| {
            Some(Backup {
                step: step.id.value.clone(),
                path: text(&entry.outputs, "path")?,
                bytes: number(&entry.outputs, "bytes"),
                tables: number(&entry.outputs, "tables"),
                sha256: text(&entry.outputs, "sha256"),
                taken_at: text(&entry.outputs, "taken_at"),
            })
        })
        .collect()
}

pub fn statements(state: &State) -> Vec<Statement> {
    let mut found = Vec::new();
    for step in state.shape.flow.steps() {
        let Some(entry) = state.entry(&step.id.value) else { continue };
        let undone = matches!(entry.state, StepState::Undone);
        if !(undone || entry.state.stands()) {
            continue;
        }
        let told = |action: &Action, undo: bool| {
            let Action::Sql(sql) = action else { return None };
            let told = told(written(state, sql)?, SentSql::of(entry, undo));
            Some(Statement { step: step.id.value.clone(), read_only: sql.read_only, undo, ..told })
        };
        let rows = number(&entry.outputs, "row_count");
        found.extend(told(&step.action.value, false).map(|told| Statement { rows, ..told }));
        if let Some(undo) = step.undo.as_ref().filter(|_| undone) {
            found.extend(told(&undo.action.value, true));
        }
    }
    found
}

/// The text as the author wrote it.
fn written(state: &State, sql: &action::Sql) -> Option<String> {
    match (&sql.statement, &sql.file) {
        (Some(statement), _) => Some(statement.raw.clone()),
        (None, Some(file)) => Some(state.shape.loaded.files.get(&file.raw)?.to_string()),
        (None, None) => None,
    }
}

/// What was noted; else what the author wrote, which is the same where no value stands in it.
fn told(written: String, sent: Option<SentSql>) -> Statement {
    let is_value = |piece: &Piece<'_>| matches!(piece, Piece::Expression(..));
    let as_written = sent.is_none() && pieces(&written).is_ok_and(|pieces| pieces.iter().any(is_value));
    let sent = sent.unwrap_or(SentSql { sql: written, sha256: None, cut: false });
    Statement {
        step: StepId::new(""),
        sql: sent.sql,
        as_written,
        sha256: sent.sha256,
        cut: sent.cut,
        undo: false,
        rows: None,
        read_only: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A journal of before has the plan's text alone: said, where values stand in it.
    #[test]
    fn what_was_sent_is_told_and_what_is_not_recorded_is_said() {
        let older = told("DELETE FROM t WHERE id = {{ params.id }}".to_owned(), None);
        assert!(older.as_written && older.notes()[0].contains("does not hold the values"));
        let plain = told("DELETE FROM t".to_owned(), None);
        assert!(!plain.as_written && plain.notes().is_empty());
        let sent = SentSql {
            sql: "DELETE FROM t WHERE id = 7".to_owned(),
            sha256: Some("ab".to_owned()),
            cut: true,
        };
        let now = told("DELETE FROM t WHERE id = {{ params.id }}".to_owned(), Some(sent));
        assert_eq!(now.sql, "DELETE FROM t WHERE id = 7");
        assert_eq!(now.notes(), ["its end is left out", "SHA-256 as sent: ab"]);
    }
}
