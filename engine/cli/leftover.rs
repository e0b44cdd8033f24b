//! What a killed rehearsal left behind: its server, its backups, a run that is never over. Must never touch a rehearsal that
//! somebody holds, nor anything of a real run.

use super::error::Error;
use super::rehearse;
use crate::plan::RunId;
use crate::postgres;
use crate::store::Store;
use std::path::{Path, PathBuf};

/// Below a run's directory: what a rehearsal keeps while it goes on.
const PLACE: &str = "rehearsal";

pub fn place(run: &Path) -> PathBuf {
    run.join(PLACE)
}

/// Removes it, and says what there was.
///
/// # Errors
/// The runs cannot be listed.
pub fn clean(store: &Store) -> Result<Vec<String>, Error> {
    let mut said: Vec<String> = Vec::new();
    let servers = postgres::sweep().len();
    if servers > 0 {
        said.push(format!(
            "removed {}",
            crate::report::amount::count(servers, "throw-away server") + " of a killed program"
        ));
    }
    for brief in store.list()? {
        let place = place(&store.directory(&brief.run));
        let is_open = brief.summary.as_ref().is_some_and(|one| one.rehearsal && one.finished.is_none());
        if !is_open && !place.is_dir() {
            continue;
        }
        // Somebody else's while its process lives.
        let Ok(held) = store.take(&brief.run) else { continue };
        let removed = place.is_dir() && std::fs::remove_dir_all(&place).is_ok();
        let ended = is_open && rehearse::end(&held, store, &brief.run).is_ok();
        drop(held);
        said.extend(one(&brief.run, removed, ended));
    }
    Ok(said)
}

fn one(run: &RunId, removed: bool, ended: bool) -> Option<String> {
    match (removed, ended) {
        (true, _) => Some(format!("rehearsal {run} was killed: its backups are removed, it is over")),
        (false, true) => Some(format!("rehearsal {run} was killed: it is over")),
        (false, false) => None,
    }
}
