//! Who would be locked out by a restore that skips owners and privileges, and by the swap that puts such a copy in the live
//! one's place. Told from the live database: the copy is not there yet.

use super::concern::{Concern, Found};
use super::server::Server;
use super::uses::{Use, What};
use super::{listed, steps_that};
use crate::plan::action::restore::Owners;
use crate::steps::access;

pub async fn look(server: &Server, uses: &[&Use]) -> Found {
    let mut found = Found::default();
    let skips = |what: &What| {
        matches!(what, What::Restore { in_place, action } if action.owners == Owners::Skip
            && (*in_place || matches!(action.into, crate::plan::action::restore::Into::Side)))
    };
    let restores = steps_that(uses, skips);
    let Some(restore) = restores.first() else { return found };
    let asked = async {
        let live = access::live(&server.catalog).await?;
        Ok::<_, crate::postgres::Error>(access::lost(&live, &access::without_owners(&server.catalog).await?))
    };
    let Some(lost) = server.ask("who uses it", asked, &mut found).await else { return found };
    if lost.is_empty() {
        return found;
    }
    let swap = steps_that(uses, |what| matches!(what, What::Swap)).first().copied();
    // A step that writes to the copy may grant what is missing.
    let is_granted =
        uses.iter().any(|used| used.side.is_some() && matches!(&used.what, What::Sql(sql) if !sql.read_only));
    let message = format!(
        "{}: with `owners: skip` everything belongs to {} and nobody is granted anything: {}",
        server.name,
        server.role.name,
        listed(&lost, 8)
    );
    let in_place = matches!(restore.what, What::Restore { in_place: true, .. });
    let concern = match swap {
        Some(_) if !is_granted && !in_place => Concern::error("copy_unreadable", message),
        _ => Concern::warning("copy_unreadable", message),
    };
    found.add(concern.step(swap.map_or(&restore.step, |swap| &swap.step)).help(access::HELP));
    found
}
