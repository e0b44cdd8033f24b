//! Plain SQL is fed beside and in place while the engine, the feeder or psql is killed: never half a dump is committed.
#![allow(clippy::print_stdout, reason = "how many were killed in time is what is looked at")]

use super::kills::{size, threads};
use super::scene::block;
use crate::support::chance::{self, Chance};
use crate::support::cluster;
use crate::support::sandbox::{Sandbox, Started, processes};
use runplan::clock;
use runplan::postgres::{Connection, Settings};
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

/// What is killed.
const VICTIMS: [&str; 3] = ["the engine", "the feeder", "psql"];

/// Kills the first process whose command line has that word; whether there was one.
fn kill_one(sandbox: &Sandbox, word: &str) -> bool {
    let found = processes(sandbox).into_iter().find(|line| line.contains(word));
    let pid = found.and_then(|line| Pid::from_raw(line.split(' ').next()?.parse().ok()?));
    pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
}

/// The session that loads the rows, while it does.
async fn copying(look: &Connection, archive: &Settings) -> Option<String> {
    let sql = format!(
        "SELECT pid FROM pg_stat_activity WHERE starts_with(datname, '{}') AND state = 'active' AND query LIKE 'COPY %FROM%'",
        archive.database()
    );
    look.row_if_any(&sql).await.unwrap().map(|row| row.text(0).unwrap())
}

/// Waits until the rows go in, beside or in place, and a little longer, and kills. Whether it was there to be killed.
fn strike(
    victim: usize,
    archive: &Settings,
    sandbox: &Sandbox,
    run: &mut Started,
    chance: &mut Chance,
) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let look = runtime.block_on(cluster::connect(&archive.with_database("postgres")));
    let (in_place, later) = (chance.below(2) == 1, Duration::from_millis(chance.below(60) as u64));
    let mut seen: Option<String> = None;
    loop {
        if run.ends_within(Duration::from_millis(1)) {
            return false;
        }
        match (runtime.block_on(copying(&look, archive)), &seen) {
            (Some(pid), None) if in_place => seen = Some(pid),
            (Some(pid), Some(beside)) if pid == *beside => {}
            (Some(_), _) => break,
            (None, _) => {}
        }
    }
    clock::block(later);
    match victim {
        0 => {
            !run.ends_within(Duration::ZERO) && {
                run.signal(Signal::KILL);
                true
            }
        }
        1 => kill_one(sandbox, "__feed"),
        _ => kill_one(sandbox, "bin/psql"),
    }
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
    let mut started = sandbox.start(&format!("resume {run} --plain"));
    let killed = strike(index % VICTIMS.len(), &archive, &sandbox, &mut started, &mut chance);
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
    let wanted = size(100, 3);
    let (next, killed) = (AtomicUsize::new(0), [const { AtomicUsize::new(0) }; VICTIMS.len()]);
    let lacks = |victim: usize| killed[victim].load(Ordering::Relaxed) < wanted;
    std::thread::scope(|scope| {
        for _ in 0..threads(4) {
            scope.spawn(|| {
                // Until each was killed as often as is wanted; one that comes too late is one round more.
                while (0..VICTIMS.len()).any(lacks) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    assert!(index < 12 * wanted, "SEED={seed}: too few were killed in time: {killed:?}");
                    if lacks(index % VICTIMS.len()) && round(index, seed) {
                        killed[index % VICTIMS.len()].fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    for (victim, killed) in VICTIMS.iter().zip(&killed) {
        println!(
            "{victim} killed in the middle of the rows: {killed:?} times, half a dump in none (seed {seed})"
        );
    }
}
