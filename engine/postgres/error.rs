//! What went wrong between us and a server, in plain words, and what it means for the work: certainly nothing
//! happened, certainly aborted, or it may have happened. Must never contain a password.

mod connect;

pub(crate) use connect::Target;

use tokio_postgres::error::{DbError, ErrorPosition};

/// What a failure says about the statement, or the attempt to connect, that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Certainly nothing happened: what failed was rolled back. (A statement that cannot run in a transaction may
    /// leave a remnant, as CREATE INDEX CONCURRENTLY leaves an invalid index.)
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
