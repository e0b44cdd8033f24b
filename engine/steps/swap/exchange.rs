//! The exchange of two names in one transaction, and the sessions that stand in its way.
//!
//! RENAME takes the database's lock, so that new sessions wait instead of failing, and then looks for others: at once, and
//! again every 100 ms. So the sessions are ended just before, and while it waits the other session ends those that slipped in
//! and wakes it (a NOTIFY interrupts its sleep): it looks again when there is nobody left to find, not 100 ms later. Nothing
//! is committed before everything is done.

use super::super::attempt::Attempt;
use super::super::database;
use super::super::freeze::{self, Counters, Watch, Writes};
use super::super::sessions;
use super::super::stop::{self, Stop};
use super::super::targets::{Target, application_name};
use super::{Sessions, pooled, rename};
use crate::clock::{self, Stopwatch};
use crate::postgres::{Class, Connection, Error, Settings, escape_literal};
use crate::run::{Evidence, Failure};
use std::collections::HashSet;
use std::time::Duration;

/// A database that gets another name.
pub struct Move {
    pub oid: u32,
    pub from: String,
    pub to: String,
}

/// The one that leaves must not have been written to.
pub struct Quiet {
    /// To look inside.
    pub settings: Settings,
    pub counters: Counters,
    /// The refusal, in words.
    pub why: String,
}

pub struct Exchange<'a> {
    pub attempt: &'a Attempt,
    pub sessions: &'a Sessions,
    pub leaves: Move,
    pub comes: Move,
    /// Run before the renames, with the names as they were.
    pub before: Vec<String>,
    /// Run after them.
    pub after: Vec<String>,
    pub check_sql: String,
    pub quiet: Option<Quiet>,
    /// The version of its catalog row that the one which leaves must still have.
    pub version: Option<String>,
}

/// What it took.
pub struct Exchanged {
    /// From the end of the first session to the commit.
    pub downtime_ms: u64,
    pub ended: usize,
}

/// Another try can help.
enum Trouble {
    Again(Stop),
    Final(Stop),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        // lock_not_available, object_in_use: somebody was in the way.
        match error.sqlstate() {
            Some("55P03" | "55006") => Self::Again(error.into()),
            _ => Self::Final(error.into()),
        }
    }
}

/// How often it is tried, and how long sessions may take to be gone before RENAME is sent all the same.
const TRIES: u32 = 5;
const HEAD_START: Duration = Duration::from_millis(150);
const PAUSE: Duration = Duration::from_millis(1);
/// Each waking uses up one of the fifty looks that RENAME takes.
const WAKINGS: u32 = 30;
/// How long the answer of a COMMIT is looked for after the connection was lost.
const DOUBT: Duration = Duration::from_secs(20);

impl Exchange<'_> {
    /// With the pooler's clients held meanwhile, if there is a pooler: then the downtime is the time for which they are.
    pub async fn run_pooled(&self, target: &Target) -> Result<Exchanged, Stop> {
        let Some(paused) = pooled::pause(self.attempt, target).await? else { return self.run().await };
        let exchanged = self.run().await;
        let exchanged = paused.and_resume(self.attempt, exchanged).await?;
        Ok(Exchanged { downtime_ms: whole_ms(paused.since.elapsed()), ..exchanged })
    }

    pub async fn run(&self) -> Result<Exchanged, Stop> {
        let other = &self.sessions.other;
        // What the wakings commit need not be on disk.
        other.execute("SET synchronous_commit = off").await?;
        self.sessions.renamer.execute(&format!("LISTEN {}", self.channel())).await?;
        let mut last = None;
        for _ in 0..TRIES {
            if self.attempt.cancelled.is_cancelled() {
                return Err(stop::cancelled().into());
            }
            match self.once().await {
                Ok(exchanged) => return Ok(exchanged),
                Err(Trouble::Final(stop)) => return Err(stop),
                Err(Trouble::Again(stop)) => last = Some(stop),
            }
        }
        Err(last.unwrap_or_else(|| Failure::new("runplan::swap::busy", "it could not be tried").into()))
    }

    fn channel(&self) -> String {
        format!("runplan_{}", self.sessions.renamer.backend().pid)
    }

    async fn once(&self) -> Result<Exchanged, Trouble> {
        let written = self.look_inside().await?;
        let renamer = &self.sessions.renamer;
        let mut ended = HashSet::new();
        let work = async {
            renamer
                .execute("BEGIN READ WRITE; SET LOCAL lock_timeout = '3s'; SET LOCAL statement_timeout = 0")
                .await?;
            self.expect_names().await?;
            self.expect_version().await?;
            for statement in &self.before {
                renamer.execute(statement).await?;
            }
            let watch = Stopwatch::start();
            self.clear_way(&mut ended).await?;
            self.rename(&self.leaves, &mut ended).await?;
            self.rename(&self.comes, &mut ended).await?;
            // Together: the application waits.
            renamer.execute(&self.after.join("; ")).await?;
            self.expect_lock().await?;
            self.expect_quiet(written).await?;
            Ok(watch)
        };
        match work.await {
            Ok(watch) => {
                self.commit().await?;
                Ok(Exchanged { downtime_ms: whole_ms(watch.elapsed()), ended: ended.len() })
            }
            Err(trouble) => {
                // If this cannot be sent, the server rolls back by itself: COMMIT was not sent.
                let _ = renamer.execute("ROLLBACK").await;
                Err(trouble)
            }
        }
    }

    /// What the tables' counters say; and the database's own counter, which can be read from outside.
    async fn look_inside(&self) -> Result<Option<String>, Trouble> {
        let Some(quiet) = &self.quiet else { return Ok(None) };
        let name = application_name(&self.attempt.world, self.attempt.step.id.value.as_str());
        let inside = Connection::connect(&quiet.settings, &name).await?;
        let written = inside.one(&self.written_sql()).await?;
        let now = Watch::take(&inside).await?.counters(self.leaves.oid);
        freeze::unwritten("swap", &self.leaves.from, &quiet.counters, &now, Writes::All, &quiet.why)
            .map_err(|failure| match self.attempt.undoing {
                true => failure.help("look at what was written, then begin the undo again"),
                false => failure,
            })
            .map_err(|failure| Trouble::Final(failure.into()))?;
        Ok(Some(written))
    }

    fn written_sql(&self) -> String {
        format!(
            "SELECT pg_catalog.concat(tup_inserted + tup_updated + tup_deleted, ' ', stats_reset) \
             FROM pg_catalog.pg_stat_database WHERE datid OPERATOR(pg_catalog.=) {}::pg_catalog.oid",
            self.leaves.oid
        )
    }

    /// All sessions are gone and have reported: nothing was written since the look inside. Statistics count here too; then
    /// another look inside tells.
    async fn expect_quiet(&self, written: Option<String>) -> Result<(), Trouble> {
        let Some(written) = written else { return Ok(()) };
        let renamer = &self.sessions.renamer;
        renamer.execute("SELECT pg_catalog.pg_stat_clear_snapshot()").await?;
        if renamer.one(&self.written_sql()).await? == written {
            return Ok(());
        }
        let message = format!("{} was written to while it was being swapped", self.leaves.from);
        Err(Trouble::Again(Failure::new("runplan::swap::written", message).into()))
    }

    async fn expect_names(&self) -> Result<(), Trouble> {
        for (place, name, oid) in
            [(0, &self.leaves.from, self.leaves.oid), (1, &self.comes.from, self.comes.oid)]
        {
            let found = self
                .sessions
                .renamer
                .value(&format!(
                    "SELECT (SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) {})",
                    escape_literal(name)
                ))
                .await?;
            if found.as_deref() != Some(oid.to_string().as_str()) {
                let which = if place == 0 { "live" } else { "other" };
                let message =
                    format!("{name} is no longer the {which} database that was looked at (OID {oid})");
                return Err(Trouble::Final(Failure::new("runplan::swap::names", message).into()));
            }
        }
        Ok(())
    }

    async fn expect_version(&self) -> Result<(), Trouble> {
        let Some(version) = &self.version else { return Ok(()) };
        if database::version(&self.sessions.renamer, self.leaves.oid).await?.as_ref() == Some(version) {
            return Ok(());
        }
        let message =
            format!("{} was altered since the freeze; it may have been open for a while", self.leaves.from);
        let failure = Failure::new("runplan::swap::reopened", message);
        Err(Trouble::Final(failure.help(freeze::reopened(&self.leaves.from, false)).into()))
    }

    async fn expect_lock(&self) -> Result<(), Trouble> {
        let held = self.sessions.renamer.one(&format!("SELECT {}", self.check_sql)).await?;
        match held.as_str() {
            "t" => Ok(()),
            _ => Err(Trouble::Final(
                Failure::new(
                    "runplan::postgres::lock_lost",
                    "the lock on the target is lost; nothing was renamed",
                )
                .help("see whether another run has the target (`runplan runs --open`); tried again, it is taken anew")
                .into(),
            )),
        }
    }

    /// Ends every session on both, and gives them a moment to be gone.
    async fn clear_way(&self, ended: &mut HashSet<i32>) -> Result<(), Trouble> {
        let watch = Stopwatch::start();
        while self.sweep(ended).await? > 0 && watch.elapsed() < HEAD_START {
            clock::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Ends the sessions that are there, and says how many there are.
    async fn sweep(&self, ended: &mut HashSet<i32>) -> Result<usize, Trouble> {
        let (other, world) = (&self.sessions.other, &self.attempt.world);
        let mut there = 0;
        for oid in [self.leaves.oid, self.comes.oid] {
            let told = sessions::tell(other, world, oid).await?;
            if let Some(refused) = told.refused.first() {
                let message = format!("a session cannot be ended: {refused}");
                return Err(Trouble::Final(
                    Failure::new("runplan::swap::sessions", message)
                        .help("grant this role pg_signal_backend; sessions of superusers only a superuser can end")
                        .into(),
                ));
            }
            there += told.pids.len();
            ended.extend(told.pids);
        }
        Ok(there)
    }

    /// Renames, while the other session keeps the way clear.
    async fn rename(&self, moved: &Move, ended: &mut HashSet<i32>) -> Result<(), Trouble> {
        let sql = rename(&moved.from, &moved.to);
        tokio::select! {
            renamed = self.sessions.renamer.execute(&sql) => renamed.map(drop).map_err(Trouble::from),
            trouble = self.keep_clear(ended) => Err(trouble),
        }
    }

    /// Ends who slips in, and wakes the waiting RENAME when nobody is left. Ends only with trouble.
    async fn keep_clear(&self, ended: &mut HashSet<i32>) -> Trouble {
        let notify = format!("NOTIFY {}", self.channel());
        let mut wakings = 0;
        loop {
            clock::sleep(PAUSE).await;
            match self.sweep(ended).await {
                Ok(0) if wakings < WAKINGS => wakings += 1,
                Ok(_) => continue,
                Err(trouble) => return trouble,
            }
            if let Err(error) = self.sessions.other.execute(&notify).await {
                return error.into();
            }
        }
    }

    /// COMMIT; when its answer is lost, the names tell.
    async fn commit(&self) -> Result<(), Trouble> {
        let error = match self.sessions.renamer.execute("COMMIT").await {
            Ok(_) => return Ok(()),
            Err(error) if error.class() == Class::Unknown => error,
            Err(error) => return Err(Trouble::Final(error.into())),
        };
        match self.after_doubt().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Trouble::Final(error.into())),
            Err(_) => {
                let facts = [error.message().to_owned()];
                let evidence =
                    Evidence::new("the answer to COMMIT was lost, so the names may have changed", facts);
                Err(Trouble::Final(Stop::Unknown(evidence)))
            }
        }
    }

    async fn after_doubt(&self) -> Result<bool, Stop> {
        let settings = self.sessions.other.settings();
        let name = application_name(&self.attempt.world, self.attempt.step.id.value.as_str());
        let watch = Stopwatch::start();
        let server = loop {
            match Connection::connect(settings, &name).await {
                Ok(server) => break server,
                Err(error) if watch.elapsed() > DOUBT => return Err(error.into()),
                Err(_) => clock::sleep(Duration::from_millis(200)).await,
            }
        };
        sessions::end_orphan(&server, self.sessions.renamer.backend(), DOUBT).await?;
        let found = super::Database::by_oid(&server, self.comes.oid).await?;
        Ok(found.is_some_and(|found| found.name == self.comes.to))
    }
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
