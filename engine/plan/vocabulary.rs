//! What a template may name: the outputs of every kind of step, and the fields of `run`, `databases` and `site`. Check,
//! review and the running steps read these tables, so that what is promised is what is there.

use super::action::{Action, Kind};
use super::step::Step;

/// What a template may begin with.
pub const ROOTS: &[&str] = &["params", "secrets", "databases", "steps", "run", "site", "rehearsal", "each"];

/// Functions a template may call.
pub const FUNCTIONS: &[&str] = &["now", "range", "dict", "namespace"];

/// What every finished step has.
pub const ALWAYS: &[&str] = &["started_at", "finished_at", "elapsed", "attempts"];

/// `run.…`
pub const RUN: &[&str] =
    &["id", "plan", "reason", "severity", "requester", "started_at", "elapsed", "waiting_for", "failed_step"];

/// `databases.NAME.…`; never its url, which may hold a password.
pub const DATABASE: &[&str] = &["name", "endpoint", "user", "environment"];

/// `site.…`: contacts by name, each with `name` and `call`.
pub const SITE: &[&str] = &["contacts"];

/// `rehearsal.…`, in a plan's `rehearsal:` alone.
pub const REHEARSAL: &[&str] = &["dir", "url"];

/// The outputs of a kind of step, besides those that every step has.
pub fn outputs(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Backup => &["path", "sha256", "bytes", "tables", "rows", "taken_at", "record"],
        Kind::Restore => &["database", "tables", "bytes", "taken_at"],
        Kind::Swap => &["old_database", "downtime_ms", "sessions_ended"],
        Kind::Copy => &["rows", "inserted", "updated", "skipped", "left"],
        Kind::Freeze => &["frozen_at", "sessions_ended"],
        Kind::Sql => &["rows", "row_count", "first"],
        Kind::Shell => &["exit_code", "stdout", "stderr", "json"],
        Kind::Http => &["status", "json", "headers", "body"],
        Kind::Verify => &["passed", "failed", "results", "summary"],
        Kind::Approve => &["approved_by", "approved_at", "comment"],
        Kind::Notify => &["delivered"],
    }
}

/// Every output of one step: of its kind, of every step, and those the author named.
pub fn outputs_of(step: &Step) -> Vec<&str> {
    let mut known: Vec<&str> = outputs(step.action.kind()).to_vec();
    if let Action::Shell(shell) = &step.action.value {
        known.extend(shell.outputs.keys().map(|name| name.value.as_str()));
    }
    known.extend(ALWAYS);
    known
}

/// Whether an output has parts of its own: `steps.scope.first.id`, not `steps.restored.database.id`.
pub fn has_parts(output: &str, step: &Step) -> bool {
    let named = matches!(&step.action.value, Action::Shell(shell) if shell.outputs.contains_key(output));
    named || matches!(output, "rows" | "first" | "json" | "headers" | "results" | "tables")
}

/// Whether an output is always a number.
pub fn is_number(output: &str) -> bool {
    matches!(
        output,
        "bytes"
            | "row_count"
            | "exit_code"
            | "status"
            | "downtime_ms"
            | "sessions_ended"
            | "attempts"
            | "delivered"
            | "inserted"
            | "left"
            | "updated"
            | "skipped"
    )
}
