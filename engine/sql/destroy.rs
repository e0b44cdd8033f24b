//! Definitions that take something away: DROP, TRUNCATE, ALTER ... DROP COLUMN and ALTER COLUMN ... TYPE.

use std::ops::Range;

use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::name::Object;
use super::script::{Destruction, Effect};
use super::tree::{child, names, span, walk};

/// The destructive effect, with its scope.
pub(super) fn effect(what: Destruction, objects: Vec<Object>, cascade: bool, range: Range<usize>) -> Effect {
    Effect::Destroys { scope: what.scope(), what, objects, cascade, range }
}

/// What the node itself destroys, if anything.
pub(super) fn definition(node: &SyntaxNode, offset: usize) -> Option<Effect> {
    let cascade = child(node, SyntaxKind::CASCADE).is_some();
    let range = span(node, offset);
    let what = match node.kind() {
        SyntaxKind::TRUNCATE => Destruction::Truncate,
        SyntaxKind::DROP_COLUMN => Destruction::DropColumn { column: local_name(node) },
        SyntaxKind::DROP_ATTRIBUTE => Destruction::DropAttribute { attribute: local_name(node) },
        SyntaxKind::DROP_CONSTRAINT => Destruction::DropConstraint,
        SyntaxKind::SET_TYPE => Destruction::RetypeColumn { column: local_name(&node.parent()?) },
        kind => Destruction::Drop(dropped(kind)?.to_owned()),
    };
    let objects = match what {
        Destruction::Drop(_) | Destruction::Truncate => names(node, offset),
        _ => altered(node, offset).into_iter().collect(),
    };
    Some(effect(what, objects, cascade, range))
}

fn local_name(node: &SyntaxNode) -> String {
    names(node, 0).first().map(|name| name.local_name().to_owned()).unwrap_or_default()
}

/// The table or type whose ALTER holds this action.
fn altered(action: &SyntaxNode, offset: usize) -> Option<Object> {
    let mut statement = action.clone();
    while let Some(parent) = statement.parent().filter(|parent| parent.kind() != SyntaxKind::SOURCE_FILE) {
        statement = parent;
    }
    let mut first = None;
    walk(&statement, |node| {
        if first.is_none() && matches!(node.kind(), SyntaxKind::PATH_REF | SyntaxKind::PATH) {
            first = super::tree::object(node, offset);
        }
        first.is_none()
    });
    first
}

fn dropped(kind: SyntaxKind) -> Option<&'static str> {
    use SyntaxKind as K;
    Some(match kind {
        K::DROP_ACCESS_METHOD => "access method",
        K::DROP_AGGREGATE => "aggregate",
        K::DROP_CAST => "cast",
        K::DROP_COLLATION => "collation",
        K::DROP_CONVERSION => "conversion",
        K::DROP_DATABASE => "database",
        K::DROP_DOMAIN => "domain",
        K::DROP_EVENT_TRIGGER => "event trigger",
        K::DROP_EXTENSION => "extension",
        K::DROP_FOREIGN_DATA_WRAPPER => "foreign data wrapper",
        K::DROP_FOREIGN_TABLE => "foreign table",
        K::DROP_FUNCTION => "function",
        K::DROP_GROUP => "group",
        K::DROP_INDEX => "index",
        K::DROP_LANGUAGE => "language",
        K::DROP_MATERIALIZED_VIEW => "materialized view",
        K::DROP_OPERATOR => "operator",
        K::DROP_OPERATOR_CLASS => "operator class",
        K::DROP_OPERATOR_FAMILY => "operator family",
        K::DROP_OWNED => "owned",
        K::DROP_POLICY => "policy",
        K::DROP_PROCEDURE => "procedure",
        K::DROP_PROPERTY_GRAPH => "property graph",
        K::DROP_PUBLICATION => "publication",
        K::DROP_ROLE => "role",
        K::DROP_ROUTINE => "routine",
        K::DROP_RULE => "rule",
        K::DROP_SCHEMA => "schema",
        K::DROP_SEQUENCE => "sequence",
        K::DROP_SERVER => "server",
        K::DROP_STATISTICS => "statistics",
        K::DROP_SUBSCRIPTION => "subscription",
        K::DROP_TABLE => "table",
        K::DROP_TABLESPACE => "tablespace",
        K::DROP_TEXT_SEARCH_CONFIG => "text search configuration",
        K::DROP_TEXT_SEARCH_DICT => "text search dictionary",
        K::DROP_TEXT_SEARCH_PARSER => "text search parser",
        K::DROP_TEXT_SEARCH_TEMPLATE => "text search template",
        K::DROP_TRANSFORM => "transform",
        K::DROP_TRIGGER => "trigger",
        K::DROP_TYPE => "type",
        K::DROP_USER => "user",
        K::DROP_USER_MAPPING => "user mapping",
        K::DROP_VIEW => "view",
        _ => return None,
    })
}
