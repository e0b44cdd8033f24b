//! What somebody can type about a question to people, so that it counts: by word, by signature, or into a file that is signed
//! elsewhere. Pure. Must never tell anybody to type what would be refused to them, unless it says who types it instead.

use super::consent::{deciders, keys_of, may_answer};
use super::outcome::Ask;
use super::place::quoted;
use super::state::State;
use crate::plan::{Name, StepId};

/// So many people are named at most where there is little room.
const MOST_NAMES: usize = 3;

/// Commands about a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// Who decides, when it is somebody else than who reads it: `to be signed by bob (lead)`.
    pub whose: Option<String>,
    /// Says yes.
    pub yes: String,
    /// Other ways to say it.
    pub ways: Vec<String>,
    /// Says no.
    pub no: String,
}

/// `me`: who reads it; None: anybody.
pub fn answers(state: &State, step: &StepId, me: Option<&str>) -> Answers {
    let run = &state.run;
    let ask = state.entry(step).and_then(|entry| entry.ask.as_ref());
    let evidence = match ask.is_some_and(|ask| ask.confirm) {
        true => " --comment 'what was done and seen'",
        false => "",
    };
    let yes = |how: &str| format!("runplan approve {run} {step}{how}{evidence}");
    let no = |how: &str| format!("runplan reject {run} {step}{how} --reason 'why not'");
    let by_word = |whose: Option<String>| Answers { whose, yes: yes(""), ways: Vec::new(), no: no("") };
    let Some(ask) = ask else { return by_word(None) };
    let left = deciders(state, step);
    let signs = |name: &String| !keys_of(state, ask, name).is_empty();
    let key = || yes(" --key FILE");
    match me {
        Some(me) if may_answer(state, step, me).is_ok() => return by_word(None),
        Some(me) if left.iter().any(|name| name == me) => {
            return Answers { ways: vec![key()], ..by_word(None) };
        }
        None if ask.people.is_empty() => return by_word(None),
        Some(_) if ask.people.is_empty() => {
            return by_word(Some("to be typed by somebody else".to_owned()));
        }
        _ => {}
    }
    if left.is_empty() {
        let whose = Some("nobody is left who may decide; in an emergency".to_owned());
        return Answers { yes: yes(" --break-glass 'why it cannot wait'"), ..by_word(whose) };
    }
    let verb = match (left.iter().all(signs), left.iter().any(signs)) {
        (true, _) => "signed",
        (_, true) => "decided",
        _ => "typed",
    };
    let whose = Some(format!("to be {verb} by {}", those(state, step, ask, &left)));
    let Some(signer) = left.iter().find(|name| signs(name)) else { return by_word(whose) };
    let named = format!(" --as {}", quoted(signer));
    let out = format!("{named} --out decision.json");
    // Whoever is listed is taken at their word, or signs with a key of their own: it has to say whose decision it is.
    match me.is_some_and(|me| ask.people.iter().any(|name| name == me)) {
        true => {
            let mut ways = vec![yes(&format!("{named} --key FILE"))];
            ways.extend(left.iter().any(|name| !signs(name)).then(|| yes("")));
            Answers { whose, yes: yes(&out), ways, no: no(&out) }
        }
        false => Answers { ways: vec![key(), yes(&out)], ..by_word(whose) },
    }
}

/// Who is still waited for: the roles, and those of their people who have not agreed. None: anyone.
pub fn awaited(state: &State, step: &StepId) -> Option<String> {
    let entry = state.entry(step)?;
    let agreed = entry.decisions.iter().filter(|decision| decision.approved);
    let agreed: Vec<&str> = agreed.map(|decision| decision.by.as_str()).collect();
    let requester = state.requester.as_ref().map(|actor| actor.name.as_str());
    entry.ask.as_ref()?.who(requester, &agreed)
}

/// `one more of ann, bob or 4 more (dba)`
fn those(state: &State, step: &StepId, ask: &Ask, left: &[String]) -> String {
    let given =
        state.entry(step).map_or(0, |entry| entry.decisions.iter().filter(|one| one.approved).count());
    let missing = usize::from(ask.count.max(1)).saturating_sub(given);
    let number = match (missing, given) {
        (..=1, 0) => String::new(),
        (..=1, _) if left.len() == 1 => String::new(),
        (..=1, _) => "one more of ".to_owned(),
        (missing, 0) => format!("{missing} of "),
        (missing, _) => format!("{missing} more of "),
    };
    let (named, more) = left.split_at(left.len().min(MOST_NAMES));
    let names = match (named, more.len()) {
        (named, more @ 1..) => format!("{} or {more} more", named.join(", ")),
        ([first @ .., last], 0) if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        (named, 0) => named.join(", "),
    };
    let roles: Vec<&str> = ask.roles.iter().map(Name::as_str).collect();
    let roles = if roles.is_empty() { String::new() } else { format!(" ({})", roles.join(", ")) };
    format!("{number}{names}{roles}")
}
