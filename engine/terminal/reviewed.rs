//! A dry run on the screen: the review's styled lines in this terminal's colours.

use super::paint::Tone;
use super::screen::{Format, Screen};
use crate::review::difference::{self, Difference};
use crate::review::text::{Line, Style, lines};
use crate::review::{Review, markdown};

/// Shows a review in the format that was asked for.
pub fn review(screen: &Screen, review: &Review) {
    match screen.format {
        Format::Json => screen.document(&serde_json::to_value(review).unwrap_or_default()),
        Format::Markdown => screen.text(&markdown::markdown(review)),
        _ => styled(screen, &lines(review)),
    }
}

/// Shows what changed between two plans.
pub fn difference(screen: &Screen, found: &Difference) {
    match screen.format {
        Format::Json => screen.document(&serde_json::to_value(found).unwrap_or_default()),
        Format::Markdown => screen.text(&difference::markdown::markdown(found)),
        _ => styled(screen, &difference::text::lines(found)),
    }
}

fn styled(screen: &Screen, lines: &[Line]) {
    let paint = screen.paint();
    for line in lines {
        let text: String = line.spans.iter().map(|(style, text)| paint.of(tone(*style), text)).collect();
        screen.line(text.trim_end());
    }
}

fn tone(style: Style) -> Tone {
    match style {
        Style::Plain | Style::Code => Tone::Plain,
        Style::Dim => Tone::Faint,
        Style::Bold | Style::Heading => Tone::Strong,
        Style::Good => Tone::Good,
        Style::Warning => Tone::Caution,
        Style::Danger => Tone::Bad,
        Style::Late => Tone::Busy,
    }
}
