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

/// When the next role is to be told. None: nobody is left to tell.
pub fn deadline(state: &State) -> Option<Timestamp> {
    turn(state, state.escalations)
}

/// When the role of that number is to be told: the first hears of the deadline itself, each further one when the same time
/// has passed again.
fn turn(state: &State, number: usize) -> Option<Timestamp> {
    let (row, site) = (row(state)?, state.shape.site.as_deref()?);
    let limit = row.deadline?.0;
    // `now` is over before anybody could have acted: only a role that is named for it is told.
    let many = match limit.ms {
        0 => usize::from(row.escalate_to.is_some()),
        _ => roles(site, state.started.as_deref()?.severity.as_deref()?).len().max(1),
    };
    if number >= many || state.phase == Phase::Finished {
        return None;
    }
    let again = limit.std().saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
    due_at(state)?.checked_add(again).ok()
}

fn row(state: &State) -> Option<&SeverityRow> {
    let severity = state.started.as_deref()?.severity.as_deref()?;
    state.shape.site.as_deref()?.severities.get(severity)
}

/// The deadline has passed: said once to each role, to all at once whose turn it was while nobody looked.
pub fn passed(state: &State, now: Timestamp) -> Option<Event> {
    let due_at = deadline(state).filter(|due| *due <= now && state.parked.is_none())?;
    let severity = state.started.as_deref()?.severity.clone()?;
    let all = state.shape.site.as_deref().map(|site| roles(site, &severity)).unwrap_or_default();
    let due = (state.escalations..).take_while(|number| turn(state, *number).is_some_and(|due| due <= now));
    let roles: Vec<Name> = due.filter_map(|number| all.get(number).copied().cloned()).collect();
    Some(Event::DeadlinePassed { severity, due_at, role: roles.last().cloned(), roles })
}

/// A deadline that has passed and that nobody has been told of: a parked run has no process that holds a clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    pub severity: String,
    pub due_at: Timestamp,
    /// Whom to call: roles with their people, and how they are reached.
    pub call: Vec<String>,
}

/// What `status` and whoever speaks to a parked run says of its deadline.
pub fn overdue(state: &State, now: Timestamp) -> Option<Overdue> {
    state.parked.as_ref()?;
    let due_at = due_at(state).filter(|due| *due <= now)?;
    let (site, severity) = (state.shape.site.as_deref()?, state.started.as_deref()?.severity.clone()?);
    let roles = roles(site, &severity);
    let call = roles.into_iter().map(|role| {
        let contact = super::notice::contact_of(site, Some(role));
        let whole = super::notice::whole_role(site, role);
        contact.map_or(whole.clone(), |contact| format!("{whole}, {contact}"))
    });
    Some(Overdue { severity, due_at, call: call.collect() })
}

/// Who is told, one after the other: the role that the row names, then those of the worse rows, each once.
fn roles<'s>(site: &'s Site, severity: &str) -> Vec<&'s Name> {
    let Some(row) = site.severities.get(severity) else { return Vec::new() };
    let own = row.role.as_ref().map(|role| &role.value);
    let worse = Level::WORDS.iter().rev().skip_while(|word| **word != severity).skip(1);
    let worse = worse.filter_map(|word| site.severities.get(*word));
    let named = |row: &'s SeverityRow| [row.role.as_ref(), row.escalate_to.as_ref()];
    let all = std::iter::once(row.escalate_to.as_ref()).chain(worse.flat_map(named)).flatten();
    let mut roles: Vec<&Name> = Vec::new();
    for role in all.map(|role| &role.value) {
        if Some(role) != own && !roles.contains(&role) {
            roles.push(role);
        }
    }
    roles
}
