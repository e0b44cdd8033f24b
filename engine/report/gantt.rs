//! The timeline of a run as a picture: a bar for each step, shades where the application was closed, the times at which
//! the run stood still. Part of a page that gives the colours by class. Must never say by colour alone what went wrong.

use super::amount::{between, span};
use super::axis::Axis;
use super::document::{Report, StepLine};
use super::ink::{escape, shortened};
use jiff::Timestamp;
use std::fmt::Write;

const WIDTH: f64 = 1080.0;
const LABELS: f64 = 210.0;
/// Room for what is written behind the longest bar.
const BEHIND: f64 = 110.0;
const HEAD: f64 = 44.0;
const ROW: f64 = 22.0;
/// More bars than this are read by nobody; the longest are drawn.
const MOST_BARS: usize = 60;

/// How many of the steps that began are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    pub bars: usize,
    pub of: usize,
}

/// The picture, and how much of the run it shows. None: nothing began yet.
pub fn gantt(report: &Report) -> Option<(String, Drawn)> {
    let from = millis(report.started_at?);
    let end = millis(report.finished_at.or(report.last_at)?);
    let began: Vec<&StepLine> = report.steps.iter().filter(|step| step.started_at.is_some()).collect();
    if began.is_empty() {
        return None;
    }
    let mut bars = began.clone();
    bars.sort_by_key(|step| std::cmp::Reverse(stretch(step, end).map_or(0, |(from, to)| to - from)));
    bars.truncate(MOST_BARS);
    bars.sort_by_key(|step| step.started_at);
    let pauses: Vec<(u64, u64)> =
        report.pauses.iter().map(|pause| (millis(pause.from), pause.to.map_or(end, millis))).collect();
    let busy: Vec<(u64, u64)> = began
        .iter()
        .filter(|step| step.kind != "approve")
        .filter_map(|step| stretch(step, end))
        .flat_map(|stretch| without(stretch, &pauses))
        .collect();
    let axis = Axis::new(from, end, &busy, LABELS, WIDTH - BEHIND);
    let height = HEAD + bars.len() as f64 * ROW + 12.0;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg class=\"gantt\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"timeline-name\">\
         <title id=\"timeline-name\">Timeline of the run: {} of its steps, {}</title>\
         <defs><pattern id=\"hatched\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect width=\"2\" height=\"7\"/></pattern></defs>",
        bars.len(),
        span(end.saturating_sub(from)),
    );
    shades(report, &axis, end, height, &mut out);
    ruler(&axis, height, &mut out);
    for (row, step) in bars.iter().enumerate() {
        bar(step, &axis, end, HEAD + row as f64 * ROW, &mut out);
    }
    out.push_str("</svg>\n");
    Some((out, Drawn { bars: bars.len(), of: began.len() }))
}

fn stretch(step: &StepLine, end: u64) -> Option<(u64, u64)> {
    let from = millis(step.started_at?);
    Some((from, step.finished_at.map_or(end, millis).max(from)))
}

/// What is left of a stretch when the pauses are taken out.
fn without(stretch: (u64, u64), pauses: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut left = vec![stretch];
    for (from, to) in pauses {
        left = left
            .into_iter()
            .flat_map(|(start, end)| [(start, end.min(*from)), (start.max(*to), end)])
            .filter(|(start, end)| start < end)
            .collect();
    }
    left
}

fn shades(report: &Report, axis: &Axis, end: u64, height: f64, out: &mut String) {
    for window in &report.downtime {
        let (from, to) = (millis(window.opened_at), window.closed_at.map_or(end, millis));
        let (left, right) = (axis.x(from), axis.x(to));
        let _ = writeln!(
            out,
            "<rect class=\"closed\" x=\"{left:.1}\" y=\"18\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
            (right - left).max(1.0),
            height - 18.0,
            escape(&format!(
                "window {}: closed to traffic for {}",
                window.window,
                span(to.saturating_sub(from))
            )),
        );
        let room = (right - left).max(120.0);
        let _ = writeln!(
            out,
            "<text class=\"note\" x=\"{:.1}\" y=\"14\">{}</text>",
            left,
            escape(&shortened(&format!("closed: {}", window.window), room, 11.0))
        );
    }
    for pause in &report.pauses {
        let (left, right) = (axis.x(millis(pause.from)), axis.x(pause.to.map_or(end, millis)));
        let _ = writeln!(
            out,
            "<rect class=\"parked\" x=\"{left:.1}\" y=\"18\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
            (right - left).max(1.0),
            height - 18.0,
            escape(&format!("parked: {}", pause.why)),
        );
    }
}

fn ruler(axis: &Axis, height: f64, out: &mut String) {
    for at in axis.ticks() {
        let x = axis.x(at);
        let _ = writeln!(
            out,
            "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"36\" y2=\"{height:.1}\"/>\
             <text class=\"note\" x=\"{x:.1}\" y=\"31\" text-anchor=\"middle\">{}</text>",
            clock(at)
        );
    }
    for piece in axis.pieces.iter().filter(|piece| piece.folded) {
        let middle = f64::midpoint(piece.left, piece.right);
        let _ = writeln!(
            out,
            "<rect class=\"fold\" x=\"{:.1}\" y=\"36\" width=\"{:.1}\" height=\"{:.1}\"/>\
             <text class=\"note\" x=\"{middle:.1}\" y=\"31\" text-anchor=\"middle\">⋯ {}</text>",
            piece.left,
            piece.right - piece.left,
            height - 36.0,
            span(piece.to - piece.from)
        );
    }
}

fn bar(step: &StepLine, axis: &Axis, end: u64, y: f64, out: &mut String) {
    let Some((from, to)) = stretch(step, end) else { return };
    let (left, right) = (axis.x(from), axis.x(to));
    let took = match step.finished_at {
        Some(_) => span(to - from),
        None => format!("{} so far", span(to - from)),
    };
    let state = &step.stands;
    let said = if step.state == "done" { took.clone() } else { format!("{state}, {took}") };
    let _ = writeln!(
        out,
        "<g class=\"bar is-{} does-{}\"><title>{}</title><text class=\"label\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
         <rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{}\" rx=\"2\"/>\
         <text class=\"note\" x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
        step.state,
        if step.kind == "approve" { "person" } else { step.effect },
        escape(&format!("{} ({}): {state}, {took}", step.id, step.kind)),
        LABELS - 10.0,
        y + 15.0,
        escape(&shortened(step.id.as_str(), LABELS - 14.0, 12.5)),
        y + 4.0,
        (right - left).max(2.0),
        ROW - 8.0,
        right.max(left + 2.0) + 6.0,
        y + 15.0,
        escape(&shortened(&said, BEHIND - 8.0, 11.0)),
    );
}

fn millis(at: Timestamp) -> u64 {
    between(Timestamp::UNIX_EPOCH, at)
}

fn clock(at: u64) -> String {
    let at = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    at.map(|at| at.strftime("%H:%M:%S").to_string()).unwrap_or_default()
}
