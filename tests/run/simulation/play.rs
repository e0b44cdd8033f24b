//! One run: the loop's part is played here, with the real core and a made-up world.

use super::journal::Journal;
use super::laws::Laws;
use super::people::actor;
use super::plans::{Made, Written};
use super::world::{Job, Verb, World, asks};
use crate::support::chance::Chance;
use crate::support::shape::started;
use jiff::{SignedDuration, Timestamp};
use runplan::plan::{RunId, StepId};
use runplan::run::{
    Actor, Effect, Event, Fact, Failure, Input, Occasion, Outcome, Phase, State, StepState, decide,
    next_wakeup,
};
use std::fmt::Write;

/// What may happen to one run before it is helped to its end.
const MOST: usize = 250;

pub struct Play<'m> {
    pub chance: Chance,
    pub state: State,
    pub journal: Journal,
    pub world: World,
    pub(super) made: &'m Made,
    /// The plan as it is now.
    pub(super) written: Written,
    pub(super) amendments: usize,
    /// Somebody changes the plan before the next resume.
    pub(super) is_changed: bool,
    pub(super) laws: Laws,
    pub(super) now: Timestamp,
    pub(super) handlers: Vec<Occasion>,
    /// What was asked of the edge and not done yet.
    pub(super) release: bool,
}

impl<'m> Play<'m> {
    pub fn new(seed: u64, made: &'m Made) -> Self {
        Self {
            chance: Chance::new(seed),
            state: State::new(RunId::parse("test-1").unwrap(), made.shape.clone()),
            journal: Journal::new(seed.is_multiple_of(10)),
            world: World::default(),
            made,
            written: made.written.clone(),
            amendments: 0,
            is_changed: false,
            laws: Laws::default(),
            now: Timestamp::UNIX_EPOCH,
            handlers: Vec::new(),
            release: false,
        }
    }

    pub fn count(&self) -> usize {
        self.journal.records.len()
    }

    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.journal.records.iter().map(|record| &record.event)
    }

    pub fn end(&self) -> &'static str {
        self.state.result.map_or("standing", runplan::run::Finish::word)
    }

    /// The last events.
    pub fn told(&self, many: usize) -> String {
        let first = self.count().saturating_sub(many);
        self.events().skip(first).fold(String::new(), |text, event| format!("{text}{event:?}\n"))
    }

    pub fn run(&mut self) {
        self.give(&actor("ann"), Input::Begin(Box::new(started(false))));
        self.on();
        for _ in 0..MOST {
            if self.state.phase == Phase::Finished && self.chance.one_in(3) {
                break;
            }
            self.step();
        }
        self.helped_to_its_end();
    }

    /// One thing that may happen next.
    fn step(&mut self) {
        match self.chance.below(2000) {
            0..4 => self.carry(),
            // A plan with amendments is read again at every replay.
            4..8 => {
                self.is_changed = true;
                self.crash_and_resume();
            }
            _ => self.step_alone(),
        }
    }

    /// One thing that may happen where the run is.
    pub fn step_alone(&mut self) {
        if self.chance.one_in(8) {
            self.now += SignedDuration::from_secs(self.chance.below(90) as i64);
        }
        match self.chance.below(40) {
            0 => self.crash_and_resume(),
            1 | 2 => self.stale_answer(),
            3 => self.say_anything(),
            4 => self.note(),
            5 if self.chance.one_in(4) => {
                let hard = self.chance.one_in(2);
                self.give(&actor("ann"), Input::Stop { hard, reason: "enough".to_owned() });
                self.on();
            }
            6 => {
                self.give(&Actor::engine(), Input::Warning { step: None, message: "look".to_owned() });
                self.on();
            }
            7 => {
                self.give(&Actor::engine(), Input::Tick);
                self.on();
            }
            8 | 9 => self.edge(),
            _ if self.state.parked.is_some() => {
                self.answer();
                if self.chance.one_in(2) {
                    self.say_anything();
                }
                self.crash_and_resume();
            }
            _ if self.world.jobs.is_empty() && self.state.awaiting().next().is_some() => self.answer(),
            _ => self.finish_a_job(),
        }
    }

    /// The core's answer to an input, made durable and applied; how many events it was.
    pub fn give(&mut self, who: &Actor, input: Input) -> usize {
        let events = decide(&self.state, who, input, self.now);
        let count = events.len();
        for event in events {
            let record = self.journal.append(self.now, who, event);
            self.laws.hold(&self.state, record);
            self.state.apply(record).unwrap();
            // What it gave before is kept beside; the new one counts.
            if let Event::StepRenewed { step, .. } = &record.event {
                self.world.is_reversed(step);
            }
            for effect in Effect::of(&record.event) {
                match effect {
                    Effect::Act { step, attempt } => begin(&mut self.world, step, attempt, Verb::Act),
                    Effect::Undo { step, attempt } => begin(&mut self.world, step, attempt, Verb::Undo),
                    Effect::Settle { step, attempt } => {
                        let undoing = self.state.entry(&step).unwrap().state == StepState::Undoing;
                        let verb = if undoing { Verb::SettleUndo } else { Verb::Settle };
                        begin(&mut self.world, step, attempt, verb);
                    }
                    Effect::Cancel { step } => {
                        self.world
                            .jobs
                            .iter_mut()
                            .filter(|job| job.step == step)
                            .for_each(|job| job.cancelled = true);
                    }
                    Effect::Handle { occasion } => self.handlers.push(occasion),
                    Effect::Release => self.release = true,
                    Effect::Prompt { .. } => {}
                }
            }
        }
        self.journal.close();
        self.laws.agree(&self.state);
        count
    }

    /// Nothing more comes by itself.
    pub fn on(&mut self) {
        let mut rounds = 0;
        while self.give(&Actor::engine(), Input::Next) > 0 {
            rounds += 1;
            assert!(rounds < 10_000, "it decides without end");
        }
        let parallel = usize::from(self.state.shape.plan.limits.parallel.value);
        assert!(self.state.running().count() <= parallel, "more than {parallel} at once");
        match &self.state.moved {
            None => assert_eq!(self.state.running().count(), self.world.jobs.len(), "what runs is under way"),
            Some(_) => {
                assert_eq!(self.world.jobs.len(), 0, "something is begun here, and the run is elsewhere")
            }
        }
        if self.state.parked.is_some() || self.state.phase == Phase::Finished {
            assert_eq!(self.state.running().count(), 0, "it stands still while something runs");
        }
    }

    fn finish_a_job(&mut self) {
        if self.world.jobs.is_empty() {
            if let Some(at) = next_wakeup(&self.state) {
                self.now = self.now.max(at);
                self.give(&Actor::engine(), Input::Tick);
                self.on();
            }
            return;
        }
        let at = self.chance.below(self.world.jobs.len());
        let job = self.world.jobs.swap_remove(at);
        let mut outcome = self.world.outcome(&job, &mut self.chance, &self.state.shape);
        if let Outcome::Asked(ask) = &mut outcome
            && self.chance.one_in(4)
        {
            ask.expires_at = Some(self.now + SignedDuration::from_secs(60));
        }
        self.finish(job, outcome);
    }

    fn finish(&mut self, job: Job, outcome: Outcome) {
        let Job { step, attempt, verb, .. } = job;
        let input = match verb {
            Verb::Act | Verb::Settle => Input::Outcome { step, attempt, outcome },
            Verb::Undo | Verb::SettleUndo => Input::Undone { step, attempt, outcome },
        };
        assert_eq!(self.give(&Actor::engine(), input), 1, "an answer that is waited for is an event");
        self.on();
    }

    /// An answer of an attempt that is over says nothing any more.
    fn stale_answer(&mut self) {
        let steps = self.state.shape.flow.steps();
        let step = steps[self.chance.below(steps.len())].id.value.clone();
        let entry = self.state.entry(&step).unwrap();
        let running = entry.state == StepState::Running;
        let attempt = match running {
            true => entry.attempts.saturating_sub(1),
            false => entry.attempts.saturating_sub(self.chance.below(2) as u32),
        };
        let undoing = entry.state == StepState::Undoing;
        let outcome = match self.chance.below(4) {
            0 => Outcome::Failed(Failure::new("test::stale", "too late")),
            1 => Outcome::Again("too late".to_owned()),
            2 => Outcome::Skipped("too late".to_owned()),
            _ => Outcome::Done(serde_json::Map::new()),
        };
        let fact = Fact { name: "late".to_owned(), data: true.into() };
        let input = match self.chance.below(3) {
            0 if !undoing => Input::Undone { step, attempt, outcome },
            1 if !undoing && !running => Input::Note { step, attempt, fact },
            _ => Input::Outcome { step, attempt, outcome },
        };
        let told = format!("{input:?}");
        assert_eq!(self.give(&Actor::engine(), input), 0, "too late, and listened to: {told}");
    }

    fn note(&mut self) {
        let Some(job) = self.world.jobs.last().cloned() else { return };
        let fact = Fact { name: "intended".to_owned(), data: job.attempt.into() };
        let count = self.give(&Actor::engine(), Input::Note { step: job.step, attempt: job.attempt, fact });
        assert_eq!(count, 1, "a fact is noted");
    }

    /// What the edge does beside the steps.
    fn edge(&mut self) {
        if let Some(occasion) = self.handlers.pop() {
            let failure = self.chance.one_in(3).then(|| Failure::new("test::handler", "nobody heard"));
            self.give(&Actor::engine(), Input::HandlerFinished { occasion, index: 0, failure, line: None });
        }
        if self.release && self.state.phase == Phase::Finished {
            self.release = false;
            let first = self.give(&Actor::engine(), Input::Released);
            assert_eq!(first + self.give(&Actor::engine(), Input::Released), usize::from(first > 0), "once");
        }
        self.on();
    }

    /// The process is gone: the state is what the journal says, and nothing else.
    pub fn crash_and_resume(&mut self) {
        self.world.crash(&mut self.chance, &self.state.shape);
        self.handlers.clear();
        let replayed = self.journal.replay(&self.made.shape);
        let full = self.journal.is_sealed() || self.chance.one_in(8);
        if full {
            assert_eq!(describe(&replayed, true), describe(&self.state, true), "replay and live differ");
        }
        let (phase, parked) = (replayed.phase, replayed.parked.is_some());
        self.state = replayed;
        self.laws.agree(&self.state);
        if self.state.phase == Phase::Finished {
            return;
        }
        if std::mem::take(&mut self.is_changed) {
            self.amend();
        }
        let (attended, wait) = (self.chance.one_in(4), self.chance.one_in(4));
        self.give(&actor("ann"), Input::Resume { attended, wait });
        assert_eq!(self.state.phase, phase, "a resume keeps the direction");
        assert!(self.state.parked.is_none() || !parked || self.state.moved.is_some());
        self.on();
    }

    /// Without faults, and with people who answer, every run comes to an end.
    fn helped_to_its_end(&mut self) {
        let most = 400 + 40 * self.state.shape.flow.len();
        let mut moves = 0;
        while self.state.phase != Phase::Finished {
            moves += 1;
            assert!(moves < most, "it does not come to an end: {:?}", self.state.parked);
            if let Some(job) = self.world.jobs.pop() {
                let outcome = self.well(&job);
                self.finish(job, outcome);
                continue;
            }
            let forward = self.state.phase == Phase::Forward;
            let awaiting = self.state.awaiting().find(|_| forward).cloned();
            let stuck = self.state.unknown().chain(self.state.failed()).next().cloned();
            if let Some(step) = awaiting {
                let who = actor(["ann", "bob", "cid", "eve"][moves % 4]);
                self.post(&who, runplan::run::Post::Approve { step, comment: "fine".to_owned() });
            } else if let Some(step) = stuck {
                let stands = self.world.stands.contains(&step);
                let failed_undo = self.state.entry(&step).unwrap().state == StepState::UndoFailed;
                let resolution = match (failed_undo, stands) {
                    (true, _) => runplan::run::Resolution::Skip,
                    (false, true) => runplan::run::Resolution::Done,
                    (false, false) => runplan::run::Resolution::Retry,
                };
                let reason = "looked".to_owned();
                self.post(
                    &actor("ann"),
                    runplan::run::Post::Resolve { step, resolution, reason, loss: None },
                );
            }
            if self.world.jobs.is_empty() && self.state.phase != Phase::Finished {
                match next_wakeup(&self.state).filter(|_| self.state.parked.is_none()) {
                    Some(at) => {
                        self.now = self.now.max(at);
                        self.give(&Actor::engine(), Input::Tick);
                        self.on();
                    }
                    None => self.crash_and_resume(),
                }
            }
        }
        assert_eq!(describe(&self.journal.replay(&self.made.shape), true), describe(&self.state, true));
    }

    fn well(&mut self, job: &Job) -> Outcome {
        let (step, stands) = (&job.step, self.world.stands.contains(&job.step));
        if let Some(confirm) = asks(&self.state.shape, step)
            && job.verb == Verb::Act
        {
            return Outcome::Asked(Box::new(runplan::run::Ask {
                confirm,
                ..crate::support::script::ask("go?")
            }));
        }
        match job.verb {
            Verb::Act => self.world.takes_effect(step),
            Verb::Settle if !stands => return Outcome::Again("it left no mark".to_owned()),
            Verb::Settle => {}
            Verb::Undo | Verb::SettleUndo => self.world.is_reversed(step),
        }
        Outcome::Done(serde_json::Map::new())
    }

    /// The state, when this run is one of those that are looked at closely.
    pub fn described(&self) -> Option<String> {
        self.journal.is_sealed().then(|| describe(&self.state, false))
    }
}

fn begin(world: &mut World, step: StepId, attempt: u32, verb: Verb) {
    assert!(!world.jobs.iter().any(|job| job.step == step), "{step} is under way already");
    world.jobs.push(Job { step, attempt, verb, cancelled: false });
}

/// Everything of a state that matters, as text. `whole`: with its place in the journal.
fn describe(state: &State, whole: bool) -> String {
    let mut text = format!(
        "{:?} {:?} {:?} {} {} {:?} {:?} {} {:?}\n",
        state.phase,
        state.parked,
        state.result,
        state.attended,
        state.wait,
        state.done().collect::<Vec<_>>(),
        next_wakeup(state),
        state.released,
        state.warnings,
    );
    if whole {
        let _ = writeln!(text, "{} {}", state.seq, state.head);
    }
    for (id, entry) in state.entries() {
        let _ = writeln!(text, "{id} {entry:?}");
    }
    text
}
