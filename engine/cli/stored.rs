//! A run as its journal tells it: the plan it was started with, and the fold of its events. Must never read the plan
//! from disk: what was reviewed is what goes on.

use super::error::Error;
use crate::plan::{Finding, Loaded, RunId};
use crate::run::{Event, Record, Shape, Started, State};
use crate::store::Store;

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
        let Some(Event::RunStarted(started)) = records.first().map(|record| &record.event) else {
            return Err(Error::NeverBegan { run: run.clone() });
        };
        let mut state = State::new(run.clone(), shape(started)?);
        for record in &records {
            state.apply(record).map_err(|error| Error::Unfit { run: run.clone(), why: error.to_string() })?;
        }
        Ok(Self { records, state })
    }

    pub fn started(&self) -> Result<&Started, Error> {
        self.state.started.as_deref().ok_or_else(|| Error::NeverBegan { run: self.state.run.clone() })
    }
}

/// The plan of a run, as it was when the run started.
fn shape(started: &Started) -> Result<Shape, Error> {
    Shape::stored(started).map_err(|why| Error::Unusable { why: why.to_owned() })
}

/// The same with the values of its parameters: a `for_each` over one of them is unrolled.
///
/// # Errors
/// The values make it a plan that cannot be used.
pub fn with_values(
    shape: Shape,
    values: &serde_json::Map<String, serde_json::Value>,
) -> Result<Shape, Error> {
    if !shape.loaded.has_lists() {
        return Ok(shape);
    }
    let loaded = shape.loaded.with_params(values);
    match super::check::findings(&loaded).into_iter().find(Finding::is_error) {
        Some(finding) => Err(Error::Unusable { why: finding.message }),
        None => shape_of(loaded),
    }
}

/// What a run is made of, out of a plan without errors.
///
/// # Errors
/// It is no plan, or has a cycle: `check` tells more.
pub fn shape_of(loaded: Loaded) -> Result<Shape, Error> {
    Shape::of(loaded).map_err(|why| Error::Unusable { why: why.to_owned() })
}
