//! The fields of each action together: what excludes what, what needs what.

use super::availability::Feature;
use super::context::Context;
use super::interpreters;
use crate::plan::action::backup::Format;
use crate::plan::action::http::Method;
use crate::plan::action::restore::{Into, Owners};
use crate::plan::action::{Approve, Copy, Graphql, Http, Kind, Shell, Sql, Verify};
use crate::plan::{
    Action, Changes, Check, Duration, Finding, Probe, Question, Retry, Sp, Span, Step, vocabulary,
};
use std::collections::HashSet;

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
            Action::Backup(backup) => {
                let jobs = backup.jobs.as_ref();
                if let Some(jobs) = jobs.filter(|_| backup.format != Format::Directory) {
                    let message = format!("a {} dump has one job", backup.format);
                    self.error(
                        "runplan::check::jobs_not_here",
                        jobs.span,
                        message,
                        "write `format: directory`, or remove `jobs`",
                    );
                }
                self.zero(jobs.is_some_and(|jobs| jobs.value == 0), span, "jobs", "nobody would do it");
            }
            Action::Restore(restore) => {
                let jobs = restore.jobs.as_ref();
                self.zero(jobs.is_some_and(|jobs| jobs.value == 0), span, "jobs", "nobody would do it");
                if let Into::Other(name) = &restore.into {
                    if restore.database.raw.trim() == name.as_str() {
                        let message = "a restore over the database itself is one in place";
                        self.error(
                            "runplan::check::restore_over_itself",
                            name.span,
                            message,
                            "write `into: in_place`, `into: side`, or name another database",
                        );
                    }
                    self.findings.extend(Feature::RestoreElsewhere.missing(name.span));
                }
                if matches!(restore.owners, Owners::Map(_)) {
                    self.findings.extend(Feature::OwnersMap.missing(span));
                }
                if restore.into == Into::InPlace {
                    if let Some(jobs) = jobs {
                        let message = "a restore in place is one transaction, so it has one job";
                        self.error(
                            "runplan::check::jobs_not_here",
                            jobs.span,
                            message,
                            "remove `jobs`, or restore to the side",
                        );
                    }
                    if restore.tables.is_some() {
                        let message =
                            "a restore in place replaces everything; with `tables` the others would be lost";
                        self.error(
                            "runplan::check::tables_in_place",
                            span,
                            message,
                            "restore to the side, and bring the rows over from there",
                        );
                    }
                }
            }
            Action::Swap(swap) => {
                if swap.database.raw.trim() == swap.with.raw.trim() {
                    let message = "a database cannot be swapped with itself";
                    self.error(
                        "runplan::check::swap_with_itself",
                        swap.with.span,
                        message,
                        "name the side database: `{{ steps.restored.database }}`",
                    );
                }
            }
            Action::Copy(copy) => self.copy(copy, span),
            Action::Freeze(_) => {}
            Action::Sql(sql) => self.sql(sql, span),
            Action::Shell(shell) => self.shell(shell, span),
            Action::Http(http) => self.http(http, span),
            Action::Verify(verify) => self.verify(verify, span),
            Action::Approve(approve) => self.approve(approve, span),
            Action::Notify(notify) => {
                if notify.channels.is_empty() {
                    self.error(
                        "runplan::check::no_channels",
                        span,
                        "nobody is told: there is no channel",
                        "write `channels: [console]`",
                    );
                }
            }
        }
    }

    fn copy(&mut self, copy: &Copy, span: Span) {
        if copy.from.raw.trim() == copy.to.raw.trim() {
            let message = "rows cannot be copied from a database into itself";
            self.error(
                "runplan::check::copy_to_itself",
                copy.from.span,
                message,
                "name the side database: `{{ steps.restored.database }}`",
            );
        }
        if copy.key.as_ref().is_some_and(Vec::is_empty) {
            self.error(
                "runplan::check::no_columns",
                span,
                "`key` names no column, so no two rows could be told apart",
                "name the columns, or remove `key`: then the primary key counts",
            );
        }
        if copy.columns.as_ref().is_some_and(Vec::is_empty) {
            self.error(
                "runplan::check::no_columns",
                span,
                "`columns` names no column, so nothing would be copied",
                "name the columns, or remove `columns`: then all are copied",
            );
        }
        self.zero(
            copy.max_rows.as_ref().is_some_and(|most| most.value == 0),
            span,
            "max_rows",
            "nothing could be copied",
        );
        if copy.where_.is_none() && copy.max_rows.is_none() {
            self.findings.push(
                Finding::warning(
                    "runplan::check::copy_everything",
                    copy.table.span,
                    "every row of the table is copied, however many there are",
                )
                .help("say which: `where: \"id IN (...)\"`, or how many at most: `max_rows: 300`"),
            );
        }
        self.findings.extend(Feature::Copy.missing(span));
    }

    fn sql(&mut self, sql: &Sql, span: Span) {
        self.either(span, [sql.statement.is_some(), sql.file.is_some()], ["statement", "file"]);
        self.zero(sql.lock_timeout.ms == 0, span, "lock_timeout", "it would wait for ever");
        self.zero(
            sql.statement_timeout.is_some_and(|time| time.ms == 0),
            span,
            "statement_timeout",
            "it would have no limit",
        );
        if !sql.transaction && sql.expect.is_some() {
            let message = "without a transaction nothing can be rolled back when `expect` is not met";
            self.error(
                "runplan::check::cannot_roll_back",
                span,
                message,
                "remove `expect`, or write `transaction: true`",
            );
        }
        self.probe(sql.probe.as_deref(), true, span);
    }

    fn shell(&mut self, shell: &Shell, span: Span) {
        interpreters::check(self.context, shell, self.findings);
        self.either(span, [shell.argv.is_some(), shell.run.is_some()], ["argv", "run"]);
        if shell
            .argv
            .as_ref()
            .is_some_and(|argv| argv.first().is_none_or(|first| first.raw.trim().is_empty()))
        {
            self.error(
                "runplan::check::no_program",
                span,
                "`argv` names no program",
                "write `argv: [program, argument]`",
            );
        }
        if shell.run.is_some() && shell.shell.first().is_none_or(String::is_empty) {
            self.error(
                "runplan::check::no_program",
                span,
                "`shell` names no program",
                "write `shell: [bash, -euo, pipefail]`",
            );
        }
        if shell.success_codes.is_empty() || shell.success_codes.iter().any(|code| !(0..=255).contains(code))
        {
            let message = "`success_codes` holds numbers from 0 to 255, at least one";
            self.error("runplan::check::bad_codes", span, message, "write `success_codes: [0]`");
        }
        if let Some(name) = shell.env.keys().find(|name| is_reserved(&name.value)) {
            let message = format!("`{}` is a name that values in scripts are handed over by", name.value);
            self.error("runplan::check::reserved_name", name.span, message, "choose another name");
        }
        for (name, take) in &shell.outputs {
            self.either(name.span, [take.json.is_some(), take.regex.is_some()], ["json", "regex"]);
            let taken = vocabulary::outputs(Kind::Shell).iter().chain(vocabulary::ALWAYS);
            if taken.into_iter().any(|taken| *taken == name.value) {
                let message = format!("`{}` is an output of every shell step already", name.value);
                self.error("runplan::check::output_taken", name.span, message, "choose another name");
            }
            if let Some(pattern) = &take.regex {
                self.pattern(pattern);
            }
        }
        self.world(shell.destructive, shell.changes.as_ref(), span);
        self.probe(shell.probe.as_deref(), false, span);
    }

    pub fn pattern(&mut self, pattern: &Sp<String>) {
        if let Err(error) = regex::Regex::new(&pattern.value) {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let message = format!("`{}` is not a regular expression: {why}", pattern.value);
            self.error(
                "runplan::check::bad_pattern",
                pattern.span,
                message,
                "escape what shall be taken as it is with `\\`",
            );
        }
    }

    fn http(&mut self, http: &Http, span: Span) {
        let bodies = [
            ("json", http.json.is_some()),
            ("body", http.body.is_some()),
            ("graphql", http.graphql.is_some()),
        ];
        let bodies: Vec<&str> =
            bodies.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
        if let [one, other, ..] = bodies.as_slice() {
            self.either(span, [true, true], [*one, *other]);
        }
        if let Some(graphql) = &http.graphql {
            self.graphql(graphql, http.method, span);
        }
        if http.until.is_some() && self.timeout.is_none() {
            let message = "`until` asks again and again; without a `timeout` it may never end";
            self.error("runplan::check::until_without_timeout", span, message, "give the step a `timeout:`");
        }
        let asks = matches!(http.method, Method::Get | Method::Head);
        if http.until.is_some() && !asks && !http.repeatable {
            let message = format!("`until` sends the {} request again and again", http.method);
            self.error(
                "runplan::check::until_repeats",
                span,
                message,
                "write `repeatable: true` if sending it often does no harm; else send it once, and wait in a step with GET",
            );
        }
        self.zero(http.until.is_some() && http.every.ms == 0, span, "every", "it would ask without a pause");
        if matches!(http.method, Method::Get | Method::Head) && http.destructive {
            let message = format!("a {} request destroys nothing", http.method);
            self.error(
                "runplan::check::contradiction",
                span,
                message,
                "remove `destructive`, or give the right `method`",
            );
        }
        let raw = http.url.raw.trim();
        if !raw.starts_with("{{") && !raw.starts_with("http://") && !raw.starts_with("https://") {
            let message = "an address begins with `http://` or `https://`";
            self.error("runplan::check::bad_url", http.url.span, message, "write the whole address");
        }
        self.world(http.destructive, http.changes.as_ref(), span);
        self.probe(http.probe.as_deref(), false, span);
    }

    fn graphql(&mut self, graphql: &Graphql, method: Method, span: Span) {
        if method != Method::Post {
            self.error(
                "runplan::check::graphql_method",
                span,
                format!("a GraphQL request is sent by POST, not {method}"),
                "write `method: POST`",
            );
        }
        if graphql.query.has_template() {
            self.error(
                "runplan::check::template_in_graphql",
                graphql.query.span,
                "a GraphQL query holds no template: a value in it could become a part of the query",
                "name a variable in the query, `$id`, and give its value under `variables:`",
            );
        }
        if graphql.query.raw.trim().is_empty() {
            self.error(
                "runplan::check::no_statement",
                graphql.query.span,
                "there is no query in it",
                "write the query or mutation",
            );
        }
        self.findings.extend(Feature::Graphql.missing(graphql.query.span));
    }

    fn world(&mut self, destructive: bool, changes: Option<&Changes>, span: Span) {
        if destructive && changes == Some(&Changes::Nothing) {
            let message = "it is `destructive` and changes nothing";
            self.error(
                "runplan::check::contradiction",
                span,
                message,
                "say in `changes` which database it changes, or remove `destructive`",
            );
        }
    }

    fn approve(&mut self, approve: &Approve, span: Span) {
        self.either(span, [approve.message.is_some(), approve.confirm.is_some()], ["message", "confirm"]);
        self.zero(approve.count == 0, span, "count", "it would approve itself");
        self.zero(
            approve.expires.is_some_and(|time| time.ms == 0),
            span,
            "expires",
            "it would be rejected at once",
        );
        let known: Vec<_> =
            approve.roles.iter().filter_map(|role| self.context.roles.get(role.as_str())).collect();
        let people: HashSet<&str> =
            known.iter().flat_map(|role| &role.people).map(|person| person.name.as_str()).collect();
        if !approve.roles.is_empty()
            && known.len() == approve.roles.len()
            && people.len() < usize::from(approve.count)
        {
            let message = format!(
                "{} must agree, and its roles have {}",
                count(usize::from(approve.count)),
                count(people.len())
            );
            self.error(
                "runplan::check::too_few_people",
                span,
                message,
                "lower `count`, or add people to the roles in the site file",
            );
        }
    }

    fn verify(&mut self, verify: &Verify, span: Span) {
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

    fn no_database(&mut self, span: Span, check: &str) {
        let message = format!("the check `{check}` asks a database, and none is named");
        self.error("runplan::check::no_database", span, message, "give the `verify` a `database:`");
    }

    fn check(&mut self, check: &Check) {
        let timeout = std::mem::replace(&mut self.timeout, check.timeout);
        self.times(check.timeout, check.retry.as_ref(), check.name.span);
        self.question(&check.question);
        self.timeout = timeout;
    }

    fn question(&mut self, question: &Sp<Question>) {
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
    fn only_asks(&mut self, destroys: bool, changes: Option<&Changes>, span: Span) {
        if destroys || matches!(changes, Some(Changes::Database(_))) {
            self.error(
                "runplan::check::check_writes",
                span,
                "a check only asks, and this says that it changes something",
                "change things in a step of its own, and check here what came of it",
            );
        }
    }

    fn probe(&mut self, probe: Option<&Probe>, has_database: bool, span: Span) {
        let Some(probe) = probe else { return };
        self.question(&probe.question);
        let asks = matches!(
            probe.question.value,
            Question::Sql(_)
                | Question::Schema(_)
                | Question::Counts(_)
                | Question::Lost(_)
                | Question::Amcheck(_)
        );
        if asks && probe.database.is_none() && !has_database {
            let message = "the probe asks a database, and none is named";
            self.error("runplan::check::no_database", span, message, "give the `probe` a `database:`");
        }
    }
}

/// `RUNPLAN_1`: what a `{{ }}` of a script becomes.
fn is_reserved(name: &str) -> bool {
    name.strip_prefix("RUNPLAN_").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

fn asks_database(check: &Check) -> bool {
    let asks = matches!(
        check.question.value,
        Question::Sql(_)
            | Question::Schema(_)
            | Question::Counts(_)
            | Question::Lost(_)
            | Question::Amcheck(_)
    );
    asks && check.database.is_none()
}

fn count(people: usize) -> String {
    if people == 1 { "one person".to_owned() } else { format!("{people} people") }
}
