//! What the steps do it to: how often each took effect, whether it was reversed; and the attempts under way.

use crate::support::chance::Chance;
use runplan::plan::StepId;
use runplan::run::{Ask, Evidence, Failure, Outcome, Outputs, Shape};
use std::collections::{HashMap, HashSet};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Act,
    Settle,
    Undo,
    SettleUndo,
}

#[derive(Debug, Clone)]
pub struct Job {
    pub step: StepId,
    pub attempt: u32,
    pub verb: Verb,
    pub cancelled: bool,
}

#[derive(Default)]
pub struct World {
    pub jobs: Vec<Job>,
    /// Steps whose effect stands.
    pub stands: HashSet<StepId>,
    /// How often each step took effect and was not reversed: never more than once.
    counts: HashMap<StepId, u32>,
    /// The claim of a later epoch stands on everything: nothing that is tried here does anything.
    barred: bool,
}

impl World {
    /// Of a machine whose epoch is over.
    pub fn barred() -> Self {
        Self { barred: true, ..Self::default() }
    }

    pub fn takes_effect(&mut self, step: &StepId) {
        assert!(!self.barred, "{step} takes effect for an epoch that is over");
        let count = self.counts.entry(step.clone()).or_default();
        *count += 1;
        assert_eq!(*count, 1, "{step} takes effect a second time");
        self.stands.insert(step.clone());
    }

    /// By its undo, or by the hand of a person who then says so.
    pub fn is_reversed(&mut self, step: &StepId) {
        self.counts.insert(step.clone(), 0);
        self.stands.remove(step);
    }

    /// A person makes true what they say.
    pub fn is_made(&mut self, step: &StepId, stands: bool) {
        match stands {
            _ if self.barred => {}
            true if self.stands.contains(step) => {}
            true => self.takes_effect(step),
            false => self.is_reversed(step),
        }
    }

    /// The processes are gone; what they did up to then stays done.
    pub fn crash(&mut self, chance: &mut Chance, shape: &Shape) {
        for job in std::mem::take(&mut self.jobs) {
            match job.verb {
                _ if self.barred => {}
                Verb::Act if asks(shape, &job.step).is_none() && chance.one_in(2) => {
                    self.takes_effect(&job.step);
                }
                Verb::Undo | Verb::SettleUndo if chance.one_in(2) => self.is_reversed(&job.step),
                Verb::Act | Verb::Settle | Verb::Undo | Verb::SettleUndo => {}
            }
        }
    }

    /// How a job ends; what it says of a certain outcome is true.
    pub fn outcome(&mut self, job: &Job, chance: &mut Chance, shape: &Shape) -> Outcome {
        let roll = chance.below(if job.cancelled { 8 } else { 20 });
        if self.barred {
            return barred(job, shape, chance);
        }
        match job.verb {
            Verb::Act => match asks(shape, &job.step) {
                Some(_) if roll == 0 => failed(chance),
                Some(confirm) => Outcome::Asked(Box::new(ask(confirm, chance))),
                None => self.act(&job.step, roll, chance),
            },
            Verb::Settle if asks(shape, &job.step).is_some() => Outcome::Again("nobody was asked".to_owned()),
            Verb::Settle => match (self.stands.contains(&job.step), roll) {
                (_, 0 | 1) => unknown(),
                (true, _) => Outcome::Done(outputs()),
                (false, 2 | 3) => failed(chance),
                (false, _) => Outcome::Again("it left no mark".to_owned()),
            },
            Verb::Undo | Verb::SettleUndo => match roll {
                0 => failed(chance),
                1 => {
                    if chance.one_in(2) {
                        self.is_reversed(&job.step);
                    }
                    unknown()
                }
                _ => {
                    assert!(self.stands.contains(&job.step) || job.verb == Verb::SettleUndo, "{}", job.step);
                    self.is_reversed(&job.step);
                    Outcome::Done(outputs())
                }
            },
        }
    }

    fn act(&mut self, step: &StepId, roll: usize, chance: &mut Chance) -> Outcome {
        match roll {
            0..=2 => failed(chance),
            3 => {
                if chance.one_in(2) {
                    self.takes_effect(step);
                }
                unknown()
            }
            4 => Outcome::Skipped("nothing stands in for it".to_owned()),
            _ => {
                self.takes_effect(step);
                Outcome::Done(outputs())
            }
        }
    }
}

/// An approval: whether it is a human task.
pub fn asks(shape: &Shape, step: &StepId) -> Option<bool> {
    match &shape.flow.step(step.as_str()).unwrap().action.value {
        runplan::plan::Action::Approve(approve) => Some(approve.confirm.is_some()),
        _ => None,
    }
}

fn ask(confirm: bool, chance: &mut Chance) -> Ask {
    let people = ["ann", "bob", "cid"].map(str::to_owned).to_vec();
    Ask {
        message: "go?".to_owned(),
        confirm,
        people: if chance.one_in(2) { people } else { Vec::new() },
        roles: Vec::new(),
        count: 1 + chance.below(2) as u16,
        expires_at: None,
        allow_requester: chance.one_in(2),
        nonce: String::new(),
    }
}

/// What the edge answers when it finds the claim of a later epoch, before any effect.
fn barred(job: &Job, shape: &Shape, chance: &mut Chance) -> Outcome {
    let moved = Failure::new("test::moved", "the run goes on elsewhere").permanent();
    match (job.verb, asks(shape, &job.step)) {
        (Verb::Act, Some(confirm)) => Outcome::Asked(Box::new(ask(confirm, chance))),
        (Verb::Act | Verb::Undo, _) => Outcome::Failed(moved),
        (Verb::Settle | Verb::SettleUndo, _) => unknown(),
    }
}

fn outputs() -> Outputs {
    let mut outputs = Outputs::new();
    outputs.insert("note".to_owned(), "done".into());
    outputs
}

fn failed(chance: &mut Chance) -> Outcome {
    let failure = Failure::new("test::failed", "it did not work");
    Outcome::Failed(if chance.one_in(3) { failure.permanent() } else { failure })
}

fn unknown() -> Outcome {
    Outcome::Unknown(Evidence::new("nobody can tell", ["the server was silent".to_owned()]))
}
