//! A plan that changes under its run: told, and adopted when asked, but never what was done; evidence that grew old is taken
//! anew before the next destructive step.

use crate::support::sandbox::Sandbox;
use crate::support::script::ask;
use crate::support::shape::{shape, started};
use jiff::{SignedDuration, Timestamp};
use runplan::plan::{RunId, StepId};
use runplan::run::{
    Actor, Event, Input, Outcome, Outputs, Post, Record, Resolution, Shape, State, StepState, decide,
};

fn step(id: &str, script: &str) -> String {
    format!("  - {{ id: {id}, shell: {{ argv: [sh, -c, \"{script}\"], changes: none }} }}\n")
}

#[test]
fn a_changed_plan_is_told_and_only_adopted_when_asked() {
    let sandbox = Sandbox::new();
    let before = [step("one", "echo one >> log"), step("two", "false"), step("three", "echo three >> log")];
    sandbox.plan(&format!("steps:\n{}", before.concat()));
    sandbox.run("plan.yaml").code(4);
    let after =
        [step("one", "echo one >> log"), step("two", "echo two >> log"), step("new", "echo new >> log")];
    sandbox.plan(&format!("steps:\n{}", after.concat()));
    let told = sandbox.run("resume").code(4);
    told.complains("has changed since the run began").complains("--amend").says("three");
    assert_eq!(sandbox.read("log"), "one\n");
    sandbox.run("resume --amend").code(0).says("The plan is amended");
    assert_eq!(sandbox.read("log"), "one\ntwo\nnew\n", "what was done is not done again");
    sandbox.run("report").says("the plan was amended");
    sandbox.run("status --verify").code(0);
}

#[test]
fn what_was_done_cannot_be_amended_nor_a_plan_with_errors() {
    let sandbox = Sandbox::new();
    sandbox.plan(&format!("steps:\n{}", [step("one", "echo one >> log"), step("two", "false")].concat()));
    sandbox.run("plan.yaml").code(4);
    sandbox.plan(&format!("steps:\n{}", [step("one", "echo other >> log"), step("two", "true")].concat()));
    sandbox.run("resume --amend").code(3).complains("step one is done, and is not the same");
    sandbox.plan(&format!("steps:\n{}", step("two", "true")));
    sandbox.run("resume --amend").code(3).complains("step one is done, and is not in the new plan");
    sandbox.plan(&format!(
        "steps:\n{}{}",
        step("one", "echo one >> log"),
        "  - { id: two, needs: [nobody], shell: { argv: [\"true\"] } }\n"
    ));
    sandbox.run("resume --amend").code(3);
    assert_eq!(sandbox.step("two"), "failed");
    sandbox.plan(&format!("steps:\n{}", [step("one", "echo one >> log"), step("two", "false")].concat()));
    sandbox.run("resume --amend").code(4).says("there is nothing to amend");
    assert_eq!(sandbox.read("log"), "one\n");
}

#[test]
fn an_amended_plan_is_approved_again() {
    let sandbox = Sandbox::new();
    let go = "  - { id: go, approve: { message: Go on? } }\n";
    sandbox.plan(&format!("steps:\n{go}{}", step("two", "false")));
    sandbox.run("plan.yaml").code(4);
    sandbox.run("approve plan go").code(0);
    sandbox.run("resume").code(4);
    sandbox.plan(&format!("steps:\n{go}{}", step("two", "echo two >> log")));
    sandbox.run("resume --amend").code(4).says("runplan approve");
    assert_eq!((sandbox.step("go"), sandbox.read("log")), ("awaiting_approval".into(), String::new()));
    sandbox.run("approve plan go").code(0);
    sandbox.run("resume").code(0);
    assert_eq!(sandbox.read("log"), "two\n");
}

/// The core alone, with a clock of our own.
struct Core {
    state: State,
    now: Timestamp,
}

impl Core {
    fn new(shape: &Shape) -> Self {
        let state = State::new(RunId::parse("test-1").unwrap(), shape.clone());
        let mut core = Self { state, now: Timestamp::UNIX_EPOCH };
        core.give(Input::Begin(Box::new(started(false))));
        core
    }

    fn give(&mut self, input: Input) -> Vec<Event> {
        let ann = Actor { name: "ann".to_owned(), uid: 1000, host: "here".to_owned() };
        let mut all = Vec::new();
        let mut next = Some(input);
        loop {
            let events = decide(&self.state, &ann, next.take().unwrap_or(Input::Next), self.now);
            if events.is_empty() {
                break;
            }
            for event in events {
                let run = self.state.run.clone();
                let record = Record::seal(&run, self.state.seq + 1, self.now, &ann, event, &self.state.head);
                self.state.apply(&record).unwrap();
                all.push(record.event);
            }
        }
        all
    }

    fn done(&mut self, step: &str) {
        let attempt = self.state.entry(&StepId::from(step)).unwrap().attempts;
        let outcome = Outcome::Done(Outputs::new());
        self.give(Input::Outcome { step: StepId::from(step), attempt, outcome });
    }

    fn pass(&mut self, minutes: i64) {
        self.now += SignedDuration::from_mins(minutes);
    }

    fn resume(&mut self) {
        self.give(Input::Resume { attended: false, wait: false });
    }

    fn is(&self, step: &str) -> StepState {
        self.state.entry(&StepId::from(step)).unwrap().state
    }
}

const GUARDED: &str = "
runplan: 1
name: test
databases: { app: { url: 'postgresql://localhost/app' } }
steps:
  - id: saved
    backup: { database: app, to: ./backups }
  - id: checked
    fresh_for: 30m
    verify: { database: app, checks: [ { name: one, sql: SELECT 1, expect: { not: empty } } ] }
  - id: go
    approve: { message: go? }
  - id: between
    shell: { argv: [\"true\"], changes: none }
  - id: gone
    sql: { database: app, statement: DROP TABLE t }
    irreversible: it is gone
";

/// Everything up to the step before the destructive one, which failed.
fn guarded() -> Core {
    let mut core = Core::new(&shape(GUARDED));
    core.done("saved");
    core.done("checked");
    core.give(Input::Outcome {
        step: StepId::from("go"),
        attempt: 1,
        outcome: Outcome::Asked(Box::new(ask("go?"))),
    });
    core.give(Input::Post(Post::Approve { step: StepId::from("go"), comment: String::new() }));
    core.resume();
    assert_eq!(core.is("between"), StepState::Running);
    core.give(Input::Stop { hard: false, reason: "later".to_owned() });
    core.done("between");
    assert!(core.state.parked.is_some() && core.is("gone") == StepState::Waiting);
    core
}

#[test]
fn fresh_evidence_lets_the_destructive_step_begin() {
    let mut core = guarded();
    core.pass(29);
    core.resume();
    assert_eq!(core.is("gone"), StepState::Running);
}

#[test]
fn stale_evidence_is_taken_anew_in_its_order() {
    let mut core = guarded();
    core.pass(31);
    core.resume();
    // The verification has grown old, and who approved had seen it; the backup has not.
    assert_eq!((core.is("saved"), core.is("checked")), (StepState::Done, StepState::Running));
    assert_eq!((core.is("go"), core.is("gone")), (StepState::Waiting, StepState::Waiting));
    core.done("checked");
    assert_eq!((core.is("go"), core.is("gone")), (StepState::Running, StepState::Waiting));
    core.done("go");
    assert_eq!((core.is("between"), core.is("gone")), (StepState::Done, StepState::Running));
}

#[test]
fn everything_is_stale_after_an_hour_and_once_only() {
    let mut core = guarded();
    core.pass(90);
    core.resume();
    assert_eq!((core.is("saved"), core.is("checked")), (StepState::Running, StepState::Waiting));
    // However long it takes: it is by the clock of the resume that evidence is old.
    core.pass(120);
    core.done("saved");
    core.pass(120);
    core.done("checked");
    core.done("go");
    assert_eq!(core.is("gone"), StepState::Running);
}

#[test]
fn a_late_answer_to_an_earlier_attempt_is_refused() {
    let mut core = guarded();
    core.pass(31);
    core.resume();
    core.done("checked");
    let yes = Post::Approve { step: StepId::from("go"), comment: String::new() };
    let late = Post::Answer { attempt: 1, answer: Box::new(yes) };
    let said = core.give(Input::Post(late));
    assert!(
        matches!(said.as_slice(), [Event::DecisionRefused { reason, .. }] if reason.contains("attempt 1")),
        "{said:?}"
    );
}

#[test]
fn what_is_said_to_be_done_gives_what_it_intended_to_give() {
    let mut core = Core::new(&shape(GUARDED));
    let mut outputs = Outputs::new();
    outputs.insert("path".to_owned(), "backups/one".into());
    let fact = runplan::run::Fact {
        name: "commit_intended".to_owned(),
        data: serde_json::json!({ "outputs": outputs }),
    };
    let saved = StepId::from("saved");
    core.give(Input::Note { step: saved.clone(), attempt: 1, fact });
    let evidence = runplan::run::Evidence::new("nobody knows", []);
    core.give(Input::Outcome { step: saved.clone(), attempt: 1, outcome: Outcome::Unknown(evidence) });
    core.give(Input::Post(Post::Resolve {
        step: saved.clone(),
        resolution: Resolution::Done,
        reason: "it is there".to_owned(),
        loss: None,
    }));
    assert_eq!(core.state.entry(&saved).unwrap().outputs, outputs);
}

/// A database that lets nobody in cannot be backed up anew; nothing was written to it since either.
#[test]
fn a_backup_of_a_database_that_was_closed_since_does_not_grow_old() {
    for (mode, before, saved) in [
        ("no_connections", 50, StepState::Done),
        // The run had not been interrupted until then, and nobody gets in to take another.
        ("no_connections", 70, StepState::Done),
        // Who asks for it may still write.
        ("read_only", 50, StepState::Running),
    ] {
        let mut core = Core::new(&shape(&format!(
            "runplan: 1\nname: test\ndatabases: {{ app: {{ url: 'postgresql://localhost/app' }} }}\nsteps:\n  \
               - id: saved\n    backup: {{ database: app, to: ./backups }}\n  \
               - id: frozen\n    freeze: {{ database: app, mode: {mode} }}\n  \
               - id: between\n    shell: {{ argv: [\"true\"], changes: none }}\n  \
               - id: switched\n    swap: {{ database: app, with: app_side, keep_old: 7d }}\n    unguarded: test\n"
        )));
        core.done("saved");
        core.pass(before);
        core.done("frozen");
        core.give(Input::Stop { hard: false, reason: "later".to_owned() });
        core.done("between");
        core.pass(24 * 60);
        core.resume();
        let switched = if saved == StepState::Done { StepState::Running } else { StepState::Waiting };
        assert_eq!((core.is("saved"), core.is("switched")), (saved, switched), "{mode} {before}");
    }
}

/// A run that is resumed before it closes a database looks again while it still can.
#[test]
fn what_is_too_old_is_taken_anew_before_the_database_is_closed() {
    for (mode, proven, frozen) in [
        ("no_connections", StepState::Running, StepState::Waiting),
        // Who still gets in can look again later.
        ("read_only", StepState::Done, StepState::Running),
    ] {
        let mut core = Core::new(&shape(&format!(
            "runplan: 1\nname: test\ndatabases: {{ app: {{ url: 'postgresql://localhost/app' }} }}\n\
             checks:\n  whole: [ {{ name: w, sql: SELECT 1, expect: 1 }} ]\nsteps:\n  \
               - id: proven\n    verify: {{ database: app, use: [whole] }}\n  \
               - id: beside\n    verify: {{ database: app_side, use: [whole] }}\n  \
               - id: between\n    shell: {{ argv: [\"true\"], changes: none }}\n  \
               - id: frozen\n    freeze: {{ database: app, mode: {mode} }}\n  \
               - id: switched\n    swap: {{ database: app, with: app_side, keep_old: 7d }}\n    unguarded: test\n"
        )));
        core.done("proven");
        core.done("beside");
        core.give(Input::Stop { hard: false, reason: "later".to_owned() });
        core.done("between");
        core.pass(60);
        core.resume();
        assert_eq!((core.is("proven"), core.is("frozen")), (proven, frozen), "{mode}");
        assert_eq!(core.is("beside"), StepState::Done, "it can be looked at later too");
        if proven == StepState::Done {
            continue;
        }
        core.done("proven");
        core.done("frozen");
        core.give(Input::Stop { hard: false, reason: "again".to_owned() });
        core.pass(60);
        core.resume();
        // Closed by now: what was proved of it holds, and what stands beside it is looked at again.
        assert_eq!((core.is("proven"), core.is("beside")), (StepState::Done, StepState::Running), "{mode}");
        core.done("beside");
        assert_eq!(core.is("switched"), StepState::Running);
    }
}

/// A clock that was set back makes nothing fresh: nobody knows how much time has passed.
#[test]
fn evidence_from_the_future_is_taken_anew() {
    for (minutes, gone) in [(-1, StepState::Running), (-30, StepState::Waiting)] {
        let mut core = guarded();
        core.pass(minutes);
        core.resume();
        assert_eq!(core.is("gone"), gone, "{minutes}");
    }
}

const VALUES: &str = "
runplan: 1
name: test
databases: { app: { url: 'postgresql://localhost/app' } }
params: { v: { type: string, default: one }, w: { type: string, default: one }, x: { type: string, default: one } }
checks:
  whole: [ { name: w, database: app, sql: 'SELECT {{ params.w }}', expect: 1 } ]
steps:
  - id: s1
    STEP
  - id: s2
    sql: { database: app, statement: 'SELECT {{ params.x }}' }
    irreversible: test
";

fn refused(state: &State, now: &Shape, name: &str) -> Result<(), String> {
    let mut params = serde_json::Map::new();
    for known in ["v", "w", "x"] {
        params.insert(known.to_owned(), if known == name { "two".into() } else { "one".into() });
    }
    state.refuse(now, &params)
}

/// A run of `VALUES` whose first step is under way.
fn valued(step: &str) -> (Core, Shape) {
    let shape = shape(&VALUES.replace("STEP", step));
    let state = State::new(RunId::parse("test-1").unwrap(), shape.clone());
    let mut core = Core { state, now: Timestamp::UNIX_EPOCH };
    let mut begin = started(false);
    for name in ["v", "w", "x"] {
        begin.params.insert(name.to_owned(), "one".into());
    }
    core.give(Input::Begin(Box::new(begin)));
    (core, shape)
}

#[test]
fn a_step_that_acted_keeps_the_values_it_goes_by() {
    let undo = "irreversible: test";
    for (step, name) in [
        (format!("sql: {{ database: app, statement: 'SELECT {{{{ params.v }}}}' }}\n    {undo}"), "v"),
        (
            "sql: { database: app, statement: SELECT 1 }\n    \
             undo: { sql: { database: app, statement: 'SELECT {{ params.v }}' } }"
                .to_owned(),
            "v",
        ),
        (
            format!(
                "sql: {{ database: app, statement: VACUUM, transaction: false, \
                 probe: {{ sql: 'SELECT {{{{ params.v }}}}', expect: 1 }} }}\n    {undo}"
            ),
            "v",
        ),
        (format!("when: params.v != 'x'\n    shell: {{ argv: [\"true\"] }}\n    {undo}"), "v"),
        ("verify: { use: [whole] }".to_owned(), "w"),
    ] {
        let (mut core, shape) = valued(&step);
        for _ in 0..2 {
            let state = core.is("s1").word();
            let why = refused(&core.state, &shape, name).unwrap_err();
            assert!(
                why.contains("step s1 ") && why.contains(&format!("the parameter {name},")),
                "{state} {why}"
            );
            core.done("s1");
        }
        let other = if name == "v" { "w" } else { "v" };
        core.give(Input::Outcome {
            step: StepId::from("s2"),
            attempt: 1,
            outcome: Outcome::Failed(runplan::run::Failure::new("runplan::sql::text", "no")),
        });
        assert_eq!(refused(&core.state, &shape, other), Ok(()), "nothing goes by it: {step}");
        assert_eq!(refused(&core.state, &shape, "x"), Ok(()), "only what changed nothing goes by it: {step}");
    }
}

#[test]
fn a_step_that_failed_halfway_is_amended_by_the_word_of_a_person_only() {
    for (step, code, halfway) in [
        ("shell: { run: 'echo half >> f; exit 1' }\n    irreversible: t", "runplan::shell::exit_code", true),
        (
            "shell: { run: 'echo half >> f; exit 1' }\n    irreversible: t",
            "runplan::shell::not_started",
            false,
        ),
        ("shell: { run: 'exit 1', changes: none }", "runplan::shell::exit_code", false),
        ("http: { method: POST, url: 'http://h' }\n    irreversible: t", "runplan::http::answer", true),
        ("http: { url: 'http://h' }", "runplan::http::answer", false),
        (
            "sql: { database: app, statement: VACUUM, transaction: false, probe: { sql: SELECT 1, expect: 1 } }\n    \
             irreversible: t",
            "runplan::postgres::refused",
            true,
        ),
    ] {
        let (mut core, _) = valued(step);
        let s1 = StepId::from("s1");
        if step.starts_with("sql") {
            let fact =
                runplan::run::Fact { name: "statement_intended".to_owned(), data: serde_json::json!({}) };
            core.give(Input::Note { step: s1.clone(), attempt: 1, fact });
        }
        let failure = runplan::run::Failure::new(code, "no");
        core.give(Input::Outcome { step: s1.clone(), attempt: 1, outcome: Outcome::Failed(failure) });
        assert_eq!(core.is("s1"), StepState::Failed);
        let other = shape(&VALUES.replace("STEP", "shell: { argv: [\"true\"], changes: none }"));
        let gone = shape(&VALUES.replace("- id: s1", "- id: other").replace("STEP", step));
        for now in [&other, &gone] {
            let said = refused(&core.state, now, "");
            assert_eq!(said.is_err(), halfway, "{step} {code}: {said:?}");
            assert!(said.err().is_none_or(|why| why.contains("runplan resolve test-1 s1 --retry")));
        }
        core.give(Input::Post(Post::Resolve {
            step: s1.clone(),
            resolution: Resolution::Retry,
            reason: "it left nothing".to_owned(),
            loss: None,
        }));
        assert_eq!(refused(&core.state, &other, ""), Ok(()), "{step}");
    }
}
