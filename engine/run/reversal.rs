//! What a step does to the world, and how it is reversed: said by its action, or by its author.

use crate::plan::{Action, Bare, Changes, Step, action};

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
        Action::Backup(backup) if backup.keep.is_some() => {
            Reversal::BuiltIn("the backup stays, as long as its `keep` says")
        }
        Action::Backup(_) => Reversal::BuiltIn(
            "the backup is removed, unless it was promised in an approval or something after it stands",
        ),
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
        Action::Http(http) if only_asks(http) => Reversal::Nothing,
        Action::Shell(action::Shell { changes: Some(Changes::Nothing), .. })
        | Action::Verify(_)
        | Action::Approve(_)
        | Action::Notify(_) => Reversal::Nothing,
        Action::Sql(_) | Action::Shell(_) | Action::Http(_) => {
            Reversal::None("the plan gives no `undo` for it".to_owned())
        }
    }
}

/// What the author says of a request counts; else its method tells.
fn only_asks(http: &action::Http) -> bool {
    match http.changes {
        Some(Changes::Nothing) => true,
        Some(Changes::Database(_)) => false,
        None => matches!(http.method, action::http::Method::Get | action::http::Method::Head),
    }
}

/// What a step does to the world.
pub fn effects(step: &Step) -> Effects {
    let reads = match &step.action.value {
        Action::Verify(_) | Action::Approve(_) | Action::Notify(_) => true,
        Action::Sql(sql) => sql.read_only,
        Action::Http(http) => only_asks(http) && (step.undo.is_none() || http.changes.is_none()),
        Action::Shell(shell) => shell.changes == Some(Changes::Nothing) && step.undo.is_none(),
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

/// Whether a step puts the run's mark on the database that it names before it acts. A backup only reads there.
pub fn claims(step: &Step) -> bool {
    match &step.action.value {
        Action::Backup(_) => false,
        Action::Sql(sql) => !sql.read_only,
        _ => effects(step) != Effects::Reads,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::load;

    fn effect(action: &str) -> &'static str {
        let plan = format!(
            "runplan: 1\nname: t\ndatabases: {{ app: {{ url: \"postgres://h/d\" }} }}\nsteps:\n  - {{ id: a, {action} }}\n"
        );
        let loaded = load(("t.yaml", &plan), None, &|_| Err(String::new()));
        effects(&loaded.flow.steps()[0]).word()
    }

    #[test]
    fn a_request_does_what_it_says() {
        assert_eq!(effect("http: { url: \"http://h\" }"), "reads");
        assert_eq!(effect("http: { method: POST, url: \"http://h\", changes: none }"), "reads");
        assert_eq!(
            effect("http: { url: \"http://h\", changes: app }"),
            effect("http: { method: POST, url: \"http://h\" }")
        );
        assert_ne!(effect("http: { url: \"http://h\", changes: app }"), "reads");
        let turned = "http: { method: POST, url: \"http://h/on\", changes: none }, \
            undo: { http: { method: POST, url: \"http://h/off\", changes: none } }";
        assert_eq!(effect(turned), "reversible");
    }
}
