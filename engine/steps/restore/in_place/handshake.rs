//! The word between the engine and the feeder: it says that everything but COMMIT is done, we say go. Must never say go for
//! a transaction whose id was not made durable.

use super::super::super::attempt::Attempt;
use super::super::super::feeder::{Handshake, Ready};
use super::super::super::hold::Hold;
use super::super::super::stop::{self, Stop};
use super::super::load;
use super::{LOOK, PATIENCE};
use crate::clock;
use crate::postgres::{Backend, Connection, Witness, identity};
use crate::process::Running;
use crate::run::Failure;
use std::path::PathBuf;

/// Where the feeder says that it is ready, and where it finds our word.
pub fn files(attempt: &Attempt) -> Result<(PathBuf, PathBuf), Stop> {
    let files = attempt.world.files()?;
    let files = std::path::absolute(&files).unwrap_or(files);
    Ok((files.join(format!("{}.ready.json", attempt.key)), files.join(format!("{}.go", attempt.key))))
}

pub fn make(attempt: &Attempt, hold: &Hold) -> Result<Handshake, Stop> {
    let (ready, go) = files(attempt)?;
    Ok(Handshake {
        ready,
        go,
        check_sql: hold.check_sql(),
        patience_ms: u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX),
    })
}

/// Waits until the feeder has sent everything but COMMIT.
pub async fn ready(attempt: &Attempt, running: &mut Running, handshake: &Handshake) -> Result<Ready, Stop> {
    loop {
        tokio::select! {
            exit = running.wait() => {
                return Err(match load::judge(&exit?) {
                    Err(stop) => stop,
                    Ok(()) => Failure::new("runplan::restore::feeder", "the feeder ended without a word").into(),
                });
            }
            () = clock::sleep(LOOK) => {}
            () = attempt.cancelled.cancelled() => {
                return Err(stop::cancelled().into());
            }
        }
        if let Ok(text) = std::fs::read(&handshake.ready) {
            return serde_json::from_slice(&text).map_err(|error| {
                Failure::new("runplan::restore::feeder", format!("the feeder said {error}")).into()
            });
        }
    }
}

/// Makes the id of the feeder's transaction unreusable, as for every witness: the WAL is flushed past it.
pub async fn take_witness(other: &Connection, ready: Ready) -> Result<Witness, Stop> {
    other
        .execute(
            "BEGIN READ WRITE; SET LOCAL synchronous_commit = local; \
             SELECT pg_catalog.pg_logical_emit_message(true, 'runplan', ''); COMMIT",
        )
        .await?;
    let identity = identity::read(other).await?;
    Ok(Witness { xid: ready.xid, backend: Backend { pid: ready.pid, started: ready.started }, identity })
}
