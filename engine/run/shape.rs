//! What a run is made of: its plan, ordered. An amendment puts another in its place; nothing else changes it.

use super::event::{Started, StoredSource};
use crate::graph::Graph;
use crate::plan::{self, Flow, Loaded, Plan, Site};
use serde_json::{Map, Value};
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct Shape {
    pub plan: Arc<Plan>,
    pub site: Option<Arc<Site>>,
    pub flow: Arc<Flow>,
    pub graph: Arc<Graph>,
    pub loaded: Arc<Loaded>,
}

impl Shape {
    /// Out of a plan without errors.
    ///
    /// # Errors
    /// It is no plan, or has a cycle; in words.
    pub fn of(loaded: Loaded) -> Result<Self, &'static str> {
        let plan = loaded.plan.clone().ok_or("it is not a plan")?;
        let graph = Graph::new(&loaded.flow).map_err(|_| "its steps wait for each other")?;
        Ok(Self {
            plan,
            site: loaded.site.clone(),
            flow: loaded.flow.clone(),
            graph: Arc::new(graph),
            loaded: Arc::new(loaded),
        })
    }

    /// The plan of a run as its journal keeps it.
    ///
    /// # Errors
    /// The journal holds no plan, or one that cannot be used.
    pub fn stored(started: &Started) -> Result<Self, &'static str> {
        Self::of_sources(&started.sources, started.has_site, &started.params)
    }

    /// As `stored`, of files that an amendment puts in the place of the first ones.
    ///
    /// # Errors
    /// As `stored`.
    pub fn of_sources(
        sources: &[StoredSource],
        has_site: bool,
        params: &Map<String, Value>,
    ) -> Result<Self, &'static str> {
        let loaded = loaded(sources, has_site, params);
        Self::of(loaded.ok_or("the journal holds no plan")?)
    }
}

/// Files of a plan as a journal keeps them: the plan, the site file if there is one, the others by their names.
pub fn loaded(sources: &[StoredSource], has_site: bool, params: &Map<String, Value>) -> Option<Loaded> {
    let text = |at: usize| sources.get(at).map(|source| (source.name.as_str(), source.text.as_str()));
    let site = if has_site { text(1) } else { None };
    let rest = 1 + usize::from(has_site);
    let read = |name: &str| {
        let found = sources.iter().skip(rest).find(|source| source.name == name);
        found.map(|source| source.text.clone()).ok_or_else(|| "it is not in the journal".to_owned())
    };
    Some(plan::load(text(0)?, site, &read).with_params(params))
}
