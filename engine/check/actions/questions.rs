//! Questions: the checks of a verification, and the probe of a step.

use super::Rules;
use crate::plan::action::Verify;
use crate::plan::{Changes, Check, Probe, Question, Sp, Span};
use std::collections::HashSet;

impl Rules<'_, '_> {
    pub(super) fn verify(&mut self, verify: &Verify, span: Span) {
        if verify.checks.is_empty() && verify.use_.is_empty() {
            self.error(
                "runplan::check::no_checks",
                span,
                "it verifies nothing",
                "write `checks:`, or `use:` named ones",
            );
        }
        let mut names = HashSet::new();
        for check in &verify.checks {
            self.check(check);
            if !names.insert(check.name.value.as_str()) {
                let message = format!("two checks are called `{}`", check.name.value);
                self.error(
                    "runplan::check::repeated_name",
                    check.name.span,
                    message,
                    "name what each of them proves",
                );
            }
        }
        if verify.database.is_some() {
            return;
        }
        for check in verify.checks.iter().filter(|check| asks_database(check)) {
            self.no_database(check.name.span, &check.name.value);
        }
        for name in &verify.use_ {
            let named = self.context.plan.checks.get(name.as_str()).into_iter().flatten();
            if let Some(check) = named.into_iter().find(|check| asks_database(check)) {
                self.no_database(name.span, &check.name.value);
            }
        }
    }

    pub(super) fn no_database(&mut self, span: Span, check: &str) {
        let message = format!("the check `{check}` asks a database, and none is named");
        self.error("runplan::check::no_database", span, message, "give the `verify` a `database:`");
    }

    pub(super) fn check(&mut self, check: &Check) {
        let timeout = std::mem::replace(&mut self.timeout, check.timeout);
        self.times(check.timeout, check.retry.as_ref(), check.name.span);
        self.question(&check.question);
        self.timeout = timeout;
    }

    pub(super) fn question(&mut self, question: &Sp<Question>) {
        match &question.value {
            Question::Http(http) => {
                self.only_asks(
                    http.destructive || http.replaces.is_some(),
                    http.changes.as_ref(),
                    question.span,
                );
                self.http(http, question.span);
            }
            Question::Shell(shell) => {
                let destroys = shell.destructive || shell.replaces.is_some();
                self.only_asks(destroys, shell.changes.as_ref(), question.span);
                self.shell(shell, question.span);
            }
            Question::Sql(_)
            | Question::Schema(_)
            | Question::Amcheck(_)
            | Question::File(_)
            | Question::Backup(_)
            | Question::Counts(_)
            | Question::Lost(_) => {}
        }
    }

    /// A check is run as often as it takes, and nobody is asked before it.
    pub(super) fn only_asks(&mut self, destroys: bool, changes: Option<&Changes>, span: Span) {
        if destroys || matches!(changes, Some(Changes::Database(_))) {
            self.error(
                "runplan::check::check_writes",
                span,
                "a check only asks, and this says that it changes something",
                "change things in a step of its own, and check here what came of it",
            );
        }
    }

    pub(super) fn probe(&mut self, probe: Option<&Probe>, has_database: bool, span: Span) {
        let Some(probe) = probe else { return };
        self.question(&probe.question);
        if asks_one(&probe.question.value) && probe.database.is_none() && !has_database {
            let message = "the probe asks a database, and none is named";
            self.error("runplan::check::no_database", span, message, "give the `probe` a `database:`");
        }
    }
}

fn asks_database(check: &Check) -> bool {
    asks_one(&check.question.value) && check.database.is_none()
}

/// Whether a database has to answer it.
fn asks_one(question: &Question) -> bool {
    matches!(
        question,
        Question::Sql(_)
            | Question::Schema(_)
            | Question::Counts(_)
            | Question::Lost(_)
            | Question::Amcheck(_)
    )
}
