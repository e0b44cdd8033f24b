//! One input: for which reader, and its bytes.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A plan: read, checked, reviewed, drawn.
    Plan,
    /// A site file, with a plan that uses it.
    Site,
    /// A template, in every place where one may stand.
    Template,
    Sql,
    Dump,
    /// A value of a parameter, a duration, a digest's canonical form.
    Value,
}

impl Target {
    pub const ALL: [Self; 6] = [Self::Plan, Self::Site, Self::Template, Self::Sql, Self::Dump, Self::Value];

    pub fn word(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Site => "site",
            Self::Template => "template",
            Self::Sql => "sql",
            Self::Dump => "dump",
            Self::Value => "value",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Input {
    pub target: Target,
    pub bytes: Vec<u8>,
    /// For choices inside a target: where a stream is cut, which plan a site file is read with.
    pub choice: u64,
}

impl Input {
    /// Readers get text: files that are not UTF-8 are refused before.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub fn shown(&self) -> String {
        let text = self.text();
        let cut: String = text.chars().take(4_000).collect();
        let more =
            if cut.len() < text.len() { format!("\n... {} bytes in all", text.len()) } else { String::new() };
        format!("--- {} ({} bytes)\n{cut}{more}\n---", self.target.word(), self.bytes.len())
    }
}
