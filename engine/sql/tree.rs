//! The parser behind this module: the only file that calls it, and the helpers that walk its tree.
//! It must never let a parser type out of `sql`.

use std::ops::Range;
use std::panic::catch_unwind;

use squawk_syntax::ast::AstNode;
use squawk_syntax::{SourceFile, SyntaxKind, SyntaxNode};

use super::lex;
use super::name::Object;
use super::script::SyntaxError;

/// A parsed statement.
pub(super) struct Tree {
    pub(super) root: SyntaxNode,
    pub(super) errors: Vec<SyntaxError>,
}

/// Parses one statement that starts at `offset` of the whole text. A defect of the parser is an error of the
/// text, not of the program.
pub(super) fn parse(text: &str, offset: usize) -> Result<Tree, SyntaxError> {
    let parsed = catch_unwind(|| {
        let parsed = SourceFile::parse(text);
        (parsed.tree().syntax().clone(), parsed.errors())
    });
    let range = offset..offset + text.len();
    let (root, errors) = parsed.map_err(|_| SyntaxError { message: "cannot be read".into(), range })?;
    // What follows from the first error is noise.
    let errors = errors.first().map(|error| {
        let (start, end) = (usize::from(error.range().start()), usize::from(error.range().end()));
        let next =
            lex::tokens(text).into_iter().find(|token| !token.is_trivia() && token.range.start >= start);
        let found = next.as_ref().map(|token| token.text(text));
        let place = if start < end {
            start..end
        } else {
            next.as_ref().map_or(start..end, |token| token.range.clone())
        };
        let message = message(error.message(), found);
        SyntaxError { message, range: offset + place.start..offset + place.end }
    });
    Ok(Tree { root, errors: errors.into_iter().collect() })
}

/// The parser's message in our words: it speaks of its own token kinds.
fn message(parser: &str, found: Option<&str>) -> String {
    let message = parser.trim_end_matches('.');
    let (message, kind) = [", found ", ", got "]
        .iter()
        .find_map(|found| message.rsplit_once(found))
        .map_or((message, None), |(before, kind)| (before, Some(kind)));
    let words: Vec<&str> = message.split(' ').map(|word| word.strip_suffix("_KW").unwrap_or(word)).collect();
    let mut message = words.join(" ");
    if let Some(first) = message.get_mut(..1).filter(|_| message_is_sentence(parser)) {
        first.make_ascii_lowercase();
    }
    match (kind, found) {
        (None, _) => message,
        (_, Some(found)) => format!("{message}, found `{found}`"),
        (_, None) => format!("{message}, found the end"),
    }
}

/// True when the first letter is a capital only because it is the first.
fn message_is_sentence(message: &str) -> bool {
    message.as_bytes().get(1).is_some_and(u8::is_ascii_lowercase)
}

/// The bytes of a node in the whole text.
pub(super) fn span(node: &SyntaxNode, offset: usize) -> Range<usize> {
    let range = node.text_range();
    offset + usize::from(range.start())..offset + usize::from(range.end())
}

pub(super) fn child(node: &SyntaxNode, kind: SyntaxKind) -> Option<SyntaxNode> {
    node.children().find(|child| child.kind() == kind)
}

/// True when the node has a token of this kind as its own child.
pub(super) fn has_token(node: &SyntaxNode, kind: SyntaxKind) -> bool {
    node.children_with_tokens().any(|element| element.as_token().is_some_and(|token| token.kind() == kind))
}

/// All nodes from `root` down, in the order of the text; `into` says whether to look inside a node.
pub(super) fn walk(root: &SyntaxNode, mut into: impl FnMut(&SyntaxNode) -> bool) {
    let mut todo = vec![root.clone()];
    while let Some(node) = todo.pop() {
        if into(&node) {
            let first = todo.len();
            todo.extend(node.children());
            if let Some(children) = todo.get_mut(first..) {
                children.reverse();
            }
        }
    }
}

/// The object that a node names, when it is a name.
pub(super) fn object(node: &SyntaxNode, offset: usize) -> Option<Object> {
    let text = node.text().to_string();
    Object::parse(&text, span(node, offset).start)
}

/// The names in a list such as that of DROP: the outermost ones, without what stands in parentheses.
pub(super) fn names(node: &SyntaxNode, offset: usize) -> Vec<Object> {
    use SyntaxKind as K;
    let mut names = Vec::new();
    walk(node, |node| {
        if matches!(node.kind(), K::PARAM_LIST | K::PATH_TYPE | K::LITERAL | K::REVOKE_COMMAND_LIST) {
            return false;
        }
        let name = is_name(node.kind()).then(|| object(node, offset)).flatten();
        let inside = name.is_none();
        names.extend(name);
        inside
    });
    names
}

fn is_name(kind: SyntaxKind) -> bool {
    use SyntaxKind as K;
    matches!(
        kind,
        K::PATH
            | K::PATH_REF
            | K::ACCESS_METHOD_REF
            | K::COLUMN_NAME_REF
            | K::COMPOSITE_FIELD_REF
            | K::CONSTRAINT_NAME_REF
            | K::DATABASE
            | K::DATABASE_REF
            | K::EVENT_TRIGGER
            | K::EVENT_TRIGGER_REF
            | K::EXTENSION
            | K::EXTENSION_REF
            | K::FOREIGN_DATA_WRAPPER
            | K::FOREIGN_DATA_WRAPPER_REF
            | K::INDEX
            | K::LANGUAGE
            | K::LANGUAGE_REF
            | K::POLICY
            | K::POLICY_REF
            | K::PUBLICATION
            | K::PUBLICATION_REF
            | K::ROLE
            | K::ROLE_NAME_REF
            | K::RULE
            | K::RULE_REF
            | K::SCHEMA
            | K::SCHEMA_REF
            | K::SERVER
            | K::SERVER_REF
            | K::SUBSCRIPTION
            | K::SUBSCRIPTION_REF
            | K::TABLESPACE
            | K::TABLESPACE_REF
            | K::TRIGGER
            | K::TRIGGER_REF
    )
}
