//! Colours: few, and none where nobody can see them. Must never carry meaning alone: every mark is a word or a sign too.

/// What a piece of text is, so that it can be seen at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    /// Headings and names.
    Strong,
    /// What may be overlooked.
    Faint,
    Good,
    Caution,
    Bad,
    /// What is going on.
    Busy,
}

/// Puts colours on text, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    pub colour: bool,
}

impl Paint {
    pub fn of(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Caution => "33",
            Tone::Bad => "1;31",
            Tone::Busy => "36",
        };
        match self.colour && !text.is_empty() {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}
