//! What a function call may do: PostgreSQL's own functions that only compute or look are known by name, and so
//! are those that write, steer the server, or run text as SQL. It must never take an unknown one for harmless.

use std::collections::HashSet;
use std::sync::LazyLock;

use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::name::Object;
use super::script::Opaque;

const WITH_EFFECTS: [&str; 43] = [
    "brin_desummarize_range",
    "brin_summarize_new_values",
    "brin_summarize_range",
    "cursor_to_xml",
    "dblink",
    "dblink_exec",
    "dblink_send_query",
    "gin_clean_pending_list",
    "lo_creat",
    "lo_create",
    "lo_export",
    "lo_from_bytea",
    "lo_import",
    "lo_put",
    "lo_truncate",
    "lo_truncate64",
    "lo_unlink",
    "lowrite",
    "nextval",
    "pg_backup_start",
    "pg_backup_stop",
    "pg_cancel_backend",
    "pg_copy_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_create_physical_replication_slot",
    "pg_create_restore_point",
    "pg_drop_replication_slot",
    "pg_import_system_collations",
    "pg_logical_emit_message",
    "pg_logical_slot_get_binary_changes",
    "pg_logical_slot_get_changes",
    "pg_notify",
    "pg_promote",
    "pg_reload_conf",
    "pg_replication_slot_advance",
    "pg_rotate_logfile",
    "pg_switch_wal",
    "pg_terminate_backend",
    "pg_wal_replay_pause",
    "pg_wal_replay_resume",
    "query_to_xml",
    "setval",
];

/// PostgreSQL's own functions, and some of well-known extensions, that change nothing outside their session.
static HARMLESS: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("harmless.txt").lines().collect());

/// What cannot be read from a call: its function is known to have effects, or is not known at all.
pub(super) fn hidden_effect(call: &SyntaxNode) -> Option<Opaque> {
    let function = name(call)?;
    let own = function.schema().is_none_or(|schema| schema == "pg_catalog");
    let local = function.local_name();
    if own && (WITH_EFFECTS.contains(&local) || local.starts_with("pg_stat_reset")) {
        Some(Opaque::Function(function.to_string()))
    } else if own && HARMLESS.contains(local) {
        None
    } else {
        Some(Opaque::UnknownFunction(function.to_string()))
    }
}

/// The name of a called function, as it was written.
pub(super) fn name(call: &SyntaxNode) -> Option<Object> {
    let callee = call.children().next()?;
    let named = matches!(callee.kind(), SyntaxKind::NAME_REF | SyntaxKind::FIELD_EXPR);
    named.then(|| Object::parse(&callee.text().to_string(), 0)).flatten()
}
