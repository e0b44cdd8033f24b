//! The inbox of a run: what other processes say to it, durably, and what became of that. Never writes to the journal.

use super::{Error, PostId, Posted, database};
use crate::clock;
use crate::run::{Actor, Post};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::ops::Range;
use std::path::Path;

/// Messages that may wait at once.
const MOST: u64 = 1000;
const LARGEST: usize = 64 * 1024;

/// Adds a message, whoever holds the run.
pub(super) fn post(directory: &Path, actor: &Actor, post: &Post) -> Result<PostId, Error> {
    let path = directory.join(database::FILE);
    let actor = serde_json::to_string(actor).unwrap_or_default();
    let post = serde_json::to_string(post).unwrap_or_default();
    if post.len() + actor.len() > LARGEST {
        return Err(Error::TooLarge { limit: LARGEST });
    }
    let mut connection = database::open(directory)?;
    let add = || {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let waiting: u64 = transaction.query_row(
            "SELECT count(*) FROM inbox WHERE taken IS NULL AND refused IS NULL",
            [],
            |row| row.get(0),
        )?;
        if waiting >= MOST {
            return Ok(Err(Error::InboxFull { waiting }));
        }
        let at = clock::now().to_string();
        transaction
            .execute("INSERT INTO inbox (at, actor, post) VALUES (?1, ?2, ?3)", params![at, actor, post])?;
        let id = transaction.last_insert_rowid().unsigned_abs();
        transaction.commit()?;
        Ok(Ok(PostId(id)))
    };
    let mut add = add;
    add().map_err(|error| Error::sqlite(&path, &error))?
}

/// The lines among which those are that were appended with it: they end where those of a later message begin. Nothing while
/// it waits.
pub(super) fn outcome(directory: &Path, id: PostId) -> Result<Option<Range<u64>>, Error> {
    let found = database::read(directory, |connection| {
        let columns = "SELECT taken, refused, (SELECT min(later.taken) FROM inbox AS later WHERE later.id > inbox.id) \
                       FROM inbox WHERE id = ?1";
        let row = |row: &rusqlite::Row<'_>| {
            let (first, next) = (row.get::<_, Option<u64>>(0)?, row.get::<_, Option<u64>>(2)?);
            Ok((first.map(|first| first..next.unwrap_or(u64::MAX)), row.get(1)?))
        };
        connection.query_row(columns, [id.0], row).optional()
    })?;
    match found {
        None => Err(Error::NoPost { id: id.0 }),
        Some((_, Some(reason))) => Err(Error::Refused { id: id.0, reason }),
        Some((taken, None)) => Ok(taken),
    }
}

/// What waits, oldest first. A message that cannot be read is refused, so that its sender hears of it.
pub(super) fn waiting(connection: &Connection) -> Result<Vec<Posted>, rusqlite::Error> {
    let mut select = connection.prepare_cached(
        "SELECT id, at, actor, post FROM inbox WHERE taken IS NULL AND refused IS NULL ORDER BY id LIMIT 1000",
    )?;
    let mut rows = select.query([])?;
    let mut waiting = Vec::new();
    while let Some(row) = rows.next()? {
        let id = PostId(row.get(0)?);
        let (at, actor, post): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
        match (at.parse(), serde_json::from_str(&actor), serde_json::from_str(&post)) {
            (Ok(at), Ok(actor), Ok(post)) => waiting.push(Posted { id, at, actor, post }),
            _ => refuse(connection, id)?,
        }
    }
    Ok(waiting)
}

fn refuse(connection: &Connection, id: PostId) -> Result<(), rusqlite::Error> {
    let reason = "the version that runs it does not know such a message";
    connection.execute("UPDATE inbox SET refused = ?2 WHERE id = ?1", params![id.0, reason]).map(drop)
}

/// Marks it as taken with that line. False if it does not wait.
pub(super) fn take(transaction: &Transaction<'_>, id: PostId, seq: u64) -> Result<bool, rusqlite::Error> {
    let sql = "UPDATE inbox SET taken = ?2 WHERE id = ?1 AND taken IS NULL AND refused IS NULL";
    Ok(transaction.prepare_cached(sql)?.execute(params![id.0, seq])? == 1)
}
