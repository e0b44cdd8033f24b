//! The plan is changed under its run; the run is carried to another machine, and the old one comes back.

use super::journal::Journal;
use super::laws::Laws;
use super::people::actor;
use super::play::Play;
use super::world::World;
use crate::support::chance::Chance;
use crate::support::shape::shape;
use runplan::plan::{Action, StepId};
use runplan::run::{Amended, Event, Input, Phase, Record, StoredSource, decide};

/// Reading a plan costs more than running it here, and every replay reads each of them again.
const MOST_AMENDMENTS: usize = 3;

impl Play<'_> {
    /// Somebody changed the plan while nobody drove the run. It is taken in exactly when nothing that took effect, or may
    /// have, is another thing in it.
    pub fn amend(&mut self) {
        if self.amendments == MOST_AMENDMENTS {
            return;
        }
        let new = self.written.changed(&mut self.chance);
        let changed = |step: &&StepId| self.written.of(step.as_str()) != new.of(step.as_str());
        let acted = self.laws.acted().find(changed).or_else(|| self.world.stands.iter().find(changed));
        let wanted = acted.is_none() && self.state.phase == Phase::Forward && self.state.moved.is_none();
        let text = new.text();
        let allowed = self.state.refuse(&shape(&text), &serde_json::Map::new());
        // Who was skipped although nobody knew may have taken effect, too.
        let spoken = allowed.as_ref().is_err_and(|why| why.contains("was skipped, and may have"));
        assert!(allowed.is_ok() == wanted || spoken && wanted, "{acted:?} {allowed:?}\n{text}");
        let source = StoredSource { name: "test.yaml".to_owned(), text };
        let amended = Input::Amend(Box::new(Amended {
            sources: vec![source],
            has_site: false,
            params: serde_json::Map::new(),
            plan_digest: "new".to_owned(),
            digest: "new".to_owned(),
            changes: Vec::new(),
        }));
        if allowed.is_err() {
            self.prove_refused(amended);
            return;
        }
        self.amendments += 1;
        self.written = new;
        let before: Vec<StepId> = self.laws.acted().cloned().collect();
        let known = |play: &Self, step: &StepId| {
            format!("{:?}", play.state.entry(step).map(|e| (&e.outputs, &e.facts)))
        };
        let told: Vec<String> = before.iter().map(|step| known(self, step)).collect();
        self.give(&actor("ann"), amended);
        for (step, told) in before.iter().zip(told) {
            assert_eq!(known(self, step), told, "{step} keeps what is known of it");
        }
        self.prove_asked_again();
    }

    /// What the new plan still does was approved for the new plan, or not yet.
    fn prove_asked_again(&self) {
        let (flow, graph) = (&self.state.shape.flow, &self.state.shape.graph);
        let is = |at: usize, word: &str| {
            self.state.entry(&flow.steps()[at].id.value).unwrap().state.word() == word
        };
        for go in (0..flow.len()).filter(|at| matches!(flow.steps()[*at].action.value, Action::Approve(_))) {
            assert!(
                !is(go, "awaiting_approval"),
                "{} asks in the old plan's words",
                flow.steps()[go].id.value
            );
            let open =
                |later: &usize| !is(*later, "done") && !is(*later, "skipped") && graph.is_before(go, *later);
            let behind = (0..flow.len()).find(|later| is(go, "done") && open(later));
            assert_eq!(behind, None, "{} was approved for the old plan", flow.steps()[go].id.value);
        }
    }

    /// One that slips through is not folded either.
    fn prove_refused(&self, amended: Input) {
        let mut state = self.state.clone();
        let events = decide(&state, &actor("ann"), amended, self.now);
        let Some(event @ Event::PlanAmended(_)) = events.into_iter().next() else { return };
        let record = Record {
            run: state.run.clone(),
            seq: state.seq + 1,
            at: self.now,
            actor: actor("ann"),
            event,
            hash: String::new(),
            line: String::new(),
        };
        assert!(state.apply(&record).is_err(), "what is refused is folded");
    }

    /// Exported as it stands, with whatever is interrupted, and taken over on another machine.
    pub fn carry(&mut self) {
        self.world.crash(&mut self.chance, &self.state.shape);
        self.handlers.clear();
        self.state = self.journal.replay(&self.made.shape);
        if self.state.phase == Phase::Finished {
            return;
        }
        let lost = self.journal.before(&mut self.chance);
        let to = || "moved.run".to_owned();
        assert_eq!(self.give(&actor("ann"), Input::Export { to: to() }), 1);
        assert_eq!(self.give(&actor("ann"), Input::Export { to: to() }), 0, "once");
        self.comes_back(self.journal.clone());
        let taken = |epoch| Input::TakeOver {
            epoch,
            from: "ann on h".to_owned(),
            reason: "the other one is lost".to_owned(),
            directory: None,
        };
        let epoch = self.state.epoch;
        assert_eq!(self.give(&actor("bob"), taken(epoch)), 0, "the epoch of the other machine");
        assert_eq!(self.give(&actor("bob"), taken(epoch + 1)), 1);
        assert_eq!(self.state.epoch, epoch + 1);
        self.comes_back(lost);
        let (attended, wait) = (self.chance.one_in(4), self.chance.one_in(4));
        self.give(&actor("bob"), Input::Resume { attended, wait });
        self.on();
    }

    /// Another machine goes on from what its disk holds, in a world that has the claim of a later epoch: whatever it tries,
    /// it keeps the laws, its own epoch stays below, and it does nothing.
    fn comes_back(&mut self, journal: Journal) {
        let mut laws = Laws::default();
        let state = journal.replay_in_sight(&self.made.shape, &mut |state, record| laws.hold(state, record));
        let moved = state.moved.is_some();
        let epoch = state.epoch;
        assert!(moved || epoch <= self.state.epoch);
        let mut other = Play {
            chance: Chance::new(self.chance.next()),
            state,
            world: World::barred(),
            journal,
            made: self.made,
            written: self.written.clone(),
            // What it would take in is not its own plan.
            amendments: MOST_AMENDMENTS,
            is_changed: false,
            laws,
            now: self.now,
            handlers: Vec::new(),
            release: false,
        };
        let first = other.count();
        other.crash_and_resume();
        for _ in 0..8 {
            other.step_alone();
        }
        assert_eq!(other.state.epoch, epoch, "an epoch rises by taking over alone");
        assert!(other.world.stands.is_empty());
        if moved {
            let begun = other.events().skip(first).find(|event| event.step().is_some());
            assert!(begun.is_none_or(|event| matches!(event, Event::DecisionRefused { .. })), "{begun:?}");
        }
    }
}
