//! The fields of each action together: what excludes what, what needs what. Here what every step has; the rules of an
//! action stand with its neighbours below.

mod databases;
mod people;
mod programs;
mod questions;

use super::context::Context;
use crate::plan::action::Kind;
use crate::plan::{Action, Duration, Finding, Retry, Sp, Span, Step};

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for step in context.steps() {
        let mut rules = Rules { context, findings, timeout: step.timeout };
        rules.action(&step.action);
        rules.step(step);
        if let Some(undo) = &step.undo {
            rules.timeout = undo.timeout;
            rules.action(&undo.action);
            rules.times(undo.timeout, undo.retry.as_ref(), undo.action.span);
        }
    }
    let handlers = &context.plan.handlers;
    for bare in
        [&handlers.waiting, &handlers.parked, &handlers.failed, &handlers.finished].into_iter().flatten()
    {
        let mut rules = Rules { context, findings, timeout: bare.timeout };
        rules.action(&bare.action);
        rules.times(bare.timeout, bare.retry.as_ref(), bare.action.span);
    }
    let rehearsal = context.plan.rehearsal.iter();
    for step in rehearsal.clone().flat_map(|rehearsal| &rehearsal.prepare) {
        let mut rules = Rules { context, findings, timeout: step.timeout };
        rules.action(&step.action);
        rules.times(step.timeout, step.retry.as_ref(), step.id.span);
    }
    for stand_in in rehearsal.flat_map(|rehearsal| &rehearsal.stand_ins) {
        let mut rules = Rules { context, findings, timeout: stand_in.with.timeout };
        rules.action(&stand_in.with.action);
        rules.times(stand_in.with.timeout, stand_in.with.retry.as_ref(), stand_in.step.span);
    }
    for checks in context.plan.checks.values() {
        let mut rules = Rules { context, findings, timeout: None };
        checks.iter().for_each(|check| rules.check(check));
    }
}

struct Rules<'r, 'l> {
    context: &'r Context<'l>,
    findings: &'r mut Vec<Finding>,
    timeout: Option<Duration>,
}

impl Rules<'_, '_> {
    fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl std::convert::Into<String>,
        help: &str,
    ) {
        self.findings.push(Finding::error(code, span, message).help(help));
    }

    /// Exactly one of two fields.
    fn either(&mut self, span: Span, given: [bool; 2], names: [&str; 2]) {
        let [one, other] = names;
        let message = match given {
            [true, true] => format!("both `{one}` and `{other}` are given"),
            [false, false] => format!("neither `{one}` nor `{other}` is given"),
            _ => return,
        };
        self.error("runplan::check::either_or", span, message, &format!("give `{one}` or `{other}`"));
    }

    fn zero(&mut self, is_zero: bool, span: Span, what: &str, why: &str) {
        if is_zero {
            self.error(
                "runplan::check::zero",
                span,
                format!("`{what}` is zero: {why}"),
                "write more than zero",
            );
        }
    }

    fn step(&mut self, step: &Step) {
        let (kind, span) = (step.action.kind(), step.id.span);
        self.times(step.timeout, step.retry.as_ref(), span);
        if step.undo.is_some() && step.irreversible.is_some() {
            let message = format!("`{}` has an undo and is irreversible", step.id.value);
            self.error("runplan::check::undo_and_irreversible", span, message, "keep the one that is true");
        }
        let reasons = [("irreversible", step.irreversible.as_deref(), span)];
        let unguarded =
            step.unguarded.as_ref().map(|reason| ("unguarded", Some(reason.value.as_str()), reason.span));
        for (field, reason, span) in reasons.into_iter().chain(unguarded) {
            if reason.is_some_and(|reason| reason.trim().is_empty()) {
                let message = format!("`{field}` of `{}` gives no reason", step.id.value);
                self.error(
                    "runplan::check::no_reason",
                    span,
                    message,
                    "say why in a few words: it is shown in the dry run and kept in the report",
                );
            }
        }
        let made = self.context.flow.made(&step.id.value).is_some();
        let reads = !made && matches!(kind, Kind::Verify | Kind::Approve | Kind::Notify);
        if reads && (step.undo.is_some() || step.irreversible.is_some()) {
            let message =
                format!("{} step changes nothing, so there is nothing to undo", kind.with_article());
            self.error("runplan::check::nothing_to_undo", span, message, "remove `undo` and `irreversible`");
        }
        if let Some(undo) =
            step.undo.as_ref().filter(|undo| matches!(undo.action.kind(), Kind::Approve | Kind::Verify))
        {
            let message = format!("{} undoes nothing", undo.action.kind().with_article());
            self.error(
                "runplan::check::bad_undo",
                undo.action.span,
                message,
                "write what reverses the step; before it runs the operator is asked anyway",
            );
        }
        if kind == Kind::Approve && step.retry.is_some() {
            self.error("runplan::check::bad_retry", span, "an approval is not tried again", "remove `retry`");
        }
    }

    fn times(&mut self, timeout: Option<Duration>, retry: Option<&Retry>, span: Span) {
        self.zero(
            timeout.is_some_and(|time| time.ms == 0),
            span,
            "timeout",
            "nothing can be done in no time",
        );
        let Some(retry) = retry else { return };
        let at = retry.attempts.span;
        self.zero(retry.attempts.value == 0, at, "attempts", "it would never be tried");
        if retry.backoff < 1.0 {
            let message = format!("`backoff: {}` makes every wait shorter", retry.backoff);
            self.error("runplan::check::bad_retry", at, message, "write 1 or more");
        }
        if retry.attempts.value > 1000 {
            let message = format!("{} tries are too many", retry.attempts.value);
            self.error("runplan::check::bad_retry", at, message, "write at most 1000, and a longer `every`");
        }
    }

    fn action(&mut self, action: &Sp<Action>) {
        let span = action.span;
        match &action.value {
            Action::Backup(backup) => self.backup(backup, span),
            Action::Restore(restore) => self.restore(restore, span),
            Action::Swap(swap) => self.swap(swap),
            Action::Copy(copy) => self.copy(copy, span),
            Action::Freeze(freeze) => self.stands_elsewhere(&freeze.database),
            Action::Sql(sql) => self.sql(sql, span),
            Action::Shell(shell) => self.shell(shell, span),
            Action::Http(http) => self.http(http, span),
            Action::Verify(verify) => self.verify(verify, span),
            Action::Approve(approve) => self.approve(approve, span),
            Action::Notify(notify) => self.notify(notify, span),
        }
    }
}
