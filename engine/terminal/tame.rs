//! Text from outside (plans, parameters, databases, programs) made harmless for a terminal: nothing in it may move the
//! cursor, hide what stands beside it or turn the direction of reading. Must never drop a character without a trace.

use crate::report::turns;
use std::borrow::Cow;

/// What stands for a character that has no picture of its own.
const STRANGE: char = '\u{fffd}';

/// Line ends, tabs and colours stay; other control characters are shown as pictures.
pub fn tame(text: &str) -> Cow<'_, str> {
    if !text.contains(|c: char| c != '\n' && c != '\t' && is_wild(c)) {
        return Cow::Borrowed(text);
    }
    let mut tamed = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let colour = colour(rest);
        let taken = match c {
            '\n' | '\t' => 1,
            '\r' if rest.starts_with("\r\n") => 2,
            _ if colour > 0 => colour,
            _ => c.len_utf8(),
        };
        match c {
            '\r' if taken == 2 => tamed.push('\n'),
            _ if colour > 0 || !is_wild(c) || matches!(c, '\n' | '\t') => tamed.push_str(&rest[..taken]),
            _ => tamed.push(picture(c)),
        }
        rest = &rest[taken..];
    }
    Cow::Owned(tamed)
}

fn is_wild(c: char) -> bool {
    c.is_control() || turns(c)
}

fn picture(c: char) -> char {
    match u32::from(c) {
        code @ 0..0x20 => char::from_u32(0x2400 + code).unwrap_or(STRANGE),
        0x7f => '\u{2421}',
        _ => STRANGE,
    }
}

/// The length of the colour that the text begins with, 0 when it begins with none. Blinking, swapped and hidden text is
/// no colour.
fn colour(text: &str) -> usize {
    let Some(codes) = text.strip_prefix("\u{1b}[") else { return 0 };
    let Some(end) = codes.find(|c: char| !c.is_ascii_digit() && c != ';') else { return 0 };
    let numbers = &codes[..end];
    let of_colour = ["38;5;", "38;2;", "48;5;", "48;2;"].iter().any(|start| numbers.starts_with(start));
    let seen = of_colour
        || !numbers.split(';').any(|code| matches!(code.trim_start_matches('0'), "5" | "6" | "7" | "8"));
    if codes[end..].starts_with('m') && seen { "\u{1b}[".len() + end + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_and_colours_stay() {
        for text in ["", "a\tb\nc", "é ☃ 日本", "\u{1b}[1;31mbad\u{1b}[0m", "\u{1b}[38;5;208mx\u{1b}[39m"]
        {
            assert_eq!(tame(text), text);
        }
    }

    #[test]
    fn what_moves_or_hides_is_shown_instead() {
        assert_eq!(tame("\u{1b}[2J\u{1b}]0;t\u{7}x"), "␛[2J␛]0;t␇x");
        assert_eq!(tame("\u{1b}[8mhidden\u{1b}[08m\u{1b}[0;7m"), "␛[8mhidden␛[08m␛[0;7m");
        assert_eq!(tame("done\rfailed\u{8}\u{7f}"), "done␍failed␈␡");
        assert_eq!(tame("line\r\nnext"), "line\nnext");
        assert_eq!(tame("\u{9b}2J \u{202e}evil\u{2066}"), "\u{fffd}2J \u{fffd}evil\u{fffd}");
        assert_eq!(tame("\u{1b}["), "␛[");
        assert_eq!(tame("\u{1b}[31"), "␛[31");
    }
}
