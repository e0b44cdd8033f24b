//! YAML text -> a tree in which every key and value knows its place. Aliases and merge keys are resolved here, within
//! limits; nothing else is interpreted.

use super::finding::Finding;
use super::source::{FileId, Sp, Span};
use granit_parser::{Event, Parser, ScalarStyle};
use std::collections::HashMap;

/// What a plan file may cost to read.
pub const LARGEST_FILE: usize = 8 * 1024 * 1024;
const MOST_NODES: usize = 1_000_000;
const DEEPEST: usize = 64;

#[derive(Debug, Clone)]
pub struct Node {
    pub span: Span,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub enum Kind {
    Scalar { text: String, style: Style },
    List(Vec<Node>),
    Map(Vec<(Sp<String>, Node)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Quoted,
    Literal,
    Folded,
}

impl Node {
    /// A short word for messages: what stands here instead of what was wanted.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar { text, style: Style::Plain } if is_null(text) => "nothing",
            Kind::Scalar { text, style: Style::Plain } => match text.as_str() {
                "true" | "false" => "a boolean",
                text if text.parse::<f64>().is_ok() => "a number",
                _ => "a text",
            },
            Kind::Scalar { .. } => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, style: Style::Plain } if is_null(text))
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(k, _)| k.value == key).map(|(_, node)| node),
            Kind::Scalar { .. } | Kind::List(_) => None,
        }
    }
}

pub fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null")
}

/// Reads one YAML document.
///
/// # Errors
/// Findings: not YAML, more than one document, an unknown alias, a duplicate key, over a limit.
pub fn read(text: &str, file: FileId) -> Result<Node, Vec<Finding>> {
    // The first character, which may be a mark of several bytes.
    let whole = Span::new(file, 0..text.chars().next().map_or(0, char::len_utf8));
    if text.len() > LARGEST_FILE {
        let message = format!("the file has {} bytes; a plan may have {LARGEST_FILE}", text.len());
        return Err(vec![
            Finding::error("runplan::yaml::too_large", whole, message)
                .help("split it, or move SQL and data into files of their own"),
        ]);
    }
    let mut builder = Builder::new(text, file);
    let root = builder.document();
    match root {
        Ok(Some(root)) if builder.findings.is_empty() => Ok(root),
        Ok(Some(_)) => Err(builder.findings),
        Ok(None) => Err(vec![
            Finding::error("runplan::yaml::empty", whole, "the file holds no YAML document")
                .help("a plan begins with `runplan: 1`, a `name` and its `steps`; `runplan schema plan` tells the rest"),
        ]),
        Err(finding) => {
            builder.findings.push(*finding);
            Err(builder.findings)
        }
    }
}

type Step<T> = Result<T, Box<Finding>>;

struct Builder<'t> {
    text: &'t str,
    file: FileId,
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    findings: Vec<Finding>,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str, file: FileId) -> Self {
        let parser = Parser::new_from_str(text);
        Self { text, file, parser, anchors: HashMap::new(), nodes: 0, findings: Vec::new() }
    }

    fn next(&mut self) -> Step<(Event<'t>, Span)> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok((event, span))) => {
                    let range = span.byte_range().unwrap_or(0..0);
                    return Ok((event, Span::new(self.file, range)));
                }
                Some(Err(error)) => return Err(Box::new(self.syntax(&error))),
                None => {
                    return Ok((Event::StreamEnd, Span::new(self.file, self.text.len()..self.text.len())));
                }
            }
        }
    }

    fn syntax(&self, error: &granit_parser::ScanError) -> Finding {
        let at = error.marker().byte_offset().unwrap_or(0).min(self.text.len());
        let mut end = (at + 1).min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        let span = Span::new(self.file, at..end);
        let mut finding =
            Finding::error("runplan::yaml::syntax", span, format!("this is not YAML: {}", error.info()))
                .label("the reader stopped here");
        let line_start = self.text[..at].rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        finding.help = Some(if line.contains('\t') && line.trim_start_matches(' ').starts_with('\t') {
            "indent with spaces; YAML does not allow tabs".to_owned()
        } else if line.contains("{{") {
            "put quotes around a value that holds `{{ }}` or one of `, : { } #`".to_owned()
        } else {
            "check the indentation and the quotes of this line and the one above".to_owned()
        });
        finding
    }

    fn document(&mut self) -> Step<Option<Node>> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart => {}
                Event::DocumentStart(..) => break,
                Event::StreamEnd => return Ok(None),
                _ => {
                    return Err(Box::new(Finding::error(
                        "runplan::yaml::syntax",
                        span,
                        "unexpected content",
                    )));
                }
            }
        }
        let (event, span) = self.next()?;
        let root = self.node(event, span, 0)?;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(Some(root)),
                Event::DocumentStart(..) => {
                    return Err(Box::new(
                        Finding::error("runplan::yaml::documents", span, "a second document begins here")
                            .help("a plan is one YAML document; remove the `---`"),
                    ));
                }
                _ => {}
            }
        }
    }

    fn count(&mut self, more: usize, span: Span) -> Step<()> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MOST_NODES {
            let message = format!("the file grows beyond {MOST_NODES} values");
            return Err(Box::new(
                Finding::error("runplan::yaml::too_many_values", span, message)
                    .help("aliases of aliases multiply; write the values out or use fewer"),
            ));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Step<Node> {
        self.count(1, span)?;
        if depth > DEEPEST {
            let message = format!("values are nested deeper than {DEEPEST}");
            return Err(Box::new(Finding::error("runplan::yaml::too_deep", span, message)));
        }
        let anchor = event.anchor_id();
        let node = match event {
            Event::Scalar(text, style, ..) => Node { span, kind: scalar(text.into_owned(), style) },
            Event::SequenceStart(..) => self.list(span, depth)?,
            Event::MappingStart(..) => self.map(span, depth)?,
            Event::Alias(id, ..) => {
                let Some(target) = self.anchors.get(&id).cloned() else {
                    return Err(Box::new(Finding::error("runplan::yaml::alias", span, "unknown alias")));
                };
                self.count(size(&target), span)?;
                target
            }
            _ => {
                return Err(Box::new(Finding::error(
                    "runplan::yaml::syntax",
                    span,
                    "a value is missing here",
                )));
            }
        };
        if let Some(id) = anchor.filter(|id| *id > 0) {
            self.anchors.entry(id).or_insert_with(|| node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, start: Span, depth: usize) -> Step<Node> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                let end = items.last().map_or(span.end, |node: &Node| node.span.end.max(start.end));
                return Ok(Node { span: Span { end, ..start }, kind: Kind::List(items) });
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, start: Span, depth: usize) -> Step<Node> {
        let mut entries: Vec<(Sp<String>, Node)> = Vec::new();
        let mut seen: HashMap<String, Span> = HashMap::new();
        let mut merges = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => {
                    let end = entries.last().map_or(span.end, |(_, node)| node.span.end.max(start.end));
                    let mut node = Node { span: Span { end, ..start }, kind: Kind::Map(entries) };
                    for merged in merges {
                        merge(&mut node, merged);
                    }
                    return Ok(node);
                }
                Event::Scalar(text, ..) => Sp::new(text.into_owned(), span),
                _ => {
                    let finding = Finding::error("runplan::yaml::key", span, "a key must be a plain text");
                    return Err(Box::new(
                        finding.help("put quotes around a value that begins with `{{`, `[` or `{`"),
                    ));
                }
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            if key.value == "<<" {
                merges.push(value);
            } else if let Some(first) = seen.get(&key.value) {
                self.findings.push(duplicate(&key, *first, self.text));
            } else {
                seen.insert(key.value.clone(), key.span);
                entries.push((key, value));
            }
        }
    }
}

fn duplicate(key: &Sp<String>, first: Span, text: &str) -> Finding {
    let line = text[..first.start.min(text.len())].matches('\n').count() + 1;
    let message = format!("the key `{}` is given twice", key.value);
    Finding::error("runplan::yaml::duplicate_key", key.span, message)
        .label("second time here")
        .help(format!("it is given first in line {line}; keep one of the two"))
}

fn scalar(text: String, style: ScalarStyle) -> Kind {
    let style = match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    };
    Kind::Scalar { text, style }
}

fn size(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar { .. } => 1,
        Kind::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Kind::Map(entries) => 1 + entries.iter().map(|(_, node)| size(node)).sum::<usize>(),
    }
}

/// `<<: *base`: keys that the mapping itself does not give.
fn merge(into: &mut Node, from: Node) {
    let Kind::Map(entries) = &mut into.kind else { return };
    match from.kind {
        Kind::Map(more) => {
            for (key, value) in more {
                if !entries.iter().any(|(known, _)| known.value == key.value) {
                    entries.push((key, value));
                }
            }
        }
        Kind::List(maps) => {
            for map in maps {
                merge(into, map);
            }
        }
        Kind::Scalar { .. } => {}
    }
}
