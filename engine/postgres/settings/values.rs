//! Puts the settings together: which source wins, what each value means, what is refused. Must never connect.

use super::conninfo::{self, Pairs};
use super::{
    ChannelBinding, Host, Keepalives, Roots, Session, Settings, SslMode, Tls, known, passfile, service,
};
use crate::postgres::accounts;
use crate::postgres::error::Error;
use crate::secret::Secret;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The values of all sources, the stronger source having won.
struct Values(BTreeMap<String, Secret>);

impl Values {
    fn add(&mut self, pairs: Pairs) -> Result<(), Error> {
        // Within one source the last of two wins; over sources the first.
        let mut own = BTreeMap::new();
        for (key, value) in pairs {
            known::check(&key, &value)?;
            own.insert(key, value);
        }
        for (key, value) in own {
            self.0.entry(key).or_insert(value);
        }
        Ok(())
    }

    /// An empty value is no value, as in libpq.
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(Secret::expose).filter(|value| !value.is_empty())
    }

    fn whole<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, Error> {
        self.get(key)
            .map(|value| value.trim().parse().map_err(|_| wrong(key, value, "a whole number")))
            .transpose()
    }
}

fn wrong(key: &str, value: &str, expected: &str) -> Error {
    Error::settings(format!("{key}={value} is not {expected}"), format!("give {key} a valid value"))
}

pub(super) fn settle(text: &str, env: Env<'_>) -> Result<Settings, Error> {
    let mut values = Values(BTreeMap::new());
    values.add(conninfo::read(text)?)?;
    let service = values.get("service").map(str::to_owned).or_else(|| env("PGSERVICE"));
    if let Some(name) = service {
        values.add(service::read(&name, &service::files(env))?)?;
    }
    let variables = known::KNOWN.iter().filter(|(_, variable, _)| !variable.is_empty());
    let environment = variables
        .filter_map(|(key, variable, _)| env(variable).map(|value| ((*key).to_owned(), Secret::new(value))));
    values.add(environment.filter(|(_, value)| !value.is_empty()).collect())?;

    let home = env("HOME").map(PathBuf::from).or_else(accounts::own_home);
    let user = match values.get("user") {
        Some(user) => user.to_owned(),
        None => accounts::own_name().or_else(|| env("USER")).ok_or_else(|| {
            Error::settings("no user is given, and this process has no user name", "give user or PGUSER")
        })?,
    };
    let (passfile, warning) = passwords(&values, home.as_deref())?;
    Ok(Settings {
        hosts: hosts(&values)?,
        database: values.get("dbname").unwrap_or(&user).to_owned(),
        user,
        password: values.get("password").map(Secret::new),
        passfile,
        tls: tls(&values, home.as_deref())?,
        session: session(&values)?,
        connect_timeout: connect_timeout(&values)?,
        tcp_user_timeout: values.whole::<u64>("tcp_user_timeout")?.map(Duration::from_millis),
        keepalives: keepalives(&values)?,
        options: values.get("options").map(str::to_owned),
        application_name: values.get("application_name").map(str::to_owned),
        warnings: warning.into_iter().collect(),
    })
}

fn passwords(values: &Values, home: Option<&Path>) -> Result<(Vec<passfile::Entry>, Option<String>), Error> {
    if values.get("password").is_some() {
        return Ok((Vec::new(), None));
    }
    let named = values.get("passfile").map(PathBuf::from);
    match named.or_else(|| home.map(|home| home.join(".pgpass"))) {
        Some(path) => passfile::read(&path),
        None => Ok((Vec::new(), None)),
    }
}

fn hosts(values: &Values) -> Result<Vec<Host>, Error> {
    let list = |key: &str| -> Vec<String> {
        values
            .get(key)
            .map(|all| all.split(',').map(|one| one.trim().to_owned()).collect())
            .unwrap_or_default()
    };
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = names.len().max(addresses.len()).max(1);
    let fits = |have: usize| have == 0 || have == count;
    if !fits(names.len()) || !fits(addresses.len()) || !(fits(ports.len()) || ports.len() == 1) {
        return Err(Error::settings(
            format!("{} hosts, {} addresses, {} ports", names.len(), addresses.len(), ports.len()),
            "give one port for all hosts, or as many of each",
        ));
    }
    (0..count)
        .map(|at| {
            let port = ports.get(at).or(ports.first()).map_or("", String::as_str);
            let port = match port {
                "" => 5432,
                text => match text.parse() {
                    Ok(0) | Err(_) => return Err(wrong("port", text, "a port from 1 to 65535")),
                    Ok(port) => port,
                },
            };
            let address: Option<std::net::IpAddr> = match addresses.get(at).map_or("", String::as_str) {
                "" => None,
                text => Some(text.parse().map_err(|_| wrong("hostaddr", text, "an IP address"))?),
            };
            let name = match (names.get(at).map_or("", String::as_str), address) {
                ("", Some(address)) => address.to_string(),
                ("", None) => default_host(port),
                (name, _) => name.to_owned(),
            };
            if name.starts_with('@') {
                return Err(Error::settings(
                    "abstract Unix sockets are not supported",
                    "give the socket's directory",
                ));
            }
            Ok(Host { name, address, port })
        })
        .collect()
}

/// The directory that holds a socket for this port, else `localhost`.
fn default_host(port: u16) -> String {
    ["/var/run/postgresql", "/tmp"]
        .into_iter()
        .find(|directory| Path::new(directory).join(format!(".s.PGSQL.{port}")).exists())
        .unwrap_or("localhost")
        .to_owned()
}

fn tls(values: &Values, home: Option<&Path>) -> Result<Tls, Error> {
    let system = values.get("sslrootcert") == Some("system");
    let mode = match values.get("sslmode") {
        Some("disable") => SslMode::Disable,
        Some("allow") => SslMode::Allow,
        Some("prefer") => SslMode::Prefer,
        Some("require") => SslMode::Require,
        Some("verify-ca") => SslMode::VerifyCa,
        Some("verify-full") => SslMode::VerifyFull,
        Some(other) => {
            return Err(wrong("sslmode", other, "disable, allow, prefer, require, verify-ca or verify-full"));
        }
        None if system => SslMode::VerifyFull,
        None => SslMode::Prefer,
    };
    if system && mode != SslMode::VerifyFull {
        return Err(Error::settings(
            "sslrootcert=system proves nothing without the name",
            "use sslmode=verify-full with it",
        ));
    }
    let direct = match values.get("sslnegotiation") {
        None | Some("postgres") => false,
        Some("direct") if matches!(mode, SslMode::Disable | SslMode::Allow | SslMode::Prefer) => {
            return Err(Error::settings(
                "sslnegotiation=direct needs TLS",
                "use sslmode=require or stronger",
            ));
        }
        Some("direct") => true,
        Some(other) => return Err(wrong("sslnegotiation", other, "postgres or direct")),
    };
    let channel_binding = match values.get("channel_binding") {
        Some("disable") => ChannelBinding::Disable,
        None | Some("prefer") => ChannelBinding::Prefer,
        Some("require") => ChannelBinding::Require,
        Some(other) => return Err(wrong("channel_binding", other, "disable, prefer or require")),
    };
    Ok(Tls {
        mode,
        roots: roots(values, mode, home)?,
        identity: client_certificate(values, home)?,
        channel_binding,
        sni: values.get("sslsni") != Some("0"),
        direct,
    })
}

fn roots(values: &Values, mode: SslMode, home: Option<&Path>) -> Result<Roots, Error> {
    let file = match values.get("sslrootcert") {
        Some("system") => return Ok(Roots::System),
        Some(file) => Some(PathBuf::from(file)),
        None => home.map(|home| home.join(".postgresql/root.crt")),
    };
    match file {
        Some(file) if file.exists() => Ok(Roots::File(file)),
        file if matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull) => {
            let file = file.map_or_else(String::new, |file| format!(" {}", file.display()));
            Err(Error::settings(
                format!("the root certificate file{file} does not exist"),
                "give sslrootcert=FILE, or sslrootcert=system for the authorities this machine trusts",
            ))
        }
        _ => Ok(Roots::Unchecked),
    }
}

fn client_certificate(values: &Values, home: Option<&Path>) -> Result<Option<(PathBuf, PathBuf)>, Error> {
    let place = |key: &str, name: &str| match values.get(key) {
        Some(file) => Some(PathBuf::from(file)),
        None => home.map(|home| home.join(".postgresql").join(name)),
    };
    let (Some(certificate), Some(key)) =
        (place("sslcert", "postgresql.crt"), place("sslkey", "postgresql.key"))
    else {
        return Ok(None);
    };
    if !certificate.exists() {
        return match values.get("sslcert") {
            None => Ok(None),
            Some(file) => {
                Err(Error::settings(format!("the client certificate {file} does not exist"), "check sslcert"))
            }
        };
    }
    if !key.exists() {
        return Err(Error::settings(
            format!("the client certificate {} has no key {}", certificate.display(), key.display()),
            "give sslkey=FILE",
        ));
    }
    Ok(Some((certificate, key)))
}

fn session(values: &Values) -> Result<Session, Error> {
    Ok(match values.get("target_session_attrs") {
        None | Some("any") => Session::Any,
        Some("read-write") => Session::ReadWrite,
        Some("read-only") => Session::ReadOnly,
        Some("primary") => Session::Primary,
        Some("standby") => Session::Standby,
        Some("prefer-standby") => Session::PreferStandby,
        Some(other) => {
            let expected = "any, read-write, read-only, primary, standby or prefer-standby";
            return Err(wrong("target_session_attrs", other, expected));
        }
    })
}

/// Zero and less is no limit; one second is too little and counts as two, as in libpq.
fn connect_timeout(values: &Values) -> Result<Option<Duration>, Error> {
    let seconds = values.whole::<i64>("connect_timeout")?.filter(|seconds| *seconds > 0);
    Ok(seconds.map(|seconds| Duration::from_secs(seconds.max(2).unsigned_abs())))
}

fn keepalives(values: &Values) -> Result<Keepalives, Error> {
    let seconds = |key: &str| -> Result<Option<Duration>, Error> {
        Ok(values.whole::<u64>(key)?.filter(|seconds| *seconds > 0).map(Duration::from_secs))
    };
    let said = Keepalives {
        on: values.whole::<i64>("keepalives")? != Some(0),
        idle: seconds("keepalives_idle")?,
        interval: seconds("keepalives_interval")?,
        count: values.whole::<u32>("keepalives_count")?.filter(|count| *count > 0),
    };
    let given = ["keepalives_idle", "keepalives_interval", "keepalives_count"];
    Ok(if given.iter().any(|key| values.get(key).is_some()) { said } else { said.usual() })
}
