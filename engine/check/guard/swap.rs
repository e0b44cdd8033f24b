//! A swap has a verified side, a `lost` check of both databases, and an approval after both; and what was seen is what is
//! swapped. Bits of 64 pairs of databases go along the graph at once.

use super::reach::replaces;
use super::{is_approval, is_certain, lowered, same};
use crate::check::context::Context;
use crate::graph::Graph;
use crate::plan::action::Verify;
use crate::plan::{Action, Finding, Question, Step};
use std::collections::HashMap;

/// A live database and what is to take its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Pair {
    live: String,
    side: String,
}

/// What the steps of a plan say about one pair.
#[derive(Debug, Default)]
struct Evidence {
    /// Steps that fail the run unless the side is as it must be.
    proofs: Vec<usize>,
    /// Steps that show what is in the live database and not in the side.
    losses: Vec<usize>,
    /// Steps that change the side.
    writes: Vec<usize>,
    /// Steps that put other data in the live one's place.
    replacements: Vec<usize>,
    swaps: Vec<usize>,
}

pub fn check(context: &Context<'_>, graph: &Graph, findings: &mut Vec<Finding>) {
    let pairs = pairs(context);
    for chunk in pairs.chunks(64) {
        let flows = Flows::new(context, graph, chunk);
        for (bit, (_, evidence)) in chunk.iter().enumerate() {
            for at in &evidence.swaps {
                findings.extend(finding(context, graph, *at, evidence, flows.at(graph, *at, 1 << bit)));
            }
        }
    }
}

/// Every pair that a step swaps, with what the steps say about it.
fn pairs(context: &Context<'_>) -> Vec<(Pair, Evidence)> {
    let mut known: HashMap<Pair, usize> = HashMap::new();
    let mut pairs: Vec<(Pair, Evidence)> = Vec::new();
    let (mut by_side, mut by_live): (HashMap<String, Vec<usize>>, HashMap<String, Vec<usize>>) =
        Default::default();
    for (at, step) in context.steps().iter().enumerate() {
        let Action::Swap(swap) = &step.action.value else { continue };
        let pair = Pair { live: same(&swap.database.raw), side: same(&swap.with.raw) };
        let number = *known.entry(pair.clone()).or_insert_with(|| {
            by_side.entry(pair.side.clone()).or_default().push(pairs.len());
            by_live.entry(pair.live.clone()).or_default().push(pairs.len());
            pairs.push((pair, Evidence::default()));
            pairs.len() - 1
        });
        pairs[number].1.swaps.push(at);
    }
    if pairs.is_empty() {
        return pairs;
    }
    for (at, step) in context.steps().iter().enumerate() {
        for number in written(context, at).iter().flat_map(|side| by_side.get(side)).flatten() {
            pairs[*number].1.writes.push(at);
        }
        for number in replaces(step).iter().flat_map(|live| by_live.get(live)).flatten() {
            pairs[*number].1.replacements.push(at);
        }
        let Action::Verify(verify) = &step.action.value else { continue };
        for (question, database) in checks(context, verify) {
            for number in by_side.get(&database).into_iter().flatten() {
                if is_certain(step) && !verify.report_only && proves(question) {
                    pairs[*number].1.proofs.push(at);
                }
            }
            for number in by_live.get(&database).into_iter().flatten() {
                if is_loss(step, question, &pairs[*number].0.side) {
                    pairs[*number].1.losses.push(at);
                }
            }
        }
    }
    pairs
}

/// What lies before each step, a bit for each pair.
struct Flows {
    verified: Vec<u64>,
    shown: Vec<u64>,
    approved: Vec<u64>,
}

impl Flows {
    fn new(context: &Context<'_>, graph: &Graph, chunk: &[(Pair, Evidence)]) -> Self {
        let steps = context.steps();
        let through = |list: fn(&Evidence) -> &Vec<usize>| {
            let mut seeds = vec![0_u64; steps.len()];
            for (bit, (_, evidence)) in chunk.iter().enumerate() {
                list(evidence).iter().for_each(|at| seeds[*at] |= 1 << bit);
            }
            graph.flow_down(|at, above| above | seeds[at])
        };
        let (verified, shown) = (through(|found| &found.proofs), through(|found| &found.losses));
        let above =
            |values: &[u64], at: usize| graph.needs(at).iter().fold(0, |bits, need| bits | values[*need]);
        let approved = graph.flow_down(|at, bits| match is_approval(&steps[at]) {
            true => bits | (above(&verified, at) & above(&shown, at)),
            false => bits,
        });
        Self { verified, shown, approved }
    }

    fn at(&self, graph: &Graph, at: usize, bit: u64) -> Seen {
        let above = |values: &[u64]| graph.needs(at).iter().any(|need| values[*need] & bit != 0);
        Seen { verified: above(&self.verified), shown: above(&self.shown), approved: above(&self.approved) }
    }
}

/// What lies before one swap.
struct Seen {
    verified: bool,
    shown: bool,
    approved: bool,
}

fn finding(
    context: &Context<'_>,
    graph: &Graph,
    at: usize,
    evidence: &Evidence,
    seen: Seen,
) -> Option<Finding> {
    let step = &context.steps()[at];
    let Action::Swap(swap) = &step.action.value else { return None };
    let (missing, help) = if !seen.verified {
        (
            "that no step before has verified",
            format!(
                "add a `verify` of `{}` that fails the run, without `when`, `continue_on_failure` and `report_only`",
                swap.with.raw
            ),
        )
    } else if let Some(write) = stale(graph, at, &evidence.writes, &evidence.proofs) {
        ("that was changed after it was verified", format!("verify it again after `{}`", context.id(write)))
    } else if !seen.shown {
        (
            "and nobody has seen what it would lose",
            format!(
                "add a `verify` of `{}` with `lost: {{ side: \"{}\" }}` before the approval",
                swap.database.raw, swap.with.raw
            ),
        )
    } else if let Some(other) = stale(graph, at, &evidence.replacements, &evidence.losses) {
        (
            "and the live one is another since it was seen what would be lost",
            format!("add a `lost` check and an approval after `{}`", context.id(other)),
        )
    } else if !seen.approved {
        (
            "and nobody approves it after seeing the evidence",
            "add an `approve` step after the `verify` and the `lost` check, and make the swap need it"
                .to_owned(),
        )
    } else {
        return unfrozen(context, graph, at);
    };
    let message = format!("`{}` swaps in a database {missing}", step.id.value);
    let finding = Finding::error("runplan::check::unguarded_swap", swap.with.span, message)
        .label("not guarded")
        .help(help);
    Some(lowered(step, finding))
}

/// Nothing keeps the live database as it was when its losses were counted.
fn unfrozen(context: &Context<'_>, graph: &Graph, at: usize) -> Option<Finding> {
    let step = &context.steps()[at];
    let Action::Swap(swap) = &step.action.value else { return None };
    let freezes = |other: usize| match &context.steps()[other].action.value {
        Action::Freeze(freeze) => same(&freeze.database.raw) == same(&swap.database.raw),
        _ => false,
    };
    let is_frozen = (0..at).any(|other| freezes(other) && graph.is_before(other, at));
    if is_frozen || step.unguarded.is_some() {
        return None;
    }
    let message = format!(
        "until `{}` swaps, anybody can write to the live database: what comes after the `lost` check is lost unseen",
        step.id.value
    );
    let help = format!(
        "add `freeze: {{ database: {} }}` before the `lost` check; or say why it needs none: `unguarded: \"reason\"`",
        swap.database.raw
    );
    Some(Finding::warning("runplan::check::swap_unfrozen", swap.database.span, message).help(help))
}

/// How many steps that spoil evidence are looked at: more of them are one after the other, and the last ones count.
const MOST_SPOILERS: usize = 64;

/// The last step before the swap that spoils the evidence: none of it comes after.
fn stale(graph: &Graph, swap: usize, spoilers: &[usize], evidence: &[usize]) -> Option<usize> {
    let near = spoilers.iter().rev().copied().filter(|spoiler| *spoiler != swap).take(MOST_SPOILERS);
    near.into_iter().find(|spoiler| {
        graph.is_before(*spoiler, swap)
            && !evidence.iter().rev().take(MOST_SPOILERS).any(|proof| graph.is_before(*spoiler, *proof))
    })
}

/// The checks of a verify with the database each asks.
fn checks<'c>(context: &'c Context<'_>, verify: &'c Verify) -> impl Iterator<Item = (&'c Question, String)> {
    let named = verify.use_.iter().filter_map(|name| context.plan.checks.get(name.as_str())).flatten();
    let database = |check: &crate::plan::Check| {
        check.database.as_ref().or(verify.database.as_ref()).map(|text| same(&text.raw)).unwrap_or_default()
    };
    named.chain(&verify.checks).map(move |check| (&check.question.value, database(check)))
}

/// Whether the answer depends on the rows or the definitions of the database asked.
fn proves(question: &Question) -> bool {
    matches!(question, Question::Sql(_) | Question::Schema(_) | Question::Counts(_) | Question::Amcheck(_))
}

/// It may report only; it must not be skipped, and must look at all tables.
fn is_loss(step: &Step, question: &Question, side: &str) -> bool {
    step.when.is_none()
        && matches!(question, Question::Lost(lost) if same(&lost.side.raw) == side && lost.tables.is_none())
}

/// The database that a step changes, when it is no live one by its kind.
fn written(context: &Context<'_>, at: usize) -> Option<String> {
    match &context.steps()[at].action.value {
        Action::Sql(sql) => {
            let reads =
                sql.read_only || context.statements.of_step(at).is_some_and(|read| read.is_read_only());
            (!reads).then(|| same(&sql.database.raw))
        }
        Action::Copy(copy) => Some(same(&copy.to.raw)),
        _ => None,
    }
}
