//! What a statement leaves that builds an index beside the readers of its table and is interrupted: an index that is not
//! valid, which no query uses and which stands in the way of another try. Must never drop one that may be somebody else's:
//! only one that was not there when an earlier attempt of this step sent its statement, bears the name that it gave, and that
//! nobody works on now.

use super::super::attempt::Attempt;
use super::super::targets::Target;
use super::orphan;
use super::session::{self, Trouble};
use crate::clock::Stopwatch;
use crate::postgres::{Connection, Error, escape_literal};
use crate::run::{Failure, INDEX_INTENDED};
use crate::sql;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// How long a session is waited for that works on the table.
const WAITING: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);

/// What is durable before such a statement is sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Intent {
    /// None: the server finds a name, or it is a REINDEX.
    index: Option<String>,
    /// The table's OID; None: a REINDEX.
    table: Option<u32>,
    /// The OIDs of the table's indexes, and of those that are not valid.
    before: Vec<u32>,
}

/// An index that is not valid.
struct Invalid {
    oid: u32,
    /// Quoted, with its schema.
    name: String,
    /// The server's process that works on its table.
    busy: Option<String>,
}

impl Intent {
    async fn of(connection: &Connection, text: &str) -> Result<Option<Self>, Error> {
        let Some(build) = sql::build(text) else { return Ok(None) };
        let mut table = None;
        if let Some(written) = &build.table {
            let asked = format!("SELECT pg_catalog.to_regclass({})::pg_catalog.oid", escape_literal(written));
            table = connection.one(&asked).await?.parse().ok();
            if table.is_none() {
                // The statement itself will say so.
                return Ok(None);
            }
        }
        let asked = format!(
            "SELECT indexrelid FROM pg_catalog.pg_index WHERE NOT indisvalid \
             OR indrelid OPERATOR(pg_catalog.=) {}::pg_catalog.oid",
            table.unwrap_or_default()
        );
        let found = connection.last(&asked).await?;
        let before = found.rows.iter().filter_map(|row| row.first()?.as_deref()?.parse().ok()).collect();
        Ok(Some(Self { index: build.index, table, before }))
    }

    /// The indexes that are not valid now: of the name that it gave, also one that stood there before; else the new ones.
    async fn invalid(&self, connection: &Connection) -> Result<Vec<Invalid>, Error> {
        let which = match (&self.index, self.table) {
            (Some(name), _) => format!("c.relname OPERATOR(pg_catalog.=) {}", escape_literal(name)),
            (None, Some(_)) => "true".to_owned(),
            (None, None) => "c.relname OPERATOR(pg_catalog.~) '_cc(new|old)[0-9]*$'".to_owned(),
        };
        let table = self.table.map_or_else(|| "i.indrelid".to_owned(), |oid| oid.to_string());
        let asked = format!(
            "SELECT i.indexrelid, pg_catalog.format('%I.%I', n.nspname, c.relname), (SELECT pg_catalog.min(l.pid) \
             FROM pg_catalog.pg_locks l WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' \
             AND l.relation OPERATOR(pg_catalog.=) i.indrelid AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid \
             FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()) \
             AND l.mode OPERATOR(pg_catalog.=) 'ShareUpdateExclusiveLock' \
             AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()) \
             FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
             WHERE NOT i.indisvalid AND c.relkind OPERATOR(pg_catalog.=) 'i' \
             AND i.indrelid OPERATOR(pg_catalog.=) {table} AND {which} ORDER BY 1"
        );
        let found = connection.last(&asked).await?;
        let mut all = Vec::new();
        for row in found.rows {
            let mut row = row.into_iter();
            let (oid, name, busy) = (row.next().flatten(), row.next().flatten(), row.next().flatten());
            let oid: u32 = oid.and_then(|oid| oid.parse().ok()).unwrap_or_default();
            if self.index.is_some() || self.is_new(oid) {
                all.push(Invalid { oid, name: name.unwrap_or_default(), busy });
            }
        }
        Ok(all)
    }

    fn is_new(&self, oid: u32) -> bool {
        !self.before.contains(&oid)
    }
}

/// Before a statement is sent: drops what an earlier attempt of this step certainly left of it, and makes durable what is
/// there. None: it builds no index beside the readers.
///
/// # Errors
/// What was left cannot be dropped; the statement must not be sent.
pub async fn prepare(
    attempt: &Attempt,
    connection: &Connection,
    text: &str,
) -> Result<Option<Intent>, Failure> {
    let asked = |error: Error| session::failure(&error, "what is there of the index cannot be asked: ");
    let Some(mut intent) = Intent::of(connection, text).await.map_err(asked)? else { return Ok(None) };
    let name = if attempt.undoing { format!("undo.{INDEX_INTENDED}") } else { INDEX_INTENDED.to_owned() };
    let earlier: Vec<Intent> = attempt
        .facts
        .iter()
        .filter(|fact| fact.name == name)
        .filter_map(|fact| Intent::deserialize(&fact.data).ok())
        .filter(|earlier| earlier.index == intent.index && earlier.table == intent.table)
        .collect();
    if intent.index.is_some() && drop_left(attempt, connection, &intent, &earlier).await? {
        intent = Intent::of(connection, text).await.map_err(asked)?.unwrap_or(intent);
    }
    match attempt.note(INDEX_INTENDED, json!(intent)).await {
        Ok(()) => Ok(Some(intent)),
        Err(_) => Err(session::cancelled("the run ended before the statement was sent")),
    }
}

/// Whether there was something to drop.
async fn drop_left(
    attempt: &Attempt,
    connection: &Connection,
    intent: &Intent,
    earlier: &[Intent],
) -> Result<bool, Failure> {
    let watch = Stopwatch::start();
    loop {
        let found = intent.invalid(connection).await;
        let found = found
            .map_err(|error| session::failure(&error, "what is there of the index cannot be asked: "))?;
        let left = found.into_iter().find(|index| earlier.iter().any(|earlier| earlier.is_new(index.oid)));
        let Some(left) = left else { return Ok(false) };
        let Some(busy) = &left.busy else {
            attempt.warn(format!(
                "the invalid index {}, which an interrupted attempt left, is dropped and built again",
                left.name
            ));
            return dropped(attempt, connection, &left).await.map(|()| true);
        };
        if watch.elapsed() > WAITING {
            let message = format!(
                "the invalid index {} is in the way, and session {busy} works on its table",
                left.name
            );
            return Err(Failure::new("runplan::sql::invalid_index", message)
                .help(format!("wait until session {busy} is done; {}", by_hand([&left]))));
        }
        let doing = format!("session {busy} works on the table of the invalid index {}", left.name);
        if !attempt.linger(PAUSE, &doing, &watch).await {
            return Err(session::cancelled("nothing was sent"));
        }
    }
}

async fn dropped(attempt: &Attempt, connection: &Connection, left: &Invalid) -> Result<(), Failure> {
    let place =
        format!("the invalid index {}, which an interrupted attempt left, was not dropped: ", left.name);
    match session::run(attempt, connection, &drop_command(left)).await {
        Ok(_) => Ok(()),
        Err(Trouble::Server(error)) => Err(session::failure(&error, &place)
            .help("`runplan resume` looks whether it is there still, and tries again")),
        Err(Trouble::NotSent | Trouble::Cancelled(_)) => {
            Err(session::cancelled(&format!("the invalid index {} may be there still", left.name)))
        }
    }
}

/// After a statement that said it was carried out. Some: what it was to build is there and not valid.
pub async fn found(connection: &Connection, intent: &Intent) -> Option<Failure> {
    intent.index.as_ref()?;
    let left = intent.invalid(connection).await.ok()?;
    let names = names(&left)?;
    let message = format!("the index {names} was there already and is not valid: no query uses it");
    Some(Failure::new("runplan::sql::invalid_index", message).help(by_hand(&left)))
}

/// The index that a statement was to build, by its name, where it is there and not valid.
///
/// # Errors
/// The server cannot be asked.
pub async fn invalid(attempt: &Attempt, target: &Target, intent: &Intent) -> Result<Option<String>, Error> {
    if intent.index.is_none() {
        return Ok(None);
    }
    let connection = orphan::connect(attempt, target).await?;
    Ok(names(&intent.invalid(&connection).await?))
}

/// The invalid indexes that a statement left or that stand in its way, and what is done about them.
pub async fn words(attempt: &Attempt, target: &Target, intent: Option<&Intent>) -> Option<(String, String)> {
    let intent = intent?;
    let connection = orphan::connect(attempt, target).await.ok()?;
    let left = intent.invalid(&connection).await.ok()?;
    let names = names(&left)?;
    let is_ours = intent.index.is_some() && left.iter().all(|index| intent.is_new(index.oid));
    let (what, next) = match is_ours {
        true => ("it left", "`runplan resume` drops it and builds it again; "),
        false if intent.index.is_some() => ("before it there was", ""),
        false => ("since it was sent there is", ""),
    };
    let said = format!("{what} the invalid index {names}, which no query uses");
    Some((said, format!("{next}{}", by_hand(&left))))
}

/// Names them in the failure of the statement.
pub async fn named(attempt: &Attempt, target: &Target, intent: Option<&Intent>, failure: Failure) -> Failure {
    match words(attempt, target, intent).await {
        Some((said, help)) => {
            let message = format!("{}; {said}", failure.message);
            Failure { message, ..failure }.help(help)
        }
        None => failure,
    }
}

/// What an interrupted attempt noted.
pub fn intent(attempt: &Attempt) -> Option<Intent> {
    attempt.own_fact(INDEX_INTENDED).and_then(|fact| Intent::deserialize(fact).ok())
}

fn names(left: &[Invalid]) -> Option<String> {
    let names: Vec<&str> = left.iter().map(|index| index.name.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn by_hand<'l>(left: impl IntoIterator<Item = &'l Invalid>) -> String {
    let commands: Vec<String> = left.into_iter().map(drop_command).collect();
    format!("by hand: {}; then `runplan resume`", commands.join("; "))
}

fn drop_command(index: &Invalid) -> String {
    format!("DROP INDEX CONCURRENTLY {}", index.name)
}
