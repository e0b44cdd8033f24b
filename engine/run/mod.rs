//! What happened, and what is next. Pure: no clock, no I/O, no chance; the same events always make the same state.
//!
//! ```text
//! Input -> decide -> Event -> (durable) -> apply -> Effect
//! ```

mod amendment;
mod answers;
pub mod approval;
mod consent;
mod decide;
mod doubt;
mod effect;
mod escalation;
mod event;
mod guarding;
mod input;
mod left;
mod notice;
mod outcome;
mod parked;
mod place;
mod position;
mod record;
mod reliance;
mod renewal;
mod replacement;
mod reversal;
mod sent;
mod shape;
mod signature;
mod state;
mod transition;
mod untold;

pub use answers::{Answers, answers, awaited};
pub use consent::{deciders, keys_of, may_answer, signers};
pub use decide::{decide, next_wakeup};
pub use doubt::{ASKED_LOSS, INDEX_INTENDED, MAY_BE_HALF_DONE, UNDO_UNKNOWN, doubtful, way_back};
pub use effect::Effect;
pub use escalation::{Overdue, due_at, overdue};
pub use event::{Accepted, Amended, BeganWith, Event, Finish, Occasion, Started, StoredSource, reclaimed};
pub use input::{Input, Post, Resolution};
pub use left::{except, kept_backup, passed_over, reversed};
pub use notice::{Notice, notices};
pub use outcome::{Ask, Evidence, Fact, Failure, Outcome, Outputs};
pub use parked::{Course, Standing, Why, doors_in_doubt, expired_at, standing};
pub use place::{placed, quoted};
pub use position::POSITION;
pub use record::{Actor, FORMAT, Record, RecordError};
pub use replacement::{REPLACING, Replacement, TAKEN, replacement, replaces};
pub use reversal::{Effects, Reversal, claims, effects, reversal};
pub use sent::{SENT, SentSql};
pub use shape::{Shape, loaded};
pub use signature::{Fault, NAMESPACE, Signed, Signer};
pub use state::{Decision, Entry, Moved, Phase, State};
pub use transition::{Impossible, StepState};
pub use untold::{LATE, Late, Untold, Words, handlers_of, said_by};
