//! Reading SQL without a server: where statements begin and end, what each does, whether it can run in a
//! transaction, and whether a dump is what it seems to be. Pure. It must never guess: what cannot be read is
//! said to be opaque.

mod concurrent;
mod condition;
mod cutter;
mod depth;
mod destroy;
pub mod dump;
mod effect;
mod function;
pub mod lex;
mod name;
mod read;
mod relation;
mod remark;
pub mod schema;
mod script;
mod split;
mod tree;
mod words;

pub use concurrent::{Build, build};
pub use name::{MAX_IDENTIFIER, Object, is_called, parts_of, unquote};
pub use read::read;
pub use script::{
    Destruction, Effect, Kind, Loss, Opaque, Remark, RemarkKind, Scope, Script, Statement, SyntaxError,
    Transactional, Write,
};
pub use split::split;

/// The tables that a statement names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    pub read: Vec<Object>,
    /// Also those that are emptied, dropped or altered.
    pub written: Vec<Object>,
}

/// The tables that a statement reads and writes, as they are written there.
pub fn tables(statement: &Statement) -> Tables {
    let mut tables = Tables::default();
    for effect in &statement.effects {
        match effect {
            Effect::Reads { tables: read } | Effect::Locks { tables: read } => {
                tables.read.extend(read.iter().cloned())
            }
            Effect::Writes { tables: written, .. } => tables.written.extend(written.iter().cloned()),
            Effect::Destroys { objects, scope: Scope::Table | Scope::Column | Scope::Rows, .. } => {
                tables.written.extend(objects.iter().cloned());
            }
            Effect::Changes { what, objects } if what.ends_with(" table") => {
                tables.written.extend(objects.iter().cloned());
            }
            _ => {}
        }
    }
    for list in [&mut tables.read, &mut tables.written] {
        let mut seen = std::collections::HashSet::new();
        list.retain(|object| seen.insert(object.range.clone()));
    }
    tables
}

/// True when every statement certainly changes nothing outside its session, and there is no error.
pub fn is_read_only(script: &Script) -> bool {
    script.errors.is_empty() && script.statements.iter().all(Statement::is_read_only)
}
