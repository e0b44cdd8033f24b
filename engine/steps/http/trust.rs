//! Whom an exchange trusts, and why somebody is not trusted, in words. Must never trust anybody for lack of authorities.

use rustls::{CertificateError, Error};
use std::sync::{Arc, OnceLock};
use ureq::tls::{Certificate, RootCerts};

/// The authorities that this machine trusts; the company's own are among them. `SSL_CERT_FILE` names others instead.
pub fn roots() -> RootCerts {
    static ROOTS: OnceLock<RootCerts> = OnceLock::new();
    ROOTS
        .get_or_init(|| {
            let found = rustls_native_certs::load_native_certs().certs;
            let certificates: Vec<_> =
                found.iter().map(|der| Certificate::from_der(der.as_ref()).to_owned()).collect();
            match certificates.is_empty() {
                true => RootCerts::WebPki,
                false => RootCerts::Specific(Arc::new(certificates)),
            }
        })
        .clone()
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
            format!("its certificate is for another name: {}", presented.join(", "))
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
        other => format!("its certificate cannot be accepted: {other}"),
    })
}
