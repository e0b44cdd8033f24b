//! A real mail server on loopback, with a certificate of its own authority.
#![allow(clippy::disallowed_methods, reason = "the mail server and openssl are started here")]

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/mail_server.py");

pub struct MailServer {
    pub port: u16,
    directory: tempfile::TempDir,
    child: Child,
}

impl MailServer {
    /// `mode`: `starttls`, `tls` or `none`, as a channel says it.
    pub fn start(mode: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args([
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ])
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut child = Command::new("python3")
            .args([SERVER, mode, "cert.pem", "key.pem", "box"])
            .current_dir(directory.path())
            .env("PYTHONPATH", packages())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the mail server's port (.ci/test-programs installs it)");
        Self { port, directory, child }
    }

    /// What a client must trust.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    /// The mails that were taken.
    pub fn mails(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.directory.path().join("box")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `.ci/test-programs` puts what the server is made of.
fn packages() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache"),
        PathBuf::from,
    );
    cache.join("runplan-tests/aiosmtpd-1.4.6")
}
