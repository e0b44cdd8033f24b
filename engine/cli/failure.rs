//! What the codes of a failing program or run mean, one line each in `codes.txt`: code, meaning, remedy. The codes of a
//! plan's findings, which have examples too, are `check`'s.

use std::sync::OnceLock;

/// A code that a command, a step or the journal can fail with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `runplan::store::held`
    pub code: String,
    pub meaning: &'static str,
    pub remedy: &'static str,
}

impl Failure {
    /// `held`
    pub fn last_word(&self) -> &str {
        self.code.rsplit("::").next().unwrap_or_default()
    }
}

/// All of them, in order.
pub fn failures() -> &'static [Failure] {
    static FAILURES: OnceLock<Vec<Failure>> = OnceLock::new();
    FAILURES.get_or_init(|| include_str!("codes.txt").lines().filter_map(read).collect())
}

fn read(line: &'static str) -> Option<Failure> {
    let (code, rest) = line.split_once('|')?;
    let (meaning, remedy) = rest.split_once('|')?;
    Some(Failure { code: format!("runplan::{code}"), meaning, remedy })
}

/// Those that a name means: the whole code, its last two words, or its last one.
pub fn meant(name: &str) -> Vec<&'static Failure> {
    let whole = failures().iter().filter(|failure| {
        failure.code == name || failure.code.strip_prefix("runplan::").is_some_and(|code| code == name)
    });
    let found: Vec<_> = whole.collect();
    if !found.is_empty() {
        return found;
    }
    failures().iter().filter(|failure| failure.last_word() == name).collect()
}
