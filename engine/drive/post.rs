//! What a person says to a run that nobody holds: decided and made durable, nothing is started.

use crate::clock;
use crate::run::{Actor, Impossible, Input, Phase, Post, Record, State, decide};
use crate::store::{self, Journal};

/// Why it could not be recorded.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PostError {
    #[error("the journal cannot be written")]
    #[diagnostic(code(runplan::drive::journal), help("mend it and say it again: nothing was recorded"))]
    Journal(#[source] store::Error),
    #[error("the journal and the plan do not fit")]
    #[diagnostic(code(runplan::drive::impossible), help("`runplan status RUN --verify` names the place"))]
    Impossible(#[from] Impossible),
}

/// What waited in an inbox.
#[derive(Debug, Default)]
pub struct Heard {
    /// What came of it.
    pub records: Vec<Record>,
    /// Another process wants the run.
    pub wanted: bool,
}

/// Decides on it; what came of it is durable.
///
/// # Errors
/// The journal fails, or does not fit the plan.
pub async fn post<J: Journal>(
    journal: &J,
    state: &mut State,
    actor: &Actor,
    post: Post,
) -> Result<Vec<Record>, PostError> {
    record(journal, state, actor, Input::Post(post)).await
}

/// Decides on what waits in the inbox of a run whose driver has ended without reading it. To stop what is not under way is
/// nothing, now and when it is taken up again; a run that is over, or was moved, takes nothing any more.
///
/// # Errors
/// The journal or the inbox fails, or does not fit the plan.
pub async fn read_inbox<J: Journal>(journal: &J, state: &mut State) -> Result<Heard, PostError> {
    let mut heard = Heard::default();
    for posted in journal.inbox().await.map_err(PostError::Journal)? {
        let is_over = state.phase == Phase::Finished || state.moved.is_some();
        let is_nothing = is_over || matches!(posted.post, Post::Stop { .. } | Post::LetGo);
        heard.wanted |= posted.post == Post::LetGo;
        let before = state.seq;
        let records = match is_nothing {
            true => Vec::new(),
            false => applied(state, &posted.actor, Input::Post(posted.post))?,
        };
        journal.append_taking(before, &records, &[posted.id]).await.map_err(PostError::Journal)?;
        heard.records.extend(records);
    }
    Ok(heard)
}

/// Decides on an input of a run that is not driven; what came of it is durable, nothing is started.
///
/// # Errors
/// The journal fails, or does not fit the plan.
pub async fn record<J: Journal>(
    journal: &J,
    state: &mut State,
    actor: &Actor,
    input: Input,
) -> Result<Vec<Record>, PostError> {
    let before = state.seq;
    let records = applied(state, actor, input)?;
    if !records.is_empty() {
        journal.append(before, &records).await.map_err(PostError::Journal)?;
    }
    Ok(records)
}

/// What came of it, in memory.
fn applied(state: &mut State, actor: &Actor, input: Input) -> Result<Vec<Record>, Impossible> {
    let now = clock::now();
    let mut records = Vec::new();
    for event in decide(state, actor, input, now) {
        let record = Record::seal(&state.run.clone(), state.seq + 1, now, actor, event, &state.head);
        state.apply(&record)?;
        records.push(record);
    }
    Ok(records)
}
