//! What is wrong with a plan: a stable code, the place, the reason and the remedy. Data; how it looks is terminal/'s.

use super::source::{Sources, Span};
use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// One fault in a plan, a site file or the values given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable: `runplan::check::unknown_need`.
    pub code: &'static str,
    pub severity: Severity,
    pub message: String,
    /// None when the fault is in no file (a value given on the command line).
    pub span: Option<Span>,
    /// What to say right at the place.
    pub label: String,
    pub help: Option<String>,
}

impl Finding {
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            span: Some(span),
            label: String::new(),
            help: None,
        }
    }

    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// A fault that no file shows.
    pub fn unplaced(code: &'static str, message: impl Into<String>) -> Self {
        Self { span: None, ..Self::error(code, Span::default(), message) }
    }

    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// A finding as other programs read it: lines and columns from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Placed {
    pub code: &'static str,
    pub severity: Severity,
    pub message: String,
    pub help: Option<String>,
    pub file: Option<String>,
    pub line: Option<usize>,
    pub column: Option<usize>,
    pub end_line: Option<usize>,
    pub end_column: Option<usize>,
}

impl Placed {
    pub fn new(finding: &Finding, sources: &Sources) -> Self {
        let place = finding.span.and_then(|span| Some((span, sources.get(span.file)?)));
        let start = place.map(|(span, _)| sources.position(span.file, span.start));
        let end = place.map(|(span, _)| sources.position(span.file, span.end));
        Self {
            code: finding.code,
            severity: finding.severity,
            message: finding.message.clone(),
            help: finding.help.clone(),
            file: place.map(|(_, source)| source.name.clone()),
            line: start.map(|(line, _)| line),
            column: start.map(|(_, column)| column),
            end_line: end.map(|(line, _)| line),
            end_column: end.map(|(_, column)| column),
        }
    }
}

/// The known word nearest to a mistyped one, when it is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| {
            let longer = word.chars().count().max(candidate.chars().count());
            *distance <= (longer / 3).min(3).max(usize::from(longer > 1))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean `x`?`, or what is known when nothing is near.
pub fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(word, known.clone()) {
        return format!("did you mean `{near}`?");
    }
    let mut all: Vec<&str> = known.into_iter().collect();
    if all.is_empty() {
        return "none is defined here".to_owned();
    }
    let more = all.len().saturating_sub(12);
    all.truncate(12);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("known here: {}{tail}", all.join(", "))
}
