//! The floor under a run: what its programs and its durable lines cost with nothing around them. `benches/run.py` calls
//! it, so that both are measured on the same machine in the same minute.
//!
//! `floor chain COUNT DIRECTORY`: COUNT times `true`, each between two appends that are synced to disk.
//! `floor wide COUNT AT_ONCE`: COUNT times `true`, so many at once.
//! `floor sync COUNT DIRECTORY`: COUNT appends, each synced to disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that fails is none"
)]
#![allow(clippy::disallowed_methods, reason = "it starts programs with nothing around them")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// About as long as a line of the journal.
const LINE: [u8; 300] = [b'x'; 300];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["chain", count, directory] => chain(number(count), Path::new(directory)),
        ["wide", count, at_once] => wide(number(count), number(at_once)),
        ["sync", count, directory] => {
            let mut log = log(Path::new(directory));
            (0..number(count)).for_each(|_| append(&mut log));
        }
        // `cargo bench` and `cargo test --benches` call it without a task.
        _ => {}
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

fn chain(count: usize, directory: &Path) {
    let mut log = log(directory);
    for _ in 0..count {
        append(&mut log);
        run();
        append(&mut log);
    }
}

fn wide(count: usize, at_once: usize) {
    let next = AtomicUsize::new(0);
    let work = || {
        while next.fetch_add(1, Ordering::Relaxed) < count {
            run()
        }
    };
    std::thread::scope(|scope| {
        (0..at_once).for_each(|_| drop(scope.spawn(work)));
    });
}

fn run() {
    let mut program = Command::new("true");
    let ended = program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(ended.expect("`true` can be started").success());
}

fn log(directory: &Path) -> File {
    File::create_new(directory.join("floor.log")).expect("a new file")
}

fn append(log: &mut File) {
    log.write_all(&LINE).expect("room");
    log.sync_data().expect("a disk");
}
