//! What people say to a run, sensible or not.

use super::play::Play;
use runplan::plan::StepId;
use runplan::run::{Actor, Event, Input, Phase, Post, Resolution, StepState};

pub fn actor(name: &str) -> Actor {
    Actor { name: name.to_owned(), uid: name.len() as u32, host: "h".to_owned() }
}

impl Play<'_> {
    fn somebody(&mut self) -> Actor {
        actor(["ann", "bob", "cid", "eve"][self.chance.below(4)])
    }

    fn any_step(&mut self) -> StepId {
        let steps = self.state.shape.flow.steps();
        steps[self.chance.below(steps.len())].id.value.clone()
    }

    /// Anything at any time.
    pub fn say_anything(&mut self) {
        let who = self.somebody();
        let step = self.any_step();
        let reason = || "because".to_owned();
        let post = match self.chance.below(10) {
            0 | 1 => {
                Post::Approve { step, comment: if self.chance.one_in(2) { reason() } else { String::new() } }
            }
            2 => Post::Reject { step, reason: reason() },
            3..=5 => Post::Resolve { step, resolution: self.any_resolution(), reason: reason(), loss: None },
            6 => Post::Stop { hard: self.chance.one_in(2), reason: reason() },
            7 | 8 => {
                let to = if self.chance.one_in(2) { Some(step) } else { None };
                Post::Undo { to, reason: reason() }
            }
            _ if self.chance.one_in(4) => Post::End { reason: reason() },
            _ => Post::Approve { step, comment: reason() },
        };
        self.post(&who, post);
    }

    fn any_resolution(&mut self) -> Resolution {
        [Resolution::Done, Resolution::Retry, Resolution::Skip, Resolution::Failed][self.chance.below(4)]
    }

    /// What the run waits for.
    pub fn answer(&mut self) {
        let forward = self.state.phase == Phase::Forward;
        let awaiting = self.state.awaiting().find(|_| forward).cloned();
        let stuck = self.state.unknown().chain(self.state.failed()).next().cloned();
        if let Some(step) = awaiting {
            let who = self.somebody();
            let post = match self.chance.below(6) {
                0 => Post::Reject { step, reason: "no".to_owned() },
                _ => Post::Approve { step, comment: "fine".to_owned() },
            };
            self.post(&who, post);
        } else if let Some(step) = stuck {
            let resolution = self.any_resolution();
            self.post(
                &actor("ann"),
                Post::Resolve { step, resolution, reason: "looked".to_owned(), loss: None },
            );
        }
    }

    /// A person who says how it is has looked, or made it so; what is refused has changed nothing.
    pub fn post(&mut self, who: &Actor, post: Post) {
        let (before, phase) = (self.described(), self.state.phase);
        let first = self.journal.records.len();
        let said = post.clone();
        self.give(who, Input::Post(post));
        let events = &self.journal.records[first..];
        let refused = events.iter().all(|record| matches!(record.event, Event::DecisionRefused { .. }));
        if refused {
            assert_eq!(self.described(), before, "what is refused changes nothing: {said:?}");
        }
        let answered = events.iter().any(|record| matches!(record.event, Event::StepResolved { .. }));
        assert_eq!(answered, !refused && matches!(said, Post::Resolve { .. }), "{said:?}");
        if matches!(said, Post::Undo { .. }) && phase == Phase::Backward {
            assert!(events.is_empty(), "it is going back already");
        }
        if let Post::Resolve { step, resolution, .. } = &said
            && answered
        {
            let backward = phase == Phase::Backward
                && matches!(self.state.entry(step).unwrap().state, StepState::Done | StepState::Undone);
            match (backward, resolution) {
                (false, Resolution::Done) => self.world.is_made(step, true),
                (false, Resolution::Retry | Resolution::Failed) => self.world.is_made(step, false),
                (true, Resolution::Retry) => self.world.is_made(step, true),
                (true, _) => self.world.is_made(step, false),
                (false, Resolution::Skip) => {}
            }
        }
        self.on();
    }
}
