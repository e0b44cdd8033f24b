//! Templated text as the author wrote it, with the way back from an offset in it to the YAML file.

use super::decode::{Decode, Reader, Schemas};
use super::finding::Finding;
use super::node::{Kind, Node, Style, is_null};
use super::source::{FileId, Span};
use serde_json::{Value, json};

/// Text that may hold `{{ }}`. Rendered late; compared and shown raw.
#[derive(Debug, Clone)]
pub struct Text {
    pub raw: String,
    pub span: Span,
    style: Style,
}

impl Text {
    /// Text the program makes itself.
    pub fn made(raw: impl Into<String>) -> Self {
        Self { raw: raw.into(), span: Span::default(), style: Style::Plain }
    }

    pub fn written(raw: impl Into<String>, span: Span) -> Self {
        Self { raw: raw.into(), span, style: Style::Plain }
    }

    pub fn has_template(&self) -> bool {
        self.raw.contains("{{") || self.raw.contains("{%") || self.raw.contains("{#")
    }

    /// Where in the YAML file a range of the text stands; the whole scalar when it cannot be told.
    pub fn locate(&self, range: std::ops::Range<usize>, source: &str) -> Span {
        let whole = self.span;
        let as_written = source.get(whole.range()) == Some(self.raw.as_str());
        let found = match self.style {
            _ if as_written => Some(whole.start + range.start..whole.start + range.end),
            // Between quotes, without escapes: no need to walk along it, which thousands of places would do.
            Style::Quoted if source.get(whole.start + 1..whole.end.saturating_sub(1)) == Some(&*self.raw) => {
                Some(whole.start + 1 + range.start..whole.start + 1 + range.end)
            }
            Style::Literal => literal(&self.raw, source, whole.start, range),
            Style::Plain | Style::Quoted | Style::Folded => source
                .get(whole.range())
                .and_then(|written| aligned(&self.raw, written, range))
                .map(|range| whole.start + range.start..whole.start + range.end),
        };
        match found {
            Some(mut range) if range.start <= range.end && range.end <= source.len() => {
                // Whole characters: who found the place may count bytes.
                while !source.is_char_boundary(range.start) {
                    range.start -= 1;
                }
                while !source.is_char_boundary(range.end) {
                    range.end += 1;
                }
                Span::new(whole.file, range)
            }
            _ => whole,
        }
    }

    pub fn file(&self) -> FileId {
        self.span.file
    }
}

/// A `|` block: its span begins after the indentation of its first line that is not empty, and every line of the text is
/// one line of the file.
fn literal(
    raw: &str,
    source: &str,
    start: usize,
    range: std::ops::Range<usize>,
) -> Option<std::ops::Range<usize>> {
    let line_start = source.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
    let indent = start - line_start;
    let empty = raw.bytes().take_while(|byte| *byte == b'\n').count();
    let place = |offset: usize| {
        let before = raw.get(..offset)?;
        let line = before.matches('\n').count().checked_sub(empty)?;
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
        let rest = source.get(line_start..)?;
        let skipped: usize = rest.split_inclusive('\n').take(line).map(str::len).sum();
        let text = rest.get(skipped..)?.lines().next().unwrap_or_default();
        Some(line_start + skipped + (indent + column).min(text.len()))
    };
    Some(place(range.start)?..place(range.end)?)
}

/// Plain, quoted and folded scalars: walks the text beside what is written, over escapes and folded lines.
fn aligned(raw: &str, written: &str, range: std::ops::Range<usize>) -> Option<std::ops::Range<usize>> {
    let quote = written.chars().next().filter(|first| matches!(first, '"' | '\''));
    let mut at = usize::from(quote.is_some());
    let mut start = None;
    let mut offset = 0;
    while offset <= raw.len() {
        if offset >= range.start && start.is_none() {
            start = Some(at);
        }
        if offset >= range.end {
            return Some(start?..at);
        }
        let wanted = raw.get(offset..)?.chars().next()?;
        let rest = written.get(at..)?;
        let have = rest.chars().next();
        if quote == Some('"') && rest.starts_with('\\') {
            let (length, yields) = escape(rest);
            start = start.filter(|start| yields || *start != at);
            at += length;
            offset += if yields { wanted.len_utf8() } else { 0 };
        } else if quote == Some('\'') && rest.starts_with("''") {
            at += 2;
            offset += 1;
        } else if wanted.is_whitespace() {
            // The end of a folded line is one character here, and a line break with indentation there.
            let blank = rest.len() - rest.trim_start().len();
            at +=
                if have == Some(wanted) && !rest[..blank].contains('\n') { wanted.len_utf8() } else { blank };
            offset += wanted.len_utf8();
        } else if have == Some(wanted) {
            at += wanted.len_utf8();
            offset += wanted.len_utf8();
        } else {
            return None;
        }
    }
    None
}

/// How long an escape of a doubly quoted text is, and whether it stands for a character.
fn escape(rest: &str) -> (usize, bool) {
    match rest.as_bytes().get(1) {
        Some(b'x') => (4, true),
        Some(b'u') => (6, true),
        Some(b'U') => (10, true),
        Some(b'\n' | b'\r') => (1 + (rest[1..].len() - rest[1..].trim_start().len()), false),
        _ => (2, true),
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for Text {}

impl Decode for Text {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.kind {
            Kind::Scalar { text, style } if *style != Style::Plain || !is_null(text) => {
                if text.contains('\0') {
                    reader.push(Finding::error(
                        "runplan::plan::nul",
                        node.span,
                        "the text holds a NUL character, which neither a program nor PostgreSQL can take",
                    ));
                    return None;
                }
                Some(Self { raw: text.clone(), span: node.span, style: *style })
            }
            _ => {
                reader.wrong(node, "a text");
                None
            }
        }
    }
    fn schema(schemas: &mut Schemas) -> Value {
        schemas.named("Text", |_| {
            json!({ "type": ["string", "number", "boolean"],
                    "description": "Text; `{{ }}` holds a template over params, secrets, databases, steps, run, site." })
        })
    }
}

/// Where a password stands in the address `scheme://user:password@host`, if it is written out. Bytes of the text.
pub fn written_password(text: &str) -> Option<std::ops::Range<usize>> {
    let mut from = 0;
    while let Some(at) = text[from..].find("://") {
        let start = from + at + 3;
        let end = text[start..].find(['/', '?', '#', '"', '\'']).map_or(text.len(), |at| start + at);
        let password = text[start..end].rfind('@').and_then(|at| {
            let colon = text[start..start + at].find(':')?;
            Some(start + colon + 1..start + at)
        });
        let is_written =
            |range: &std::ops::Range<usize>| !range.is_empty() && !text[range.clone()].contains("{{");
        let is_one_word = |range: &std::ops::Range<usize>| !text[range.clone()].contains(char::is_whitespace);
        if let Some(found) = password.filter(|range| is_written(range) && is_one_word(range)) {
            return Some(found);
        }
        from = start;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::node;

    /// Every `{{ x }}` of the first value of the YAML text is found where it is written.
    fn finds(yaml: &str, times: usize) {
        let node = node::read(yaml, FileId(0)).unwrap();
        let Kind::Map(entries) = &node.kind else { panic!("no mapping") };
        let text = Text::decode(&entries[0].1, &mut Reader::default()).unwrap();
        let written: Vec<usize> = yaml.match_indices("{{ x }}").map(|(at, _)| at).collect();
        let found: Vec<usize> = text
            .raw
            .match_indices("{{ x }}")
            .map(|(at, whole)| text.locate(at..at + whole.len(), yaml))
            .inspect(|span| assert_eq!(&yaml[span.range()], "{{ x }}", "{yaml}"))
            .map(|span| span.start)
            .collect();
        assert_eq!((found.len(), &found), (times, &written), "{yaml}");
    }

    #[test]
    fn places_in_scalars_of_every_style() {
        for (yaml, times) in [
            ("a: |\n  one {{ x }}\n  two\nb: 1\n", 1),
            ("a: |-\n      one {{ x }}\n       two {{ x }}\n\n      {{ x }}\n\nb: 1\n", 3),
            ("a: |2\n    lead {{ x }}\n  two {{ x }}\n", 2),
            ("a: |\n\n  one {{ x }}\r\n  é {{ x }}\n", 2),
            ("a: &n | # note\n  one {{ x }}\n", 1),
            ("a: >-\n  folded {{ x }}\n  more {{ x }}\n\n  {{ x }}\n", 3),
            ("a: plain {{ x }}\n  more {{ x }}\n", 2),
            ("a: 'it''s {{ x }}\n   {{ x }}'\n", 2),
            ("a: \"x\\n\\u00e9 {{ x }} \\\"\\\n   {{ x }}\"\n", 2),
        ] {
            finds(yaml, times);
        }
    }

    #[test]
    fn a_password_in_an_address_is_found_and_nothing_else() {
        let found = |text: &'static str| written_password(text).map(|range| &text[range]);
        assert_eq!(found("postgres://me:hunter2@db.test/app"), Some("hunter2"));
        assert_eq!(found("see http://a.test and https://{{ u }}:p@ss@b.test:80/x"), Some("p@ss"));
        for clean in [
            "http://a.test:80/x@y",
            "http://me@a.test/",
            "http://me:@a.test/",
            "http://me:{{ secrets.P }}@a.test",
            "call http://a.test : b@c.test",
            "a:b@c",
        ] {
            assert_eq!(found(clean), None, "{clean}");
        }
    }
}
