//! The report as a page: in a real browser, on paper, from the keyboard, and of a run that is very long.
#![allow(clippy::disallowed_methods, reason = "the browser is started here")]

use crate::support::sandbox::Sandbox;
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/page.mjs");

/// What a browser finds in a page.
fn opened(page: &Path) -> Value {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    let profile = tempfile::tempdir().unwrap();
    let output =
        Command::new("node").arg(PAGE).arg(&chromium).arg(page).arg(profile.path()).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{chromium} and node are needed (.ci/test-programs): {complaints}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_page_is_whole_in_a_browser_on_paper_and_for_those_who_do_not_see_it() {
    let sandbox = Sandbox::new();
    sandbox.plan(
        "title: \"<script>alert(1)</script> & more\"\nparams: { note: { type: string, default: \"\\\"><img src=x onerror=alert(2)>\" } }\n\
         windows: { maintenance: { open: { shell: { argv: [\"true\"], repeatable: true, changes: none } }, close: { shell: { argv: [\"true\"], repeatable: true, changes: none } } } }\n\
         steps:\n  - { id: told, notify: { channels: [console], message: \"{{ params.note }}\" } }\n  \
         - { id: made, window: maintenance, title: \"a \\\"title\\\" <b>\", shell: { argv: [touch, flag], repeatable: true, changes: none } }\n  \
         - id: proof\n    verify: { report_only: true, checks: [ { name: \"<u>flag</u>\", file: { path: flag } }, { name: nothing, file: { path: nothing } } ] }\n",
    );
    sandbox.run("plan.yaml --reason '<i>why</i> & \"how\"' --yes").code(0);
    sandbox.run("report --format html --out page.html").code(0);
    let found = opened(&sandbox.path("page.html"));

    let none = |name: &str| assert_eq!(found[name], serde_json::json!([]), "{name}\n{found:#}");
    for name in ["requests", "errors", "unnamed", "broken_links", "twice"] {
        none(name);
    }
    let title = found["title"].as_str().unwrap();
    assert!(title.starts_with("<script>alert(1)</script> & more: Done"), "{title}");
    let headings: Vec<&str> =
        found["headings"].as_array().unwrap().iter().map(|head| head.as_str().unwrap()).collect();
    for wanted in ["Summary", "Timeline", "Graph", "Steps", "Checks", "Checklist of the procedure", "Proof"] {
        assert!(headings.contains(&wanted), "{wanted} in {headings:?}");
    }
    assert_eq!((&found["wide"], &found["wide_when_narrow"]), (&false.into(), &false.into()));
    assert_ne!(found["light"], found["dark"]);
    assert_eq!(found["print"], found["light"], "paper is white, whatever the screen is");
    assert_eq!(found["printed_navigation"], "none");
    assert!(found["contrast"].as_f64().unwrap() >= 4.5, "{}", found["contrast"]);
    assert_eq!(found["paper"], "0 0 594.95996 841.91998", "A4");
    assert!((1..=6).contains(&found["pages"].as_u64().unwrap()), "{}", found["pages"]);

    let tabs = found["tabs"].as_array().unwrap();
    assert_eq!(tabs[0]["name"], "Skip to the report");
    assert!(tabs.iter().all(|tab| tab["seen"] == true && tab["name"] != ""), "{tabs:#?}");
    for region in ["Timeline picture", "Graph of the steps", "Table of steps"] {
        assert!(tabs.iter().any(|tab| tab["name"].as_str().unwrap().starts_with(region)), "{region}");
    }
}

#[test]
fn a_run_of_a_thousand_steps_stays_readable() {
    let sandbox = Sandbox::new();
    let mut steps = "limits: { parallel: 32 }\nsteps:\n".to_owned();
    for at in 0..1000 {
        let needs = if at < 20 { String::new() } else { format!("step_{}", at - 20) };
        let _ = writeln!(
            steps,
            "  - {{ id: step_{at}, needs: [{needs}], title: The step with the number {at}, notify: {{ channels: [console], message: x }} }}"
        );
    }
    sandbox.plan(&steps);
    sandbox.run("plan.yaml --quiet").code(0);
    let page = sandbox.run("report --format html").code(0).stdout;
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    assert!(page.contains("The longest 60 of 1000 steps that began"), "the timeline says what it leaves out");
    let rows = page.matches("<tr id=\"step-").count();
    assert_eq!(rows, 1000);
    assert!(page.contains("lines left out"));
}

#[test]
fn a_report_is_held_against_its_journal() {
    let sandbox = Sandbox::new();
    sandbox.plan("steps:\n  - { id: a, notify: { channels: [console], message: m } }\n  - { id: go, approve: { message: \"Go?\" } }\n");
    sandbox.run("plan.yaml --reason 'wallets are empty'").code(4);
    let run = sandbox.only_run();
    let head = || sandbox.run("status plan --format json").json()["head"].as_str().unwrap().to_owned();
    let lines = sandbox.run("logs --format json").lines().len();
    for (form, name) in [("markdown", "r.md"), ("html", "r.html"), ("json", "r.json")] {
        sandbox.run(&format!("report --format {form} --out {name}")).code(0);
        sandbox
            .run(&format!("report --verify {name}"))
            .code(0)
            .says(&format!("the report of {run} at line {lines}, unchanged"));
        sandbox.run(&format!("report --format {form} --out {name}")).code(2).complains("it was not touched");
    }
    let report = sandbox.read("r.md");
    sandbox.write("filled.md", &report.replacen("\n> \n", "\n> the migration ran twice\n", 1));
    sandbox.run("report --verify filled.md").code(0).says("with its post-mortem filled in");
    sandbox.write("changed.md", &report.replace("wallets are empty", "all is well"));
    let changed = sandbox.run("report --verify changed.md").code(1);
    changed
        .says("but CHANGED since it was made")
        .says("- | Reason | wallets are empty |")
        .says("+ | Reason | all is well |");
    // The end of the part that people fill in, planted above it, hides nothing.
    let planted = report.replace("wallets are empty", "all is well ## Post-mortem");
    sandbox.write("planted.md", &planted);
    sandbox.run("report --verify planted.md").code(1).says("but CHANGED since it was made");

    let made_at = head();
    sandbox.write("forged.md", &report.replace(&made_at, &"0".repeat(64)));
    sandbox.run("report --verify forged.md").code(1).says(&format!(
        "the report belongs to another journal than the one of {run} here: line {lines} is {made_at} here, and 0000"
    ));
    sandbox.write("ahead.md", &report.replace(&format!("lines={lines} "), "lines=99 "));
    sandbox
        .run("report --verify ahead.md")
        .code(1)
        .says(&format!("it was made from line 99, and there are {lines}"));
    sandbox.write("other.md", "# a page\n");
    sandbox.run("report --verify other.md").code(2).complains("is not a report");

    sandbox.run(&format!("reject {run} go --reason 'not today'"));
    let (now, more) = (head(), sandbox.run("logs --format json").lines().len() - lines);
    sandbox.run("report --verify r.html").code(0).says(&format!(
        "the report of {run} at line {lines}, unchanged; the journal went on since: {more} lines, its head is {now}"
    ));
    let json = sandbox.run("report --verify r.json --format json").code(0).json();
    assert_eq!(
        (json["head"].as_str(), json["journal_head"].as_str(), json["sound"].as_bool()),
        (Some(made_at.as_str()), Some(now.as_str()), Some(true))
    );
    sandbox.write("elsewhere.md", &report.replace(&run, "plan-20200101-0000-aaaa"));
    sandbox
        .run("report --verify elsewhere.md")
        .code(2)
        .complains("the run plan-20200101-0000-aaaa is not kept here");
}
