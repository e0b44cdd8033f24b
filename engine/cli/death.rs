//! A run whose process has died: no line of its journal says so, because nobody was there to write it.

use super::stored::Stored;
use crate::clock;
use crate::report::amount;
use crate::run::Course;
use crate::store::Store;
use crate::terminal::Screen;

/// That nobody works on a run that is neither over nor parked, since when, and what to type. None: somebody does, or it stands
/// still by itself.
pub fn words(screen: &Screen, store: &Store, stored: &Stored) -> Option<String> {
    let state = &stored.state;
    // Who cannot tell whether it is held does not say that it is not.
    let is_held = store.holder(&state.run).map_or(true, |holder| holder.is_some());
    let now = clock::now();
    let course = Course::of(state, is_held, now, None);
    if !matches!(course, Course::Interrupted | Course::Killed) {
        return None;
    }
    let since = stored.records.last().map(|record| amount::span(amount::between(record.at, now)));
    let since = since.map(|time| format!(" {time} ago")).unwrap_or_default();
    let next = course.command(&state.run).map(|command| format!("; next: {}", screen.command(&command)));
    Some(format!(
        "{} is {}; its last line was written{since}, and nobody works on it{}",
        state.run,
        course.words(state),
        next.unwrap_or_default()
    ))
}
