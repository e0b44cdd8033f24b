//! Which names in a query are tables and which are common table expressions, by PostgreSQL's scoping.

use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::name::{Object, unquote};
use super::tree::{child, has_token, object, walk};

/// All tables that are read from `node` down.
pub(super) fn relations(node: &SyntaxNode, offset: usize) -> Vec<Object> {
    let mut found = Vec::new();
    // Asked once: for each name it would be a walk over all the others.
    let root = node.ancestors().last();
    let has_with =
        root.is_some_and(|root| root.descendants().any(|node| node.kind() == SyntaxKind::WITH_CLAUSE));
    walk(node, |node| {
        if matches!(node.kind(), SyntaxKind::RELATION_FROM_ITEM | SyntaxKind::RELATION_NAME)
            && !(has_with && is_cte(node))
        {
            found.extend(reference(node).and_then(|name| object(&name, offset)));
        }
        true
    });
    found
}

/// The name inside a FROM item, TABLE, or `ONLY name`.
fn reference(item: &SyntaxNode) -> Option<SyntaxNode> {
    let named = child(item, SyntaxKind::RELATION_NAME);
    child(named.as_ref().unwrap_or(item), SyntaxKind::RELATION_NAME_REF)
}

/// True when the unqualified name of this FROM item is that of a WITH query in scope.
pub(super) fn is_cte(item: &SyntaxNode) -> bool {
    let Some(name) = reference(item).map(|name| name.text().to_string()) else { return false };
    let Some(name) = Object::parse(&name, 0).filter(|object| object.name.len() == 1) else { return false };
    let named = |query: &SyntaxNode| defines(query, name.local_name());
    let mut below: Option<SyntaxNode> = None;
    for node in item.ancestors() {
        let visible = match &below {
            // Inside a WITH: only with RECURSIVE does a query see itself and those after it.
            Some(query) if node.kind() == SyntaxKind::WITH_CLAUSE => {
                match has_token(&node, SyntaxKind::RECURSIVE_KW) {
                    true => node.children().any(|query| named(&query)),
                    false => siblings_before(query).any(|query| named(&query)),
                }
            }
            Some(clause) if clause.kind() == SyntaxKind::WITH_CLAUSE => false,
            // They may have thousands of children, and a WITH is none of them.
            _ if matches!(node.kind(), SyntaxKind::FROM_CLAUSE | SyntaxKind::SOURCE_FILE) => false,
            _ => child(&node, SyntaxKind::WITH_CLAUSE)
                .is_some_and(|clause| clause.children().any(|query| named(&query))),
        };
        if visible {
            return true;
        }
        below = Some(node);
    }
    false
}

fn siblings_before(node: &SyntaxNode) -> impl Iterator<Item = SyntaxNode> {
    std::iter::successors(node.prev_sibling(), |node| node.prev_sibling())
}

fn defines(query: &SyntaxNode, name: &str) -> bool {
    query.kind() == SyntaxKind::WITH_TABLE
        && child(query, SyntaxKind::CTE_NAME).is_some_and(|cte| unquote(&cte.text().to_string()) == name)
}
