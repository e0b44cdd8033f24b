//! `freeze`: stops all writing to a database and proves that it stopped. What was set before is noted before it is changed,
//! and a freeze that cannot be proved is taken back. Must never call a database quiet on the word of a setting alone.

mod counters;
mod quiet;
mod setting;
mod since;

pub use counters::{Counters, Watch};
pub use setting::{READ_ONLY, connections};
pub use since::{Writes, counted, refusal, reopened, unwritten};

use super::attempt::Attempt;
use super::database::{self, Database};
use super::sessions;
use super::stop::{self, Stop};
use super::targets::{Target, application_name};
use crate::clock::{self, Stopwatch};
use crate::plan::action::Freeze;
use crate::plan::action::freeze::Mode;
use crate::postgres::Connection;
use crate::run::{Failure, Outcome, Outputs};
use quiet::Quiet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a server is waited for that just lost us.
const REACHING: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);

/// The fact: what is about to be changed, and what stood there.
const FREEZING: &str = "freezing";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Freezing {
    oid: u32,
    /// The database's own `default_transaction_read_only`, if it had one.
    previous: Option<String>,
    /// Whether sessions could begin.
    open: bool,
}

pub async fn act(attempt: &Attempt, action: &Freeze) -> Outcome {
    stop::outcome(begin(attempt, action).await)
}

/// The setting and the counters tell.
pub async fn settle(attempt: &Attempt, action: &Freeze) -> Outcome {
    stop::outcome(again(attempt, action).await)
}

/// Thaws: what stood there before stands there again.
pub async fn undo(attempt: &Attempt, action: &Freeze) -> Outcome {
    stop::outcome(thawed(attempt, action).await)
}

async fn begin(attempt: &Attempt, action: &Freeze) -> Result<Outputs, Stop> {
    let target = attempt.world.targets.find(&attempt.world, &action.database).await?;
    let server = connect(attempt, &target).await?;
    let database = Database::expect(&server, &target.database).await?;
    refuse_pending(&server, &database).await?;
    let hold = attempt.world.targets.claim(&attempt.world, &target).await?;
    let now = Freezing {
        oid: database.oid,
        previous: setting::read(&server, database.oid).await?,
        open: database.open,
    };
    let freezing = before_us(attempt, now)?;
    attempt.note(FREEZING, json!(freezing)).await?;
    hold.check().await?;
    prove(attempt, action, &target, &server, &freezing).await
}

/// What a setting does not hold back, and who finds it out.
fn noticed(mode: Mode) -> &'static str {
    match mode {
        Mode::ReadOnly => {
            "so could any role that asks for it (BEGIN READ WRITE); a later swap or restore in place of this run notices \
             what was written and refuses, nothing else does"
        }
        Mode::NoConnections => {
            "a later swap of this run notices that the database was opened and refuses, nothing else does"
        }
    }
}

/// Shuts the database and proves it; else thaws it again.
async fn prove(
    attempt: &Attempt,
    action: &Freeze,
    target: &Target,
    server: &Connection,
    freezing: &Freezing,
) -> Result<Outputs, Stop> {
    let proved = async {
        let database = current(server, freezing.oid).await?;
        shut(server, &database.name, action.mode).await?;
        let quiet = Quiet { attempt, action, target, server, oid: freezing.oid };
        let proof = quiet.prove().await?;
        let version = database::version(server, freezing.oid).await?;
        for name in &proof.could_write {
            attempt.warn(format!("could still write: {name}; {}", noticed(action.mode)));
        }
        let mut outputs = Outputs::new();
        outputs.insert("frozen_at".to_owned(), proof.frozen_at.into());
        outputs.insert("sessions_ended".to_owned(), proof.ended.into());
        outputs.insert("counters".to_owned(), json!(proof.counters));
        outputs.insert("could_write".to_owned(), json!(proof.could_write));
        // Without counters: whoever opens the database and shuts it again leaves another version behind.
        outputs.insert("version".to_owned(), json!(version.filter(|_| action.mode == Mode::NoConnections)));
        outputs.insert("previous".to_owned(), json!(freezing.previous));
        Ok(outputs)
    };
    match proved.await {
        Ok(outputs) => Ok(outputs),
        Err(Stop::Ending) => Err(Stop::Ending),
        Err(stop) => match thaw_anew(attempt, target, freezing).await {
            Ok(_) => {
                // What stands there now is what stood there; somebody may change it before the next attempt.
                let _ = std::fs::remove_file(kept(attempt)?);
                Err(thawed_again(stop))
            }
            // Not a failure, which another attempt would begin anew: it would take our own setting for what stood there.
            Err(error) => Err(stop
                .after(&format!(
                    "the database may still be frozen, and could not be thawed ({})",
                    error.message()
                ))
                .in_doubt()),
        },
    }
}

/// What was sent is known to be taken back, whatever the lost answer to it was.
fn thawed_again(stop: Stop) -> Stop {
    let Stop::Failed(failure) = stop else { return stop };
    let help = match failure.code.as_str() {
        "runplan::postgres::lost" => Some("`runplan resume` freezes it again".to_owned()),
        _ => failure.help,
    };
    let message = format!("{}; the database was thawed again", failure.message);
    Stop::Failed(Failure { message, help, ..failure })
}

async fn again(attempt: &Attempt, action: &Freeze) -> Result<Outputs, Stop> {
    let Some(freezing) = stop::noted::<Freezing>(attempt, FREEZING)? else {
        return Err(Stop::Again("nothing had been changed".to_owned()));
    };
    let reached = async {
        let target = attempt.world.targets.find(&attempt.world, &action.database).await?;
        let server = connect(attempt, &target).await?;
        attempt.world.targets.claim(&attempt.world, &target).await?;
        Ok((target, server))
    };
    let (target, server) = reached.await.map_err(Stop::in_doubt)?;
    prove(attempt, action, &target, &server, &freezing).await
}

async fn thawed(attempt: &Attempt, action: &Freeze) -> Result<Outputs, Stop> {
    let Some(freezing) = stop::noted::<Freezing>(attempt, FREEZING)? else { return Ok(Outputs::new()) };
    let target = attempt.world.targets.find(&attempt.world, &action.database).await?;
    let server = connect(attempt, &target).await?;
    attempt.world.targets.claim(&attempt.world, &target).await?;
    let mut outputs = Outputs::new();
    match thaw(&server, &freezing).await? {
        Some(name) => outputs.insert("database".to_owned(), name.into()),
        None => outputs.insert("gone".to_owned(), true.into()),
    };
    Ok(outputs)
}

/// What stood there before this step's first attempt: one that froze and then lost the server could not thaw, and its
/// setting must not be taken for what stood there before.
fn before_us(attempt: &Attempt, now: Freezing) -> Result<Freezing, Stop> {
    let path = kept(attempt)?;
    let unusable = |error: std::io::Error| Stop::from(super::failures::file(&path, &error));
    match std::fs::read(&path) {
        Ok(text) => {
            let earlier: Freezing =
                serde_json::from_slice(&text).map_err(|error| unusable(std::io::Error::other(error)))?;
            if earlier.oid == now.oid {
                return Ok(earlier);
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(unusable(error)),
    }
    // Under its name only when it is whole.
    let early = path.with_extension("new");
    let write = || {
        let mut file = std::fs::File::create(&early)?;
        serde_json::to_writer(&mut file, &now)?;
        file.sync_all()?;
        std::fs::rename(&early, &path)
    };
    write().map_err(unusable)?;
    Ok(now)
}

fn kept(attempt: &Attempt) -> Result<std::path::PathBuf, Stop> {
    let step = attempt.key.rsplit_once('.').map_or(attempt.key.as_str(), |(step, _)| step);
    Ok(attempt.world.files()?.join(format!("{step}.before_freeze.json")))
}

async fn connect(attempt: &Attempt, target: &Target) -> Result<Connection, Stop> {
    let name = application_name(&attempt.world, attempt.step.id.value.as_str());
    stop::unless_cancelled(attempt, Connection::connect(&target.maintenance, &name)).await
}

/// The database by its OID: a swap may have given it another name.
async fn current(server: &Connection, oid: u32) -> Result<Database, Stop> {
    Database::by_oid(server, oid).await?.ok_or_else(|| {
        Failure::new("runplan::freeze::gone", format!("the database with OID {oid} is gone"))
            .permanent()
            .into()
    })
}

async fn shut(server: &Connection, name: &str, mode: Mode) -> Result<(), Stop> {
    match mode {
        Mode::ReadOnly => server.execute(&setting::write(name, "on")).await?,
        Mode::NoConnections => server.execute(&setting::connections(name, false)).await?,
    };
    Ok(())
}

/// In a session of its own: the other may be what was lost.
async fn thaw_anew(attempt: &Attempt, target: &Target, freezing: &Freezing) -> Result<Option<String>, Stop> {
    let name = application_name(&attempt.world, attempt.step.id.value.as_str());
    let watch = Stopwatch::start();
    loop {
        let thawed = match Connection::connect(&target.maintenance, &name).await {
            Ok(server) => thaw(&server, freezing).await,
            Err(error) => Err(error.into()),
        };
        // A server that crashed is usually back in a moment, and nobody can write until it is thawed.
        if thawed.is_ok() || watch.elapsed() >= REACHING || attempt.cancelled.is_cancelled() {
            return thawed;
        }
        clock::sleep(PAUSE).await;
    }
}

/// Puts back what stood there; the database's name, or None when it is gone. Both settings, whichever mode it was: each is
/// put back to what was noted.
async fn thaw(server: &Connection, freezing: &Freezing) -> Result<Option<String>, Stop> {
    let Some(database) = Database::by_oid(server, freezing.oid).await? else { return Ok(None) };
    if setting::read(server, database.oid).await? != freezing.previous {
        let sql = match &freezing.previous {
            Some(value) => setting::write(&database.name, value),
            None => setting::reset(&database.name),
        };
        server.execute(&sql).await?;
    }
    if database.open != freezing.open {
        server.execute(&setting::connections(&database.name, freezing.open)).await?;
    }
    Ok(Some(database.name))
}

/// A prepared transaction is a write that waits; no setting holds it back.
async fn refuse_pending(server: &Connection, database: &Database) -> Result<(), Stop> {
    let pending = prepared(server, &database.name).await?;
    if pending.is_empty() {
        return Ok(());
    }
    let message =
        format!("prepared transactions in {} could still write: {}", database.name, pending.join(", "));
    Err(Failure::new("runplan::freeze::prepared", message)
        .help("COMMIT PREPARED or ROLLBACK PREPARED each of them, then try again")
        .into())
}

/// The prepared transactions of a database, by name.
pub async fn prepared(server: &Connection, database: &str) -> Result<Vec<String>, crate::postgres::Error> {
    let sql = format!(
        "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database OPERATOR(pg_catalog.=) {} ORDER BY gid",
        crate::postgres::escape_literal(database)
    );
    Ok(server.last(&sql).await?.rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// What a freeze among the ancestors of this step found, if there was one of this database.
pub fn before(attempt: &Attempt, target: &Target) -> Option<Value> {
    super::earlier::newest(attempt, |step, results| {
        let crate::plan::Action::Freeze(action) = &step.action.value else { return false };
        action.database.raw == target.name && results.get("frozen_at").is_some()
    })
}
