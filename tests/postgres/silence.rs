//! Servers that say nothing: a connection, a login and a statement each end in words, within their time.

use crate::support::cluster::{RUNPLAN, connect, database, programs, shared};
use crate::support::proxy::Proxy;
use runplan::clock::Stopwatch;
use runplan::postgres::{Class, Cluster, ClusterOptions, Connection, Kind, Settings, identity};
use runplan::process::plain;
use std::time::Duration;

fn through(port: u16, more: &str) -> Settings {
    let password = shared().password().expose().to_owned();
    let text = format!("host=127.0.0.1 port={port} user=postgres password={password} dbname=postgres {more}");
    Settings::parse(&text, &|_| None).unwrap()
}

#[tokio::test]
async fn a_route_that_drops_is_given_up_at_every_stage_of_the_login() {
    // In the request for TLS, its answer, the first message, the passwords, the parameters, our first question.
    let stages = [0, 5, 9, 60, 200, 400, 700];
    let tried = stages.map(|bytes| async move {
        let proxy = Proxy::start(shared().port());
        proxy.swallow_after(bytes);
        let settings = through(proxy.port(), "connect_timeout=2");
        let watch = Stopwatch::start();
        let error = Connection::connect(&settings, "test").await.expect_err("nobody gets through");
        assert_eq!(
            error.message(),
            format!("127.0.0.1:{} did not answer within 2 s", proxy.port()),
            "after {bytes} bytes"
        );
        assert_eq!((error.kind(), error.class()), (Kind::TimedOut, Class::Clean));
        assert!(watch.elapsed() < Duration::from_secs(20));
        proxy.open();
    });
    futures_util::future::join_all(tried).await;
}

#[tokio::test]
async fn a_silent_host_is_passed_over_for_one_that_answers() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (nobody, port) = (silent.local_addr().unwrap().port(), shared().port());
    let password = shared().password().expose().to_owned();
    let text = format!(
        "host=127.0.0.1,127.0.0.1 port={nobody},{port} user=postgres password={password} dbname=postgres \
         connect_timeout=2"
    );
    let connection = connect(&Settings::parse(&text, &|_| None).unwrap()).await;
    assert_eq!(connection.endpoint(), format!("127.0.0.1:{port}"));
}

#[tokio::test]
async fn another_program_on_the_port_is_told_from_a_server() {
    use std::io::Write;
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in other.incoming().flatten() {
            client.write_all(b"J\0\0\0\n8.0.33\0").unwrap();
            std::thread::spawn(move || std::io::copy(&mut client, &mut std::io::sink()));
        }
    });
    let error = Connection::connect(&through(port, "sslmode=disable"), "test").await.expect_err("no server");
    assert!(
        error
            .message()
            .starts_with(&format!("what answers at 127.0.0.1:{port} does not speak PostgreSQL's protocol")),
        "{error}"
    );
}

/// The sort of a socket's timer and the hundredths of a second until it fires, by the server's port.
fn timer_of(local: u16, remote: u16) -> Option<(u8, u64)> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = |field: &str| u16::from_str_radix(field.rsplit(':').next()?, 16).ok();
        let (sort, when) = fields[5].split_once(':')?;
        let found = port(fields[1]) == Some(local) && port(fields[2]) == Some(remote) && fields[3] == "01";
        found.then_some((sort.parse().ok()?, u64::from_str_radix(when, 16).ok()?))
    })
}

const KEEPALIVE: u8 = 2;

/// Waits until nothing is on its way, and gives the timer of the client's end of a session.
async fn timer(settings: &Settings, pid: &str) -> (u8, u64) {
    let look = connect(&settings.with_database("postgres")).await;
    let port =
        look.one(&format!("SELECT client_port FROM pg_stat_activity WHERE pid = {pid}")).await.unwrap();
    let (local, remote) = (port.parse().unwrap(), shared().port());
    let watch = Stopwatch::start();
    loop {
        let found = timer_of(local, remote).expect("a socket of that port");
        // 1: what was sent is not acknowledged yet.
        if found.0 != 1 {
            return found;
        }
        assert!(watch.elapsed() < Duration::from_secs(20));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn keepalives_are_set_on_the_socket_itself() {
    for (more, most) in [("", Some(10)), ("keepalives_idle=60", Some(60)), ("keepalives=0", None)] {
        let settings = through(shared().port(), more);
        let connection = connect(&settings).await;
        let found = timer(&settings, &connection.backend().pid.to_string()).await;
        match most {
            // Under load some of it may be gone, never more than it is.
            Some(seconds) => {
                assert!(found.0 == KEEPALIVE && found.1 <= seconds * 100, "{more}: {found:?}");
                assert!(found.1 > (seconds - 10) * 100, "{more}: {found:?}");
            }
            None => assert_ne!(found.0, KEEPALIVE, "{more}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn client_programs_keep_their_connections_alive_too() {
    let settings = database("alive").await;
    let admin = connect(&settings).await;
    let major = identity::server_version(&admin).await.unwrap() / 10_000;
    let psql = programs().find("psql", major).unwrap();
    let mut command = plain::command(psql.path);
    command.args(["-XAt", "-d", &settings.client_conninfo(), "-c", "SELECT pg_sleep(60)"]);
    for (name, value) in settings.client_environment() {
        command.env(name, value.expose());
    }
    let mut child = command.spawn().unwrap();
    let there = format!(
        "SELECT pid FROM pg_stat_activity WHERE datname = '{}' AND query LIKE 'SELECT pg_sleep(60)%' AND state = 'active'",
        settings.database()
    );
    let pid = loop {
        if let Some(row) = admin.row_if_any(&there).await.unwrap() {
            break row.text(0).unwrap();
        }
        assert!(child.try_wait().unwrap().is_none(), "psql has ended");
    };
    let found = timer(&settings, &pid).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(found.0 == KEEPALIVE && found.1 <= 1_000, "{found:?}");
}

const APART: &str = "RUNPLAN_TEST_APART";

/// In a network of its own, so that its only route can be taken away in the middle of a statement.
#[test]
#[allow(clippy::print_stderr, reason = "what was not tested is said")]
fn a_server_that_vanishes_in_the_middle_of_a_statement_is_noticed() {
    if std::env::var_os(APART).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(vanishes());
    }
    // As root, with these programs, and where the kernel's settings may be written: not in every container.
    let wire =
        "ip link add name v0 type veth peer name v1 && echo 1 > /proc/sys/net/ipv4/conf/v0/route_localnet";
    let apart = plain::command("unshare").args(["--net", "sh", "-c", wire]).output();
    if !apart.is_ok_and(|output| output.status.success()) {
        eprintln!("no network of its own can be made here: this was NOT tested");
        return;
    }
    let own = std::env::current_exe().unwrap();
    let name = "postgres::silence::a_server_that_vanishes_in_the_middle_of_a_statement_is_noticed";
    let script = "ip link set lo up && ip link add name v0 type veth peer name v1 && exec \"$0\" --exact \"$1\" --nocapture";
    let output = plain::command("unshare")
        .args(["--net", "sh", "-c", script])
        .arg(own)
        .arg(name)
        .env(APART, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Everything for the server goes out by a wire at whose other end nobody takes it.
const AWAY: &str = "ip link set v0 up; ip link set v1 up; echo 1 > /proc/sys/net/ipv4/conf/v0/route_localnet
    ip neigh add 127.0.0.1 lladdr 02:00:00:00:00:01 dev v0 nud permanent
    ip route del local 127.0.0.0/8 dev lo table local; ip route del local 127.0.0.1 dev lo table local
    ip route add 127.0.0.1 dev v0";

async fn vanishes() {
    let server = programs().server_programs(None).unwrap();
    let cluster = Cluster::launch(ClusterOptions::new(server, RUNPLAN.into())).await.unwrap();
    let text = format!(
        "host=127.0.0.1 port={} user=postgres password={} keepalives_idle=1 keepalives_interval=1 keepalives_count=2",
        cluster.port(),
        cluster.password().expose()
    );
    let settings = Settings::parse(&text, &|_| None).unwrap();
    let (victim, other) = (connect(&settings).await, connect(&settings).await);
    let busy = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = {} AND state = 'active' AND query LIKE '%pg_sleep%'",
        victim.backend().pid
    );
    let away = async {
        while other.one(&busy).await.unwrap() == "0" {
            tokio::task::yield_now().await;
        }
        let away = plain::command("sh").args(["-ec", AWAY]).output().unwrap();
        assert!(away.status.success(), "{}", String::from_utf8_lossy(&away.stderr));
    };
    let statement = tokio::time::timeout(Duration::from_secs(40), victim.text("SELECT pg_sleep(120)"));
    let (result, ()) = tokio::join!(statement, away);
    let error = result.expect("it was noticed").unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Lost, Class::Unknown), "{error}");
    // Whatever is said next certainly never reached it.
    assert_eq!(victim.text("SELECT 1").await.unwrap_err().class(), Class::Clean);
    cluster.stop().unwrap();
}
