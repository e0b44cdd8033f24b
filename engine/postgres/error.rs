//! What went wrong between us and a server, in plain words, and what it means for the work: certainly nothing
//! happened, certainly aborted, or it may have happened. Must never contain a password.

use tokio_postgres::error::{DbError, ErrorPosition};

/// What a failure says about the statement, or the attempt to connect, that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Certainly nothing happened.
    Clean,
    /// Certainly nothing happened, and the same thing may succeed when tried again.
    Retryable,
    /// The connection was lost while the server worked: it may have happened.
    Unknown,
}

/// What sort of failure it is; each has its own stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Settings,
    Unreachable,
    TimedOut,
    Tls,
    Certificate,
    Password,
    Access,
    NoDatabase,
    NotReady,
    WrongServer,
    Sql,
    Lost,
    Shape,
    LockLost,
    Programs,
    Cluster,
}

impl Kind {
    pub fn code(self) -> &'static str {
        match self {
            Kind::Settings => "runplan::postgres::settings",
            Kind::Unreachable => "runplan::postgres::unreachable",
            Kind::TimedOut => "runplan::postgres::timed_out",
            Kind::Tls => "runplan::postgres::tls",
            Kind::Certificate => "runplan::postgres::certificate",
            Kind::Password => "runplan::postgres::password",
            Kind::Access => "runplan::postgres::access",
            Kind::NoDatabase => "runplan::postgres::no_database",
            Kind::NotReady => "runplan::postgres::not_ready",
            Kind::WrongServer => "runplan::postgres::wrong_server",
            Kind::Sql => "runplan::postgres::sql",
            Kind::Lost => "runplan::postgres::lost",
            Kind::Shape => "runplan::postgres::shape",
            Kind::LockLost => "runplan::postgres::lock_lost",
            Kind::Programs => "runplan::postgres::programs",
            Kind::Cluster => "runplan::postgres::cluster",
        }
    }
}

/// A failure of this layer. Boxed inside, so that results stay small.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Error(Box<Facts>);

#[derive(Debug, Clone)]
struct Facts {
    kind: Kind,
    class: Class,
    message: String,
    help: Option<String>,
    sqlstate: Option<String>,
    detail: Option<String>,
    position: Option<u32>,
}

impl miette::Diagnostic for Error {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        Some(Box::new(self.0.kind.code()))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            kind,
            class: Class::Clean,
            message: message.into(),
            help: Some(help.into()),
            sqlstate: None,
            detail: None,
            position: None,
        }))
    }

    pub(crate) fn settings(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(Kind::Settings, message, help)
    }

    pub fn with_class(mut self, class: Class) -> Self {
        self.0.class = class;
        self
    }

    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    pub fn class(&self) -> Class {
        self.0.class
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The server's five-character code, when the server answered.
    pub fn sqlstate(&self) -> Option<&str> {
        self.0.sqlstate.as_deref()
    }

    /// The server's DETAIL, which may hold values of rows.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// Where in the SQL that was sent, in characters from 1.
    pub fn position(&self) -> Option<u32> {
        self.0.position
    }

    /// A failure of a statement on a connection that stood. `ended` is what the driver last heard.
    pub(crate) fn of_statement(error: &tokio_postgres::Error, endpoint: &str, ended: Option<String>) -> Self {
        if let Some(server) = error.as_db_error() {
            return Self::of_server(server, endpoint);
        }
        if error.to_string() == "error encoding message to server" {
            return Self::new(
                Kind::Sql,
                "the SQL contains a NUL byte",
                "remove it: PostgreSQL cannot store it",
            );
        }
        let why = ended.unwrap_or_else(|| chain(error));
        Self::lost(endpoint, &why)
    }

    pub(crate) fn lost(endpoint: &str, why: &str) -> Self {
        Self::new(
            Kind::Lost,
            format!("the connection to {endpoint} was lost: {why}"),
            "whether the statement took effect is not known; look before repeating it",
        )
        .with_class(Class::Unknown)
    }

    fn of_server(server: &DbError, endpoint: &str) -> Self {
        let sqlstate = server.code().code();
        let fatal = matches!(server.severity(), "FATAL" | "PANIC");
        let mut error = if fatal {
            Self::lost(endpoint, server.message())
        } else {
            let mut error = Self::new(Kind::Sql, server.message(), String::new());
            error.0.help = server.hint().map(str::to_owned);
            error.with_class(class_of(sqlstate))
        };
        error.0.sqlstate = Some(sqlstate.to_owned());
        error.0.detail = server.detail().map(str::to_owned);
        error.0.position = match server.position() {
            Some(ErrorPosition::Original(at)) => Some(*at),
            Some(ErrorPosition::Internal { .. }) | None => None,
        };
        error
    }

    /// A failure to connect, in the words of somebody who has to fix it.
    pub(crate) fn of_connect(error: &tokio_postgres::Error, target: &Target<'_>) -> Self {
        if let Some(server) = error.as_db_error() {
            return target.refused(server);
        }
        if let Some(refusal) = find::<super::tls::Refusal>(error) {
            return Self::new(Kind::Certificate, refusal.to_string(), refusal.help());
        }
        let top = error.to_string();
        if top == "error performing TLS handshake" {
            return target.no_tls(&innermost(error));
        }
        if top == "invalid configuration" || top == "authentication error" {
            return target.no_authentication(&innermost(error));
        }
        match find::<std::io::Error>(error) {
            Some(io) => target.unreachable(io),
            None => Self::new(
                Kind::Unreachable,
                format!("{} did not answer like a PostgreSQL server: {}", target.endpoint, chain(error)),
                "check host and port: something else may listen there",
            ),
        }
    }
}

/// What was being connected to; only for wording.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub endpoint: &'a str,
    pub user: &'a str,
    pub database: &'a str,
}

impl Target<'_> {
    fn refused(&self, server: &DbError) -> Error {
        let Target { endpoint, user, database } = self;
        let sqlstate = server.code().code();
        let said = server.message();
        let (kind, message, help) = match sqlstate {
            "28P01" => (
                Kind::Password,
                format!("the server refused the password of user {user}"),
                format!("check the password (URL, PGPASSWORD or pgpass) for {endpoint}"),
            ),
            "28000" => (
                Kind::Access,
                format!("the server at {endpoint} refused user {user}: {said}"),
                "check the role, pg_hba.conf and sslmode".to_owned(),
            ),
            "3D000" => (
                Kind::NoDatabase,
                format!("database {database} does not exist on {endpoint}"),
                "check the name; `psql -l` lists what is there".to_owned(),
            ),
            "55000" | "42501" => (
                Kind::Access,
                format!("database {database} on {endpoint} lets user {user} not in: {said}"),
                "check datallowconn and the CONNECT privilege of the database".to_owned(),
            ),
            "53300" | "57P03" => (
                Kind::NotReady,
                format!("the server at {endpoint} takes no connections now: {said}"),
                "wait until it does, or end sessions that are not needed".to_owned(),
            ),
            _ => (
                Kind::Access,
                format!("the server at {endpoint} refused the connection: {said}"),
                server.hint().unwrap_or("see the server's log").to_owned(),
            ),
        };
        let class = if kind == Kind::NotReady { Class::Retryable } else { Class::Clean };
        let mut error = Error::new(kind, message, help).with_class(class);
        error.0.sqlstate = Some(sqlstate.to_owned());
        error
    }

    fn no_tls(&self, why: &str) -> Error {
        let endpoint = self.endpoint;
        if why == "server does not support TLS" {
            return Error::new(
                Kind::Tls,
                format!("the server at {endpoint} does not offer TLS, and sslmode demands it"),
                "turn on ssl at the server, or set sslmode=disable where the network is trusted",
            );
        }
        Error::new(
            Kind::Tls,
            format!("no TLS connection to {endpoint}: {why}"),
            "check sslmode, sslrootcert and the server's certificate",
        )
    }

    fn no_authentication(&self, why: &str) -> Error {
        let Target { endpoint, user, .. } = self;
        match why {
            "password missing" => Error::new(
                Kind::Password,
                format!("the server asks for the password of user {user}, and none is given"),
                format!("give one for {endpoint}: in the URL's secret, PGPASSWORD or pgpass"),
            ),
            "server did not use channel binding" => Error::new(
                Kind::Tls,
                format!("the server at {endpoint} offers no channel binding, and channel_binding=require"),
                "use TLS and scram-sha-256 at the server, or channel_binding=prefer",
            ),
            _ => Error::new(
                Kind::Access,
                format!("user {user} could not log in to {endpoint}: {why}"),
                "only password, md5, scram-sha-256 and client certificates are supported",
            ),
        }
    }

    fn unreachable(&self, io: &std::io::Error) -> Error {
        use std::io::ErrorKind;
        let endpoint = self.endpoint;
        let (kind, message) = match io.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => {
                (Kind::Unreachable, format!("nothing listens on {endpoint}"))
            }
            ErrorKind::TimedOut => (Kind::TimedOut, format!("{endpoint} did not answer in time")),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
                (Kind::Unreachable, format!("{endpoint} closed the connection before the session began"))
            }
            _ => (Kind::Unreachable, format!("{endpoint} cannot be reached: {io}")),
        };
        Error::new(kind, message, "check host and port, that the server runs, and the firewall")
    }
}

/// What a server's ERROR says: the statement was rolled back in every case but 40003 and class 08.
fn class_of(sqlstate: &str) -> Class {
    match sqlstate {
        "40001" | "40P01" | "55P03" => Class::Retryable,
        "40003" => Class::Unknown,
        _ if sqlstate.starts_with("08") => Class::Unknown,
        _ => Class::Clean,
    }
}

/// Looks for a cause of a type. `io::Error` hides what it wraps from `source`, so it is opened by hand.
fn find<'a, T: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a T> {
    if let Some(found) = error.downcast_ref::<T>() {
        return Some(found);
    }
    if let Some(io) = error.downcast_ref::<std::io::Error>() {
        return find::<T>(io.get_ref()?);
    }
    if let Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other))) =
        error.downcast_ref::<rustls::Error>()
    {
        return find::<T>(other.0.as_ref());
    }
    find::<T>(error.source()?)
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        next = cause.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_server_says_whether_it_may_have_happened() {
        assert_eq!(class_of("40001"), Class::Retryable);
        assert_eq!(class_of("40P01"), Class::Retryable);
        assert_eq!(class_of("55P03"), Class::Retryable);
        assert_eq!(class_of("40003"), Class::Unknown);
        assert_eq!(class_of("08006"), Class::Unknown);
        assert_eq!(class_of("23505"), Class::Clean);
    }

    #[test]
    fn codes_are_distinct() {
        let all = [
            Kind::Settings,
            Kind::Unreachable,
            Kind::TimedOut,
            Kind::Tls,
            Kind::Certificate,
            Kind::Password,
            Kind::Access,
            Kind::NoDatabase,
            Kind::NotReady,
            Kind::WrongServer,
            Kind::Sql,
            Kind::Lost,
            Kind::Shape,
            Kind::LockLost,
            Kind::Programs,
            Kind::Cluster,
        ];
        let codes: std::collections::BTreeSet<_> = all.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), all.len());
    }
}
