//! The journal of a held run in SQLite. The connection lives on a thread of its own, so that a slow disk never holds
//! up the loop; the thread ends, and with it the lock, when the journal is dropped.

use super::head::Head;
use super::journal::prove_sequence;
use super::lock::Lock;
use super::place::Place;
use super::runway::Runway;
use super::{Error, Journal, PostId, Posted, database, head, inbox};
use crate::failpoint;
use crate::run::Record;
use rusqlite::{Connection, TransactionBehavior, params};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// The journal of a run that this process holds.
#[derive(Debug)]
pub struct SqliteJournal {
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
    place: Place,
    lost: Arc<AtomicBool>,
}

enum Order {
    Append {
        expected: u64,
        lines: Vec<(u64, String)>,
        head: Option<Head>,
        taken: Vec<PostId>,
        reply: Reply<()>,
    },
    Inbox {
        reply: Reply<Vec<Posted>>,
    },
}

type Reply<T> = oneshot::Sender<Result<T, Error>>;

impl SqliteJournal {
    /// Opens the journal in that directory; the lock goes with it.
    pub(super) fn open(directory: &Path, lock: Lock) -> Result<Self, Error> {
        let place = Place::of(&directory.join(database::FILE))?;
        let connection = database::open(directory)?;
        let head = head::open(directory).map_err(|error| Error::io(&directory.join(head::FILE), &error))?;
        let lost = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            connection,
            head,
            is_head_synced: false,
            place: place.clone(),
            log: None,
            runway: None,
            lost: lost.clone(),
            _lock: lock,
        };
        let (orders, queue) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.work(&queue))
            .map_err(|error| Error::io(directory, &error))?;
        Ok(Self { orders: Some(orders), thread: Some(thread), place, lost })
    }

    async fn ask<T>(&self, order: impl FnOnce(Reply<T>) -> Order) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.as_ref().is_some_and(|orders| orders.send(order(reply)).is_ok());
        if !sent {
            return Err(Error::Lost);
        }
        answer.await.unwrap_or(Err(Error::Lost))
    }
}

impl Journal for SqliteJournal {
    async fn append_taking(&self, expected: u64, records: &[Record], taken: &[PostId]) -> Result<(), Error> {
        let sequence = prove_sequence(expected, records);
        if sequence.is_err() {
            self.lost.store(true, Ordering::Release);
        }
        sequence?;
        let lines = records.iter().map(|record| (record.seq, record.line.clone())).collect();
        let (head, taken) = (records.last().map(Head::of), taken.to_vec());
        self.ask(|reply| Order::Append { expected, lines, head, taken, reply }).await
    }

    async fn inbox(&self) -> Result<Vec<Posted>, Error> {
        self.ask(|reply| Order::Inbox { reply }).await
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire) || self.place.prove().is_err()
    }
}

impl Drop for SqliteJournal {
    /// Waits until the thread has closed the database and released the lock.
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread owns. The lock stands last: it is released when the database is closed.
struct Writer {
    connection: Connection,
    head: File,
    is_head_synced: bool,
    place: Place,
    /// Known from the first commit on.
    log: Option<Place>,
    runway: Option<Runway>,
    lost: Arc<AtomicBool>,
    _lock: Lock,
}

impl Writer {
    fn work(mut self, orders: &mpsc::Receiver<Order>) {
        // Whoever asked may have given up waiting; what was ordered is done all the same.
        for order in orders {
            match order {
                Order::Append { expected, lines, head, taken, reply } => {
                    let _ = reply.send(self.append(expected, &lines, head, &taken));
                    self.prepare_next();
                }
                Order::Inbox { reply } => {
                    let found = inbox::waiting(&self.connection);
                    let _ = reply.send(found.map_err(|error| self.words(&error)));
                }
            }
        }
    }

    fn prepare_next(&mut self) {
        if self.runway.is_none() {
            self.runway = Runway::open(&database::log(&self.place.path));
        }
        if let Some(runway) = &mut self.runway {
            runway.extend();
        }
    }

    fn append(
        &mut self,
        expected: u64,
        lines: &[(u64, String)],
        head: Option<Head>,
        taken: &[PostId],
    ) -> Result<(), Error> {
        if self.lost.load(Ordering::Acquire) {
            return Err(Error::Lost);
        }
        let numbers = expected + 1..=expected + lines.len() as u64;
        failpoint::reached("before_append", numbers.clone());
        let done = self.commit(expected, lines, taken).and_then(|()| self.prove_place());
        failpoint::reached("after_commit", numbers.clone());
        if done.is_err() {
            self.lost.store(true, Ordering::Release);
        }
        done?;
        if let Some(head) = head {
            // It is a second witness; what it testifies to is durable without it.
            let written = head.write(&self.head);
            // Once: what is written over it later has the same length, and a disk writes so little whole.
            if written.is_ok() && !std::mem::replace(&mut self.is_head_synced, true) {
                let _ = self.head.sync_data();
            }
        }
        failpoint::reached("after_append", numbers);
        Ok(())
    }

    fn commit(&mut self, expected: u64, lines: &[(u64, String)], taken: &[PostId]) -> Result<(), Error> {
        let path = self.place.path.clone();
        let words = |error: rusqlite::Error| Error::sqlite(&path, &error);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(words)?;
        let last = "SELECT coalesce(max(seq), 0) FROM journal";
        let found: u64 = transaction
            .prepare_cached(last)
            .and_then(|mut last| last.query_row([], |row| row.get(0)))
            .map_err(words)?;
        if found != expected {
            return Err(Error::Conflict { expected, found });
        }
        {
            let sql = "INSERT INTO journal (seq, line) VALUES (?1, ?2)";
            let mut insert = transaction.prepare_cached(sql).map_err(words)?;
            for (seq, line) in lines {
                insert.execute(params![seq, line]).map_err(words)?;
            }
        }
        for &id in taken {
            if !inbox::take(&transaction, id, expected + 1).map_err(words)? {
                return Err(Error::NoPost { id: id.0 });
            }
        }
        transaction.commit().map_err(words)
    }

    /// The database is where it was, and so is the log that the commit went to.
    fn prove_place(&mut self) -> Result<(), Error> {
        self.place.prove()?;
        match &self.log {
            Some(log) => log.prove(),
            None => {
                self.log = Some(Place::of(&database::log(&self.place.path))?);
                Ok(())
            }
        }
    }

    fn words(&self, error: &rusqlite::Error) -> Error {
        Error::sqlite(&self.place.path, error)
    }
}
