//! The deadline of the decision matrix: by when it must be decided and done, and who is told when it was not. Pure.

use super::event::Event;
use super::state::{Phase, State};
use crate::plan::site::{SeverityRow, Site};
use crate::plan::{Level, Name};
use jiff::Timestamp;

/// The deadline of the run's row of the matrix, counted from the beginning of the incident. None: it has none.
pub fn due_at(state: &State) -> Option<Timestamp> {
    let started = state.started.as_deref().filter(|started| !started.rehearsal)?;
    let limit = row(state)?.deadline?.0;
    started.incident_started_at.or(state.started_at)?.checked_add(limit.std()).ok()
}

/// The deadline that is still to be watched. None: there is none, or it has passed and was told.
pub fn deadline(state: &State) -> Option<Timestamp> {
    let row = row(state)?;
    // `now` is over before anybody could have acted: only a role that is named for it is told.
    let is_told = row.deadline?.0.ms == 0 && row.escalate_to.is_none();
    if state.escalated || state.phase == Phase::Finished || is_told {
        return None;
    }
    due_at(state)
}

fn row(state: &State) -> Option<&SeverityRow> {
    let severity = state.started.as_deref()?.severity.as_deref()?;
    state.shape.site.as_deref()?.severities.get(severity)
}

/// The deadline has passed: said once.
pub fn passed(state: &State, now: Timestamp) -> Option<Event> {
    let due_at = deadline(state).filter(|due| *due <= now && state.parked.is_none())?;
    let severity = state.started.as_deref()?.severity.clone()?;
    let role = state.shape.site.as_deref().and_then(|site| next_role(site, &severity)).cloned();
    Some(Event::DeadlinePassed { severity, due_at, role })
}

/// Who is told: the role that the row names, else that of the next worse row that has one.
pub fn next_role<'s>(site: &'s Site, severity: &str) -> Option<&'s Name> {
    let row = site.severities.get(severity)?;
    if let Some(role) = &row.escalate_to {
        return Some(&role.value);
    }
    let own = row.role.as_ref().map(|role| &role.value);
    let role = |row: &'s SeverityRow| row.role.as_ref().map(|role| &role.value);
    let worse = Level::WORDS.iter().rev().skip_while(|word| **word != severity).skip(1);
    worse.filter_map(|word| site.severities.get(*word)).filter_map(role).find(|role| Some(*role) != own)
}
