//! One process holds a run, whatever else happens; the others see who, and can say something to it.

use super::support::{Chain, Helper, State, ann, block, run_id, until};
use runplan::clock::Stopwatch;
use runplan::run::{Event, Post};
use runplan::store::{Error, Journal, PostId};
use std::time::Duration;

fn made() -> State {
    let state = State::new();
    drop(state.store.create(&run_id()).unwrap());
    state
}

#[test]
fn a_run_is_made_once() {
    let state = State::new();
    let held = state.store.create(&run_id()).unwrap();
    for _ in 0..2 {
        let error = state.store.create(&run_id()).unwrap_err();
        assert!(matches!(error, Error::Exists { .. }), "{error}");
    }
    assert!(held.process().is_dir() && held.files().is_dir());
    assert_eq!(std::fs::read_dir(state.root().join("new")).unwrap().count(), 0, "something was left");
    block(held.journal().append(0, &Chain::new().take(1))).unwrap();
}

#[test]
fn two_makers_at_once_make_one_run() {
    let state = State::new();
    let made: Vec<_> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..16).map(|_| scope.spawn(|| state.store.create(&run_id()))).collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(made.iter().filter(|one| one.is_ok()).count(), 1);
    assert!(made.iter().all(|one| matches!(one, Ok(_) | Err(Error::Exists { .. }))), "{made:?}");
}

#[test]
fn a_run_that_is_not_there_is_not_held() {
    let state = State::new();
    assert!(matches!(state.store.take(&run_id()), Err(Error::NoRun { .. })));
    assert!(matches!(state.store.holder(&run_id()), Err(Error::NoRun { .. })));
    assert!(!state.store.directory(&run_id()).exists());
}

#[test]
fn another_process_is_named() {
    let state = made();
    let mut other = Helper::start("hold", &state.root());
    other.expect("held");
    let error = state.store.take(&run_id()).unwrap_err();
    let Error::Held { by: Some(by), .. } = &error else { panic!("{error}") };
    assert_eq!(by.pid, other.pid());
    assert_eq!(by.uid, rustix::process::geteuid().as_raw());
    let age = runplan::clock::now().duration_since(by.since);
    assert!(age.as_secs() < 60 && !age.is_negative(), "{age:?}");
    let text = error.to_string();
    assert!(
        text.contains(&format!("held by process {}", other.pid()))
            && text.contains(" since 2")
            && text.contains(" UTC"),
        "{text}"
    );
    assert_eq!(state.store.holder(&run_id()).unwrap().unwrap().pid, other.pid());
    other.finish();
    assert_eq!(state.store.holder(&run_id()).unwrap(), None);
    drop(state.store.take(&run_id()).unwrap());
}

#[test]
fn a_killed_holder_holds_nothing() {
    let state = made();
    for _ in 0..5 {
        let mut other = Helper::start("hold", &state.root());
        other.expect("held");
        assert!(state.store.take(&run_id()).is_err());
        other.kill();
        let watch = Stopwatch::start();
        drop(state.store.take(&run_id()).unwrap());
        assert!(watch.elapsed() < Duration::from_secs(2), "{:?}", watch.elapsed());
    }
}

#[test]
fn a_program_that_outlives_the_holder_holds_nothing() {
    let state = made();
    let mut other = Helper::start("hold_and_start_a_program", &state.root());
    let program: i32 = other.expect("started").parse().unwrap();
    other.kill();
    let program = rustix::process::Pid::from_raw(program).unwrap();
    assert_eq!(rustix::process::test_kill_process(program), Ok(()), "the program is alive");
    let taken = state.store.take(&run_id());
    rustix::process::kill_process(program, rustix::process::Signal::KILL).unwrap();
    drop(taken.unwrap());
}

#[test]
fn no_descriptor_is_inherited() {
    let state = State::new();
    let held = state.store.create(&run_id()).unwrap();
    block(held.journal().append(0, &Chain::new().take(1))).unwrap();
    let mut seen = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        let Ok(file) = target.strip_prefix(state.store.directory(&run_id())) else { continue };
        let info = std::path::Path::new("/proc/self/fdinfo").join(entry.file_name());
        let info = std::fs::read_to_string(info).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let flags = u32::from_str_radix(flags, 8).unwrap();
        assert_ne!(flags & 0o2_000_000, 0, "{} is inherited by programs", file.display());
        seen.push(file.display().to_string());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["head", "journal.db", "journal.db-shm", "journal.db-wal", "lock"]);
}

#[test]
fn of_200_threads_one_wins() {
    let state = made();
    for _ in 0..3 {
        let barrier = std::sync::Barrier::new(200);
        let results: Vec<_> = std::thread::scope(|scope| {
            let attempt = || {
                barrier.wait();
                state.store.take(&run_id())
            };
            let tries: Vec<_> = (0..200).map(|_| scope.spawn(attempt)).collect();
            tries.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(results.iter().filter(|one| one.is_ok()).count(), 1);
        let me = std::process::id();
        let named = |error: &Error| matches!(error, Error::Held { by: Some(by), .. } if by.pid == me);
        assert!(results.iter().all(|one| one.as_ref().err().is_none_or(named)), "{results:?}");
    }
}

#[test]
fn of_200_attempts_in_four_processes_one_wins() {
    let state = made();
    let mut racers: Vec<_> = (0..4).map(|_| Helper::start("race", &state.root())).collect();
    racers.iter_mut().for_each(|racer| drop(racer.expect("ready")));
    racers.iter_mut().for_each(Helper::go);
    let mut totals = (0, 0);
    for racer in &mut racers {
        let said = racer.expect("won");
        let (won, refused) = said.split_once(' ').unwrap();
        totals.0 += won.parse::<u32>().unwrap();
        totals.1 += refused.parse::<u32>().unwrap();
    }
    assert_eq!(totals, (1, 199));
}

#[test]
fn looking_never_keeps_anyone_from_taking() {
    let state = made();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = state.store.holder(&run_id());
                }
            });
        }
        let taken: Vec<_> = (0..50).map(|_| state.store.take(&run_id()).map(drop)).collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(taken.iter().all(Result::is_ok), "{taken:?}");
    });
}

#[test]
fn a_running_run_hears_every_post() {
    let state = made();
    let mut runner = Helper::start("answer", &state.root());
    runner.expect("held");
    let post = |reason: &str| {
        let post = Post::Stop { hard: false, reason: reason.to_owned() };
        state.store.post(&run_id(), &ann(), &post).unwrap()
    };
    let ids: Vec<PostId> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                scope.spawn(move || (0..5).map(|n| post(&format!("{thread} {n}"))).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut lines = Vec::new();
    for id in &ids {
        until("the runner takes it", || {
            let taken = state.store.outcome_of(&run_id(), *id).unwrap();
            lines.extend(taken.as_ref().map(|lines| lines.start));
            taken.is_some()
        });
    }
    lines.sort_unstable();
    assert_eq!(lines, (1..=40).collect::<Vec<u64>>());
    let records = state.store.load(&run_id()).unwrap().whole().unwrap();
    let mut heard: Vec<_> = records
        .into_iter()
        .map(|record| match record.event {
            Event::Warned { message, .. } => message,
            other => panic!("{other:?}"),
        })
        .collect();
    heard.sort();
    let mut said: Vec<_> = (0..8).flat_map(|thread| (0..5).map(move |n| format!("{thread} {n}"))).collect();
    said.sort();
    assert_eq!(heard, said);
    post("enough");
    runner.finish();
}

/// Two processes write to SQLite's log, it is laid out ahead, begun anew, and laid out again: nothing is overwritten.
#[test]
fn a_long_run_loses_nothing_while_others_post() {
    let state = State::new();
    let held = state.store.create(&run_id()).unwrap();
    let mut chain = Chain::new();
    let done = std::sync::atomic::AtomicBool::new(false);
    let posted = std::thread::scope(|scope| {
        let poster = scope.spawn(|| {
            let mut posted = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) && posted < 200 {
                let post = Post::Stop { hard: false, reason: posted.to_string() };
                posted += 1;
                assert_eq!(state.store.post(&run_id(), &ann(), &post).unwrap(), PostId(posted));
            }
            posted
        });
        block(async {
            for _ in 0..400 {
                let expected = chain.seq;
                held.journal().append(expected, &chain.take(30)).await.unwrap();
            }
        });
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        poster.join().unwrap()
    });
    assert_eq!(block(held.journal().inbox()).unwrap().len() as u64, posted);
    drop(held);
    let verdict = state.store.verify(&run_id()).unwrap();
    assert_eq!((verdict.lines, verdict.head, verdict.damage), (12_000, chain.hash, None));
}

#[test]
fn an_inbox_has_an_end() {
    let state = made();
    let post = Post::Stop { hard: false, reason: "x".repeat(70_000) };
    let error = state.store.post(&run_id(), &ann(), &post).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    let database = rusqlite::Connection::open(state.file("journal.db")).unwrap();
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        INSERT INTO inbox (at, actor, post) SELECT '', '', '' FROM n";
    database.execute_batch(many).unwrap();
    let post = Post::Stop { hard: false, reason: String::new() };
    let error = state.store.post(&run_id(), &ann(), &post).unwrap_err();
    assert!(matches!(error, Error::InboxFull { waiting: 1000 }), "{error}");
}

#[test]
fn a_post_of_a_newer_version_is_refused_and_stops_nothing() {
    let state = State::new();
    let held = state.store.create(&run_id()).unwrap();
    let id = state.store.post(&run_id(), &ann(), &Post::Stop { hard: true, reason: String::new() }).unwrap();
    let database = rusqlite::Connection::open(state.file("journal.db")).unwrap();
    database.execute("UPDATE inbox SET post = '{\"post\":\"dance\"}'", []).unwrap();
    let second =
        state.store.post(&run_id(), &ann(), &Post::Undo { to: None, reason: String::new() }).unwrap();
    let inbox = block(held.journal().inbox()).unwrap();
    assert_eq!(inbox.iter().map(|posted| posted.id).collect::<Vec<_>>(), [second]);
    let error = state.store.outcome_of(&run_id(), id).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}

#[test]
fn a_removed_run_is_gone_and_a_held_one_stays() {
    let state = State::new();
    let held = state.store.create(&run_id()).unwrap();
    assert!(matches!(state.store.remove(&run_id()), Err(Error::Held { .. })));
    drop(held);
    state.store.remove(&run_id()).unwrap();
    assert!(matches!(state.store.remove(&run_id()), Err(Error::NoRun { .. })));
    assert_eq!(std::fs::read_dir(state.root().join("new")).unwrap().count(), 0);
    drop(state.store.create(&run_id()).unwrap());
}

#[test]
fn what_a_crash_left_while_making_a_run_goes_after_an_hour() {
    let state = State::new();
    let [old, fresh] = ["old", "fresh"].map(|name| state.root().join("new").join(name));
    for directory in [&old, &fresh] {
        std::fs::create_dir(directory).unwrap();
        std::fs::write(directory.join("journal.db"), "").unwrap();
    }
    let past = std::time::SystemTime::from(runplan::clock::now()) - Duration::from_secs(4000);
    std::fs::File::open(&old).unwrap().set_modified(past).unwrap();
    drop(state.store.create(&run_id()).unwrap());
    assert!(!old.exists());
    assert!(fresh.exists(), "another process may be making it");
}
