//! The graph of a reviewed plan as an SVG: steps from top to bottom, windows shaded, what cannot be undone in a shape of
//! its own. Every colour is said by a shape or a word too, so that it can be printed and read by everybody. The same
//! bytes for the same review. Of a run, it shows how each step ended. Classes let a page give colours of its own.

use super::drawing;
use super::ink::{BOLD, FAINT, INK, PLAIN, RED, escape, text};
use super::layout::{Item, Layout, Placed, Sizes, layout, reduced};
use super::shape::{SHADES, Shape, legend};
use crate::review::{Review, Reviewed};
use std::collections::HashMap;
use std::fmt::Write;

/// The width is of the narrowest steps.
const SIZES: Sizes = Sizes { width: 210.0, height: 68.0, apart: 26.0, below: 46.0, most: 5 };
const MARGIN: f64 = 36.0;
const HEAD: f64 = 92.0;
const LEGEND: f64 = 96.0;
/// Longer titles are cut; the whole is told when the pointer rests on a step.
const WIDEST: f64 = 330.0;
/// Narrower pictures have no room for their legend.
const LEAST_WIDTH: f64 = 860.0;

/// How a step of a run ended.
#[derive(Debug, Clone)]
pub struct End {
    /// Its state's word.
    pub state: &'static str,
    /// `done in 3.2s`
    pub said: String,
}

/// The whole picture of a plan.
pub fn svg(review: &Review) -> String {
    draw(review, None)
}

/// The picture of a run; `ends` by the ids of its steps.
pub fn svg_of_run(review: &Review, ends: &HashMap<String, End>) -> String {
    draw(review, Some(ends))
}

fn draw(review: &Review, ends: Option<&HashMap<String, End>>) -> String {
    let index: HashMap<&str, usize> =
        review.steps.iter().enumerate().map(|(at, step)| (step.id.as_str(), at)).collect();
    let at = |id: &String| index.get(id.as_str()).copied();
    let order: Vec<usize> = review.waves.iter().flatten().filter_map(at).collect();
    let needs: Vec<Vec<usize>> =
        review.steps.iter().map(|step| step.needs.iter().filter_map(at).collect()).collect();
    let sizes = Sizes { width: step_width(review), ..SIZES };
    let found = layout(&order, &reduced(&order, &needs), &sizes);
    let width = (found.width + 2.0 * MARGIN).max(LEAST_WIDTH);
    let left = (width - found.width) / 2.0;
    let rows = found.rows.len() as f64;
    let height = HEAD + rows * (SIZES.height + SIZES.below) + LEGEND;
    let picture = Picture { review, found: &found, left, step: sizes.width, ends };
    let mut out = String::new();
    picture.open(width, height, &mut out);
    picture.windows(&mut out);
    picture.arrows(&mut out);
    picture.steps(&mut out);
    legend(MARGIN, height - LEGEND, ends.is_some(), &mut out);
    out.push_str("</svg>\n");
    out
}

struct Picture<'r> {
    review: &'r Review,
    found: &'r Layout,
    left: f64,
    /// The width of a step.
    step: f64,
    ends: Option<&'r HashMap<String, End>>,
}

/// As wide as the longest id or title needs, within reason.
fn step_width(review: &Review) -> f64 {
    let long = |text: &str, size: f64| text.chars().count() as f64 * size;
    let each = review.steps.iter().map(|step| {
        long(&step.id, 14.0 * BOLD).max(long(step.title.as_deref().unwrap_or_default(), 12.0 * PLAIN))
    });
    (each.fold(0.0, f64::max) + 40.0).clamp(SIZES.width, WIDEST).round()
}

impl Picture<'_> {
    fn open(&self, width: f64, height: f64, out: &mut String) {
        let review = self.review;
        let title = review.title.as_deref().unwrap_or_default();
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif\" role=\"img\">\n\
             <title>{}</title>\n\
             <defs><marker id=\"tip\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"8\" markerHeight=\"8\" \
             orient=\"auto\"><path class=\"tip\" d=\"M0 0 L10 5 L0 10 z\" fill=\"{FAINT}\"/></marker></defs>\n\
             <rect class=\"paper\" width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>",
            escape(&format!("{} {title}", review.plan)),
        );
        let head = format!("{}  {title}", review.plan);
        text(MARGIN, 40.0, 20.0, INK, "font-weight=\"bold\"", &head, width - 2.0 * MARGIN, out);
        let point = review.no_return.as_ref().map_or("no point of no return".to_owned(), |point| {
            format!("point of no return: {}", point.step)
        });
        let count = |effect: &str| review.steps.iter().filter(|step| step.effect == effect).count();
        let facts = format!(
            "{} steps: {} read, {} can be undone, {} cannot; {point}; plan {}",
            review.steps.len(),
            count("reads"),
            count("reversible"),
            count("irreversible"),
            review.plan_digest.get(..12).unwrap_or_default(),
        );
        text(MARGIN, 62.0, 12.5, FAINT, "", &facts, width - 2.0 * MARGIN, out);
    }

    fn top(row: usize) -> f64 {
        HEAD + row as f64 * (SIZES.height + SIZES.below)
    }

    fn step(&self, placed: &Placed) -> Option<&Reviewed> {
        let Item::Step(at) = placed.item else { return None };
        self.review.steps.get(at)
    }

    /// Shades behind the steps of a window, row by row; two rows of the same window join.
    fn windows(&self, out: &mut String) {
        let all = drawing::windows(self.review);
        let mut names: Vec<&str> = Vec::new();
        for (number, row) in self.found.rows.iter().enumerate() {
            let within = |placed: &Placed| match placed.item {
                Item::Step(at) => all.get(at).copied().flatten(),
                Item::From(_) | Item::To(_) => None,
            };
            let windows: Vec<Option<&str>> = row.iter().map(within).collect();
            for run in runs(&windows, row) {
                let name = windows[run.0].unwrap_or_default();
                let shade = names.iter().position(|known| *known == name).unwrap_or(names.len());
                let half = self.step / 2.0 + 12.0;
                let (from, to) = (self.left + row[run.0].x - half, self.left + row[run.1].x + half);
                let y = Self::top(number) - SIZES.below / 2.0;
                let _ = writeln!(
                    out,
                    "<rect class=\"shade\" x=\"{from}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>",
                    to - from,
                    SIZES.height + SIZES.below,
                    SHADES[shade % SHADES.len()]
                );
                if shade == names.len() {
                    let label = format!("window {name}");
                    text(
                        from + 10.0,
                        y + 15.0,
                        11.5,
                        FAINT,
                        "font-style=\"italic\"",
                        &label,
                        to - from - 20.0,
                        out,
                    );
                    names.push(name);
                }
            }
        }
    }

    fn arrows(&self, out: &mut String) {
        let _ = writeln!(out, "<g class=\"arrows\" fill=\"none\" stroke=\"{FAINT}\" stroke-width=\"1.4\">");
        for (row, from, to) in &self.found.links {
            let (above, below) = (&self.found.rows[*row][*from], &self.found.rows[row + 1][*to]);
            let (x, end_x) = (self.left + above.x, self.left + below.x);
            let (y, end_y) = (Self::top(*row) + SIZES.height, Self::top(row + 1));
            // An arrow that passed the row began at its top.
            let start = if self.step(above).is_some() { y } else { y - SIZES.height };
            let tip = if self.step(below).is_some() { " marker-end=\"url(#tip)\"" } else { "" };
            let bend = SIZES.below / 2.0;
            let _ = writeln!(
                out,
                "<path d=\"M{x} {start} L{x} {y} C{x} {} {end_x} {} {end_x} {end_y}\"{tip}/>",
                y + bend,
                end_y - bend
            );
        }
        out.push_str("</g>\n");
    }

    fn steps(&self, out: &mut String) {
        for (number, row) in self.found.rows.iter().enumerate() {
            for placed in row {
                if let Some(step) = self.step(placed) {
                    self.one(step, self.left + placed.x - self.step / 2.0, Self::top(number), out);
                }
            }
        }
    }

    fn one(&self, step: &Reviewed, x: f64, y: f64, out: &mut String) {
        let name = step.title.as_ref().map_or(step.id.clone(), |title| format!("{}: {title}", step.id));
        let end = self.ends.and_then(|ends| ends.get(&step.id));
        let (class, name) = match end {
            Some(end) => (end.state, format!("{name} ({})", end.said)),
            None => ("planned", name),
        };
        let _ = writeln!(out, "<g class=\"{class}\"><title>{}</title>", escape(&name));
        let shape = Shape::of(step);
        let is_dashed = match end {
            Some(end) => matches!(end.state, "waiting" | "skipped"),
            None => step.decision.word() != "run",
        };
        shape.draw(x, y, self.step, SIZES.height, is_dashed, out);
        let inset = if shape == Shape::Approval { 26.0 } else { 16.0 };
        let mut room = self.step - 2.0 * inset;
        if let Some(end) = end {
            room -= 20.0;
            let at = x + inset + room + 4.0;
            text(at, y + 24.0, 16.0, INK, "font-weight=\"bold\"", sign(end.state), 24.0, out);
        }
        text(x + inset, y + 23.0, 14.0, INK, "font-weight=\"bold\"", &step.id, room, out);
        if end.is_some() {
            room += 20.0;
        }
        if let Some(title) = &step.title {
            text(x + inset, y + 41.0, 12.0, INK, "", title, room, out);
        }
        let words = end.map_or_else(|| words(step), |end| format!("{} · {}", step.kind, end.said));
        let flags = self.flags(step);
        if flags.is_empty() {
            let colour = if step.effect == "irreversible" { RED } else { FAINT };
            text(x + inset, y + 58.0, 11.0, colour, "", &words, room, out);
        } else {
            // White on red, over the whole width: nobody misses it, in print neither.
            let _ = writeln!(
                out,
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"17\" fill=\"{RED}\"/>",
                x + inset - 6.0,
                y + 45.5,
                room + 12.0
            );
            let told = format!("{flags} · {}", step.kind);
            text(x + inset, y + 58.0, 10.5, "#ffffff", "font-weight=\"bold\"", &told, room, out);
        }
        out.push_str("</g>\n");
    }

    fn flags(&self, step: &Reviewed) -> String {
        let is_point = self.review.no_return.as_ref().is_some_and(|point| point.step == step.id);
        let flags = [(is_point, "POINT OF NO RETURN"), (step.unguarded.is_some(), "UNGUARDED")];
        flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag).collect::<Vec<_>>().join(" · ")
    }
}

/// How a step ended, for those who look once.
pub fn sign(state: &str) -> &'static str {
    match state {
        "done" => "✓",
        "failed" | "undo_failed" => "✗",
        "undone" => "↶",
        "left" => "⊘",
        "skipped" => "–",
        "unknown" => "?",
        "waiting" => "·",
        _ => "…",
    }
}

/// `shell · irreversible · may be skipped`, `approve · 2 of dba, lead`
fn words(step: &Reviewed) -> String {
    let mut words = vec![step.kind.clone()];
    words.push(match &step.approval {
        Some(approval) if approval.roles.is_empty() && approval.count == 1 => "anyone".to_owned(),
        Some(approval) if approval.roles.is_empty() => format!("any {}", approval.count),
        Some(approval) => format!("{} of {}", approval.count, approval.roles.join(", ")),
        None => step.effect.clone(),
    });
    match step.decision.word() {
        "skip" => words.push("skipped".to_owned()),
        "unknown" => words.push("may be skipped".to_owned()),
        _ => {}
    }
    words.join(" · ")
}

/// First and last place of each stretch of one window in a row; arrows that pass do not end it.
fn runs(windows: &[Option<&str>], row: &[Placed]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut open = false;
    for (at, window) in windows.iter().enumerate() {
        let passes = !matches!(row[at].item, Item::Step(_));
        match (window, runs.last_mut()) {
            (None, _) => open = open && passes,
            (Some(name), Some(run)) if open && windows[run.0] == Some(*name) => run.1 = at,
            (Some(_), _) => {
                runs.push((at, at));
                open = true;
            }
        }
    }
    runs
}
