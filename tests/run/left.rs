//! What an undo leaves: the last copy stays while anything after it stands, and nobody is told that it was reversed.

use crate::support::shape::{shape, started};
use jiff::{SignedDuration, Timestamp};
use runplan::plan::{RunId, StepId};
use runplan::report;
use runplan::run::{
    Actor, Event, Evidence, Fact, Failure, Finish, Input, Outcome, Outputs, Post, Record, Resolution,
    Standing, State, StepState, Why, decide, reversed, standing, way_back,
};
use serde_json::json;

const UNDONE: &str = "undo: { shell: { argv: [\"true\"], changes: none } }";

struct Run {
    state: State,
    now: Timestamp,
}

fn by() -> Actor {
    Actor { name: "ann".to_owned(), uid: 1000, host: "here".to_owned() }
}

impl Run {
    fn begin(steps: &str) -> Self {
        let text = format!(
            "runplan: 1\nname: t\ndatabases: {{ app: {{ url: \"postgres://h/d\" }} }}\nsteps:\n{steps}"
        );
        let state = State::new(RunId::parse("test-1").unwrap(), shape(&text));
        let mut run = Self { state, now: Timestamp::UNIX_EPOCH };
        run.say(Input::Begin(Box::new(started(false))));
        run
    }

    fn say(&mut self, input: Input) {
        let mut input = Some(input);
        loop {
            let events = decide(&self.state, &by(), input.take().unwrap_or(Input::Next), self.now);
            if events.is_empty() {
                return;
            }
            for event in events {
                self.now += SignedDuration::from_secs(1);
                let record = Record::seal(
                    &self.state.run.clone(),
                    self.state.seq + 1,
                    self.now,
                    &by(),
                    event,
                    &self.state.head.clone(),
                );
                self.state.apply(&record).unwrap();
            }
        }
    }

    fn end(&mut self, id: &str, outcome: Outcome) {
        let step = StepId::new(id);
        self.say(Input::Outcome { step, attempt: 1, outcome });
    }

    fn done(&mut self, id: &str, outputs: serde_json::Value) {
        let outputs: Outputs = outputs.as_object().cloned().unwrap_or_default();
        self.end(id, Outcome::Done(outputs));
    }

    fn undo(&mut self) {
        self.say(Input::Post(Post::Undo { to: None, reason: "wrong".to_owned() }));
    }

    fn undone(&mut self, id: &str, outcome: Outcome) {
        self.say(Input::Undone { step: StepId::new(id), attempt: 1, outcome });
    }

    fn resolve(&mut self, id: &str, resolution: Resolution) {
        let (step, reason) = (StepId::new(id), "said so".to_owned());
        self.say(Input::Post(Post::Resolve { step, resolution, reason, loss: None }));
        self.say(Input::Resume { attended: false, wait: false });
    }

    fn at(&self, id: &str) -> StepState {
        self.state.entry(&StepId::new(id)).unwrap().state
    }

    fn kept(&self) -> Vec<String> {
        report::kept(&self.state).into_iter().map(|kept| kept.name).collect()
    }
}

const SAVED: &str = "  - { id: saved, backup: { database: app, to: b } }\n";

fn saved() -> serde_json::Value {
    json!({ "path": "/b/app" })
}

fn failed() -> Outcome {
    Outcome::Failed(Failure::new("runplan::test::no", "no"))
}

fn fine() -> Outcome {
    Outcome::Done(Outputs::new())
}

#[test]
fn the_only_way_back_outlives_a_step_that_was_passed_over() {
    let gone =
        "  - { id: replaced, needs: [saved], shell: { argv: [\"true\"] }, irreversible: it is live }\n";
    let mut run = Run::begin(&format!("{SAVED}{gone}"));
    run.done("saved", saved());
    run.done("replaced", json!({}));
    run.undo();
    assert!(matches!(run.state.parked, Some(Why::UndoFailed { .. })), "{:?}", run.state.parked);
    run.resolve("replaced", Resolution::Skip);
    assert_eq!(run.state.result, Some(Finish::Undone));
    assert_eq!((run.at("replaced"), run.at("saved")), (StepState::Left, StepState::Left));
    assert_eq!(run.kept(), ["/b/app"]);
    assert_eq!(reversed(&run.state), "what it did was reversed except replaced (skipped)");
    let note = run.state.entry(&StepId::new("saved")).unwrap().undo_note.clone().unwrap();
    assert!(note.contains("replaced still stood"), "{note}");
}

#[test]
fn what_was_undone_by_hand_lets_the_backup_go() {
    let gone =
        "  - { id: replaced, needs: [saved], shell: { argv: [\"true\"] }, irreversible: it is live }\n";
    let mut run = Run::begin(&format!("{SAVED}{gone}"));
    run.done("saved", saved());
    run.done("replaced", json!({}));
    run.undo();
    run.resolve("replaced", Resolution::Done);
    assert_eq!((run.at("replaced"), run.at("saved")), (StepState::Undone, StepState::Undoing));
    run.undone("saved", fine());
    assert_eq!(reversed(&run.state), "everything it did was reversed");
    assert_eq!(run.kept(), Vec::<String>::new());
}

#[test]
fn a_backup_goes_when_all_after_it_is_undone_or_changed_nothing() {
    let more = format!(
        "  - {{ id: changed, needs: [saved], shell: {{ argv: [\"true\"] }}, {UNDONE} }}\n  \
         - {{ id: looked, needs: [changed], shell: {{ argv: [\"true\"], changes: none }} }}\n  \
         - {{ id: wrote, needs: [looked], sql: {{ database: app, statement: \"DELETE FROM t\" }} }}\n"
    );
    let mut run = Run::begin(&format!("{SAVED}{more}"));
    run.done("saved", saved());
    run.done("changed", json!({}));
    run.done("looked", json!({}));
    run.end("wrote", failed());
    run.undo();
    run.undone("changed", fine());
    assert_eq!(run.at("saved"), StepState::Undoing, "a transaction that failed changed nothing");
}

#[test]
fn a_program_that_failed_may_have_changed_something() {
    let ran = "  - { id: ran, needs: [saved], shell: { argv: [\"true\"] }, irreversible: x }\n";
    let mut run = Run::begin(&format!("{SAVED}{ran}"));
    run.done("saved", saved());
    run.end("ran", failed());
    run.undo();
    assert_eq!((run.at("saved"), run.state.result), (StepState::Left, Some(Finish::Undone)));
}

#[test]
fn a_promise_holds_whatever_is_undone() {
    let kept = "  - { id: saved, backup: { database: app, to: b, keep: 7d } }\n";
    let mut run = Run::begin(&format!(
        "{kept}  - {{ id: bad, needs: [saved], shell: {{ argv: [\"true\"], changes: none }} }}\n"
    ));
    run.done("saved", saved());
    run.end("bad", failed());
    run.undo();
    assert_eq!((run.at("saved"), run.kept()), (StepState::Left, vec!["/b/app".to_owned()]));
    assert_eq!(reversed(&run.state), "everything it did was reversed", "a backup changes nothing");
    assert!(run.state.entry(&StepId::new("saved")).unwrap().undo_note.as_ref().unwrap().contains("7d"));
}

#[test]
fn a_swap_that_was_not_undone_keeps_the_old_database_in_sight() {
    let steps = "  - { id: frozen, needs: [saved], freeze: { database: app } }\n  \
        - { id: restored, needs: [frozen], restore: { from: \"{{ steps.saved.path }}\", database: app } }\n  \
        - { id: switched, needs: [restored], swap: { database: app, with: \"{{ steps.restored.database }}\", keep_old: 1h }, unguarded: test }\n";
    let mut run = Run::begin(&format!("{SAVED}{steps}"));
    run.done("saved", saved());
    run.done("frozen", json!({}));
    run.done("restored", json!({ "database": "app_rp_1" }));
    run.done("switched", json!({ "old_database": "app_old_1" }));
    let whole = run.kept();
    run.undo();
    run.undone("switched", failed());
    assert_eq!(run.at("switched"), StepState::UndoFailed);
    assert_eq!(run.kept(), whole, "nothing has moved");
    assert_eq!(whole, ["/b/app", "app_old_1"]);
    assert_eq!(report::frozen(&run.state), []);
    run.resolve("switched", Resolution::Skip);
    run.undone("restored", fine());
    run.undone("frozen", fine());
    assert_eq!(run.kept(), whole, "the old database and the backup are the way back");
    assert_eq!(reversed(&run.state), "what it did was reversed except switched (skipped)");
}

#[test]
fn what_an_undo_would_close_is_known_before() {
    let steps = "  - { id: frozen, needs: [saved], freeze: { database: app } }\n  \
        - { id: replaced, needs: [frozen], restore: { from: \"{{ steps.saved.path }}\", database: app, into: in_place } }\n  \
        - { id: thawed, needs: [replaced], sql: { database: app, transaction: false, statement: \"ALTER DATABASE app RESET default_transaction_read_only\" }, \
        undo: { shell: { argv: [\"true\"], changes: none } } }\n";
    let mut run = Run::begin(&format!("{SAVED}{steps}"));
    run.done("saved", saved());
    for id in ["frozen", "replaced", "thawed"] {
        run.done(id, json!({}));
    }
    let [thawed, frozen] = ["thawed", "frozen"].map(StepId::new);
    assert_eq!(report::frozen(&run.state), []);
    let words = report::shut_by(&run.state, std::slice::from_ref(&thawed));
    assert!(matches!(words.as_slice(), [one] if one.contains("app would be frozen again")), "{words:?}");
    assert_eq!(report::shut_by(&run.state, &[thawed, frozen]), Vec::<String>::new());
}

/// A journal of before there was anything to leave.
#[test]
fn an_older_line_says_nothing_of_what_is_left() {
    let line = json!({ "kind": "undo_done", "step": "a", "attempt": 1, "note": "" });
    let event: Event = serde_json::from_value(line.clone()).unwrap();
    assert!(matches!(event, Event::UndoDone { left: false, .. }));
    assert_eq!(serde_json::to_value(&event).unwrap(), line);
}

/// Seconds of the clock here, which goes on by one with every event.
fn windows(run: &Run) -> Vec<(i64, Option<i64>)> {
    let all = report::windows(&run.state).into_iter();
    all.map(|one| (one.opened_at.as_second(), one.closed_at.map(Timestamp::as_second))).collect()
}

#[test]
fn a_window_that_was_opened_and_undone_was_downtime() {
    let step = "shell: { argv: [\"true\"], changes: none, repeatable: true }";
    let text = format!(
        "  - {{ id: inside, window: calm, {step} }}\n  - {{ id: after, {step} }}\n\
         windows: {{ calm: {{ open: {{ {step} }}, close: {{ {step} }} }} }}\n"
    );
    let mut run = Run::begin(&text);
    run.done("calm.open", json!({}));
    let opened = windows(&run)[0].0;
    run.end("inside", Outcome::Failed(Failure::new("test::failed", "no")));
    assert_eq!(windows(&run), [(opened, None)], "the clock runs while it stands still");
    run.undo();
    assert_eq!(windows(&run), [(opened, None)], "until the undo has opened it again");
    run.undone("calm.open", Outcome::Done(Outputs::new()));
    assert_eq!(run.state.result, Some(Finish::Undone));
    let ended = windows(&run)[0].1.expect("closed by the undo");
    assert_eq!(windows(&run), [(opened, Some(ended))]);
    assert!(ended > opened);

    // One that was closed, and is undone, is closed to traffic once more.
    let mut run = Run::begin(&text);
    for step in ["calm.open", "inside", "calm.close"] {
        run.done(step, json!({}));
    }
    let first = windows(&run);
    assert!(matches!(first.as_slice(), [(_, Some(_))]), "{first:?}");
    run.end("after", Outcome::Failed(Failure::new("test::failed", "no")));
    run.undo();
    run.undone("calm.close", Outcome::Done(Outputs::new()));
    let again = windows(&run);
    assert!(again.len() == 2 && again[0] == first[0] && again[1].1.is_none(), "{again:?}");
    run.undone("calm.open", Outcome::Done(Outputs::new()));
    let ended = windows(&run);
    assert!(ended.len() == 2 && ended[1].1.is_some_and(|at| at > again[1].0), "{ended:?}");
}

#[test]
fn a_run_that_was_undone_is_not_said_to_have_lost_anything() {
    let verify = "verify: { database: app, checks: [ { name: lost, lost: { side: app_side } } ] }";
    let steps = format!(
        "  - {{ id: counted, {verify} }}\n  \
         - {{ id: switched, needs: [counted], swap: {{ database: app, with: app_side }} }}\n  \
         - {{ id: after, needs: [switched], shell: {{ argv: [\"true\"], changes: none, repeatable: true }} }}\n"
    );
    let mut run = Run::begin(&steps);
    let report = |run: &Run| report::markdown(&report::Report::of(&run.state, &[]));
    run.done("counted", json!({ "summary": "4 rows of messages" }));
    assert!(report(&run).contains("## What would be lost"), "{}", report(&run));
    run.done("switched", json!({}));
    assert!(report(&run).contains("## What was lost"), "{}", report(&run));
    run.end("after", Outcome::Failed(Failure::new("test::failed", "no")));
    run.undo();
    run.undone("switched", Outcome::Failed(Failure::new("test::failed", "no way")));
    assert!(report(&run).contains("## What was lost"), "it stands: {}", report(&run));
    run.resolve("switched", Resolution::Retry);
    run.undone("switched", Outcome::Done(Outputs::new()));
    assert_eq!(run.state.result, Some(Finish::Undone));
    let said = report(&run);
    assert!(said.contains("## Nothing was lost") && !said.contains("## What w"), "{said}");
}

fn broken(code: &str) -> Outcome {
    Outcome::Failed(Failure::new(code, "the program failed with exit code 3"))
}

const PAIR: &str = "  - { id: a, shell: { argv: [\"true\"] }, undo: { shell: { argv: [\"true\"], changes: none } } }\n  \
    - { id: b, needs: [a], shell: { argv: [\"true\"] }, undo: { shell: { argv: [\"true\"], changes: none } } }\n";

#[test]
fn a_step_that_failed_after_it_acted_is_asked_about_before_what_came_before_it() {
    let mut run = Run::begin(PAIR);
    run.done("a", json!({}));
    run.end("b", broken("runplan::shell::exit_code"));
    let (a, b) = (StepId::new("a"), StepId::new("b"));
    let way = way_back(&run.state, None);
    assert!(matches!(way.as_slice(), [(one, Some(_)), (two, None)] if **one == b && **two == a), "{way:?}");
    run.undo();
    assert_eq!(run.state.parked, Some(Why::UndoFailed { step: b.clone() }));
    assert!(!run.state.released && run.at("a") == StepState::Done);
    let failure = run.state.entry(&b).unwrap().failure.clone().unwrap();
    assert_eq!(failure.code, "runplan::undo::may_have_acted");
    assert!(failure.message.contains("exit code 3") && failure.help.unwrap().contains("own undo"));
    // Its own undo is run, then that of the one before it.
    run.resolve("b", Resolution::Retry);
    assert_eq!((run.at("b"), run.at("a")), (StepState::Undoing, StepState::Done));
    run.undone("b", fine());
    run.undone("a", fine());
    assert_eq!(reversed(&run.state), "everything it did was reversed");
}

#[test]
fn a_step_that_may_have_left_an_invalid_index_is_asked_about_whatever_came_of_it_since() {
    let step = "  - { id: i, sql: { database: app, transaction: false, statement: \"CREATE INDEX CONCURRENTLY i ON t (a)\", \
                probe: { sql: SELECT 1, expect: 1 } }, undo: { shell: { argv: [\"true\"], changes: none } } }\n";
    let id = StepId::new("i");
    for killed in [true, false] {
        let mut run = Run::begin(step);
        let fact = Fact { name: "index_intended".to_owned(), data: json!({}) };
        run.say(Input::Note { step: id.clone(), attempt: 1, fact });
        if killed {
            run.end("i", Outcome::Again("the probe says no".to_owned()));
        } else {
            run.end("i", broken("runplan::postgres::lost"));
            run.say(Input::Resume { attended: false, wait: false });
        }
        // The second attempt comes to nothing, and knows what the first began.
        assert_eq!(run.at("i"), StepState::Running);
        assert_eq!(run.state.entry(&id).unwrap().facts.len(), 1);
        let outcome = broken("runplan::postgres::unreachable");
        run.say(Input::Outcome { step: id.clone(), attempt: 2, outcome });
        let way = way_back(&run.state, None);
        assert!(matches!(way.as_slice(), [(one, Some(_))] if **one == id), "{way:?}");
        run.undo();
        assert_eq!(run.state.parked, Some(Why::UndoFailed { step: id.clone() }));
    }
}

#[test]
fn an_index_that_was_built_at_the_second_try_is_undone_without_a_question() {
    let step = "  - { id: i, sql: { database: app, transaction: false, statement: \"CREATE INDEX CONCURRENTLY i ON t (a)\", \
                probe: { sql: SELECT 1, expect: 1 } }, undo: { shell: { argv: [\"true\"], changes: none } } }\n";
    let mut run = Run::begin(step);
    let fact = |attempt| {
        let fact = Fact { name: "index_intended".to_owned(), data: json!({}) };
        Input::Note { step: StepId::new("i"), attempt, fact }
    };
    run.say(fact(1));
    run.end("i", broken("runplan::postgres::refused"));
    run.resolve("i", Resolution::Retry);
    run.say(fact(2));
    let done = Outcome::Done(Default::default());
    run.say(Input::Outcome { step: StepId::new("i"), attempt: 2, outcome: done });
    assert_eq!(run.at("i"), StepState::Done);
    run.undo();
    assert_eq!((run.at("i"), run.state.parked.as_ref()), (StepState::Undoing, None));
}

#[test]
fn what_an_attempt_did_is_asked_about_whatever_came_of_the_next_one() {
    let sql = "  - { id: i, sql: { database: app, transaction: false, statement: VACUUM, probe: { sql: SELECT 1, expect: 1 } }, \
               undo: { shell: { argv: [\"true\"], changes: none } } }\n";
    let shell = "  - { id: i, shell: { argv: [\"true\"], repeatable: true }, \
                 undo: { shell: { argv: [\"true\"], changes: none } } }\n";
    let id = StepId::new("i");
    let note = |run: &mut Run, name: &str| {
        let fact = Fact { name: name.to_owned(), data: json!(null) };
        run.say(Input::Note { step: id.clone(), attempt: 1, fact });
    };
    for (step, fact, code) in [
        (sql, "statement_intended", "runplan::postgres::refused"),
        (shell, "any", "runplan::shell::exit_code"),
        (shell, "may_be_half_done", "runplan::shell::ended"),
        // Interrupted, and not failed.
        (shell, "may_be_half_done", ""),
    ] {
        let mut run = Run::begin(step);
        note(&mut run, fact);
        if code.is_empty() {
            run.say(Input::Stop { hard: false, reason: "enough".to_owned() });
            run.end("i", Outcome::Again("it may be done twice".to_owned()));
            assert_eq!(run.at("i"), StepState::Waiting);
            let way = way_back(&run.state, None);
            assert!(matches!(way.as_slice(), [(_, Some(why))] if why.contains("interrupted")), "{way:?}");
        } else {
            run.end("i", broken(code));
        }
        run.say(Input::Resume { attended: false, wait: false });
        let outcome = broken("runplan::process::not_found");
        run.say(Input::Outcome { step: id.clone(), attempt: 2, outcome });
        assert_eq!(run.at("i"), StepState::Failed);
        let mut asked = Run { state: run.state.clone(), now: run.now };
        asked.undo();
        assert_eq!(asked.state.parked, Some(Why::UndoFailed { step: id.clone() }), "{fact} {code}");
        // Somebody looked, and says that nothing is left: the third attempt alone counts.
        run.resolve("i", Resolution::Retry);
        let outcome = broken("runplan::process::not_found");
        run.say(Input::Outcome { step: id.clone(), attempt: 3, outcome });
        run.undo();
        assert_eq!(run.state.result, Some(Finish::Undone), "{fact} {code}");
    }
}

fn next(run: &Run) -> Standing {
    standing(&run.state, run.now, None).expect("parked")
}

#[test]
fn an_undo_that_nobody_knows_the_end_of_is_told_so_with_its_ways_out() {
    let mut run = Run::begin(PAIR);
    run.done("a", json!({}));
    run.end("b", Outcome::Failed(Failure::new("runplan::shell::not_started", "no")));
    run.undo();
    let facts = vec!["no exit was recorded".to_owned()];
    run.undone("a", Outcome::Unknown(Evidence { message: "nobody knows".to_owned(), facts }));
    let stands = next(&run);
    assert_eq!(stands.words, "it is not known whether step a was undone");
    assert_eq!(stands.command, "runplan resolve test-1 a --done --reason 'it was undone'");
    assert_eq!(
        stands.others,
        [
            "runplan resolve test-1 a --retry --reason 'it was not undone'",
            "runplan resolve test-1 a --skip --reason 'it stays as it is'"
        ]
    );
    // Neither is one that may have acted said to be mended and tried again.
    let mut run = Run::begin(PAIR);
    run.done("a", json!({}));
    run.end("b", broken("runplan::shell::exit_code"));
    run.undo();
    let stands = next(&run);
    assert_eq!(stands.words, "it is not known what step b left");
    assert_eq!(stands.command, "runplan resolve test-1 b --done --reason 'nothing is left of it'");
    assert!(stands.others[0].ends_with("--retry --reason 'it took effect'"), "{stands:?}");
}

#[test]
fn another_loss_than_the_one_that_is_asked_about_is_not_agreed_to() {
    let mut run = Run::begin(
        "  - { id: s, swap: { database: app, with: app_side } }\n  - { id: f, needs: [s], shell: { argv: [\"true\"] } }\n",
    );
    run.done("s", json!({}));
    run.end("f", failed());
    run.undo();
    let step = StepId::new("s");
    let fact = Fact { name: "undo.loss".to_owned(), data: json!({ "code": "1a2b3c4d" }) };
    run.say(Input::Note { step: step.clone(), attempt: 1, fact });
    run.undone("s", Outcome::Failed(Failure::new("runplan::swap::written", "3 rows")));
    let stands = next(&run);
    assert_eq!(
        stands.command,
        "runplan resolve test-1 s --retry --accept-loss 1a2b3c4d --reason 'it may be lost'"
    );
    let agree = |code: &str| {
        let (resolution, reason) = (Resolution::Retry, "may be lost".to_owned());
        Input::Post(Post::Resolve { step: step.clone(), resolution, reason, loss: Some(code.to_owned()) })
    };
    let refused = decide(&run.state, &by(), agree("banana"), run.now);
    let [Event::DecisionRefused { reason, .. }] = refused.as_slice() else { panic!("{refused:?}") };
    assert!(reason.contains("banana") && reason.contains("that is 1a2b3c4d"), "{reason}");
    run.say(agree("1a2b3c4d"));
    assert_ne!(run.at("s"), StepState::UndoFailed);
}

#[test]
fn a_door_that_may_be_shut_is_told_wherever_somebody_looks() {
    let step = "shell: { argv: [\"true\"], changes: none }";
    let text = format!(
        "  - {{ id: b, window: calm, shell: {{ argv: [\"true\"] }} }}\n\
         windows: {{ calm: {{ open: {{ {step} }}, close: {{ {step} }} }} }}\n"
    );
    let closed = "the application may be CLOSED to traffic (window calm)";
    let unknown = || Outcome::Unknown(Evidence { message: "nobody knows".to_owned(), facts: Vec::new() });
    let mut run = Run::begin(&text);
    run.end("calm.open", unknown());
    assert_eq!(next(&run).words, format!("it is not known whether step calm.open took effect; {closed}"));
    let mut run = Run::begin(&text);
    run.done("calm.open", json!({}));
    run.done("b", json!({}));
    run.end("calm.close", unknown());
    assert!(next(&run).words.ends_with(closed), "{:?}", next(&run));
    // Nor is it told as certain where the time is counted.
    let told = |run: &Run| {
        let said = report::markdown(&report::Report::of(&run.state, &[]));
        (report::windows(&run.state).iter().map(|one| one.in_doubt).collect::<Vec<_>>(), said)
    };
    let (doubts, said) = told(&run);
    assert_eq!(doubts, [true]);
    assert!(said.contains("may be closed to traffic") && !said.contains("and still closed"), "{said}");
    run.resolve("calm.close", Resolution::Done);
    assert_eq!(told(&run).0, [false]);
    run.undo();
    run.undone("calm.close", unknown());
    let (doubts, said) = told(&run);
    assert_eq!(doubts, [true], "its undo closes the application");
    assert!(said.contains("may be closed to traffic"), "{said}");
    // What is known needs no such words.
    let mut run = Run::begin(&text);
    run.done("calm.open", json!({}));
    run.end("b", Outcome::Failed(Failure::new("test::failed", "no")));
    assert!(!next(&run).words.contains("CLOSED"), "{:?}", next(&run));
}

#[test]
fn who_is_skipped_in_doubt_is_not_said_to_be_reversed() {
    let mut run = Run::begin(PAIR);
    run.done("a", json!({}));
    let facts = vec!["its process is gone".to_owned()];
    run.end("b", Outcome::Unknown(Evidence { message: "nobody knows".to_owned(), facts }));
    run.resolve("b", Resolution::Skip);
    assert_eq!(run.state.result, Some(Finish::Done));
    run.undo();
    assert_eq!(run.at("b"), StepState::UndoFailed);
    assert_eq!(run.at("a"), StepState::Done);
    run.resolve("b", Resolution::Skip);
    run.undone("a", fine());
    assert_eq!(run.state.result, Some(Finish::Undone));
    assert_eq!(reversed(&run.state), "what it did was reversed except b (skipped)");
}

#[test]
fn a_plan_that_undoes_itself_stops_at_half_an_effect() {
    let step = "shell: { argv: [\"true\"], changes: none, repeatable: true }";
    let mut run = Run::begin(&format!(
        "  - {{ id: b, window: calm, shell: {{ argv: [\"true\"] }} }}\non_failure: undo\n\
         windows: {{ calm: {{ open: {{ {step} }}, close: {{ {step} }} }} }}\n"
    ));
    run.done("calm.open", json!({}));
    run.end("b", broken("runplan::shell::exit_code"));
    assert_eq!(run.state.parked, Some(Why::UndoFailed { step: StepId::new("b") }));
    assert_eq!(run.at("calm.open"), StepState::Done, "it stays closed over half an effect");
    run.resolve("b", Resolution::Done);
    assert_eq!(run.at("calm.open"), StepState::Undoing);
}

#[test]
fn who_certainly_did_nothing_is_not_asked_about() {
    let mut run = Run::begin(PAIR);
    run.done("a", json!({}));
    run.end("b", broken("runplan::shell::not_started"));
    run.undo();
    assert_eq!(run.at("a"), StepState::Undoing);
    run.undone("a", fine());
    assert_eq!(reversed(&run.state), "everything it did was reversed");
}
