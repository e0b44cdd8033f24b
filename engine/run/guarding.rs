//! Steps that may not be skipped, because something destructive stands behind them: the check proved that they come
//! first, and skipping one would take the proof away.

use super::state::State;
use crate::plan::{Action, StepId, action};

/// The destructive step that this one guards; None: it may be skipped.
pub fn guarded_by<'s>(state: &'s State, step: &StepId) -> Option<&'s StepId> {
    let flow = &state.shape.flow;
    let at = flow.index(step.as_str())?;
    let guard = &flow.steps().get(at)?.action.value;
    let is_guard = match guard {
        Action::Approve(_) | Action::Backup(_) => true,
        Action::Verify(verify) => !verify.report_only,
        _ => false,
    };
    if !is_guard {
        return None;
    }
    let dangerous = flow.steps().iter().enumerate().filter(|(_, later)| is_dangerous(&later.action.value));
    let mut behind = dangerous.filter(|(later, _)| state.shape.graph.is_before(at, *later));
    behind.next().map(|(_, later)| &later.id.value)
}

/// It replaces or destroys data, and its plan had to guard it.
pub(super) fn is_dangerous(action: &Action) -> bool {
    match action {
        Action::Swap(_) => true,
        Action::Restore(restore) => restore.into == action::restore::Into::InPlace,
        Action::Copy(copy) => copy.on_conflict == action::copy::OnConflict::Update,
        Action::Shell(shell) => shell.destructive || shell.replaces.is_some(),
        Action::Http(http) => http.destructive || http.replaces.is_some(),
        Action::Sql(sql) => {
            let text = sql.statement.as_ref().map(|text| text.raw.as_str()).unwrap_or_default();
            // A text that cannot be read with its templates in it counts as the worst it could be.
            sql.file.is_some() || text.contains("{{") && !sql.read_only || destroys(text)
        }
        Action::Backup(_)
        | Action::Freeze(_)
        | Action::Verify(_)
        | Action::Approve(_)
        | Action::Notify(_) => false,
    }
}

fn destroys(text: &str) -> bool {
    crate::sql::read(text).statements.iter().any(|statement| statement.destructions().next().is_some())
}
