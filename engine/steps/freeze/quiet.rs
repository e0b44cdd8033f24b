//! The proof that nobody writes. Sessions from before the freeze still write, so they are ended; those that begin now are
//! read-only unless they ask otherwise, so for a while the database is watched: sessions that hold a transaction which has
//! written, and the counters of every table.
//!
//! A session may report its counters late (seconds, or at its end). So at the end of the watch either no transaction of the
//! whole server has taken effect since its beginning, which the server knows at once, or the sessions are ended once more,
//! which makes them report, and the counters must still be what they were.

use super::counters::{Counters, Watch};
use super::{Freeze, sessions};
use crate::clock::{self, Stopwatch};
use crate::plan::action::freeze::Mode;
use crate::plan::action::notify::Level;
use crate::postgres::Connection;
use crate::run::Failure;
use crate::steps::attempt::{Attempt, Unit};
use crate::steps::database::server_time;
use crate::steps::stop::{self, Stop};
use crate::steps::targets::{Target, application_name};
use std::time::Duration;

/// How long sessions may take to end.
const ENDING: Duration = Duration::from_secs(20);
/// How long it is tried when the step has no `timeout`: many times `quiet`, and never less than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// After the first word of a writer; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

pub struct Quiet<'a> {
    pub attempt: &'a Attempt,
    pub action: &'a Freeze,
    pub target: &'a Target,
    pub server: &'a Connection,
    pub oid: u32,
}

/// What was proved.
pub struct Proof {
    /// The server's clock when the quiet began.
    pub frozen_at: String,
    pub ended: u64,
    /// None where nobody could look inside.
    pub counters: Option<Counters>,
    pub could_write: Vec<String>,
}

/// What came of one watch.
enum Watched {
    Still { frozen_at: String, counters: Option<Counters>, ended: u64 },
    Written { by: Vec<String>, ended: u64 },
}

impl Quiet<'_> {
    pub async fn prove(&self) -> Result<Proof, Stop> {
        let watch = Stopwatch::start();
        let patience = (self.action.quiet.std() * 6).max(PATIENCE);
        let mut ended = 0;
        let (mut rounds, mut silent_until, mut pause) = (0, Duration::ZERO, FIRST_PAUSE);
        loop {
            ended += self.end_sessions().await?;
            let watched = match self.action.mode {
                Mode::ReadOnly => self.watch_inside().await?,
                Mode::NoConnections => self.watch_outside().await?,
            };
            match watched {
                Watched::Still { frozen_at, counters, ended: more } => {
                    let could_write = self.could_write().await?;
                    return Ok(Proof { frozen_at, ended: ended + more, counters, could_write });
                }
                Watched::Written { by, ended: more } if watch.elapsed() < patience => {
                    ended += more;
                    if watch.elapsed() >= silent_until {
                        self.tell(&by, rounds);
                        silent_until = watch.elapsed() + pause;
                        pause *= 2;
                    }
                    rounds += 1;
                }
                Watched::Written { by, .. } => return Err(self.not_quiet(&by).into()),
            }
        }
    }

    /// The first time for good, so that it is read once in what is told of the run; then only to whoever watches.
    fn tell(&self, by: &[String], rounds: u32) {
        let message = format!("still written to: {}; its sessions are ended again", by.join(", "));
        match rounds {
            0 => self.attempt.warn(format!("{message} until nobody writes")),
            _ => self.attempt.say(Level::Warning, format!("{message}, {rounds} times until now")),
        }
    }

    fn not_quiet(&self, by: &[String]) -> Failure {
        let database = &self.target.database;
        Failure::new("runplan::freeze::written", format!("{database} was written to all the time: {}", by.join(", ")))
            .help("stop that writer (or close the application with a window), then `runplan resume`; the database is thawed")
    }

    /// Ends the sessions of others; fails when one of them may not be ended, for it could go on writing.
    async fn end_sessions(&self) -> Result<u64, Stop> {
        let ending = sessions::end(self.server, &self.attempt.world, self.oid, ENDING);
        let ended = stop::unless_cancelled(self.attempt, ending).await?;
        if ended.refused.is_empty() {
            return Ok(ended.pids.len() as u64);
        }
        let message =
            format!("sessions that could go on writing cannot be ended: {}", ended.refused.join("; "));
        Err(Failure::new("runplan::freeze::sessions", message)
            .help("run as a superuser, or grant this role pg_signal_backend and end the superusers' sessions by hand")
            .into())
    }

    /// Watches for `quiet`, from a session on the database itself.
    async fn watch_inside(&self) -> Result<Watched, Stop> {
        let name = application_name(&self.attempt.world, self.attempt.step.id.value.as_str());
        let inside =
            stop::unless_cancelled(self.attempt, Connection::connect(&self.target.settings, &name)).await?;
        refuse_uncounted(&inside).await?;
        let frozen_at = server_time(&inside).await?;
        let first = Watch::take(&inside).await?;
        let watch = Stopwatch::start();
        let quiet = self.action.quiet.std();
        while watch.elapsed() < quiet {
            self.tick(watch.elapsed()).await?;
            let writers = self.writers().await?;
            let now = Watch::take(&inside).await?;
            if !writers.is_empty() || !first.same_writes(&now) {
                return Ok(Watched::Written { by: self.blame(writers, &first, &now).await?, ended: 0 });
            }
        }
        let last = Watch::take(&inside).await?;
        if self.writers().await?.is_empty() && first.same_writes(&last) && first.same_horizon(&last) {
            return Ok(Watched::Still { frozen_at, counters: Some(last.counters(self.oid)), ended: 0 });
        }
        // Somebody, somewhere on the server, wrote something: the sessions here are made to report.
        let ended = self.end_sessions().await?;
        let last = Watch::take(&inside).await?;
        if first.same_writes(&last) {
            return Ok(Watched::Still { frozen_at, counters: Some(last.counters(self.oid)), ended });
        }
        Ok(Watched::Written { by: self.blame(Vec::new(), &first, &last).await?, ended })
    }

    /// Nobody can get in: it is enough that nobody is in.
    async fn watch_outside(&self) -> Result<Watched, Stop> {
        let frozen_at = server_time(self.server).await?;
        let watch = Stopwatch::start();
        while watch.elapsed() < self.action.quiet.std() {
            self.tick(watch.elapsed()).await?;
            let there = sessions::others(self.server, &self.attempt.world, self.oid).await?;
            if !there.is_empty() {
                let by = there.iter().map(ToString::to_string).collect();
                return Ok(Watched::Written { by, ended: 0 });
            }
        }
        Ok(Watched::Still { frozen_at, counters: None, ended: 0 })
    }

    async fn tick(&self, elapsed: Duration) -> Result<(), Stop> {
        let quiet = self.action.quiet.std();
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.attempt.progress("watching for writes", ms(elapsed), Some(ms(quiet)), Unit::Time);
        let pause = (quiet / 10).clamp(Duration::from_millis(10), Duration::from_millis(250));
        stop::unless_cancelled(self.attempt, async {
            clock::sleep(pause.min(quiet.saturating_sub(elapsed))).await;
            Ok::<(), Stop>(())
        })
        .await
    }

    async fn writers(&self) -> Result<Vec<String>, Stop> {
        let there = sessions::others(self.server, &self.attempt.world, self.oid).await?;
        Ok(there.iter().filter(|session| session.writes).map(ToString::to_string).collect())
    }

    /// Who wrote, else what was written and who is there.
    async fn blame(&self, writers: Vec<String>, first: &Watch, now: &Watch) -> Result<Vec<String>, Stop> {
        let mut by = writers;
        by.extend(first.changes(now));
        let there = sessions::others(self.server, &self.attempt.world, self.oid).await?;
        by.extend(
            there
                .iter()
                .take(5)
                .map(ToString::to_string)
                .filter(|name| !by.contains(name))
                .collect::<Vec<_>>(),
        );
        Ok(by)
    }

    /// What the settings leave open: roles that begin writable, workers that no setting holds back, roles that may take
    /// any setting back.
    async fn could_write(&self) -> Result<Vec<String>, Stop> {
        let oid = self.oid;
        // Every spelling of false that the server takes, by as little of its beginning as it needs.
        let own = "SELECT 'role ' || r.rolname || ' (its own default_transaction_read_only is off)' \
             FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) s.setrole \
             WHERE r.rolcanlogin AND EXISTS (SELECT FROM pg_catalog.unnest(s.setconfig) c \
             WHERE c OPERATOR(pg_catalog.~*) '^default_transaction_read_only=(off?|f(a(l(se?)?)?)?|no?|0)$') AND s.setdatabase IN ";
        let own = match self.action.mode {
            Mode::ReadOnly => format!("{own} (0::pg_catalog.oid, {oid}::pg_catalog.oid) UNION ALL "),
            // Nobody begins a session, with whatever setting.
            Mode::NoConnections => String::new(),
        };
        let found = self
            .server
            .last(&format!(
                "{own} SELECT 'superuser ' || rolname || ' (may lift the freeze)' \
                 FROM pg_catalog.pg_roles WHERE rolsuper AND rolcanlogin AND rolname OPERATOR(pg_catalog.<>) current_user \
                 UNION ALL SELECT 'subscription ' || subname FROM pg_catalog.pg_subscription \
                 WHERE subdbid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid AND subenabled ORDER BY 1"
            ))
            .await?;
        Ok(found.rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }
}

/// Without counters there is no proof.
async fn refuse_uncounted(inside: &Connection) -> Result<(), Stop> {
    if inside.one("SELECT pg_catalog.current_setting('track_counts')").await? == "on" {
        return Ok(());
    }
    Err(Failure::new("runplan::freeze::uncounted", "the server does not count writes (track_counts is off)")
        .help("turn track_counts on, or use `mode: no_connections`")
        .into())
}
