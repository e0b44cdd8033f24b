//! The settings said again as PG* variables, for client programs. Must never reach argv.

use super::{ChannelBinding, Roots, Session, Settings, SslMode, Tls};
use std::path::Path;

pub(super) fn tls_environment(tls: &Tls, set: &mut dyn FnMut(&str, String)) {
    let mode = match tls.mode {
        SslMode::Disable => "disable",
        SslMode::Allow => "allow",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    };
    set("PGSSLMODE", mode.to_owned());
    match &tls.roots {
        Roots::Unchecked => {}
        Roots::System => set("PGSSLROOTCERT", system_bundle()),
        Roots::File(file) => set("PGSSLROOTCERT", file.display().to_string()),
    }
    if let Some((certificate, key)) = &tls.identity {
        set("PGSSLCERT", certificate.display().to_string());
        set("PGSSLKEY", key.display().to_string());
    }
    match tls.channel_binding {
        ChannelBinding::Prefer => {}
        ChannelBinding::Disable => set("PGCHANNELBINDING", "disable".to_owned()),
        ChannelBinding::Require => set("PGCHANNELBINDING", "require".to_owned()),
    }
    if !tls.sni {
        set("PGSSLSNI", "0".to_owned());
    }
    if tls.direct {
        set("PGSSLNEGOTIATION", "direct".to_owned());
    }
}

/// Client programs before 16 take `system` for a file's name, so they get the file.
fn system_bundle() -> String {
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"]
        .into_iter()
        .find(|file| Path::new(file).exists())
        .unwrap_or("system")
        .to_owned()
}

pub(super) fn session_environment(settings: &Settings, set: &mut dyn FnMut(&str, String)) {
    let session = match settings.session {
        Session::Any => None,
        // A frozen database's sessions begin read-only, and are still where they should be.
        Session::ReadWrite => Some("primary"),
        Session::ReadOnly => Some("read-only"),
        Session::Primary => Some("primary"),
        Session::Standby => Some("standby"),
        Session::PreferStandby => Some("prefer-standby"),
    };
    if let Some(session) = session {
        set("PGTARGETSESSIONATTRS", session.to_owned());
    }
    if let Some(time) = settings.connect_timeout {
        set("PGCONNECT_TIMEOUT", time.as_secs().to_string());
    }
    if let Some(options) = &settings.options {
        set("PGOPTIONS", options.clone());
    }
    if let Some(name) = &settings.application_name {
        set("PGAPPNAME", name.clone());
    }
}
