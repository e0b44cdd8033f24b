//! Which line of which journal a report was made from: the mark that every form of it carries, and how it is found again.

use super::document::Report;
use serde::Serialize;

/// Before the mark in a page and in Markdown.
const SIGN: &str = "runplan-report";

/// Where a report was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seal {
    pub run: String,
    /// Lines the journal had.
    pub lines: u64,
    /// Hash of the last of them.
    pub head: String,
    /// The version that wrote the report: another one words it differently.
    pub version: String,
}

impl Seal {
    pub fn of(report: &Report) -> Self {
        Self {
            run: report.run.clone(),
            lines: report.lines,
            head: report.head.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// As it stands in a page or in Markdown: a comment that nobody sees.
    pub fn comment(&self) -> String {
        format!(
            "<!-- {SIGN} run={} lines={} head={} version={} -->",
            self.run, self.lines, self.head, self.version
        )
    }

    /// The mark of a report in any form. None: it is no report.
    pub fn find(text: &str) -> Option<Self> {
        if text.trim_start().starts_with('{') {
            let report: serde_json::Value = serde_json::from_str(text).ok()?;
            let word = |name: &str| report.get(name)?.as_str().map(str::to_owned);
            return Some(Self {
                run: word("run")?,
                lines: report.get("lines")?.as_u64()?,
                head: word("head")?,
                version: word("made_with")?,
            });
        }
        // The last one: a value that quotes another report's mark stands before the report's own.
        let (_, rest) = text.rsplit_once(&format!("<!-- {SIGN} "))?;
        let (mark, _) = rest.split_once(" -->")?;
        let word = |name: &str| {
            let found = mark.split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            found.map(str::to_owned)
        };
        Some(Self {
            run: word("run")?,
            lines: word("lines")?.parse().ok()?,
            head: word("head")?,
            version: word("version")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_again_and_a_quoted_one_is_not_taken_for_it() {
        let seal = Seal { run: "a-1".into(), lines: 7, head: "ab".into(), version: "0.1.0".into() };
        let forged = Seal { run: "b-2".into(), ..seal.clone() };
        let page = format!("{}\ntext\n{}\n", forged.comment(), seal.comment());
        assert_eq!(Seal::find(&page), Some(seal));
        assert_eq!(Seal::find("# a page"), None);
        assert_eq!(Seal::find("{\"run\": 1}"), None);
    }
}
