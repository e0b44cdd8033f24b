//! What stands in the live database that a restore in place leaves, takes along or trips over. The step looks once more
//! before it begins; this is for whoever decides whether it should.

use super::archives::{contents, large_objects};
use super::concern::{Concern, Found};
use super::late::{self, Known};
use super::server::Server;
use super::uses::{Use, What};
use super::{Options, statements, steps_that};
use crate::run::Failure;
use crate::sql::dump::Made;
use crate::steps::archive::{self, Manifest, Needs, Reading};
use crate::steps::restore::standing;
use crate::steps::world::World;
use std::path::Path;
use tokio_util::sync::CancellationToken;

pub async fn look(world: &World, options: &Options, server: &Server, uses: &[&Use]) -> Found {
    let mut found = Found::default();
    for used in steps_that(uses, |what| matches!(what, What::Restore { in_place: true, .. })) {
        let What::Restore { action, .. } = &used.what else { continue };
        let path = match late::plain(world, &action.from).await {
            Known::Now(path) => world.directory.join(path),
            Known::After(step) => {
                found.fact(&used.step, format!("what it replaces: not checkable before {step}"));
                continue;
            }
            // Said with the backup itself.
            Known::Never(_) => continue,
        };
        match needs(world, options, &path).await {
            Ok(Some(needs)) => one(world, server, used, &needs, &mut found).await,
            Ok(None) => found
                .fact(&used.step, "what it replaces: not checkable before the step reads the backup whole"),
            // Said with the backup itself.
            Err(_) => {}
        }
    }
    found
}

/// What the backup makes, by its manifest or as fast as it can be read; None: it is too long for that.
async fn needs(world: &World, options: &Options, path: &Path) -> Result<Option<Needs>, Failure> {
    let format = archive::recognise(path)?;
    let manifest = Manifest::read(path)?;
    let tables = manifest.as_ref().map(|manifest| manifest.tables.keys().cloned().collect::<Vec<_>>());
    let mut needs = match manifest.and_then(|manifest| manifest.needs).filter(|needs| needs.made.is_some()) {
        Some(needs) => needs,
        None => {
            let reading = Reading::new(&world.programs, &CancellationToken::new());
            let (mut needs, whole) = archive::needs_of(&reading, path, options.limit).await?;
            if !whole {
                return Ok(None);
            }
            if format.is_archive()
                && let Some(made) = &mut needs.made
            {
                made.large_objects = large_objects(&contents(world, path, format).await?);
            }
            needs
        }
    };
    let Some(made) = &mut needs.made else { return Ok(None) };
    let names = tables.iter().flatten().filter_map(|name| name.split_once('.'));
    made.schemas.extend(names.map(|(schema, _)| schema.to_owned()));
    Ok(Some(needs))
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
