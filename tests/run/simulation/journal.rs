//! What is durable in a simulation. Every tenth run has a journal of real lines, sealed and read again; the others keep
//! the events alone, which is what the core works with.

use crate::support::chance::Chance;
use jiff::Timestamp;
use runplan::plan::RunId;
use runplan::run::{Actor, Event, Record, Shape, State};

#[derive(Clone)]
pub struct Journal {
    run: RunId,
    pub records: Vec<Record>,
    sealed: bool,
    /// Where what was decided at once ends: it is durable as a whole.
    ends: Vec<usize>,
}

impl Journal {
    pub fn new(sealed: bool) -> Self {
        Self { run: RunId::parse("test-1").unwrap(), records: Vec::new(), sealed, ends: Vec::new() }
    }

    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    pub fn append(&mut self, at: Timestamp, actor: &Actor, event: Event) -> &Record {
        let seq = self.records.len() as u64 + 1;
        let previous = self.records.last().map_or("", |record| record.hash.as_str());
        let record = match self.sealed {
            true => Record::seal(&self.run, seq, at, actor, event, previous),
            false => Record {
                run: self.run.clone(),
                seq,
                at,
                actor: actor.clone(),
                event,
                hash: String::new(),
                line: String::new(),
            },
        };
        self.records.push(record);
        self.records.last().unwrap()
    }

    /// All that was decided is there.
    pub fn close(&mut self) {
        if self.ends.last() != Some(&self.records.len()) {
            self.ends.push(self.records.len());
        }
    }

    /// What a disk held at some time before.
    pub fn before(&self, chance: &mut Chance) -> Self {
        let at = chance.below(self.ends.len());
        Self {
            records: self.records[..self.ends[at]].to_vec(),
            ends: self.ends[..=at].to_vec(),
            ..self.clone()
        }
    }

    /// A state made of what is durable, and of nothing else.
    pub fn replay(&self, shape: &Shape) -> State {
        self.replay_in_sight(shape, &mut |_, _| ())
    }

    /// The same, with every line shown before it is applied.
    pub fn replay_in_sight(&self, shape: &Shape, seen: &mut dyn FnMut(&State, &Record)) -> State {
        let mut state = State::new(self.run.clone(), shape.clone());
        let mut previous = String::new();
        for record in &self.records {
            seen(&state, record);
            if !self.sealed {
                state.apply(record).unwrap();
                continue;
            }
            let read = Record::read(&record.line, record.seq, &previous).unwrap();
            previous.clone_from(&read.hash);
            assert_eq!(&read, record, "what was written is what is read");
            state.apply(&read).unwrap();
        }
        state
    }
}
