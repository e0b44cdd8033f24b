//! A difference for a person at a terminal: styled lines as data. Texts of several lines are compared line by line.

use super::{Change, Difference, FieldChange, StepChange};
use crate::review::text::{Line, Style, command};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

/// Two values that stand in one line together.
const SHORT: usize = 60;

/// The whole difference without styles.
pub fn plain(difference: &Difference) -> String {
    lines(difference).iter().map(|line| line.text() + "\n").collect()
}

/// The whole difference.
pub fn lines(difference: &Difference) -> Vec<Line> {
    let mut out = Vec::new();
    if difference.equal {
        line(
            &mut out,
            [(Style::Good, format!("{}: no difference, both would do the same", difference.new.plan))],
        );
        return out;
    }
    head(difference, &mut out);
    for remark in &difference.attention {
        line(&mut out, [(Style::Danger, "  ! ".to_owned()), (Style::Plain, remark.clone())]);
    }
    for (title, changes) in [("Plan", &difference.plan), ("Parameters", &difference.params)] {
        if !changes.is_empty() {
            heading(&mut out, title);
            changes.iter().for_each(|change| field(4, change, &mut out));
        }
    }
    if !difference.steps.is_empty() {
        heading(&mut out, "Steps");
        difference.steps.iter().for_each(|change| step(change, &mut out));
    }
    if !difference.sections.is_empty() {
        heading(&mut out, "Parts of the files that differ");
        line(&mut out, [(Style::Plain, format!("    {}", difference.sections.join(", ")))]);
    }
    out.push(Line::default());
    line(&mut out, [(Style::Bold, summary(difference))]);
    out
}

fn line(out: &mut Vec<Line>, spans: impl IntoIterator<Item = (Style, String)>) {
    out.push(Line::of(spans));
}

fn heading(out: &mut Vec<Line>, title: &str) {
    out.push(Line::default());
    line(out, [(Style::Heading, title.to_owned())]);
}

fn head(difference: &Difference, out: &mut Vec<Line>) {
    let (old, new) = (&difference.old, &difference.new);
    line(out, [(Style::Heading, new.plan.clone())]);
    line(out, [(Style::Dim, "  - plan  ".to_owned()), (Style::Plain, old.plan_digest.clone())]);
    line(out, [(Style::Dim, "  + plan  ".to_owned()), (Style::Plain, new.plan_digest.clone())]);
}

/// `1 step added, 2 changed`
pub fn summary(difference: &Difference) -> String {
    let count = |change: Change| difference.steps.iter().filter(|step| step.change == change).count();
    let all = [
        (count(Change::Added), "added"),
        (count(Change::Removed), "removed"),
        (count(Change::Renamed), "renamed"),
        (count(Change::Changed), "changed"),
    ];
    let told: Vec<String> =
        all.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let steps =
        if told.is_empty() { "no step changed".to_owned() } else { format!("steps: {}", told.join(", ")) };
    let order = difference.steps.iter().any(|step| {
        step.change == Change::Changed && step.fields.iter().any(|change| change.field == "needs")
    });
    if order { format!("{steps}; the order changed") } else { steps }
}

fn step(change: &StepChange, out: &mut Vec<Line>) {
    let (mark, style) = match change.change {
        Change::Added => ("+", Style::Good),
        Change::Removed => ("-", Style::Danger),
        Change::Renamed => ("=", Style::Warning),
        Change::Changed => ("~", Style::Warning),
    };
    let was = change.was.as_ref().map(|was| format!("  was {was}")).unwrap_or_default();
    line(
        out,
        [
            (style, format!("  {mark} ")),
            (Style::Bold, change.id.clone()),
            (Style::Dim, format!("  {}, {}{was}", change.kind, change.effect)),
        ],
    );
    change.told().for_each(|one| field(6, one, out));
}

fn field(indent: usize, change: &FieldChange, out: &mut Vec<Line>) {
    let pad = " ".repeat(indent);
    let name = words(&change.field);
    let (old, new) = (shown(&change.old), shown(&change.new));
    let long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim_end().contains('\n'));
    match (&old, &new) {
        _ if long(&old) || long(&new) => {
            line(out, [(Style::Dim, format!("{pad}{name}"))]);
            let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
            for change in TextDiff::from_lines(closed(&old), closed(&new)).iter_all_changes() {
                let (mark, style) = match change.tag() {
                    ChangeTag::Delete => ("-", Style::Danger),
                    ChangeTag::Insert => ("+", Style::Good),
                    ChangeTag::Equal => (" ", Style::Dim),
                };
                line(out, [(style, format!("{pad}  {mark} {}", change.value().trim_end()))]);
            }
        }
        (Some(old), Some(new)) if old.chars().count() + new.chars().count() < SHORT => line(
            out,
            [
                (Style::Dim, format!("{pad}{name}  ")),
                (Style::Danger, old.clone()),
                (Style::Dim, " -> ".to_owned()),
                (Style::Good, new.clone()),
            ],
        ),
        (Some(old), Some(new)) => {
            line(out, [(Style::Dim, format!("{pad}{name}"))]);
            line(out, [(Style::Danger, format!("{pad}  - {old}"))]);
            line(out, [(Style::Good, format!("{pad}  + {new}"))]);
        }
        (None, Some(new)) => {
            line(out, [(Style::Dim, format!("{pad}{name}")), (Style::Good, format!("  + {new}"))])
        }
        (Some(old), None) => {
            line(out, [(Style::Dim, format!("{pad}{name}")), (Style::Danger, format!("  - {old}"))])
        }
        (None, None) => {}
    }
}

/// Every line with its end, so that a last line is like the others.
fn closed(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{}\n", text.trim_end()) }
}

/// A field's name as a dry run calls it: `statement`, `check every user has a wallet: sql`, `after`.
pub fn words(field: &str) -> String {
    let field = field.strip_prefix("action.").unwrap_or(field);
    match field {
        "needs" => "after".to_owned(),
        "reason" => "decision".to_owned(),
        "approval.who" => "who".to_owned(),
        _ => match field.strip_prefix("checks[").and_then(|rest| rest.rsplit_once(']')) {
            Some((name, rest)) => format!("check {name}: {}", rest.trim_start_matches('.')),
            None => {
                field.strip_prefix("undo_action.").map_or(field.to_owned(), |rest| format!("undo: {rest}"))
            }
        },
    }
}

/// None: it is not there.
pub fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(if *flag { "yes" } else { "no" }.to_owned()),
        Value::Array(items) if items.is_empty() => Some("(nothing)".to_owned()),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let words: Vec<String> = items.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            Some(command(&words))
        }
        value => Some(value.to_string()),
    }
}
