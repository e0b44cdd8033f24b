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

    /// Where in the YAML file a range of the text stands. Exact for plain, simply quoted and `|` text; for folded and
    /// escaped text the whole scalar.
    pub fn locate(&self, range: std::ops::Range<usize>, source: &str) -> Span {
        let whole = self.span;
        let Some(written) = source.get(whole.range()) else { return whole };
        let (start, end) = match self.style {
            Style::Literal => {
                match (literal(&self.raw, written, range.start), literal(&self.raw, written, range.end)) {
                    (Some(start), Some(end)) => (start, end),
                    _ => return whole,
                }
            }
            Style::Plain | Style::Quoted | Style::Folded => {
                let inner = written.strip_prefix(['"', '\'']).unwrap_or(written);
                let skip = written.len() - inner.len();
                if !inner.starts_with(self.raw.as_str()) {
                    return whole;
                }
                (skip + range.start, skip + range.end)
            }
        };
        if start > end || whole.start + end > whole.end.max(whole.start + written.len()) {
            return whole;
        }
        Span { file: whole.file, start: whole.start + start, end: whole.start + end }
    }

    pub fn file(&self) -> FileId {
        self.span.file
    }
}

/// The offset in a `|` block (as written, header line included) of an offset in its text.
fn literal(raw: &str, written: &str, offset: usize) -> Option<usize> {
    let before = raw.get(..offset)?;
    let line = before.matches('\n').count();
    let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
    // The span of a block scalar begins at its `|` or at its first line of content.
    let body = if written.starts_with('|') { written.find('\n')? + 1 } else { 0 };
    let raw_first = raw.lines().find(|line| !line.trim().is_empty())?;
    let mut at = body;
    let mut indent = None;
    for text in written[body..].split_inclusive('\n') {
        if !text.trim().is_empty() {
            let own = raw_first.len() - raw_first.trim_start_matches(' ').len();
            indent = Some((text.len() - text.trim_start_matches(' ').len()).saturating_sub(own));
            break;
        }
    }
    let indent = indent?;
    for (index, text) in written[body..].split_inclusive('\n').enumerate() {
        if index == line {
            // The first line of a span that begins after the indentation has none to skip.
            let own_indent = text.len() - text.trim_start_matches(' ').len();
            return Some(at + indent.min(own_indent) + column);
        }
        at += text.len();
    }
    Some(written.len())
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
