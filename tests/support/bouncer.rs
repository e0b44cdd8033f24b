//! PgBouncer before a cluster, on a port of its own, as an ordinary user: it refuses to run as root.

use runplan::postgres::{Cluster, Settings};
use runplan::process::{plain, which};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

/// Ended with this value.
pub struct Bouncer {
    child: std::process::Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The user whom servers run as in the tests.
pub fn nobody() -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("postgres:")).expect("the user postgres");
    let mut fields = line.split(':').skip(2).map(|field| field.parse().unwrap());
    (fields.next().unwrap(), fields.next().unwrap())
}

/// A command run as `nobody`, who owns the directory.
pub fn as_nobody(program: &Path, directory: &Path) -> std::process::Command {
    let mut command = plain::command(program);
    if rustix::process::getuid().is_root() {
        let (uid, gid) = nobody();
        std::os::unix::fs::chown(directory, Some(uid), Some(gid)).unwrap();
        std::fs::set_permissions(directory, PermissionsExt::from_mode(0o700)).unwrap();
        command.uid(uid).gid(gid);
    }
    command.current_dir(directory);
    command
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Bouncer {
    /// `databases`: the names of its pools, of which each leads to the database of that name; `*`: all.
    pub fn start(cluster: &Cluster, databases: &str, mode: &str, more: &str) -> Self {
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let program = which("pgbouncer", path).expect("pgbouncer is installed");
        let port = free_port();
        let directory = tempfile::tempdir().unwrap();
        let (server, password) = (cluster.port(), cluster.password().expose());
        let text = format!(
            "[databases]\n{databases} = host=127.0.0.1 port={server} user=postgres password={password}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\nadmin_users = postgres\n\
             pool_mode = {mode}\n{more}\n"
        );
        let config = directory.path().join("pgbouncer.ini");
        std::fs::write(&config, text).unwrap();
        std::fs::set_permissions(&config, PermissionsExt::from_mode(0o644)).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut command = as_nobody(&program, directory.path());
        let mut child = command.arg(&config).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "pgbouncer ended: {}", log());
            std::thread::yield_now();
        }
        Self { child, port, _directory: directory }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// To connect through it.
    pub fn settings(&self, database: &str) -> Settings {
        Settings::parse(&self.url(database), &|_| None).unwrap()
    }
}
