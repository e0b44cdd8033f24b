//! What a channel of the site is told without a plan asking for it: one for each channel that wants to hear of the
//! occasion. Pure; says nothing of a rehearsal, which is nobody's incident.

use super::event::{Finish, Occasion};
use super::parked::Why;
use super::state::State;
use crate::plan::Text;
use crate::plan::action::notify::Level as Loud;
use crate::plan::site::{self, Channel, Contact, Site};

/// Something to be told on a channel.
#[derive(Debug, Clone)]
pub struct Notice {
    pub channel: String,
    pub occasion: site::Occasion,
    pub level: Loud,
    /// The site's own words, a template.
    pub template: Option<Text>,
    /// What is said without one.
    pub text: String,
}

/// What the site's channels are told of this.
pub fn notices(state: &State, occasion: Occasion) -> Vec<Notice> {
    let Some(site) = state.shape.site.as_deref() else { return Vec::new() };
    let started = state.started.as_deref();
    if started.is_some_and(|started| started.rehearsal) {
        return Vec::new();
    }
    let severity = started.and_then(|started| started.severity.as_deref());
    let (kind, level) = kind(occasion);
    let wants = |channel: &Channel| {
        let level = channel.severities.as_ref();
        let is_asked = level.is_none_or(|all| all.iter().any(|one| Some(one.word()) == severity));
        channel.events.contains(&kind) && is_asked && !said_already(state, channel, occasion)
    };
    let channels = site.channels.iter().filter(|(_, channel)| wants(channel));
    channels
        .map(|(name, channel)| Notice {
            channel: name.value.clone(),
            occasion: kind,
            level,
            template: channel.message.clone(),
            text: words(state, site, occasion),
        })
        .collect()
}

fn kind(occasion: Occasion) -> (site::Occasion, Loud) {
    match occasion {
        Occasion::Started => (site::Occasion::Start, Loud::Warning),
        Occasion::Waiting => (site::Occasion::Waiting, Loud::Warning),
        Occasion::Parked => (site::Occasion::Parked, Loud::Warning),
        Occasion::Failed => (site::Occasion::Failed, Loud::Critical),
        Occasion::Finished => (site::Occasion::Done, Loud::Info),
    }
}

/// A run that parks for an approval has just said that it waits for one.
fn said_already(state: &State, channel: &Channel, occasion: Occasion) -> bool {
    occasion == Occasion::Parked
        && matches!(state.parked, Some(Why::Approval { .. }))
        && channel.events.contains(&site::Occasion::Waiting)
}

/// What happened, what to type, whom to call.
fn words(state: &State, site: &Site, occasion: Occasion) -> String {
    let run = &state.run;
    let started = state.started.as_deref();
    let title = state.shape.plan.title.as_deref().unwrap_or(state.shape.plan.name.as_str());
    let mut lines = Vec::new();
    match occasion {
        Occasion::Started => {
            let by = state.requester.as_ref().map(|actor| actor.name.as_str()).unwrap_or_default();
            lines.push(format!("{run} has begun: {title}"));
            let reason = started.and_then(|started| started.reason.as_deref()).unwrap_or("none was given");
            lines.push(format!("reason: {reason}"));
            let severity = started.and_then(|started| started.severity.as_deref());
            lines.extend(severity.map(|severity| format!("severity: {severity}")));
            lines.push(format!("started by: {by}"));
            return lines.join("\n");
        }
        Occasion::Finished => {
            lines.push(format!("{run} is done: {title}"));
            lines.push(format!("runplan report {run}"));
            return lines.join("\n");
        }
        Occasion::Waiting => {
            lines.push(format!("{run} waits for an approval: {title}"));
            for step in state.awaiting() {
                let asked = state.entry(step).and_then(|entry| entry.ask.as_ref());
                lines.extend(asked.map(|ask| ask.message.clone()));
                lines.push(format!("runplan approve {run} {step}"));
            }
        }
        Occasion::Parked | Occasion::Failed => match (&state.parked, state.result) {
            (Some(why), _) => {
                lines.push(format!("{run} stands still: {}", why.words()));
                let failed = why.step().and_then(|step| state.entry(step)?.failure.as_ref());
                lines.extend(failed.map(|failure| failure.message.clone()));
                lines.push(why.command(run));
            }
            (None, Some(Finish::Undone)) => lines.push(format!("{run} was undone: {title}")),
            (None, _) => lines.push(format!("{run} ended without being done: {title}")),
        },
    }
    lines.extend(contact(site, started.and_then(|started| started.severity.as_deref())));
    lines.join("\n")
}

/// Whom to call: the contact of the role that decides, else the first that the site names.
fn contact(site: &Site, severity: Option<&str>) -> Option<String> {
    let row = severity.and_then(|severity| site.severities.get(severity));
    let role = row.and_then(|row| row.role.as_ref()).and_then(|role| site.roles.get(role.as_str()));
    let named = role.and_then(|role| role.contact.as_ref()).and_then(|name| site.contacts.get(name.as_str()));
    let Contact { name, call } = named.or_else(|| site.contacts.iter().next().map(|(_, contact)| contact))?;
    Some(format!("call {name}: {call}"))
}
