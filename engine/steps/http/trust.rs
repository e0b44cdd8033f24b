//! Whom an exchange trusts, and why somebody is not trusted, in words. Must never trust anybody for lack of authorities.

use rustls::crypto::ring;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use ureq::tls::{Certificate, RootCerts};

/// The authorities that this machine trusts; the company's own are among them. `SSL_CERT_FILE` names others instead.
///
/// # Errors
/// `SSL_CERT_FILE` or `SSL_CERT_DIR` is set, and nothing can be read there: nobody else is trusted in their place.
pub fn roots() -> Result<RootCerts, String> {
    static ROOTS: OnceLock<Result<RootCerts, String>> = OnceLock::new();
    ROOTS
        .get_or_init(|| {
            let found = rustls_native_certs::load_native_certs();
            let certificates: Vec<_> =
                found.certs.iter().map(|der| Certificate::from_der(der.as_ref()).to_owned()).collect();
            if !certificates.is_empty() {
                return Ok(RootCerts::Specific(Arc::new(certificates)));
            }
            let names = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter();
            let set: Vec<String> = names
                .filter_map(|name| Some(format!("{name}={}", std::env::var_os(name)?.to_string_lossy())))
                .collect();
            if set.is_empty() {
                return Ok(RootCerts::WebPki);
            }
            let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            let why = if why.is_empty() { "nothing".to_owned() } else { why.join("; ") };
            Err(format!("{} has no certificate to trust ({why})", set.join(" and ")))
        })
        .clone()
}

/// Why an exchange over a connection would come to nothing.
#[derive(Debug)]
pub enum Distrust {
    /// Who answers is not who is meant, as far as anybody can tell.
    Refused(String),
    /// It came to no certificate.
    Broken(String),
}

/// Asks who answers, as an exchange would, and says nothing else. False: this machine has no authorities of its own, and
/// whom an exchange would trust is not tried.
///
/// # Errors
/// It would not be trusted, or does not speak TLS.
pub async fn prove(host: &str, stream: TcpStream) -> Result<bool, Distrust> {
    let RootCerts::Specific(authorities) = roots().map_err(Distrust::Refused)? else { return Ok(false) };
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(authorities.iter().map(|one| CertificateDer::from(one.der().to_vec())));
    let broken = |error: &dyn std::fmt::Display| Distrust::Broken(error.to_string());
    let name = ServerName::try_from(host.to_owned()).map_err(|error| broken(&error))?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| broken(&error))?
        .with_root_certificates(store)
        .with_no_client_auth();
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(_) => Ok(true),
        Err(error) => Err(match within(&error).and_then(refusal) {
            Some(why) => Distrust::Refused(why),
            None => Distrust::Broken(words(&error)),
        }),
    }
}

/// What TLS says inside an error of the connection.
pub fn within(io: &std::io::Error) -> Option<&Error> {
    io.get_ref()?.downcast_ref::<Error>()
}

/// Why a certificate is refused; None: something else is wrong.
pub fn refusal(error: &Error) -> Option<String> {
    let Error::InvalidCertificate(why) = error else { return None };
    Some(match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is not signed by an authority that this machine trusts; SSL_CERT_FILE=FILE names those to trust"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            let names: Vec<&str> = presented.iter().map(|name| plain_name(name)).collect();
            format!("its certificate is for another name: {}", names.join(", "))
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired, or this machine's clock is wrong".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet, or this machine's clock is wrong".to_owned()
        }
        CertificateError::Other(why) if format!("{why:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is an authority's own, and may not stand for a server".to_owned()
        }
        CertificateError::BadEncoding | CertificateError::Other(_) => {
            "its certificate is not one that a server may show".to_owned()
        }
        other => format!("its certificate cannot be accepted: {other}"),
    })
}

/// `DnsName("a.example")` as people write it.
fn plain_name(name: &str) -> &str {
    name.split_once("(\"").and_then(|(_, rest)| rest.strip_suffix("\")")).unwrap_or(name)
}

/// A broken connection in words.
pub fn words(io: &std::io::Error) -> String {
    within(io).map_or_else(|| io.to_string(), of_tls)
}

/// What went wrong with TLS otherwise, in words.
pub fn of_tls(error: &Error) -> String {
    match error {
        Error::InvalidMessage(_) => {
            "what came is not TLS; is it a port without it, for an `http://` address?".to_owned()
        }
        Error::PeerIncompatible(_) => "the server speaks no version of TLS that is safe".to_owned(),
        Error::AlertReceived(alert) => format!("the server broke TLS off ({alert:?})"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_troubles_are_told_without_the_librarys_words() {
        assert_eq!(plain_name("DnsName(\"a.example\")"), "a.example");
        assert_eq!(plain_name("a.example"), "a.example");
        let not_tls = Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        let io = std::io::Error::new(std::io::ErrorKind::InvalidData, not_tls);
        assert!(words(&io).starts_with("what came is not TLS"), "{}", words(&io));
        let encoding = Error::InvalidCertificate(CertificateError::BadEncoding);
        assert_eq!(refusal(&encoding).unwrap(), "its certificate is not one that a server may show");
    }
}
