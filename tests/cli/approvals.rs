//! A run that waits for people: parked, answered from another process, resumed.

use crate::support::sandbox::Sandbox;
use crate::support::team::me;

const ASKS: &str = "\
title: Asks twice
steps:
  - { id: first, approve: { message: \"Begin?\" } }
  - { id: second, approve: { confirm: \"Call support\" } }
";

#[test]
fn it_parks_is_approved_elsewhere_and_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.plan(ASKS);
    let ran = sandbox.run("plan.yaml").code(4);
    let run = sandbox.only_run();
    ran.says("Begin?").says(&format!("runplan approve {run} first"));
    // The beginning of its id is enough, and the step that waits is the only one.
    sandbox.run("approve plan --comment fine").code(0).says(&format!("next: runplan resume {run}"));
    sandbox.run("resume").code(4).says("Call support");
    sandbox.run("approve plan second").code(2).complains("wants its evidence");
    sandbox.run("approve plan first --comment again").code(2).complains("it is approved already, by");
    sandbox.run("approve plan nothing").code(2).complains("no step `nothing`");
    sandbox.run("approve plan second --comment 'ticket 4711'").code(0);
    sandbox.run("resume").code(0).says("Done after");
    assert_eq!(sandbox.step("second"), "done");
    sandbox.run("resume plan").code(0).says("is over already");
    let report = sandbox.run("report").code(0).stdout;
    assert!(report.contains("ticket 4711") && report.contains("| `first` | Begin? | yes |"), "{report}");
}

#[test]
fn a_rejection_is_a_failed_step_that_can_be_asked_again() {
    let sandbox = Sandbox::new();
    sandbox.plan(ASKS);
    sandbox.run("plan.yaml").code(4);
    sandbox.run("reject plan first --reason 'too risky'").code(0).says("rejected by");
    assert_eq!(sandbox.step("first"), "failed");
    sandbox.run("status").code(0).says("too risky");
    sandbox.run("resume").code(4).says("Begin?");
    assert_eq!(sandbox.step("first"), "awaiting_approval");
}

#[test]
fn a_run_that_waits_takes_the_answer_from_its_inbox() {
    let sandbox = Sandbox::new();
    sandbox.plan(ASKS);
    let started = sandbox.start("plan.yaml --wait");
    sandbox.until("the question", |sandbox| {
        sandbox.exists("runplan/runs")
            && sandbox.run("runs --format json").json()["runs"].as_array().is_some_and(|runs| runs.len() == 1)
            && sandbox.run("approve plan first").code == Some(0)
    });
    sandbox.until("the task", |sandbox| sandbox.step("second") == "awaiting_approval");
    sandbox.run("resume").code(5).complains("is held by");
    sandbox.run("approve plan second").code(2).complains("wants its evidence");
    sandbox.run("approve plan second --comment done").code(0).says("approved by");
    started.wait().code(0).says("Done after");
}

/// Both reach the inbox between two looks into it: one decides, the other one is told that it came too late.
#[test]
fn of_two_answers_at_one_instant_each_hears_its_own() {
    let sandbox = Sandbox::new();
    sandbox.plan(ASKS);
    let started = sandbox.start("plan.yaml --wait");
    sandbox.until("the question", |sandbox| {
        sandbox.exists("runplan/runs")
            && sandbox.run("status plan --format json").stdout.contains("awaiting_approval")
    });
    let (one, two) = (sandbox.start("approve plan first"), sandbox.start("approve plan first"));
    let (one, two) = (one.wait(), two.wait());
    let (yes, no) = if one.code == Some(0) { (one, two) } else { (two, one) };
    yes.code(0).says("approved by");
    no.code(2).complains("it is approved already, by");
    sandbox.run("approve plan second --comment done").code(0);
    started.wait().code(0);
}

#[test]
fn stop_ends_a_run_that_waits() {
    let sandbox = Sandbox::new();
    sandbox.plan(ASKS);
    let started = sandbox.start("plan.yaml --wait --format json");
    sandbox.until("the question", |sandbox| {
        sandbox.exists("runplan/runs")
            && sandbox.run("status plan --format json").stdout.contains("awaiting_approval")
    });
    sandbox.run("stop plan --reason 'lunch'").code(0).says("stopping (lunch)");
    let ran = started.wait().code(4);
    let last = ran.lines().pop().unwrap();
    assert_eq!(last["kind"], "summary");
    assert_eq!(last["exit"], 4);
    assert!(last["parked"]["why"].as_str().unwrap().contains("lunch"), "{last}");
    sandbox.run("stop plan").code(0).says("not under way");
}

#[test]
fn several_open_runs_are_listed_not_guessed() {
    let sandbox = Sandbox::new();
    sandbox.plan(ASKS);
    sandbox.run("plan.yaml").code(4);
    sandbox.run("plan.yaml").code(4);
    sandbox.run("resume").code(2).says("parked: step first").complains("several runs are not over");
    sandbox.run("approve plan first").code(2).complains("may be any of");
}

#[test]
fn the_events_for_programs_are_the_journal() {
    let sandbox = Sandbox::new();
    sandbox.plan(ASKS);
    let ran = sandbox.run("plan.yaml --format json").code(4);
    let lines = ran.lines();
    let kinds: Vec<&str> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["run_started", "step_started", "approval_requested", "parked", "summary"]);
    for (at, line) in lines[..4].iter().enumerate() {
        assert_eq!(line["seq"], at + 1);
        assert_eq!(line["format"], 1);
        assert_eq!(line["hash"].as_str().unwrap().len(), 64);
    }
    let logs = sandbox.run("logs --format json").code(0);
    assert_eq!(logs.lines(), lines[..4]);
    let parked = &lines[4]["parked"];
    assert_eq!(parked["command"], format!("runplan approve {} first", sandbox.only_run()));
}

#[test]
fn a_parked_run_can_be_given_up() {
    let sandbox = Sandbox::new();
    sandbox.plan(ASKS);
    sandbox.run("plan.yaml").code(4);
    sandbox.run("stop plan --for-good --reason 'no longer needed'").code(0);
    let status = sandbox.run("status plan --format json").code(0).json();
    assert_eq!((&status["phase"], &status["result"]), (&"finished".into(), &"failed".into()));
    sandbox.run("resume").code(0).says("nothing to resume");
    sandbox.run("resume plan").code(1).says("is over already");
    sandbox.run("approve plan first").code(2);
}

/// A matrix whose row has a deadline, and a boss who is told when it has passed.
const MATRIX: &str = "runplan: 1
channels: { boss: { type: command, argv: [sh, -c, 'cat >> told'] } }
roles:
  lead: { people: [nobody_here] }
  head: { people: [zoe], channels: [boss] }
severities: { medium: { action: fix_forward, role: lead, deadline: 1h, escalate_to: head } }
";

#[test]
fn a_deadline_that_has_passed_is_told_to_the_next_role_once() {
    let sandbox = Sandbox::new();
    sandbox.write("runplan.yaml", MATRIX).plan(&format!("severity: medium\n{ASKS}"));
    let line = "plan.yaml --reason r --override 'the release train is closed' --incident-started";
    sandbox.run(&format!("{line} tomorrow")).code(2).complains("does not say when the incident began");
    let ran = sandbox.run(&format!("{line} 90m")).code(4);
    ran.says(" UTC) has passed; head is told").says("waits for an approval by lead (nobody_here)");
    let told = sandbox.read("told");
    assert!(told.contains("is late: the deadline of medium (1h) has passed"), "{told}");
    assert!(told.contains("told too: head (zoe)"), "{told}");
    sandbox.run("resume").code(4);
    assert_eq!(sandbox.read("told"), told, "once");
    sandbox.run("approve plan").code(2).complains("is none of: nobody_here");
    let report = sandbox.run("report").code(0).stdout;
    assert!(report.contains("the release train is closed") && report.contains("Incident began"), "{report}");
}

#[test]
fn an_incident_within_its_deadline_tells_nobody() {
    let sandbox = Sandbox::new();
    sandbox.write("runplan.yaml", MATRIX).plan(&format!("severity: medium\n{ASKS}"));
    let refused = sandbox.run("plan.yaml --reason r").code(6);
    refused.complains("the decision matrix says to fix forward an incident that is medium");
    sandbox.run("plan.yaml --reason r --override x --incident-started 10m").code(4);
    assert_eq!(sandbox.read("told"), "");
}

#[test]
fn breaking_the_glass_is_told_on_a_channel_that_wants_to_hear_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("runplan.yaml", &MATRIX.replace("fix_forward", "rollback"));
    sandbox.plan(&format!("severity: medium\n{ASKS}"));
    let started = sandbox.start("plan.yaml --reason r --wait");
    sandbox.until("the question", |sandbox| {
        sandbox.exists("runplan/runs")
            && sandbox.run("status plan --format json").stdout.contains("awaiting_approval")
    });
    sandbox.run("approve plan first --break-glass 'the lead is on a plane'").code(0).says("BREAK-GLASS");
    sandbox.until("the second question", |sandbox| sandbox.step("second") == "awaiting_approval");
    sandbox.run("approve plan second --break-glass 'still there'").code(0);
    started.wait().code(0);
    let told = sandbox.read("told");
    assert!(told.contains("approved first alone, past the rules: the lead is on a plane"), "{told}");
    assert!(told.contains("approved second alone, past the rules: still there"), "{told}");
}

#[test]
fn each_role_is_told_in_its_turn_and_a_parked_run_says_whom_to_call() {
    let sandbox = Sandbox::new();
    let site = "runplan: 1
channels: { boss: { type: command, argv: [sh, -c, 'cat >> boss'] }, chief: { type: command, argv: [sh, -c, 'cat >> chief'] } }
contacts: { ceo: { name: Cleo, call: '+49 30 7' } }
roles:
  lead: { people: [nobody_here] }
  head: { people: [zoe], channels: [boss] }
  board: { people: [cleo], channels: [chief], contact: ceo }
severities:
  medium: { role: lead, deadline: 1h, escalate_to: head }
  high: { role: head, escalate_to: board }
";
    sandbox.write("runplan.yaml", site).plan(&format!("severity: medium\n{ASKS}"));
    let ran = sandbox.run("plan.yaml --reason r --incident-started 90m").code(4);
    ran.says("head is told");
    assert!(sandbox.exists("boss") && !sandbox.exists("chief"), "the second has half an hour left");
    let status = sandbox.run("status plan").code(0);
    status
        .says("tells nobody until it is resumed")
        .says("head (zoe)")
        .says("board (cleo), call Cleo: +49 30 7");
    let json = sandbox.run("status plan --format json").json();
    assert!(json["overdue"].as_str().unwrap().contains("the deadline of medium passed"), "{json}");
    sandbox.run("stop plan --for-good --reason over").code(0);

    let late = Sandbox::new();
    late.write("runplan.yaml", site).plan(&format!("severity: medium\n{ASKS}"));
    let ran = late.run("plan.yaml --reason r --incident-started 3h").code(4);
    ran.says("head, board are told");
    assert!(late.read("chief").contains("told too: head (zoe), board (cleo)"), "{}", late.read("chief"));
    assert_eq!(late.read("boss").matches("is late").count(), 1, "once");
    late.run("resume plan").code(4);
    assert_eq!(late.read("chief").matches("is late").count(), 1, "once");
}

/// How the only run is getting on, by the list of runs.
fn listed(sandbox: &Sandbox) -> String {
    sandbox.run("runs --format json").json()["runs"][0]["state"].as_str().unwrap().to_owned()
}

#[test]
fn who_looks_at_a_run_that_waits_elsewhere_is_told_the_question_and_the_command() {
    let sandbox = Sandbox::new();
    sandbox.write("runplan.yaml", "runplan: 1\nroles: { lead: { people: [ann, bob] } }\n");
    sandbox.plan(
        "steps:\n  - { id: go, approve: { message: \"Swap it?\", roles: [lead], count: 2, expires: 2h } }\n",
    );
    let _started = sandbox.start("plan.yaml --wait");
    sandbox.until("the question", |sandbox| {
        sandbox.exists("runplan/runs") && sandbox.run("status").stdout.contains("go: Swap it?")
    });
    let run = sandbox.only_run();
    let status = sandbox.run("status").code(0);
    status
        .says("Under way, waits for people: go")
        .says("who: lead (ann, bob); 0 of 2 agreed")
        .says("until: ")
        .says(&format!("yes: runplan approve {run} go"))
        .says(&format!("no: runplan reject {run} go --reason"));
    assert_eq!(listed(&sandbox), "under way, waits for people: go");
    let json = sandbox.run("status --format json").json();
    assert_eq!(
        (&json["asked"][0]["who"], &json["asked"][0]["expired"]),
        (&"lead (ann, bob)".into(), &false.into())
    );
    sandbox.run("stop plan").code(0);
}

#[test]
fn who_may_not_approve_is_not_named_as_who_is_waited_for() {
    let sandbox = Sandbox::new();
    sandbox.plan("steps:\n  - { id: told, notify: { channels: [console], message: m } }\n");
    sandbox.run("plan.yaml").code(0);
    let me = sandbox.run("runs --format json").json()["runs"][0]["operator"].as_str().unwrap().to_owned();
    sandbox.plan("steps:\n  - { id: go, approve: { message: \"Swap it?\", roles: [lead] } }\n");
    let site = format!("runplan: 1\nroles: {{ lead: {{ people: [{me}, bob] }} }}\n");
    sandbox.write("runplan.yaml", &site);
    sandbox
        .run("plan.yaml")
        .code(4)
        .says(&format!("waits for an approval by lead (bob; not {me}, who started the run)"))
        .says("Next       to be typed by bob (lead): runplan approve plan-");
    let parked = sandbox.run("runs --format json").json()["runs"][1]["parked"].clone();
    assert_eq!(parked["whose"], "to be typed by bob (lead)", "{parked}");
}

/// Found before anything is closed and frozen: at the question there would be nobody to give it, and no glass to break.
#[test]
fn a_run_in_which_nobody_is_left_to_decide_does_not_begin() {
    let sandbox = Sandbox::new();
    let go = "  - { id: go, approve: { message: \"Swap it?\", roles: [lead] } }\n";
    sandbox.plan(&format!("steps:\n{go}"));
    let site = |people: &str| {
        sandbox.write("runplan.yaml", &format!("runplan: 1\nroles: {{ lead: {{ people: [{people}] }} }}\n"));
    };
    site(&me());
    let refused = sandbox.run("plan.yaml").code(6);
    refused
        .complains(&format!(
            "at `go` 1 of lead ({0}) must agree, and when {0} starts the run 0 of them",
            me()
        ))
        .complains("let somebody else start it");
    assert_eq!(sandbox.run("runs --format json").json()["runs"].as_array().unwrap().len(), 0);
    site(&format!("{}, bob", me()));
    sandbox.run("plan.yaml").code(4);
}

/// The site file to start from fits every plan, and names who decides in it, whatever its severity.
#[test]
fn the_decision_matrix_of_the_example_decides_in_every_plan() {
    let sandbox = Sandbox::new();
    let root = env!("CARGO_MANIFEST_DIR");
    let mut asked = 0;
    for entry in std::fs::read_dir(format!("{root}/plans")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "yaml") {
            continue;
        }
        let site = format!("{} --site {root}/plans/example/runplan.yaml", path.display());
        sandbox.run(&format!("check --strict {site}")).code(0);
        let review = sandbox.run(&format!("{site} --dry-run --format json")).json();
        let role = match review["severity"].as_str() {
            Some("critical") => "team_lead",
            Some("high") => "senior_dev",
            _ => "any_dev",
        };
        for step in review["steps"].as_array().unwrap().iter().filter(|step| !step["approval"].is_null()) {
            asked += 1;
            let (approval, name) = (&step["approval"], format!("{} {}", path.display(), step["id"]));
            assert_eq!(approval["roles"], serde_json::json!([role]), "{name}");
            // Work is done by whoever started the run; a decision is not theirs.
            assert_eq!(approval["allow_requester"], step["id"] != "go", "{name}");
        }
    }
    assert!(asked >= 16, "{asked}");
}

#[test]
fn an_approval_whose_time_is_up_is_not_called_open() {
    let sandbox = Sandbox::new();
    sandbox.plan("steps:\n  - { id: go, approve: { message: \"Swap it?\", expires: 2s } }\n");
    sandbox.run("plan.yaml").code(4).says("then it counts as no");
    let run = sandbox.only_run();
    let mut watching = sandbox.terminal("watch --stay", 24, 100);
    sandbox.until("the time is up", |sandbox| sandbox.run("status").stdout.contains("expired since"));
    let status = sandbox.run("status").code(0);
    status.says("EXPIRED").says("a resume asks again").says(&format!("Next       runplan resume {run}"));
    let shown = sandbox.run("status").stdout;
    assert!(!shown.contains("runplan approve"), "{shown}");
    let runs = listed(&sandbox);
    assert!(runs.starts_with("parked: nobody decided about step go in time: expired since"), "{runs}");
    let json = sandbox.run("runs --format json").json();
    assert_eq!(json["runs"][0]["parked"]["command"], format!("runplan resume {run}"));
    // Nothing happened: only the clock went on.
    watching.until("expired since");
    watching.until("runplan resume plan-");
    watching.press("\u{3}");
    watching.wait();
    sandbox.run("resume").code(4).says("Swap it?");
    sandbox.run("approve plan go").code(0);
    // Answered, and nobody has taken it up: both say the same.
    let words = "the question about step go is answered, nobody has taken the run up since";
    sandbox.run("status").says("Parked after").says(words);
    assert_eq!(listed(&sandbox), format!("parked: {words}"));
    sandbox.run("runs --result parked").says("taken the run up since");
}

#[test]
fn a_step_before_its_run_is_told_the_right_order() {
    let sandbox = Sandbox::new();
    sandbox.plan(ASKS);
    sandbox.run("plan.yaml").code(4);
    let run = sandbox.only_run();
    for (verb, more) in [("approve", ""), ("reject", " --reason why"), ("resolve", " --done --reason why")] {
        sandbox
            .run(&format!("{verb} first {run}{more}"))
            .code(2)
            .complains("the run comes first")
            .complains(&format!("runplan {verb} {run} first"));
    }
    assert_eq!(sandbox.step("first"), "awaiting_approval");
}
