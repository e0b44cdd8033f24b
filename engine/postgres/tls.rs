//! TLS as libpq means it: what each sslmode proves about the server, with rustls underneath.
//! Must never weaken a check that was asked for.

use super::error::{Error, Kind};
use super::settings::{Roots, SslMode, Tls};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_postgres_rustls::MakeRustlsConnect;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Why a server's certificate was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the server's certificate is for {}, not {expected}", presented.join(", "))]
    WrongName { presented: Vec<String>, expected: String },
    #[error("the server's certificate is not signed by an authority in {trusted}")]
    Untrusted { trusted: String },
    #[error("the server's certificate has expired")]
    Expired,
    #[error("the server's certificate is not valid yet")]
    TooEarly,
    #[error("the server's certificate cannot be accepted: {0}")]
    Other(String),
}

impl Refusal {
    pub(super) fn help(&self) -> &'static str {
        match self {
            Refusal::WrongName { .. } => {
                "connect by a name that is in the certificate (hostaddr=ADDRESS keeps the address), or use verify-ca"
            }
            Refusal::Untrusted { .. } => "give the authority that signed it as sslrootcert=FILE",
            Refusal::Expired => "renew the server's certificate, and check this machine's clock",
            Refusal::TooEarly => "check this machine's clock",
            Refusal::Other(_) => "check the server's certificate with openssl s_client -starttls postgres",
        }
    }
}

impl From<Refusal> for rustls::Error {
    fn from(refusal: Refusal) -> Self {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// What makes the TLS side of a connection, and whether it came to that: with sslmode `prefer` the server decides.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) make: MakeRustlsConnect,
    used: Arc<AtomicBool>,
}

impl Connector {
    pub(super) fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }
}

pub(super) fn connector(tls: &Tls) -> Result<Connector, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let used = Arc::new(AtomicBool::new(false));
    let names = tls.mode == SslMode::VerifyFull;
    let verifier = Verifier { trust: trust(&tls.roots)?, names, provider, used: Arc::clone(&used) };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(Kind::Tls, format!("TLS cannot be set up: {error}"), "report this"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let (chain, key) = (certificates(certificate)?, private_key(key)?);
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                let message = format!("the client certificate {}: {error}", certificate.display());
                Error::settings(message, "check that sslcert and sslkey belong together")
            })?
        }
    };
    config.enable_sni = tls.sni;
    if tls.direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(Connector { make: MakeRustlsConnect::new(config), used })
}

/// The authorities that are trusted, and where they came from.
#[derive(Debug)]
struct Trust {
    store: RootCertStore,
    /// The certificates themselves: a server may present one of them, as a self-signed one does.
    pinned: Vec<CertificateDer<'static>>,
    from: String,
}

fn trust(roots: &Roots) -> Result<Option<Trust>, Error> {
    let (pinned, from) = match roots {
        Roots::Unchecked => return Ok(None),
        Roots::System => (rustls_native_certs::load_native_certs().certs, "this machine's store".to_owned()),
        Roots::File(file) => (certificates(file)?, file.display().to_string()),
    };
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(pinned.iter().cloned());
    if store.is_empty() {
        return Err(Error::settings(
            format!("there is no usable root certificate in {from}"),
            "check sslrootcert",
        ));
    }
    Ok(Some(Trust { store, pinned, from }))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable = |error: String| {
        Error::settings(
            format!("the certificate file {} cannot be read: {error}", file.display()),
            "it must be a PEM file that this user can read",
        )
    };
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|error| unreadable(error.to_string()))?.collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(unreadable("it holds no certificate".to_owned())),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

/// A key that others can read is refused, as libpq does; one of root's may be readable by its group.
fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let unusable = |why: String, help: &str| {
        Error::settings(format!("the private key {} cannot be used: {why}", file.display()), help)
    };
    let meta = std::fs::metadata(file).map_err(|error| unusable(error.to_string(), "check sslkey"))?;
    let loose = if meta.uid() == 0 { 0o037 } else { 0o077 };
    if meta.mode() & loose != 0 {
        return Err(unusable("others can read it".to_owned(), "chmod 600 the key"));
    }
    PrivateKeyDer::from_pem_file(file)
        .map_err(|error| unusable(error.to_string(), "it must be an unencrypted PEM key"))
}

/// Proves the chain where authorities are given, and the name where it was asked for.
#[derive(Debug)]
struct Verifier {
    trust: Option<Trust>,
    names: bool,
    provider: Arc<CryptoProvider>,
    /// Set when a server's certificate was accepted.
    used: Arc<AtomicBool>,
}

impl Verifier {
    fn check_chain(
        &self,
        trust: &Trust,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Refusal> {
        if trust.pinned.contains(leaf) {
            return check_dates(leaf, now);
        }
        let parsed = ParsedCertificate::try_from(leaf).map_err(|error| Refusal::Other(error.to_string()))?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &trust.store, between, now, algorithms).map_err(
            |error| match error {
                rustls::Error::InvalidCertificate(
                    CertificateError::Expired | CertificateError::ExpiredContext { .. },
                ) => Refusal::Expired,
                rustls::Error::InvalidCertificate(
                    CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
                ) => Refusal::TooEarly,
                rustls::Error::InvalidCertificate(
                    CertificateError::UnknownIssuer
                    | CertificateError::BadSignature
                    | CertificateError::Other(_),
                ) => Refusal::Untrusted { trusted: trust.from.clone() },
                other => Refusal::Other(other.to_string()),
            },
        )
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(trust) = &self.trust {
            self.check_chain(trust, leaf, between, now)?;
        }
        if self.names {
            check_name(leaf, name)?;
        }
        self.used.store(true, Ordering::Relaxed);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn decode(leaf: &CertificateDer<'_>) -> Result<x509_cert::Certificate, Refusal> {
    x509_cert::Certificate::from_der(leaf.as_ref()).map_err(|error| Refusal::Other(error.to_string()))
}

fn check_dates(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), Refusal> {
    let validity = decode(leaf)?.tbs_certificate.validity;
    let now = now.as_secs();
    if now < validity.not_before.to_unix_duration().as_secs() {
        return Err(Refusal::TooEarly);
    }
    if now > validity.not_after.to_unix_duration().as_secs() {
        return Err(Refusal::Expired);
    }
    Ok(())
}

/// The subject's alternative names decide; a certificate without any is judged by its common name, as libpq does.
fn check_name(leaf: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Refusal> {
    let certificate = decode(leaf)?;
    let expected = name.to_str().into_owned();
    let alternatives = alternative_names(&certificate);
    if !alternatives.is_empty() {
        let parsed = ParsedCertificate::try_from(leaf).map_err(|error| Refusal::Other(error.to_string()))?;
        return verify_server_name(&parsed, name)
            .map_err(|_| Refusal::WrongName { presented: alternatives, expected });
    }
    let common = common_name(&certificate);
    match &common {
        Some(common) if matches(common, &expected) => Ok(()),
        _ => Err(Refusal::WrongName {
            presented: vec![common.unwrap_or_else(|| "nobody (it has no name)".to_owned())],
            expected,
        }),
    }
}

fn alternative_names(certificate: &x509_cert::Certificate) -> Vec<String> {
    let Ok(Some((_, SubjectAltName(names)))) = certificate.tbs_certificate.get::<SubjectAltName>() else {
        return Vec::new();
    };
    let words = |name: &GeneralName| match name {
        GeneralName::DnsName(dns) => Some(dns.to_string()),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes() {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string()),
            bytes => <[u8; 16]>::try_from(bytes).ok().map(|ip| std::net::Ipv6Addr::from(ip).to_string()),
        },
        _ => None,
    };
    names.iter().filter_map(words).collect()
}

fn common_name(certificate: &x509_cert::Certificate) -> Option<String> {
    const COMMON_NAME: &str = "2.5.4.3";
    let mut parts = certificate.tbs_certificate.subject.0.iter().flat_map(|set| set.0.iter());
    let common = parts.rfind(|part| part.oid.to_string() == COMMON_NAME)?;
    std::str::from_utf8(common.value.value()).ok().map(str::to_owned)
}

/// A `*.` at the front stands for exactly one label.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(rest) => name.split_once('.').is_some_and(|(first, tail)| {
            !first.is_empty() && rest.contains('.') && tail.eq_ignore_ascii_case(rest)
        }),
        None => pattern.eq_ignore_ascii_case(name),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(matches("db.example.org", "DB.example.org"));
        assert!(matches("*.example.org", "db.example.org"));
        assert!(!matches("*.example.org", "a.b.example.org"));
        assert!(!matches("*.example.org", "example.org"));
        assert!(!matches("*.org", "example.org"));
    }
}
