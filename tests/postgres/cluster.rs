//! The throw-away cluster: that it works, and that nothing makes it outlive its owner.

use crate::support::cluster::{connect, options};
use runplan::postgres::{Cluster, Kind, Stop, sweep};
use runplan::process::plain;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// Makes `an_owner_serves_its_cluster` announce itself and live on.
const HOLD: &str = "RUNPLAN_TEST_HOLD_CLUSTER";
const OWNER: &str = "postgres::cluster::an_owner_serves_its_cluster";

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended.
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// What a holding owner says of itself.
#[derive(Debug)]
struct Held {
    server: u32,
    guard: u32,
    directory: PathBuf,
}

fn announcement(line: &str) -> Option<Held> {
    let mut words = line.trim().strip_prefix("holding ")?.split(' ');
    Some(Held {
        server: words.next()?.parse().ok()?,
        guard: words.next()?.parse().ok()?,
        directory: words.next()?.into(),
    })
}

fn next_announcement(lines: &mut impl BufRead) -> Held {
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        if let Some(at) = line.find("holding ") {
            return announcement(&line[at..]).unwrap();
        }
        line.clear();
    }
    panic!("the owner ended");
}

/// In a run of its own (see `HOLD`) this is the owner that the other tests kill.
#[tokio::test]
async fn an_owner_serves_its_cluster() {
    let cluster = Cluster::start(options()).unwrap();
    let settings = cluster.settings("postgres").unwrap();
    assert_eq!(connect(&settings).await.one("SELECT current_user").await.unwrap(), "postgres");
    if std::env::var_os(HOLD).is_none() {
        return;
    }
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).unwrap();
    let directory = cluster.directory().display();
    println!("holding {} {} {directory}", cluster.server_pid(), cluster.guard_pid());
    loop {
        interrupt.recv().await;
        println!("served {}", connect(&settings).await.one("SELECT 40 + 2").await.unwrap());
    }
}

fn owner() -> std::process::Command {
    let mut command = plain::command(std::env::current_exe().unwrap());
    command.args([OWNER, "--exact", "--nocapture"]).env(HOLD, "1");
    command
}

#[test]
fn a_killed_owner_takes_its_server_along() {
    let mut owner = owner().stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let held = next_announcement(&mut BufReader::new(owner.stdout.take().unwrap()));
    assert!(is_alive(held.server) && is_alive(held.guard) && held.directory.exists());
    // The owner's environment may hold secrets: the server's account does not get to see it.
    let seen = |pid: u32| std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let holds = |environ: &[u8]| String::from_utf8_lossy(environ).contains(HOLD);
    assert!(holds(&seen(owner.id())) && !holds(&seen(held.server)));
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("the server ends", || !is_alive(held.server));
    wait_until("the directory goes", || !held.directory.exists());
    wait_until("the guard ends", || !is_alive(held.guard));
}

#[test]
fn ctrl_c_on_the_terminal_reaches_only_the_owner() {
    let pty = portable_pty::native_pty_system().openpty(portable_pty::PtySize::default()).unwrap();
    let mut command = portable_pty::CommandBuilder::new(std::env::current_exe().unwrap());
    command.args([OWNER, "--exact", "--nocapture"]);
    command.env(HOLD, "1");
    command.cwd("/");
    let mut owner = pty.slave.spawn_command(command).unwrap();
    drop(pty.slave);
    let mut lines = BufReader::new(pty.master.try_clone_reader().unwrap());
    let held = next_announcement(&mut lines);
    let mut keyboard = pty.master.take_writer().unwrap();
    keyboard.write_all(b"\x03").unwrap();
    let mut line = String::new();
    while !line.contains("served 42") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the owner ended");
    }
    assert!(is_alive(held.server) && is_alive(held.guard));
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("the directory goes", || !held.directory.exists());
    assert!(!is_alive(held.server));
}

#[test]
fn a_terminated_guard_takes_its_server_along() {
    let cluster = Cluster::start(options()).unwrap();
    kill(cluster.guard_pid(), Signal::TERM);
    wait_until("the directory goes", || !cluster.directory().exists());
    assert!(!is_alive(cluster.server_pid()));
}

#[test]
fn what_a_killed_guard_leaves_is_swept() {
    let cluster = Cluster::start(options()).unwrap();
    let living = Cluster::start(options()).unwrap();
    let (server, directory) = (cluster.server_pid(), cluster.directory().to_path_buf());
    kill(cluster.guard_pid(), Signal::KILL);
    // Starts of other tests sweep too: whoever does it, it must come out so.
    wait_until("the directory goes", || {
        sweep();
        !directory.exists()
    });
    wait_until("the server ends", || !is_alive(server));
    assert!(is_alive(living.server_pid()) && living.directory().exists(), "who lives is left alone");
}

#[test]
fn stopping_and_dropping_leave_nothing() {
    for stop in [true, false] {
        let cluster = Cluster::start(options()).unwrap();
        let (server, guard, directory) =
            (cluster.server_pid(), cluster.guard_pid(), cluster.directory().to_path_buf());
        match stop {
            true => cluster.stop().unwrap(),
            false => drop(cluster),
        }
        assert!(!is_alive(server) && !is_alive(guard) && !directory.exists());
    }
}

#[tokio::test]
async fn settings_files_and_restarts_are_honoured() {
    let mut options = options();
    options.settings.push(("work_mem".to_owned(), "7MB".to_owned()));
    options.files.push(("note.txt".to_owned(), b"for the server only".to_vec()));
    let mut cluster = Cluster::launch(options).await.unwrap();
    let settings = cluster.settings("postgres").unwrap();
    let connection = connect(&settings).await;
    assert_eq!(connection.one("SHOW work_mem").await.unwrap(), "7MB");
    assert_eq!(connection.one("SHOW fsync").await.unwrap(), "off");
    assert_eq!(connection.one("SELECT pg_read_file('../note.txt')").await.unwrap(), "for the server only");
    let data = connection.one("SHOW data_directory").await.unwrap();
    assert_eq!(mode(cluster.directory()), 0o700);
    assert_eq!(mode(&cluster.directory().join("note.txt")), 0o600);
    assert!(!cluster.directory().join("password").exists());
    let port = cluster.port();
    for how in [Stop::Fast, Stop::Immediate] {
        cluster.stop_server(how).unwrap();
        cluster.start_server().unwrap();
        assert_eq!(cluster.port(), port);
        assert_eq!(connect(&settings).await.one("SHOW data_directory").await.unwrap(), data);
    }
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn the_server_does_not_run_as_root_and_its_password_is_in_no_argv() {
    let cluster = Cluster::start(options()).unwrap();
    let password = cluster.password().expose();
    for pid in [cluster.server_pid(), cluster.guard_pid()] {
        let mut argv = Vec::new();
        std::fs::File::open(format!("/proc/{pid}/cmdline")).unwrap().read_to_end(&mut argv).unwrap();
        assert!(!String::from_utf8_lossy(&argv).contains(password));
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", cluster.server_pid())).unwrap();
    let uid = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
    assert!(uid.split_whitespace().skip(1).all(|id| id != "0"), "{uid}");
    let groups = status.lines().find(|line| line.starts_with("Groups:")).unwrap();
    assert!(groups.split_whitespace().skip(1).all(|id| id != "0"), "{groups}");
    assert!(!format!("{cluster:?}").contains(password));
}

#[test]
fn a_server_that_cannot_start_says_why_and_leaves_nothing() {
    let mut options = options();
    options.settings.push(("shared_buffers".to_owned(), "never".to_owned()));
    let error = Cluster::start(options).unwrap_err();
    assert_eq!(error.kind(), Kind::Cluster);
    assert!(error.message().contains("shared_buffers"), "{error}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = self::options();
    options.port = Some(taken.local_addr().unwrap().port());
    let error = Cluster::start(options).unwrap_err();
    assert!(error.message().contains("already in use"), "{error}");
}
