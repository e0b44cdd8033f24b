//! Which backups may go. The last good one of a database never does, and it is proved good by its bytes before an older one
//! goes.

use super::{Leaving, Leftover, Runs, Standing, Verdict, changed, is_past};
use crate::run::Failure;
use crate::steps::archive::{Manifest, Shelved, Sort, blocking, shelf};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// Judges what is in directories of backups. Reads the newest backups whole, as far as something older could go.
///
/// # Errors
/// A directory cannot be read.
pub async fn judge(
    directories: impl IntoIterator<Item = impl AsRef<Path>>,
    runs: &Runs,
    now: Timestamp,
) -> Result<Vec<Leftover>, Failure> {
    let mut found = Vec::new();
    for directory in directories {
        found.extend(shelf(directory.as_ref())?);
    }
    let mut judged = Vec::new();
    let mut groups: BTreeMap<String, Vec<(Shelved, Manifest)>> = BTreeMap::new();
    for shelved in found {
        match shelved.sort.clone() {
            Sort::Backup { manifest: Some(manifest), .. } => {
                groups.entry(group(&manifest)).or_default().push((shelved, *manifest));
            }
            // Not made here: not ours to remove.
            Sort::Backup { manifest: None, .. } => {}
            Sort::Unfinished => judged.push(unfinished(&shelved, runs)),
            Sort::Broken(failure) => {
                let keep = Verdict::Keep(format!("it cannot be judged: {}", failure.message));
                judged.push(leftover(&shelved, Leaving::Backup { sha256: String::new() }, None, keep));
            }
        }
    }
    for group in groups.into_values() {
        judged.extend(of_one_database(group, runs, now).await);
    }
    judged.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(judged)
}

/// Backups of the same database and of the same parts of it.
fn group(manifest: &Manifest) -> String {
    let scope = serde_json::to_string(&manifest.scope).unwrap_or_default();
    format!("{}\n{}\n{scope}", manifest.server.system_identifier, manifest.server.database)
}

fn leftover(shelved: &Shelved, sort: Leaving, run: Option<String>, verdict: Verdict) -> Leftover {
    Leftover { sort, name: shelved.path.display().to_string(), run, bytes: shelved.bytes, verdict }
}

async fn of_one_database(mut group: Vec<(Shelved, Manifest)>, runs: &Runs, now: Timestamp) -> Vec<Leftover> {
    let at = |manifest: &Manifest| manifest.taken_at.parse::<Timestamp>().ok();
    group.sort_by_key(|(_, manifest)| std::cmp::Reverse(at(manifest)));
    // Where nothing can go nothing is read.
    let mut wanted = group.iter().any(|(shelved, manifest)| allowed(shelved, manifest, runs, now).is_ok());
    let mut good = None;
    let mut judged = Vec::new();
    for (shelved, manifest) in group {
        let mut damage = None;
        if wanted && good.is_none() {
            let (path, proved) = (shelved.path.clone(), manifest.clone());
            match blocking(move || proved.prove(&path, &|_| true)).await {
                Ok(()) => good = Some(shelved.path.display().to_string()),
                Err(failure) => damage = Some(failure.message),
            }
            wanted = good.is_none();
        }
        let path = shelved.path.display().to_string();
        let verdict = match (allowed(&shelved, &manifest, runs, now), &good) {
            (Err(why), _) => Verdict::Keep(why),
            (Ok(_), Some(good)) if *good == path => {
                Verdict::Keep(format!("the last good backup of {}", manifest.server.database))
            }
            (Ok(why), Some(_)) => Verdict::Remove { why, last_copy: false },
            (Ok(_), None) => Verdict::Keep(format!(
                "no good backup of {} is younger; that this one is damaged too is for somebody to see ({})",
                manifest.server.database,
                damage.unwrap_or_default()
            )),
        };
        let sort = Leaving::Backup { sha256: manifest.sha256.clone() };
        judged.push(leftover(&shelved, sort, Some(manifest.run.clone()), verdict));
    }
    judged
}

/// Whether it may go for all that is known of it alone, and why; or why not.
fn allowed(shelved: &Shelved, manifest: &Manifest, runs: &Runs, now: Timestamp) -> Result<String, String> {
    let Some(until) = &manifest.kept_until else {
        return Err("its step gave no `keep`: it stays until somebody removes it".to_owned());
    };
    if !is_past(until, now) {
        return Err(format!("kept until {until}"));
    }
    if let Some(run) = runs.needing(&shelved.path) {
        return Err(format!("the run {run}, which is not over, names it"));
    }
    if runs.known.get(&manifest.run) == Some(&Standing::Open) {
        return Err(format!("its run {} is not over", manifest.run));
    }
    Ok(format!("it was kept until {until}"))
}

/// `NAME_TIME_TAIL.partial`: of a run that is over nobody goes on with it.
fn unfinished(shelved: &Shelved, runs: &Runs) -> Leftover {
    let name = shelved.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let of = runs.known.iter().find(|(run, _)| {
        let tail = run.rsplit('-').next().unwrap_or(run);
        name.split('.')
            .next()
            .is_some_and(|stem| stem.ends_with(&format!("Z_{tail}")) || stem.contains(&format!("Z_{tail}_")))
    });
    let verdict = match of {
        Some((run, Standing::Over)) => {
            Verdict::Remove { why: format!("its run {run} is over"), last_copy: false }
        }
        Some((run, Standing::Open)) => Verdict::Keep(format!("its run {run} is not over")),
        None => Verdict::Keep("no run of this state directory made it".to_owned()),
    };
    leftover(shelved, Leaving::Unfinished, of.map(|(run, _)| run.clone()), verdict)
}

/// Removes a backup that `judge` let go, if it is still that one. False: somebody else removed it meanwhile.
///
/// # Errors
/// It has changed, or cannot be removed.
pub async fn remove(leftover: &Leftover) -> Result<bool, Failure> {
    let (path, sort) = (std::path::PathBuf::from(&leftover.name), leftover.sort.clone());
    blocking(move || remove_file(&path, &sort)).await
}

fn remove_file(path: &Path, sort: &Leaving) -> Result<bool, Failure> {
    let is_gone = || std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    let stuck = |error: std::io::Error| {
        Failure::new("runplan::prune::remove", format!("{}: {error}", path.display()))
            .help("look at the permissions of its directory")
    };
    match sort {
        Leaving::Unfinished if is_gone() => return Ok(false),
        Leaving::Unfinished => crate::steps::backup::delete(path).map_err(stuck)?,
        Leaving::Backup { sha256 } => {
            // Before the backup is looked at: whoever removes both takes it last.
            let now = Manifest::read(path)?;
            if is_gone() {
                return Ok(false);
            }
            if now.is_none_or(|now| now.sha256 != *sha256) {
                return Err(changed(path.display(), "it is another backup than a moment ago"));
            }
            // From the rename on it is no backup any more, also when this is interrupted.
            let grave = crate::steps::backup::with(path, ".partial");
            match std::fs::rename(path, &grave) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                renamed => renamed.map_err(stuck)?,
            }
            crate::steps::backup::delete(&grave).map_err(stuck)?;
            crate::steps::backup::delete(&Manifest::path(path)).map_err(stuck)?;
        }
        Leaving::Database { .. } => return Err(changed(path.display(), "it is no file")),
    }
    Ok(true)
}
