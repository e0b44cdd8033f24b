//! What a channel of the site is told without a plan asking for it: one for each channel that wants to hear of the
//! occasion. Pure; says nothing of a rehearsal, which is nobody's incident.

use super::answers::{Answers, answers};
use super::event::{Finish, Occasion};
use super::parked::Why;
use super::state::State;
use crate::plan::action::notify::Level as Loud;
use crate::plan::site::{self, Channel, Contact, Site};
use crate::plan::{Name, StepId, Text};

/// Something to be told on a channel.
#[derive(Debug, Clone)]
pub struct Notice {
    pub channel: String,
    /// What happened, in one word.
    pub subject: String,
    /// The same in the site file's words; None: it is told whoever wants to hear of it.
    pub occasion: Option<site::Occasion>,
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
    let of_roles = channels_of_roles(state, site, occasion);
    let wants = |name: &str, channel: &Channel| {
        let level = channel.severities.as_ref();
        let is_asked = level.is_none_or(|all| all.iter().any(|one| Some(one.word()) == severity));
        match kind {
            // Nobody may miss it, nor choose not to hear of it.
            None => true,
            _ if of_roles.iter().any(|one| one == name) => true,
            Some(kind) => {
                channel.events.contains(&kind) && is_asked && !said_already(state, channel, occasion)
            }
        }
    };
    let channels = site.channels.iter().filter(|(name, channel)| wants(&name.value, channel));
    channels
        .map(|(name, channel)| Notice {
            channel: name.value.clone(),
            subject: kind.map_or(occasion.word(), site::Occasion::word).to_owned(),
            occasion: kind,
            level,
            template: channel.message.clone().filter(|_| kind.is_some()),
            text: words(state, site, occasion),
        })
        .collect()
}

/// The channels on which a role hears that it is asked, or that the others' time is up.
fn channels_of_roles(state: &State, site: &Site, occasion: Occasion) -> Vec<String> {
    let roles: Vec<&Name> = match occasion {
        Occasion::Waiting => {
            let asks = state.awaiting().filter_map(|step| state.entry(step)?.ask.as_ref());
            asks.flat_map(|ask| &ask.roles).collect()
        }
        Occasion::Deadline => state.told.iter().collect(),
        _ => Vec::new(),
    };
    let roles = roles.into_iter().filter_map(|role| site.roles.get(role.as_str()));
    roles.flat_map(|role| role.channels.iter().map(|name| name.value.to_string())).collect()
}

fn kind(occasion: Occasion) -> (Option<site::Occasion>, Loud) {
    match occasion {
        Occasion::Started => (Some(site::Occasion::Start), Loud::Warning),
        Occasion::Waiting => (Some(site::Occasion::Waiting), Loud::Warning),
        Occasion::Parked => (Some(site::Occasion::Parked), Loud::Warning),
        Occasion::Failed => (Some(site::Occasion::Failed), Loud::Critical),
        Occasion::Finished => (Some(site::Occasion::Done), Loud::Info),
        Occasion::Deadline => (Some(site::Occasion::Deadline), Loud::Critical),
        Occasion::BreakGlass => (None, Loud::Critical),
        // What a step says is no notice of the site.
        Occasion::Step => (None, Loud::Info),
    }
}

/// A run that parks for an approval has just said that it waits for one, and one that parks for a failure that it failed.
fn said_already(state: &State, channel: &Channel, occasion: Occasion) -> bool {
    let before = match &state.parked {
        Some(Why::Approval { .. }) => site::Occasion::Waiting,
        Some(Why::Failed { .. } | Why::UndoFailed { .. }) => site::Occasion::Failed,
        Some(Why::Unknown { .. } | Why::Stopped { .. }) | None => return false,
    };
    occasion == Occasion::Parked && channel.events.contains(&before)
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
                lines.extend(decided(state, step));
            }
        }
        Occasion::Deadline => {
            let severity = started.and_then(|started| started.severity.as_deref()).unwrap_or_default();
            let row = site.severities.get(severity);
            let limit = row.and_then(|row| row.deadline).map(|limit| limit.to_string()).unwrap_or_default();
            lines.push(format!("{run} is late: the deadline of {severity} ({limit}) has passed: {title}"));
            if !state.told.is_empty() {
                let roles: Vec<String> = state.told.iter().map(|role| whole_role(site, role)).collect();
                lines.push(format!("told too: {}", roles.join(", ")));
            }
            for step in state.awaiting() {
                lines.push(format!("it waits for an approval: {step}"));
                lines.extend(decided(state, step));
            }
            lines.push(format!("runplan status {run}"));
            lines.extend(contact_of(site, state.told.last()));
            return lines.join("\n");
        }
        Occasion::BreakGlass => {
            lines.push(format!("BREAK-GLASS in {run}: {title}"));
            let broken = state.shape.flow.steps().iter().filter_map(|step| {
                let entry = state.entry(&step.id.value)?;
                let last = entry.decisions.iter().rev().find(|one| one.break_glass.is_some())?;
                Some((&step.id.value, last))
            });
            for (step, decision) in broken {
                let reason = decision.break_glass.as_deref().unwrap_or_default();
                lines.push(format!("{} approved {step} alone, past the rules: {reason}", decision.by));
            }
            lines.push(format!("runplan status {run}"));
        }
        Occasion::Step => {}
        Occasion::Parked | Occasion::Failed => match (&state.parked, state.result) {
            (Some(why), _) => {
                lines.push(format!("{run} stands still: {}", why.words()));
                lines.extend(super::parked::doors(state));
                let failed = why.step().and_then(|step| state.entry(step)?.failure.as_ref());
                lines.extend(failed.map(|failure| failure.message.clone()));
                match why {
                    Why::Approval { step } => lines.extend(decided(state, step)),
                    why => lines.push(why.command(run)),
                }
            }
            (None, Some(Finish::Undone)) => {
                lines.push(format!("{run} was undone{}: {title}", super::left::except(state)))
            }
            (None, _) => lines.push(format!("{run} ended without being done: {title}")),
        },
    }
    lines.extend(contact(site, started.and_then(|started| started.severity.as_deref())));
    lines.join("\n")
}

/// What whoever decides types, each way on a line: a notice is read by others than who sits at the run.
fn decided(state: &State, step: &StepId) -> Vec<String> {
    let Answers { whose, yes, ways, .. } = answers(state, step, None);
    let yes = whose.map_or_else(|| yes.clone(), |whose| format!("{whose}: {yes}"));
    std::iter::once(yes).chain(ways.into_iter().map(|way| format!("or: {way}"))).collect()
}

/// `head_of_engineering (carol, dave)`
pub fn whole_role(site: &Site, role: &Name) -> String {
    let people = site.roles.get(role.as_str()).map(|role| role.people.iter().map(ToString::to_string));
    match people.map(|people| people.collect::<Vec<_>>().join(", ")).filter(|people| !people.is_empty()) {
        Some(people) => format!("{role} ({people})"),
        None => role.to_string(),
    }
}

/// Whom to call: the contact of the role that decides, else the first that the site names.
fn contact(site: &Site, severity: Option<&str>) -> Option<String> {
    let row = severity.and_then(|severity| site.severities.get(severity));
    contact_of(site, row.and_then(|row| row.role.as_ref()).map(|role| &role.value))
}

pub fn contact_of(site: &Site, role: Option<&Name>) -> Option<String> {
    let role = role.and_then(|role| site.roles.get(role.as_str()));
    let named = role.and_then(|role| role.contact.as_ref()).and_then(|name| site.contacts.get(name.as_str()));
    let Contact { name, call } = named.or_else(|| site.contacts.iter().next().map(|(_, contact)| contact))?;
    Some(format!("call {name}: {call}"))
}
