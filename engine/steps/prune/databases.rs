//! Which databases of a server may go: old ones after their time, side databases of runs that are over. A database is ours
//! when its comment names a run of this state directory and its own OID. Must never end anybody's session: what is in use
//! stays.

use super::{Leaving, Leftover, Runs, Standing, Verdict, changed, is_past};
use crate::plan::Text;
use crate::postgres::{Acquired, Connection, Kind, Settings, TargetLock, claim, escape_identifier, identity};
use crate::run::Failure;
use crate::steps::archive::{Manifest, blocking};
use crate::steps::database::Database;
use crate::steps::failures::failure_of;
use crate::steps::mark::{self, Mark};
use crate::steps::world::World;
use jiff::Timestamp;

/// A server that was asked.
pub struct Asked {
    /// Tells servers apart: two addresses may lead to one.
    pub server: String,
    pub endpoint: String,
    pub found: Vec<Leftover>,
    /// How to get in again, to remove.
    maintenance: Settings,
}

/// Asks the server of a database of a run's plan what runs left on it.
///
/// # Errors
/// It cannot be reached or asked.
pub async fn ask(world: &World, name: &str, runs: &Runs, now: Timestamp) -> Result<Asked, Failure> {
    let named = Text::made(name);
    let target = world.targets.find(world, &named).await?;
    let failed = |error: crate::postgres::Error| failure_of(&error);
    let server = Connection::connect(&target.maintenance, "runplan:prune").await.map_err(failed)?;
    let identity = identity::read(&server).await.map_err(failed)?;
    let mut found = Vec::new();
    for (database, mark) in marked(&server).await.map_err(failed)? {
        let claimed = match claim::read(&server, &mark.of).await {
            Ok(claim) => Ok(claim.map(|claim| claim.run)),
            Err(error) if error.kind() == Kind::NoDatabase => Err(format!(
                "{} itself is not there, and may be under another name for a moment; if it is gone for good, DROP DATABASE {}",
                mark.of,
                escape_identifier(&database.name)
            )),
            Err(error) if error.kind() == Kind::Shape => Err(error.to_string()),
            Err(error) => return Err(failed(error)),
        };
        let verdict = judge(&database, &mark, claimed, runs, now).await;
        let sort = Leaving::Database {
            oid: database.oid,
            of: mark.of.clone(),
            endpoint: server.endpoint().to_owned(),
            old: mark.kind == mark::Kind::Old,
        };
        found.push(Leftover {
            sort,
            name: database.name,
            run: Some(mark.run),
            bytes: database.size,
            verdict,
        });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    let endpoint = server.endpoint().to_owned();
    Ok(Asked { server: identity.system_identifier, endpoint, found, maintenance: target.maintenance })
}

/// The databases whose comment is a mark.
async fn marked(server: &Connection) -> Result<Vec<(Database, Mark)>, crate::postgres::Error> {
    let names = server
        .last(
            "SELECT oid FROM pg_catalog.pg_database WHERE pg_catalog.starts_with(\
             pg_catalog.shobj_description(oid, 'pg_database'), '{\"runplan\"') ORDER BY datname",
        )
        .await?;
    let mut found = Vec::new();
    for row in names.rows {
        let oid = row.into_iter().next().flatten().and_then(|oid| oid.parse().ok());
        let Some(oid) = oid else { continue };
        let Some(database) = Database::by_oid(server, oid).await? else { continue };
        if let Some(mark) = database.mark() {
            found.push((database, mark));
        }
    }
    Ok(found)
}

async fn judge(
    database: &Database,
    mark: &Mark,
    claimed: Result<Option<String>, String>,
    runs: &Runs,
    now: Timestamp,
) -> Verdict {
    let keep = |why: String| Verdict::Keep(why);
    if mark.oid != Some(database.oid) {
        return keep("its comment was written for another database".to_owned());
    }
    match runs.known.get(&mark.run) {
        None => return keep(format!("no run of this state directory made it, but {}", mark.run)),
        Some(Standing::Open) => return keep(format!("its run {} is not over", mark.run)),
        Some(Standing::Over) => {}
    }
    // Its run goes on after all, from somewhere else.
    match claimed {
        Ok(claimed) if claimed.as_ref() == Some(&mark.run) => {
            return keep(format!("{} is in the middle of its run {}", mark.of, mark.run));
        }
        Ok(_) => {}
        Err(why) => return keep(why),
    }
    match mark.kind {
        mark::Kind::Side => {
            Verdict::Remove { why: format!("its run {} is over", mark.run), last_copy: false }
        }
        mark::Kind::Old => match &mark.keep_until {
            None => keep("nothing says until when it is kept".to_owned()),
            Some(until) if !is_past(until, now) => keep(format!("kept until {until}")),
            Some(until) => {
                let copy = copy_of(&mark.run, runs).await;
                let why = match &copy {
                    Some(path) => format!("it was kept until {until}, and {path} holds the same"),
                    None => format!(
                        "it was kept until {until}; writes that the swap left behind are nowhere else"
                    ),
                };
                Verdict::Remove { why, last_copy: copy.is_none() }
            }
        },
    }
}

/// A whole backup that holds what the old database holds.
async fn copy_of(run: &str, runs: &Runs) -> Option<String> {
    for path in runs.copies.get(run)? {
        let Ok(Some(manifest)) = Manifest::read(path) else { continue };
        let (proved, path) = (path.clone(), path.display().to_string());
        if manifest.run == run
            && manifest.scope.is_empty()
            && blocking(move || manifest.prove(&proved, &|_| true)).await.is_ok()
        {
            return Some(path);
        }
    }
    None
}

/// Drops a database that `ask` let go, if it is still that one, nobody changes its target, and nobody is in it.
///
/// # Errors
/// It has changed or is in use; the server refuses.
pub async fn drop_database(asked: &Asked, leftover: &Leftover) -> Result<(), Failure> {
    let Leaving::Database { oid, of, old, .. } = &leftover.sort else {
        return Err(changed(&leftover.name, "it is no database"));
    };
    let failed = |error: crate::postgres::Error| failure_of(&error);
    let settings = asked.maintenance.with_application_name("runplan:prune");
    let lock = match TargetLock::acquire(&settings, of).await.map_err(failed)? {
        Acquired::Held(lock) => lock,
        Acquired::Busy { application_name, .. } => {
            return Err(changed(&leftover.name, format!("{of} is being changed by {application_name}")));
        }
    };
    let server = Connection::connect(&settings, "runplan:prune").await.map_err(failed)?;
    if identity::read(&server).await.map_err(failed)?.system_identifier != asked.server {
        return Err(changed(&leftover.name, "another server answers"));
    }
    let found = Database::by_oid(&server, *oid).await.map_err(failed)?;
    let Some(found) = found.filter(|found| found.name == leftover.name) else {
        return Err(changed(&leftover.name, "it has another name now, or is gone"));
    };
    let kind = if *old { mark::Kind::Old } else { mark::Kind::Side };
    let ours =
        |mark: &Mark| mark.kind == kind && mark.oid == Some(*oid) && Some(&mark.run) == leftover.run.as_ref();
    if !found.mark().as_ref().is_some_and(ours) {
        return Err(changed(&leftover.name, "its comment has changed"));
    }
    let claim = claim::read(&server, of).await.map_err(failed)?;
    if let Some(claim) = claim.filter(|claim| Some(&claim.run) == leftover.run.as_ref()) {
        return Err(changed(&leftover.name, format!("{of} is in the middle of run {}", claim.run)));
    }
    lock.check().await.map_err(failed)?;
    // Without FORCE: somebody who is in it has a use for it.
    let dropped = server.execute(&format!("DROP DATABASE {}", escape_identifier(&found.name))).await;
    let _ = lock.release().await;
    dropped.map(drop).map_err(|error| {
        let failure = failure_of(&error);
        let why = error.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        Failure { message: format!("{} stays: {}{why}", found.name, failure.message), ..failure }
    })
}
