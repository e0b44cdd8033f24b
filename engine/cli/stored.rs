//! A run as its journal tells it: the plan it was started with, and the fold of its events. Must never read the plan
//! from disk: what was reviewed is what goes on.

use super::check;
use super::error::Error;
use crate::check::{computed, held_back};
use crate::plan::{Finding, Loaded, RunId};
use crate::run::{Event, Record, Shape, Started, State};
use crate::store::Store;
use crate::terminal::Screen;
use serde_json::{Map, Value};

/// A run that was read back.
pub struct Stored {
    pub records: Vec<Record>,
    pub state: State,
}

impl Stored {
    /// Reads a run, for looking at it or for going on.
    ///
    /// # Errors
    /// There is none, its journal is damaged, newer, empty, or does not fit its plan.
    pub fn read(store: &Store, run: &RunId) -> Result<Self, Error> {
        let records = store.load(run)?.whole()?;
        Self::of(run, records)
    }

    /// Folds records into a state.
    ///
    /// # Errors
    /// They do not begin with a start, or do not fit.
    pub fn of(run: &RunId, records: Vec<Record>) -> Result<Self, Error> {
        let mut state = before(run, &records)?;
        for record in &records {
            fold(&mut state, record)?;
        }
        Ok(Self { records, state })
    }

    pub fn started(&self) -> Result<&Started, Error> {
        self.state.started.as_deref().ok_or_else(|| Error::NeverBegan { run: self.state.run.clone() })
    }
}

/// How the run began, when its journal says so.
pub fn started(records: &[Record]) -> Option<&Started> {
    match &records.first()?.event {
        Event::RunStarted(started) => Some(started),
        _ => None,
    }
}

/// The state before the first of these records.
///
/// # Errors
/// They do not begin with a start, or the plan in it cannot be used.
pub fn before(run: &RunId, records: &[Record]) -> Result<State, Error> {
    let started = started(records).ok_or_else(|| Error::NeverBegan { run: run.clone() })?;
    Ok(State::new(run.clone(), shape(started)?))
}

/// One record more.
///
/// # Errors
/// It does not fit.
pub fn fold(state: &mut State, record: &Record) -> Result<(), Error> {
    let run = state.run.clone();
    state.apply(record).map_err(|error| Error::Unfit { run, why: error.to_string() })
}

/// The plan of a run, as it was when the run started.
fn shape(started: &Started) -> Result<Shape, Error> {
    Shape::stored(started).map_err(|why| Error::Unusable { why: why.to_owned() })
}

/// The same with the values of its parameters: a `for_each` over one of them is unrolled.
///
/// # Errors
/// The values make it a plan that cannot be used; what is wrong is shown at its place.
pub fn with_values(screen: &Screen, shape: Shape, values: &Map<String, Value>) -> Result<Shape, Error> {
    let (shape, found) = unrolled(shape, values)?;
    check::stop_on(screen, &found, &shape.loaded, false)?;
    Ok(shape)
}

/// The same, without telling anybody why not.
pub fn with_fitting_values(shape: Shape, values: &Map<String, Value>) -> Option<Shape> {
    let (shape, found) = unrolled(shape, values).ok()?;
    found.is_empty().then_some(shape)
}

/// With the errors that these values make.
fn unrolled(shape: Shape, values: &Map<String, Value>) -> Result<(Shape, Vec<Finding>), Error> {
    if !shape.loaded.has_lists() {
        let found = with(&shape.loaded, values);
        return Ok((shape, found));
    }
    let loaded = shape.loaded.with_params(values);
    let mut found: Vec<Finding> = check::findings(&loaded).into_iter().filter(Finding::is_error).collect();
    if found.is_empty() {
        found = with(&loaded, values);
    }
    // What cannot be used is still what the findings point into.
    let shape = if found.is_empty() { shape_of(loaded)? } else { Shape { loaded: loaded.into(), ..shape } };
    Ok((shape, found))
}

/// What is wrong with a plan when it has these values.
fn with(loaded: &Loaded, values: &Map<String, Value>) -> Vec<Finding> {
    held_back(loaded, values).into_iter().chain(computed(loaded, values)).collect()
}

/// What a run is made of, out of a plan without errors.
///
/// # Errors
/// It is no plan, or has a cycle: `check` tells more.
pub fn shape_of(loaded: Loaded) -> Result<Shape, Error> {
    Shape::of(loaded).map_err(|why| Error::Unusable { why: why.to_owned() })
}
