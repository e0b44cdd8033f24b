//! Rows on their way, as COPY's text: from one server to another, into a file, out of one. Constant memory.

use super::Session;
use crate::postgres::{Connection, Error};
use crate::run::Failure;
use crate::steps::attempt::{Attempt, Unit};
use crate::steps::sql::session;
use crate::steps::sql::transaction::{Short, short};
use crate::steps::stop::{self, Stop};
use crate::steps::targets::{Target, application_name};
use futures_util::{SinkExt, StreamExt};
use std::io::Cursor;

/// Both servers write and read every value in the same, lossless way; a policy that would hide rows is an error.
pub const FAITHFUL: &str = "SET LOCAL extra_float_digits = 1; SET LOCAL datestyle = 'ISO, YMD'; \
    SET LOCAL intervalstyle = 'postgres'; SET LOCAL timezone = 'UTC'; SET LOCAL bytea_output = 'hex'; \
    SET LOCAL xmloption = 'content'; SET LOCAL lc_monetary = 'C'; SET LOCAL row_security = off";

/// A session that reads one snapshot and cannot write.
pub async fn open(attempt: &Attempt, target: &Target) -> Result<Connection, Stop> {
    let name = application_name(&attempt.world, attempt.step.id.value.as_str());
    let work = async {
        let connection = Connection::connect(&target.settings, &name).await?;
        connection
            .execute(&format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; {FAITHFUL}"
            ))
            .await?;
        Ok::<Connection, Error>(connection)
    };
    stop::unless_cancelled(attempt, work).await
}

fn failed(error: &tokio_postgres::Error, connection: &Connection) -> Short {
    short(&Error::of_statement(error, connection.endpoint(), None), "")
}

fn cancelled() -> Short {
    Short::Failed(session::cancelled("the transaction was rolled back"))
}

/// Everything that `query` gives there goes into `table` here; how many rows.
pub async fn carry(
    session: &Session<'_>,
    source: &Connection,
    query: &str,
    table: &str,
) -> Result<u64, Short> {
    let here = session.connection;
    let work = async {
        let read = format!("COPY ({query}) TO STDOUT");
        let mut out =
            Box::pin(source.client().copy_out(&read).await.map_err(|error| failed(&error, source))?);
        let write = format!("COPY {table} FROM STDIN");
        let mut into = Box::pin(here.client().copy_in(&write).await.map_err(|error| failed(&error, here))?);
        let mut bytes = 0;
        while let Some(chunk) = out.next().await {
            let chunk = chunk.map_err(|error| failed(&error, source))?;
            bytes += chunk.len() as u64;
            session.attempt.progress("copying", bytes, None, Unit::Bytes);
            into.send(chunk).await.map_err(|error| failed(&error, here))?;
        }
        into.as_mut().finish().await.map_err(|error| failed(&error, here))
    };
    tokio::select! {
        rows = work => rows,
        () = session.attempt.cancelled.cancelled() => Err(cancelled()),
    }
}

/// Everything that `query` gives, piece by piece.
pub async fn read(
    session: &Session<'_>,
    query: &str,
    mut take: impl FnMut(&[u8]) -> Result<(), Failure> + Send,
) -> Result<(), Short> {
    let here = session.connection;
    let work = async {
        let read = format!("COPY ({query}) TO STDOUT");
        let mut out = Box::pin(here.client().copy_out(&read).await.map_err(|error| failed(&error, here))?);
        while let Some(chunk) = out.next().await {
            take(&chunk.map_err(|error| failed(&error, here))?).map_err(Short::Failed)?;
        }
        Ok(())
    };
    tokio::select! {
        done = work => done,
        () = session.attempt.cancelled.cancelled() => Err(cancelled()),
    }
}

/// Puts pieces into a table until there are none; how many rows.
pub async fn write(
    session: &Session<'_>,
    table: &str,
    mut give: impl FnMut() -> Result<Option<Vec<u8>>, Failure> + Send,
) -> Result<u64, Short> {
    let here = session.connection;
    let work = async {
        let write = format!("COPY {table} FROM STDIN");
        let mut into = Box::pin(here.client().copy_in(&write).await.map_err(|error| failed(&error, here))?);
        while let Some(piece) = give().map_err(Short::Failed)? {
            into.send(Cursor::new(piece)).await.map_err(|error| failed(&error, here))?;
        }
        into.as_mut().finish().await.map_err(|error| failed(&error, here))
    };
    tokio::select! {
        rows = work => rows,
        () = session.attempt.cancelled.cancelled() => Err(cancelled()),
    }
}
