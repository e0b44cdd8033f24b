//! What a program or a request says that it changes: a database it names is claimed before.

use super::attempt::Attempt;
use crate::plan::{Changes, Text};
use crate::run::Failure;

/// Claims the database that is about to be changed, if one is named.
///
/// # Errors
/// Somebody else holds it, or it cannot be reached.
pub async fn claim(attempt: &Attempt, changes: Option<&Changes>) -> Result<(), Failure> {
    let Some(Changes::Database(name)) = changes else { return Ok(()) };
    let world = &attempt.world;
    let target = world.targets.find(world, &Text::made(name.value.as_str())).await?;
    world.targets.claim(world, &target).await.map(drop)
}
