//! Where a database is and how to get in: libpq's connection settings, from a URL or `key=value` text, the PG*
//! variables, the service file and the password file, with libpq's rules of precedence.
//! Must never connect, and never show a password.

mod conninfo;
mod environment;
mod known;
mod passfile;
mod prisma;
mod service;
mod values;

use super::error::Error;
use crate::secret::Secret;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Every variable that libpq reads for a connection. Remove them all from a client program's environment before
/// adding `client_environment`: a PGSERVICE or PGHOSTADDR left over would send it elsewhere.
pub const CLIENT_VARIABLES: &[&str] = known::VARIABLES;

/// Parsed connection settings. All that can be known without connecting has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub(super) hosts: Vec<Host>,
    pub(super) user: String,
    pub(super) database: String,
    password: Option<Secret>,
    passfile: Vec<passfile::Entry>,
    pub(super) tls: Tls,
    pub(super) session: Session,
    pub(super) connect_timeout: Option<Duration>,
    /// Zero: the system's.
    pub(super) tcp_user_timeout: Option<Duration>,
    pub(super) keepalives: Keepalives,
    pub(super) options: Option<String>,
    pub(super) application_name: Option<String>,
    warnings: Vec<String>,
}

/// One server to try: a name or a socket directory, perhaps the address that the name stands for, and the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    pub address: Option<IpAddr>,
    pub port: u16,
}

impl Host {
    /// Whether the name is the directory of a Unix socket.
    pub fn is_socket(&self) -> bool {
        self.name.starts_with('/')
    }

    /// `host:port`, as people write it.
    pub fn endpoint(&self) -> String {
        if self.name.contains(':') {
            format!("[{}]:{}", self.name, self.port)
        } else {
            format!("{}:{}", self.name, self.port)
        }
    }
}

/// libpq's sslmode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Which certificate authorities are trusted. `Unchecked` is libpq's behaviour without a root certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    Unchecked,
    System,
    File(PathBuf),
}

/// libpq's channel_binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

/// How the connection is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub mode: SslMode,
    pub roots: Roots,
    /// Certificate and key that prove who we are.
    pub identity: Option<(PathBuf, PathBuf)>,
    pub channel_binding: ChannelBinding,
    /// Whether the server's name is sent in the clear, for proxies that route by it.
    pub sni: bool,
    /// TLS from the first byte (`sslnegotiation=direct`, servers from 17).
    pub direct: bool,
}

/// libpq's target_session_attrs: which of several servers will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// TCP keepalives; what is `None` is the system's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalives {
    pub on: bool,
    pub idle: Option<Duration>,
    pub interval: Option<Duration>,
    pub count: Option<u32>,
}

impl Keepalives {
    /// Where nobody said anything: a server that is gone is noticed after half a minute. The system's two hours are too
    /// long for a run that keeps an application closed.
    fn usual(self) -> Self {
        let seconds = |n| Some(Duration::from_secs(n));
        Self { idle: seconds(10), interval: seconds(5), count: Some(4), ..self }
    }

    /// After how long an idle peer that is gone is noticed; None: never. What the system sets is not known, and taken as
    /// usual.
    pub(super) fn silence(self) -> Option<Duration> {
        let usual = self.usual();
        let part = |own: Option<Duration>, usual: Option<Duration>| own.or(usual).unwrap_or_default();
        let probes = self.count.or(usual.count).unwrap_or_default();
        let silence = part(self.interval, usual.interval).saturating_mul(probes);
        self.on.then(|| silence.saturating_add(part(self.idle, usual.idle)))
    }
}

impl Settings {
    /// Reads a URL, `key=value` text, or a bare database name. `env` is the environment: PG* variables fill what
    /// the text leaves open. Reads the service and password files.
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        values::settle(text, env)
    }

    /// The same server, user and protection, another database. A password from the password file is looked up
    /// anew: its lines may name databases.
    pub fn with_database(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    pub fn with_application_name(&self, name: &str) -> Self {
        Self { application_name: Some(name.to_owned()), ..self.clone() }
    }

    /// The same, with a server setting from the session's first moment on; the last one given of a name counts.
    pub fn with_setting(&self, name: &str, value: &str) -> Self {
        let mut options = self.options.clone().unwrap_or_default();
        if !options.is_empty() {
            options.push(' ');
        }
        // The server splits at blanks, and takes what follows a backslash as it is.
        let escaped: String = value
            .chars()
            .flat_map(|c| (c == ' ' || c == '\\').then_some('\\').into_iter().chain([c]))
            .collect();
        options.push_str(&format!("-c {name}={escaped}"));
        Self { options: Some(options), ..self.clone() }
    }

    /// A dead peer is noticed after about `silence`.
    pub fn with_keepalives(&self, silence: Duration) -> Self {
        let probes = 3;
        let part = (silence / (probes + 1)).max(Duration::from_secs(1));
        let keepalives = Keepalives { on: true, idle: Some(part), interval: Some(part), count: Some(probes) };
        Self { keepalives, tcp_user_timeout: Some(silence), ..self.clone() }
    }

    /// The same settings for one of the hosts only: the one that answered.
    pub(super) fn pinned(&self, host: &Host) -> Self {
        Self { hosts: vec![host.clone()], ..self.clone() }
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    pub fn session(&self) -> Session {
        self.session
    }

    pub fn application_name(&self) -> Option<&str> {
        self.application_name.as_deref()
    }

    pub fn connect_timeout(&self) -> Option<Duration> {
        self.connect_timeout
    }

    /// `host:port`, several joined by commas. No secret.
    pub fn endpoint(&self) -> String {
        self.hosts.iter().map(Host::endpoint).collect::<Vec<_>>().join(",")
    }

    /// What the PG* variables have no name for, as conninfo for the `--dbname` of a client program, with the database in
    /// front, whose name can hold anything. No secret.
    pub fn client_conninfo(&self) -> String {
        let mut text = format!("dbname='{}'", self.database.replace('\\', "\\\\").replace('\'', "\\'"));
        let mut add = |name: &str, value: Option<u64>| {
            if let Some(value) = value {
                text.push_str(&format!(" {name}={value}"));
            }
        };
        add("keepalives", (!self.keepalives.on).then_some(0));
        add("keepalives_idle", self.keepalives.idle.map(|time| time.as_secs()));
        add("keepalives_interval", self.keepalives.interval.map(|time| time.as_secs()));
        add("keepalives_count", self.keepalives.count.map(u64::from));
        let user = self.tcp_user_timeout.and_then(|time| u64::try_from(time.as_millis()).ok());
        add("tcp_user_timeout", user);
        text
    }

    /// The password for the first host.
    pub fn password(&self) -> Option<&Secret> {
        self.hosts.first().and_then(|host| self.password_for(host))
    }

    pub(super) fn password_for(&self, host: &Host) -> Option<&Secret> {
        self.password.as_ref().or_else(|| {
            let name = if host.is_socket() { "localhost" } else { &host.name };
            passfile::find(&self.passfile, name, host.port, &self.database, &self.user)
        })
    }

    /// What was ignored while reading, in words.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The PG* variables that make `pg_dump`, `psql` and their kin connect to the same place in the same way.
    /// For the environment, never for argv. See `CLIENT_VARIABLES` for what to remove first.
    pub fn client_environment(&self) -> Vec<(String, Secret)> {
        let mut variables = Vec::new();
        let mut set = |name: &str, value: String| variables.push((name.to_owned(), Secret::new(value)));
        let each = |part: &dyn Fn(&Host) -> String| self.hosts.iter().map(part).collect::<Vec<_>>().join(",");
        set("PGHOST", each(&|host| host.name.clone()));
        set("PGPORT", each(&|host| host.port.to_string()));
        if self.hosts.iter().any(|host| host.address.is_some()) {
            set("PGHOSTADDR", each(&|host| host.address.map_or_else(String::new, |ip| ip.to_string())));
        }
        set("PGUSER", self.user.clone());
        set("PGDATABASE", self.database.clone());
        if let Some(password) = self.password() {
            set("PGPASSWORD", password.expose().to_owned());
        }
        // Whatever is known is said above: no second opinion from the user's files. libpq complains of a device, and says nothing
        // of a file that cannot be there.
        set("PGPASSFILE", "/dev/null/none".to_owned());
        environment::tls_environment(&self.tls, &mut set);
        environment::session_environment(self, &mut set);
        variables
    }
}
