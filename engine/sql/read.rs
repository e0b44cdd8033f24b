//! Reading a whole text: cut it, parse each statement by itself, and put together what is known of it.
//! An error in one statement must never hide another.

use std::collections::HashSet;

use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::lex::{Kind as Lexical, Token, tokens};
use super::name::Object;
use super::script::{
    Effect, Kind, Opaque, Remark, RemarkKind, Script, Statement, SyntaxError, Transactional,
};
use super::words::{self, Words};
use super::{depth, effect, remark, split, tree};

/// Reads a text of SQL. Never fails: what cannot be read is in `errors`.
pub fn read(text: &str) -> Script {
    let tokens = tokens(text);
    let mut reader = Reader { text, script: Script::default(), moved: false, shadowed: HashSet::new() };
    for piece in split::pieces_of(text, &tokens) {
        reader.piece(tokens.get(piece).unwrap_or_default());
    }
    let mut script = reader.script;
    script.errors.extend(tokens.iter().filter_map(|token| lexical_error(text, token)));
    script.errors.sort_by_key(|error| error.range.start);
    script
}

struct Reader<'t> {
    text: &'t str,
    script: Script,
    /// The search path is no longer the one the session began with.
    moved: bool,
    /// Temporary tables of this script, which hide others of the same name.
    shadowed: HashSet<String>,
}

impl Reader<'_> {
    fn piece(&mut self, tokens: &[Token]) {
        let spoken = |token: &Token| !token.is_trivia() && !token.is_punct(self.text, ';');
        let Some(first) = tokens.iter().position(spoken) else { return };
        let last = tokens.iter().rposition(spoken).unwrap_or(first);
        let tokens = tokens.get(first..=last).unwrap_or_default();
        let range = tokens.first().map_or(0, |token| token.range.start)
            ..tokens.last().map_or(0, |token| token.range.end);
        let text = self.text.get(range.clone()).unwrap_or_default().to_owned();
        let mut statement = Statement {
            range,
            text,
            kind: Kind::Other,
            effects: Vec::new(),
            findings: Vec::new(),
            transactional: Transactional::Yes,
        };
        match tokens {
            [meta] if meta.kind == Lexical::Meta => meta_command(&mut statement),
            _ => self.statement(&mut statement, tokens),
        }
        self.script.statements.push(statement);
    }

    fn statement(&mut self, statement: &mut Statement, tokens: &[Token]) {
        let words = Words::new(self.text, tokens);
        statement.kind = words::kind(&words);
        statement.transactional = words::transactional(&words);
        statement.findings.extend(words::control(&words));
        let broken = tokens.iter().any(|token| lexical_error(self.text, token).is_some());
        let offset = statement.range.start;
        let parsed = match depth::excess(self.text, tokens) {
            Some((range, message)) => Err(SyntaxError { message, range }),
            None => tree::parse(&statement.text, offset),
        };
        let tree = match parsed {
            Ok(tree) => tree,
            Err(error) => {
                self.script.errors.push(error);
                statement.effects.push(unreadable(statement));
                return;
            }
        };
        if !broken {
            self.script.errors.extend(tree.errors.iter().cloned());
        }
        if let Some(kind) = kind_of(&tree.root) {
            statement.kind = kind;
        }
        statement.effects = effect::effects(&tree.root, offset);
        statement.findings.extend(remark::remarks(&tree.root, offset));
        self.base_effect(statement, &words, &tree);
        if statement.effects.is_empty() {
            statement.effects.push(unreadable(statement));
        }
        self.resolve(statement, &tree.root);
    }

    /// The effect that follows from the kind of statement alone.
    fn base_effect(&self, statement: &mut Statement, words: &Words, tree: &tree::Tree) {
        let broken = !tree.errors.is_empty();
        let objects = || changed(words, &tree.root, statement.range.start);
        let has_objects = |effect: &Effect| !matches!(effect, Effect::Reads { .. } | Effect::Session);
        let base = match &statement.kind {
            _ if broken && !statement.effects.iter().any(has_objects) => unreadable(statement),
            Kind::Select if statement.effects.is_empty() => Effect::Reads { tables: Vec::new() },
            Kind::Ddl(what) if words.at(0) != "DROP" => {
                Effect::Changes { what: what.clone(), objects: objects() }
            }
            Kind::Transaction(_) => Effect::Session,
            Kind::Utility(word) if SESSION.contains(&word.as_str()) => Effect::Session,
            Kind::Utility(word) if statement.effects.is_empty() => {
                Effect::Changes { what: word.clone(), objects: objects() }
            }
            _ => return,
        };
        statement.effects.push(base);
    }

    /// Marks names that this script itself made ambiguous.
    fn resolve(&mut self, statement: &mut Statement, root: &SyntaxNode) {
        for object in statement.effects.iter_mut().flat_map(objects_mut) {
            let ambiguous =
                object.name.len() == 1 && (self.moved || self.shadowed.contains(object.local_name()));
            object.resolved &= !ambiguous;
        }
        self.moved |= statement.findings.iter().any(|remark| remark.kind == RemarkKind::SearchPath);
        self.shadowed.extend(temporary_tables(root));
    }
}

const SESSION: [&str; 12] = [
    "close",
    "deallocate",
    "declare",
    "discard",
    "fetch",
    "listen",
    "move",
    "prepare",
    "reset",
    "set",
    "show",
    "unlisten",
];

fn meta_command(statement: &mut Statement) {
    let word = statement.text.split_whitespace().next().unwrap_or_default();
    statement.kind = Kind::Meta(word.to_owned());
    let remark = Remark { kind: RemarkKind::MetaCommand(word.to_owned()), range: statement.range.clone() };
    statement.findings.push(remark);
    statement.effects.push(unreadable(statement));
}

fn unreadable(statement: &Statement) -> Effect {
    Effect::Opaque { why: Opaque::Unreadable, range: statement.range.clone() }
}

/// What the lexer alone refuses.
fn lexical_error(text: &str, token: &Token) -> Option<SyntaxError> {
    let written = token.text(text);
    let message = match token.kind {
        Lexical::Ident if written.starts_with('\u{feff}') => "a byte order mark".to_owned(),
        _ if written.contains('\0') => "a NUL character".to_owned(),
        Lexical::Error => format!("unexpected `{written}`"),
        Lexical::BlockComment if !token.closed => "the comment is not closed".to_owned(),
        Lexical::QuotedIdent if !token.closed => "the quoted identifier is not closed".to_owned(),
        Lexical::QuotedIdent if written.ends_with("\"\"") && written.len() == 2 => {
            "an empty identifier".to_owned()
        }
        _ if !token.closed => "the string is not closed".to_owned(),
        _ => return None,
    };
    Some(SyntaxError { message, range: token.range.clone() })
}

/// The kind that only the parser knows: what follows WITH or a parenthesis.
fn kind_of(root: &SyntaxNode) -> Option<Kind> {
    use SyntaxKind as K;
    match root.children().next()?.kind() {
        K::SELECT | K::SELECT_INTO | K::COMPOUND_SELECT | K::PAREN_SELECT | K::VALUES | K::TABLE => {
            Some(Kind::Select)
        }
        K::INSERT => Some(Kind::Insert),
        K::UPDATE => Some(Kind::Update),
        K::DELETE => Some(Kind::Delete),
        K::MERGE => Some(Kind::Merge),
        _ => None,
    }
}

/// What a definition is about: everything that GRANT and REVOKE are on, otherwise the first name.
fn changed(words: &Words, root: &SyntaxNode, offset: usize) -> Vec<Object> {
    let mut on = None;
    if matches!(words.at(0), "GRANT" | "REVOKE") {
        let statement = root.children().next();
        on = statement.and_then(|statement| tree::child(&statement, SyntaxKind::ON_PRIVILEGE_OBJECTS_CLAUSE));
    }
    match on {
        Some(on) => tree::names(&on, offset),
        None => tree::names(root, offset).into_iter().take(1).collect(),
    }
}

fn objects_mut(effect: &mut Effect) -> &mut [Object] {
    match effect {
        Effect::Reads { tables } | Effect::Writes { tables, .. } | Effect::Locks { tables } => tables,
        Effect::Changes { objects, .. } | Effect::Destroys { objects, .. } => objects,
        Effect::Session | Effect::Opaque { .. } => &mut [],
    }
}

fn temporary_tables(root: &SyntaxNode) -> Vec<String> {
    use SyntaxKind as K;
    let mut created = Vec::new();
    tree::walk(root, |node| {
        let table = tree::child(node, K::TABLE_NAME).or_else(|| tree::child(node, K::VIEW));
        if let Some(table) = table.filter(|_| tree::child(node, K::TEMP).is_some()) {
            created.extend(tree::object(&table, 0).map(|object| object.local_name().to_owned()));
        }
        true
    });
    created
}
