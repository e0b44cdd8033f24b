//! Whether a step is certainly finished where its outputs are read: questions about the order, asked while the names are
//! read and answered together.

use super::place;
use crate::check::context::Context;
use crate::check::uses::{Owner, Use};
use crate::plan::template::{Reference, read_condition};
use crate::plan::{Action, Finding, Text};
use std::collections::HashMap;

/// Questions about the order, asked while the names are read and answered together.
pub struct Order<'c, 'l> {
    context: &'c Context<'l>,
    /// The steps that use a set of named checks.
    users: HashMap<&'l str, Vec<usize>>,
    pairs: Vec<(usize, usize)>,
    findings: Vec<Finding>,
    skipped: Vec<Finding>,
}

impl<'c, 'l> Order<'c, 'l> {
    pub fn new(context: &'c Context<'l>) -> Self {
        let mut users: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, step) in context.steps().iter().enumerate() {
            if let Action::Verify(verify) = &step.action.value {
                for name in &verify.use_ {
                    users.entry(name.as_str()).or_default().push(at);
                }
            }
        }
        Self { context, users, pairs: Vec::new(), findings: Vec::new(), skipped: Vec::new() }
    }

    pub fn ask(&mut self, one: &Use<'_>, reference: &Reference, target: usize) {
        let span = place(self.context, one, reference);
        let id = self.context.id(target);
        let who = one.owner.describe(self.context);
        let mut later: Vec<usize> = Vec::new();
        match one.owner {
            Owner::Step(at) => later.push(at),
            Owner::After(at) if at == target => {}
            Owner::After(at) => later.push(at),
            Owner::Checks(name) => later.extend(self.users.get(name).into_iter().flatten()),
            Owner::Handler(_) if reference.guarded => {}
            Owner::Handler(name) => {
                let message =
                    format!("`{}` may have no value when the handler `{name}` runs", reference.path);
                let help = format!("write `{{{{ {} | default('not yet') }}}}`", reference.path);
                self.skipped.push(Finding::error("runplan::check::maybe_missing", span, message).help(help));
            }
            Owner::Setting | Owner::Rehearsal => {
                let message = format!("{who} cannot use an output of `{id}`");
                self.skipped.push(
                    Finding::error("runplan::check::too_early", span, message)
                        .label("no step is finished then")
                        .help("use a parameter"),
                );
            }
        }
        for at in later {
            let reader = self.context.id(at);
            let message = if at == target {
                format!("{who} uses its own output, which it has when it is finished")
            } else {
                format!("{who} uses an output of `{id}`, which need not be finished before it")
            };
            self.pairs.push((target, at));
            self.findings.push(
                Finding::error("runplan::check::not_before", span, message)
                    .label(format!("`{id}` is not among the steps that `{reader}` waits for")),
            );
            self.skip(reference, target, at, span);
        }
    }

    /// A step that `when` skips has no outputs.
    fn skip(&mut self, reference: &Reference, target: usize, at: usize, span: crate::plan::Span) {
        let (earlier, later) = (&self.context.steps()[target], &self.context.steps()[at]);
        let Some(when) = &earlier.when else { return };
        let proves = |text: &Text| {
            let names = read_condition(&text.raw).ok();
            let path = format!("steps.{}", earlier.id.value);
            names.is_some_and(|names| {
                names
                    .proves
                    .iter()
                    .any(|proved| reference.path.starts_with(proved) && proved.starts_with(&path))
            })
        };
        let same = later.when.as_ref().is_some_and(|own| own.raw.trim() == when.raw.trim() || proves(own));
        if reference.guarded || same {
            return;
        }
        let id = &earlier.id.value;
        let message = format!("`{}` has no value when `{id}` is skipped", reference.path);
        self.skipped.push(
            Finding::error("runplan::check::maybe_missing", span, message)
                .label(format!("`{id}` has a `when`"))
                .help(format!(
                    "write `{} | default(...)`, or give `{}` the same `when`",
                    reference.path, later.id.value
                )),
        );
    }

    pub fn answer(self, findings: &mut Vec<Finding>) {
        findings.extend(self.skipped);
        // In a cycle nothing comes before anything; the cycle is told instead.
        let Ok(graph) = &self.context.graph else { return };
        let before = graph.all_before(&self.pairs);
        let wrong = |at: &usize| !before[*at];
        let swapped: Vec<(usize, usize)> =
            (0..before.len()).filter(wrong).map(|at| (self.pairs[at].1, self.pairs[at].0)).collect();
        let findings_there = self.findings.into_iter().enumerate().filter(|(at, _)| wrong(at));
        for ((at, finding), after) in findings_there.zip(graph.all_before(&swapped)) {
            let (target, reader) = self.pairs[at];
            let (id, reader_id) = (self.context.id(target), self.context.id(reader));
            findings.push(finding.help(if target == reader {
                "use a parameter, or the output of an earlier step".to_owned()
            } else if after {
                format!("`{id}` runs after `{reader_id}`: move one of them")
            } else {
                format!("add `{id}` to the `needs` of `{reader_id}`")
            }));
        }
    }
}
