//! What people decide about what is asked of them: who may, by what proof, how many it takes. Every answer comes through here,
//! from the prompt, another terminal, the inbox or a file. Must never take a word for a signature, nor a doubt for a yes.

use super::approval::{self, Verdict};
use super::event::Event;
use super::outcome::{Ask, Failure};
use super::record::Actor;
use super::signature::Signed;
use super::state::{Entry, State};
use super::transition::StepState;
use crate::plan::StepId;
use crate::plan::site::Person;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// A decision that counts, if nothing stands against it.
struct Word {
    by: String,
    comment: String,
    signed: Option<Signed>,
    break_glass: Option<String>,
}

pub(super) fn refuse(step: StepId, actor: &Actor, reason: impl Into<String>) -> Vec<Event> {
    vec![Event::DecisionRefused { step, by: actor.name.clone(), reason: reason.into() }]
}

/// Somebody said yes, without a signature.
pub(super) fn approve(
    state: &State,
    actor: &Actor,
    step: StepId,
    comment: String,
    now: Timestamp,
) -> Vec<Event> {
    let word = Word { by: actor.name.clone(), comment, signed: None, break_glass: None };
    let decided = asked(state, &step)
        .and_then(|(entry, ask)| unsigned(state, actor, ask).map(|()| (entry, ask)))
        .and_then(|(entry, ask)| yes(&step, entry, ask, word, now));
    decided.unwrap_or_else(|why| refuse(step, actor, why))
}

/// Somebody said no, without a signature.
pub(super) fn reject(state: &State, actor: &Actor, step: StepId, reason: String) -> Vec<Event> {
    let word = Word { by: actor.name.clone(), comment: reason, signed: None, break_glass: None };
    let decided = asked(state, &step)
        .and_then(|(entry, ask)| unsigned(state, actor, ask).map(|()| entry))
        .and_then(|entry| no(&step, entry, word));
    decided.unwrap_or_else(|why| refuse(step, actor, why))
}

/// A signed decision, whoever brought it.
pub(super) fn signed(
    state: &State,
    actor: &Actor,
    step: StepId,
    signed: Signed,
    now: Timestamp,
) -> Vec<Event> {
    let decided = asked(state, &step).and_then(|(entry, ask)| {
        let (by, verdict, comment) = prove(state, &step, ask, &signed)?;
        let word = Word { by, comment, signed: Some(signed), break_glass: None };
        match verdict {
            Verdict::Approve => yes(&step, entry, ask, word, now),
            Verdict::Reject if is_expired(entry, now) => Err(LATE.to_owned()),
            Verdict::Reject => no(&step, entry, word),
        }
    });
    decided.unwrap_or_else(|why| refuse(step, actor, why))
}

/// An emergency: one person goes past roles, count and signatures, and everybody is told.
pub(super) fn break_glass(
    state: &State,
    actor: &Actor,
    step: StepId,
    reason: String,
    now: Timestamp,
) -> Vec<Event> {
    let decided = asked(state, &step).and_then(|(entry, ask)| {
        if reason.trim().is_empty() {
            return Err("breaking the glass wants its reason".to_owned());
        }
        let comment = format!("break-glass: {}", reason.trim());
        let word = Word { by: actor.name.clone(), comment, signed: None, break_glass: Some(reason) };
        yes(&step, entry, ask, word, now)
    });
    decided.unwrap_or_else(|why| refuse(step, actor, why))
}

/// A parked run has no clock: nobody said so when the time was up.
const LATE: &str = "its time is up, which counts as no; `runplan resume` asks again";

const NOT_ASKED: &str = "it does not wait for an approval";

fn asked<'s>(state: &'s State, step: &StepId) -> Result<(&'s Entry, &'s Ask), String> {
    let entry = state.entry(step).filter(|entry| entry.state == StepState::AwaitingApproval);
    let asked = entry.and_then(|entry| Some((entry, entry.ask.as_ref()?)));
    asked.ok_or_else(|| {
        match state.entry(step).and_then(|entry| entry.outputs.get("approved_by")?.as_str()) {
            Some(names) => format!("it is approved already, by {names}"),
            None => NOT_ASKED.to_owned(),
        }
    })
}

pub(super) fn is_expired(entry: &Entry, now: Timestamp) -> bool {
    entry.ask.as_ref().and_then(|ask| ask.expires_at).is_some_and(|at| at <= now)
}

/// The people of the asked roles that the site file gives this name, with the keys of all of them.
fn keys<'s>(state: &'s State, ask: &Ask, name: &str) -> Vec<&'s str> {
    let site = state.shape.site.as_deref();
    let roles = ask.roles.iter().filter_map(|role| site?.roles.get(role.as_str()));
    let people = roles.flat_map(|role| &role.people).filter(|person| person.name.value == name);
    people.flat_map(|person| person.keys.iter().map(|key| key.value.as_str())).collect()
}

/// People who may decide what is asked and sign what they decide, by name.
pub fn signers(state: &State, ask: &Ask) -> Vec<String> {
    let signs = |name: &&String| !keys(state, ask, name).is_empty();
    ask.people.iter().filter(signs).cloned().collect()
}

/// The SSH public keys that this person's decisions are signed with.
pub fn keys_of(state: &State, ask: &Ask, name: &str) -> Vec<String> {
    keys(state, ask, name).into_iter().map(str::to_owned).collect()
}

/// Whether this person's word would count as a decision about the step now; else why not.
///
/// # Errors
/// In words: somebody else decides, or it takes a signature.
pub fn may_answer(state: &State, step: &StepId, name: &str) -> Result<(), String> {
    let (entry, ask) = asked(state, step)?;
    may_decide(state, name, ask)?;
    if entry.decisions.iter().any(|decision| decision.approved && decision.by == name) {
        return Err(format!("{name} has approved already"));
    }
    match keys(state, ask, name).is_empty() {
        true => Ok(()),
        false => Err(format!("{name} has a key in the site file and decides by signature")),
    }
}

/// Those of the people who are asked whose decision would count now; nobody where no role is asked.
pub fn deciders(state: &State, step: &StepId) -> Vec<String> {
    let Ok((entry, ask)) = asked(state, step) else { return Vec::new() };
    let has_decided = |name: &String| entry.decisions.iter().any(|decision| decision.by == *name);
    let may = |name: &&String| may_decide(state, name, ask).is_ok() && !has_decided(name);
    ask.people.iter().filter(may).cloned().collect()
}

fn unsigned(state: &State, actor: &Actor, ask: &Ask) -> Result<(), String> {
    may_decide(state, &actor.name, ask)?;
    match keys(state, ask, &actor.name).is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{} has a key in the site file and decides by signature: `runplan approve RUN STEP` with the SSH agent, or with --key FILE",
            actor.name
        )),
    }
}

/// Whether this person may decide.
fn may_decide(state: &State, name: &str, ask: &Ask) -> Result<(), String> {
    if !ask.people.is_empty() && !ask.people.iter().any(|person| person == name) {
        return Err(format!("{name} is none of: {}", ask.people.join(", ")));
    }
    let own = state.requester.as_ref().is_some_and(|requester| requester.name == name);
    // Where an organisation has roles, nobody is asked by chance.
    let has_roles = state.shape.site.as_deref().is_some_and(|site| site.roles.iter().next().is_some());
    if own && !ask.allow_requester && (!ask.people.is_empty() || has_roles) {
        return Err(format!("{name} started the run and cannot approve it"));
    }
    Ok(())
}

/// Who signed what: the key is the person's, the signature fits, and it is the very thing that is asked now.
fn prove(
    state: &State,
    step: &StepId,
    ask: &Ask,
    signed: &Signed,
) -> Result<(String, Verdict, String), String> {
    let said = approval::read(&signed.text)?;
    let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let by = text("approver");
    let verdict = match text("decision").as_str() {
        "approve" => Verdict::Approve,
        "reject" => Verdict::Reject,
        other => return Err(format!("`{other}` is no decision: `approve` or `reject`")),
    };
    if !ask.people.contains(&by) {
        if ask.people.is_empty() {
            return Err("no role is asked, so nothing proves a signature; decide by word".to_owned());
        }
        let who = owner(state, signed).filter(|owner| !ask.people.contains(owner)).unwrap_or(by);
        return Err(format!("{who} has none of the roles that decide; they are: {}", ask.people.join(", ")));
    }
    let listed = keys(state, ask, &by);
    if listed.is_empty() {
        return Err(format!("{by} has no key in the site file, so nothing proves the signature"));
    }
    signed.verify(listed).map_err(|fault| match owner(state, signed).filter(|owner| *owner != by) {
        Some(owner) => format!("it says that {by} decides, and is signed with a key of {owner}"),
        None => format!("{fault}, which is no decision of {by}"),
    })?;
    let comment = text("comment");
    let now = approval::decision(state, step, &by, verdict, &comment);
    same(state, &said, now.as_ref().and_then(Value::as_object))?;
    may_decide(state, &by, ask)?;
    Ok((by, verdict, comment))
}

/// Whose key it is, in the whole site file.
fn owner(state: &State, signed: &Signed) -> Option<String> {
    let people = state.shape.site.as_deref()?.roles.iter().flat_map(|(_, role)| &role.people);
    let is_whose = |person: &&Person| signed.verify(person.keys.iter().map(|key| key.value.as_str())).is_ok();
    people.into_iter().find(is_whose).map(|person| person.name.value.clone())
}

/// A decision on something else than what is asked now is none.
fn same(state: &State, said: &Map<String, Value>, now: Option<&Map<String, Value>>) -> Result<(), String> {
    let Some(now) = now else { return Err(NOT_ASKED.to_owned()) };
    let word = |name: &str| match said.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "none".to_owned(),
    };
    let differs = |name: &str| said.get(name) != now.get(name);
    if differs("run") {
        return Err(format!("it was signed for the run {}, and this is {}", word("run"), state.run));
    }
    if differs("step") {
        return Err(format!("it was signed for the step {}", word("step")));
    }
    if ["plan_digest", "site_digest", "digest", "params"].into_iter().any(differs) {
        return Err(
            "it was signed for another plan: the plan, its site file or a parameter has changed since"
                .to_owned(),
        );
    }
    if differs("attempt") {
        let attempt = now.get("attempt").map(Value::to_string).unwrap_or_default();
        return Err(format!(
            "it was signed for attempt {}, and attempt {attempt} is asked now",
            word("attempt")
        ));
    }
    if ["nonce", "journal_head", "asked_at_line"].into_iter().any(differs) {
        return Err("it was signed for another request than the one that is asked now".to_owned());
    }
    let names = said.keys().chain(now.keys());
    match names.into_iter().find(|name| differs(name)) {
        Some(name) => Err(format!("its `{name}` is not what is asked now")),
        None => Ok(()),
    }
}

fn yes(step: &StepId, entry: &Entry, ask: &Ask, word: Word, now: Timestamp) -> Result<Vec<Event>, String> {
    if is_expired(entry, now) {
        return Err(LATE.to_owned());
    }
    if ask.confirm && word.comment.trim().is_empty() {
        return Err("a human task wants its evidence as the comment".to_owned());
    }
    let approved = || entry.decisions.iter().filter(|decision| decision.approved);
    if word.break_glass.is_none() && approved().any(|decision| decision.by == word.by) {
        return Err(format!("{} has approved already", word.by));
    }
    let same_key = |signed: &Signed| word.signed.as_ref().is_some_and(|own| own.has_key_of(signed));
    if let Some(other) = approved().find(|decision| decision.signed.as_ref().is_some_and(same_key)) {
        return Err(format!("this key has approved already, for {}, and counts once", other.by));
    }
    let given = approved().count() + 1;
    let is_enough = word.break_glass.is_some() || given >= usize::from(ask.count.max(1));
    let is_signed = word.signed.is_some() && approved().all(|decision| decision.signed.is_some());
    let mut names: Vec<String> = approved().map(|decision| decision.by.clone()).collect();
    names.push(word.by.clone());
    let comment = word.comment.clone();
    let mut events = vec![Event::ApprovalGiven {
        step: step.clone(),
        by: word.by,
        comment: word.comment,
        signed: word.signed,
        break_glass: word.break_glass,
    }];
    if is_enough {
        let mut outputs = Map::new();
        outputs.insert("approved_by".to_owned(), names.join(", ").into());
        outputs.insert("approved_at".to_owned(), now.to_string().into());
        outputs.insert("comment".to_owned(), comment.into());
        outputs.insert("signed".to_owned(), is_signed.into());
        events.push(Event::StepDone { step: step.clone(), attempt: entry.attempts, outputs });
    }
    Ok(events)
}

fn no(step: &StepId, entry: &Entry, word: Word) -> Result<Vec<Event>, String> {
    if word.comment.trim().is_empty() {
        return Err("a no wants its reason".to_owned());
    }
    let Word { by, comment: reason, signed, .. } = word;
    let failure = Failure::new("runplan::approve::rejected", format!("{by} said no: {reason}"))
        .help("`runplan undo` goes back; `runplan resume` asks again")
        .permanent();
    Ok(vec![
        Event::ApprovalRejected { step: step.clone(), by, reason, signed },
        Event::StepFailed { step: step.clone(), attempt: entry.attempts, failure },
    ])
}
