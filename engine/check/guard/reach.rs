//! What destroys data, against the backups and approvals before it. Bits of 64 backups go along the graph at once, so that
//! ten thousand steps stay quick.

use super::danger::{Danger, covers};
use super::{is_approval, is_certain, lowered, own, same};
use crate::check::context::Context;
use crate::graph::Graph;
use crate::plan::action::Backup;
use crate::plan::action::restore::Into;
use crate::plan::{Action, Finding, Step};
use std::collections::HashMap;

/// What a step behind a danger is good for, and what a later one spoils.
pub fn check(context: &Context<'_>, graph: &Graph, dangers: &[Danger<'_>], findings: &mut Vec<Finding>) {
    if dangers.is_empty() {
        return;
    }
    let steps = context.steps();
    let backups: Vec<usize> = (0..steps.len())
        .filter(|at| is_certain(&steps[*at]) && matches!(steps[*at].action.value, Action::Backup(_)))
        .collect();
    // For each danger: has a covering backup, has one with an approval after it.
    let mut best: Vec<State> = dangers.iter().map(|_| State::default()).collect();
    for chunk in backups.chunks(64) {
        let reach = Reach::new(context, graph, chunk);
        for (danger, state) in dangers.iter().zip(&mut best) {
            for (bit, backup) in chunk.iter().enumerate() {
                if let Action::Backup(action) = &steps[*backup].action.value {
                    state.take(danger, action, &reach, 1 << bit);
                }
            }
        }
    }
    let own = own::sides(context, graph, dangers);
    for ((danger, state), is_own_side) in dangers.iter().zip(best).zip(own) {
        if !is_own_side && let Some(finding) = state.finding(context, danger) {
            findings.push(finding);
        }
    }
}

/// Bits of 64 backups along the graph.
struct Reach {
    before: Vec<u64>,
    approved: Vec<u64>,
    /// Other data has taken the place of what was backed up.
    replaced: Vec<u64>,
}

impl Reach {
    fn new(context: &Context<'_>, graph: &Graph, backups: &[usize]) -> Self {
        let steps = context.steps();
        let bits: HashMap<usize, u64> = backups.iter().enumerate().map(|(bit, at)| (*at, 1 << bit)).collect();
        let databases: Vec<String> = backups
            .iter()
            .map(|at| match &steps[*at].action.value {
                Action::Backup(backup) => same(&backup.database.raw),
                _ => String::new(),
            })
            .collect();
        let through = graph.flow_down(|at, above| above | bits.get(&at).copied().unwrap_or(0));
        let above = |at: usize| graph.needs(at).iter().fold(0, |joined, need| joined | through[*need]);
        let approved = graph
            .flow_down(|at, approved| if is_approval(&steps[at]) { approved | above(at) } else { approved });
        let replaced = graph.flow_down(|at, replaced| match replaces(&steps[at]) {
            Some(database) => {
                let hit = databases.iter().enumerate().filter(|(_, known)| **known == database);
                replaced | hit.fold(0, |bits, (bit, _)| bits | 1 << bit) & above(at)
            }
            None => replaced,
        });
        let ends =
            |values: &[u64], at: usize| graph.needs(at).iter().fold(0, |joined, need| joined | values[*need]);
        let all = |values: &[u64]| (0..steps.len()).map(|at| ends(values, at)).collect();
        Self { before: all(&through), approved: all(&approved), replaced: all(&replaced) }
    }
}

/// The database whose data a step exchanges for others.
pub fn replaces(step: &Step) -> Option<String> {
    match &step.action.value {
        Action::Swap(swap) => Some(same(&swap.database.raw)),
        Action::Restore(restore) if restore.into == Into::InPlace => Some(same(&restore.database.raw)),
        Action::Shell(shell) => shell.replaces.as_ref().map(|text| same(&text.raw)),
        Action::Http(http) => http.replaces.as_ref().map(|text| same(&text.raw)),
        _ => None,
    }
}

#[derive(Default)]
struct State {
    other_database: bool,
    not_covering: bool,
    replaced: bool,
    backed_up: bool,
    approved: bool,
}

impl State {
    fn take(&mut self, danger: &Danger<'_>, backup: &Backup, reach: &Reach, bit: u64) {
        if reach.before[danger.step] & bit == 0 {
            return;
        }
        if danger.database.is_empty() || same(&backup.database.raw) != danger.database {
            self.other_database = true;
        } else if !covers(backup, danger) {
            self.not_covering = true;
        } else if reach.replaced[danger.step] & bit != 0 {
            self.replaced = true;
        } else {
            self.backed_up = true;
            self.approved |= reach.approved[danger.step] & bit != 0;
        }
    }

    fn finding(&self, context: &Context<'_>, danger: &Danger<'_>) -> Option<Finding> {
        let step = &context.steps()[danger.step];
        let database = danger.database.as_str();
        let (missing, help) = match self {
            _ if database.is_empty() => (
                "nobody knows which database",
                "write `changes: NAME`, then add a `backup` of it and an `approve` before it".to_owned(),
            ),
            Self { backed_up: true, approved: true, .. } => return None,
            Self { backed_up: true, .. } => (
                "nobody approves it after the backup",
                "add an `approve` step that needs the backup, and make this step need it".to_owned(),
            ),
            Self { replaced: true, .. } => (
                "the backup is of data that another step has replaced since",
                format!("back up {database} again after that step"),
            ),
            Self { not_covering: true, .. } if danger.cascade => (
                "with CASCADE it can reach beyond what the backup before it holds",
                format!("back up {database} without `tables`, `exclude_tables` and `schemas`"),
            ),
            Self { not_covering: true, .. } => (
                "the backup before it does not hold what it destroys",
                format!("back up {database} without `tables`, `exclude_tables` and `schemas`"),
            ),
            Self { other_database: true, .. } => {
                ("the backup before it is of another database", format!("back up {database} before it"))
            }
            Self { .. } => (
                "no backup before it certainly runs",
                format!(
                    "add a `backup` of {database} without `when` and `continue_on_failure`, then an `approve`, before it"
                ),
            ),
        };
        let does = if danger.data {
            "destroys data"
        } else {
            "drops what its author does not say how to make again"
        };
        let message = format!("`{}` {does} ({}): {missing}", step.id.value, danger.what);
        Some(lowered(
            step,
            Finding::error("runplan::check::unguarded", danger.span, message).label("not guarded").help(help),
        ))
    }
}
