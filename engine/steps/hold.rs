//! Who holds the databases of a run. One run for a target: the lock lives as long as the process, the claim from the first
//! effect to the end of the run, parked included. Both are proved before every effect. Must never take a target from
//! another run, nor from this one where it goes on at a higher epoch.

mod claims;
mod locks;
mod words;

use super::failures::failure_of;
use super::targets::Targets;
use super::world::World;
use crate::postgres::claim;
use crate::postgres::{self, Claim, Connection, TargetLock};
use crate::run::Failure;
use locks::Taken;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use words::in_the_way;

/// How long an earlier process's session may take to go.
const EARLIER: Duration = Duration::from_secs(20);
/// The lock on a target, and the claim.
pub struct Hold {
    pub lock: TargetLock,
    /// The epoch of our claim.
    pub epoch: u64,
    /// The server's system identifier: what tells it from every other.
    pub server: String,
    /// Whether a claim stood there when the lock was had: ours, or one that ours may replace.
    was_claimed: bool,
    run: String,
    /// Our claim as it stands, from the first effect on.
    claim: Mutex<Option<String>>,
    claiming: tokio::sync::Mutex<()>,
}

/// Somebody else has the target.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    #[error("{}", .0.message)]
    Held(Holder),
    #[error("{}", .0.message)]
    Failed(Failure),
    #[error("no run's mark stands on {0}")]
    Unclaimed(String),
}

/// Who has it, and how to go on.
#[derive(Debug, Clone)]
pub struct Holder {
    pub message: String,
    pub help: String,
    /// The run that has it, when it said so.
    pub run: Option<String>,
}

impl From<postgres::Error> for Refused {
    fn from(error: postgres::Error) -> Self {
        Self::Failed(failure_of(&error))
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Held(holder) => {
                Self::new("runplan::target::held", holder.message).help(holder.help).permanent()
            }
            Refused::Failed(failure) => failure,
            Refused::Unclaimed(_) => Self::new("runplan::target::lost", refused.to_string()).permanent(),
        }
    }
}

impl Hold {
    /// A boolean SQL expression, true while the lock is held and our claim stands, that any session of any role on the server
    /// can evaluate. To be asked in every transaction that changes the target, last before its COMMIT.
    pub fn check_sql(&self) -> String {
        let lock = self.lock.check_sql();
        match &*self.claimed() {
            Some(json) => format!("({lock} AND {})", claim::check_sql(self.lock.target(), json)),
            None => lock,
        }
    }

    /// Proves that the target is ours still; to be asked before every effect on it.
    ///
    /// # Errors
    /// The lock is lost, or the claim is gone or another's. What is to be done now is in the help.
    pub async fn check(&self) -> Result<(), Failure> {
        match self.lock.ask(&self.check_sql()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.lost().await),
            Err(error) => Err(self.without_session(&error).await),
        }
    }

    /// The session that held the lock is gone: whoever took the run over ends it, and then says more than that.
    async fn without_session(&self, error: &postgres::Error) -> Failure {
        let asked = async {
            let settings = self.lock.session().settings();
            let connection =
                Connection::connect(settings, &format!("runplan:{}:lost", self.run)).await.ok()?;
            let claim = claim::read(&connection, self.lock.target()).await.ok()??;
            let is_other = claim.run != self.run || claim.epoch > self.epoch;
            is_other.then(|| self.taken_over(&claim))
        };
        let taken_over = tokio::time::timeout(EARLIER, asked).await.ok().flatten();
        taken_over.unwrap_or_else(|| failure_of(error).permanent())
    }

    fn taken_over(&self, claim: &Claim) -> Failure {
        let holder = in_the_way(claim, self.lock.target(), self.lock.session().endpoint(), &self.run);
        Failure::new("runplan::target::taken_over", holder.message).help(holder.help).permanent()
    }

    /// Why the check is not true any more.
    pub async fn lost(&self) -> Failure {
        let database = self.lock.target();
        if let Err(error) = self.lock.check().await {
            return self.without_session(&error).await;
        }
        let standing = claim::read(self.lock.session(), database).await;
        let (why, help) = match standing {
            Ok(Some(claim)) => return self.taken_over(&claim),
            Ok(None) => (
                format!("the claim on {database} was removed"),
                format!(
                    "see who removed it and what became of the database; `runplan resume {} --reclaim REASON` claims it anew",
                    self.run
                ),
            ),
            Err(error) => (
                format!("whose {database} is cannot be read: {}", error.message()),
                "`runplan resume` asks again".to_owned(),
            ),
        };
        Failure::new("runplan::target::lost", why).help(help).permanent()
    }

    fn claimed(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Targets {
    /// Takes the lock of a target for this process, and looks whether another run claims it.
    ///
    /// # Errors
    /// Somebody else holds it, or the server cannot be asked.
    pub async fn hold(&self, world: &World, name: &str) -> Result<Arc<Hold>, Refused> {
        self.hold_one(world, name, false).await
    }

    /// As `hold`, of a target on which a claim must stand: else nothing is taken, and nothing written.
    ///
    /// # Errors
    /// As `hold`; `Unclaimed`.
    pub async fn hold_claimed(&self, world: &World, name: &str) -> Result<Arc<Hold>, Refused> {
        self.hold_one(world, name, true).await
    }

    async fn hold_one(&self, world: &World, name: &str, must_stand: bool) -> Result<Arc<Hold>, Refused> {
        let mut holds = self.holds.lock().await;
        let unclaimed = || Refused::Unclaimed(name.to_owned());
        if let Some(hold) = holds.get(name) {
            return if must_stand && !hold.was_claimed { Err(unclaimed()) } else { Ok(hold.clone()) };
        }
        let live = self.settings(world, name).await.map_err(Refused::Failed)?;
        if self.epoch > 1 {
            self.take_over(world, name, &live, must_stand).await?;
        }
        let own: Vec<Arc<Hold>> =
            holds.values().filter(|hold| hold.lock.target() == live.database()).cloned().collect();
        let lock = match self.take_lock(world, name, &live, &own).await? {
            Taken::Now(lock) => lock,
            // Two names of the plan for one database.
            Taken::Before(hold) if must_stand && !hold.was_claimed => return Err(unclaimed()),
            Taken::Before(hold) => {
                holds.insert(name.to_owned(), hold.clone());
                return Ok(hold);
            }
        };
        let server =
            lock.session().one("SELECT system_identifier FROM pg_catalog.pg_control_system()").await?;
        let standing = claim::read(lock.session(), live.database()).await?;
        match &standing {
            None if must_stand => return Err(unclaimed()),
            Some(claim)
                if !self.is_this(world, claim)
                    && !self.is_earlier(world, claim)
                    && !self.came_with(name, claim) =>
            {
                return Err(Refused::Held(self.in_the_way(world, claim, &live)));
            }
            _ => {}
        }
        let hold = Arc::new(Hold {
            lock,
            epoch: self.epoch,
            server,
            was_claimed: standing.is_some(),
            run: world.run.as_str().to_owned(),
            claim: Mutex::default(),
            claiming: tokio::sync::Mutex::default(),
        });
        holds.insert(name.to_owned(), hold.clone());
        Ok(hold)
    }
}
