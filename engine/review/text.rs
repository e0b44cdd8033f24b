//! A review for a person at a terminal: styled lines as data, at most 100 columns, the same bytes for the same review.
//! What a style looks like is the terminal's affair.

use super::{Field, Review, Reviewed, Shown};
use serde_json::Value;
use std::collections::HashMap;

/// The widest line.
pub const WIDTH: usize = 100;
const NAME_WIDTH: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Dim,
    Bold,
    Heading,
    Good,
    Warning,
    Danger,
    /// SQL, scripts, arguments.
    Code,
    /// `‹…›`: a value that is not known yet.
    Late,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    pub spans: Vec<(Style, String)>,
}

impl Line {
    pub(super) fn of(spans: impl IntoIterator<Item = (Style, String)>) -> Self {
        Self { spans: spans.into_iter().filter(|(_, text)| !text.is_empty()).collect() }
    }

    /// Without styles.
    pub fn text(&self) -> String {
        self.spans.iter().map(|(_, text)| text.as_str()).collect::<String>().trim_end().to_owned()
    }
}

/// The whole review without styles.
pub fn plain(review: &Review) -> String {
    lines(review).iter().map(|line| line.text() + "\n").collect()
}

/// The whole review.
pub fn lines(review: &Review) -> Vec<Line> {
    let mut out = Page::default();
    out.head(review);
    let by_id: HashMap<&str, &Reviewed> = review.steps.iter().map(|step| (step.id.as_str(), step)).collect();
    for (number, wave) in review.waves.iter().enumerate() {
        out.blank();
        let together =
            if wave.len() > 1 { format!("  {} steps, side by side", wave.len()) } else { String::new() };
        out.push([(Style::Heading, format!("Wave {}", number + 1)), (Style::Dim, together)]);
        for id in wave {
            if let Some(step) = by_id.get(id.as_str()) {
                out.step(step);
            }
        }
    }
    out.blank();
    out.end(review);
    out.lines
}

#[derive(Default)]
struct Page {
    lines: Vec<Line>,
}

impl Page {
    fn push(&mut self, spans: impl IntoIterator<Item = (Style, String)>) {
        self.lines.push(Line::of(spans));
    }

    fn blank(&mut self) {
        self.lines.push(Line::default());
    }

    /// `name   text`, the text wrapped under itself.
    fn entry(&mut self, indent: usize, name: &str, style: Style, text: &str) {
        let width = NAME_WIDTH.max(name.chars().count() + 1);
        let room = WIDTH.saturating_sub(indent + width).max(20);
        let mut first = true;
        for written in text.trim_end().lines() {
            for part in wrap(written, room) {
                let label = if first { name } else { "" };
                let label = format!("{}{label:<width$}", " ".repeat(indent));
                let mut spans = vec![(Style::Dim, label)];
                spans.extend(late(style, &part));
                self.push(spans);
                first = false;
            }
        }
        if first {
            self.push([(Style::Dim, format!("{}{name}", " ".repeat(indent)))]);
        }
    }

    /// A title for the end of a line that is so long already, or for lines of its own.
    fn titled(&self, title: Option<&String>, before: usize) -> (String, Option<String>) {
        let Some(title) = title else { return (String::new(), None) };
        let fits = before + 2 + title.chars().count() <= WIDTH && !title.contains('\n');
        if fits { (format!("  {title}"), None) } else { (String::new(), Some(title.clone())) }
    }

    fn head(&mut self, review: &Review) {
        let title = self.titled(review.title.as_ref(), review.plan.chars().count());
        self.push([(Style::Heading, review.plan.clone()), (Style::Plain, title.0)]);
        title.1.into_iter().for_each(|title| self.entry(2, "title", Style::Plain, &title));
        match &review.digest {
            Some(digest) => self.entry(2, "digest", Style::Bold, digest),
            None => {
                let missing = review.missing.join(", ");
                self.entry(2, "digest", Style::Warning, &format!("none yet: no value for {missing}"));
            }
        }
        self.entry(2, "plan", Style::Dim, &review.plan_digest);
        if let Some(history) = &review.history {
            self.entry(2, "history", Style::Plain, history);
        }
        if let Some(severity) = &review.severity {
            self.entry(2, "severity", Style::Plain, severity);
        }
        for (at, (name, value)) in review.params.iter().enumerate() {
            let label = if at == 0 { "params" } else { "" };
            let shown = match value {
                Value::Null if review.missing.contains(name) => format!("‹param {name}›"),
                Value::Null => "none".to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            self.entry(2, label, Style::Plain, &format!("{name} = {shown}"));
        }
    }

    fn step(&mut self, step: &Reviewed) {
        let (mark, style) = match step.effect.as_str() {
            "reads" => ("·", Style::Good),
            "reversible" => ("~", Style::Warning),
            _ => ("!", Style::Danger),
        };
        let before = step.id.chars().count() + step.kind.len() + step.effect.len() + 8;
        let title = self.titled(step.title.as_ref(), before);
        self.push([
            (style, format!("  {mark} ")),
            (Style::Bold, step.id.clone()),
            (Style::Dim, format!("  {}, ", step.kind)),
            (style, step.effect.clone()),
            (Style::Plain, title.0),
        ]);
        title.1.into_iter().for_each(|title| self.entry(6, "title", Style::Plain, &title));
        if !step.needs.is_empty() {
            self.entry(6, "after", Style::Plain, &step.needs.join(", "));
        }
        if let Some(window) = &step.window {
            self.entry(6, "window", Style::Plain, window);
        }
        match step.decision.word() {
            "run" => {
                if let Some(reason) = step.decision.reason() {
                    self.entry(6, "runs", Style::Plain, reason);
                }
            }
            "skip" => self.entry(6, "skipped", Style::Warning, step.decision.reason().unwrap_or_default()),
            _ => self.entry(6, "may run", Style::Warning, step.decision.reason().unwrap_or_default()),
        }
        if let Some(reason) = &step.unguarded {
            self.entry(6, "unguarded", Style::Danger, reason);
        }
        if let Some(timeout) = &step.timeout {
            self.entry(6, "timeout", Style::Plain, timeout);
        }
        if let Some(retry) = &step.retry {
            self.entry(6, "retry", Style::Plain, retry);
        }
        if step.continue_on_failure {
            self.entry(6, "on failure", Style::Warning, "the steps that need it run all the same");
        }
        self.fields(6, &step.action);
        if let Some(approval) = &step.approval {
            self.entry(6, "who", Style::Bold, &approval.who);
            let own = if approval.allow_requester { "may approve" } else { "does not count" };
            self.entry(6, "requester", Style::Plain, own);
            if let Some(expires) = &approval.expires {
                self.entry(
                    6,
                    "expires",
                    Style::Plain,
                    &format!("{expires}; without a decision it counts as rejected"),
                );
            }
        }
        if let Some(undo) = &step.undo {
            let style = if step.effect == "irreversible" { Style::Danger } else { Style::Plain };
            self.entry(6, "undo", style, undo);
            self.fields(8, step.undo_action.as_deref().unwrap_or_default());
        }
        if let Some(usual) = step.usual {
            self.entry(6, "estimate", Style::Dim, &usual.words());
        }
    }

    fn fields(&mut self, indent: usize, fields: &[Field]) {
        for field in fields {
            self.field(indent, field);
        }
    }

    fn field(&mut self, indent: usize, field: &Field) {
        let name = field.name.as_str();
        match &field.shown {
            Shown::Text(text) => self.entry(indent, name, Style::Plain, text),
            Shown::Number(number) => self.entry(indent, name, Style::Plain, &number.to_string()),
            Shown::Flag(true) => self.entry(indent, name, Style::Plain, "yes"),
            Shown::Flag(false) => self.entry(indent, name, Style::Plain, "no"),
            Shown::Sql(text) | Shown::Script(text) => self.entry(indent, name, Style::Code, text),
            Shown::Argv(items) => self.entry(indent, name, Style::Code, &command(items)),
            Shown::List(items) => self.entry(indent, name, Style::Plain, &items.join(", ")),
            Shown::Words(items) => {
                for (at, item) in items.iter().enumerate() {
                    let name = if at == 0 { name } else { "" };
                    let parts = wrap(item, WIDTH - indent - NAME_WIDTH - 3);
                    let item = format!("{}. {}", at + 1, parts.join("\n   "));
                    self.entry(indent, name, Style::Plain, &item);
                }
            }
            Shown::Data(value) if matches!(name, "expect" | "until") => {
                self.entry(indent, name, Style::Code, &conditions(value));
            }
            Shown::Data(value) => self.entry(indent, name, Style::Code, &value.to_string()),
            Shown::Fields(fields) => match fields.as_slice() {
                [] => {}
                fields => {
                    self.push([(Style::Dim, format!("{}{name}", " ".repeat(indent)))]);
                    self.fields(indent + 2, fields);
                }
            },
            Shown::Groups(groups) => {
                for group in groups {
                    let title = group.first().map(|field| &field.shown);
                    let Some(Shown::Text(title)) = title else { continue };
                    self.entry(indent, "check", Style::Bold, title);
                    self.fields(indent + 2, group.get(1..).unwrap_or_default());
                }
            }
        }
    }

    fn end(&mut self, review: &Review) {
        let count = |effect: &str| review.steps.iter().filter(|step| step.effect == effect).count();
        let waves = review.waves.len();
        let summary = format!(
            "{} {} in {waves} {}: {} read, {} can be undone, {} cannot",
            review.steps.len(),
            if review.steps.len() == 1 { "step" } else { "steps" },
            if waves == 1 { "wave" } else { "waves" },
            count("reads"),
            count("reversible"),
            count("irreversible")
        );
        self.push([(Style::Bold, summary)]);
        match &review.no_return {
            None => self.push([(Style::Good, "No point of no return: every step has a way back".to_owned())]),
            Some(point) => {
                let before = "Point of no return: , ".len() + point.step.chars().count();
                let fits = before + point.reason.chars().count() <= WIDTH && !point.reason.contains('\n');
                let reason = if fits { format!(", {}", point.reason) } else { String::new() };
                self.push([
                    (Style::Danger, "Point of no return: ".to_owned()),
                    (Style::Bold, point.step.clone()),
                    (Style::Plain, reason),
                ]);
                if !fits {
                    self.entry(2, "why", Style::Plain, &point.reason);
                }
            }
        }
    }
}

/// A command as one would type it.
pub fn command(items: &[String]) -> String {
    let quoted: Vec<String> = items
        .iter()
        .map(|item| {
            let simple = !item.is_empty()
                && item.chars().all(|c| c.is_alphanumeric() || "-_./:=@%+,‹›".contains(c))
                || item.starts_with('‹') && item.ends_with('›');
            if simple { item.clone() } else { format!("'{}'", item.replace('\'', "'\\''")) }
        })
        .collect();
    quoted.join(" ")
}

/// `at least 1`, `status 200, json {...}`
fn conditions(value: &Value) -> String {
    let Value::Object(map) = value else { return value.to_string() };
    let each = map.iter().map(|(name, value)| match (name.as_str(), value) {
        ("equals", value) => value.to_string(),
        ("empty", Value::Bool(true)) => "no rows".to_owned(),
        ("empty", Value::Bool(false)) => "some rows".to_owned(),
        (name, value) => format!("{} {value}", name.replace('_', " ")),
    });
    each.collect::<Vec<_>>().join(", ")
}

/// At spaces where there are any, never wider than the room; leading blanks are kept.
fn wrap(text: &str, room: usize) -> Vec<String> {
    if text.chars().count() <= room {
        return vec![text.to_owned()];
    }
    let mut lines = Vec::new();
    let mut rest: Vec<char> = text.chars().collect();
    let indent = rest.iter().take_while(|c| **c == ' ').count().min(room / 2);
    while rest.len() > room {
        let space = rest[..=room].iter().rposition(|c| *c == ' ').filter(|at| *at > indent);
        let cut = space.unwrap_or(room);
        lines.push(rest[..cut].iter().collect::<String>());
        let skip = usize::from(space.is_some());
        let tail: Vec<char> = rest[cut + skip..].to_vec();
        rest = std::iter::repeat_n(' ', indent).chain(tail).collect();
    }
    lines.push(rest.into_iter().collect());
    lines
}

/// Marks the values that are not known yet.
fn late(style: Style, text: &str) -> Vec<(Style, String)> {
    let mut spans = Vec::new();
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once('‹') {
        let Some((name, after)) = tail.split_once('›') else { break };
        spans.push((style, before.to_owned()));
        spans.push((Style::Late, format!("‹{name}›")));
        rest = after;
    }
    spans.push((style, rest.to_owned()));
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_within_the_room() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("  indented text", 10), ["  indented", "  text"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn commands_are_shown_as_typed() {
        let items = ["a", "b c", "", "it's", "‹param x›", "x=‹steps.a.b›"].map(str::to_owned);
        assert_eq!(command(&items), r"a 'b c' '' 'it'\''s' ‹param x› x=‹steps.a.b›");
    }
}
