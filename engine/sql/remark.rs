//! What a reader should be told about a statement beyond its effects: traps, and what a step must not contain.

use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::function;
use super::lex::{Kind, tokens};
use super::name::unquote;
use super::script::{Remark, RemarkKind};
use super::tree::{child, has_token, names, span, walk};

/// The remarks on a statement, in the order of the text.
pub(super) fn remarks(root: &SyntaxNode, offset: usize) -> Vec<Remark> {
    let mut remarks = Vec::new();
    walk(root, |node| {
        let kinds = [of_node(node), of_setting(node)];
        remarks.extend(kinds.into_iter().flatten().map(|kind| Remark { kind, range: span(node, offset) }));
        // What a function sets for itself ends with it.
        !matches!(
            node.kind(),
            SyntaxKind::CREATE_FUNCTION | SyntaxKind::CREATE_PROCEDURE | SyntaxKind::SET_FUNC_OPTION
        )
    });
    remarks
}

fn of_node(node: &SyntaxNode) -> Option<RemarkKind> {
    use SyntaxKind as K;
    match node.kind() {
        // The parser uses the same node for a file.
        K::COPY_PROGRAM if has_token(node, K::PROGRAM_KW) => Some(RemarkKind::CopyProgram),
        K::COPY_STDIN | K::COPY_STDOUT => Some(RemarkKind::CopyStream),
        K::ADD_VALUE => Some(RemarkKind::NewEnumValue),
        K::BIN_EXPR if child(node, K::NOT_IN).is_some() && searches_query(node) => Some(RemarkKind::NotIn),
        K::BIN_EXPR if has_token(node, K::NEQ) || has_token(node, K::NEQB) => {
            let all = child(node, K::CALL_EXPR).and_then(|call| child(&call, K::ALL_FN));
            all.is_some_and(|all| child(&all, K::SELECT).is_some()).then_some(RemarkKind::NotIn)
        }
        K::PREFIX_EXPR if has_token(node, K::NOT_KW) => negates_in(node).then_some(RemarkKind::NotIn),
        _ => None,
    }
}

/// `NOT x IN (SELECT ...)`, with or without parentheses.
fn negates_in(node: &SyntaxNode) -> bool {
    let mut inner = node.children().next();
    while let Some(paren) = inner.as_ref().filter(|inner| inner.kind() == SyntaxKind::PAREN_EXPR) {
        inner = paren.children().next();
    }
    inner.is_some_and(|inner| has_token(&inner, SyntaxKind::IN_KW) && searches_query(&inner))
}

/// True when the right side of IN is a query and not a list.
fn searches_query(node: &SyntaxNode) -> bool {
    use SyntaxKind as K;
    let mut right = node.children().last();
    while let Some(paren) =
        right.as_ref().filter(|right| matches!(right.kind(), K::PAREN_EXPR | K::PAREN_SELECT))
    {
        right = paren.children().next();
    }
    right.is_some_and(|right| matches!(right.kind(), K::SELECT | K::COMPOUND_SELECT | K::TABLE))
}

/// Settings that change what later text means.
fn of_setting(node: &SyntaxNode) -> Option<RemarkKind> {
    use SyntaxKind as K;
    match node.kind() {
        K::SET | K::RESET | K::SET_CONFIG_PARAM if child(node, K::ALL).is_none() => {
            setting(&names(node, 0).first()?.to_string())
        }
        K::RESET | K::DISCARD_ALL => Some(RemarkKind::SearchPath),
        K::SET_SCHEMA_VALUE | K::SET_ROLE | K::SET_SESSION_AUTH => Some(RemarkKind::SearchPath),
        K::RESET_ROLE | K::RESET_SESSION_AUTH => Some(RemarkKind::SearchPath),
        K::CALL_EXPR => of_call(node),
        // pg_settings is a view whose UPDATE is set_config.
        K::UPDATE => {
            let table = names(&node.children().find(|child| child.kind() == K::RELATION_NAME)?, 0);
            (table.first()?.local_name() == "pg_settings").then_some(RemarkKind::SearchPath)
        }
        _ => None,
    }
}

fn setting(name: &str) -> Option<RemarkKind> {
    match name {
        "search_path" | "role" | "session_authorization" => Some(RemarkKind::SearchPath),
        "standard_conforming_strings" => Some(RemarkKind::Quoting),
        _ => None,
    }
}

/// `set_config(name, ...)`; a name that cannot be read may be any.
fn of_call(call: &SyntaxNode) -> Option<RemarkKind> {
    if function::name(call)?.local_name() != "set_config" {
        return None;
    }
    let first = call.children().find(|list| list.kind() == SyntaxKind::ARG_LIST)?.children().next()?;
    let text = first.text().to_string();
    match tokens(&text).as_slice() {
        [only] if only.kind == Kind::String => setting(&unquote(text.trim_matches('\''))),
        _ => Some(RemarkKind::SearchPath),
    }
}
