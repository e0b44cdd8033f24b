//! What the backup of a `restore` needs of the server that it goes to, before the run: roles, tablespaces and extensions.

use super::backups::Backups;
use super::concern::{Concern, Found};
use super::server::Server;
use super::statements;
use super::uses::{Use, What};
use crate::plan::action::Restore;
use crate::plan::action::restore::Owners;
use crate::steps::archive::Needs;
use crate::steps::restore::needs;
use crate::steps::world::World;
use std::path::Path;

pub async fn look(world: &World, backups: &Backups, server: &Server, uses: &[&Use]) -> Found {
    let mut found = Found::default();
    for used in uses {
        let What::Restore { action, .. } = &used.what else { continue };
        let Some((path, backup)) = backups.whole(world, &action.from).await else { continue };
        let Some(needs) = &backup.needs else { continue };
        told(world, server, used, (action, &path), needs, &mut found).await;
    }
    found
}

/// Compares it with what the server has.
async fn told(
    world: &World,
    server: &Server,
    used: &Use,
    (action, path): (&Restore, &Path),
    needs: &Needs,
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
    } else {
        let roles = match action.owners {
            Owners::Skip => "its owners are skipped".to_owned(),
            Owners::Keep | Owners::Map(_) => count(needs.roles.len(), "role"),
        };
        let extensions = count(needs.extensions.len(), "extension");
        let tablespaces = match needs.tablespaces.len() {
            0 => String::new(),
            number => format!(", {}", count(number, "tablespace")),
        };
        let text = format!("what {} names is there: {roles}, {extensions}{tablespaces}", path.display());
        found.fact(&used.step, text);
    }
}

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}
