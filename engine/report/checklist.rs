//! The rollback procedure's checklist, ticked by evidence and never by hand. Must never tick what the journal does not
//! prove: an empty box is a question to people.

use super::amount::time;
use super::downtime::{Downtime, windows};
use super::evidence::checks;
use crate::plan::site::ChannelType;
use crate::plan::{Action, Changes, Question, Step, StepId, action};
use crate::run::{Effects, Event, Occasion, Record, State, StepState, effects, notices};
use serde::Serialize;

/// A line of the checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// `before` or `after` the rollback.
    pub part: &'static str,
    pub text: &'static str,
    /// What proves it.
    pub evidence: Option<String>,
    /// The steps that do.
    pub steps: Vec<StepId>,
}

/// What ticks a line.
struct Proof {
    words: String,
    steps: Vec<StepId>,
}

/// The whole checklist.
pub fn checklist(state: &State, records: &[Record]) -> Vec<Item> {
    let started = state.started.as_deref();
    let reason = started.and_then(|started| started.reason.clone());
    let reason = reason.map(|words| Proof { words, steps: Vec::new() });
    let item = |part, text, proof: Option<Proof>| {
        let (evidence, steps) = proof.map(|proof| (proof.words, proof.steps)).unzip();
        Item { part, text, evidence, steps: steps.unwrap_or_default() }
    };
    vec![
        // A reason says why, not that the change was found: only people know.
        item("before", "The change to be rolled back is identified", None),
        item("before", "A backup exists that was read or restored whole", sound_backup(state)),
        item("before", "The team is told", told(state).or_else(|| heard(state, records))),
        item("before", "The application is in maintenance", maintenance(state)),
        item("before", "The reason is documented", reason),
        item("before", "What is there now is kept", safety(state)),
        item(
            "after",
            "The data is proved sound after the last change",
            proved(state, &|question| matches!(question, Question::Sql(query) if reads_data(&query.raw))),
        ),
        item(
            "after",
            "Tables, indexes and constraints are as they should be",
            proved(state, &|question| matches!(question, Question::Schema(_))),
        ),
        item(
            "after",
            "What was lost is counted",
            proved(state, &|question| matches!(question, Question::Lost(_))),
        ),
        item(
            "after",
            "The application is healthy",
            proved(state, &|question| matches!(question, Question::Http(_))),
        ),
        item("after", "The application is open to traffic again", reopened(state)),
    ]
}

fn done(state: &State) -> impl Iterator<Item = &Step> {
    let done = |step: &&std::sync::Arc<Step>| {
        state.entry(&step.id.value).is_some_and(|entry| entry.state == StepState::Done)
    };
    state.shape.flow.steps().iter().filter(done).map(AsRef::as_ref)
}

fn list<'s>(steps: impl Iterator<Item = &'s Step>) -> Option<Proof> {
    let steps: Vec<StepId> = steps.map(|step| step.id.value.clone()).collect();
    let ids = steps.iter().map(StepId::as_str).collect::<Vec<_>>().join(", ");
    (!steps.is_empty()).then(|| Proof { words: format!("step {ids}"), steps })
}

fn done_kind(state: &State, wanted: fn(&Action) -> bool) -> Option<Proof> {
    list(done(state).filter(|step| wanted(&step.action.value)))
}

/// Delivered somewhere else than on the console of whoever ran it.
fn told(state: &State) -> Option<Proof> {
    let delivered = |step: &&Step| {
        let Action::Notify(notify) = &step.action.value else { return false };
        let outputs = state.entry(&step.id.value).map(|entry| &entry.outputs);
        let arrived = outputs.and_then(|outputs| outputs.get("delivered")?.as_bool()).unwrap_or(false);
        arrived && notify.channels.iter().any(|channel| !is_console(state, channel.value.as_str()))
    };
    list(done(state).filter(delivered))
}

/// A channel of the site file that hears of every start took what it was told.
fn heard(state: &State, records: &[Record]) -> Option<Proof> {
    let all = notices(state, Occasion::Started);
    records.iter().find_map(|record| {
        let Event::HandlerFinished { occasion: Occasion::Started, index, failure: None, .. } = &record.event
        else {
            return None;
        };
        let channel = &all.get(usize::try_from(*index).ok()?)?.channel;
        let words = format!("the channel {channel} at {}", time(record.at));
        (!is_console(state, channel)).then(|| Proof { words, steps: Vec::new() })
    })
}

fn is_console(state: &State, channel: &str) -> bool {
    let named = state.shape.site.as_ref().and_then(|site| site.channels.get(channel));
    named.map_or(channel == "console", |channel| channel.type_ == ChannelType::Console)
}

/// It was restored whole, or read whole by a check.
fn sound_backup(state: &State) -> Option<Proof> {
    done_kind(state, |action| match action {
        Action::Restore(_) => true,
        Action::Verify(verify) => {
            verify.checks.iter().any(|check| matches!(check.question.value, Question::Backup(_)))
        }
        _ => false,
    })
}

fn safety(state: &State) -> Option<Proof> {
    done_kind(state, |action| matches!(action, Action::Backup(_) | Action::Swap(_)))
}

fn maintenance(state: &State) -> Option<Proof> {
    let windows = windows(state);
    let first = windows.first()?;
    Some(Proof {
        words: format!("window {} opened at {}", first.window, time(first.opened_at)),
        steps: vec![StepId::new(format!("{}.open", first.window))],
    })
}

fn reopened(state: &State) -> Option<Proof> {
    let windows = windows(state);
    let end = |window: &Downtime| window.closed_at.filter(|_| !window.in_doubt);
    let all = windows.iter().map(|window| Some((end(window)?, &window.window)));
    let (last, window) = all.collect::<Option<Vec<_>>>()?.into_iter().max()?;
    // Its own end, or what undid its beginning.
    let ends = ["close", "open"].map(|end| StepId::new(format!("{window}.{end}")));
    let is_closed = state.entry(&ends[0]).is_some_and(|entry| entry.state.stands());
    let step = ends.into_iter().nth(usize::from(!is_closed))?;
    Some(Proof { words: format!("at {}", time(last)), steps: vec![step] })
}

/// Checks of a kind that passed after the last step that changed a database.
fn proved(state: &State, wanted: &dyn Fn(&Question) -> bool) -> Option<Proof> {
    let flow = &state.shape.flow;
    let changes = |step: &Step| {
        effects(step) != Effects::Reads
            && touches_database(&step.action.value)
            && (!is_of_window(state, step) || names_database(&step.action.value))
    };
    let is_over = |step: &Step| {
        let state = state.entry(&step.id.value).map(|entry| entry.state);
        matches!(state, Some(StepState::Done | StepState::Skipped))
    };
    // As long as a change is still to come, or came to nothing, nothing is proved after the last one.
    let is_changed = flow.steps().iter().all(|step| !changes(step) || is_over(step));
    let changed_at = done(state)
        .filter(|step| changes(step))
        .filter_map(|step| state.entry(&step.id.value)?.finished_at)
        .max();
    let all = checks(state);
    let steps = done(state).filter(|step| {
        let Action::Verify(verify) = &step.action.value else { return false };
        let Some(entry) = state.entry(&step.id.value) else { return false };
        let lost = verify.checks.iter().any(|check| matches!(check.question.value, Question::Lost(_)));
        // What would be lost is counted before the swap; everything else must be proved after it.
        let late = lost || is_changed && entry.started_at >= changed_at;
        let asks = questions(state, verify).iter().any(|question| wanted(question));
        let passed = all.iter().filter(|check| check.step == step.id.value).all(|check| check.passed || lost);
        late && asks && passed
    });
    list(steps.filter(|step| flow.step(step.id.value.as_str()).is_some()))
}

/// Only a setting of the database, as a thaw is: the data stay as they were proved.
fn is_setting(statement: &str) -> bool {
    let one = statement.trim().trim_end_matches(';');
    !one.contains(';') && one.to_ascii_lowercase().starts_with("alter database ")
}

/// Whether a query looks at a table of the application. What the catalogs and Prisma's history say is no proof of the data.
fn reads_data(query: &str) -> bool {
    let is_edge = |c: char| c.is_whitespace() || matches!(c, ',' | ')' | ';');
    let mut words = query.split(is_edge).filter(|word| !word.is_empty()).map(str::to_ascii_lowercase);
    while let Some(word) = words.next() {
        if !matches!(word.trim_start_matches('('), "from" | "join") {
            continue;
        }
        let Some(table) = words.find(|word| !matches!(word.as_str(), "only" | "lateral")) else {
            return false;
        };
        let name = table.replace('"', "");
        let bare = name.strip_prefix("public.").unwrap_or(&name);
        let is_kept_by_others = bare == "_prisma_migrations"
            || ["pg_", "information_schema."].iter().any(|prefix| bare.starts_with(prefix));
        if !bare.contains('(') && !is_kept_by_others {
            return true;
        }
    }
    false
}

fn touches_database(action: &Action) -> bool {
    match action {
        Action::Restore(restore) => restore.into == action::restore::Into::InPlace,
        Action::Sql(sql) => !sql.statement.as_ref().is_some_and(|text| is_setting(&text.raw)),
        Action::Swap(_) | Action::Copy(_) => true,
        // What does not say what it changes may have changed anything.
        Action::Shell(shell) => {
            shell.changes != Some(Changes::Nothing) || shell.destructive || shell.replaces.is_some()
        }
        Action::Http(http) => {
            http.changes != Some(Changes::Nothing) || http.destructive || http.replaces.is_some()
        }
        Action::Backup(_)
        | Action::Freeze(_)
        | Action::Verify(_)
        | Action::Approve(_)
        | Action::Notify(_) => false,
    }
}

fn names_database(action: &Action) -> bool {
    let changes = match action {
        Action::Shell(shell) => &shell.changes,
        Action::Http(http) => &http.changes,
        _ => return true,
    };
    matches!(changes, Some(Changes::Database(_)))
}

/// What opens or closes a window changes who reaches the application, as long as it says nothing else.
fn is_of_window(state: &State, step: &Step) -> bool {
    let id = step.id.value.as_str();
    let name = id.strip_suffix(".open").or_else(|| id.strip_suffix(".close"));
    name.is_some_and(|name| state.shape.plan.windows.get(name).is_some())
}

fn questions<'s>(state: &'s State, verify: &'s action::Verify) -> Vec<&'s Question> {
    let named =
        verify.use_.iter().filter_map(|name| state.shape.plan.checks.get(name.value.as_str())).flatten();
    named.chain(&verify.checks).map(|check| &check.question.value).collect()
}

#[cfg(test)]
mod tests {
    use super::{is_setting, reads_data};

    #[test]
    fn a_thaw_changes_no_data() {
        assert!(is_setting(
            "ALTER DATABASE {{ databases.app.name | ident }} RESET default_transaction_read_only"
        ));
        assert!(!is_setting("ALTER DATABASE a RESET ALL; DELETE FROM users WHERE id = 7"));
        assert!(!is_setting("UPDATE users SET id = 7 WHERE id = 8"));
    }

    #[test]
    fn a_history_and_a_catalog_are_not_the_data() {
        for query in [
            "SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NULL",
            "SELECT a.x\nFROM \"_prisma_migrations\" a\nJOIN public._prisma_migrations b ON true",
            "SELECT 1 FROM pg_class WHERE relname = 'disputes'",
            "SELECT e FROM jsonb_array_elements({{ steps.a.json }} #> '{data}') e",
            "SELECT 1",
        ] {
            assert!(!reads_data(query), "{query}");
        }
        for query in [
            "SELECT count(*) FROM users",
            "SELECT (SELECT count(*) from ONLY public.users)",
            "SELECT 1 FROM _prisma_migrations m JOIN \"Escrow\" e ON true",
            "SELECT count(*) FROM {{ params.table | ident }}",
            "SELECT * FROM (SELECT id FROM users) u",
        ] {
            assert!(reads_data(query), "{query}");
        }
    }
}
