//! Into a new database beside the live one. Its name is journaled after it was proved absent, with a token that
//! CREATE DATABASE itself sets; then its comment says whose it is, and in the end that it is complete. Must never touch a
//! database of that name that carries neither.

use super::super::access;
use super::super::archive::Format;
use super::super::attempt::Attempt;
use super::super::client;
use super::super::database::{Database, comment_sql, name_with};
use super::super::feeder::Feed;
use super::super::mark::{self, Mark};
use super::super::sessions;
use super::super::stop::{self, Stop};
use super::super::targets::{Target, application_name};
use super::{Source, analyse, load, needs, room, source};
use crate::plan::action::Restore;
use crate::plan::action::restore::Owners;
use crate::postgres::{Backend, Connection, Settings, escape_identifier, identity};
use crate::process::{Command, Found};
use crate::run::{Evidence, Failure, Outputs};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// The facts: the name it will have; its OID, once it is there.
const CHOSEN: &str = "side_chosen";
const MADE: &str = "side_made";

/// More sessions than any server allows, so that nobody sets such a limit, and as many values as the catalog can hold.
const TOKENS: std::ops::RangeInclusive<i64> = 1 << 20..=(1 << 31) - 1;

/// How long the session of an attempt that died may take to be gone.
const ENDING: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Chosen {
    name: String,
    /// The plan's name of the live database.
    of: String,
    live: String,
    tables: usize,
    taken_at: Option<String>,
    /// Only some tables' rows.
    partial: bool,
    /// The session that makes it: after a crash CREATE DATABASE may still be under way.
    backend: Backend,
    /// Its CONNECTION LIMIT until it is marked: chosen by chance and set by CREATE DATABASE itself, so that nobody
    /// else's database of that name is taken for it. None: written by an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    oid: u32,
}

/// A restore under way: where, and whose.
struct Side<'a> {
    attempt: &'a Attempt,
    target: Target,
    server: Connection,
    chosen: Chosen,
}

pub async fn begin(attempt: &Attempt, action: &Restore) -> Result<Outputs, Stop> {
    let target = attempt.world.targets.find(&attempt.world, &action.database).await?;
    let source = source(attempt, action).await?;
    let server = connect(attempt, &target).await?;
    let live = Database::expect(&server, &target.database).await?;
    needs::check(attempt, action, &server, &source).await?;
    room::check(attempt, &server, &live, &source).await?;
    let hold = attempt.world.targets.claim(&attempt.world, &target).await?;
    hold.lock.check().await?;
    drop_earlier(attempt, &server, &live.name).await?;
    let chosen = Chosen {
        name: free_name(attempt, &server, &live.name).await?,
        of: target.name.clone(),
        live: live.name.clone(),
        tables: source.tables.as_ref().map_or(source.found.tables.len(), Vec::len),
        taken_at: taken_at(&source),
        partial: source.tables.is_some() || part(&source).is_some(),
        backend: server.backend().clone(),
        token: Some(rand::random_range(TOKENS)),
    };
    if let Some(part) = part(&source) {
        attempt.warn(format!(
            "the backup holds a part of {} only ({part}): its copy can be looked into and copied from, not swapped in",
            live.name,
        ));
    }
    attempt.note(CHOSEN, json!(chosen)).await?;
    let side = Side { attempt, target, server, chosen };
    let made = async {
        hold.check().await?;
        side.create(&live).await?;
        side.load(action, &source).await?;
        side.complete(action).await
    };
    match made.await {
        Ok(outputs) => Ok(outputs),
        Err(stop) => Err(side.clean(stop).await),
    }
}

/// What the manifest says; else what the archive says of itself, in its machine's time.
fn taken_at(source: &Source) -> Option<String> {
    let own = source.found.origin.as_ref().map(|origin| origin.created.clone());
    source.found.taken_at.clone().or(own)
}

/// A backup of some tables or schemas: which.
fn part(source: &Source) -> Option<String> {
    source.found.manifest.as_ref().and_then(crate::steps::Manifest::part)
}

async fn connect(attempt: &Attempt, target: &Target) -> Result<Connection, Stop> {
    let name = application_name(&attempt.world, attempt.step.id.value.as_str());
    stop::unless_cancelled(attempt, Connection::connect(&target.maintenance, &name)).await
}

/// An earlier attempt may have lost the server before it could drop what it had made.
async fn drop_earlier(attempt: &Attempt, server: &Connection, live: &str) -> Result<(), Stop> {
    let name = name_with(live, &format!("_rp_{}", mark::tail(&attempt.world.run)));
    let Some(found) = Database::by_name(server, &name).await? else { return Ok(()) };
    let ours = found.mark().is_some_and(|mark| {
        mark.is_of(&attempt.world.run, &attempt.step.id.value)
            && mark.oid == Some(found.oid)
            && !mark.complete
    });
    if ours {
        server.execute(&format!("DROP DATABASE {} WITH (FORCE)", escape_identifier(&name))).await?;
    }
    Ok(())
}

/// `<database>_rp_<run>`, and a number where one is there already.
async fn free_name(attempt: &Attempt, server: &Connection, live: &str) -> Result<String, Stop> {
    let tail = mark::tail(&attempt.world.run);
    for number in 1..100 {
        let tail = if number == 1 { format!("_rp_{tail}") } else { format!("_rp_{tail}_{number}") };
        let name = name_with(live, &tail);
        if Database::by_name(server, &name).await?.is_none() {
            return Ok(name);
        }
    }
    Err(Failure::new("runplan::restore::name", format!("too many side databases of {live}"))
        .help("`runplan status RUN` of the run that made it tells how it is removed")
        .into())
}

impl Side<'_> {
    async fn create(&self, live: &Database) -> Result<Database, Stop> {
        let name = &self.chosen.name;
        let token = self.chosen.token.map(|token| format!(" CONNECTION LIMIT = {token}")).unwrap_or_default();
        self.server.execute(&format!("{}{token}", live.create_like(name))).await?;
        let database = Database::expect(&self.server, name).await?;
        if !self.has_token(&database) {
            return Err(not_ours(name).into());
        }
        self.server.execute(&comment_sql(name, &self.mark(database.oid, false).text())).await?;
        self.attempt.note(MADE, json!(Made { oid: database.oid })).await?;
        self.server.execute(&unlimited(name)).await?;
        Ok(database)
    }

    fn mark(&self, oid: u32, complete: bool) -> Mark {
        let side = Mark::side(&self.attempt.world.run, &self.attempt.step.id.value, &self.chosen.live);
        Mark { complete, oid: Some(oid), partial: self.chosen.partial, ..side }
    }

    async fn load(&self, action: &Restore, source: &Source) -> Result<(), Stop> {
        let settings = self.target.settings.with_database(&self.chosen.name);
        let major = identity::server_version(&self.server).await? / 10_000;
        let changed = matches!(action.owners, Owners::Map(_)) || load::is_ahead(self.attempt, source, major)?;
        let command = match source.found.format {
            Format::Plain(_) => self.feeder(action, source, &settings, major)?,
            // pg_restore cannot change what it sends.
            _ if changed && source.tables.is_none() => self.feeder(action, source, &settings, major)?,
            _ => load::archive(self.attempt, action, source, &settings, major).await?,
        };
        let running = client::start(self.attempt, &load::key(self.attempt), &command).await?;
        let manifest = source.found.manifest.as_ref();
        let total = manifest.map(|manifest| manifest.database_bytes).filter(|_| source.tables.is_none());
        let exit = load::watch(self.attempt, running, &self.server, &self.chosen.name, total).await?;
        load::judge(&exit)
    }

    /// Through psql, in one transaction and one session.
    fn feeder(
        &self,
        action: &Restore,
        source: &Source,
        settings: &Settings,
        major: u32,
    ) -> Result<Command, Stop> {
        let (feeding, sha256) = load::feeding(self.attempt, action, source, major)?;
        let feed = Feed {
            psql: load::psql(self.attempt, major)?,
            dbname: settings.client_conninfo(),
            source: feeding,
            sha256,
            must_end: source.found.complete,
            before: Vec::new(),
            handshake: None,
            changes: needs::changes(action, major),
        };
        load::feeder(self.attempt, &feed, settings)
    }

    /// Everything is in: statistics, then the mark that makes it count.
    async fn complete(&self, action: &Restore) -> Result<Outputs, Stop> {
        let name = &self.chosen.name;
        let settings = self.target.settings.with_database(name);
        let label = application_name(&self.attempt.world, self.attempt.step.id.value.as_str());
        let inside = stop::unless_cancelled(self.attempt, Connection::connect(&settings, &label)).await?;
        if action.owners == Owners::Skip {
            self.tell_access(&inside).await;
        }
        analyse::tables(self.attempt, action, inside).await?;
        let database = Database::expect(&self.server, name).await?;
        if self.has_token(&database) {
            self.server.execute(&unlimited(name)).await?;
        }
        self.server.execute(&comment_sql(name, &self.mark(database.oid, true).text())).await?;
        Ok(self.outputs(&database))
    }

    /// Without owners and grants the application may be locked out of the copy: said while there is time.
    async fn tell_access(&self, inside: &Connection) {
        let label = application_name(&self.attempt.world, self.attempt.step.id.value.as_str());
        let asked = async {
            let live = Connection::connect(&self.target.settings, &label).await?;
            Ok::<_, crate::postgres::Error>(access::lost(
                &access::live(&live).await?,
                &access::copy(inside).await?,
            ))
        };
        match asked.await {
            Ok(lost) if lost.is_empty() => {}
            Ok(lost) => self.attempt.warn(format!(
                "roles that can use {} cannot use {}: {}; {}",
                self.chosen.live,
                self.chosen.name,
                lost.join(", "),
                access::HELP
            )),
            Err(error) => self.attempt.warn(format!(
                "whether everybody who uses {} can use {} is not known: {}",
                self.chosen.live,
                self.chosen.name,
                error.message()
            )),
        }
    }

    fn outputs(&self, database: &Database) -> Outputs {
        let mut outputs = Outputs::new();
        outputs.insert("database".to_owned(), self.chosen.name.clone().into());
        outputs.insert("of".to_owned(), self.chosen.of.clone().into());
        outputs.insert("tables".to_owned(), self.chosen.tables.into());
        outputs.insert("bytes".to_owned(), database.size.into());
        outputs.insert("taken_at".to_owned(), json!(self.chosen.taken_at));
        outputs.insert("oid".to_owned(), database.oid.into());
        outputs
    }

    /// Drops what there is of it; what is left is said.
    async fn clean(&self, stop: Stop) -> Stop {
        if matches!(stop, Stop::Ending) {
            return stop;
        }
        let name = &self.chosen.name;
        // Also when the supervisor died under it, and nobody heard whether it began.
        if let Err(error) = self.attempt.world.supervisor.end_orphans(&load::key(self.attempt)).await {
            return stop.after(&format!("the database {name} is left behind ({error})"));
        }
        match self.drop_own().await {
            Ok(()) => stop,
            Err(why) => stop.after(&format!("the database {name} is left behind ({})", why.message())),
        }
    }

    /// Drops the side database if it is ours: by its mark, or by its token before it was marked.
    async fn drop_own(&self) -> Result<(), Stop> {
        let name = &self.chosen.name;
        let label = application_name(&self.attempt.world, self.attempt.step.id.value.as_str());
        // A session of its own: the other may be what was lost.
        let server = Connection::connect(&self.target.maintenance, &label).await?;
        if self.server.is_closed() || self.server.backend() != &self.chosen.backend {
            sessions::end_orphan(&server, &self.chosen.backend, ENDING).await?;
        }
        let Some(found) = Database::by_name(&server, name).await? else { return Ok(()) };
        if !self.is_ours(&found) {
            return Err(not_ours(name).into());
        }
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", escape_identifier(name));
        server.execute(&sql).await?;
        Ok(())
    }

    fn is_ours(&self, found: &Database) -> bool {
        if let Some(mark) = found.mark() {
            let ours = mark.is_of(&self.attempt.world.run, &self.attempt.step.id.value);
            return ours && mark.oid == Some(found.oid);
        }
        // Interrupted between CREATE DATABASE and its comment: only what this attempt made has its token.
        let made = self.attempt.fact(MADE).and_then(|fact| Made::deserialize(fact).ok());
        made.is_none() && found.comment.is_empty() && self.has_token(found)
    }

    fn has_token(&self, found: &Database) -> bool {
        self.chosen.token == Some(found.connection_limit)
    }
}

/// Takes the token off again.
fn unlimited(name: &str) -> String {
    format!("ALTER DATABASE {} WITH CONNECTION LIMIT -1", escape_identifier(name))
}

fn not_ours(name: &str) -> Failure {
    Failure::new("runplan::restore::not_ours", format!("the database {name} is not this step's"))
        .help("see whose it is; nothing was done to it")
        .permanent()
}

/// What an interrupted restore came to; one that goes on, or has ended well, is taken up.
pub async fn take_up(attempt: &Attempt, action: &Restore) -> Result<Outputs, Stop> {
    let Some(chosen) = stop::noted::<Chosen>(attempt, CHOSEN)? else {
        return Err(Stop::Again("nothing had been made".to_owned()));
    };
    let target = attempt.world.targets.find(&attempt.world, &action.database).await?;
    let server = connect(attempt, &target).await?;
    let side = Side { attempt, target, server, chosen };
    let name = side.chosen.name.clone();
    sessions::end_orphan(&side.server, &side.chosen.backend, ENDING).await?;
    let Some(found) = Database::by_name(&side.server, &name).await? else {
        attempt.world.supervisor.end_orphans(&load::key(attempt)).await?;
        return Err(Stop::Again(format!("the database {name} is not there")));
    };
    if !side.is_ours(&found) {
        let facts = [format!("comment: {}", found.comment), format!("OID: {}", found.oid)];
        return Err(Stop::Unknown(Evidence::new(
            format!("a database {name} is there that is not this step's"),
            facts,
        )));
    }
    if found.mark().is_some_and(|mark| mark.complete) {
        return Ok(side.outputs(&found));
    }
    let hold = attempt.world.targets.claim(&attempt.world, &side.target).await?;
    hold.check().await?;
    let ended = match attempt.world.supervisor.find(&load::key(attempt)).await? {
        Found::Running(running) => match load::watch(attempt, running, &side.server, &name, None).await {
            Ok(exit) => load::judge(&exit),
            Err(stop) => Err(stop),
        },
        Found::Exited(exit) => load::judge(&exit),
        Found::Nothing | Found::Lost { .. } | Found::Orphaned { .. } => {
            Err(Stop::Again("the restore was interrupted".to_owned()))
        }
    };
    let done = match ended {
        Ok(()) => side.complete(action).await,
        Err(stop) => Err(stop),
    };
    match done {
        Ok(outputs) => Ok(outputs),
        Err(Stop::Ending) => Err(Stop::Ending),
        Err(stop) => {
            attempt.world.supervisor.end_orphans(&load::key(attempt)).await?;
            side.drop_own().await?;
            Err(Stop::Again(format!("what there was of {name} is dropped: {}", stop.message())))
        }
    }
}

pub async fn remove(attempt: &Attempt, action: &Restore) -> Result<Outputs, Stop> {
    let Some(chosen) = stop::noted::<Chosen>(attempt, CHOSEN)? else { return Ok(Outputs::new()) };
    let target = attempt.world.targets.find(&attempt.world, &action.database).await?;
    let server = connect(attempt, &target).await?;
    let side = Side { attempt, target, server, chosen };
    let hold = attempt.world.targets.claim(&attempt.world, &side.target).await?;
    hold.check().await?;
    side.drop_own().await?;
    let mut outputs = Outputs::new();
    outputs.insert("dropped".to_owned(), side.chosen.name.clone().into());
    Ok(outputs)
}
