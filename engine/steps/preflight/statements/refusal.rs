//! What the server says of a statement that it does not plan: a missing object, a missing privilege, a lock, a mistake.

use super::privilege::touched;
use super::{Asking, EXPLAIN, explainable, short};
use crate::plan::{Action, Changes, action};
use crate::postgres::Error;
use crate::sql::{self, Kind, Statement};
use crate::steps::preflight::concern::{Concern, Found};
use crate::steps::preflight::privileges::grants;
use crate::steps::preflight::uses::Use;
use crate::steps::world::World;

impl Asking<'_> {
    pub(super) async fn refused(&self, statement: &Statement, error: &Error, found: &mut Found) {
        match error.sqlstate() {
            Some("42P01" | "42703" | "42883" | "42704" | "3F000" | "42P02") => match self.maker() {
                Some(maker) => found.fact(
                    &self.used.step,
                    format!(
                        "{}: `{}` not checkable before {maker} ({})",
                        self.sql.part,
                        short(&statement.text),
                        error.message()
                    ),
                ),
                None => found.add(self.concern("missing_object", statement, error).help(
                    error.help().map_or_else(
                        || "no earlier step could make it: correct the name, or the database".to_owned(),
                        str::to_owned,
                    ),
                )),
            },
            Some("42501") => {
                let missing = grants(self.server, &touched(statement), found).await;
                let help = match missing.is_empty() {
                    true => "have the owner grant it".to_owned(),
                    false => format!("as the owner or a superuser: {}", missing.join("; ")),
                };
                found.add(self.concern("missing_privilege", statement, error).help(help));
            }
            Some("55P03") => found.add(
                Concern::warning(
                    "locked_now",
                    format!("`{}` waits for a lock that somebody holds now", short(&statement.text)),
                )
                .step(&self.used.step)
                .help("see who: SELECT * FROM pg_locks WHERE NOT granted; wait, or end them"),
            ),
            Some("57014") => found.add(
                Concern::warning("not_answered", format!("no plan of `{}` in time", short(&statement.text)))
                    .step(&self.used.step),
            ),
            Some(_) => {
                let concern = self.concern("statement_refused", statement, error);
                found.add(match error.help() {
                    Some(help) => concern.help(help),
                    None => concern.help("correct the statement in the plan"),
                });
            }
            None => found.add(Concern::of_server(error).step(&self.used.step)),
        }
    }

    /// The server's words, with the place in the step's SQL.
    fn concern(&self, code: &str, statement: &Statement, error: &Error) -> Concern {
        let place = error
            .position()
            .and_then(|position| (position as usize).checked_sub(EXPLAIN.chars().count() + 1))
            .and_then(|chars| {
                statement.text.char_indices().nth(chars).map(|(at, _)| statement.range.start + at)
            })
            .map(|at| {
                let (line, column) = line_and_column(self.text, at);
                format!(", line {line}, column {column}")
            })
            .unwrap_or_default();
        let message = format!("{}{place}: the server says: {}", self.sql.part, error.message());
        Concern::error(code, message).step(&self.used.step)
    }

    /// Who could make an object that is missing now: the script itself, its own step, or the nearest one before it.
    fn maker(&self) -> Option<String> {
        if self.defines {
            return Some("the statements above it".to_owned());
        }
        if self.sql.afterwards {
            return Some(self.used.step.to_string());
        }
        maker_before(self.world, self.used)
    }
}

/// The nearest step before this one that could make an object there.
pub(in crate::steps::preflight) fn maker_before(world: &World, used: &Use) -> Option<String> {
    let shape = &world.shape;
    let before = shape.graph.ancestors(used.at);
    before.into_iter().rev().find_map(|at| {
        let step = shape.flow.steps().get(at)?;
        makes(world, &step.action.value, &used.database).then(|| step.id.value.to_string())
    })
}

/// Whether an action may add objects to a database of the plan.
fn makes(world: &World, action: &Action, database: &str) -> bool {
    let here = |text: &crate::plan::Text| text.raw.trim() == database;
    let foreign = |changes: &Option<Changes>| match changes {
        None => true,
        Some(Changes::Nothing) => false,
        Some(Changes::Database(name)) => name.as_str() == database,
    };
    match action {
        Action::Sql(sql) if !sql.read_only && here(&sql.database) => {
            let file = sql.file.as_ref().and_then(|file| world.shape.loaded.files.get(file.raw.as_str()));
            let text = sql.statement.as_ref().map(|text| text.raw.as_str()).or(file.map(AsRef::as_ref));
            text.is_some_and(|text| {
                let defines = |one: &Statement| {
                    !explainable(one)
                        || matches!(one.kind, Kind::Ddl(_) | Kind::Do | Kind::Call | Kind::Other)
                };
                sql::read(text).statements.iter().any(defines)
            })
        }
        Action::Restore(restore) => restore.into == action::restore::Into::InPlace && here(&restore.database),
        Action::Swap(swap) => here(&swap.database),
        Action::Shell(shell) => foreign(&shell.changes),
        Action::Http(http) => {
            !matches!(http.method, action::http::Method::Get | action::http::Method::Head)
                && foreign(&http.changes)
        }
        Action::Sql(_)
        | Action::Backup(_)
        | Action::Copy(_)
        | Action::Freeze(_)
        | Action::Verify(_)
        | Action::Approve(_)
        | Action::Notify(_) => false,
    }
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_text() {
        assert_eq!(line_and_column("SELECT 1;\nSELÉCT x", 17), (2, 7));
        assert_eq!(line_and_column("x", 0), (1, 1));
    }
}
