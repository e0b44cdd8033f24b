//! A streaming standby of a cluster.

use super::bouncer::{as_nobody, free_port};
use super::cluster::programs;
use runplan::postgres::{Cluster, Settings};

/// Ended with this value.
pub struct Standby {
    child: std::process::Child,
    port: u16,
    password: String,
    _directory: tempfile::TempDir,
}

impl Drop for Standby {
    fn drop(&mut self) {
        // SIGQUIT: at once.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        let _ = self.child.wait();
    }
}

impl Standby {
    /// The cluster needs `wal_level = replica` or more, and senders.
    pub fn start(cluster: &Cluster) -> Self {
        let programs = programs().server_programs(None).expect("server programs");
        let directory = tempfile::tempdir_in("/tmp").unwrap();
        let data = directory.path().join("data");
        let primary = cluster.settings("postgres").unwrap();
        let mut base = as_nobody(&programs.directory.join("pg_basebackup"), directory.path());
        for (name, value) in primary.client_environment() {
            base.env(name, value.expose());
        }
        let made = base.arg("-D").arg(&data).args(["-R", "-c", "fast", "-X", "stream"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = free_port();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut server = as_nobody(&programs.postgres, directory.path());
        server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "hot_standby=on"]);
        server.arg("-c").arg(format!("unix_socket_directories={}", directory.path().display()));
        server.args(["-c", "listen_addresses=127.0.0.1"]);
        let child = server.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let password = cluster.password().expose().to_owned();
        Self { child, port, password, _directory: directory }
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres:{}@127.0.0.1:{}/{database}?sslmode=disable", self.password, self.port)
    }

    pub fn settings(&self, database: &str) -> Settings {
        Settings::parse(&self.url(database), &|_| None).unwrap()
    }
}
