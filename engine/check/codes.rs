//! What every code means, with an example that has it and one that has not. The texts are in `codes.md`, which people can
//! read as it is; a test runs every example through `check`.

use std::sync::OnceLock;

/// One code, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// `runplan::check::unknown_need`
    pub code: &'static str,
    pub meaning: &'static str,
    pub bad: Example,
    pub good: Example,
    pub remedy: &'static str,
}

/// A part of a plan, or what else shows the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example {
    pub text: &'static str,
    /// True: a plan, but for the lines that all plans have.
    pub is_plan: bool,
}

impl Example {
    /// The whole plan.
    pub fn plan(&self) -> String {
        if self.text.starts_with("runplan:") {
            return self.text.to_owned();
        }
        format!("runplan: 1\nname: example\n{}\n", self.text)
    }
}

/// All codes that reading and checking a plan can give, in order.
pub fn codes() -> &'static [Code] {
    static CODES: OnceLock<Vec<Code>> = OnceLock::new();
    CODES.get_or_init(|| include_str!("codes.md").split("\n## ").skip(1).filter_map(read).collect())
}

/// The explanation of one code; `check::unknown_need` or `unknown_need` is enough of a name.
pub fn explain(name: &str) -> Option<&'static Code> {
    let last = |code: &'static str| code.rsplit("::").next().unwrap_or_default();
    codes()
        .iter()
        .find(|code| code.code == name || code.code.strip_prefix("runplan::") == Some(name))
        .or_else(|| codes().iter().find(|code| last(code.code) == name))
}

fn read(section: &'static str) -> Option<Code> {
    let (code, rest) = section.split_once('\n')?;
    let (meaning, rest) = rest.split_once("```")?;
    let (bad, rest) = example(rest)?;
    let (_, rest) = rest.split_once("```")?;
    let (good, remedy) = example(rest)?;
    Some(Code { code: code.trim(), meaning: meaning.trim(), bad, good, remedy: remedy.trim() })
}

/// `yaml bad`, the text, and what follows its fence.
fn example(text: &'static str) -> Option<(Example, &'static str)> {
    let (kind, rest) = text.split_once('\n')?;
    let (text, rest) = rest.split_once("\n```")?;
    Some((Example { text, is_plan: kind.starts_with("yaml") }, rest))
}
