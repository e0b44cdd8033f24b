//! Ink of the drawn pictures: colours, and lines of text that fit and are nothing but text.

use std::fmt::Write;

/// The middle width of a letter, for its size.
pub const PLAIN: f64 = 0.53;
pub const BOLD: f64 = 0.6;

/// Colours that stay apart for those who see fewer of them (Okabe and Ito).
pub const INK: &str = "#1c2330";
pub const FAINT: &str = "#5b6472";
pub const BLUE: &str = "#0072b2";
pub const RED: &str = "#b8400b";

/// A line of text, cut to the room it has.
#[allow(clippy::too_many_arguments, reason = "a line of SVG is what it is made of")]
pub fn text(x: f64, y: f64, size: f64, colour: &str, more: &str, words: &str, room: f64, out: &mut String) {
    let wide = if more.contains("bold") { BOLD } else { PLAIN };
    let words = cut(words, (room / (size * wide)) as usize);
    let _ = writeln!(
        out,
        "<text class=\"{}\" x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{colour}\" {more}>{}</text>",
        class_of(colour),
        escape(&words)
    );
}

fn class_of(colour: &str) -> &'static str {
    match colour {
        INK => "ink",
        FAINT => "faint",
        RED => "red",
        _ => "on-red",
    }
}

/// Text that fits into the room at a size.
pub fn shortened(words: &str, room: f64, size: f64) -> String {
    cut(words, (room / (size * PLAIN)) as usize)
}

fn cut(words: &str, fits: usize) -> String {
    if words.chars().count() <= fits {
        return words.to_owned();
    }
    let cut: String = words.chars().take(fits.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}

/// Text that is nothing but text, without what XML cannot hold.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}
