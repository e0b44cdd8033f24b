//! Over the live database, in one transaction: the schemas that the backup holds are dropped and loaded anew. The feeder holds
//! the transaction; the engine journals its id before it says go. There is no way back but another backup.
//!
//! If the engine dies before it said go, the feeder gives the transaction up after a short while: a production database must
//! not stay locked for a run that may be resumed tomorrow. If it dies after, the server knows what became of the transaction.

mod cascade;
mod clearing;
mod handshake;
pub mod standing;

pub use clearing::public_again;

use super::super::archive::{self, Reading};
use super::super::attempt::Attempt;
use super::super::client;
use super::super::database::Database;
use super::super::failures::file;
use super::super::feeder::{Feed, Handshake};
use super::super::stop::{self, Stop};
use super::super::targets::application_name;
use super::{Source, analyse, elsewhere, load, needs, room, source, unwritten};
use crate::clock;
use crate::plan::action::Restore;
use crate::plan::action::restore::Into;
use crate::postgres::witness::{self, Verdict};
use crate::postgres::{self, Connection, Settings, Witness, identity};
use crate::process::{self, Running};
use crate::run::{Evidence, Failure, Outputs};
use crate::sql::dump::Made;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// The facts: it begins; everything but COMMIT is done.
const LOADING: &str = "loading";
const COMMIT_INTENDED: &str = "commit_intended";

/// How long the feeder waits for our word.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a transaction may go on after a crash before its backend is ended.
const GRACE: Duration = Duration::from_secs(10);
/// How long a COMMIT may take.
const COMMITTING: Duration = Duration::from_secs(300);
/// How long its end is still waited for when the attempt is cancelled.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// So many of the server's warnings are told one by one.
const MOST_WARNINGS: usize = 10;
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Intended {
    witness: Witness,
    outputs: Outputs,
}

pub async fn begin(attempt: &Attempt, action: &Restore) -> Result<Outputs, Stop> {
    let target = elsewhere::goal(attempt, action).await?;
    let source = source(attempt, action).await?;
    clearing::refuse_partial(&source)?;
    let inside = stop::unless_cancelled(attempt, connect(attempt, &target.settings)).await?;
    let live = Database::expect(&inside, &target.database).await?;
    needs::check(attempt, action, &inside, &source).await?;
    room::check(attempt, &inside, &live, &source).await?;
    let before = match action.into {
        Into::Other(_) => {
            elsewhere::prove_empty(attempt, &inside, &live).await?;
            Vec::new()
        }
        Into::Side | Into::InPlace => make_room(attempt, &inside, &source).await?,
    };
    let proof = unwritten::Proof::of(attempt, action, &target, &live)?;
    proof.look(attempt, &inside).await?;
    let hold = attempt.world.targets.claim(&attempt.world, &target).await?;
    attempt.note(LOADING, json!({ "database": live.name, "oid": live.oid })).await?;
    hold.check().await?;
    let handshake = handshake::make(attempt, &hold)?;
    let major = identity::server_version(&inside).await? / 10_000;
    let (feeding, sha256) = load::feeding(attempt, action, &source, major)?;
    let feed = Feed {
        psql: load::psql(attempt, major)?,
        dbname: target.settings.client_conninfo(),
        source: feeding,
        sha256,
        must_end: source.found.complete,
        before,
        handshake: Some(handshake.clone()),
        changes: needs::changes(action, major),
    };
    // The same host as ours, where the address names several.
    let command = load::feeder(attempt, &feed, inside.settings())?;
    let mut running = client::start(attempt, &load::key(attempt), &command).await?;
    let mut outputs = Outputs::new();
    outputs.insert("database".to_owned(), target.name.clone().into());
    outputs.insert("tables".to_owned(), source.found.tables.len().into());
    outputs.insert("bytes".to_owned(), live.size.into());
    outputs.insert("taken_at".to_owned(), json!(source.found.taken_at));
    let intended = match intend(attempt, &mut running, &handshake, inside.settings(), &proof, outputs).await {
        Ok(intended) => intended,
        Err(Stop::Ending) => return Err(Stop::Ending),
        Err(stop) => {
            // It waits for our word, so nothing is committed; it is ended so that its locks go.
            attempt.world.supervisor.end_orphans(&load::key(attempt)).await?;
            return Err(stop);
        }
    };
    let told = std::fs::write(&handshake.go, &intended.witness.xid);
    // From here on it may be committed, even if there was an error: whatever happens, the server is asked.
    let Some(ended) = within_limit(attempt, &mut running).await else {
        return Err(unknown(&intended, stuck()));
    };
    let asked = async {
        let server = connect(attempt, inside.settings()).await?;
        witness::ask(&server, &intended.witness, GRACE).await
    };
    match asked.await {
        Ok(Verdict::Committed) => {
            tell_warnings(attempt, ended.as_ref().ok());
            finish(attempt, action, inside.settings(), intended.outputs).await
        }
        Ok(Verdict::Aborted) => Err(match (told, ended) {
            (Err(error), _) => file(&handshake.go, &error).into(),
            (Ok(()), Ok(exit)) => load::judge(&exit).err().unwrap_or_else(|| aborted().into()),
            (Ok(()), Err(error)) => error.into(),
        }),
        Ok(Verdict::Unknown(why)) => Err(unknown(&intended, why)),
        Err(error) => Err(unknown(&intended, error.message().to_owned())),
    }
}

/// What is in the way is refused before anything is touched, what goes and what stays is told; then, the statements that
/// make room.
async fn make_room(attempt: &Attempt, inside: &Connection, source: &Source) -> Result<Vec<String>, Stop> {
    let made = made(attempt, source).await?;
    let extensions = source.found.needs.as_ref().map(|needs| needs.extensions.clone()).unwrap_or_default();
    let standing = standing::look(inside, &made, &extensions).await?;
    standing.refuse()?;
    standing.warnings().into_iter().for_each(|warning| attempt.warn(warning));
    let lost = clearing::tables_lost(inside, &standing.schemas, &source.found.tables).await?;
    if !lost.is_empty() {
        attempt.warn(format!("tables that the backup does not have are dropped: {}", lost.join(", ")));
    }
    clearing::statements(inside, &standing).await
}

/// What the backup makes; a manifest of earlier days does not say.
async fn made(attempt: &Attempt, source: &Source) -> Result<Made, Stop> {
    let mut made = match source.found.needs.as_ref().and_then(|needs| needs.made.clone()) {
        Some(made) => made,
        None => {
            let reading = Reading::new(&attempt.world.programs, &attempt.cancelled);
            archive::read_back(&reading, &source.path, source.found.format).await?.made
        }
    };
    let tables = source.found.tables.keys().filter_map(|name| name.split_once('.'));
    made.schemas.extend(tables.map(|(schema, _)| schema.to_owned()));
    Ok(made)
}

/// What the server said at the COMMIT: that it did not wait for its standby, for one.
fn tell_warnings(attempt: &Attempt, ended: Option<&process::Exit>) {
    let Some(exit) = ended else { return };
    let text = exit.stderr.text();
    let mut lines = text.lines().peekable();
    let mut told = 0;
    while let Some(line) = lines.next() {
        let Some((_, warning)) = line.split_once("WARNING:") else { continue };
        told += 1;
        if told > MOST_WARNINGS {
            return attempt.warn(format!("more warnings are in {}", exit.stderr.path.display()));
        }
        let detail = lines.peek().and_then(|next| next.split_once("DETAIL:"));
        let detail = detail.map(|(_, detail)| format!(" ({})", detail.trim())).unwrap_or_default();
        attempt.warn(format!("the server said during the restore: {}{detail}", warning.trim()));
    }
}

/// After COMMIT. What fails here is said; the backup is in.
async fn finish(
    attempt: &Attempt,
    action: &Restore,
    server: &Settings,
    mut outputs: Outputs,
) -> Result<Outputs, Stop> {
    let inside = connect(attempt, server).await;
    let analysed = async {
        let inside = inside?;
        let size = inside.one("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())").await?;
        analyse::tables(attempt, action, inside).await?;
        Ok::<u64, Stop>(size.parse().unwrap_or(0))
    };
    match analysed.await {
        Ok(size) => drop(outputs.insert("bytes".to_owned(), size.into())),
        Err(Stop::Ending) => return Err(Stop::Ending),
        Err(stop) => attempt.warn(format!("it is restored, but was not analysed: {}", stop.message())),
    }
    if let Into::Other(name) = &action.into {
        outputs.insert("database".to_owned(), name.value.as_str().into());
    }
    Ok(outputs)
}

/// Everything but COMMIT is done, and what will be committed is journaled.
async fn intend(
    attempt: &Attempt,
    running: &mut Running,
    handshake: &Handshake,
    server: &Settings,
    proof: &unwritten::Proof,
    outputs: Outputs,
) -> Result<Intended, Stop> {
    let ready = handshake::ready(attempt, running, handshake).await?;
    // A new session: one that was idle for as long as the load took may be gone.
    let other = connect(attempt, server).await?;
    proof.settle(attempt, &other).await?;
    let intended = Intended { witness: handshake::take_witness(&other, ready).await?, outputs };
    attempt.note(COMMIT_INTENDED, json!(intended)).await?;
    Ok(intended)
}

async fn connect(attempt: &Attempt, server: &Settings) -> Result<Connection, postgres::Error> {
    let name = application_name(&attempt.world, attempt.step.id.value.as_str());
    Connection::connect(server, &name).await
}

/// The feeder's end after it was told to COMMIT. None: it did not come; a COMMIT may hang for ever, on a lost network or a
/// standby that does not answer.
async fn within_limit(
    attempt: &Attempt,
    running: &mut Running,
) -> Option<Result<process::Exit, process::Error>> {
    tokio::select! {
        ended = running.wait() => Some(ended),
        () = clock::sleep(COMMITTING) => None,
        () = async {
            attempt.cancelled.cancelled().await;
            clock::sleep(LAST_WAIT).await;
        } => None,
    }
}

fn stuck() -> String {
    "COMMIT was sent and has not been answered; it may hang on a standby (synchronous_standby_names), and may still \
     take effect; `runplan resume` ends it and asks the server"
        .to_owned()
}

fn aborted() -> Failure {
    Failure::new("runplan::restore::aborted", "the server rolled the transaction back; nothing was changed")
}

fn unknown(intended: &Intended, why: String) -> Stop {
    let facts = [format!("transaction {}", intended.witness.xid), why];
    Stop::Unknown(Evidence::new("whether the restore was committed is not known", facts))
}

/// What an interrupted restore came to.
pub async fn ask(attempt: &Attempt, action: &Restore) -> Result<Outputs, Stop> {
    if attempt.fact(LOADING).is_none() {
        return Err(Stop::Again("nothing had been sent".to_owned()));
    }
    let key = load::key(attempt);
    let Some(intended) = stop::noted::<Intended>(attempt, COMMIT_INTENDED)? else {
        // It never got our word, so it never sent COMMIT.
        attempt.world.supervisor.end_orphans(&key).await?;
        return Err(Stop::Again("COMMIT was never sent; nothing was changed".to_owned()));
    };
    // Without our word it never sends COMMIT, and it will not get it any more. With it, it is let finish.
    if handshake::files(attempt)?.1.exists()
        && let process::Found::Running(mut running) = attempt.world.supervisor.find(&key).await?
    {
        // One that hangs is ended below, and the server asked.
        let _ = within_limit(attempt, &mut running).await;
    }
    attempt.world.supervisor.end_orphans(&key).await?;
    let target = elsewhere::goal(attempt, action).await?;
    let inside = stop::unless_cancelled(attempt, connect(attempt, &target.settings)).await?;
    match witness::ask(&inside, &intended.witness, GRACE).await? {
        Verdict::Committed => finish(attempt, action, inside.settings(), intended.outputs).await,
        Verdict::Aborted => Err(Stop::Again(aborted().message)),
        Verdict::Unknown(why) => Err(unknown(&intended, why)),
    }
}
