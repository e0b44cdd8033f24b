//! kill -9 of a process that appends: what was acknowledged is there, batches are whole, the next one goes on.

use super::helper::batch;
use super::support::{Chain, Helper, State, block, run_id};
use runplan::run::Event;
use runplan::store::Journal;

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let state = State::new();
    drop(state.store.create(&run_id()).unwrap());
    let mut before = 0;
    for round in 0..12_u64 {
        let mut runner = Helper::start("append", &state.root());
        // At another place of the journal each time, the first lines among them.
        for _ in 0..1 + round * 7 {
            runner.expect("acknowledged");
        }
        runner.kill();
        let mut acknowledged = before;
        while let Some(said) = runner.hear() {
            acknowledged = said.strip_prefix("acknowledged ").unwrap().parse().unwrap();
        }
        let records = state.store.load(&run_id()).unwrap().whole().unwrap();
        let there = records.len() as u64;
        assert!(there >= acknowledged, "round {round}: {acknowledged} acknowledged, {there} there");
        assert!(there <= acknowledged.max(before) + 6 || acknowledged == before, "round {round}");
        let Event::Warned { message, .. } = &records.last().unwrap().event else { panic!() };
        assert!(message.starts_with("0 "), "round {round}: half a batch: {message}");
        assert_eq!(state.store.verify(&run_id()).unwrap().damage, None);
        let held = state.store.take(&run_id()).unwrap();
        let mut chain = Chain::after(&records);
        block(held.journal().append(there, &batch(&mut chain, 2))).unwrap();
        before = there + 2;
    }
}

#[test]
fn a_reader_sees_whole_batches_while_another_process_writes() {
    let state = State::new();
    drop(state.store.create(&run_id()).unwrap());
    let mut runner = Helper::start("append", &state.root());
    runner.expect("acknowledged");
    let mut last = 0;
    let mut grown = 0;
    // Until it was read between appends often enough; a reader that never sees growth is ended by the count.
    for _ in 0..20_000 {
        if grown > 3 {
            break;
        }
        let records = state.store.load(&run_id()).unwrap().whole().unwrap();
        assert!(records.len() >= last);
        grown += u32::from(records.len() > last);
        last = records.len();
        let Event::Warned { message, .. } = &records.last().unwrap().event else { panic!() };
        assert!(message.starts_with("0 "), "half a batch: {message}");
    }
    assert!(grown > 3, "it was not written to meanwhile");
    runner.kill();
}
