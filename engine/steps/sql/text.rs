//! From an author's SQL to the statements that are sent: rendered, proved to hold every value as exactly the tokens it
//! was rendered to, and cut. Must never let through what would end the transaction it runs in.

use super::super::attempt::{Attempt, broken};
use crate::plan::template::{self, SqlText};
use crate::plan::{Text, template::Scope};
use crate::run::Failure;
use crate::sql::lex::{Token, tokens};
use crate::sql::{self, Effect, Kind, RemarkKind, Write};

/// One statement, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub sql: String,
    /// Whether it may give rows, so that their types are worth asking for.
    pub returns: bool,
    pub changes: Changes,
}

/// How the rows that a statement changes are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    Nothing,
    /// Its own answer says how many.
    Told,
    /// It may call what the text does not show, or change rows beside its answer: the transaction's counters tell.
    Counted,
    /// All rows of a table, without a count.
    Uncountable,
}

/// Renders a text in its scope and cuts it.
///
/// # Errors
/// The template, a value that does not stay in its place, transaction control, psql meta-commands, nothing to run.
pub async fn statements(attempt: &Attempt, text: &Text) -> Result<Vec<Statement>, Failure> {
    Ok(rendered(attempt, text).await?.1)
}

/// As [`statements`], with the whole text that they are cut from.
pub async fn rendered(attempt: &Attempt, text: &Text) -> Result<(SqlText, Vec<Statement>), Failure> {
    let scope = attempt.scope([text]).await?;
    let raw = match &text.raw {
        raw if raw.contains('\0') => return Err(refused("the SQL holds NUL, which PostgreSQL cannot take")),
        raw => raw,
    };
    render(raw, &scope, text)
}

/// The text of a file.
///
/// # Errors
/// The plan was read without it.
pub fn of_file(attempt: &Attempt, file: &Text) -> Result<Text, Failure> {
    match attempt.world.shape.loaded.files.get(&file.raw) {
        Some(content) => Ok(Text::made(content.to_string())),
        None => Err(refused(format!("the text of `{}` is not part of the plan that was read", file.raw))),
    }
}

fn render(raw: &str, scope: &Scope, text: &Text) -> Result<(SqlText, Vec<Statement>), Failure> {
    let rendered = template::sql(raw, scope).map_err(|error| broken(text, &error))?;
    if rendered.text.contains('\0') {
        return Err(refused("the SQL holds NUL, which PostgreSQL cannot take"));
    }
    prove(&rendered)?;
    let statements = cut(&rendered.text)?;
    match statements.is_empty() {
        true => Err(refused("there is no statement to run")),
        false => Ok((rendered, statements)),
    }
}

fn refused(message: impl Into<String>) -> Failure {
    Failure::new("runplan::sql::text", message).help("nothing was sent; mend the plan").permanent()
}

/// Every value is exactly the tokens that it is by itself: nothing before, after or inside it has become part of it.
fn prove(rendered: &SqlText) -> Result<(), Failure> {
    if rendered.values.is_empty() {
        return Ok(());
    }
    let all = tokens(&rendered.text);
    for range in &rendered.values {
        let value = rendered.text.get(range.clone()).unwrap_or_default();
        let alone: Vec<Token> = tokens(value)
            .into_iter()
            .filter(|token| !token.is_trivia())
            .map(|token| Token {
                range: token.range.start + range.start..token.range.end + range.start,
                ..token
            })
            .collect();
        let first = all.partition_point(|token| token.range.end <= range.start);
        let placed = all.iter().skip(first).take_while(|token| token.range.start < range.end);
        let placed: Vec<&Token> =
            placed.filter(|token| !token.is_trivia() || !is_space(token, &rendered.text)).collect();
        if placed.len() != alone.len() || placed.iter().zip(&alone).any(|(placed, alone)| **placed != *alone)
        {
            let line = rendered.text.get(..range.start).unwrap_or_default().lines().count().max(1);
            return Err(refused(format!(
                "a value on line {line} of the SQL would not stay a value of its own: it touches what is beside it, \
                 or stands inside quotes or a comment"
            ))
            .help("put a space around `{{ }}`, and no quotes; nothing was sent"));
        }
    }
    Ok(())
}

fn is_space(token: &Token, text: &str) -> bool {
    token.text(text).bytes().all(|byte| byte.is_ascii_whitespace() || byte == 0x0b)
}

fn cut(text: &str) -> Result<Vec<Statement>, Failure> {
    let script = sql::read(text);
    let mut statements = Vec::new();
    for statement in &script.statements {
        if let Some(words) = statement.findings.iter().find_map(|remark| match &remark.kind {
            RemarkKind::Control(words) => Some(words.clone()),
            _ => None,
        }) {
            return Err(refused(format!("`{words}` steers the step's own transaction")));
        }
        if let Kind::Meta(word) = &statement.kind {
            return Err(refused(format!("`{word}` is a command of psql, which the server does not know")));
        }
        statements.push(Statement {
            sql: statement.text.clone(),
            returns: returns(statement),
            changes: changes(statement),
        });
    }
    Ok(statements)
}

fn returns(statement: &sql::Statement) -> bool {
    match &statement.kind {
        Kind::Select | Kind::Call => true,
        Kind::Utility(word) => matches!(word.as_str(), "show" | "explain" | "fetch" | "execute"),
        _ => tokens(&statement.text).iter().any(|token| token.is_word(&statement.text, "returning")),
    }
}

fn changes(statement: &sql::Statement) -> Changes {
    let is_question = matches!(statement.kind, Kind::Select);
    if statement.is_read_only() && !is_question {
        return Changes::Nothing;
    }
    let truncates =
        |effect: &Effect| matches!(effect, Effect::Destroys { what: sql::Destruction::Truncate, .. });
    if statement.effects.iter().any(truncates) {
        return Changes::Uncountable;
    }
    let is_opaque = statement.effects.iter().any(|effect| matches!(effect, Effect::Opaque { .. }));
    let writes: Vec<Write> = statement
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Writes { how, .. } => Some(*how),
            _ => None,
        })
        .collect();
    let tells =
        matches!(statement.kind, Kind::Insert | Kind::Update | Kind::Delete | Kind::Merge | Kind::Copy);
    match (is_opaque, writes.as_slice()) {
        (false, [_]) if tells => Changes::Told,
        (false, [] | [Write::Create | Write::Refresh]) if !is_question => Changes::Nothing,
        _ => Changes::Counted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn statements_of(sql: &str, params: Value) -> Result<Vec<Statement>, Failure> {
        let scope = Scope::new([("params".to_owned(), template::value_of(&params))]);
        render(sql, &scope, &Text::made(sql)).map(|(_, statements)| statements)
    }

    #[test]
    fn a_value_stays_in_its_place_or_nothing_is_sent() {
        let values = [
            json!("plain"),
            json!("O'Brien"),
            json!("back\\slash"),
            json!("--"),
            json!("*/ '; DROP TABLE t; --"),
            json!(5),
            json!(-5),
            json!(1.5),
            json!(null),
            json!(true),
            json!([1, 2]),
            json!(["a'b", "c\\"]),
            json!({ "a": "b'c" }),
        ];
        for value in &values {
            for good in ["SELECT {{ params.x }}", "SELECT 3 -{{ params.x }}", "SELECT f({{ params.x }},1)"] {
                let found = statements_of(good, json!({ "x": value }));
                assert_eq!(found.map(|all| all.len()), Ok(1), "{good} with {value}");
            }
            for bad in
                ["SELECT '{{ params.x }}'", "SELECT 1 -- {{ params.x }}", "SELECT /* {{ params.x }} */ 1"]
            {
                assert!(statements_of(bad, json!({ "x": value })).is_err(), "{bad} with {value}");
            }
        }
        for (bad, value) in [
            ("SELECT 1{{ params.x }}", json!(2)),
            ("SELECT a{{ params.x }}", json!(true)),
            ("SELECT E{{ params.x }}", json!("a")),
            ("SELECT {{ params.x }}{{ params.x }}", json!("a")),
            ("SELECT {{ params.x }}1", json!(5)),
            ("SELECT $a${{ params.x }}$a$", json!("a")),
        ] {
            assert!(statements_of(bad, json!({ "x": value })).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_would_end_the_transaction_is_refused() {
        for bad in ["COMMIT", "SELECT 1; ROLLBACK", "BEGIN", "\\q", "", ";", "-- nothing"] {
            assert!(statements_of(bad, json!({})).is_err(), "{bad}");
        }
    }

    #[test]
    fn how_changed_rows_are_counted() {
        for (sql, changes) in [
            ("SET work_mem = '1MB'", Changes::Nothing),
            ("CREATE TABLE a AS SELECT 1 AS b", Changes::Nothing),
            ("CREATE TABLE a (b int)", Changes::Nothing),
            ("UPDATE t SET a = 1 WHERE b = 2", Changes::Told),
            ("INSERT INTO t VALUES (1)", Changes::Told),
            ("WITH d AS (DELETE FROM t WHERE a = 1 RETURNING a) SELECT * FROM d", Changes::Counted),
            (
                "WITH d AS (DELETE FROM t WHERE a = 1 RETURNING a) INSERT INTO u SELECT * FROM d",
                Changes::Counted,
            ),
            ("DO $$ BEGIN DELETE FROM t; END $$", Changes::Counted),
            ("SELECT remove_old()", Changes::Counted),
            ("TRUNCATE t", Changes::Uncountable),
        ] {
            let found = statements_of(sql, json!({})).unwrap();
            assert_eq!(found[0].changes, changes, "{sql}");
        }
    }
}
