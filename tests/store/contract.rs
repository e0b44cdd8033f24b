//! What every journal promises. One suite, run against each.

use super::support::{Chain, State, ann, at, block, run_id};
use runplan::plan::StepId;
use runplan::run::{Actor, Post, Record};
use runplan::store::{Error, Fault, Held, Journal, MemoryJournal, PostId, Posted, SqliteJournal};
use std::ops::Range;

/// A journal, and the world around it.
trait Subject {
    type Journal: Journal;
    fn new() -> Self;
    fn journal(&self) -> &Self::Journal;
    /// The holder ends, and another takes the journal up.
    fn again(&mut self);
    fn post(&self, actor: &Actor, post: &Post) -> PostId;
    fn outcome(&self, id: PostId) -> Result<Option<Range<u64>>, Error>;
    fn records(&self) -> Vec<Record>;
}

struct Memory(MemoryJournal);

impl Subject for Memory {
    type Journal = MemoryJournal;
    fn new() -> Self {
        Self(MemoryJournal::new())
    }
    fn journal(&self) -> &MemoryJournal {
        &self.0
    }
    fn again(&mut self) {
        self.0 = self.0.reopen();
    }
    fn post(&self, actor: &Actor, post: &Post) -> PostId {
        self.0.post(at(0), actor, post)
    }
    fn outcome(&self, id: PostId) -> Result<Option<Range<u64>>, Error> {
        self.0.outcome_of(id)
    }
    fn records(&self) -> Vec<Record> {
        self.0.records()
    }
}

struct Sqlite {
    state: State,
    held: Option<Held>,
}

impl Subject for Sqlite {
    type Journal = SqliteJournal;
    fn new() -> Self {
        let state = State::new();
        let held = Some(state.store.create(&run_id()).unwrap());
        Self { state, held }
    }
    fn journal(&self) -> &SqliteJournal {
        self.held.as_ref().unwrap().journal()
    }
    fn again(&mut self) {
        self.held = None;
        self.held = Some(self.state.store.take(&run_id()).unwrap());
    }
    fn post(&self, actor: &Actor, post: &Post) -> PostId {
        self.state.store.post(&run_id(), actor, post).unwrap()
    }
    fn outcome(&self, id: PostId) -> Result<Option<Range<u64>>, Error> {
        self.state.store.outcome_of(&run_id(), id)
    }
    fn records(&self) -> Vec<Record> {
        self.state.store.load(&run_id()).unwrap().whole().unwrap()
    }
}

macro_rules! contract {
    ($($test:ident)*) => {
        mod memory { $( #[test] fn $test() { super::$test::<super::Memory>(); } )* }
        mod sqlite { $( #[test] fn $test() { super::$test::<super::Sqlite>(); } )* }
    };
}

contract! {
    what_was_appended_is_read_back
    the_next_holder_goes_on
    who_knows_less_cannot_append
    who_knows_more_cannot_append
    a_gap_is_refused
    a_failed_append_ends_it
    posts_come_in_order_and_whole
    a_post_is_taken_with_the_append
    a_failed_append_takes_nothing
    a_post_is_taken_once
    a_post_can_be_taken_without_a_record
    an_empty_append_proves_the_place
}

fn stop(reason: &str) -> Post {
    Post::Stop { hard: false, reason: reason.to_owned() }
}

fn what_was_appended_is_read_back<S: Subject>() {
    let subject = S::new();
    assert_eq!(subject.records(), []);
    let mut chain = Chain::new();
    let mut all = Vec::new();
    for size in [1, 5, 1, 30] {
        let batch = chain.take(size);
        block(subject.journal().append(all.len() as u64, &batch)).unwrap();
        all.extend(batch);
        assert_eq!(subject.records(), all);
    }
    assert!(!subject.journal().is_lost());
}

fn the_next_holder_goes_on<S: Subject>() {
    let mut subject = S::new();
    let mut chain = Chain::new();
    let first = chain.take(3);
    block(subject.journal().append(0, &first)).unwrap();
    subject.again();
    assert_eq!(subject.records(), first);
    block(subject.journal().append(3, &chain.take(2))).unwrap();
    assert_eq!(subject.records().len(), 5);
}

fn who_knows_less_cannot_append<S: Subject>() {
    let mut subject = S::new();
    let all = Chain::new().take(3);
    block(subject.journal().append(0, &all)).unwrap();
    for known in 0..3 {
        subject.again();
        let records = Chain::after(&all[..known]).take(4);
        let error = block(subject.journal().append(known as u64, &records)).unwrap_err();
        assert!(
            matches!(error, Error::Conflict { expected, found: 3 } if expected == known as u64),
            "{error}"
        );
        assert_eq!(subject.records(), all);
    }
}

fn who_knows_more_cannot_append<S: Subject>() {
    let subject = S::new();
    let all = Chain::new().take(3);
    let error = block(subject.journal().append(2, &all[2..])).unwrap_err();
    assert!(matches!(error, Error::Conflict { expected: 2, found: 0 }), "{error}");
    assert_eq!(subject.records(), []);
}

fn a_gap_is_refused<S: Subject>() {
    for bad in [&[0, 2][..], &[0, 0], &[1, 0], &[1]] {
        let subject = S::new();
        let all = Chain::new().take(3);
        let records: Vec<_> = bad.iter().map(|&at| all[at].clone()).collect();
        let error = block(subject.journal().append(0, &records)).unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
        assert!(subject.journal().is_lost());
        assert_eq!(subject.records(), []);
    }
}

fn a_failed_append_ends_it<S: Subject>() {
    let mut subject = S::new();
    let all = Chain::new().take(2);
    block(subject.journal().append(1, &all[1..])).unwrap_err();
    assert!(subject.journal().is_lost());
    let error = block(subject.journal().append(0, &all)).unwrap_err();
    assert!(matches!(error, Error::Lost), "{error}");
    assert_eq!(subject.records(), []);
    subject.again();
    assert!(!subject.journal().is_lost());
    block(subject.journal().append(0, &all)).unwrap();
}

fn posts_come_in_order_and_whole<S: Subject>() {
    let mut subject = S::new();
    assert_eq!(block(subject.journal().inbox()).unwrap(), []);
    let posts = [
        Post::Approve { step: StepId::from("go"), comment: "looks \"right\"\n'); --".to_owned() },
        stop("no"),
        Post::Undo { to: None, reason: "ü".to_owned() },
    ];
    let ids = posts.each_ref().map(|post| subject.post(&ann(), post));
    for _ in 0..2 {
        let inbox = block(subject.journal().inbox()).unwrap();
        assert_eq!(inbox.iter().map(|posted| &posted.post).collect::<Vec<_>>(), posts.each_ref());
        assert_eq!(inbox.iter().map(|posted| posted.id).collect::<Vec<_>>(), ids);
        assert!(inbox.iter().all(|posted| posted.actor == ann()));
        // Reading does not take: the next holder sees them too.
        subject.again();
    }
}

fn a_post_is_taken_with_the_append<S: Subject>() {
    let mut subject = S::new();
    let mut chain = Chain::new();
    block(subject.journal().append(0, &chain.take(4))).unwrap();
    let (first, second) = (subject.post(&ann(), &stop("1")), subject.post(&ann(), &stop("2")));
    assert_eq!(subject.outcome(first).unwrap(), None);
    block(subject.journal().append_taking(4, &chain.take(3), &[first])).unwrap();
    let left = |inbox: Vec<Posted>| inbox.into_iter().map(|posted| posted.id).collect::<Vec<_>>();
    assert_eq!(left(block(subject.journal().inbox()).unwrap()), [second]);
    assert_eq!(subject.outcome(first).unwrap(), Some(5..u64::MAX));
    assert_eq!(subject.outcome(second).unwrap(), None);
    subject.again();
    assert_eq!(left(block(subject.journal().inbox()).unwrap()), [second]);
    let error = subject.outcome(PostId(77)).unwrap_err();
    assert!(matches!(error, Error::NoPost { id: 77 }), "{error}");
}

fn a_failed_append_takes_nothing<S: Subject>() {
    let subject = S::new();
    let id = subject.post(&ann(), &stop("1"));
    block(subject.journal().append_taking(9, &[], &[id])).unwrap_err();
    assert_eq!(subject.outcome(id).unwrap(), None);
}

fn a_post_is_taken_once<S: Subject>() {
    for wrong in [&[PostId(1)][..], &[PostId(2), PostId(2)], &[PostId(2), PostId(3)]] {
        let subject = S::new();
        let mut chain = Chain::new();
        let first = subject.post(&ann(), &stop("1"));
        let second = subject.post(&ann(), &stop("2"));
        assert_eq!((first, second), (PostId(1), PostId(2)));
        block(subject.journal().append_taking(0, &chain.take(1), &[first])).unwrap();
        let error = block(subject.journal().append_taking(1, &chain.take(1), wrong)).unwrap_err();
        assert!(matches!(error, Error::NoPost { .. }), "{error}");
        assert_eq!(subject.records().len(), 1);
        assert_eq!(subject.outcome(second).unwrap(), None);
    }
}

fn a_post_can_be_taken_without_a_record<S: Subject>() {
    let subject = S::new();
    let id = subject.post(&ann(), &stop("1"));
    block(subject.journal().append_taking(0, &[], &[id])).unwrap();
    assert_eq!(block(subject.journal().inbox()).unwrap(), []);
    assert_eq!(subject.outcome(id).unwrap(), Some(1..u64::MAX));
    assert_eq!(subject.records(), []);
    // What the next one leads to is not the first one's.
    let next = subject.post(&ann(), &stop("2"));
    block(subject.journal().append_taking(0, &Chain::new().take(2), &[next])).unwrap();
    assert_eq!(
        (subject.outcome(id).unwrap(), subject.outcome(next).unwrap()),
        (Some(1..1), Some(1..u64::MAX))
    );
}

fn an_empty_append_proves_the_place<S: Subject>() {
    let subject = S::new();
    block(subject.journal().append(0, &[])).unwrap();
    let error = block(subject.journal().append(3, &[])).unwrap_err();
    assert!(matches!(error, Error::Conflict { expected: 3, found: 0 }), "{error}");
}

#[test]
fn memory_fails_on_request() {
    for (fault, endured) in [(Fault::Before, 2), (Fault::After, 3)] {
        let journal = MemoryJournal::new();
        let all = Chain::new().take(4);
        journal.fail(3, fault);
        for at in 0..2 {
            block(journal.append(at as u64, &all[at..=at])).unwrap();
        }
        let error = block(journal.append(2, &all[2..3])).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert!(journal.is_lost());
        assert!(matches!(block(journal.append(endured, &[])), Err(Error::Lost)));
        let next = journal.reopen();
        assert_eq!(next.records(), all[..endured as usize]);
        block(next.append(endured, &all[endured as usize..])).unwrap();
    }
}
