//! Who holds the databases of a run. One run for a target: the lock lives as long as the process, the claim from the first
//! effect to the end of the run, parked included. Both are proved before every effect. Must never take a target from
//! another run, nor from this one where it goes on at a higher epoch.

use super::failures::failure_of;
use super::targets::{Target, Targets, application_name};
use super::world::World;
use crate::clock;
use crate::postgres::claim::{self, Written};
use crate::postgres::{self, Acquired, Claim, Connection, Kind, Settings, TargetLock};
use crate::run::Failure;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long an earlier process's session may take to go.
const EARLIER: Duration = Duration::from_secs(20);
/// The locks of all targets of a server are in one place, whatever a plan calls its maintenance database: else two runs
/// would never meet. The second is for a target that is the first.
const PLACES: [&str; 2] = ["postgres", "template1"];

/// The lock on a target, and the claim.
pub struct Hold {
    pub lock: TargetLock,
    /// The epoch of our claim.
    pub epoch: u64,
    /// The server's system identifier: what tells it from every other.
    pub server: String,
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
            Err(error) => Err(failure_of(&error).permanent()),
        }
    }

    /// Why the check is not true any more.
    pub async fn lost(&self) -> Failure {
        let database = self.lock.target();
        if let Err(error) = self.lock.check().await {
            return failure_of(&error).permanent();
        }
        let standing = claim::read(self.lock.session(), database).await;
        let mut code = "runplan::target::lost";
        let (why, help) = match standing {
            Ok(Some(claim)) => {
                code = "runplan::target::taken_over";
                let holder = in_the_way(&claim, database, self.lock.session().endpoint(), &self.run);
                (holder.message, holder.help)
            }
            Ok(None) => (
                format!("the claim on {database} was removed"),
                "see who removed it; `runplan resume` claims it anew".to_owned(),
            ),
            Err(error) => (
                format!("whose {database} is cannot be read: {}", error.message()),
                "`runplan resume` asks again".to_owned(),
            ),
        };
        Failure::new(code, why).help(help).permanent()
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
        let mut holds = self.holds.lock().await;
        if let Some(hold) = holds.get(name) {
            return Ok(hold.clone());
        }
        let live = self.settings(world, name).await.map_err(Refused::Failed)?;
        if self.epoch > 1 {
            self.take_over(world, name, &live).await?;
        }
        let own: Vec<Arc<Hold>> =
            holds.values().filter(|hold| hold.lock.target() == live.database()).cloned().collect();
        let lock = match self.take_lock(world, name, &live, &own).await? {
            Taken::Now(lock) => lock,
            // Two names of the plan for one database.
            Taken::Before(hold) => {
                holds.insert(name.to_owned(), hold.clone());
                return Ok(hold);
            }
        };
        let server =
            lock.session().one("SELECT system_identifier FROM pg_catalog.pg_control_system()").await?;
        if let Some(claim) = claim::read(lock.session(), live.database()).await?
            && !self.is_this(world, &claim)
            && !self.is_earlier(world, &claim)
            && !self.came_with(name, &claim)
        {
            return Err(Refused::Held(self.in_the_way(world, &claim, &live)));
        }
        let hold = Arc::new(Hold {
            lock,
            epoch: self.epoch,
            server,
            run: world.run.as_str().to_owned(),
            claim: Mutex::default(),
            claiming: tokio::sync::Mutex::default(),
        });
        holds.insert(name.to_owned(), hold.clone());
        Ok(hold)
    }

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
    async fn take_over(&self, world: &World, name: &str, live: &Settings) -> Result<(), Refused> {
        let connection = self.at_place(name, live, &application_name(world, "takeover")).await?;
        let standing = claim::read(&connection, live.database()).await?;
        if standing.as_ref().is_some_and(|claim| self.is_this(world, claim)) {
            return Ok(());
        }
        let held = |claim: &Claim| Refused::Held(self.in_the_way(world, claim, live));
        match &standing {
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
    fn is_this(&self, world: &World, claim: &Claim) -> bool {
        let same = self.since.as_ref().is_none_or(|since| *since == claim.since);
        claim.run == world.run.as_str() && claim.epoch == self.epoch && same
    }

    /// This run's, from before it was moved here.
    fn is_earlier(&self, world: &World, claim: &Claim) -> bool {
        claim.run == world.run.as_str() && claim.epoch < self.epoch
    }

    /// The data of a replaced server brought it along: while ours stood on the old one, nobody else could claim it.
    fn came_with(&self, name: &str, claim: &Claim) -> bool {
        let since = claim.since.parse::<clock::Timestamp>().ok();
        self.gone(name).zip(since).is_some_and(|(gone, since)| since < gone.since)
    }

    fn in_the_way(&self, world: &World, claim: &Claim, live: &Settings) -> Holder {
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
    async fn take_lock(
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

enum Taken {
    Now(TargetLock),
    Before(Arc<Hold>),
}

/// A claim that is not ours to work under, in words.
fn in_the_way(claim: &Claim, database: &str, endpoint: &str, run: &str) -> Holder {
    let Claim { run: other, operator, host, since, epoch, .. } = claim;
    let (message, help) = if other == run {
        (
            format!(
                "run {run} was moved to {host} (by {operator} at {since}, epoch {epoch}) and goes on there; \
                 the database {database} on {endpoint} is changed from there only"
            ),
            format!("go on with `runplan resume {run}` on {host}"),
        )
    } else {
        (
            format!(
                "the database {database} on {endpoint} is in the middle of run {other}, which {operator} on {host} began to \
                 change it with at {since}"
            ),
            format!(
                "`runplan status {other}` on {host} shows what was done; go on with `runplan resume {other}` there, go back \
                 with `runplan undo {other}`, or give it up with `runplan stop {other} --for-good`; if {host} is lost, \
                 `runplan import FILE --takeover REASON` takes the run over"
            ),
        )
    };
    Holder { message, help, run: Some(other.clone()) }
}

/// Who holds the lock: a process that runs now.
fn busy(
    world: &World,
    live: &Settings,
    claim: Option<&Claim>,
    application: &str,
    since: &str,
    client: &str,
) -> Holder {
    let named =
        application.strip_prefix("runplan:").and_then(|name| name.rsplit_once(':')).map(|(run, _)| run);
    let run = claim.map(|claim| claim.run.clone()).or_else(|| named.map(str::to_owned));
    let who = match &run {
        Some(run) if *run == world.run.as_str() => format!("this run, {run}, on another machine"),
        Some(run) => format!("run {run}"),
        None if application.is_empty() => "another run".to_owned(),
        None => application.to_owned(),
    };
    let by = claim.map(|claim| format!(" of {} on {}", claim.operator, claim.host)).unwrap_or_default();
    let from = if client.is_empty() { String::new() } else { format!(" from {client}") };
    let when = if since.is_empty() { String::new() } else { format!(" since {since}") };
    let message = format!(
        "the database {} on {} is being changed by {who}{by}{from}{when}",
        live.database(),
        live.endpoint()
    );
    let help = match &run {
        Some(run) => format!(
            "it is under way now: `runplan watch {run}` there shows it; wait for its end, or `runplan stop {run}`"
        ),
        None => "wait for its end, and try again".to_owned(),
    };
    Holder { message, help, run }
}
