//! What a run leaves behind, and how each of it is removed: nothing may surprise anyone a week later.

use super::outcome::{number, text};
use crate::plan::{Action, StepId, action};
use crate::run::{Entry, State};
use jiff::Timestamp;
use serde::Serialize;

/// Something that is still there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    pub step: StepId,
    pub kind: Kind,
    /// A path or a database's name.
    pub name: String,
    pub bytes: Option<u64>,
    pub sha256: Option<String>,
    /// It is kept until then at least.
    pub until: Option<Timestamp>,
    /// The command that removes it.
    pub remove: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Backup,
    /// The database as it was before the swap.
    OldDatabase,
    /// A restored copy that was not swapped in.
    SideDatabase,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::OldDatabase => "old database",
            Self::SideDatabase => "restored copy",
        }
    }
}

/// Everything that is there of what the run's steps made: a step that could not be undone left it as well.
pub fn kept(state: &State) -> Vec<Kept> {
    // Its throw-away server is gone, and with it everything that was on it.
    if state.started.as_ref().is_some_and(|started| started.rehearsal) {
        return Vec::new();
    }
    // The copy that was swapped in is the live database now.
    let swapped: Vec<&str> = done(state)
        .filter_map(|(_, action, _)| match action {
            Action::Swap(swap) => Some(swap.with.raw.as_str()),
            _ => None,
        })
        .collect();
    let mut found = Vec::new();
    for (step, action, entry) in done(state) {
        match action {
            Action::Backup(backup) => found.extend(backup_of(step, backup, entry)),
            Action::Swap(swap) => {
                let until = after(entry, Some(swap.keep_old));
                found.extend(database(step, Kind::OldDatabase, text(&entry.outputs, "old_database"), until));
            }
            Action::Restore(restore) if restore.into == action::restore::Into::Side => {
                let reference = format!("steps.{step}.database");
                if !swapped.iter().any(|with| with.contains(&reference)) {
                    let name = text(&entry.outputs, "database");
                    found.extend(database(step, Kind::SideDatabase, name, None));
                }
            }
            _ => {}
        }
    }
    found
}

fn done(state: &State) -> impl Iterator<Item = (&StepId, &Action, &Entry)> {
    state.entries().filter(|(_, entry)| entry.state.stands()).filter_map(|(id, entry)| {
        state.shape.flow.step(id.as_str()).map(|step| (id, &step.action.value, entry))
    })
}

fn backup_of(step: &StepId, backup: &action::Backup, entry: &Entry) -> Option<Kept> {
    let path = text(&entry.outputs, "path")?;
    Some(Kept {
        step: step.clone(),
        kind: Kind::Backup,
        remove: format!("rm -r {} {}", quoted(&path), quoted(&format!("{path}.manifest.json"))),
        bytes: number(&entry.outputs, "bytes"),
        sha256: text(&entry.outputs, "sha256"),
        until: after(entry, backup.keep),
        name: path,
    })
}

fn database(step: &StepId, kind: Kind, name: Option<String>, until: Option<Timestamp>) -> Option<Kept> {
    let name = name?;
    Some(Kept {
        step: step.clone(),
        kind,
        remove: "runplan prune".to_owned(),
        bytes: None,
        sha256: None,
        until,
        name,
    })
}

/// As a shell takes it for one word, whatever is in it: the command is made to be copied.
fn quoted(text: &str) -> String {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn after(entry: &Entry, keep: Option<crate::plan::Duration>) -> Option<Timestamp> {
    entry.finished_at?.checked_add(keep?.std()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_to_be_copied_is_one_word_for_a_shell() {
        let path = "/b/it's; rm -rf ~ \"$(x)\"";
        let words = shlex::split(&format!("rm {}", quoted(path))).unwrap();
        assert_eq!(words, ["rm", path]);
        assert_eq!(quoted("/b/app_1.dump"), "/b/app_1.dump");
    }
}
