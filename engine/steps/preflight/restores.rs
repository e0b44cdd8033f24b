//! What the backup of a `restore` needs of the server that it goes to, before the run: roles, extensions, and that nothing is
//! in it that is refused on its way. Of an archive only the definitions are read, plain SQL as far as the time limit lets; the
//! step itself reads all of it again before it touches anything.

use super::concern::{Concern, Found};
use super::late::{self, Known};
use super::server::Server;
use super::uses::{Use, What};
use super::{Options, signs, statements};
use crate::plan::action::Restore;
use crate::plan::action::restore::Owners;
use crate::run::Failure;
use crate::steps::archive::{self, Manifest, Needs, Reading};
use crate::steps::restore::needs;
use crate::steps::world::World;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

pub async fn look(world: &World, options: &Options, server: &Server, uses: &[&Use]) -> Found {
    let mut found = Found::default();
    for used in uses {
        let What::Restore { action, .. } = &used.what else { continue };
        let Some(path) = backup(world, options, action).await else { continue };
        match wanted(world, options, &path).await {
            Ok((needs, whole)) => {
                told(world, server, used, (action, &path), (&needs, whole), &mut found).await
            }
            Err(failure) => found.add(Concern::of_failure(&failure).step(&used.step)),
        }
    }
    found
}

/// The backup, if it is known and nothing is wrong with its outside: that is said where archives are looked at.
async fn backup(world: &World, options: &Options, action: &Restore) -> Option<PathBuf> {
    let Known::Now(path) = late::plain(world, &action.from).await else { return None };
    let path = world.directory.join(path);
    let asked = path.clone();
    let looking = tokio::task::spawn_blocking(move || signs::look(&asked).is_ok());
    let fine = tokio::time::timeout(options.limit, looking).await;
    matches!(fine, Ok(Ok(true))).then_some(path)
}

/// What it needs, and whether that is all of it.
async fn wanted(world: &World, options: &Options, path: &Path) -> Result<(Needs, bool), Failure> {
    match Manifest::read(path)?.and_then(|manifest| manifest.needs) {
        Some(needs) => Ok((needs, true)),
        None => {
            let reading = Reading::new(&world.programs, &CancellationToken::new());
            archive::needs_of(&reading, path, options.limit).await
        }
    }
}

/// Compares it with what the server has.
async fn told(
    world: &World,
    server: &Server,
    used: &Use,
    (action, path): (&Restore, &Path),
    (needs, whole): (&Needs, bool),
    found: &mut Found,
) {
    let what = "what the backup needs";
    let lacking = needs::lacking(&server.catalog, server.identity.major(), &action.owners, needs);
    let Some(lacks) = server.ask(what, lacking, found).await else { return };
    if !lacks.is_empty() {
        let (what, help) = needs::words(&lacks);
        let message = format!("{} cannot be restored: {what}", path.display());
        let concern = match statements::maker_before(world, used) {
            Some(maker) => Concern::warning("backup_needs", format!("{message}, unless {maker} sees to it")),
            None => Concern::error("backup_needs", message),
        };
        found.add(concern.step(&used.step).help(help));
    } else if whole {
        let roles = match action.owners {
            Owners::Skip => "its owners are skipped".to_owned(),
            Owners::Keep | Owners::Map(_) => count(needs.roles.len(), "role"),
        };
        let extensions = count(needs.extensions.len(), "extension");
        let text = format!("what {} names is there: {roles}, {extensions}", path.display());
        found.fact(&used.step, text);
    }
    if !whole {
        let text = format!(
            "{} is long: what its end needs is not checkable before the step reads it whole",
            path.display()
        );
        found.fact(&used.step, text);
    }
}

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}
