//! Text from outside that turns the direction of reading would show something else than it holds, in a page as in a table.
//! Must never drop such a character without a trace.

/// What stands for it.
const STRANGE: &str = "\u{fffd}";

/// Whether it is one of them.
pub fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text that reads in the direction in which its letters do.
pub fn straight(text: String) -> String {
    match text.contains(turns) {
        true => text.replace(turns, STRANGE),
        false => text,
    }
}
