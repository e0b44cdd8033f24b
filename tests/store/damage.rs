//! Damage is found and named, wherever it is; it is never taken for a shorter journal.

use super::support::{Chain, Helper, State, block, run_id, started, warned};
use runplan::plan::RunId;
use runplan::run::{Actor, Event, Record, RecordError};
use runplan::store::{Damage, Error, Headless, Journal, Verdict};

/// A journal of that many lines, closed.
fn journal(lines: usize) -> (State, Vec<Record>) {
    let state = State::new();
    let held = state.store.create(&run_id()).unwrap();
    let mut chain = Chain::new();
    let mut records = vec![chain.event(started("scenario_2"))];
    records.extend(chain.take(lines - 1));
    block(held.journal().append(0, &records)).unwrap();
    (state, records)
}

fn change(state: &State, sql: &str) {
    rusqlite::Connection::open(state.file("journal.db")).unwrap().execute_batch(sql).unwrap();
}

/// A row as another program would leave it.
fn put(state: &State, record: &Record) {
    let database = rusqlite::Connection::open(state.file("journal.db")).unwrap();
    let sql = "INSERT OR REPLACE INTO journal (seq, line) VALUES (?1, ?2)";
    database.execute(sql, rusqlite::params![record.seq, record.line]).unwrap();
}

fn damage(state: &State) -> Damage {
    let loaded = state.store.load(&run_id()).unwrap();
    let damage = loaded.damage.clone().expect("damage is found");
    let verdict = state.store.verify(&run_id()).unwrap();
    assert_eq!(verdict.damage.as_ref(), Some(&damage));
    assert_eq!(verdict.lines, loaded.records.len() as u64);
    let error = loaded.whole().unwrap_err();
    assert_eq!(matches!(error, Error::Newer { .. }), damage.is_newer(), "{error}");
    damage
}

#[test]
fn a_sound_journal_is_sound() {
    let (state, records) = journal(40);
    let verdict = state.store.verify(&run_id()).unwrap();
    assert_eq!(verdict, Verdict { lines: 40, head: records[39].hash.clone(), damage: None });
    let loaded = state.store.load(&run_id()).unwrap();
    assert_eq!((loaded.records, loaded.damage), (records, None));
}

#[test]
fn a_changed_line_is_named() {
    let (state, records) = journal(12);
    for (seq, record) in (1..).zip(&records) {
        change(&state, &format!("UPDATE journal SET line = replace(line, 'x', 'y') WHERE seq = {seq}"));
        if seq == 1 {
            change(&state, "UPDATE journal SET line = replace(line, 'wrong', 'right') WHERE seq = 1");
        }
        assert_eq!(damage(&state), Damage::Line(RecordError::Chain { seq }));
        assert_eq!(damage(&state).line(), seq);
        put(&state, record);
    }
    assert_eq!(state.store.verify(&run_id()).unwrap().damage, None);
}

/// A long journal is proved in parts; the first damage counts, and what stands before it, wherever the parts meet.
#[test]
fn the_first_of_many_damages_is_named() {
    let (state, records) = journal(2100);
    let loaded = state.store.load(&run_id()).unwrap();
    assert_eq!((loaded.records == records, loaded.damage), (true, None));
    for seq in [2100, 1577, 1576, 1052, 1051, 1050, 527, 526, 525, 2, 1] {
        change(
            &state,
            &format!("UPDATE journal SET line = replace(line, '\"at\":\"', '\"at\":\"x') WHERE seq = {seq}"),
        );
        assert_eq!(damage(&state), Damage::Line(RecordError::Chain { seq }));
        let loaded = state.store.load(&run_id()).unwrap();
        assert!(loaded.records == records[..seq as usize - 1], "{seq}");
    }
    // One that bears the hash of another fits neither what is before nor what is after it.
    let (state, records) = journal(2100);
    let line = Record { seq: 1050, ..records[1049 + 500].clone() };
    put(&state, &line);
    assert_eq!(damage(&state), Damage::Line(RecordError::Chain { seq: 1050 }));
}

#[test]
fn a_line_that_is_no_line_is_named() {
    let (state, _) = journal(5);
    change(&state, "UPDATE journal SET line = CAST(x'ff00fe' AS TEXT) WHERE seq = 4");
    assert!(matches!(damage(&state), Damage::Line(RecordError::Damaged { seq: 4, .. })));
    change(&state, "UPDATE journal SET line = '' WHERE seq = 2");
    assert!(matches!(damage(&state), Damage::Line(RecordError::Damaged { seq: 2, .. })));
}

#[test]
fn missing_lines_are_named() {
    let (state, _) = journal(10);
    change(&state, "DELETE FROM journal WHERE seq = 10");
    assert_eq!(damage(&state), Damage::Cut { last: 9, acknowledged: 10 });
    change(&state, "DELETE FROM journal WHERE seq IN (5, 6)");
    assert_eq!(damage(&state), Damage::Missing { seq: 5 });
    change(&state, "DELETE FROM journal WHERE seq = 1");
    assert_eq!(damage(&state), Damage::Missing { seq: 1 });
    change(&state, "DELETE FROM journal");
    assert_eq!(damage(&state), Damage::Cut { last: 0, acknowledged: 10 });
}

#[test]
fn a_rewritten_chain_is_named() {
    let (state, records) = journal(10);
    let mut chain = Chain::after(&records[..6]);
    (6..10).for_each(|_| put(&state, &chain.event(warned("it was never like that"))));
    assert_eq!(damage(&state), Damage::Replaced { seq: 10 });
}

#[test]
fn a_line_of_another_run_is_named() {
    let (state, records) = journal(3);
    let mut chain = Chain::after(&records[..2]);
    chain.run = RunId::parse("other").unwrap();
    put(&state, &chain.event(warned("x")));
    let other = RunId::parse("other").unwrap();
    assert_eq!(damage(&state), Damage::OtherRun { seq: 3, other });
}

#[test]
fn a_newer_journal_is_shown_as_far_as_it_is_known() {
    let (state, records) = journal(3);
    let mut later = Chain::after(&records);
    let next = later.event(warned("x"));
    let body = next.line.rsplit_once(",\"hash\"").unwrap().0.replace("\"warned\"", "\"danced\"") + "}";
    let hash = {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(format!("{}\n{body}", records[2].hash));
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let line = format!("{},\"hash\":\"{hash}\"}}", &body[..body.len() - 1]);
    put(&state, &Record { line, ..next });
    let unknown = RecordError::UnknownEvent { seq: 4, kind: "danced".to_owned() };
    assert_eq!(damage(&state), Damage::Line(unknown));
    assert_eq!(state.store.load(&run_id()).unwrap().records, records);
}

/// Whatever was done to the files: every acknowledged line is there, or it is said that one is missing.
fn prove_never_shorter(state: &State, records: &[Record], acknowledged: usize, what: &str) {
    match state.store.load(&run_id()) {
        Ok(loaded) => {
            assert_eq!(loaded.records, records[..loaded.records.len()], "{what}");
            let whole = loaded.records.len() >= acknowledged;
            assert!(whole || loaded.damage.is_some(), "{what}: {} lines", loaded.records.len());
        }
        Err(Error::Corrupt { .. } | Error::Format { .. } | Error::Io { .. } | Error::Vanished { .. }) => {}
        Err(error) => panic!("{what}: {error}"),
    }
}

#[test]
fn flipped_bytes_of_the_database_never_shorten_it() {
    let (state, records) = journal(60);
    let path = state.file("journal.db");
    let sound = std::fs::read(&path).unwrap();
    let mut found = 0;
    for at in (0..sound.len()).filter(|at| at % 211 == 0 || (at % 4096 < 110 && at % 4 == 1)) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x15;
        std::fs::write(&path, &bytes).unwrap();
        prove_never_shorter(&state, &records, 60, &format!("byte {at}"));
        found += u32::from(state.store.verify(&run_id()).map_or(true, |verdict| verdict.damage.is_some()));
    }
    assert!(found > 60, "only {found} were found");
}

/// Not a sample: each byte of the file, and the file cut at each. HOSTILE_BYTES=1 does it for every byte in the place of
/// every third.
#[test]
fn every_byte_of_a_small_journal() {
    let step = if std::env::var_os("HOSTILE_BYTES").is_some() { 1 } else { 3 };
    let counts = std::thread::scope(|scope| {
        let parts: Vec<_> =
            (0..4).map(|part| scope.spawn(move || flip_and_cut(part * step, 4 * step))).collect();
        parts
            .into_iter()
            .map(|part| part.join().unwrap())
            .fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    });
    println!("{} of {} damages were found; the others touch no line", counts.1, counts.0);
    assert!(counts.1 > counts.0 / 3, "{counts:?}");
}

/// How many were tried, and found.
fn flip_and_cut(first: usize, step: usize) -> (usize, usize) {
    let (state, records) = journal(3);
    let path = state.file("journal.db");
    let sound = std::fs::read(&path).unwrap();
    let head = std::fs::read(state.file("head")).unwrap();
    let (mut tried, mut found) = (0, 0);
    for at in (first..sound.len()).step_by(step) {
        let mut flipped = sound.clone();
        flipped[at] ^= 1 << (at % 8);
        for (bytes, what) in [(&flipped[..], "flipped"), (&sound[..at], "cut")] {
            std::fs::write(&path, bytes).unwrap();
            std::fs::write(state.file("head"), &head).unwrap();
            prove_never_shorter(&state, &records, 3, &format!("{what} at {at}"));
            let sees = state.store.verify(&run_id()).map_or(true, |verdict| verdict.damage.is_some());
            let lets_in = state.store.load(&run_id()).is_ok_and(|loaded| loaded.whole().is_ok());
            assert!(sees != lets_in, "{what} at {at}: a resume and `--verify` do not see the same");
            // Once of every page at least, and each byte of the header that SQLite goes by when it writes.
            if lets_in && (at < 100 || at % 61 == 0) {
                prove_goes_on(&state, &records, &format!("{what} at {at}"));
            }
            tried += 1;
            found += usize::from(sees);
        }
    }
    (tried, found)
}

/// What is let in is gone on with: what was there stays, and what is acknowledged then is there afterwards.
fn prove_goes_on(state: &State, records: &[Record], what: &str) {
    let next = Chain::after(records).event(warned("on"));
    {
        let Ok(held) = state.store.take(&run_id()) else { return };
        if block(held.journal().append(records.len() as u64, std::slice::from_ref(&next))).is_err() {
            return;
        }
    }
    let read = state.store.load(&run_id()).map(|loaded| (loaded.records, loaded.damage));
    let whole = [records, &[next]].concat();
    assert_eq!(read.unwrap(), (whole, None), "{what}");
    for beside in ["journal.db-wal", "journal.db-shm"] {
        let _ = std::fs::remove_file(state.file(beside));
    }
}

#[test]
fn a_torn_database_never_shortens_it() {
    let (state, records) = journal(60);
    let path = state.file("journal.db");
    let sound = std::fs::read(&path).unwrap();
    for length in (0..sound.len()).step_by(509) {
        std::fs::write(&path, &sound[..length]).unwrap();
        prove_never_shorter(&state, &records, 60, &format!("{length} bytes"));
        let verdict = state.store.verify(&run_id());
        assert!(verdict.is_err() || verdict.unwrap().damage.is_some(), "{length} bytes");
    }
}

/// A journal as a killed process leaves it: the lines are still in the log, the last perhaps not acknowledged.
fn killed() -> (State, Vec<Record>, usize, Vec<u8>) {
    let state = State::new();
    drop(state.store.create(&run_id()).unwrap());
    let mut runner = Helper::start("append", &state.root());
    (0..12).for_each(|_| drop(runner.expect("acknowledged")));
    runner.kill();
    let mut acknowledged = 24;
    while let Some(said) = runner.hear() {
        acknowledged = said.strip_prefix("acknowledged ").unwrap().parse().unwrap();
    }
    let log = std::fs::read(state.file("journal.db-wal")).unwrap();
    let records = state.store.load(&run_id()).unwrap().whole().unwrap();
    assert_eq!(std::fs::read(state.file("journal.db-wal")).unwrap(), log, "reading changes nothing");
    (state, records, acknowledged, log)
}

#[test]
fn flipped_bytes_of_the_log_never_shorten_it() {
    let (state, records, acknowledged, log) = killed();
    let mut found = 0;
    for at in (0..log.len()).filter(|at| at % 997 == 0 || (at % 4120 < 60 && at % 7 == 0)) {
        let mut bytes = log.clone();
        bytes[at] ^= 0x40;
        let _ = std::fs::remove_file(state.file("journal.db-shm"));
        std::fs::write(state.file("journal.db-wal"), &bytes).unwrap();
        prove_never_shorter(&state, &records, acknowledged, &format!("byte {at}"));
        found += u32::from(state.store.load(&run_id()).is_ok_and(|loaded| loaded.damage.is_some()));
    }
    assert!(found > 30, "only {found} were found");
}

#[test]
fn a_torn_log_never_shortens_it() {
    let (state, records, acknowledged, log) = killed();
    for length in (0..log.len()).step_by(1031) {
        let _ = std::fs::remove_file(state.file("journal.db-shm"));
        std::fs::write(state.file("journal.db-wal"), &log[..length]).unwrap();
        prove_never_shorter(&state, &records, acknowledged, &format!("{length} bytes"));
    }
    std::fs::remove_file(state.file("journal.db-wal")).unwrap();
    assert_eq!(damage(&state).line(), 1);
}

#[test]
fn a_torn_head_accuses_nobody() {
    let (state, records) = journal(5);
    let head = std::fs::read(state.file("head")).unwrap();
    for length in 0..head.len() - 1 {
        std::fs::write(state.file("head"), &head[..length]).unwrap();
        assert_eq!(state.store.load(&run_id()).unwrap().damage, None, "{length}");
        prove_unusable(&state, &format!("{length} bytes"));
    }
    for at in 0..head.len() - 1 {
        let mut bytes = head.clone();
        bytes[at] ^= 1;
        std::fs::write(state.file("head"), &bytes).unwrap();
        assert_eq!(state.store.load(&run_id()).unwrap().records, records);
        assert_eq!(state.store.load(&run_id()).unwrap().damage, None, "{at}");
        prove_unusable(&state, &format!("byte {at}"));
    }
}

/// It can be looked at, is not gone on with, and looking does not mend it.
#[track_caller]
fn prove_unusable(state: &State, what: &str) {
    let before = std::fs::read(state.file("head")).unwrap();
    let fault = Some(Damage::Headless { last: 5, fault: Headless::Unusable });
    assert_eq!(state.store.verify(&run_id()).unwrap().damage, fault, "{what}");
    let error = state.store.take(&run_id()).expect_err(what);
    assert!(error.to_string().contains("head is empty or damaged"), "{what}: {error}");
    assert_eq!(std::fs::read(state.file("head")).unwrap(), before, "{what}");
}

/// Killed between the word of a person and the line that keeps it: the word is wanted again.
#[test]
fn a_head_is_not_made_anew_before_the_line_that_says_why() {
    let (state, records) = journal(5);
    for empty in [false, true] {
        std::fs::remove_file(state.file("head")).unwrap();
        if empty {
            std::fs::write(state.file("head"), "").unwrap();
        }
        let (held, headless) = state.store.take_headless(&run_id()).unwrap();
        assert_eq!(headless, Some(if empty { Headless::Unusable } else { Headless::Gone }));
        drop(held);
        let error = state.store.take(&run_id()).unwrap_err();
        assert!(matches!(error, Error::NoHead { .. }), "{error}");
    }
    let (held, _) = state.store.take_headless(&run_id()).unwrap();
    block(held.journal().append(5, &Chain::after(&records).take(1))).unwrap();
    drop(held);
    assert_eq!(state.store.verify(&run_id()).unwrap().damage, None);
}

/// Nothing of the first lines is acknowledged before there is a head that can be read.
#[test]
fn a_new_run_has_its_head_before_its_first_line() {
    let state = State::new();
    drop(state.store.create(&run_id()).unwrap());
    let head = std::fs::read_to_string(state.file("head")).unwrap();
    assert!(head.starts_with(&"0".repeat(20)), "{head}");
    change(&state, "INSERT INTO journal SELECT 1, 'x'");
    assert!(!matches!(state.store.take(&run_id()), Err(Error::NoHead { .. })));
}

#[test]
fn a_head_that_is_gone_is_told_and_the_run_not_taken() {
    let (state, records) = journal(5);
    std::fs::remove_file(state.file("head")).unwrap();
    change(&state, "DELETE FROM journal WHERE seq > 3");
    // It can be looked at; that nothing was cut off is what nobody can say.
    let loaded = state.store.load(&run_id()).unwrap();
    assert_eq!((loaded.records.as_slice(), loaded.damage), (&records[..3], None));
    for _ in 0..2 {
        let verdict = state.store.verify(&run_id()).unwrap();
        assert_eq!(
            (verdict.lines, verdict.damage),
            (3, Some(Damage::Headless { last: 3, fault: Headless::Gone }))
        );
        let error = state.store.take(&run_id()).unwrap_err();
        assert!(matches!(error, Error::NoHead { .. }), "{error}");
        assert!(!state.file("head").exists(), "it was made anew by looking");
    }
    let (held, headless) = state.store.take_headless(&run_id()).unwrap();
    assert_eq!(headless, Some(Headless::Gone));
    let mut chain = Chain::new();
    let mut again = vec![chain.event(started("scenario_2"))];
    again.extend(chain.take(3));
    block(held.journal().append(3, &again[3..])).unwrap();
    drop(held);
    assert_eq!(state.store.verify(&run_id()).unwrap().damage, None);
    drop(state.store.take(&run_id()).unwrap());
}

#[test]
fn a_file_that_is_no_journal_is_named() {
    for content in [&b""[..], b"nonsense", &[0; 8192]] {
        let (state, _) = journal(5);
        std::fs::write(state.file("journal.db"), content).unwrap();
        let Damage::Database { last: 0, .. } = damage(&state) else { panic!("{:?}", damage(&state)) };
        let error = state.store.take(&run_id()).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
    let (state, _) = journal(5);
    change(&state, "PRAGMA user_version = 7");
    let error = state.store.take(&run_id()).unwrap_err();
    assert!(matches!(error, Error::Format { format: 7, .. }), "{error}");
}

#[test]
fn an_event_keeps_its_time_through_the_journal() {
    let state = State::new();
    let held = state.store.create(&run_id()).unwrap();
    let (now, then) = (super::support::at(1), super::support::at(90));
    let failure = runplan::run::Failure::new("x", "y");
    let event = Event::RetryScheduled { step: "a".into(), attempt: 1, at: then, failure };
    let record = Record::seal(&run_id(), 1, now, &Actor::engine(), event, "");
    block(held.journal().append(0, std::slice::from_ref(&record))).unwrap();
    assert_eq!(state.store.load(&run_id()).unwrap().whole().unwrap(), [record]);
}
