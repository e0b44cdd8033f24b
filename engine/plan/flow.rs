//! The steps as they run: windows opened and closed, every `needs` computed. Made once from a plan; the graph, the run
//! and the dry run all read it.

use super::name::{Name, StepId};
use super::step::Step;
use std::collections::HashMap;
use std::sync::Arc;

/// Why a step is in the flow although nobody wrote it as a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// `maintenance.open`
    Open(Name),
    /// `maintenance.close`
    Close(Name),
}

/// The steps in written order; `needs` is always given.
#[derive(Debug, Clone, Default)]
pub struct Flow {
    steps: Vec<Arc<Step>>,
    made: HashMap<StepId, Made>,
    index: HashMap<StepId, usize>,
}

impl Flow {
    /// The first of two steps with the same id keeps it; check reports the other.
    pub fn new(steps: Vec<Step>, made: HashMap<StepId, Made>) -> Self {
        let steps: Vec<Arc<Step>> = steps.into_iter().map(Arc::new).collect();
        let mut index = HashMap::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            index.entry(step.id.value.clone()).or_insert(at);
        }
        Self { steps, made, index }
    }

    pub fn steps(&self) -> &[Arc<Step>] {
        &self.steps
    }

    pub fn len(&self) -> usize {
        self.steps.len()
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub fn index(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    pub fn step(&self, id: &str) -> Option<&Arc<Step>> {
        self.index(id).and_then(|at| self.steps.get(at))
    }

    pub fn made(&self, id: &StepId) -> Option<&Made> {
        self.made.get(id)
    }

    /// The steps that nobody wrote, in no order.
    pub fn made_steps(&self) -> impl Iterator<Item = (&StepId, &Made)> {
        self.made.iter()
    }

    /// The computed predecessors of a step.
    pub fn needs(step: &Step) -> impl Iterator<Item = &StepId> {
        step.needs.iter().flatten().map(|id| &id.value)
    }
}
