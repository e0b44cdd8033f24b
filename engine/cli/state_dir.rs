//! Where runs are kept, and which run is meant. Must never guess between two runs.

use super::command::Globals;
use super::error::Error;
use crate::plan::RunId;
use crate::run::{Phase, quoted};
use crate::store::{Brief, Store};
use std::path::{Path, PathBuf};

fn place(globals: &Globals) -> Result<PathBuf, Error> {
    match &globals.state {
        Some(path) => Ok(path.clone()),
        None => Ok(Store::default_dir(|name| std::env::var_os(name))?),
    }
}

/// How a command names the directory, when it is not the one that it takes by itself in every shell of this user: another
/// terminal may know nothing of this one's RUNPLAN_STATE.
pub fn place_of(root: &Path) -> Option<String> {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let root = whole(root);
    let elsewhere = |name: &str| std::env::var_os(name).filter(|_| name != "RUNPLAN_STATE");
    let usual = Store::default_dir(elsewhere).ok();
    let is_usual = usual.is_some_and(|usual| whole(&usual) == root);
    (!is_usual).then(|| quoted(&root.display().to_string()))
}

/// To run, or to say something to a run.
///
/// # Errors
/// It cannot be used.
pub fn open(globals: &Globals) -> Result<Store, Error> {
    Ok(Store::open(&place(globals)?)?)
}

/// To look at runs.
///
/// # Errors
/// It cannot be read.
pub fn open_to_read(globals: &Globals) -> Result<Store, Error> {
    Ok(Store::open_to_read(&place(globals)?)?)
}

/// Where no run can be seen because the state directory itself is not there, or was never one: that, in words. What is
/// on a file system that is not mounted now is not gone.
///
/// # Errors
/// There is no place for it.
pub fn absence(globals: &Globals) -> Result<Option<String>, Error> {
    let root = place(globals)?;
    let what = match (root.is_dir(), root.join("runs").is_dir()) {
        (true, true) => return Ok(None),
        (true, false) => "holds no runs and never did",
        (false, _) => "is not there",
    };
    Ok(Some(format!(
        "the state directory {} {what}; if runs were kept in it, mount it again, or say with --state or RUNPLAN_STATE where \
         they are",
        root.display()
    )))
}

/// Runs that are not over, or of which nobody can tell.
///
/// # Errors
/// They cannot be listed.
pub fn unfinished(store: &Store) -> Result<Vec<Brief>, Error> {
    let mut briefs = store.list()?;
    briefs.retain(|brief| match &brief.summary {
        Some(summary) => summary.phase != Phase::Finished,
        // A journal that cannot be read is not the journal of a run that is over; an empty one is of a run that never was.
        None => {
            store.load(&brief.run).map_or(true, |found| !found.records.is_empty() || found.damage.is_some())
        }
    });
    Ok(briefs)
}

/// The run that is meant when none is named.
pub enum Meant {
    One(RunId),
    None,
    Several(Vec<Brief>),
}

/// The run that was named, or the only one that is not over.
///
/// # Errors
/// There is no such run; the runs cannot be listed.
pub fn meant(store: &Store, named: Option<&str>) -> Result<Meant, Error> {
    if let Some(named) = named {
        return Ok(Meant::One(store.find(named)?));
    }
    let mut open = unfinished(store)?;
    let is_rehearsal = |brief: &Brief| brief.summary.as_ref().is_some_and(|summary| summary.rehearsal);
    if open.iter().any(|brief| !is_rehearsal(brief)) {
        open.retain(|brief| !is_rehearsal(brief));
    }
    Ok(match open.len() {
        0 => Meant::None,
        1 => Meant::One(open.remove(0).run),
        _ => Meant::Several(open),
    })
}

/// The run that was named, the only one that is not over, else the last one. `command`: who asks, for the help.
///
/// # Errors
/// There is no such run, none at all, or several are not over.
pub fn meant_or_last(store: &Store, named: Option<&str>, command: &str) -> Result<RunId, Error> {
    match meant(store, named)? {
        Meant::One(run) => Ok(run),
        Meant::None => {
            store.list()?.pop().map(|last| last.run).ok_or_else(|| Error::usage("there are no runs yet"))
        }
        Meant::Several(briefs) => {
            let names: Vec<&str> = briefs.iter().map(|brief| brief.run.as_str()).collect();
            let help = format!("name one: `runplan {command} RUN`; they are {}", names.join(", "));
            Err(Error::usage_with("several runs are not over", help))
        }
    }
}
