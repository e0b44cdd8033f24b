//! Authorities and the certificates that they sign, made by the `openssl` program in a directory of their own.

use runplan::process::plain;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::PathBuf;
use std::sync::Arc;

/// `ca`, and `other-ca`, which nobody is told to trust.
pub struct Authority {
    directory: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let authority = Self { directory: tempfile::tempdir().unwrap() };
        for name in ["ca", "other-ca"] {
            authority.self_signed(name, &format!("/CN=runplan test {name}"));
        }
        authority
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// A server that shows that certificate.
    pub fn server(&self, name: &str) -> ServerConfig {
        let certificate = CertificateDer::from_pem_file(self.path(&format!("{name}.crt"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap()
    }

    pub fn openssl(&self, args: &[&str]) {
        let output =
            plain::command("openssl").args(args).current_dir(self.directory.path()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn self_signed(&self, name: &str, subject: &str) {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        self.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            subject,
            "-keyout",
            &key,
            "-out",
            &certificate,
        ]);
    }

    pub fn signed(&self, name: &str, subject: &str, names: Option<&str>) {
        self.signed_by("ca", name, subject, names, "30");
    }

    /// By another authority than the first, or for another time; with negative days it has expired.
    pub fn signed_by(&self, authority: &str, name: &str, subject: &str, names: Option<&str>, days: &str) {
        let (ca, ca_key) = (format!("{authority}.crt"), format!("{authority}.key"));
        let file = |ending: &str| format!("{name}.{ending}");
        let (key, request, certificate, extensions) = (file("key"), file("csr"), file("crt"), file("ext"));
        self.openssl(&[
            "req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", &key, "-out", &request,
        ]);
        let names = names.map_or_else(String::new, |names| format!("subjectAltName={names}\n"));
        std::fs::write(self.path(&extensions), format!("basicConstraints=CA:FALSE\n{names}")).unwrap();
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-days",
            days,
            "-sha256",
            "-extfile",
            &extensions,
            "-out",
            &certificate,
        ]);
    }
}
