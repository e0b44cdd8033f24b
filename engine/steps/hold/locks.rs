//! The lock on a target: where it is, and how it is had. Must never end a session that is not an earlier process's of this
//! very run.

use super::super::targets::{Targets, application_name};
use super::super::world::World;
use super::words::busy;
use super::{EARLIER, Hold, Refused};
use crate::clock;
use crate::postgres::claim;
use crate::postgres::{self, Acquired, Connection, Kind, Settings, TargetLock};
use std::sync::Arc;
use std::time::Duration;

/// The locks of all targets of a server are in one place, whatever a plan calls its maintenance database: else two runs
/// would never meet. The second is for a target that is the first.
const PLACES: [&str; 2] = ["postgres", "template1"];

pub enum Taken {
    Now(TargetLock),
    Before(Arc<Hold>),
}

impl Targets {
    /// A session where the lock of a target is: a matter of the target alone. Only a role that is let into none of these places
    /// uses the maintenance database of the plan.
    ///
    /// # Errors
    /// The server cannot be reached, or lets us in nowhere.
    pub async fn at_place(
        &self,
        name: &str,
        live: &Settings,
        label: &str,
    ) -> Result<Connection, postgres::Error> {
        for place in PLACES.into_iter().filter(|place| *place != live.database()) {
            match Connection::connect(&live.with_database(place), label).await {
                Err(error) if matches!(error.kind(), Kind::NoDatabase | Kind::Access) => {}
                reached => return reached,
            }
        }
        Connection::connect(&self.maintenance(name, live).await, label).await
    }

    /// The lock of a target. A session of an earlier process of this very run may still be there: that process is dead, for
    /// this one holds the run, so its session is ended, and its end waited for.
    pub async fn take_lock(
        &self,
        world: &World,
        name: &str,
        live: &Settings,
        own: &[Arc<Hold>],
    ) -> Result<Taken, Refused> {
        let label = application_name(world, "lock");
        let database = live.database();
        let began = clock::Stopwatch::start();
        loop {
            let connection = self.at_place(name, live, &label).await?;
            let place = connection.settings().clone();
            drop(connection);
            let acquired = TargetLock::acquire(&place.with_application_name(&label), database).await?;
            let (application_name, pid, started, since, client) = match acquired {
                Acquired::Held(lock) => return Ok(Taken::Now(lock)),
                Acquired::Busy { application_name, pid, started, since, client } => {
                    (application_name, pid, started, since, client)
                }
            };
            if let Some(hold) = own
                .iter()
                .find(|hold| hold.lock.pid() == pid && hold.lock.session().backend().started == started)
            {
                return Ok(Taken::Before(hold.clone()));
            }
            let connection = Connection::connect(&place, &label).await?;
            if application_name == label && began.elapsed() < EARLIER {
                // Of this machine only: elsewhere somebody may have taken the run up. And only that very process.
                let end = format!(
                    "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
                     WHERE pid OPERATOR(pg_catalog.=) {pid} AND application_name OPERATOR(pg_catalog.=) {} \
                     AND pg_catalog.to_char(backend_start {}) OPERATOR(pg_catalog.=) {} \
                     AND client_addr IS NOT DISTINCT FROM pg_catalog.inet_client_addr()",
                    postgres::escape_literal(&label),
                    postgres::UTC,
                    postgres::escape_literal(&started)
                );
                connection.execute(&end).await?;
                clock::sleep(Duration::from_millis(50)).await;
                continue;
            }
            let claim = claim::read(&connection, database).await.ok().flatten();
            return Err(Refused::Held(busy(world, live, claim.as_ref(), &application_name, &since, &client)));
        }
    }
}
