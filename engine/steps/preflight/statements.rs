//! The SQL of the steps, asked of the server without running it: EXPLAIN of everything that reads or changes rows, in a
//! read-only transaction and one statement at a time; the locks of the rest, and what the role lacks for it.

use super::concern::{Concern, Found};
use super::late::{self, Known};
use super::locks::{self, Lock};
use super::privileges::{grants, is_meant};
use super::server::Server;
use super::uses::{self, Use, What};
use crate::plan::{Action, Changes, action};
use crate::postgres::{Error, escape_identifier};
use crate::sql::{self, Effect, Kind, Object, Statement, Write};
use crate::steps::world::World;

/// What stands before a statement that is asked about.
const EXPLAIN: &str = "EXPLAIN (COSTS true) ";
/// A script of more statements is asked about so far.
const MOST: usize = 200;

pub async fn look(world: &World, server: &Server, uses: &[&Use]) -> Found {
    let mut found = Found::default();
    for used in uses {
        if let What::Sql(sql) = &used.what {
            script(world, server, used, sql, &mut found).await;
        }
    }
    found
}

async fn script(world: &World, server: &Server, used: &Use, sql: &uses::Sql, found: &mut Found) {
    let part = &sql.part;
    if let Some(step) = &used.side {
        found.fact(&used.step, format!("{part}: not checkable before {step}"));
        return;
    }
    let raw = sql.from_file.as_deref().unwrap_or(&sql.text.raw);
    let text = match late::sql(world, &sql.text, raw).await {
        Known::Now(rendered) => rendered.text,
        Known::After(what) => {
            found.fact(&used.step, format!("{part}: not checkable before {what}"));
            return;
        }
        Known::Never(failure) => {
            found.add(Concern::of_failure(&failure).step(&used.step));
            return;
        }
    };
    let read = sql::read(&text);
    let mut asking = Asking { world, server, used, sql, text: &text, setup: Vec::new(), defines: false };
    for (at, statement) in read.statements.iter().enumerate() {
        if at == MOST {
            found.fact(
                &used.step,
                format!("{part}: the first {MOST} of {} statements were looked at", read.statements.len()),
            );
            break;
        }
        asking.statement(statement, found).await;
    }
}

struct Asking<'a> {
    world: &'a World,
    server: &'a Server,
    used: &'a Use,
    sql: &'a uses::Sql,
    text: &'a str,
    /// The script's own SETs of search_path and role, which decide what names mean.
    setup: Vec<String>,
    /// The script itself makes objects, so a later statement may name what is not there yet.
    defines: bool,
}

impl Asking<'_> {
    async fn statement(&mut self, statement: &Statement, found: &mut Found) {
        if let Some(lock) = locks::lock_of(statement).filter(|lock| *lock > Lock::RowExclusive) {
            self.tell_lock(statement, lock, found);
        }
        match &statement.kind {
            Kind::Select | Kind::Insert | Kind::Update | Kind::Delete | Kind::Merge
                if explainable(statement) =>
            {
                self.explain(statement, found).await;
            }
            Kind::Ddl(_) => {
                self.owns(statement, found).await;
                self.defines = true;
            }
            Kind::Utility(_) if is_setup(&statement.text) => self.setup.push(statement.text.clone()),
            Kind::Utility(word) if word == "truncate" => self.may(statement, "TRUNCATE", found).await,
            Kind::Select => self.defines = true,
            _ => {}
        }
    }

    fn tell_lock(&self, statement: &Statement, lock: Lock, found: &mut Found) {
        let tables: Vec<String> = locks::tables(statement).iter().map(ToString::to_string).collect();
        let on = if tables.is_empty() { String::new() } else { format!(" on {}", tables.join(", ")) };
        found.fact(
            &self.used.step,
            format!("`{}`: locks {}{on}, which {}", short(&statement.text), lock.name(), lock.blocks()),
        );
    }

    async fn explain(&self, statement: &Statement, found: &mut Found) {
        let limit = self.server.limit;
        let answer = match tokio::time::timeout(limit, self.plan(statement)).await {
            Ok(answer) => answer,
            Err(_) => {
                let message = format!(
                    "{}: no plan of `{}` within {} s",
                    self.sql.part,
                    short(&statement.text),
                    limit.as_secs()
                );
                found.add(Concern::warning("not_answered", message).step(&self.used.step));
                return;
            }
        };
        match answer {
            Ok(lines) => self.estimate(statement, &lines, found),
            Err(error) => self.refused(statement, &error, found).await,
        }
    }

    /// One statement by the extended protocol: the server refuses a second one behind it, whatever we took it for.
    async fn plan(&self, statement: &Statement) -> Result<Vec<String>, Error> {
        let plain = &self.server.plain;
        plain.execute("BEGIN READ ONLY").await?;
        let asked = async {
            for set in &self.setup {
                let done = plain.client().prepare(set).await;
                let done = match done {
                    Ok(prepared) => plain.client().execute(&prepared, &[]).await,
                    Err(error) => Err(error),
                };
                done.map_err(|error| Error::of_statement(&error, plain.endpoint(), None))?;
            }
            let question = format!("{EXPLAIN}{}", statement.text);
            let rows = plain.client().query(&question, &[]).await;
            rows.map_err(|error| Error::of_statement(&error, plain.endpoint(), None))
        }
        .await;
        plain.execute("ROLLBACK").await?;
        Ok(asked?.iter().filter_map(|row| row.try_get::<_, String>(0).ok()).collect())
    }

    fn estimate(&self, statement: &Statement, lines: &[String], found: &mut Found) {
        let Some(rows) = estimated_rows(lines) else { return };
        let what = match &statement.kind {
            Kind::Select => "returns",
            _ => "changes",
        };
        let count = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
        found.fact(
            &self.used.step,
            format!("{}: `{}` {what} about {count}", self.sql.part, short(&statement.text)),
        );
        if let Some(most) = self.sql.max_rows
            && what == "changes"
            && rows > most
        {
            let message = format!(
                "`{}` would change about {rows} rows by the server's estimate, and max_rows is {most}",
                short(&statement.text)
            );
            found.add(Concern::warning("many_rows", message).step(&self.used.step).help(
                "the step is rolled back when more rows change; look at the condition, and ANALYZE the table",
            ));
        }
    }

    async fn refused(&self, statement: &Statement, error: &Error, found: &mut Found) {
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
        let shape = &self.world.shape;
        let before = shape.graph.ancestors(self.used.at);
        before.into_iter().rev().find_map(|at| {
            let step = shape.flow.steps().get(at)?;
            makes(self.world, &step.action.value, &self.used.database).then(|| step.id.value.to_string())
        })
    }

    /// Definitions are changed by the owner of the table.
    async fn owns(&self, statement: &Statement, found: &mut Found) {
        if self.server.role.superuser || !self.setup.is_empty() {
            return;
        }
        let words = locks::words(&statement.text);
        if !matches!(words.first().map(String::as_str), Some("ALTER" | "DROP" | "CREATE" | "COMMENT")) {
            return;
        }
        for table in locks::tables(statement) {
            let sql = format!(
                "SELECT c.oid::pg_catalog.regclass, pg_catalog.pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class c \
                 JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
                 WHERE {} AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')",
                is_meant(&table)
            );
            let asked = self.server.ask("who owns a table", self.server.plain.row_if_any(&sql), found).await;
            let Some(Some(row)) = asked else { continue };
            let owner = row.optional(1).unwrap_or_default();
            let role = &self.server.role.name;
            let message = format!(
                "`{}`: {table} belongs to {owner}, and role {role} is not a member of it",
                short(&statement.text)
            );
            found.add(Concern::error("missing_privilege", message).step(&self.used.step).help(format!(
                "as a superuser: GRANT {} TO {}, or ALTER TABLE {} OWNER TO {}",
                escape_identifier(&owner),
                escape_identifier(role),
                row.optional(0).unwrap_or_default(),
                escape_identifier(role)
            )));
        }
    }

    async fn may(&self, statement: &Statement, privilege: &'static str, found: &mut Found) {
        if self.server.role.superuser || !self.setup.is_empty() {
            return;
        }
        let tables = locks::tables(statement);
        let tables: Vec<(&Object, &'static str)> = tables.iter().map(|table| (table, privilege)).collect();
        let missing = grants(self.server, &tables, found).await;
        if !missing.is_empty() {
            let message = format!("`{}`: role {} may not", short(&statement.text), self.server.role.name);
            found.add(
                Concern::error("missing_privilege", message)
                    .step(&self.used.step)
                    .help(format!("as the owner or a superuser: {}", missing.join("; "))),
            );
        }
    }
}

/// SELECT INTO makes a table, and cannot be explained in a read-only transaction on every version.
fn explainable(statement: &Statement) -> bool {
    !statement.effects.iter().any(|effect| matches!(effect, Effect::Writes { how: Write::Create, .. }))
}

/// `SET search_path` and `SET ROLE`: without them the names of the statements after them mean something else.
fn is_setup(text: &str) -> bool {
    let words = locks::words(text);
    let mut words = words.iter().map(String::as_str).filter(|word| !matches!(*word, "LOCAL" | "SESSION"));
    words.next() == Some("SET") && matches!(words.next(), Some("SEARCH_PATH" | "ROLE"))
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

/// The tables of a statement and the privilege it needs on each.
fn touched(statement: &Statement) -> Vec<(&Object, &'static str)> {
    let mut touched = Vec::new();
    for effect in &statement.effects {
        let (objects, privileges): (&[Object], &[&'static str]) = match effect {
            Effect::Reads { tables } => (tables, &["SELECT"]),
            Effect::Locks { tables } => (tables, &["UPDATE"]),
            Effect::Writes { how, tables } => (
                tables,
                match how {
                    Write::Insert | Write::Copy => &["INSERT"],
                    Write::Update => &["UPDATE", "SELECT"],
                    Write::Delete => &["DELETE", "SELECT"],
                    Write::Merge => &["SELECT", "INSERT", "UPDATE", "DELETE"],
                    Write::Create | Write::Refresh => &[],
                },
            ),
            _ => continue,
        };
        for object in objects {
            touched.extend(privileges.iter().map(|privilege| (object, *privilege)));
        }
    }
    touched
}

/// The planner's guess: of the first node, or of what feeds a node that changes rows and returns none.
fn estimated_rows(lines: &[String]) -> Option<u64> {
    let rows = |line: &String| line.split_once(" rows=")?.1.split_whitespace().next()?.parse().ok();
    let first = lines.first()?;
    let changes = ["Insert on ", "Update on ", "Delete on ", "Merge on "];
    match changes.iter().any(|start| first.trim_start().starts_with(start)) {
        true => lines.iter().skip(1).find(|line| line.trim_start().starts_with("->")).and_then(rows),
        false => rows(first),
    }
}

/// The beginning of a statement, on one line.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
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
    fn the_estimate_is_that_of_the_rows_changed() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let update = "Update on users  (cost=0.00..35.50 rows=0 width=0)\n  ->  Seq Scan on users  (cost=0.00..35.50 rows=2550 width=10)";
        assert_eq!(estimated_rows(&lines(update)), Some(2550));
        assert_eq!(estimated_rows(&lines("Seq Scan on users  (cost=0.00..35.50 rows=7 width=10)")), Some(7));
        let cte = "CTE Scan on d  (cost=1.00..2.00 rows=3 width=4)\n  CTE d\n    ->  Delete on t  (cost=0 rows=0 width=0)";
        assert_eq!(estimated_rows(&lines(cte)), Some(3));
        assert_eq!(estimated_rows(&[]), None);
    }

    #[test]
    fn only_what_decides_names_is_set() {
        assert!(is_setup("SET search_path = a, b") && is_setup("set local role app"));
        assert!(
            !is_setup("SET transaction_read_only = off")
                && !is_setup("SET default_transaction_read_only = off")
        );
        assert!(!is_setup("SET SESSION AUTHORIZATION app"));
    }

    #[test]
    fn a_place_in_a_text() {
        assert_eq!(line_and_column("SELECT 1;\nSELÉCT x", 17), (2, 7));
        assert_eq!(line_and_column("x", 0), (1, 1));
    }
}
