//! A side database that this run made from a backup is that backup's copy: nothing is lost with it, until it is live.

use super::danger::Danger;
use super::same;
use crate::check::context::Context;
use crate::graph::Graph;
use crate::plan::Action;
use crate::plan::action::restore::Into;
use std::collections::HashMap;

/// For each danger: whether it hits such a copy. It must come before every swap that makes the copy live: beside one
/// nobody knows which is first.
pub fn sides(context: &Context<'_>, graph: &Graph, dangers: &[Danger<'_>]) -> Vec<bool> {
    let mut swaps: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, step) in context.steps().iter().enumerate() {
        if let Action::Swap(swap) = &step.action.value {
            swaps.entry(same(&swap.with.raw)).or_default().push(at);
        }
    }
    let mut asked = Vec::new();
    let mut pairs = Vec::new();
    for (number, danger) in dangers.iter().enumerate() {
        let Some(restore) = maker(context, &danger.database) else { continue };
        asked.push((number, true));
        pairs.push((restore, danger.step));
        for swap in swaps.get(&danger.database).into_iter().flatten() {
            asked.push((number, false));
            pairs.push((danger.step, *swap));
        }
    }
    let mut own = vec![false; dangers.len()];
    for ((number, makes), before) in asked.into_iter().zip(graph.all_before(&pairs)) {
        // The restore comes first in the list; every swap after it may take the right away again.
        own[number] = before && (makes || own[number]);
    }
    own
}

/// The restore beside the live database that makes a database.
fn maker(context: &Context<'_>, database: &str) -> Option<usize> {
    let id = database.strip_prefix("{{steps.")?.strip_suffix(".database}}")?;
    let at = context.flow.index(id)?;
    let is_side = |action: &Action| matches!(action, Action::Restore(restore) if restore.into == Into::Side);
    is_side(&context.steps()[at].action.value).then_some(at)
}
