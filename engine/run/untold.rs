//! What the site's channels are still to be told: the outbox of a run, folded from its journal. An event that tells somebody
//! puts its messages in, the line that says what became of one takes it out; so whoever takes the run up knows what a
//! process that was killed, or let go, left undelivered. Pure; must never put the same message in twice.

use super::effect::Effect;
use super::event::{Event, Occasion};
use super::notice::{Notice, notices};
use super::record::Record;
use super::state::State;
use crate::plan::Bare;
use jiff::Timestamp;

/// A receiver that was away as often as this is not tried any more.
const MOST_ROUNDS: u32 = 4;

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
    /// How often a process gave up on it.
    pub rounds: u32,
}

/// What the plan does on an occasion.
pub fn handlers_of(state: &State, occasion: Occasion) -> &[Bare] {
    let handlers = &state.shape.plan.handlers;
    match occasion {
        Occasion::Started | Occasion::Deadline | Occasion::BreakGlass => &[],
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
    for effect in Effect::of(&record.event) {
        let Effect::Handle { occasion } = effect else { continue };
        let first = handlers_of(state, occasion).len();
        let new = notices(state, occasion).into_iter().enumerate().map(|(number, notice)| Untold {
            line: record.seq,
            at: record.at,
            occasion,
            index: u32::try_from(first + number).unwrap_or(u32::MAX),
            notice,
            rounds: 0,
        });
        untold.extend(new);
    }
}
