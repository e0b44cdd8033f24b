//! Failures to connect, in the words of somebody who has to fix them. Must never contain a password.

use super::{Class, Error, Kind, chain};
use crate::postgres::tls::Refusal;
use tokio_postgres::error::DbError;

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

    /// With TLS 1.3 the server says what it thinks of the client's certificate only after the handshake.
    fn refused_certificate(&self, io: &std::io::Error) -> Option<Error> {
        use rustls::AlertDescription as Alert;
        let rustls::Error::AlertReceived(alert) = io.get_ref()?.downcast_ref::<rustls::Error>()? else {
            return None;
        };
        let why = match alert {
            Alert::UnknownCA => "was issued by an authority that it does not know",
            Alert::CertificateExpired => "has expired",
            Alert::CertificateRevoked => "was revoked",
            Alert::CertificateRequired => "is missing, and it wants one",
            Alert::BadCertificate | Alert::UnsupportedCertificate | Alert::CertificateUnknown => {
                "is not good"
            }
            Alert::DecryptError => "and its key do not belong together",
            _ => return None,
        };
        let message =
            format!("the server at {} refused the session: the client's certificate {why}", self.endpoint);
        let help = "check sslcert and sslkey, and the server's ssl_ca_file and clock";
        Some(Error::new(Kind::Certificate, message, help))
    }

    fn unreachable(&self, io: &std::io::Error) -> Error {
        use std::io::ErrorKind;
        if let Some(refused) = self.refused_certificate(io) {
            return refused;
        }
        let endpoint = self.endpoint;
        let (kind, message) = match io.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => {
                (Kind::Unreachable, format!("nothing listens on {endpoint}"))
            }
            ErrorKind::TimedOut => (Kind::TimedOut, format!("{endpoint} did not answer in time")),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
                (Kind::Unreachable, format!("{endpoint} closed the connection before the session began"))
            }
            // Another program's greeting, or a proxy's excuse.
            ErrorKind::InvalidInput | ErrorKind::InvalidData => {
                return Error::new(
                    Kind::Unreachable,
                    format!("what answers at {endpoint} does not speak PostgreSQL's protocol ({io})"),
                    "check host and port: another program, or a proxy for the web, may stand there",
                );
            }
            _ => (Kind::Unreachable, format!("{endpoint} cannot be reached: {io}")),
        };
        Error::new(kind, message, "check host and port, that the server runs, and the firewall")
    }
}

impl Error {
    /// A failure to connect, in the words of somebody who has to fix it.
    pub(crate) fn of_connect(error: &tokio_postgres::Error, target: &Target<'_>) -> Self {
        if let Some(server) = error.as_db_error() {
            return target.refused(server);
        }
        if let Some(refusal) = find::<Refusal>(error) {
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
