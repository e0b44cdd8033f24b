//! What preflight found, for people: what stops the run first, what to do about it, and the facts worth knowing.

use super::paint::Tone;
use super::screen::Screen;
use crate::plan::Severity;
use crate::report::amount::count;
use crate::steps::{Concern, Preflight};

/// The whole answer.
pub fn preflight(screen: &Screen, found: &Preflight) -> String {
    let mut text = concerns(screen, found);
    let paint = screen.paint();
    if !found.facts.is_empty() && !screen.quiet {
        let width = found.facts.iter().map(|fact| fact.about.chars().count()).max().unwrap_or(0).min(24);
        for fact in &found.facts {
            let about = paint.of(Tone::Faint, &format!("{:width$}", fact.about));
            text.push_str(&format!("{about}  {}\n", fact.text));
        }
    }
    text.push_str(&match found.may_start() {
        true => paint.of(Tone::Good, "nothing stands in the way of a run"),
        false => {
            let stops = found.findings.iter().filter(|concern| concern.stops()).count();
            paint.of(Tone::Bad, &format!("{} not to start", count(stops, "reason")))
        }
    });
    text.push('\n');
    text
}

/// What stands in the way, or is to be known before.
pub fn concerns(screen: &Screen, found: &Preflight) -> String {
    found.findings.iter().map(|concern| one(screen, concern)).collect()
}

fn one(screen: &Screen, concern: &Concern) -> String {
    let paint = screen.paint();
    let (tone, word) = match (concern.accepted, concern.severity) {
        (true, _) => (Tone::Faint, "accepted"),
        (false, Severity::Error) => (Tone::Bad, "error"),
        (false, Severity::Warning) => (Tone::Caution, "warning"),
    };
    let step = concern.step.as_ref().map(|step| format!("{step}: ")).unwrap_or_default();
    let mut text = format!("{}  {step}{}\n", paint.of(tone, word), concern.message);
    if let Some(help) = &concern.help {
        text.push_str(&format!("  help: {help}\n"));
    }
    let way = match concern.stops() && !concern.is_final() {
        true => format!("  to go on all the same: --accept {} --reason '...'\n", concern.short_code()),
        false => String::new(),
    };
    text + &way
}
