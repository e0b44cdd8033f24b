//! Who must approve a step.

use crate::plan::{Action, Loaded, Step};
use serde::Serialize;

/// Who decides an `approve` step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// In words: `1 of team_lead: alice, bob`.
    pub who: String,
    pub roles: Vec<String>,
    pub count: u16,
    pub expires: Option<String>,
    /// Whether the person who started the run counts.
    pub allow_requester: bool,
}

pub fn of(step: &Step, loaded: &Loaded, severity: Option<&str>) -> Option<Approval> {
    let Action::Approve(approve) = &step.action.value else { return None };
    let site = loaded.site.as_deref();
    let row = severity.and_then(|severity| site?.severities.get(severity));
    let mut roles: Vec<String> = approve.roles.iter().map(ToString::to_string).collect();
    if roles.is_empty() {
        roles.extend(row.and_then(|row| row.role.as_ref()).map(ToString::to_string));
    }
    let known = loaded.roles();
    let people = |role: &String| {
        let people = known
            .get(role.as_str())
            .map(|role| role.people.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            .unwrap_or_default();
        if people.is_empty() { role.clone() } else { format!("{role} ({people})") }
    };
    let who = if roles.is_empty() {
        format!("{} who can reach the run's state: no role is given", count(approve.count))
    } else {
        format!("{} of {}", approve.count, roles.iter().map(people).collect::<Vec<_>>().join(" or "))
    };
    let open = roles.is_empty() && site.is_none();
    Some(Approval {
        who,
        roles,
        count: approve.count,
        expires: approve.expires.map(|time| time.to_string()),
        allow_requester: approve.allow_requester.or(row.map(|row| row.allow_requester)).unwrap_or(open),
    })
}

fn count(count: u16) -> String {
    if count == 1 { "anyone".to_owned() } else { format!("any {count} people") }
}
