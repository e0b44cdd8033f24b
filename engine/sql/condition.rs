//! Whether a WHERE limits the rows of its target at all: `WHERE true`, `1 = 1` and a condition that names no
//! column of the target do not. It must never take a condition for a limit because it is complicated.

use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::lex::{Kind, tokens};
use super::name::unquote;
use super::tree::{child, has_token, walk};

/// Whose columns limit the rows.
pub(super) enum Target {
    /// Those of the table with these names: its alias, or itself and its schema.
    Named(Vec<String>),
    /// Any: the rows are already chosen by a join.
    Joined,
}

/// True when every row of the target, or none, satisfies the expression.
pub(super) fn is_unlimited(expression: &SyntaxNode, target: &Target) -> bool {
    let mut todo = vec![expression.clone()];
    // A conjunction limits when one side does, a disjunction when both do; mixed ones go through `mixed`.
    let mut unlimited = true;
    while let Some(node) = todo.pop() {
        match Shape::of(&node) {
            Shape::Wrapped(inner) => todo.push(inner),
            Shape::And(left, right) => todo.extend([right, left]),
            Shape::Or(left, right) => unlimited &= or_is_unlimited(left, right, target),
            Shape::Never => return false,
            Shape::Always => {}
            Shape::Open => unlimited &= !binds(&node, target),
        }
        if !unlimited {
            return false;
        }
    }
    unlimited
}

/// One side that does not limit is enough. The left sides of a long chain are unrolled, not recursed into.
fn or_is_unlimited(mut left: SyntaxNode, right: SyntaxNode, target: &Target) -> bool {
    let mut sides = vec![right];
    while let Shape::Or(further, side) = Shape::of(&left) {
        sides.push(side);
        left = further;
    }
    sides.push(left);
    sides.iter().any(|side| is_unlimited(side, target))
}

enum Shape {
    Wrapped(SyntaxNode),
    And(SyntaxNode, SyntaxNode),
    Or(SyntaxNode, SyntaxNode),
    Always,
    Never,
    Open,
}

impl Shape {
    fn of(node: &SyntaxNode) -> Shape {
        let sides: Vec<SyntaxNode> = node.children().collect();
        match (node.kind(), sides.as_slice()) {
            (SyntaxKind::PAREN_EXPR, [inner]) => Shape::Wrapped(inner.clone()),
            (SyntaxKind::LITERAL, _) if has_token(node, SyntaxKind::TRUE_KW) => Shape::Always,
            (SyntaxKind::LITERAL, _) if has_token(node, SyntaxKind::FALSE_KW) => Shape::Never,
            (SyntaxKind::LITERAL, _) if has_token(node, SyntaxKind::NULL_KW) => Shape::Never,
            (SyntaxKind::PREFIX_EXPR, [inner]) if has_token(node, SyntaxKind::NOT_KW) => {
                Shape::negated(inner)
            }
            (SyntaxKind::BIN_EXPR, [left, right]) if has_token(node, SyntaxKind::AND_KW) => {
                Shape::And(left.clone(), right.clone())
            }
            (SyntaxKind::BIN_EXPR, [left, right]) if has_token(node, SyntaxKind::OR_KW) => {
                Shape::Or(left.clone(), right.clone())
            }
            (SyntaxKind::BIN_EXPR, [left, right]) if has_token(node, SyntaxKind::EQ) && same(left, right) => {
                Shape::Always
            }
            _ => Shape::Open,
        }
    }

    /// NOT of a plain truth value; of anything else it limits as much as what it negates.
    fn negated(inner: &SyntaxNode) -> Shape {
        match Shape::of(inner) {
            Shape::Always => Shape::Never,
            Shape::Never => Shape::Always,
            _ => Shape::Open,
        }
    }
}

/// The same words on both sides, such as `1 = 1` and `id = id`.
fn same(left: &SyntaxNode, right: &SyntaxNode) -> bool {
    let words = |node: &SyntaxNode| -> Vec<String> {
        let text = node.text().to_string();
        let all = tokens(&text);
        let word = |token: &super::lex::Token| match token.kind {
            Kind::Ident | Kind::QuotedIdent => unquote(token.text(&text)),
            _ => token.text(&text).to_owned(),
        };
        all.iter().filter(|token| !token.is_trivia()).map(word).collect()
    };
    words(left) == words(right)
}

/// True when the expression names a column that may be the target's.
fn binds(expression: &SyntaxNode, target: &Target) -> bool {
    let mut found = false;
    walk(expression, |node| {
        match node.kind() {
            SyntaxKind::NAME_REF => found |= is_column(node),
            SyntaxKind::FIELD_EXPR => {
                found |= is_of_target(node, target);
                return !found && !is_plain_path(node);
            }
            SyntaxKind::CALL_EXPR => {
                found |= arguments(node).any(|argument| binds(&argument, target));
                return false;
            }
            _ => {}
        }
        !found
    });
    found
}

/// What a call is given: everything but the function's own name.
fn arguments(call: &SyntaxNode) -> impl Iterator<Item = SyntaxNode> {
    let named = matches!(
        call.children().next().map(|first| first.kind()),
        Some(SyntaxKind::NAME_REF | SyntaxKind::FIELD_EXPR)
    );
    call.children().skip(usize::from(named))
}

/// A name that is no field of something else and no function without parentheses, such as `current_user`.
fn is_column(name: &SyntaxNode) -> bool {
    const NILADIC: [&str; 12] = [
        "current_user",
        "session_user",
        "system_user",
        "user",
        "current_role",
        "current_catalog",
        "current_schema",
        "current_date",
        "current_time",
        "current_timestamp",
        "localtime",
        "localtimestamp",
    ];
    let in_field = name.parent().is_some_and(|parent| parent.kind() == SyntaxKind::FIELD_EXPR);
    if in_field && name.prev_sibling().is_some() {
        return false;
    }
    let text = name.text().to_string();
    !NILADIC.iter().any(|niladic| text.eq_ignore_ascii_case(niladic))
}

/// `a.b`, `a.b.c`: names and dots only.
fn is_plain_path(field: &SyntaxNode) -> bool {
    field.children().all(|part| match part.kind() {
        SyntaxKind::NAME_REF => true,
        SyntaxKind::FIELD_EXPR => is_plain_path(&part),
        _ => false,
    })
}

/// A qualified column whose qualifier is one of the target's names.
fn is_of_target(field: &SyntaxNode, target: &Target) -> bool {
    let Target::Named(names) = target else { return true };
    let mut first = field.clone();
    while let Some(inner) = child(&first, SyntaxKind::FIELD_EXPR) {
        first = inner;
    }
    let qualifier = first.children().next().filter(|part| part.kind() == SyntaxKind::NAME_REF);
    qualifier.is_some_and(|name| names.contains(&unquote(&name.text().to_string())))
}
