//! The guard: what destroys data has a verified backup of it and an approval after that backup behind it; a swap has a
//! verified side, the rows it would lose, and an approval after both. A guard that may not run guards nothing.

mod copy;

use super::context::Context;
use crate::graph::Graph;
use crate::plan::action::restore::Into;
use crate::plan::action::{Backup, Verify};
use crate::plan::{Action, Changes, Finding, Question, Severity, Span, Step, rewrite};
use crate::sql::{Destruction, Effect, Loss, Object, Scope};
use std::collections::{HashMap, HashSet};

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Ok(graph) = &context.graph else { return };
    let dangers: Vec<Danger<'_>> =
        context.steps().iter().enumerate().flat_map(|(at, step)| dangers(context, at, step)).collect();
    let swaps =
        context.steps().iter().enumerate().filter(|(_, step)| matches!(step.action.value, Action::Swap(_)));
    for (at, _) in swaps {
        findings.extend(swap(context, graph, at));
    }
    destructions(context, graph, &dangers, findings);
    copy::check(context, graph, findings);
    useless(context, &dangers, findings);
}

/// One thing that a step destroys.
struct Danger<'l> {
    step: usize,
    database: String,
    /// The tables it hits; none: the whole database, or nobody knows.
    tables: Vec<&'l Object>,
    known: bool,
    /// Rows or values are gone, not only a definition.
    data: bool,
    /// A schema that goes with all it holds.
    schemas: Vec<&'l Object>,
    span: Span,
    what: String,
}

/// The name of a database as it is compared: blanks in a template do not count.
fn same(raw: &str) -> String {
    raw.split_whitespace().collect()
}

fn dangers<'l>(context: &'l Context<'_>, at: usize, step: &'l Step) -> Vec<Danger<'l>> {
    let whole = |database: String, what: &str| Danger {
        step: at,
        database,
        tables: Vec::new(),
        known: false,
        schemas: Vec::new(),
        data: true,
        span: step.action.span,
        what: what.to_owned(),
    };
    match &step.action.value {
        Action::Restore(restore) if restore.into == Into::InPlace => {
            vec![whole(same(&restore.database.raw), "a restore in place")]
        }
        Action::Shell(shell) if shell.destructive || shell.replaces.is_some() => {
            let database = changed(shell.changes.as_ref(), shell.replaces.as_ref());
            vec![whole(database, "declared destructive")]
        }
        Action::Http(http) if http.destructive || http.replaces.is_some() => {
            let database = changed(http.changes.as_ref(), http.replaces.as_ref());
            vec![whole(database, "declared destructive")]
        }
        Action::Sql(sql) => of_sql(context, at, step, &same(&sql.database.raw)),
        _ => Vec::new(),
    }
}

/// What `changes` or `replaces` names; empty: some database, nobody says which.
fn changed(changes: Option<&Changes>, replaces: Option<&crate::plan::Text>) -> String {
    match (replaces, changes) {
        (Some(text), _) => same(&text.raw),
        (None, Some(Changes::Database(name))) => name.to_string(),
        (None, _) => String::new(),
    }
}

fn of_sql<'l>(context: &'l Context<'_>, at: usize, step: &'l Step, database: &str) -> Vec<Danger<'l>> {
    let Some(read) = context.statements.of_step(at) else { return Vec::new() };
    let text = context.statements.text_of_step(context, at);
    let mut found = Vec::new();
    for statement in &read.script.statements {
        for effect in &statement.effects {
            let Effect::Destroys { what, objects, scope, cascade, range } = effect else { continue };
            // What holds no rows can be made anew, when the author says how.
            if what.loss(*cascade) != Loss::Data && step.undo.is_some() {
                continue;
            }
            let span = text.map_or(step.action.span, |text| context.place(text, range.clone()));
            let resolved = |object: &&Object| object.resolved && !read.is_late(&object.range);
            let known = !objects.is_empty() && objects.iter().all(|object| resolved(&object));
            let is_schema = *scope == Scope::Schema;
            found.push(Danger {
                step: at,
                database: database.to_owned(),
                tables: if is_schema { Vec::new() } else { objects.iter().collect() },
                schemas: if is_schema { objects.iter().collect() } else { Vec::new() },
                known: known
                    && !matches!(what, Destruction::Drop(noun) if noun == "owned" || noun == "database"),
                data: what.loss(*cascade) == Loss::Data,
                span,
                what: what.to_string(),
            });
        }
    }
    found
}

/// A step that certainly runs and whose failure stops what needs it.
fn is_certain(step: &Step) -> bool {
    step.when.is_none() && !step.continue_on_failure
}

fn is_approval(step: &Step) -> bool {
    is_certain(step) && matches!(&step.action.value, Action::Approve(approve) if approve.message.is_some())
}

/// What a step behind a danger is good for, and what a later one spoils.
fn destructions(context: &Context<'_>, graph: &Graph, dangers: &[Danger<'_>], findings: &mut Vec<Finding>) {
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
    let own = own_sides(context, graph, dangers);
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
fn replaces(step: &Step) -> Option<String> {
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
        if !danger.database.is_empty() && same(&backup.database.raw) != danger.database {
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
        let database = if danger.database.is_empty() { "what it destroys" } else { danger.database.as_str() };
        let (missing, help) = match self {
            Self { backed_up: true, approved: true, .. } => return None,
            Self { backed_up: true, .. } => (
                "nobody approves it after the backup",
                "add an `approve` step that needs the backup, and make this step need it".to_owned(),
            ),
            Self { replaced: true, .. } => (
                "the backup is of data that another step has replaced since",
                format!("back up {database} again after that step"),
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

/// `unguarded: reason` makes a warning of it.
fn lowered(step: &Step, finding: Finding) -> Finding {
    match &step.unguarded {
        Some(reason) => {
            Finding { severity: Severity::Warning, label: format!("unguarded: {}", reason.value), ..finding }
        }
        None => {
            let help = finding.help.clone().unwrap_or_default();
            finding.help(format!("{help}; or say why it needs none: `unguarded: \"reason\"`"))
        }
    }
}

/// Whether a backup of the right database holds what is destroyed.
fn covers(backup: &Backup, danger: &Danger<'_>) -> bool {
    let whole = backup.tables.is_none() && backup.exclude_tables.is_none() && backup.schemas.is_none();
    if whole {
        return true;
    }
    if !danger.known {
        return false;
    }
    let names = |list: &Option<Vec<crate::plan::Text>>| -> Option<Vec<String>> {
        let fixed = |raw: &str| rewrite::fixed(raw).unwrap_or_else(|| raw.to_owned());
        list.as_ref().map(|list| list.iter().map(|text| fixed(text.raw.trim())).collect())
    };
    let (tables, excluded, schemas) =
        (names(&backup.tables), names(&backup.exclude_tables), names(&backup.schemas));
    let is_plain = |name: &str| !name.contains(['*', '?', '{', '[']);
    let named = |list: &[String], object: &Object| {
        let full = object.to_string();
        list.iter().any(|name| {
            is_plain(name) && (*name == full || (object.schema().is_none() && name == object.local_name()))
        })
    };
    if !danger.schemas.is_empty() {
        let listed = |object: &&Object| schemas.as_ref().is_some_and(|list| named(list, object));
        return tables.is_none() && excluded.is_none() && danger.schemas.iter().all(listed);
    }
    danger.tables.iter().all(|object| {
        let included = tables.as_ref().is_none_or(|list| named(list, object));
        let left_out = excluded.as_ref().is_some_and(|list| {
            list.iter().any(|name| !is_plain(name) || name.rsplit('.').next() == Some(object.local_name()))
        });
        let in_schema = schemas.as_ref().is_none_or(|list| {
            object.schema().is_some_and(|schema| list.iter().any(|name| is_plain(name) && name == schema))
        });
        included && !left_out && in_schema
    })
}

/// A side database that this run made from a backup is that backup's copy: nothing is lost with it, until it is live.
fn own_sides(context: &Context<'_>, graph: &Graph, dangers: &[Danger<'_>]) -> Vec<bool> {
    let mut swaps: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, step) in context.steps().iter().enumerate() {
        if let Action::Swap(swap) = &step.action.value {
            swaps.entry(same(&swap.with.raw)).or_default().push(at);
        }
    }
    let mut asked = Vec::new();
    let mut pairs = Vec::new();
    for (number, danger) in dangers.iter().enumerate() {
        let inner =
            danger.database.strip_prefix("{{steps.").and_then(|rest| rest.strip_suffix(".database}}"));
        let Some(restore) = inner.and_then(|id| context.flow.index(id)) else { continue };
        if !matches!(&context.steps()[restore].action.value, Action::Restore(action) if action.into == Into::Side)
        {
            continue;
        }
        asked.push((number, true));
        pairs.push((restore, danger.step));
        for swap in swaps.get(&danger.database).into_iter().flatten() {
            asked.push((number, false));
            pairs.push((*swap, danger.step));
        }
    }
    let mut own = vec![false; dangers.len()];
    for ((number, makes), before) in asked.into_iter().zip(graph.all_before(&pairs)) {
        // The restore comes first in the list, every swap after it takes the right away again.
        own[number] = if makes { before } else { own[number] && !before };
    }
    own
}

/// A swap has a verified side, a `lost` check of both databases, and an approval after both.
fn swap(context: &Context<'_>, graph: &Graph, at: usize) -> Option<Finding> {
    let steps = context.steps();
    let Action::Swap(swap) = &steps[at].action.value else { return None };
    let (live, side) = (same(&swap.database.raw), same(&swap.with.raw));
    let ancestors = graph.ancestors(at);
    let verified: Vec<usize> =
        ancestors.iter().copied().filter(|at| is_proof(context, &steps[*at], &side)).collect();
    let shown: Vec<usize> =
        ancestors.iter().copied().filter(|at| is_loss(context, &steps[*at], &live, &side)).collect();
    let mut written = ancestors.iter().copied().filter(|at| writes(context, *at, &side));
    let stale = written.rfind(|write| !verified.iter().any(|proof| graph.is_before(*write, *proof)));
    let approved = ancestors.iter().any(|approval| {
        let after = |list: &[usize]| list.iter().any(|one| graph.is_before(*one, *approval));
        is_approval(&steps[*approval]) && after(&verified) && after(&shown)
    });
    let (missing, help) = if verified.is_empty() {
        (
            "that no step before has verified",
            format!(
                "add a `verify` of `{}` that fails the run, without `when`, `continue_on_failure` and `report_only`",
                swap.with.raw
            ),
        )
    } else if let Some(write) = stale {
        ("that was changed after it was verified", format!("verify it again after `{}`", context.id(write)))
    } else if shown.is_empty() {
        (
            "and nobody has seen what it would lose",
            format!(
                "add a `verify` of `{}` with `lost: {{ side: \"{}\" }}` before the approval",
                swap.database.raw, swap.with.raw
            ),
        )
    } else if !approved {
        (
            "and nobody approves it after seeing the evidence",
            "add an `approve` step after the `verify` and the `lost` check, and make the swap need it"
                .to_owned(),
        )
    } else {
        return None;
    };
    let message = format!("`{}` swaps in a database {missing}", steps[at].id.value);
    let finding = Finding::error("runplan::check::unguarded_swap", swap.with.span, message)
        .label("not guarded")
        .help(help);
    Some(lowered(&steps[at], finding))
}

/// The checks of a verify with the database each asks.
fn checks<'c>(context: &'c Context<'_>, verify: &'c Verify) -> impl Iterator<Item = (&'c Question, String)> {
    let named = verify.use_.iter().filter_map(|name| context.plan.checks.get(name.as_str())).flatten();
    let database = |check: &crate::plan::Check| {
        check.database.as_ref().or(verify.database.as_ref()).map(|text| same(&text.raw)).unwrap_or_default()
    };
    named.chain(&verify.checks).map(move |check| (&check.question.value, database(check)))
}

/// A step that fails the run unless the side database is as it must be.
fn is_proof(context: &Context<'_>, step: &Step, side: &str) -> bool {
    let Action::Verify(verify) = &step.action.value else { return false };
    let asks = |question: &Question| {
        matches!(
            question,
            Question::Sql(_) | Question::Schema(_) | Question::Counts(_) | Question::Amcheck(_)
        )
    };
    is_certain(step)
        && !verify.report_only
        && checks(context, verify).any(|(question, database)| asks(question) && database == side)
}

/// A step that shows what is in the live database and not in the side. It may report only; it must not be skipped.
fn is_loss(context: &Context<'_>, step: &Step, live: &str, side: &str) -> bool {
    let Action::Verify(verify) = &step.action.value else { return false };
    step.when.is_none()
        && checks(context, verify).any(|(question, database)| {
            matches!(question, Question::Lost(lost) if same(&lost.side.raw) == side && lost.tables.is_none())
                && database == live
        })
}

fn writes(context: &Context<'_>, at: usize, database: &str) -> bool {
    match &context.steps()[at].action.value {
        Action::Sql(sql) => {
            let reads =
                sql.read_only || context.statements.of_step(at).is_some_and(|read| read.is_read_only());
            !reads && same(&sql.database.raw) == database
        }
        Action::Copy(copy) => same(&copy.to.raw) == database,
        _ => false,
    }
}

/// `unguarded` where there is nothing to guard.
fn useless(context: &Context<'_>, dangers: &[Danger<'_>], findings: &mut Vec<Finding>) {
    let dangerous: HashSet<usize> = dangers.iter().map(|danger| danger.step).collect();
    for (at, step) in context.steps().iter().enumerate() {
        let Some(reason) = &step.unguarded else { continue };
        let dangerous =
            matches!(step.action.value, Action::Swap(_)) || dangerous.contains(&at) || copy::overwrites(step);
        if !dangerous {
            let message = format!("`{}` destroys nothing that would need a guard", step.id.value);
            findings.push(
                Finding::warning("runplan::check::useless_unguarded", reason.span, message)
                    .help("remove `unguarded`"),
            );
        }
    }
}
