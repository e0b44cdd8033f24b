//! The shape of a step says what becomes of its effect, so that nobody needs the colours; with the legend that tells so.

use super::ink::{BLUE, FAINT, INK, RED, text};
use crate::review::Reviewed;
use std::fmt::Write;

/// Behind the steps of a window, by turns.
pub const SHADES: [&str; 2] = ["#e9edf3", "#f3eee2"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Reads,
    Reversible,
    Irreversible,
    Approval,
}

impl Shape {
    pub fn of(step: &Reviewed) -> Self {
        match (step.kind.as_str(), step.effect.as_str()) {
            ("approve", _) => Self::Approval,
            (_, "reads") => Self::Reads,
            (_, "reversible") => Self::Reversible,
            _ => Self::Irreversible,
        }
    }

    pub fn draw(self, x: f64, y: f64, width: f64, height: f64, is_dashed: bool, out: &mut String) {
        let dash = if is_dashed { " stroke-dasharray=\"7 5\"" } else { "" };
        let _ = match self {
            Self::Reads => writeln!(
                out,
                "<rect class=\"reads\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{}\" fill=\"#ffffff\" \
                 stroke=\"{FAINT}\" stroke-width=\"1.3\"{dash}/>",
                height * 0.26
            ),
            Self::Reversible => writeln!(
                out,
                "<rect class=\"reversible\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"#e3f0f9\" stroke=\"{BLUE}\" \
                 stroke-width=\"2\"{dash}/>"
            ),
            Self::Irreversible => {
                let corners = corners(x, y, width, height, height * 0.2, height * 0.2);
                writeln!(
                    out,
                    "<polygon class=\"irreversible\" points=\"{corners}\" fill=\"#fcebe0\" stroke=\"{RED}\" stroke-width=\"3.5\"{dash}/>"
                )
            }
            Self::Approval => {
                let corners = corners(x, y, width, height, height * 0.27, height / 2.0);
                writeln!(
                    out,
                    "<polygon class=\"approval\" points=\"{corners}\" fill=\"#fff9dc\" stroke=\"{INK}\" stroke-width=\"2\"{dash}/>"
                )
            }
        };
    }
}

/// A box with its corners cut off.
fn corners(x: f64, y: f64, width: f64, height: f64, across: f64, down: f64) -> String {
    let (right, bottom) = (x + width, y + height);
    [
        (x + across, y),
        (right - across, y),
        (right, y + down),
        (right, bottom - down),
        (right - across, bottom),
        (x + across, bottom),
        (x, bottom - down),
        (x, y + down),
    ]
    .map(|(x, y)| format!("{x},{y}"))
    .join(" ")
}

/// What the shapes mean, from the left edge at `x` on.
pub fn legend(x: f64, y: f64, of_run: bool, out: &mut String) {
    let shapes = [
        (Shape::Reads, "reads only"),
        (Shape::Reversible, "reversible"),
        (Shape::Irreversible, "irreversible"),
        (Shape::Approval, "a person decides"),
    ];
    for (at, (shape, words)) in shapes.into_iter().enumerate() {
        let x = x + at as f64 * 150.0;
        shape.draw(x, y + 22.0, 34.0, 22.0, false, out);
        text(x + 42.0, y + 37.0, 11.5, INK, "", words, 105.0, out);
    }
    let left = x;
    let x = x + 600.0;
    let _ = writeln!(
        out,
        "<rect class=\"shade\" x=\"{x}\" y=\"{}\" width=\"34\" height=\"22\" fill=\"{}\"/>",
        y + 22.0,
        SHADES[0]
    );
    text(x + 42.0, y + 37.0, 11.5, INK, "", "window: closed to traffic", 160.0, out);
    let more = if of_run {
        "✓ done, ✗ failed, ↶ undone, – skipped, ? not known, · not begun. Arrows that follow from others are left out."
    } else {
        "Dashed: it is skipped, or may be. Arrows that follow from others are left out."
    };
    text(left, y + 68.0, 11.5, FAINT, "", more, 780.0, out);
}
