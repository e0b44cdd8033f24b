//! `sql`: statements on a database, exactly once. In a transaction the commit witness proves what happened; outside of
//! one the author's probe does. Must never send a COMMIT that the journal does not know of.

mod alone;
mod isolation;
mod orphan;
mod remains;
pub mod rows;
mod sent;
pub mod session;
pub mod settle;
pub mod text;
pub mod transaction;

use super::attempt::Attempt;
use super::targets::Target;
use crate::plan::action::Sql;
use crate::run::{Evidence, Failure, Outcome};
use text::Statement;

pub async fn act(attempt: &Attempt, action: &Sql) -> Outcome {
    let (target, statements) = match prepare(attempt, action).await {
        Ok(prepared) => prepared,
        Err(failure) => return Outcome::Failed(failure),
    };
    let hold = match action.read_only {
        true => None,
        false => match attempt.world.targets.claim(&attempt.world, &target).await {
            Ok(hold) => Some(hold),
            Err(failure) => return Outcome::Failed(failure),
        },
    };
    if action.transaction {
        let inside = transaction::Script { attempt, action, statements: &statements };
        let limits = session::Limits {
            lock_timeout: Some(action.lock_timeout),
            statement_timeout: action.statement_timeout,
        };
        let work = transaction::Work { attempt, target: &target, hold, limits, inside: &inside };
        work.run().await
    } else {
        alone::act(attempt, action, &target, hold, &statements).await
    }
}

async fn prepare(attempt: &Attempt, action: &Sql) -> Result<(Target, Vec<Statement>), Failure> {
    let text = match (&action.statement, &action.file) {
        (Some(text), None) => text.clone(),
        (None, Some(file)) => text::of_file(attempt, file)?,
        _ => {
            let message = "give either `statement` or `file`";
            return Err(Failure::new("runplan::sql::text", message).permanent());
        }
    };
    let (rendered, statements) = text::rendered(attempt, &text).await?;
    let target = attempt.world.targets.find(&attempt.world, &action.database).await?;
    if sent::note(attempt, &text.raw, &rendered).await.is_err() {
        return Err(session::cancelled("the run ended before anything was sent"));
    }
    Ok((target, statements))
}

pub async fn settle(attempt: &Attempt, action: &Sql) -> Outcome {
    if action.read_only {
        return Outcome::Again("it only reads".to_owned());
    }
    let intent = if action.transaction { settle::INTENT } else { alone::INTENT };
    let target = match attempt.world.targets.find(&attempt.world, &action.database).await {
        Ok(target) => target,
        // Nothing was sent without this fact, so nobody needs to be asked.
        Err(_) if attempt.own_fact(intent).is_none() => {
            return Outcome::Again("nothing was committed".to_owned());
        }
        Err(failure) => {
            let what = "whether it took effect is not known: its database cannot be asked";
            return Outcome::Unknown(Evidence::new(what, [failure.message]));
        }
    };
    if action.transaction {
        settle::settle(attempt, &target).await
    } else {
        alone::settle(attempt, action, &target).await
    }
}
