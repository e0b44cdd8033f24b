//! The settings that libpq knows, and which of them are acted on here. Must never let one pass that would protect
//! something and is not honoured.

use super::super::error::Error;
use crate::secret::Secret;

/// What libpq knows: the name in a connection string, the variable, and whether it is acted on here.
pub(super) const KNOWN: &[(&str, &str, Use)] = &[
    ("host", "PGHOST", Use::Yes),
    ("hostaddr", "PGHOSTADDR", Use::Yes),
    ("port", "PGPORT", Use::Yes),
    ("dbname", "PGDATABASE", Use::Yes),
    ("user", "PGUSER", Use::Yes),
    ("password", "PGPASSWORD", Use::Yes),
    ("passfile", "PGPASSFILE", Use::Yes),
    ("service", "PGSERVICE", Use::Yes),
    ("sslmode", "PGSSLMODE", Use::Yes),
    ("sslrootcert", "PGSSLROOTCERT", Use::Yes),
    ("sslcert", "PGSSLCERT", Use::Yes),
    ("sslkey", "PGSSLKEY", Use::Yes),
    ("sslsni", "PGSSLSNI", Use::Yes),
    ("sslnegotiation", "PGSSLNEGOTIATION", Use::Yes),
    ("channel_binding", "PGCHANNELBINDING", Use::Yes),
    ("target_session_attrs", "PGTARGETSESSIONATTRS", Use::Yes),
    ("connect_timeout", "PGCONNECT_TIMEOUT", Use::Yes),
    ("options", "PGOPTIONS", Use::Yes),
    ("application_name", "PGAPPNAME", Use::Yes),
    ("keepalives", "", Use::Yes),
    ("keepalives_idle", "", Use::Yes),
    ("keepalives_interval", "", Use::Yes),
    ("keepalives_count", "", Use::Yes),
    ("tcp_user_timeout", "", Use::Yes),
    ("fallback_application_name", "", Use::Ignored),
    ("client_encoding", "PGCLIENTENCODING", Use::Ignored),
    ("gssencmode", "PGGSSENCMODE", Use::RefusedIf("require")),
    ("gsslib", "PGGSSLIB", Use::Ignored),
    ("gssdelegation", "PGGSSDELEGATION", Use::Ignored),
    ("krbsrvname", "PGKRBSRVNAME", Use::Ignored),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS", Use::Ignored),
    ("sslcompression", "PGSSLCOMPRESSION", Use::Ignored),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", Use::RefusedIf("TLSv1.3")),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Use::Ignored),
    ("min_protocol_version", "PGMINPROTOCOLVERSION", Use::Ignored),
    ("max_protocol_version", "PGMAXPROTOCOLVERSION", Use::Ignored),
    ("sslcertmode", "PGSSLCERTMODE", Use::RefusedIf("require")),
    ("sslpassword", "", Use::Refused),
    ("sslcrl", "PGSSLCRL", Use::Refused),
    ("sslcrldir", "PGSSLCRLDIR", Use::Refused),
    ("requirepeer", "PGREQUIREPEER", Use::Refused),
    ("require_auth", "PGREQUIREAUTH", Use::Refused),
    ("replication", "", Use::Refused),
];

/// The variables of `KNOWN`, and those that libpq reads beside them.
pub(super) const VARIABLES: &[&str] = &[
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLMODE",
    "PGREQUIRESSL",
    "PGSSLROOTCERT",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGSSLSNI",
    "PGSSLNEGOTIATION",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLCERTMODE",
    "PGSSLCOMPRESSION",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMAXPROTOCOLVERSION",
    "PGMINPROTOCOLVERSION",
    "PGMAXPROTOCOLVERSION",
    "PGCHANNELBINDING",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS",
    "PGCONNECT_TIMEOUT",
    "PGOPTIONS",
    "PGAPPNAME",
    "PGCLIENTENCODING",
    "PGGSSENCMODE",
    "PGGSSLIB",
    "PGGSSDELEGATION",
    "PGKRBSRVNAME",
    "PGDATESTYLE",
    "PGTZ",
    "PGGEQO",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Yes,
    /// Harmless to leave out.
    Ignored,
    /// It would protect something, and this program cannot do it.
    Refused,
    RefusedIf(&'static str),
}

/// Whether a setting exists, and can be honoured.
pub(super) fn check(key: &str, value: &Secret) -> Result<(), Error> {
    let Some((_, _, act)) = KNOWN.iter().find(|(name, _, _)| *name == key) else {
        let nearest = KNOWN
            .iter()
            .map(|(name, _, _)| *name)
            .max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)));
        return Err(Error::settings(
            format!("{key} is not a connection setting"),
            nearest.map_or_else(String::new, |name| format!("did you mean {name}?")),
        ));
    };
    let refused = match act {
        Use::Yes | Use::Ignored => false,
        Use::Refused => !value.is_empty(),
        Use::RefusedIf(at) => value.expose() == *at,
    };
    if refused {
        return Err(Error::settings(
            format!("the connection setting {key} is not supported"),
            "leave it out: connecting without what it asks for would be less safe than asked",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{KNOWN, VARIABLES};

    #[test]
    fn every_variable_that_is_read_is_also_removed_for_client_programs() {
        for (_, variable, _) in KNOWN.iter().filter(|(_, variable, _)| !variable.is_empty()) {
            assert!(VARIABLES.contains(variable), "{variable}");
        }
    }
}
