//! The actions that work on whole databases and their rows: backup, restore, swap, copy, sql.

use super::Rules;
use crate::plan::action::backup::Format;
use crate::plan::action::copy::OnConflict;
use crate::plan::action::restore::Into;
use crate::plan::action::{Backup, Copy, Restore, Sql, Swap};
use crate::plan::{Finding, Span, Text};

impl Rules<'_, '_> {
    pub(super) fn backup(&mut self, backup: &Backup, span: Span) {
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

    pub(super) fn restore(&mut self, restore: &Restore, span: Span) {
        let jobs = restore.jobs.as_ref();
        self.zero(jobs.is_some_and(|jobs| jobs.value == 0), span, "jobs", "nobody would do it");
        if let Into::Other(name) = &restore.into
            && restore.database.raw.trim() == name.as_str()
        {
            let message = "a restore over the database itself is one in place";
            self.error(
                "runplan::check::restore_over_itself",
                name.span,
                message,
                "write `into: in_place`, `into: side`, or name another database",
            );
        }
        if let Some(jobs) = jobs.filter(|_| restore.into == Into::InPlace) {
            self.error(
                "runplan::check::jobs_not_here",
                jobs.span,
                "a restore in place is one transaction, so it has one job",
                "remove `jobs`, or restore to the side",
            );
        }
        let why = match &restore.into {
            Into::Side => None,
            Into::InPlace => {
                Some("a restore in place replaces everything; with `tables` the others would be lost")
            }
            Into::Other(_) => {
                Some("a restore into another database is one of everything, in one transaction")
            }
        };
        if let Some(why) = why.filter(|_| restore.tables.is_some()) {
            self.error(
                "runplan::check::tables_in_place",
                span,
                why,
                "restore the tables to the side (`into: side`), and bring their rows over from there with `copy`",
            );
        }
    }

    pub(super) fn swap(&mut self, swap: &Swap) {
        self.stands_elsewhere(&swap.database);
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

    /// Who closes or renames a database stands on another one meanwhile; here as far as both are written out.
    pub(super) fn stands_elsewhere(&mut self, name: &Text) {
        let Some(database) = self.context.databases.get(name.raw.trim()) else { return };
        let Some(standing) = database.maintenance.as_deref() else { return };
        let expected = database.expect.as_ref().and_then(|expect| expect.database.as_deref());
        let url =
            Some(database.url.raw.as_str()).filter(|url| url.contains("://") && !database.url.has_template());
        let addressed = url.and_then(|url| url.split(['?', '#']).next()?.rsplit('/').next());
        if [expected, addressed].contains(&Some(standing)) {
            let message = format!("`maintenance` of `{}` names the database itself", name.raw.trim());
            self.error(
                "runplan::check::maintenance_is_target",
                name.span,
                message,
                "name another database of the server, or remove `maintenance`: then it is `postgres`",
            );
        }
    }

    pub(super) fn copy(&mut self, copy: &Copy, span: Span) {
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
        if let Some(still) = &copy.still
            && copy.on_conflict != OnConflict::Update
        {
            self.error(
                "runplan::check::contradiction",
                still.span,
                "`still` says which rows of the target may be overwritten, and none is without `on_conflict: update`",
                "write `on_conflict: update`, or remove `still`",
            );
        }
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
    }

    pub(super) fn sql(&mut self, sql: &Sql, span: Span) {
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
}
