//! A step: the fields all kinds share, and its action.

use super::action::Action;
use super::decode::{Decode, Reader, Schemas, record};
use super::duration::Duration;
use super::json::Json;
use super::name::{Name, StepId};
use super::node::{Kind, Node};
use super::source::Sp;
use super::text::Text;
use serde_json::{Value, json};

record! {
    /// One step of a plan: a node of the graph.
    pub struct Step as "a step" {
        /// Its name in the plan.
        /// Example: safety_backup
        id: Sp<StepId>,
        /// A short title for people.
        /// Example: Take a safety backup
        title: Option<String>,
        /// What it is for. When the rows of a `sql` step are not those that it expects, it is shown as the help.
        /// Example: Kept for a week, in case the swap was wrong
        description: Option<String>,
        /// The steps that must be finished first. Without it: the step written above. `[]`: none.
        /// Example: ["safety_backup"]
        needs: Option<Vec<Sp<StepId>>>,
        /// A template expression; the step is skipped when it is false.
        /// Example: params.severity == 'critical'
        when: Option<Text>,
        /// The window in which it runs: opened before the first step of it, closed after the last.
        /// Example: maintenance
        window: Option<Sp<Name>>,
        /// How long one attempt may take.
        /// Example: 30m
        timeout: Option<Duration>,
        /// Try again when an attempt certainly changed nothing.
        /// Example: {"attempts": 3, "every": "5s"}
        retry: Option<Retry>,
        /// How to reverse it.
        /// Example: {"sql": {"database": "app", "statement": "DROP TABLE t"}}
        undo: Option<Box<Inverse>>,
        /// Why there is no way back.
        /// Example: dropped data does not come back
        irreversible: Option<String>,
        /// Why it may run without the guard (backup and approval): lowers the error to a warning.
        /// Example: the table is a cache
        unguarded: Option<Sp<String>>,
        /// True: its failure does not stop the steps that need it.
        /// Example: false
        continue_on_failure: bool = false,
        /// A list or a mapping: one copy of the step for each of its values, `id[key]`, with `each.key` and `each.value`.
        /// Example: ["users", "escrows"]
        for_each: Option<Sp<Json>>,
        /// For how long its evidence counts on a resume; after that it is taken anew before the next destructive step.
        /// Example: 1h
        fresh_for: Option<Duration>,
        .. action: Sp<Action>,
    }
}

record! {
    /// An action without a place in the graph: a window's `open` and `close`, an `undo`, a handler, a stand-in.
    pub struct Bare as "an action" {
        /// How long one attempt may take.
        /// Example: 30s
        timeout: Option<Duration>,
        /// Try again when an attempt certainly changed nothing.
        /// Example: {"attempts": 3, "every": "5s"}
        retry: Option<Retry>,
        .. action: Sp<Action>,
    }
}

/// The reverse of a step.
pub type Inverse = Bare;

record! {
    /// When to try again. It never applies to an unknown outcome.
    pub struct Retry as "retry" {
        /// How many tries in all.
        /// Example: 3
        attempts: Sp<u32>,
        /// How long to wait before the second try.
        /// Example: 5s
        every: Duration = Duration::from_secs(1),
        /// By what the wait grows with each try.
        /// Example: 2
        backoff: f64 = 1.0,
        /// The longest wait.
        /// Example: 1m
        max_every: Duration = Duration::from_secs(300),
    }
}

impl Retry {
    /// The wait after the given failed attempt (from 1).
    pub fn wait(&self, attempt: u32) -> Duration {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let factor = self.backoff.max(1.0).powi(exponent);
        let wait = (self.every.ms as f64 * factor).min(self.max_every.ms as f64);
        Duration::from_ms(wait as u64)
    }
}

/// What a program or a request changes: a database of the plan, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    Nothing,
    Database(Sp<Name>),
}

impl Decode for Changes {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let Kind::Scalar { text, .. } = &node.kind else {
            reader.wrong(node, "the name of a database, or `none`,");
            return None;
        };
        if text == "none" {
            return Some(Self::Nothing);
        }
        Sp::<Name>::decode(node, reader).map(Self::Database)
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "string" })
    }
}
