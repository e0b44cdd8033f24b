//! What people are still to be told: the outbox of a run, folded from its journal. An event that tells somebody puts its
//! messages in: those of the site, those of the plan's handlers, and what a step left behind that a slow receiver had not
//! taken yet. The line that says what became of one takes it out; so whoever takes the run up knows what a
//! process that was killed, or let go, left undelivered. Pure; must never put the same message in twice.

use super::effect::Effect;
use super::event::{Event, Occasion};
use super::notice::{Notice, notices};
use super::record::Record;
use super::state::State;
use crate::plan::action::Notify;
use crate::plan::action::notify::Level;
use crate::plan::{Action, Bare, StepId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A receiver that was away as often as this is not tried any more.
const MOST_ROUNDS: u32 = 4;

/// The fact of a `notify` step that goes on before its receivers have answered: a `Late`.
pub const LATE: &str = "late";

/// What a step said, ready to be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Late {
    pub channels: Vec<String>,
    pub level: Level,
    pub text: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
    /// By which a receiver that has it already knows it again.
    pub key: String,
}

/// Whose words a message is.
#[derive(Debug, Clone)]
pub enum Words {
    /// The site's.
    Site,
    /// A handler's of the plan, with the number that the message has.
    Handler,
    /// A step's.
    Step(StepId, Box<Late>),
}

/// A message that is still to be delivered.
#[derive(Debug, Clone)]
pub struct Untold {
    /// The line of the journal that it tells of.
    pub line: u64,
    pub at: Timestamp,
    pub occasion: Occasion,
    /// Its number among what is done on this occasion, after the plan's handlers.
    pub index: u32,
    pub notice: Notice,
    pub words: Words,
    /// How often a process gave up on it.
    pub rounds: u32,
}

/// What the plan does on an occasion.
pub fn handlers_of(state: &State, occasion: Occasion) -> &[Bare] {
    let handlers = &state.shape.plan.handlers;
    match occasion {
        Occasion::Started | Occasion::Deadline | Occasion::BreakGlass | Occasion::Step => &[],
        Occasion::Waiting => &handlers.waiting,
        Occasion::Parked => &handlers.parked,
        Occasion::Failed => &handlers.failed,
        Occasion::Finished => &handlers.finished,
    }
}

/// Takes a line into the outbox. `state`: after that line.
pub(super) fn fold(untold: &mut Vec<Untold>, record: &Record, state: &State) {
    if let Event::HandlerFinished { occasion, index, failure, line } = &record.event {
        let found = untold.iter().position(|one| {
            one.occasion == *occasion && one.index == *index && line.is_none_or(|line| line == one.line)
        });
        let Some(found) = found else { return };
        // A journal of before says nothing of the line, nor whether another try could help.
        let again = line.is_some() && failure.as_ref().is_some_and(|failure| !failure.permanent);
        untold[found].rounds += 1;
        if !again || untold[found].rounds >= MOST_ROUNDS {
            untold.remove(found);
        }
        return;
    }
    let mut add = |occasion, number: usize, notice, words| {
        let index = u32::try_from(number).unwrap_or(u32::MAX);
        untold.push(Untold { line: record.seq, at: record.at, occasion, index, notice, words, rounds: 0 });
    };
    if let Event::FactNoted { step, fact, .. } = &record.event
        && fact.name.trim_start_matches("undo.") == LATE
        && let Ok(late) = Late::deserialize(&fact.data)
    {
        for (number, channel) in late.channels.iter().enumerate() {
            let notice = notice(channel.clone(), step.to_string(), late.level);
            add(Occasion::Step, number, notice, Words::Step(step.clone(), Box::new(late.clone())));
        }
    }
    for effect in Effect::of(&record.event) {
        let Effect::Handle { occasion } = effect else { continue };
        let handlers = handlers_of(state, occasion);
        for (number, handler) in handlers.iter().enumerate() {
            let Some(notify) = said_by(handler, state) else { continue };
            let channels: Vec<&str> = notify.channels.iter().map(|name| name.value.as_str()).collect();
            let notice = notice(channels.join(", "), occasion.word().to_owned(), notify.level);
            add(occasion, number, notice, Words::Handler);
        }
        for (number, notice) in notices(state, occasion).into_iter().enumerate() {
            add(occasion, handlers.len() + number, notice, Words::Site);
        }
    }
}

/// A handler that only says something: it is kept until it was said, and said again when nobody knows. None of a rehearsal
/// is, where a handler has a stand-in or is left out.
pub fn said_by<'h>(handler: &'h Bare, state: &State) -> Option<&'h Notify> {
    let rehearsal = state.started.as_deref().is_some_and(|started| started.rehearsal);
    match &handler.action.value {
        Action::Notify(notify) if !rehearsal => Some(notify),
        _ => None,
    }
}

/// Of words that are not the site's.
fn notice(channel: String, subject: String, level: Level) -> Notice {
    Notice { channel, subject, occasion: None, level, template: None, text: String::new() }
}
