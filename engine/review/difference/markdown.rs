//! A difference for a pull request: Markdown, the same bytes for the same difference.

use super::text::{shown, summary, words};
use super::{Change, Difference, FieldChange, StepChange};
use crate::review::markdown::{code, escape};
use std::fmt::Write;

/// The whole difference.
pub fn markdown(difference: &Difference) -> String {
    let (old, new) = (&difference.old, &difference.new);
    let mut out = format!("# {}: what changed\n\n", escape(&new.plan));
    if difference.equal {
        out.push_str("No difference: both would do the same.\n");
        return out;
    }
    let _ = writeln!(out, "{}.\n", summary(difference));
    let _ = writeln!(out, "| | before | now |\n|---|---|---|");
    let _ = writeln!(out, "| plan digest | `{}` | `{}` |", short(&old.plan_digest), short(&new.plan_digest));
    let _ = writeln!(out, "| steps | {} | {} |", old.steps, new.steps);
    let point =
        |side: &super::Side| side.no_return.as_ref().map_or("none".to_owned(), |at| format!("`{}`", at.step));
    let _ = writeln!(out, "| point of no return | {} | {} |", point(old), point(new));
    list(
        "Look at this first",
        difference.attention.iter().map(|text| format!("**{}**", escape(text))),
        &mut out,
    );
    list("Plan", difference.plan.iter().map(inline), &mut out);
    list("Parameters", difference.params.iter().map(inline), &mut out);
    difference.steps.iter().for_each(|change| step(change, &mut out));
    list("Parts of the files that differ", difference.sections.iter().map(|name| code(name)), &mut out);
    out
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn list(title: &str, items: impl Iterator<Item = String>, out: &mut String) {
    let items: Vec<String> = items.collect();
    if !items.is_empty() {
        let _ = writeln!(out, "\n## {title}\n");
        items.iter().for_each(|item| {
            let _ = writeln!(out, "- {item}");
        });
    }
}

fn inline(change: &FieldChange) -> String {
    let value = |value| shown(value).map_or("nothing".to_owned(), |text| code(&text));
    format!("{}: {} instead of {}", escape(&words(&change.field)), value(&change.new), value(&change.old))
}

fn step(change: &StepChange, out: &mut String) {
    let what = match (change.change, &change.was) {
        (Change::Added, _) => "is new".to_owned(),
        (Change::Removed, _) => "is gone".to_owned(),
        (Change::Renamed, was) => format!("was `{}`", was.as_deref().unwrap_or_default()),
        (Change::Changed, _) => "changed".to_owned(),
    };
    let _ = writeln!(out, "\n## `{}` {what} ({}, {})", change.id, change.kind, change.effect);
    let mut lines = Vec::new();
    for field in change.told() {
        let name = words(&field.field);
        for (mark, value) in [('-', shown(&field.old)), ('+', shown(&field.new))] {
            let Some(value) = value else { continue };
            for (at, text) in value.trim_end().lines().enumerate() {
                let label = if at == 0 { format!("{name}: ") } else { "  ".to_owned() };
                lines.push(format!("{mark} {label}{text}"));
            }
        }
    }
    if lines.is_empty() {
        return;
    }
    let text = lines.join("\n");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    let _ = writeln!(out, "\n{fence}diff\n{text}\n{fence}");
}
