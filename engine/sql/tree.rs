//! The parser behind this module: the only file that calls it, and the helpers that walk its tree.
//! It must never let a parser type out of `sql`.

use std::ops::Range;
use std::panic::catch_unwind;

use squawk_syntax::ast::AstNode;
use squawk_syntax::{SourceFile, SyntaxKind, SyntaxNode};

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
    let errors = errors.iter().map(|error| {
        let (start, end) = (usize::from(error.range().start()), usize::from(error.range().end()));
        SyntaxError { message: fragment(error.message()), range: offset + start..offset + end }
    });
    Ok(Tree { root, errors: errors.collect() })
}

/// A lower-case fragment without a full stop, unless it starts with a keyword.
fn fragment(message: &str) -> String {
    let message = message.trim_end_matches('.');
    let mut letters = message.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            let rest = message.get(first.len_utf8()..).unwrap_or_default();
            first.to_lowercase().chain(rest.chars()).collect()
        }
        _ => message.to_owned(),
    }
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
    let mut names = Vec::new();
    walk(node, |node| {
        if matches!(node.kind(), SyntaxKind::PARAM_LIST | SyntaxKind::PATH_TYPE | SyntaxKind::LITERAL) {
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
            | K::EVENT_TRIGGER_REF
            | K::EXTENSION
            | K::EXTENSION_REF
            | K::FOREIGN_DATA_WRAPPER_REF
            | K::INDEX
            | K::LANGUAGE_REF
            | K::POLICY_REF
            | K::PUBLICATION_REF
            | K::ROLE
            | K::ROLE_NAME_REF
            | K::RULE_REF
            | K::SCHEMA
            | K::SCHEMA_REF
            | K::SERVER_REF
            | K::SUBSCRIPTION_REF
            | K::TABLESPACE_REF
            | K::TRIGGER
            | K::TRIGGER_REF
    )
}
