//! Which run and which step are meant by what was typed. Must never choose between several.

use super::command::Globals;
use super::error::Error;
use super::state_dir;
use crate::plan::{RunId, StepId, finding};
use crate::run::State;
use crate::store::Store;

/// A run by what was typed.
///
/// # Errors
/// There is none, or several are meant.
pub fn find(globals: &Globals, run: &str) -> Result<(Store, RunId), Error> {
    let store = state_dir::open(globals)?;
    let run = store.find(run)?;
    Ok((store, run))
}

/// The same of a command that names a step too: whoever typed them the other way round is told.
///
/// # Errors
/// There is none, or several are meant.
pub fn find_in_order(
    globals: &Globals,
    verb: &str,
    run: &str,
    step: Option<&str>,
) -> Result<(Store, RunId), Error> {
    let store = state_dir::open(globals)?;
    match store.find(run) {
        Ok(found) => Ok((store, found)),
        Err(error) => match step.map(|step| store.find(step)) {
            Some(Ok(other)) => Err(Error::usage_with(
                format!("there is no run `{run}`; the run comes first, then the step"),
                format!("type: runplan {verb} {other} {run}"),
            )),
            _ => Err(error.into()),
        },
    }
}

/// A step of the run.
///
/// # Errors
/// There is none of that name.
pub fn step_of(state: &State, name: &str) -> Result<StepId, Error> {
    let flow = &state.shape.flow;
    match flow.step(name) {
        Some(step) => Ok(step.id.value.clone()),
        None => Err(Error::usage_with(
            format!("{} has no step `{name}`", state.run),
            finding::suggest(name, flow.steps().iter().map(|step| step.id.value.as_str())),
        )),
    }
}

/// The step that was named, or the only one that waits.
///
/// # Errors
/// There is none, or several wait.
pub fn waiting(state: &State, named: Option<&str>) -> Result<StepId, Error> {
    if let Some(name) = named {
        return step_of(state, name);
    }
    let waiting: Vec<&StepId> = state.awaiting().collect();
    match waiting.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Error::usage(format!("no step of {} waits for an approval", state.run))),
        several => {
            let names: Vec<&str> = several.iter().map(|id| id.as_str()).collect();
            Err(Error::usage(format!("several steps wait for an approval: {}; name one", names.join(", "))))
        }
    }
}
