//! What a statement does, read from its tree: tables read and written, what is destroyed, what cannot be seen.
//! It must never count what only defines something for later, such as the body of a function, as done.

use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::condition::{Target, is_unlimited};
use super::name::Object;
use super::relation::{is_cte, relations};
use super::script::{Destruction, Effect, Opaque, Write};
use super::tree::{child, has_token, names, object, span, walk};
use super::{destroy, function};

/// Everything the statement does. `offset` is where it starts in the whole text.
pub(super) fn effects(root: &SyntaxNode, offset: usize) -> Vec<Effect> {
    let mut reader = Reader { offset, reads: Vec::new(), effects: Vec::new() };
    walk(root, |node| reader.node(node));
    let mut effects = reader.effects;
    if !reader.reads.is_empty() {
        effects.insert(0, Effect::Reads { tables: reader.reads });
    }
    effects
}

struct Reader {
    offset: usize,
    reads: Vec<Object>,
    effects: Vec<Effect>,
}

impl Reader {
    /// Takes note of one node and says whether to look inside.
    fn node(&mut self, node: &SyntaxNode) -> bool {
        use SyntaxKind as K;
        match node.kind() {
            // Definitions: what they hold runs later, or never.
            K::PREPARE | K::CREATE_VIEW | K::CREATE_FUNCTION | K::CREATE_PROCEDURE | K::CREATE_RULE => {
                return false;
            }
            K::CREATE_POLICY | K::CREATE_TRIGGER | K::ALTER_POLICY => return false,
            K::CREATE_TABLE | K::CREATE_DOMAIN => return false,
            K::EXPLAIN => return self.explain(node),
            K::RELATION_FROM_ITEM | K::TABLE if !is_cte(node) => {
                self.reads.extend(child_relation(node, self.offset));
            }
            K::INSERT => self.write(Write::Insert, node),
            K::UPDATE => self.change_rows(Write::Update, Destruction::UpdateAll, node),
            K::DELETE => self.change_rows(Write::Delete, Destruction::DeleteAll, node),
            K::MERGE => self.merge(node),
            K::SELECT_INTO => self.create(child(node, K::INTO_CLAUSE).as_ref().unwrap_or(node)),
            K::CREATE_TABLE_AS | K::CREATE_MATERIALIZED_VIEW => self.create(node),
            K::REFRESH => {
                self.effects.push(Effect::Writes { how: Write::Refresh, tables: names(node, self.offset) })
            }
            K::COPY => self.copy(node),
            K::LOCKING_CLAUSE => self.lock_rows(node),
            K::LOCK => self.effects.push(Effect::Locks { tables: names(node, self.offset) }),
            K::DO => self.opaque(Opaque::DoBody, node),
            K::CALL => self.opaque(Opaque::Call, node),
            K::EXECUTE => self.opaque(Opaque::Execute, node),
            K::LOAD => self.opaque(Opaque::Load, node),
            K::CALL_EXPR => self.call(node),
            _ => self.effects.extend(destroy::definition(node, self.offset)),
        }
        true
    }

    fn opaque(&mut self, why: Opaque, node: &SyntaxNode) {
        self.effects.push(Effect::Opaque { why, range: span(node, self.offset) });
    }

    fn call(&mut self, node: &SyntaxNode) {
        if let Some(why) = function::hidden_effect(node) {
            self.opaque(why, node);
        }
    }

    fn write(&mut self, how: Write, node: &SyntaxNode) {
        let tables = child_relation(node, self.offset).into_iter().collect();
        self.effects.push(Effect::Writes { how, tables });
    }

    fn create(&mut self, node: &SyntaxNode) {
        let named = node.children().find_map(|child| match child.kind() {
            SyntaxKind::TABLE_NAME | SyntaxKind::VIEW => object(&child, self.offset),
            _ => None,
        });
        self.effects.push(Effect::Writes { how: Write::Create, tables: named.into_iter().collect() });
    }

    /// UPDATE or DELETE; destructive when nothing limits the rows.
    fn change_rows(&mut self, how: Write, all: Destruction, node: &SyntaxNode) {
        self.write(how, node);
        let limited = match child(node, SyntaxKind::WHERE_CLAUSE).and_then(|clause| clause.children().next())
        {
            Some(condition) => !is_unlimited(&condition, &self.target(node)),
            None => child(node, SyntaxKind::WHERE_CURRENT_OF).is_some(),
        };
        if !limited {
            let objects = child_relation(node, self.offset).into_iter().collect();
            self.effects.push(destroy::effect(all, objects, false, span(node, self.offset)));
        }
    }

    /// How the conditions of a statement may call its target.
    fn target(&self, node: &SyntaxNode) -> Target {
        let alias = node.children().find_map(|child| match child.kind() {
            SyntaxKind::OPTIONAL_AS_ALIAS => child.children().find_map(|alias| object(&alias, self.offset)),
            _ => None,
        });
        let named = alias.or_else(|| child_relation(node, self.offset));
        Target::Named(named.map(|object| object.name).unwrap_or_default())
    }

    fn merge(&mut self, node: &SyntaxNode) {
        self.write(Write::Merge, node);
        let target = self.target(node);
        let on =
            child(node, SyntaxKind::USING_ON_CLAUSE).and_then(|using| child(&using, SyntaxKind::ON_CLAUSE));
        let joins_all = on.and_then(|on| on.children().next()).is_some_and(|on| is_unlimited(&on, &target));
        for branch in node.children() {
            let condition =
                child(&branch, SyntaxKind::MERGE_CONDITION).and_then(|given| given.children().next());
            let limited = condition.is_some_and(|condition| !is_unlimited(&condition, &Target::Joined));
            let unmatched = branch.kind() == SyntaxKind::MERGE_WHEN_NOT_MATCHED_SOURCE;
            let (what, action) = if let Some(action) = child(&branch, SyntaxKind::MERGE_DELETE) {
                (Destruction::MergeDelete, action)
            } else if let Some(action) =
                child(&branch, SyntaxKind::MERGE_UPDATE).filter(|_| unmatched || joins_all)
            {
                (Destruction::MergeUpdate, action)
            } else {
                continue;
            };
            if !limited {
                let objects = child_relation(node, self.offset).into_iter().collect();
                self.effects.push(destroy::effect(what, objects, false, span(&action, self.offset)));
            }
        }
    }

    fn copy(&mut self, node: &SyntaxNode) {
        let table = child(node, SyntaxKind::COPY_TABLE).and_then(|table| child_relation(&table, self.offset));
        let from = child(node, SyntaxKind::COPY_FROM);
        let way = from.clone().or_else(|| child(node, SyntaxKind::COPY_TO));
        match (from, table) {
            (Some(_), table) => {
                self.effects.push(Effect::Writes { how: Write::Copy, tables: table.into_iter().collect() });
            }
            (None, table) => self.reads.extend(table),
        }
        // The parser uses the same node for a program and for a file of the server.
        let Some(file) = way.as_ref().and_then(|way| child(way, SyntaxKind::COPY_PROGRAM)) else { return };
        if has_token(&file, SyntaxKind::PROGRAM_KW) {
            self.opaque(Opaque::Program, &file);
        } else if child(node, SyntaxKind::COPY_TO).is_some() {
            self.effects
                .push(Effect::Changes { what: "copy to a file of the server".into(), objects: Vec::new() });
        }
    }

    /// FOR UPDATE and its like; OF names aliases, so all tables of the query are taken.
    fn lock_rows(&mut self, clause: &SyntaxNode) {
        let from = clause.parent().and_then(|query| child(&query, SyntaxKind::FROM_CLAUSE));
        let tables = from.map(|from| relations(&from, self.offset)).unwrap_or_default();
        self.effects.push(Effect::Locks { tables });
    }

    /// EXPLAIN only plans, EXPLAIN ANALYZE does it.
    fn explain(&mut self, node: &SyntaxNode) -> bool {
        let runs = child(node, SyntaxKind::EXPLAIN_ANALYZE).is_some()
            || has_token(node, SyntaxKind::ANALYZE_KW)
            || node
                .children()
                .filter(|list| list.kind() == SyntaxKind::EXPLAIN_OPTION_LIST)
                .any(|list| analyzes(&list));
        if !runs {
            self.reads.extend(relations(node, self.offset));
            self.effects.push(Effect::Session);
        }
        runs
    }
}

fn analyzes(options: &SyntaxNode) -> bool {
    options.children().any(|option| {
        let text = option.text().to_string().to_ascii_lowercase();
        let mut words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
        let analyze = words.next().is_some_and(|word| word.starts_with("analy"));
        analyze && !words.next().is_some_and(|value| matches!(value, "false" | "off" | "0"))
    })
}

/// The first relation that a node names itself.
fn child_relation(node: &SyntaxNode, offset: usize) -> Option<Object> {
    use SyntaxKind as K;
    node.children().find_map(|child| match child.kind() {
        K::RELATION_NAME_REF | K::TABLE_NAME_REF => object(&child, offset),
        K::RELATION_NAME | K::TABLE_RELATION_NAME => names(&child, offset).into_iter().next(),
        _ => None,
    })
}
