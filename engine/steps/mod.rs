//! How each action acts: one file for each, with the same verbs `act`, `settle` (after a crash) and `undo`. Secrets are
//! resolved here and nowhere else. A step never decides what is next and never writes the journal: it notes facts
//! through its attempt, and its outcome is data.

mod access;
mod approve;
mod archive;
mod attempt;
mod backup;
mod changes;
mod client;
mod copy;
mod database;
mod definitions;
mod disk;
mod earlier;
mod expectation;
mod failures;
mod feeder;
mod freeze;
mod hands;
mod hold;
mod http;
mod lost;
mod mark;
mod notify;
mod position;
mod preflight;
mod probe;
mod prune;
mod question;
mod redacted;
mod replaced;
mod restore;
mod secrets;
mod sessions;
mod shell;
mod sql;
mod stand_in;
mod stop;
mod swap;
mod targets;
mod verify;
mod world;

pub use archive::{
    FileSum, Format, Inspection, Manifest, Origin, Packing, Proofs, Reading, Shelved, Sort, recognise, shelf,
};
pub use attempt::{Attempt, Ending, Noted, Progress, Sender, Sent, Unit, broken};
pub use backup::readable_size;
pub use definitions::{copy_in, copy_out, roles};
pub use failures::failure_of;
pub use feeder::{FEED, feed_main};
pub use hands::{Hands, Job, Verb, Work};
pub use hold::{Hold, Holder, Refused};
pub use lost::{ColumnLoss, Difference, LostReport, MOST_ROWS, TableLoss, Wish, compare};
pub use preflight::{
    Concern, Fact, Found as PreflightFound, Options as PreflightOptions, Preflight, preflight, read_secrets,
};
pub use prune::{
    Asked, Leaving, Leftover, Runs, Standing as RunStanding, Verdict as PruneVerdict, ask, drop_database,
    judge, remove,
};
pub use secrets::Secrets;
pub use targets::{Target, Targets, application_name};
pub use world::{World, WorldOptions};

use crate::plan::Action;
use crate::run::Outcome;

use stand_in::{Standing, stand_in};

/// Runs an attempt of a step; in a rehearsal, of what stands in for it.
pub async fn act(attempt: &Attempt) -> Outcome {
    let outcome = match stand_in(attempt) {
        Standing::Itself => act_with_servers(attempt).await,
        Standing::Other(other) => act_with_servers(&other).await,
        Standing::Skipped(outcome) => return outcome,
    };
    redacted::redacted(attempt, outcome)
}

async fn act_with_servers(attempt: &Attempt) -> Outcome {
    let started = match Box::pin(replaced::prepare(attempt)).await {
        Ok(started) => started,
        Err(failure) => return Outcome::Failed(failure),
    };
    let outcome = act_as_written(attempt).await;
    replaced::conclude(attempt, &outcome, started.as_deref()).await;
    position::note(attempt, &outcome).await;
    outcome
}

// Each in a box of its own: together they would be as large as the largest, on the stack of every caller.
async fn act_as_written(attempt: &Attempt) -> Outcome {
    match &attempt.step.action.value {
        Action::Backup(action) => Box::pin(backup::act(attempt, action)).await,
        Action::Restore(action) => Box::pin(restore::act(attempt, action)).await,
        Action::Swap(action) => Box::pin(swap::act(attempt, action)).await,
        Action::Copy(action) => Box::pin(copy::act(attempt, action)).await,
        Action::Freeze(action) => Box::pin(freeze::act(attempt, action)).await,
        Action::Sql(action) => Box::pin(sql::act(attempt, action)).await,
        Action::Shell(action) => Box::pin(shell::act(attempt, action)).await,
        Action::Http(action) => Box::pin(http::act(attempt, action)).await,
        Action::Verify(action) => Box::pin(verify::act(attempt, action)).await,
        Action::Approve(action) => Box::pin(approve::act(attempt, action)).await,
        Action::Notify(action) => Box::pin(notify::act(attempt, action)).await,
    }
}

/// Finds out what became of an interrupted attempt, without asking anyone.
pub async fn settle(attempt: &Attempt) -> Outcome {
    let outcome = match stand_in(attempt) {
        Standing::Itself => settle_as_written(attempt).await,
        Standing::Other(other) => settle_as_written(&other).await,
        Standing::Skipped(outcome) => return outcome,
    };
    replaced::conclude(attempt, &outcome, None).await;
    position::note(attempt, &outcome).await;
    redacted::redacted(attempt, outcome)
}

async fn settle_as_written(attempt: &Attempt) -> Outcome {
    match &attempt.step.action.value {
        Action::Backup(action) => Box::pin(backup::settle(attempt, action)).await,
        Action::Restore(action) => Box::pin(restore::settle(attempt, action)).await,
        Action::Swap(action) => Box::pin(swap::settle(attempt, action)).await,
        Action::Copy(action) => Box::pin(copy::settle(attempt, action)).await,
        Action::Freeze(action) => Box::pin(freeze::settle(attempt, action)).await,
        Action::Sql(action) => Box::pin(sql::settle(attempt, action)).await,
        Action::Shell(action) => Box::pin(shell::settle(attempt, action)).await,
        Action::Http(action) => Box::pin(http::settle(attempt, action)).await,
        Action::Verify(_) | Action::Approve(_) => Outcome::Again("it only reads".to_owned()),
        Action::Notify(_) => Outcome::Again("a notification is sent at least once".to_owned()),
    }
}

/// Reverses a step that is done, with what it noted and gave.
pub async fn undo(attempt: &Attempt) -> Outcome {
    if let Some(inverse) = &attempt.step.undo {
        return attempt.inverse(inverse).run().await;
    }
    let outcome = match &attempt.step.action.value {
        Action::Backup(action) => Box::pin(backup::undo(attempt, action)).await,
        Action::Restore(action) => Box::pin(restore::undo(attempt, action)).await,
        Action::Swap(action) => Box::pin(swap::undo(attempt, action)).await,
        Action::Copy(action) => Box::pin(copy::undo(attempt, action)).await,
        Action::Freeze(action) => Box::pin(freeze::undo(attempt, action)).await,
        Action::Sql(_)
        | Action::Shell(_)
        | Action::Http(_)
        | Action::Verify(_)
        | Action::Approve(_)
        | Action::Notify(_) => Outcome::Skipped("nothing to undo".to_owned()),
    };
    position::note(attempt, &outcome).await;
    redacted::redacted(attempt, outcome)
}

/// Goes on with an interrupted undo. The built-in ones look for themselves how far they came; an author's is settled
/// like any action, and run again only when that does no harm.
pub async fn settle_undo(attempt: &Attempt) -> Outcome {
    match &attempt.step.undo {
        Some(inverse) => attempt.inverse(inverse).settle_and_run().await,
        None => undo(attempt).await,
    }
}
