//! Plain SQL is fed beside and in place while the engine, the feeder or psql is killed: never half a dump is committed.
#![allow(clippy::print_stdout, reason = "how many were killed in time is what is looked at")]

use super::kills::{size, threads};
use super::scene::block;
use crate::support::chance::{self, Chance};
use crate::support::cluster;
use crate::support::sandbox::{Sandbox, processes};
use runplan::clock;
use runplan::postgres::Settings;
use rustix::process::{Pid, Signal, kill_process};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const PLAN: &str = r#"runplan: 1
name: feeding
secrets: { ARCHIVE_URL: { env: ARCHIVE_URL } }
databases: { archive: { url: "{{ secrets.ARCHIVE_URL }}" } }
steps:
  - id: saved
    backup: { database: archive, to: backups, format: plain, compress: none }
  - id: go
    approve: { message: Replace it? }
  - id: beside
    restore: { from: "{{ steps.saved.path }}", database: archive }
  - id: whole
    verify:
      database: "{{ steps.beside.database }}"
      checks: [ { name: every paper, sql: SELECT count(*) FROM papers, expect: 60000 } ]
  - id: filled
    irreversible: the live tables are replaced
    restore: { from: "{{ steps.saved.path }}", database: archive, into: in_place }
"#;

fn count(archive: &Settings) -> String {
    block(async { cluster::connect(archive).await.one("SELECT count(*) FROM papers").await.unwrap() })
}

/// Kills the first process whose command line has that word; whether there was one.
fn kill_one(sandbox: &Sandbox, word: &str) -> bool {
    let found = processes(sandbox).into_iter().find(|line| line.contains(word));
    let pid = found.and_then(|line| Pid::from_raw(line.split(' ').next()?.parse().ok()?));
    pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
}

fn round(index: usize, seed: u64) -> bool {
    let archive = block(cluster::database("feeding"));
    block(async {
        let connection = cluster::connect(&archive).await;
        connection.execute("CREATE TABLE papers (id int PRIMARY KEY, body text)").await.unwrap();
        let fill = "INSERT INTO papers SELECT n, repeat('p', 60) || n FROM generate_series(1, 60000) n";
        connection.execute(fill).await.unwrap();
    });
    let sandbox = Sandbox::new().variable("ARCHIVE_URL", cluster::shared().url(archive.database()).expose());
    sandbox.write("feeding.yaml", PLAN).run("feeding.yaml --plain").code(4);
    let run = sandbox.only_run();
    sandbox.run(&format!("approve {run} go")).code(0);
    // What is there before the restore is told apart from the whole and from a part.
    block(async {
        cluster::connect(&archive).await.execute("DELETE FROM papers WHERE id > 7").await.unwrap()
    });
    let mut chance = Chance::new(seed.wrapping_add(index as u64));
    let delay = Duration::from_millis(chance.below(1500) as u64);
    let mut started = sandbox.start(&format!("resume {run} --plain"));
    let mut killed = false;
    if !started.ends_within(delay) {
        killed = match index % 3 {
            0 => {
                started.signal(Signal::KILL);
                true
            }
            // They come and go: the next one that is seen.
            victim => (0..200).any(|_| {
                let hit = kill_one(&sandbox, if victim == 1 { "__feed" } else { "bin/psql" });
                clock::block(Duration::from_millis(3));
                hit
            }),
        };
    }
    let mut code = started.wait().code;
    for _ in 0..8 {
        let rows = count(&archive);
        assert!(["7", "60000"].contains(&rows.as_str()), "SEED={seed} round {index}: {rows} rows");
        if code == Some(0) {
            break;
        }
        code = sandbox.run(&format!("resume {run} --plain")).code;
    }
    assert_eq!((code, count(&archive).as_str()), (Some(0), "60000"), "SEED={seed} round {index}");
    killed
}

#[test]
fn never_half_a_dump() {
    let seed = chance::seed();
    let all = size(100, 10);
    let (next, killed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads(4) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= all {
                        break;
                    }
                    killed.fetch_add(usize::from(round(index, seed)), Ordering::Relaxed);
                }
            });
        }
    });
    let killed = killed.into_inner();
    println!("fed: {all} times, killed in {killed}, half a dump in none (seed {seed})");
    // A few say nothing about how many.
    assert!(all < 9 || killed * 3 >= all, "only {killed} of {all} were killed in time");
}
