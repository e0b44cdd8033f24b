//! What a step does to the world, and how it is reversed: said by its action, or by its author.

use crate::plan::{Action, Bare, Step, action};

/// What a step does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effects {
    /// It changes nothing.
    Reads,
    /// It changes something, and there is a way back.
    Reversible,
    /// It changes something, and there is none.
    Irreversible,
}

impl Effects {
    pub fn word(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Reversible => "reversible",
            Self::Irreversible => "irreversible",
        }
    }
}

/// How a step is undone.
#[derive(Debug, Clone, PartialEq)]
pub enum Reversal<'s> {
    /// There is nothing to undo.
    Nothing,
    /// The action knows its own reverse.
    BuiltIn(&'static str),
    /// The author gave it.
    Given(&'s Bare),
    /// There is no way back; why.
    None(String),
}

/// How a step is undone.
pub fn reversal(step: &Step) -> Reversal<'_> {
    if let Some(undo) = &step.undo {
        return Reversal::Given(undo);
    }
    if let Some(reason) = &step.irreversible {
        return Reversal::None(reason.clone());
    }
    match &step.action.value {
        Action::Backup(_) => Reversal::BuiltIn("the backup is removed"),
        Action::Restore(restore) => match &restore.into {
            action::restore::Into::Other(_) => {
                Reversal::BuiltIn("what was loaded is removed; the database is empty again")
            }
            action::restore::Into::Side => Reversal::BuiltIn("the side database is dropped"),
            action::restore::Into::InPlace => {
                Reversal::None("the live tables were replaced; restore the backup taken before".to_owned())
            }
        },
        Action::Swap(_) => Reversal::BuiltIn("the old database is swapped back"),
        Action::Copy(_) => {
            Reversal::BuiltIn("the rows are put back as they were; refused where one was changed since")
        }
        Action::Freeze(_) => Reversal::BuiltIn("the database takes writes again"),
        Action::Sql(sql) if sql.read_only => Reversal::Nothing,
        Action::Http(http)
            if http.method == action::http::Method::Get || http.method == action::http::Method::Head =>
        {
            Reversal::Nothing
        }
        Action::Shell(action::Shell { changes: Some(crate::plan::Changes::Nothing), .. })
        | Action::Http(action::Http { changes: Some(crate::plan::Changes::Nothing), .. })
        | Action::Verify(_)
        | Action::Approve(_)
        | Action::Notify(_) => Reversal::Nothing,
        Action::Sql(_) | Action::Shell(_) | Action::Http(_) => {
            Reversal::None("the plan gives no `undo` for it".to_owned())
        }
    }
}

/// What a step does to the world.
pub fn effects(step: &Step) -> Effects {
    let reads = match &step.action.value {
        Action::Verify(_) | Action::Approve(_) | Action::Notify(_) => true,
        Action::Sql(sql) => sql.read_only,
        Action::Http(http) => matches!(http.method, action::http::Method::Get | action::http::Method::Head),
        Action::Shell(shell) => shell.changes == Some(crate::plan::Changes::Nothing) && step.undo.is_none(),
        Action::Backup(_) | Action::Restore(_) | Action::Swap(_) | Action::Copy(_) | Action::Freeze(_) => {
            false
        }
    };
    match reversal(step) {
        _ if reads => Effects::Reads,
        Reversal::Nothing | Reversal::BuiltIn(_) | Reversal::Given(_) => Effects::Reversible,
        Reversal::None(_) => Effects::Irreversible,
    }
}
