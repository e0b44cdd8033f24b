//! What the other process does. Without a job it is a test that has nothing to do.
#![allow(clippy::disallowed_methods, reason = "one job starts a program from a process that holds a run")]

use super::support::{Chain, block, run_id, warned};
use runplan::run::{Post, Record};
use runplan::store::{Error, Journal, Store};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

#[test]
fn job() {
    let Ok(job) = std::env::var("RUNPLAN_TEST_JOB") else { return };
    let root = PathBuf::from(std::env::var_os("RUNPLAN_TEST_ROOT").unwrap());
    match job.as_str() {
        "hold" => hold(&root),
        "hold_and_start_a_program" => hold_and_start_a_program(&root),
        "race" => race(&root),
        "append" => append(&root),
        "answer" => answer(&root),
        "fill" => fill(&root),
        "read_only" => read_only(&root),
        "open" => open(&root),
        other => panic!("no job {other}"),
    }
}

pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{text}").unwrap();
    out.flush().unwrap();
}

fn wait() {
    let _ = std::io::stdin().read(&mut [0; 1]);
}

fn hold(root: &Path) {
    let held = Store::open(root).unwrap().take(&run_id()).unwrap();
    say("held");
    wait();
    drop(held);
}

fn hold_and_start_a_program(root: &Path) {
    let held = Store::open(root).unwrap().take(&run_id()).unwrap();
    let child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    say(&format!("started {}", child.id()));
    wait();
    drop((held, child));
}

/// Fifty threads try at once; says how many won.
fn race(root: &Path) {
    let store = Store::open(root).unwrap();
    let barrier = std::sync::Barrier::new(51);
    let results: Vec<_> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..50)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    store.take(&run_id())
                })
            })
            .collect();
        say("ready");
        wait();
        barrier.wait();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let refused = results.iter().filter(|one| matches!(one, Err(Error::Held { by: Some(_), .. }))).count();
    say(&format!("won {} {refused}", results.iter().filter(|one| one.is_ok()).count()));
    // Whoever won keeps it until everybody has tried.
    wait();
}

/// Batches of 1, 2 and 3 records for ever; says each number when it is acknowledged.
fn append(root: &Path) {
    let store = Store::open(root).unwrap();
    let held = store.take(&run_id()).unwrap();
    let mut chain = Chain::after(&store.load(&run_id()).unwrap().whole().unwrap());
    block(async {
        for size in [1, 2, 3].into_iter().cycle().take(3000) {
            let expected = chain.seq;
            let batch = batch(&mut chain, size);
            held.journal().append(expected, &batch).await.unwrap();
            say(&format!("acknowledged {}", chain.seq));
        }
    });
}

/// Each record says how many of its batch follow it.
pub fn batch(chain: &mut Chain, size: usize) -> Vec<Record> {
    (0..size).rev().map(|left| chain.event(warned(&format!("{left} {}", "x".repeat(150))))).collect()
}

/// A runner that takes what is posted, until its input ends.
fn answer(root: &Path) {
    let store = Store::open(root).unwrap();
    let held = store.take(&run_id()).unwrap();
    let mut chain = Chain::after(&store.load(&run_id()).unwrap().whole().unwrap());
    say("held");
    block(async {
        loop {
            for posted in held.journal().inbox().await.unwrap() {
                let Post::Stop { reason, .. } = posted.post else { panic!("only stops are posted") };
                if reason == "enough" {
                    return;
                }
                let expected = chain.seq;
                let record = chain.event(warned(&reason));
                held.journal().append_taking(expected, &[record], &[posted.id]).await.unwrap();
            }
            runplan::clock::sleep(std::time::Duration::from_millis(1)).await;
        }
    });
}

/// Appends until there is no room, then makes room and goes on as the next holder.
fn fill(root: &Path) {
    let store = Store::open(root).unwrap();
    let held = store.create(&run_id()).unwrap();
    let mut chain = Chain::new();
    let mut acknowledged = 0;
    std::fs::write(root.join("ballast"), vec![0; 200_000]).unwrap();
    let error = block(async {
        loop {
            let batch = batch(&mut chain, 3);
            match held.journal().append(acknowledged, &batch).await {
                Ok(()) => acknowledged = chain.seq,
                Err(error) => break error,
            }
        }
    });
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(held.journal().is_lost());
    let again = block(held.journal().append(acknowledged, &[]));
    assert!(matches!(again, Err(Error::Lost)), "{again:?}");
    assert!(matches!(store.create(&another()), Err(Error::Full { .. })), "a run was made without room");
    assert!(!store.directory(&another()).exists());
    assert_eq!(store.holder(&run_id()).unwrap().unwrap().pid, std::process::id());
    drop(held);
    assert!(store.take(&run_id()).is_ok(), "what needs no room is not kept from being done");
    std::fs::remove_file(root.join("ballast")).unwrap();
    let held = store.take(&run_id()).unwrap();
    let records = store.load(&run_id()).unwrap().whole().unwrap();
    assert_eq!(records.len() as u64, acknowledged, "what was not acknowledged is not there, all else is");
    let mut chain = Chain::after(&records);
    let more = batch(&mut chain, 3);
    block(held.journal().append(acknowledged, &more)).unwrap();
    drop(held);
    std::fs::write(root.join("ballast"), []).unwrap();
    while std::fs::File::options()
        .append(true)
        .open(root.join("ballast"))
        .unwrap()
        .write_all(&[0; 4096])
        .is_ok()
    {}
    store.remove(&run_id()).unwrap();
    assert!(store.runs_there().unwrap().is_empty());
    say(&format!("filled {acknowledged}"));
}

fn another() -> runplan::plan::RunId {
    runplan::plan::RunId::parse("another").unwrap()
}

/// On a file system that turns read-only after a runner was killed: its lines are still in the log.
fn read_only(root: &Path) {
    let store = Store::open(root).unwrap();
    drop(store.create(&run_id()).unwrap());
    let mut runner = super::support::Helper::start("append", root);
    (0..20).for_each(|_| drop(runner.expect("acknowledged")));
    runner.kill();
    let written = store.load(&run_id()).unwrap().whole().unwrap();
    let remount = |how| std::process::Command::new("mount").args(["-o", how]).arg(root).status().unwrap();
    for file in ["nothing", "journal.db-shm", "journal.db-wal"] {
        assert!(remount("remount,rw").success());
        if file == "journal.db-wal" {
            // As it is when the last holder ended in peace.
            drop(store.take(&run_id()).unwrap());
        }
        let _ = std::fs::remove_file(store.directory(&run_id()).join(file));
        assert!(remount("remount,ro").success());
        let opened = Store::open(root).unwrap_err();
        assert!(matches!(opened, Error::ReadOnly { .. }), "{opened}");
        let taken = store.take(&run_id()).map(drop).unwrap_err();
        assert!(matches!(taken, Error::ReadOnly { .. }), "{taken}");
        let stop = Post::Stop { hard: false, reason: String::new() };
        let posted = store.post(&run_id(), &super::support::ann(), &stop).unwrap_err();
        assert!(matches!(posted, Error::ReadOnly { .. }), "{posted}");
        let look = Store::open_to_read(root).unwrap();
        assert_eq!(look.load(&run_id()).unwrap().whole().unwrap(), written, "without {file}");
        assert_eq!(look.verify(&run_id()).unwrap().damage, None);
        assert_eq!(look.list().unwrap().len(), 1);
        assert_eq!(look.holder(&run_id()).unwrap(), None);
    }
    say("read");
}

/// Says what comes of opening the directory.
fn open(root: &Path) {
    match Store::open(root) {
        Ok(_) => say("opened"),
        Err(error) => {
            use miette::Diagnostic;
            say(&format!("{} {error}", error.code().unwrap()));
        }
    }
}
