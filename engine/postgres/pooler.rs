//! PgBouncer's admin console: which of its pools lead to a database, and the commands that hold their clients while the
//! database is exchanged. Must never pause by itself what it cannot be told to resume.

use super::connection::Connection;
use super::error::{Error, Kind};
use super::escape_identifier;
use super::settings::Settings;

/// A session on the console.
#[derive(Debug)]
pub struct Pooler {
    console: Connection,
}

/// A database as the pooler's clients name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    pub name: String,
    pub paused: bool,
    /// A client keeps its server connection for as long as it is connected.
    pub by_session: bool,
}

impl Pooler {
    /// # Errors
    /// The console cannot be reached, or refuses the login.
    pub async fn connect(settings: &Settings, application_name: &str) -> Result<Self, Error> {
        Ok(Self { console: Connection::console(settings, application_name).await? })
    }

    pub fn endpoint(&self) -> &str {
        self.console.endpoint()
    }

    /// The pools that lead to a database of this name, on whichever server.
    ///
    /// # Errors
    /// The console does not answer as PgBouncer does.
    pub async fn pools(&self, database: &str) -> Result<Vec<Pool>, Error> {
        let found = self.console.last("SHOW DATABASES").await?;
        let column = |name: &str| {
            found.columns.iter().position(|known| known == name).ok_or_else(|| {
                let message = format!("{} does not answer as PgBouncer does", self.endpoint());
                Error::new(Kind::Shape, message, "`admin_url` is the address of its database `pgbouncer`")
            })
        };
        let (name, leads_to) = (column("name")?, column("database")?);
        let (paused, mode) = (column("paused")?, column("pool_mode")?);
        let text = |row: &Vec<Option<String>>, at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let mut pools = Vec::new();
        for row in found.rows.iter().filter(|row| text(row, leads_to) == database) {
            let own = text(row, mode);
            let mode = if own.is_empty() { self.mode().await? } else { own };
            pools.push(Pool {
                name: text(row, name),
                paused: text(row, paused) == "1",
                by_session: mode == "session",
            });
        }
        Ok(pools)
    }

    /// The mode of pools that have none of their own.
    async fn mode(&self) -> Result<String, Error> {
        let found = self.console.last("SHOW CONFIG").await?;
        let mode =
            found.rows.into_iter().find(|row| row.first().and_then(Option::as_deref) == Some("pool_mode"));
        Ok(mode.and_then(|row| row.into_iter().nth(1).flatten()).unwrap_or_default())
    }

    /// Lets nobody on to the server any more; answers when the last one is off it. Clients wait, and notice nothing else.
    ///
    /// # Errors
    /// The pool is not there, or the console was lost.
    pub async fn pause(&self, pool: &str) -> Result<(), Error> {
        self.command("PAUSE", pool).await
    }

    /// Connections to the server are made anew before they are used again.
    ///
    /// # Errors
    /// As `pause`.
    pub async fn reconnect(&self, pool: &str) -> Result<(), Error> {
        self.command("RECONNECT", pool).await
    }

    /// Lets the clients go on. One that goes on already is fine.
    ///
    /// # Errors
    /// As `pause`; the pool may still be paused then.
    pub async fn resume(&self, pool: &str, database: &str) -> Result<(), Error> {
        let Err(error) = self.command("RESUME", pool).await else { return Ok(()) };
        let pools = self.pools(database).await?;
        match pools.iter().any(|known| known.name == pool && known.paused) {
            true => Err(error),
            false => Ok(()),
        }
    }

    async fn command(&self, word: &str, pool: &str) -> Result<(), Error> {
        self.console.execute(&format!("{word} {}", escape_identifier(pool))).await.map(drop)
    }
}
