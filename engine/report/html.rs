//! The report as one page that needs nothing else: no network, no scripts. Readable by a browser in light and in dark, on
//! paper, from the keyboard and by a screen reader. Every value is escaped by the template engine; the pictures escape
//! their own.

use super::amount::{between, bytes, count, span};
use super::direction::straight;
use super::document::Report;
use super::gantt::gantt;
use super::markdown;
use super::picture::{End, sign, svg_of_run};
use super::seal::Seal;
use crate::review::{ReviewInput, review};
use crate::run::State;
use jiff::Timestamp;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value, context};
use std::collections::HashMap;

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/style.css");
/// Longer timelines are shortened in the middle; the journal has all of it.
const MOST_MOMENTS: usize = 400;
/// A statement or a message that is longer is cut; the journal has the whole.
const LONGEST_TEXT: usize = 20_000;

/// The whole page. `report`: made from `state`.
///
/// # Errors
/// The page's template cannot be rendered: a fault of the program.
pub fn html(report: &Report, state: &State) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_filter("time", |at: String| time(&at, "%Y-%m-%d %H:%M:%S UTC"));
    environment.add_filter("clock", |at: String| time(&at, "%H:%M:%S"));
    environment.add_filter("span", span);
    environment.add_filter("bytes", bytes);
    environment.add_filter("plural", |number: usize, word: String| count(number, &word));
    environment.add_filter("words", |word: String| word.replace('_', " "));
    environment.add_filter("sign", |state: String| sign(&state));
    environment.add_filter("cut", cut);
    environment.add_filter("until", |from: String, to: String| match (from.parse(), to.parse()) {
        (Ok(from), Ok(to)) => span(between(from, to)),
        _ => String::new(),
    });
    let anchors: HashMap<String, String> = report
        .steps
        .iter()
        .enumerate()
        .map(|(at, step)| (step.id.to_string(), format!("step-{at}")))
        .collect();
    environment.add_filter("anchor", move |id: String| anchors.get(&id).cloned().unwrap_or_default());
    let timeline = gantt(report);
    let moments = moments(report);
    let page = environment.template_from_str(PAGE)?.render(context! {
        report => Value::from(Serde(report)),
        style => STYLE,
        verdict => markdown::verdict(report),
        mood => mood(report),
        severity => report.severity.as_ref().map(markdown::severity),
        done => markdown::steps(report),
        took => markdown::elapsed(report),
        open => markdown::is_open(report),
        params => params(report),
        // For people alone: JSON has the rows.
        tables => report.checks.iter().map(|check| check.table.clone()).collect::<Vec<_>>(),
        graph => graph(report, state),
        gantt => timeline.as_ref().map(|(picture, _)| picture.as_str()),
        bars => timeline.as_ref().map(|(_, drawn)| drawn.bars),
        began => timeline.as_ref().map(|(_, drawn)| drawn.of),
        moments => moments,
        left_out => report.timeline.len().saturating_sub(MOST_MOMENTS),
        half => MOST_MOMENTS / 2,
        parts => [("before", "Before the rollback"), ("after", "After the rollback")],
        questions => markdown::QUESTIONS,
        seal => Seal::of(report).comment(),
    })?;
    Ok(straight(page))
}

/// The colour of the whole page's head.
fn mood(report: &Report) -> &'static str {
    match (&report.parked, report.result) {
        (Some(_), _) => "waiting",
        (None, Some("done")) => "done",
        (None, Some("undone")) => "undone",
        (None, Some(_)) => "failed",
        (None, None) => "running",
    }
}

fn params(report: &Report) -> Vec<(String, String)> {
    report.params.iter().map(|(name, value)| (name.clone(), markdown::plain(value))).collect()
}

fn moments(report: &Report) -> Vec<Value> {
    let all = &report.timeline;
    let half = MOST_MOMENTS / 2;
    let shown = all
        .iter()
        .enumerate()
        .filter(|(at, _)| all.len() <= MOST_MOMENTS || *at < half || *at >= all.len() - half);
    shown.map(|(_, moment)| Value::from(Serde(moment))).collect()
}

fn graph(report: &Report, state: &State) -> String {
    let shape = &state.shape;
    let input =
        ReviewInput { params: report.params.clone(), rehearsal: report.rehearsal, ..ReviewInput::default() };
    let reviewed = review(&shape.loaded, &shape.graph, &input);
    let end = |step: &super::document::StepLine| {
        let said = match step.elapsed_ms.filter(|_| !matches!(step.state, "skipped" | "waiting")) {
            Some(ms) => format!("{} in {}", step.stands, span(ms)),
            None => step.stands.clone(),
        };
        (step.id.to_string(), End { state: step.state, said })
    };
    let ends: HashMap<String, End> = report.steps.iter().map(end).collect();
    svg_of_run(&reviewed, &ends)
}

fn time(at: &str, form: &str) -> String {
    at.parse::<Timestamp>().map_or_else(|_| at.to_owned(), |at| at.strftime(form).to_string())
}

fn cut(text: String) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}\n… (the journal has the whole)", &text[..end]),
        None => text,
    }
}
