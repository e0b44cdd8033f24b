//! What steps get that do not say it themselves. It is put into the tree before the steps are decoded, so that a step with
//! a default is a step like any other; it must never change what is written.

use super::action::Kind as ActionKind;
use super::decode::record;
use super::duration::Duration;
use super::node::{Kind, Node};
use super::source::Sp;
use super::step::Retry;

record! {
    /// What steps get that do not say it themselves.
    pub struct Defaults as "defaults" {
        /// `timeout` of every step, approvals excepted.
        /// Example: 30m
        timeout: Option<Duration>,
        /// `retry` of every step, approvals excepted.
        /// Example: {"attempts": 3, "every": "5s"}
        retry: Option<Retry>,
        /// `fresh_for` of backups, approvals and verifications.
        /// Example: 1h
        fresh_for: Option<Duration>,
        /// `lock_timeout` of SQL.
        /// Example: 3s
        lock_timeout: Option<Duration>,
        /// `statement_timeout` of SQL.
        /// Example: 5m
        statement_timeout: Option<Duration>,
        /// `keep` of backups.
        /// Example: 7d
        keep: Option<Duration>,
        /// `keep_old` of swaps.
        /// Example: 7d
        keep_old: Option<Duration>,
        /// `quiet` of freezes.
        /// Example: 10s
        quiet: Option<Duration>,
        /// `expires` of approvals.
        /// Example: 1h
        expires: Option<Duration>,
    }
}

impl Defaults {
    pub const fn none() -> Self {
        Self {
            timeout: None,
            retry: None,
            fresh_for: None,
            lock_timeout: None,
            statement_timeout: None,
            keep: None,
            keep_old: None,
            quiet: None,
            expires: None,
        }
    }
}

/// Where a default goes: into the step, or into its action.
fn goes_to(field: &str, kind: &str) -> Option<Place> {
    use ActionKind::{Approve, Backup, Freeze, Sql, Swap, Verify};
    let of = |kinds: &[ActionKind]| kinds.iter().any(|known| known.word() == kind);
    match field {
        "timeout" | "retry" if !of(&[Approve]) => Some(Place::Step),
        "fresh_for" if of(&[Backup, Approve, Verify]) => Some(Place::Step),
        "lock_timeout" | "statement_timeout" if of(&[Sql]) => Some(Place::Action),
        "keep" if of(&[Backup]) => Some(Place::Action),
        "keep_old" if of(&[Swap]) => Some(Place::Action),
        "quiet" if of(&[Freeze]) => Some(Place::Action),
        "expires" if of(&[Approve]) => Some(Place::Action),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Step,
    Action,
}

/// The `defaults` of a file, as they are written.
pub fn written(root: &Node) -> Option<Node> {
    root.get("defaults").filter(|node| matches!(node.kind, Kind::Map(_))).cloned()
}

/// Gives every step under `steps` what the nearest defaults say and it does not.
pub fn apply(root: &mut Node, defaults: &[Node]) {
    let Kind::Map(entries) = &mut root.kind else { return };
    let steps = entries.iter_mut().find(|(key, _)| key.value == "steps").map(|(_, node)| &mut node.kind);
    let Some(Kind::List(steps)) = steps else { return };
    for (field, value) in defaults.iter().filter_map(entries_of).flatten() {
        steps.iter_mut().for_each(|step| give(step, field, value));
    }
}

fn entries_of(node: &Node) -> Option<&Vec<(Sp<String>, Node)>> {
    match &node.kind {
        Kind::Map(entries) => Some(entries),
        _ => None,
    }
}

fn give(step: &mut Node, field: &Sp<String>, value: &Node) {
    let Kind::Map(entries) = &mut step.kind else { return };
    let action = entries.iter().position(|(key, _)| ActionKind::WORDS.contains(&key.value.as_str()));
    let Some(at) = action else { return };
    match goes_to(field, &entries[at].0.value) {
        Some(Place::Step) => add(entries, field, value),
        Some(Place::Action) => {
            if let Kind::Map(inner) = &mut entries[at].1.kind {
                add(inner, field, value);
            }
        }
        None => {}
    }
}

fn add(entries: &mut Vec<(Sp<String>, Node)>, field: &Sp<String>, value: &Node) {
    if !entries.iter().any(|(key, _)| key.value == field.value) {
        entries.push((field.clone(), value.clone()));
    }
}
