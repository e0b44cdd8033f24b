//! Steps that replace the whole server behind a database, as the journal knows them. Must never take a server for the old
//! one once such a step has begun.

use super::state::{Entry, State};
use super::transition::StepState;
use crate::plan::{Action, Step, Text};
use jiff::Timestamp;

/// The fact of a step that replaces a server: `{database, server, started}`.
pub const REPLACING: &str = "replacing";
/// The fact of the step that found the new server: `{database, server, before}`.
pub const TAKEN: &str = "taken_anew";

/// Which server a database of the plan is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replacement {
    /// The one on which the run began.
    Never,
    /// Perhaps another one: nobody has looked yet.
    Begun {
        since: Timestamp,
        /// When the old one was started, if it said so.
        started: Option<String>,
    },
    /// This one.
    Taken(String),
}

/// The database whose server an action replaces.
pub fn replaces(step: &Step) -> Option<&Text> {
    match &step.action.value {
        Action::Shell(shell) => shell.replaces.as_ref(),
        Action::Http(http) => http.replaces.as_ref(),
        _ => None,
    }
}

pub fn replacement(state: &State, database: &str) -> Replacement {
    let begun = |entry: &Entry| entry.started_at;
    // What certainly failed, or was left out, replaced nothing.
    let has_effect = |entry: &&Entry| {
        !matches!(
            entry.state,
            StepState::Waiting | StepState::Retrying { .. } | StepState::Failed | StepState::Skipped
        )
    };
    let taken = state
        .entries()
        .filter_map(|(_, entry)| {
            let fact = entry.facts.iter().rev().find(|fact| fact.name.ends_with(TAKEN))?;
            let is_it = fact.data["database"] == database;
            is_it.then(|| Some((begun(entry)?, fact.data["server"].as_str()?.to_owned()))).flatten()
        })
        .max_by_key(|(at, _)| *at);
    let steps = state.shape.flow.steps().iter();
    let replacing = steps.filter(|step| replaces(step).is_some_and(|text| text.raw.trim() == database));
    let after = replacing
        .filter_map(|step| state.entry(&step.id.value))
        .filter(has_effect)
        .filter_map(|entry| begun(entry).map(|at| (at, entry)))
        .filter(|(at, _)| taken.as_ref().is_none_or(|(taken, _)| at > taken))
        .min_by_key(|(at, _)| *at);
    match (after, taken) {
        (Some((since, entry)), _) => {
            let fact = entry.facts.iter().rev().find(|fact| fact.name.ends_with(REPLACING));
            let started = fact.and_then(|fact| fact.data["started"].as_str()).map(str::to_owned);
            Replacement::Begun { since, started }
        }
        (None, Some((_, server))) => Replacement::Taken(server),
        (None, None) => Replacement::Never,
    }
}
