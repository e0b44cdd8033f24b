//! The SQL of the steps, asked of the server without running it: EXPLAIN of everything that reads or changes rows, in a
//! read-only transaction and one statement at a time; the locks of the rest, and what the role lacks for it.

mod estimate;
mod privilege;
mod refusal;

pub(super) use refusal::maker_before;

use super::concern::{Concern, Found};
use super::late::{self, Known};
use super::locks::{self, Lock};
use super::server::Server;
use super::uses::{self, Use, What};
use crate::postgres::Error;
use crate::sql::{self, Effect, Kind, Statement, Write};
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

/// The SQL of a step that makes it by itself.
pub async fn look_at(world: &World, server: &Server, used: &Use, sql: uses::Sql) -> Found {
    let mut found = Found::default();
    let used = Use { side: None, what: What::Sql(Box::new(sql.clone())), ..used.clone() };
    script(world, server, &used, &sql, &mut found).await;
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
        if let Some(lock) = locks::lock_of(statement) {
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

/// The beginning of a statement, on one line.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_decides_names_is_set() {
        assert!(is_setup("SET search_path = a, b") && is_setup("set local role app"));
        assert!(
            !is_setup("SET transaction_read_only = off")
                && !is_setup("SET default_transaction_read_only = off")
        );
        assert!(!is_setup("SET SESSION AUTHORIZATION app"));
    }
}
