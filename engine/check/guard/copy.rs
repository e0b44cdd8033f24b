//! A copy that overwrites rows: its before-images are the way back, and somebody agrees to it who could see the rows.

use super::{is_approval, lowered, same};
use crate::check::context::Context;
use crate::graph::Graph;
use crate::plan::action::copy::OnConflict;
use crate::plan::{Action, Finding, Step};

/// Whether a step overwrites rows of its target.
pub fn overwrites(step: &Step) -> bool {
    matches!(&step.action.value, Action::Copy(copy) if copy.on_conflict == OnConflict::Update)
}

/// For each copy: an approval comes before it, and after the step that made what is copied from.
pub fn check(context: &Context<'_>, graph: &Graph, findings: &mut Vec<Finding>) {
    let steps = context.steps();
    let copies: Vec<usize> = (0..steps.len()).filter(|at| overwrites(&steps[*at])).collect();
    for chunk in copies.chunks(64) {
        // A bit for each copy: set where its source is there, and again where somebody has approved after that.
        let sources: Vec<Option<usize>> = chunk.iter().map(|at| source(context, *at)).collect();
        let made = |at: usize| {
            let hit =
                sources.iter().enumerate().filter(|(_, source)| source.is_none_or(|source| source == at));
            hit.fold(0, |bits, (bit, _)| bits | 1 << bit)
        };
        // What no step makes is there from the beginning.
        let always = sources.iter().enumerate().filter(|(_, source)| source.is_none());
        let always = always.fold(0, |bits, (bit, _)| bits | 1 << bit);
        let there = graph.flow_down(|at, above| above | made(at));
        let above = |at: usize| graph.needs(at).iter().fold(always, |bits, need| bits | there[*need]);
        let approved =
            graph.flow_down(|at, bits| if is_approval(&steps[at]) { bits | above(at) } else { bits });
        for (bit, at) in chunk.iter().enumerate() {
            if graph.needs(*at).iter().all(|need| approved[*need] & 1 << bit == 0) {
                findings.push(unapproved(&steps[*at]));
            }
        }
    }
}

/// The step that makes the database that is copied from.
fn source(context: &Context<'_>, at: usize) -> Option<usize> {
    let Action::Copy(copy) = &context.steps()[at].action.value else { return None };
    let from = same(&copy.from.raw);
    let id = from.strip_prefix("{{steps.")?.split_once('}')?.0;
    context.flow.index(id.rsplit_once('.')?.0)
}

fn unapproved(step: &Step) -> Finding {
    let message = format!("`{}` overwrites rows, and nobody approves it", step.id.value);
    let finding = Finding::error("runplan::check::unapproved_copy", step.action.span, message)
        .label("`on_conflict: update`")
        .help(
            "add an `approve` step after the one that makes the source, and make this step need it; \
             or write `on_conflict: skip`",
        );
    lowered(step, finding)
}
