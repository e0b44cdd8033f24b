//! Findings and errors: the fault at its place in the file, what it is, and what to do. All of a file in one go.

use super::excerpt::Excerpt;
use super::screen::{Format, Screen};
use super::whole::{glued, unglued};
use crate::plan::{Finding, Placed, Severity, Sources};
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NarratableReportHandler, SourceCode,
    SourceSpan,
};
use serde_json::{Value, json};
use std::fmt;

/// What miette puts before a line: its number and a rule.
const MARGIN: usize = 12;
/// On the narrowest screens too.
const LEAST: usize = 40;

/// A finding with the text it is about, as miette draws it.
#[derive(Debug)]
struct Shown<'f> {
    finding: &'f Finding,
    excerpt: Option<Excerpt>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.finding.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.finding.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.finding.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.finding.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt.as_ref().map(|excerpt| excerpt as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let at = &self.excerpt.as_ref()?.label;
        let label = (!self.finding.label.is_empty()).then(|| self.finding.label.clone());
        let range = SourceSpan::from((at.start, at.len()));
        Some(Box::new(std::iter::once(LabeledSpan::new_primary_with_span(label, range))))
    }
}

/// A diagnostic whose commands are whole, and name the state directory where they have to.
#[derive(Debug)]
struct Whole<'d> {
    found: &'d dyn Diagnostic,
    message: String,
    help: Option<String>,
}

impl<'d> Whole<'d> {
    fn new(screen: &Screen, found: &'d dyn Diagnostic) -> Self {
        let whole = |text: String| glued(&screen.placed(&text));
        Self {
            found,
            message: whole(found.to_string()),
            help: found.help().map(|help| whole(help.to_string())),
        }
    }
}

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Whole<'_> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.found.source()
    }
}

impl Diagnostic for Whole<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.found.code()
    }

    fn severity(&self) -> Option<miette::Severity> {
        self.found.severity()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.found.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.found.labels()
    }

    fn diagnostic_source(&self) -> Option<&dyn Diagnostic> {
        self.found.diagnostic_source()
    }
}

/// Draws a diagnostic, or tells it to those who hear it.
fn render(screen: &Screen, text: &mut String, found: &dyn Diagnostic) -> fmt::Result {
    let whole = Whole::new(screen, found);
    let mut drawn = String::new();
    match screen.spoken {
        true => NarratableReportHandler::new().with_context_lines(1).render_report(&mut drawn, &whole),
        false => handler(screen).render_report(&mut drawn, &whole),
    }?;
    text.push_str(&unglued(&drawn));
    Ok(())
}

fn handler(screen: &Screen) -> GraphicalReportHandler {
    let theme = match screen.error_paint().colour {
        true => GraphicalTheme::unicode(),
        false => GraphicalTheme::unicode_nocolor(),
    };
    unbroken(GraphicalReportHandler::new_themed(theme))
        .with_links(false)
        .with_width(screen.width.max(LEAST))
        .with_context_lines(1)
}

/// A run's id or a command that is broken at a hyphen cannot be copied.
fn unbroken(handler: GraphicalReportHandler) -> GraphicalReportHandler {
    handler
        .with_break_words(false)
        .with_word_separator(textwrap::WordSeparator::AsciiSpace)
        .with_word_splitter(textwrap::WordSplitter::NoHyphenation)
}

/// All findings as text; empty when there are none.
pub fn findings(screen: &Screen, findings: &[Finding], sources: &Sources) -> String {
    let width = screen.width.saturating_sub(MARGIN).max(LEAST);
    let mut text = String::new();
    for finding in findings {
        let excerpt = finding.span.and_then(|span| Excerpt::new(sources, span, width));
        // A string takes whatever is written to it.
        let _ = render(screen, &mut text, &Shown { finding, excerpt });
        text.push('\n');
    }
    text
}

/// The findings for programs: lines and columns from 1, columns in characters.
pub fn findings_json(findings: &[Finding], sources: &Sources) -> Value {
    json!({ "format": 1, "findings": findings_list(findings, sources) })
}

/// The list alone.
pub fn findings_list(findings: &[Finding], sources: &Sources) -> Vec<Value> {
    let one = |finding| serde_json::to_value(Placed::new(finding, sources)).unwrap_or_default();
    findings.iter().map(one).collect()
}

/// An error of the program, with its code and help; as an object for programs. On stderr.
pub fn error(screen: &Screen, error: &dyn Diagnostic) {
    if screen.format == Format::Json {
        let object = json!({
            "format": 1,
            "error": {
                "code": error.code().map(|code| code.to_string()),
                "message": message(error),
                "help": error.help().map(|help| screen.placed(&help.to_string()).into_owned()),
            },
        });
        screen.error(&object.to_string());
        return;
    }
    let mut text = String::new();
    if render(screen, &mut text, error).is_err() {
        text = error.to_string();
    }
    screen.error(&text);
}

fn message(error: &dyn Diagnostic) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::screen::Look;
    use super::*;

    #[test]
    fn a_command_in_a_help_is_in_one_line_and_names_its_place() {
        let look = Look { place: Some("/srv/state".to_owned()), ..Look::default() };
        let mut screen = Screen::new(look);
        screen.width = 60;
        let help = "look first; `runplan resolve k7f3 switched --skip --reason 'it stays as it is'` goes on with the rest";
        let error = miette::miette!(help = help, "it cannot be undone");
        let mut text = String::new();
        render(&screen, &mut text, error.as_ref()).unwrap();
        let whole = "`runplan --state /srv/state resolve k7f3 switched --skip --reason 'it stays as it is'`";
        assert!(text.lines().any(|line| line.contains(whole)), "{text}");
    }

    #[test]
    fn what_can_be_typed_is_not_broken_at_a_hyphen() {
        let command = "`runplan resume swapit-20261122-1636-geyw`";
        for lead in 1..60 {
            let message = format!("{} {command} --for-good", "x".repeat(lead));
            let error = miette::miette!(help = message.clone(), "{message}");
            let mut text = String::new();
            let theme = GraphicalTheme::unicode_nocolor();
            unbroken(GraphicalReportHandler::new_themed(theme).with_width(80))
                .render_report(&mut text, error.as_ref())
                .unwrap();
            for word in command.split(' ').chain(["--for-good"]) {
                assert_eq!(text.matches(word).count(), 2, "{text}");
            }
        }
    }
}
