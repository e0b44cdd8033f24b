//! What stands in the live database that a restore in place leaves, takes along or trips over. The step looks once more
//! before it begins; this is for whoever decides whether it should.

use super::backups::Backups;
use super::concern::{Concern, Found};
use super::late::{self, Known};
use super::server::Server;
use super::uses::{Use, What};
use super::{statements, steps_that};
use crate::sql::dump::Made;
use crate::sql::parts_of;
use crate::steps::archive::Needs;
use crate::steps::restore::standing;
use crate::steps::world::World;

pub async fn look(world: &World, backups: &Backups, server: &Server, uses: &[&Use]) -> Found {
    let mut found = Found::default();
    for used in steps_that(uses, |what| matches!(what, What::Restore { in_place: true, .. })) {
        let What::Restore { action, .. } = &used.what else { continue };
        if let Known::After(step) = late::plain(world, &action.from).await {
            found.fact(&used.step, format!("what it replaces: not checkable before {step}"));
        }
        let Some((_, backup)) = backups.whole(world, &action.from).await else { continue };
        match backup.needs.clone() {
            Some(mut needs) if needs.made.is_some() => {
                let schemas = backup.tables.keys().filter_map(|key| parts_of(key).0);
                needs.made.iter_mut().for_each(|made| made.schemas.extend(schemas.clone()));
                one(world, server, used, &needs, &mut found).await;
            }
            _ => found
                .fact(&used.step, "what it replaces: not checkable before the step reads the backup whole"),
        }
    }
    found
}

async fn one(world: &World, server: &Server, used: &Use, needs: &Needs, found: &mut Found) {
    let nothing = Made::default();
    let made = needs.made.as_ref().unwrap_or(&nothing);
    let looking = standing::look(&server.catalog, made, &needs.extensions);
    let standing = match tokio::time::timeout(server.limit, looking).await {
        Ok(Ok(standing)) => standing,
        Ok(Err(stop)) => {
            let message =
                format!("{}: what a restore in place meets cannot be told: {}", server.name, stop.message());
            found.add(Concern::warning("not_answered", message).step(&used.step));
            return;
        }
        Err(_) => {
            let message = format!("{}: what a restore in place meets was not told in time", server.name);
            found.add(Concern::warning("not_answered", message).step(&used.step));
            return;
        }
    };
    for (why, help) in &standing.blocks {
        let message = format!("{}: {why}", server.name);
        // A step before may clear it away; the step itself looks again.
        let concern = match statements::maker_before(world, used) {
            Some(maker) => {
                Concern::warning("in_place_blocked", format!("{message}, unless {maker} sees to it"))
            }
            None => Concern::error("in_place_blocked", message),
        };
        found.add(concern.step(&used.step).help(help));
    }
    for warning in standing.warnings() {
        let message = format!("{}: {warning}", server.name);
        found.add(
            Concern::warning("not_replaced", message)
                .step(&used.step)
                .help("a restore beside and a swap put the whole database in the other's place"),
        );
    }
}
