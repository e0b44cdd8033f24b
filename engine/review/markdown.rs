//! A review for a pull request: Markdown, the same bytes for the same review.

use super::text::command;
use super::{Field, Review, Reviewed, Shown};
use crate::plan::Severity;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write;

/// The whole review.
pub fn markdown(review: &Review) -> String {
    let mut out = String::new();
    let title = review.title.as_deref().unwrap_or("dry run");
    let _ = writeln!(out, "# {}: {}\n", escape(&review.plan), escape(title));
    head(review, &mut out);
    table(review, &mut out);
    for step in &review.steps {
        section(step, &mut out);
    }
    findings(review, &mut out);
    out
}

fn head(review: &Review, out: &mut String) {
    let _ = match &review.digest {
        Some(digest) => writeln!(out, "- Digest: `{digest}`"),
        None => writeln!(out, "- Digest: none yet, no value for {}", review.missing.join(", ")),
    };
    let _ = writeln!(out, "- Plan digest: `{}`", review.plan_digest);
    if let Some(history) = &review.history {
        let _ = writeln!(out, "- History: {}", escape(history));
    }
    if let Some(severity) = &review.severity {
        let _ = writeln!(out, "- Severity: {}", escape(severity));
    }
    let _ = match &review.no_return {
        None => writeln!(out, "- Point of no return: none, every step has a way back"),
        Some(point) => writeln!(out, "- **Point of no return: `{}`**, {}", point.step, escape(&point.reason)),
    };
    for (name, value) in &review.params {
        let shown = match value {
            Value::Null if review.missing.contains(name) => format!("‹param {name}›"),
            Value::Null => "none".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let _ = writeln!(out, "- Parameter `{name}`: {}", code(&shown));
    }
    out.push('\n');
}

fn table(review: &Review, out: &mut String) {
    out.push_str("| wave | step | does | effect | after | decision |\n|---|---|---|---|---|---|\n");
    let by_id: HashMap<&str, &Reviewed> = review.steps.iter().map(|step| (step.id.as_str(), step)).collect();
    for (number, wave) in review.waves.iter().enumerate() {
        for id in wave {
            let Some(step) = by_id.get(id.as_str()) else { continue };
            let effect = if step.effect == "irreversible" { "**irreversible**" } else { &step.effect };
            let _ = writeln!(
                out,
                "| {} | `{}` | {} | {effect} | {} | {} |",
                number + 1,
                step.id,
                cell(step.title.as_deref().unwrap_or(&step.kind)),
                cell(&step.needs.join(", ")),
                step.decision.word(),
            );
        }
    }
}

fn section(step: &Reviewed, out: &mut String) {
    let _ = writeln!(out, "\n## `{}` ({}, {})\n", step.id, step.kind, step.effect);
    if let Some(reason) = step.decision.reason() {
        let _ = writeln!(out, "- {}: {}", step.decision.word(), escape(reason));
    }
    if let Some(window) = &step.window {
        let _ = writeln!(out, "- window: {window}");
    }
    if let Some(reason) = &step.unguarded {
        let _ = writeln!(out, "- **unguarded**: {}", escape(reason));
    }
    if let Some(timeout) = &step.timeout {
        let _ = writeln!(out, "- timeout: {timeout}");
    }
    if let Some(retry) = &step.retry {
        let _ = writeln!(out, "- retry: {retry}");
    }
    if step.continue_on_failure {
        out.push_str("- a failure does not stop the steps that need it\n");
    }
    fields(0, &step.action, out);
    if let Some(approval) = &step.approval {
        let own = if approval.allow_requester { "may approve" } else { "does not count" };
        let _ = writeln!(out, "- approval by {}; the requester {own}", escape(&approval.who));
    }
    if let Some(undo) = &step.undo {
        let _ = writeln!(out, "- undo: {}", escape(undo));
        fields(1, step.undo_action.as_deref().unwrap_or_default(), out);
    }
    if let Some(usual) = step.usual {
        let _ = writeln!(out, "- estimate: {}", usual.words());
    }
}

fn fields(depth: usize, fields: &[Field], out: &mut String) {
    fields.iter().for_each(|shown| field(depth, shown, out));
}

fn field(depth: usize, field: &Field, out: &mut String) {
    let (name, pad) = (field.name.as_str(), "  ".repeat(depth));
    let _ = match &field.shown {
        Shown::Text(text) if text.contains('\n') => return block(&pad, name, "", text, out),
        Shown::Text(text) => writeln!(out, "{pad}- {name}: {}", code(text)),
        Shown::Number(number) => writeln!(out, "{pad}- {name}: {number}"),
        Shown::Flag(flag) => writeln!(out, "{pad}- {name}: {}", if *flag { "yes" } else { "no" }),
        Shown::Sql(text) => return block(&pad, name, "sql", text, out),
        Shown::Script(text) => return block(&pad, name, "sh", text, out),
        Shown::Argv(items) => return block(&pad, name, "sh", &command(items), out),
        Shown::List(items) => writeln!(out, "{pad}- {name}: {}", code(&items.join(", "))),
        Shown::Words(items) => {
            let _ = writeln!(out, "{pad}- {name}:");
            for (at, item) in items.iter().enumerate() {
                let _ = writeln!(out, "{pad}  {}. {}", at + 1, escape(item));
            }
            return;
        }
        Shown::Data(value) => writeln!(out, "{pad}- {name}: {}", code(&value.to_string())),
        Shown::Fields(inner) => {
            let _ = writeln!(out, "{pad}- {name}:");
            return fields(depth + 1, inner, out);
        }
        Shown::Groups(groups) => {
            for group in groups {
                if let Some(Field { shown: Shown::Text(title), .. }) = group.first() {
                    let _ = writeln!(out, "{pad}- check: {}", escape(title));
                }
                fields(depth + 1, group.get(1..).unwrap_or_default(), out);
            }
            return;
        }
    };
}

/// A fenced block that its own text cannot close.
fn block(pad: &str, name: &str, language: &str, text: &str, out: &mut String) {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    let _ = writeln!(out, "{pad}- {name}:\n{pad}  {fence}{language}");
    for line in text.trim_end().lines() {
        let _ = writeln!(out, "{}", format!("{pad}  {line}").trim_end());
    }
    let _ = writeln!(out, "{pad}  {fence}");
}

fn findings(review: &Review, out: &mut String) {
    if review.findings.is_empty() {
        return;
    }
    out.push_str("\n## Findings\n\n");
    for finding in &review.findings {
        let severity = if finding.severity == Severity::Error { "error" } else { "warning" };
        let place = match (&finding.file, finding.line) {
            (Some(file), Some(line)) => format!(" {file}:{line}"),
            _ => String::new(),
        };
        let _ = writeln!(out, "- **{severity}**{place}: {} (`{}`)", escape(&finding.message), finding.code);
    }
}

/// Inline code whatever it holds.
pub(super) fn code(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 || text.is_empty() { " " } else { "" };
    format!("{fence}{pad}{}{pad}{fence}", text.replace('\n', " "))
}

/// Text that stays text: nothing in it becomes a link, an image or a tag.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\*_[]<>|#!".contains(c) {
            out.push('\\');
        }
        out.push(if c == '\n' { ' ' } else { c });
    }
    out
}

fn cell(text: &str) -> String {
    escape(text)
}
