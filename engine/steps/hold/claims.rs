//! The claim on a target: set at the first effect, proved before each, removed at the end, raised by who takes the run over.
//! Must never replace a claim that is neither this run's nor brought along by the data of a replaced server.

use super::super::failures::failure_of;
use super::super::targets::{Target, Targets, application_name};
use super::super::world::World;
use super::words::in_the_way;
use super::{EARLIER, Hold, Holder, Refused};
use crate::clock;
use crate::postgres::claim::{self, Written};
use crate::postgres::{self, Claim, Connection, Kind, Settings};
use crate::run::Failure;
use std::sync::Arc;
use std::time::Duration;

impl Targets {
    /// Before an effect on a target: the lock is still ours, and our claim stands on it.
    ///
    /// # Errors
    /// The lock is lost, somebody else claims the target, or the server cannot be asked.
    pub async fn claim(&self, world: &World, target: &Target) -> Result<Arc<Hold>, Failure> {
        let hold = self.hold(world, &target.name).await?;
        let claiming = hold.claiming.lock().await;
        if hold.claimed().is_none() {
            let json = self.stake(world, &target.name, &hold).await?;
            *hold.claimed() = Some(json);
        }
        drop(claiming);
        hold.check().await?;
        Ok(hold)
    }

    /// Every target that is held, once, however many names the plan has for it.
    pub async fn held(&self) -> Vec<Arc<Hold>> {
        let mut held: Vec<Arc<Hold>> = Vec::new();
        for hold in self.holds.lock().await.values() {
            if !held.iter().any(|known| Arc::ptr_eq(known, hold)) {
                held.push(hold.clone());
            }
        }
        held
    }

    /// Proves that every target that is held is ours still; to be asked before an effect outside of them.
    ///
    /// # Errors
    /// A lock is lost, or a claim is gone or another's.
    pub async fn prove(&self) -> Result<(), Failure> {
        for hold in self.held().await {
            hold.check().await?;
        }
        Ok(())
    }

    /// Puts our claim there, unless it stands there already; the claim as it stands.
    async fn stake(&self, world: &World, name: &str, hold: &Hold) -> Result<String, Failure> {
        let database = hold.lock.target();
        let failed = |error: postgres::Error| failure_of(&error);
        let connection =
            Connection::connect(hold.lock.session().settings(), &application_name(world, "claim"))
                .await
                .map_err(failed)?;
        let run = world.run.as_str();
        let standing = claim::read(&connection, database).await.map_err(failed)?;
        if !standing.as_ref().is_some_and(|claim| self.is_this(world, claim)) {
            let mark = self.mark(world);
            let free = standing
                .as_ref()
                .is_none_or(|claim| self.is_earlier(world, claim) || self.came_with(name, claim));
            let other = match free {
                true => {
                    let held = hold.lock.check_sql();
                    match claim::write(&connection, database, standing.as_ref(), &mark, &held)
                        .await
                        .map_err(failed)?
                    {
                        Written::At(_) => None,
                        Written::Other(other) => Some(other),
                    }
                }
                false => Some(standing),
            };
            if let Some(other) = other {
                let holder = other.map(|claim| in_the_way(&claim, database, connection.endpoint(), run));
                return Err(holder.map_or_else(
                    || Failure::new("runplan::target::lost", format!("the claim on {database} was removed")),
                    |holder| Refused::Held(holder).into(),
                ));
            }
        }
        let json = claim::standing(&connection, database).await.map_err(failed)?;
        json.ok_or_else(|| {
            Failure::new("runplan::target::lost", format!("the claim on {database} was removed")).permanent()
        })
    }

    fn mark(&self, world: &World) -> Claim {
        Claim {
            run: world.run.as_str().to_owned(),
            operator: world.operator.name.clone(),
            host: world.operator.host.clone(),
            since: self.since.clone().unwrap_or_else(|| clock::now().to_string()),
            epoch: self.epoch,
            doing: None,
            uid: Some(world.operator.uid),
            state: Some(world.root().display().to_string()),
        }
    }

    /// The run is over: the claims are removed and the locks let go.
    pub async fn release(&self, world: &World) -> Vec<String> {
        let mut problems = Vec::new();
        // No step has asked for it since: a backup may have brought an earlier claim of ours along.
        for name in self.all_gone() {
            if let Err(refused) = self.hold(world, &name).await {
                problems.push(format!("whether {name} still has a claim of the run is not known: {refused}"));
            }
            self.found(&name);
        }
        for (name, hold) in self.holds.lock().await.drain() {
            if let Err(why) = self.unclaim(world, &hold).await {
                problems.push(format!("the claim on {name} could not be removed: {why}"));
            }
            if let Ok(hold) = Arc::try_unwrap(hold) {
                let _ = hold.lock.release().await;
            }
        }
        problems
    }

    async fn unclaim(&self, world: &World, hold: &Hold) -> Result<(), String> {
        let words = |error: postgres::Error| error.message().to_owned();
        let database = hold.lock.target();
        let connection =
            Connection::connect(hold.lock.session().settings(), &application_name(world, "claim"))
                .await
                .map_err(words)?;
        match claim::read(&connection, database).await.map_err(words)? {
            Some(claim) if self.is_this(world, &claim) || self.is_earlier(world, &claim) => {
                match claim::clear(&connection, database, &claim).await.map_err(words)? {
                    true => Ok(()),
                    false => Err("another one stands there now".to_owned()),
                }
            }
            _ => Ok(()),
        }
    }

    /// A run that was moved here claims its targets at once: whoever goes on with it elsewhere is stopped before the next
    /// effect, and what it still has on the server is ended. The lock may be the other machine's: the epoch is what fences it.
    pub async fn take_over(
        &self,
        world: &World,
        name: &str,
        live: &Settings,
        must_stand: bool,
    ) -> Result<(), Refused> {
        let connection = self.at_place(name, live, &application_name(world, "takeover")).await?;
        let standing = claim::read(&connection, live.database()).await?;
        if standing.as_ref().is_some_and(|claim| self.is_this(world, claim)) {
            return Ok(());
        }
        let held = |claim: &Claim| Refused::Held(self.in_the_way(world, claim, live));
        match &standing {
            None if must_stand => return Err(Refused::Unclaimed(name.to_owned())),
            Some(claim) if !self.is_earlier(world, claim) && !self.came_with(name, claim) => {
                return Err(held(claim));
            }
            _ => {}
        }
        let ours = self.mark(world);
        let written = claim::write(&connection, live.database(), standing.as_ref(), &ours, "true").await?;
        if let Written::Other(Some(claim)) = written {
            return Err(held(&claim));
        }
        self.end_sessions(world, &connection).await?;
        Ok(())
    }

    /// This very process's, or an earlier one's in its place.
    pub fn is_this(&self, world: &World, claim: &Claim) -> bool {
        let same = self.since.as_ref().is_none_or(|since| *since == claim.since);
        claim.run == world.run.as_str() && claim.epoch == self.epoch && same
    }

    /// This run's, from before it was moved here.
    pub fn is_earlier(&self, world: &World, claim: &Claim) -> bool {
        claim.run == world.run.as_str() && claim.epoch < self.epoch
    }

    /// The data of a replaced server brought it along: while ours stood on the old one, nobody else could claim it.
    pub fn came_with(&self, name: &str, claim: &Claim) -> bool {
        let since = claim.since.parse::<clock::Timestamp>().ok();
        self.gone(name).zip(since).is_some_and(|(gone, since)| since < gone.since)
    }

    pub fn in_the_way(&self, world: &World, claim: &Claim, live: &Settings) -> Holder {
        in_the_way(claim, live.database(), &live.endpoint(), world.run.as_str())
    }

    /// Every session of this run on the server but the one that asks, and their end.
    async fn end_sessions(&self, world: &World, connection: &Connection) -> Result<(), postgres::Error> {
        let ours: String = format!("runplan:{}:", world.run).chars().take(63).collect();
        let those = format!(
            "FROM pg_catalog.pg_stat_activity WHERE pg_catalog.starts_with(application_name, {}) \
             AND usename OPERATOR(pg_catalog.=) current_user AND pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()",
            postgres::escape_literal(&ours)
        );
        let watch = clock::Stopwatch::start();
        loop {
            connection.execute(&format!("SELECT pg_catalog.pg_terminate_backend(pid) {those}")).await?;
            if connection.one(&format!("SELECT count(*) {those}")).await? == "0" {
                return Ok(());
            }
            if watch.elapsed() > EARLIER {
                let message = "sessions of the run from the other machine do not end";
                let help = format!("see them: SELECT * {those}");
                return Err(postgres::Error::new(Kind::LockLost, message, help));
            }
            clock::sleep(Duration::from_millis(50)).await;
        }
    }
}
