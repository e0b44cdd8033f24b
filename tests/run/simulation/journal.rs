//! What is durable in a simulation. Every tenth run has a journal of real lines, sealed and read again; the others keep
//! the events alone, which is what the core works with.

use jiff::Timestamp;
use runplan::plan::RunId;
use runplan::run::{Actor, Event, Record, Shape, State};

pub struct Journal {
    run: RunId,
    pub records: Vec<Record>,
    sealed: bool,
}

impl Journal {
    pub fn new(sealed: bool) -> Self {
        Self { run: RunId::parse("test-1").unwrap(), records: Vec::new(), sealed }
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

    /// A state made of what is durable, and of nothing else.
    pub fn replay(&self, shape: &Shape) -> State {
        let mut state = State::new(self.run.clone(), shape.clone());
        let mut previous = String::new();
        for record in &self.records {
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
