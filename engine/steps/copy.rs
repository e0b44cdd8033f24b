//! `copy`: brings rows from one database into another, in one transaction that is committed exactly once. The rows go through
//! a temporary table; nobody else writes to the target's table meanwhile. What is overwritten, and what the rows became,
//! is on disk before the COMMIT: the way back. Must never overwrite a row whose before-image is not.

mod back;
mod images;
mod merge;
mod rows;
mod sequences;
pub mod table;

use super::attempt::Attempt;
use super::sql::session::Limits;
use super::sql::settle::{self, INTENT};
use super::sql::transaction::{Short, Work, send};
use super::stop::{self, Stop};
use super::targets::Target;
use crate::plan::action::Copy;
use crate::plan::{Duration, Text};
use crate::postgres::{Connection, ResultSet, identity};
use crate::run::{Evidence, Failure, Outcome};
use table::Shape;

/// A lock is not waited for longer: others would queue behind us.
const LOCK: Duration = Duration::from_secs(3);

pub async fn act(attempt: &Attempt, action: &Copy) -> Outcome {
    match begin(attempt, action).await {
        Ok(outcome) => outcome,
        Err(stop) => stop::outcome(Err(stop)),
    }
}

/// As with `sql`: the witness of the COMMIT tells.
pub async fn settle(attempt: &Attempt, action: &Copy) -> Outcome {
    let target = attempt.world.targets.find(&attempt.world, &action.to).await;
    match target {
        Ok(target) => settle::settle(attempt, &target).await,
        // Nothing was sent without this fact, so nobody needs to be asked.
        Err(_) if attempt.own_fact(INTENT).is_none() => Outcome::Again("nothing was committed".to_owned()),
        Err(failure) => {
            let what = "whether the rows were copied is not known: the database cannot be asked";
            Outcome::Unknown(Evidence::new(what, [failure.message]))
        }
    }
}

/// Puts the rows back as they were, from what was kept; refused where one was changed since.
pub async fn undo(attempt: &Attempt, action: &Copy) -> Outcome {
    // An undo that was interrupted at its COMMIT.
    if attempt.own_fact(INTENT).is_some() {
        match settle(attempt, action).await {
            Outcome::Again(_) => {}
            settled => return settled,
        }
    }
    match back::put(attempt, action).await {
        Ok(outcome) => outcome,
        Err(stop) => stop::outcome(Err(stop)),
    }
}

/// The author's texts, rendered.
struct Wish {
    table: String,
    condition: Option<String>,
    still: Option<String>,
    key: Option<Vec<String>>,
    columns: Option<Vec<String>>,
}

impl Wish {
    async fn of(attempt: &Attempt, action: &Copy) -> Result<Self, Stop> {
        let which = match &action.where_ {
            Some(text) => Some(condition(attempt, text, "where").await?),
            None => None,
        };
        let still = match &action.still {
            Some(text) => Some(condition(attempt, text, "still").await?),
            None => None,
        };
        let (key, columns) = (plains(attempt, &action.key).await?, plains(attempt, &action.columns).await?);
        Ok(Self { table: attempt.plain(&action.table).await?, condition: which, still, key, columns })
    }
}

async fn plains(attempt: &Attempt, texts: &Option<Vec<Text>>) -> Result<Option<Vec<String>>, Stop> {
    let Some(texts) = texts else { return Ok(None) };
    let mut plains = Vec::new();
    for text in texts {
        plains.push(attempt.plain(text).await?);
    }
    Ok(Some(plains))
}

/// What stands after WHERE: rendered as SQL is, and proved to be one condition and nothing else.
async fn condition(attempt: &Attempt, text: &Text, field: &str) -> Result<String, Stop> {
    const BEFORE: &str = "SELECT 1 WHERE (\n";
    const AFTER: &str = "\n)";
    let whole = Text::made(format!("{BEFORE}{}{AFTER}", text.raw.trim()));
    let statements = super::sql::text::statements(attempt, &whole).await?;
    let condition = match statements.as_slice() {
        [one] => one.sql.trim().strip_prefix(BEFORE).and_then(|rest| rest.strip_suffix(AFTER)),
        _ => None,
    };
    match condition.filter(|condition| is_closed(condition)) {
        Some(condition) => Ok(condition.to_owned()),
        None => {
            let message = format!("`{field}` is not one condition as it stands after WHERE");
            Err(Failure::new("runplan::copy::where", message)
                .help("nothing was sent; mend the plan")
                .permanent()
                .into())
        }
    }
}

/// Its parentheses close what they open, and nothing else.
fn is_closed(condition: &str) -> bool {
    let mut depth = 0_i64;
    for token in crate::sql::lex::tokens(condition).iter().filter(|token| !token.is_trivia()) {
        match token.text(condition) {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0
}

/// Both ends of a copy.
struct Ends {
    from: Target,
    to: Target,
    source: Connection,
    shape: Shape,
    wish: Wish,
}

async fn begin(attempt: &Attempt, action: &Copy) -> Result<Outcome, Stop> {
    let world = &attempt.world;
    let wish = Wish::of(attempt, action).await?;
    let from = world.targets.find(world, &action.from).await?;
    let to = world.targets.find(world, &action.to).await?;
    let source = rows::open(attempt, &from).await?;
    let target = rows::open(attempt, &to).await?;
    let (here, there) = (identity::read(&source).await?, identity::read(&target).await?);
    if (&here.system_identifier, here.database_oid) == (&there.system_identifier, there.database_oid) {
        let message = format!("{} and {} are the same database", from.database, to.database);
        return Err(Failure::new("runplan::copy::same", message)
            .help("copy from a restored one: `from` takes the database output of a restore step")
            .permanent()
            .into());
    }
    let shape = Shape::read(attempt, &source, &target, &wish, action.on_conflict).await?;
    drop(target);
    let hold = world.targets.claim(world, &to).await?;
    let ends = Ends { from, to, source, shape, wish };
    let inside = merge::Merge { attempt, action, ends: &ends };
    let work = Work { attempt, target: &ends.to, hold: Some(hold), limits: limits(), inside: &inside };
    Ok(work.run().await)
}

fn limits() -> Limits {
    Limits { lock_timeout: Some(LOCK), statement_timeout: None }
}

/// A transaction of this step, spoken to.
struct Session<'a> {
    attempt: &'a Attempt,
    connection: &'a Connection,
}

impl Session<'_> {
    async fn run(&self, sql: &str) -> Result<ResultSet, Short> {
        send(self.attempt, self.connection, sql, "").await
    }

    async fn count(&self, sql: &str) -> Result<u64, Short> {
        let found = self.run(sql).await?;
        Ok(found.rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok()).unwrap_or(0))
    }

    /// The first column.
    async fn list(&self, sql: &str) -> Result<Vec<String>, Short> {
        Ok(self.run(sql).await?.rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }
}

/// Certainly rolled back, and why.
fn refused(code: &str, message: impl Into<String>) -> Failure {
    Failure::new(code, message).help("nothing was changed: the transaction was rolled back").permanent()
}

/// A stop on the way to a transaction's end.
fn short(stop: Stop) -> Short {
    match stop {
        Stop::Failed(failure) => Short::Failed(failure),
        other => Short::Failed(Failure::new("runplan::step::cancelled", other.message())),
    }
}

#[cfg(test)]
mod tests {
    use super::is_closed;

    #[test]
    fn a_condition_closes_what_it_opens() {
        for good in ["a = 1", "(a) OR (b)", "a = ')' AND b IN (1, 2)", "a = $$)$$", "true /* ) */"] {
            assert!(is_closed(good), "{good}");
        }
        for bad in ["a) OR (b", ")", "(", "a = 1) UNION SELECT (2"] {
            assert!(!is_closed(bad), "{bad}");
        }
    }
}
