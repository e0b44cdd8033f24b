//! How long the application was closed: its windows, and the swaps themselves.

use super::outcome::number;
use crate::plan::{Action, Made, StepId};
use crate::run::{Entry, State, StepState, doors_in_doubt};
use jiff::Timestamp;
use serde::Serialize;

/// One stretch without traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Downtime {
    pub window: String,
    pub opened_at: Timestamp,
    /// None: it is still closed to traffic.
    pub closed_at: Option<Timestamp>,
    /// The last stretch of a window of which nobody knows whether it is open now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_doubt: bool,
}

impl Downtime {
    /// What is, or may be, closed now: in words.
    pub fn shut(&self) -> Option<String> {
        let window = &self.window;
        match self.in_doubt {
            true => Some(format!(
                "it is not known whether window {window} is open: the application may be CLOSED to traffic"
            )),
            false if self.closed_at.is_some() => None,
            false => Some(format!("window {window} is still open: the application is CLOSED to traffic")),
        }
    }
}

/// The stretches in which windows were open, the first to be opened first. On the way back the undo of a closing closes the
/// application anew, and the undo of an opening opens it: both are stretches of the same window.
pub fn windows(state: &State) -> Vec<Downtime> {
    let mut found = Vec::new();
    let doubtful = doors_in_doubt(state);
    // Asked at every event of a run that is watched: only the windows are looked at, not the steps.
    for (id, made) in state.shape.flow.made_steps() {
        let (Made::Open(name), Some(entry)) = (made, state.entry(id)) else { continue };
        let is_undone = |entry: &&Entry| entry.state == StepState::Undone;
        let was_done = entry.state.stands() || is_undone(&entry);
        let Some(opened_at) = entry.finished_at.filter(|_| was_done) else { continue };
        let back_at = Some(entry).filter(is_undone).and_then(|entry| entry.undone_at);
        let close = state.entry(&StepId::new(format!("{name}.close")));
        let close = close.filter(|entry| entry.state.stands() || is_undone(entry));
        let one = |opened_at, closed_at| Downtime {
            window: name.to_string(),
            opened_at,
            closed_at,
            in_doubt: false,
        };
        match close.and_then(|entry| Some((entry, entry.finished_at?))) {
            None => found.push(one(opened_at, back_at)),
            Some((close, closed_at)) => {
                found.push(one(opened_at, Some(closed_at)));
                let again = Some(close).filter(is_undone).and_then(|entry| entry.undone_at);
                found.extend(again.map(|again| one(again, back_at)));
            }
        }
        if let Some(last) = found.last_mut() {
            last.in_doubt = doubtful.contains(&name.as_str());
        }
    }
    found.sort_by(|a, b| (a.opened_at, &a.window).cmp(&(b.opened_at, &b.window)));
    found
}

/// Databases that a finished freeze still keeps from being written to: no step has taken the setting away. After a swap
/// it is the old one that is frozen, and that is meant.
pub fn frozen(state: &State) -> Vec<(StepId, String)> {
    frozen_without(state, &[])
}

/// What is open now and would be closed to the application if these steps were undone, and no others: in words.
pub fn shut_by(state: &State, undone: &[StepId]) -> Vec<String> {
    let now = frozen(state);
    let again = frozen_without(state, undone).into_iter().filter(|frozen| !now.contains(frozen));
    let mut words: Vec<String> = again
        .map(|(step, name)| {
            format!("database {name} would be frozen again ({step} is not undone): read-only, nobody could write to it")
        })
        .collect();
    let stands = |id: &StepId| state.entry(id).is_some_and(|entry| entry.state.stands());
    for (id, made) in state.shape.flow.made_steps() {
        let Made::Close(name) = made else { continue };
        let open = StepId::new(format!("{name}.open"));
        if undone.contains(id) && stands(id) && stands(&open) && !undone.contains(&open) {
            words.push(format!(
                "window {name} would be open again: the application would be CLOSED to traffic"
            ));
        }
    }
    words
}

fn frozen_without(state: &State, undone: &[StepId]) -> Vec<(StepId, String)> {
    let done = || {
        state
            .entries()
            .filter(|(id, entry)| entry.state.stands() && !undone.contains(id))
            .filter_map(|(id, _)| state.shape.flow.step(id.as_str()).map(|step| (id, &step.action.value)))
    };
    let over: Vec<&str> = done()
        .filter_map(|(_, action)| match action {
            Action::Swap(swap) => Some(swap.database.raw.as_str()),
            Action::Sql(sql) => {
                sql.statement.as_ref().filter(|text| thaws(&text.raw)).map(|_| sql.database.raw.as_str())
            }
            _ => None,
        })
        .collect();
    done()
        .filter_map(|(id, action)| match action {
            Action::Freeze(freeze) => Some((id.clone(), freeze.database.raw.clone())),
            _ => None,
        })
        .filter(|(_, database)| !over.contains(&database.as_str()))
        .collect()
}

/// `ALTER DATABASE ... RESET default_transaction_read_only`, or setting it off.
fn thaws(statement: &str) -> bool {
    let words = statement.to_lowercase();
    let words: Vec<&str> =
        words.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    let Some(at) = words.iter().position(|word| *word == "default_transaction_read_only") else {
        return false;
    };
    words.contains(&"reset") || words.get(at + 1..).is_some_and(|rest| rest.contains(&"off"))
}

/// How long the swaps kept the database away, in milliseconds.
pub fn swaps(state: &State) -> Vec<(StepId, u64)> {
    let swaps = state.entries().filter(|(id, entry)| {
        let step = state.shape.flow.step(id.as_str());
        entry.state.stands() && step.is_some_and(|step| matches!(step.action.value, Action::Swap(_)))
    });
    swaps.filter_map(|(id, entry)| Some((id.clone(), number(&entry.outputs, "downtime_ms")?))).collect()
}
