//! A connection pooler in the server's place is noticed, in each of its modes.

use super::{APP, ask, codes, one, shown};
use crate::support::cluster::{database, shared};
use crate::support::stage::plan;
use runplan::postgres::Settings;
use runplan::process::{plain, which};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

const STEPS: &str =
    "steps:\n  - { id: changed, sql: { database: app, statement: CREATE TABLE t (a int) } }\n";

/// PgBouncer on a port of its own, ended with this value.
struct Bouncer {
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

/// An ordinary user: it refuses to run as root.
fn nobody() -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("postgres:")).expect("the user postgres");
    let mut fields = line.split(':').skip(2).map(|field| field.parse().unwrap());
    (fields.next().unwrap(), fields.next().unwrap())
}

fn bouncer(mode: &str, more: &str) -> Bouncer {
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let program = which("pgbouncer", path).expect("pgbouncer is installed");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let (server, password) = (shared().port(), shared().password().expose());
    let text = format!(
        "[databases]\n* = host=127.0.0.1 port={server} user=postgres password={password}\n[pgbouncer]\n\
         listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n{more}\n"
    );
    let config = directory.path().join("pgbouncer.ini");
    std::fs::write(&config, text).unwrap();
    let mut command = plain::command(program);
    if rustix::process::getuid().is_root() {
        let (uid, gid) = nobody();
        std::os::unix::fs::chown(directory.path(), Some(uid), Some(gid)).unwrap();
        std::os::unix::fs::chown(&config, Some(uid), Some(gid)).unwrap();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o700)).unwrap();
        command.uid(uid).gid(gid);
    }
    let log = std::fs::File::create(directory.path().join("log")).unwrap();
    let mut child = command.arg(&config).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        let log = || std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
        assert!(child.try_wait().unwrap().is_none(), "pgbouncer ended: {}", log());
        std::thread::yield_now();
    }
    Bouncer { child, port, _directory: directory }
}

async fn through(bouncer: &Bouncer, database: &str) -> runplan::steps::Preflight {
    let url = format!("postgresql://postgres@127.0.0.1:{}/{database}?sslmode=disable", bouncer.port);
    let settings = Settings::parse(&url, &|_| None).unwrap();
    ask(&plan(&format!("{APP}{STEPS}")).database("app", &settings).set()).await
}

#[tokio::test]
async fn one_that_refuses_settings() {
    let settings = database("preflight_pooled").await;
    let all = through(&bouncer("transaction", ""), settings.database()).await;
    assert_eq!(codes(&all), ["pooled"], "{}", shown(&all));
    assert!(!all.may_start());
}

#[tokio::test]
async fn one_that_swallows_them() {
    let settings = database("preflight_pooled").await;
    for (mode, how) in [
        ("transaction", "share a server process"),
        ("session", "a new session is served by an older server process"),
    ] {
        let bouncer = bouncer(mode, "ignore_startup_parameters = options");
        let all = through(&bouncer, settings.database()).await;
        let pooled = one(&all, "pooled");
        assert!(pooled.message.contains(how), "{mode}: {pooled:?}");
        assert!(pooled.help.as_deref().unwrap().contains("pooler: {admin_url}"));
    }
}
