//! What this machine knows of earlier runs of a plan: how long its steps took, when it was rehearsed, on which servers it
//! was. Reads only; what cannot be read is not known.

use super::command::Globals;
use super::{likeness, state_dir, values};
use crate::clock::{self, Timestamp};
use crate::plan::{Plan, StepId, digest};
use crate::report::amount::{between, span};
use crate::review::Usual;
use crate::run::{Shape, Started};
use crate::steps::{Concern, PreflightFound};
use crate::store::{Median, Store, Timing, Valued};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// What is known of a plan.
#[derive(Debug, Default)]
pub struct Past {
    /// How long each step took.
    pub estimates: HashMap<StepId, Usual>,
    /// The last rehearsal of this very plan.
    pub rehearsal: Option<Timing>,
    /// The values of this run, as they are compared with those of the rehearsal.
    now: BTreeMap<String, Valued>,
    /// The parameters that every rehearsal of this plan gives itself.
    own: BTreeSet<String>,
    /// For each database the servers it was on in runs of this very plan, and which run, the oldest first.
    pub seen: BTreeMap<String, Vec<(String, String)>>,
}

impl Past {
    pub fn of(globals: &Globals, shape: &Shape, params: &Map<String, Value>, directory: &Path) -> Self {
        let store = state_dir::open_to_read(globals);
        store.map(|store| Self::read(&store, shape, params, directory)).unwrap_or_default()
    }

    /// For a run that is given these values: what earlier ones were given may be something else.
    pub fn read(store: &Store, shape: &Shape, params: &Map<String, Value>, directory: &Path) -> Self {
        let now = likeness::valued(&shape.plan, &values::public(&shape.plan, params), directory);
        let digest = digest::of_plan(&shape.loaded);
        let whose = (shape.plan.name.value.as_str(), digest.as_str());
        let found = store.estimates(whose, &now, false).unwrap_or_default();
        let mut seen: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for brief in store.list().unwrap_or_default() {
            let Some(summary) = brief.summary.filter(|one| !one.rehearsal && one.plan_digest == digest)
            else {
                continue;
            };
            for (database, server) in summary.targets {
                seen.entry(database).or_default().push((server, brief.run.to_string()));
            }
        }
        let own = shape.plan.rehearsal.iter().flat_map(|one| one.params.keys()).map(ToString::to_string);
        let own = own.collect();
        Self { estimates: by_step(found.steps), rehearsal: found.rehearsal, now, own, seen }
    }

    /// How long each step of a run that has begun took before, and nothing else: other runs are not looked at. To a
    /// rehearsal, earlier ones tell more about it than real runs.
    pub fn estimates(store: &Store, plan: &Plan, started: &Started) -> HashMap<StepId, Usual> {
        let now = likeness::valued(plan, &started.params, Path::new(&started.directory));
        let found = store.estimates((started.plan.as_str(), &started.plan_digest), &now, started.rehearsal);
        found.map(|found| by_step(found.steps)).unwrap_or_default()
    }

    /// `rehearsed 2h05m ago on a clone, with another backup of 3.1 kB (now 36.0 MB): 3m12s, downtime 40 ms`
    pub fn words(&self, now: Timestamp) -> String {
        let Some(rehearsal) = &self.rehearsal else { return "never rehearsed on this machine".to_owned() };
        let closed = rehearsal.downtime_ms.map(|ms| format!(", downtime {}", span(ms))).unwrap_or_default();
        let ago = span(between(rehearsal.at, now));
        let on = rehearsal.began_with.as_ref().map(|began| format!(" on {}", began.what)).unwrap_or_default();
        let difference = likeness::difference(&rehearsal.params, &self.now, &self.own);
        let with = match difference {
            Some(with) if on.is_empty() => format!(" {with}"),
            Some(with) => format!(", {with}"),
            None => String::new(),
        };
        format!("rehearsed {ago} ago{on}{with}: {}{closed}", span(rehearsal.total_ms))
    }

    /// With rows: else it says nothing of how long it takes.
    pub fn is_rehearsed(&self) -> bool {
        self.rehearsal.as_ref().is_some_and(Timing::has_rows)
    }

    /// For preflight: a plan that changes a database should have been rehearsed.
    pub fn known(&self, shape: &Shape) -> PreflightFound {
        let mut found = PreflightFound::default();
        if self.is_rehearsed() {
            found.fact("this plan", self.words(clock::now()));
        } else if !super::surroundings::changed(shape).is_empty() {
            let message = match &self.rehearsal {
                Some(_) => {
                    format!("this plan was never rehearsed with rows, only {}", self.words(clock::now()))
                }
                None => "this plan, as it is now, was never rehearsed on this machine".to_owned(),
            };
            found.add(
                Concern::warning("never_rehearsed", message)
                    .help("`runplan rehearse PLAN` executes all of it on a throw-away PostgreSQL"),
            );
        }
        found
    }
}

fn by_step(medians: BTreeMap<String, Median>) -> HashMap<StepId, Usual> {
    let usual = |one: Median| Usual {
        ms: one.ms,
        runs: one.runs,
        rehearsed: one.rehearsed,
        other_values: one.other_values,
    };
    medians.into_iter().map(|(step, one)| (StepId::new(step), usual(one))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rehearsal_is_told_in_words() {
        let now: Timestamp = "2026-11-22T05:00:00Z".parse().unwrap();
        let mut past = Past::default();
        assert_eq!(past.words(now), "never rehearsed on this machine");
        past.rehearsal = Some(Timing {
            plan: "p".to_owned(),
            digest: "d".to_owned(),
            at: "2026-11-22T02:58:00Z".parse().unwrap(),
            rehearsal: true,
            total_ms: 192_000,
            downtime_ms: Some(48),
            steps: Vec::new(),
            params: BTreeMap::new(),
            began_with: None,
        });
        assert_eq!(past.words(now), "rehearsed 2h02m ago: 3m12s, downtime 48 ms");
    }
}
