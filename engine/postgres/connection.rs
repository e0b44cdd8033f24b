//! One session on one server, spoken to in text. Owns the only task of this layer: the driver, which ends with the
//! connection. Must never repeat a statement by itself.
#![allow(clippy::disallowed_methods, reason = "the driver task of a connection is spawned here")]

mod driver;

pub use driver::Notice;

use super::error::{Class, Error, Kind, Target};
use super::result::{ResultSet, Rows};
use super::settings::{ChannelBinding, Host, Session, Settings, SslMode};
use super::{UTC, tls};
use driver::{Heard, drive};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::SimpleQueryMessage;

/// How long a host may take to answer when the settings give no limit.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// More rows than this in one answer are an error: they would fill the memory.
const MOST_ROWS: usize = 1_000_000;

/// A session. Dropping it aborts the driver and so closes the connection.
pub struct Connection {
    client: tokio_postgres::Client,
    driver: tokio::task::JoinHandle<()>,
    heard: Arc<Heard>,
    tls: Option<tls::Connector>,
    settings: Settings,
    endpoint: String,
    backend: Backend,
}

/// The server process behind a session: a pid may be used again, with its start it is unique.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Backend {
    pub pid: i32,
    /// UTC, to the microsecond.
    pub started: String,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", &self.endpoint)
            .field("database", &self.settings.database())
            .field("user", &self.settings.user())
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A standby; a session that begins read-only; who says so.
const SORT: &str = "SELECT pg_catalog.pg_is_in_recovery(), setting, source FROM pg_catalog.pg_settings \
    WHERE name OPERATOR(pg_catalog.=) 'default_transaction_read_only'";

impl Connection {
    /// Connects to the first host that answers and is of the wanted sort. A host that refuses the login ends the
    /// search, as with libpq.
    pub async fn connect(settings: &Settings, application_name: &str) -> Result<Self, Error> {
        let passes: &[Session] = match settings.session {
            Session::PreferStandby => &[Session::Standby, Session::Any],
            ref wanted => std::slice::from_ref(wanted),
        };
        let mut last = None;
        for wanted in passes {
            for host in &settings.hosts {
                match Self::connect_host(settings, host, application_name, *wanted).await {
                    Ok(connection) => return Ok(connection),
                    Err(error) if tries_next(error.kind()) => last = Some(error),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::settings("no host is given", "give host or PGHOST")))
    }

    /// Connects to a pooler's console, which answers commands of its own and no SQL: nothing is asked of it.
    pub async fn console(settings: &Settings, application_name: &str) -> Result<Self, Error> {
        let limit = settings.connect_timeout.unwrap_or(CONNECT_LIMIT);
        let mut last = None;
        for host in &settings.hosts {
            let opened = tokio::time::timeout(limit, Self::open(settings, host, application_name, false));
            match opened.await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) if tries_next(error.kind()) => last = Some(error),
                Ok(Err(error)) => return Err(error),
                Err(_) => last = Some(late(host, limit)),
            }
        }
        Err(last.unwrap_or_else(|| Error::settings("no host is given", "give host or PGHOST")))
    }

    async fn connect_host(
        settings: &Settings,
        host: &Host,
        application_name: &str,
        wanted: Session,
    ) -> Result<Self, Error> {
        let limit = settings.connect_timeout.unwrap_or(CONNECT_LIMIT);
        let attempt = async {
            let connection = Self::open(settings, host, application_name, true).await?;
            connection.require(wanted).await?;
            Ok(connection)
        };
        tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| Err(late(host, limit)))
    }

    /// Goes through the ways that the sslmode allows, from the preferred one on.
    async fn open(
        settings: &Settings,
        host: &Host,
        application_name: &str,
        is_server: bool,
    ) -> Result<Self, Error> {
        use tokio_postgres::config::SslMode as Way;
        let ways: &[Way] = match settings.tls.mode {
            _ if host.is_socket() => &[Way::Disable],
            SslMode::Disable => &[Way::Disable],
            SslMode::Allow => &[Way::Disable, Way::Require],
            SslMode::Prefer => &[Way::Prefer, Way::Disable],
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Way::Require],
        };
        let mut first = None;
        for way in ways {
            match Self::open_one(settings, host, application_name, *way, is_server).await {
                Ok(connection) => return Ok(connection),
                Err(error) if first.is_none() && tries_other_way(&error) => first = Some(error),
                // That one got further: it was let in as far as the password.
                Err(error) if error.kind() == Kind::Password => return Err(error),
                Err(error) => return Err(first.unwrap_or(error)),
            }
        }
        Err(first.unwrap_or_else(|| Error::settings("sslmode leaves no way", "check sslmode")))
    }

    async fn open_one(
        settings: &Settings,
        host: &Host,
        application_name: &str,
        way: tokio_postgres::config::SslMode,
        is_server: bool,
    ) -> Result<Self, Error> {
        let config = configuration(settings, host, application_name, way);
        let endpoint = host.endpoint();
        let target = Target { endpoint: &endpoint, user: &settings.user, database: &settings.database };
        let heard = Arc::new(Heard::default());
        let of_connect = |error| Error::of_connect(&error, &target);
        let (client, driver, tls) = if way == tokio_postgres::config::SslMode::Disable {
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.map_err(of_connect)?;
            (client, tokio::spawn(drive(connection, Arc::clone(&heard))), None)
        } else {
            let tls = tls::connector(&settings.tls)?;
            let (client, connection) = config.connect(tls.make.clone()).await.map_err(of_connect)?;
            (client, tokio::spawn(drive(connection, Arc::clone(&heard))), Some(tls))
        };
        let nobody = Backend { pid: 0, started: String::new() };
        let pinned = settings.pinned(host);
        let mut connection = Self { client, driver, heard, tls, settings: pinned, endpoint, backend: nobody };
        if is_server {
            connection.backend = connection.ask_backend().await?;
        }
        Ok(connection)
    }

    /// Asks the server which process serves this session now.
    async fn ask_backend(&self) -> Result<Backend, Error> {
        let row = self
            .row(&format!(
                "SELECT pid, pg_catalog.to_char(backend_start {UTC}) FROM pg_catalog.pg_stat_activity \
                 WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()"
            ))
            .await?;
        Ok(Backend { pid: row.number("pid")?, started: row.text(1)? })
    }

    async fn require(&self, wanted: Session) -> Result<(), Error> {
        if wanted == Session::Any {
            return Ok(());
        }
        let row = self.row(SORT).await?;
        let (standby, read_only, whose) = (row.text(0)? == "t", row.text(1)? == "on", row.text(2)?);
        // A freeze closes one database, and our own sessions close themselves: neither says what the server is.
        let server_is = standby || (read_only && !["client", "session"].contains(&whose.as_str()));
        let fits = match wanted {
            Session::Any | Session::PreferStandby => true,
            Session::ReadWrite => !server_is || (!standby && whose.contains("database")),
            Session::ReadOnly => server_is,
            Session::Primary => !standby,
            Session::Standby => standby,
        };
        if fits {
            return Ok(());
        }
        let is = match (standby, server_is) {
            (true, _) => "a standby",
            (false, true) => "a read-only primary",
            (false, false) => "a primary",
        };
        Err(Error::new(
            Kind::WrongServer,
            format!("the server at {} is {is}, which target_session_attrs excludes", self.endpoint),
            "name the other host too, or change target_session_attrs",
        ))
    }

    pub fn client(&self) -> &tokio_postgres::Client {
        &self.client
    }

    /// The settings, with only the host that answered.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// `host:port` of the host that answered.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The server process as it was when the session began.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Whether the session is protected by TLS.
    pub fn is_encrypted(&self) -> bool {
        self.tls.as_ref().is_some_and(tls::Connector::was_used)
    }

    /// Whether the session has ended, as far as is known: no statement can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed() || self.heard.end().is_some()
    }

    /// Runs SQL as one simple query and gives each statement's result as text. Several statements without
    /// `BEGIN` are one implicit transaction.
    pub async fn text(&self, sql: &str) -> Result<Vec<ResultSet>, Error> {
        if self.is_closed() {
            // Nothing was sent, so nothing happened, whatever became of what was sent before.
            let why = self.heard.end().unwrap_or_else(|| "it is closed".to_owned());
            return Err(Error::lost(&self.endpoint, &why).with_class(Class::Clean));
        }
        let failed = |error: tokio_postgres::Error| self.failed(&error);
        let mut stream = std::pin::pin!(self.client.simple_query_raw(sql).await.map_err(failed)?);
        let mut rows = Rows::default();
        while let Some(message) = stream.next().await {
            match message.map_err(failed)? {
                SimpleQueryMessage::RowDescription(columns) => rows.describe(&columns),
                SimpleQueryMessage::Row(row) => {
                    rows.push(&row);
                    rows.bound(MOST_ROWS)?;
                }
                SimpleQueryMessage::CommandComplete(affected) => rows.complete(affected),
                _ => {}
            }
        }
        Ok(rows.finish())
    }

    /// Runs SQL whose rows do not matter; gives the rows affected by its last statement.
    pub async fn execute(&self, sql: &str) -> Result<u64, Error> {
        Ok(self.text(sql).await?.last().map_or(0, |last| last.affected))
    }

    /// The result of the last statement.
    pub async fn last(&self, sql: &str) -> Result<ResultSet, Error> {
        Ok(self.text(sql).await?.pop().unwrap_or_default())
    }

    /// The only row of the last statement's result.
    pub async fn row(&self, sql: &str) -> Result<super::result::Row, Error> {
        self.last(sql).await?.into_one()
    }

    /// The only row, if there is one.
    pub async fn row_if_any(&self, sql: &str) -> Result<Option<super::result::Row>, Error> {
        self.last(sql).await?.into_one_or_none()
    }

    /// The first value of the only row; `None` is NULL.
    pub async fn value(&self, sql: &str) -> Result<Option<String>, Error> {
        self.row(sql).await.map(|row| row.values.into_iter().next().flatten())
    }

    /// The first value of the only row, which must not be NULL.
    pub async fn one(&self, sql: &str) -> Result<String, Error> {
        self.row(sql).await?.text(0)
    }

    /// Asks the server to cancel what this session is doing. The answer of the running statement tells whether it did.
    pub async fn cancel(&self) -> Result<(), Error> {
        let token = self.client.cancel_token();
        let done = match &self.tls {
            Some(tls) => token.cancel_query(tls.make.clone()).await,
            None => token.cancel_query(tokio_postgres::NoTls).await,
        };
        let (user, database) = (self.settings.user(), self.settings.database());
        done.map_err(|error| Error::of_connect(&error, &Target { endpoint: &self.endpoint, user, database }))
    }

    /// Gives the notices that came since the last call, and forgets them.
    pub fn take_notices(&self) -> Vec<Notice> {
        self.heard.take_notices()
    }

    fn failed(&self, error: &tokio_postgres::Error) -> Error {
        let found = Error::of_statement(error, &self.endpoint, self.heard.end());
        if let (Kind::Lost, Some(said)) = (found.kind(), error.as_db_error()) {
            // The server's last word, which the driver may see only later.
            self.heard.ended(said.message());
        }
        found
    }
}

fn late(host: &Host, limit: Duration) -> Error {
    Error::new(
        Kind::TimedOut,
        format!("{} did not answer within {} s", host.endpoint(), limit.as_secs()),
        "check host and port, the network and the firewall; connect_timeout sets the limit",
    )
}

/// Which failures mean "try the next host".
fn tries_next(kind: Kind) -> bool {
    matches!(kind, Kind::Unreachable | Kind::TimedOut | Kind::NotReady | Kind::WrongServer | Kind::Tls)
}

/// Which failures mean "try with (or without) TLS": the handshake failed, or pg_hba.conf has no line for this way.
fn tries_other_way(error: &Error) -> bool {
    matches!(error.kind(), Kind::Tls | Kind::Certificate) || error.sqlstate() == Some("28000")
}

fn configuration(
    settings: &Settings,
    host: &Host,
    application_name: &str,
    way: tokio_postgres::config::SslMode,
) -> tokio_postgres::Config {
    use tokio_postgres::config::{ChannelBinding as Binding, SslNegotiation};
    let mut config = tokio_postgres::Config::new();
    config.user(&settings.user).dbname(&settings.database).application_name(application_name);
    config.host(&host.name).port(host.port).ssl_mode(way);
    if let Some(address) = host.address {
        config.hostaddr(address);
    }
    if let Some(password) = settings.password_for(host) {
        config.password(password.expose());
    }
    if let Some(options) = &settings.options {
        config.options(options);
    }
    // While something that was sent is not acknowledged no keepalive is: a server that vanishes just then would be waited for
    // a quarter of an hour. Client programs do without: a restore may find the server too busy to read for long.
    let patience = settings.tcp_user_timeout.or_else(|| settings.keepalives.silence());
    if let Some(time) = patience.filter(|time| !time.is_zero()) {
        config.tcp_user_timeout(time);
    }
    config.keepalives(settings.keepalives.on);
    if let Some(time) = settings.keepalives.idle {
        config.keepalives_idle(time);
    }
    if let Some(time) = settings.keepalives.interval {
        config.keepalives_interval(time);
    }
    if let Some(count) = settings.keepalives.count {
        config.keepalives_retries(count);
    }
    if settings.tls.direct && way == tokio_postgres::config::SslMode::Require {
        config.ssl_negotiation(SslNegotiation::Direct);
    }
    config.channel_binding(match settings.tls.channel_binding {
        ChannelBinding::Disable => Binding::Disable,
        ChannelBinding::Prefer => Binding::Prefer,
        ChannelBinding::Require => Binding::Require,
    });
    config
}
