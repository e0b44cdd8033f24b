//! The report says what the journal proves, and nothing more.

use crate::support::cluster::{connect, database, shared};
use crate::support::sandbox::Sandbox;

#[test]
fn the_checklist_is_not_ticked_without_evidence() {
    let sandbox = Sandbox::new();
    sandbox.plan(
        "steps:\n  - { id: announce, notify: { channels: [console], message: hello } }\n  \
           - id: proof\n    verify: { report_only: true, checks: [ { name: a file, file: { path: nothing } } ] }\n",
    );
    sandbox.run("plan.yaml --reason 'wallets are empty'").code(0);
    let report = sandbox.run("report").code(0).stdout;
    // The console of whoever runs it is not the team; a reason does not find a change.
    for open in
        ["The team is told", "The change to be rolled back is identified", "The application is healthy"]
    {
        assert!(report.contains(&format!("- [ ] {open}")), "{open}\n{report}");
    }
    assert!(report.contains("- [x] The reason is documented: wallets are empty"), "{report}");
    assert!(report.contains("did not pass (only reported)"), "{report}");
    assert!(report.contains("**What went wrong**"), "{report}");
    let head = sandbox.run("status plan --format json").json()["head"].as_str().unwrap().to_owned();
    assert!(report.contains(&head), "the report carries the journal's last hash");
}

/// What was proved of a copy beside the database is no proof of the database; a site's channel that heard of the start is.
#[tokio::test]
async fn nothing_is_proved_after_a_change_that_is_still_to_come() {
    let settings = database("proof").await;
    let url = shared().url(settings.database());
    let sandbox = Sandbox::new().variable("APP_URL", url.expose());
    sandbox.write(
        "runplan.yaml",
        "runplan: 1\nchannels: { team: { type: command, argv: [sh, -c, 'cat >> told'], events: [start] } }\n",
    );
    sandbox.plan(
        "secrets: { APP_URL: { env: APP_URL } }\n\
         databases: { app: { url: \"{{ secrets.APP_URL }}\" } }\n\
         steps:\n\
         \x20 - { id: early, verify: { database: app, checks: [ { name: one, sql: SELECT 1, expect: 1 }, { name: indexes, amcheck: { required: false } } ] } }\n\
         \x20 - { id: go, approve: { message: Go on? } }\n\
         \x20 - { id: made, sql: { database: app, statement: CREATE TABLE t (a int) }, irreversible: it stays }\n\
         \x20 - { id: late, verify: { database: app, checks: [ { name: none, sql: SELECT count(*) FROM t, expect: 0 } ] } }\n",
    );
    sandbox.run("plan.yaml --reason r").code(4);
    let parked = sandbox.run("report").code(0).stdout;
    assert!(parked.contains("- [ ] The data is proved sound after the last change"), "{parked}");
    assert!(parked.contains("| Asked | go: Go on? |"), "{parked}");
    assert!(parked.contains("- [x] The team is told: the channel team at 2"), "{parked}");
    sandbox.run("approve plan go").code(0);
    sandbox.run("resume").code(0);
    let over = sandbox.run("report").code(0).stdout;
    assert!(!over.contains("| Asked |"), "{over}");
    assert!(over.contains("| indexes | left out |"), "nobody looked: {over}");
    assert!(over.contains("- [x] The data is proved sound after the last change: step late"), "{over}");
    // Each line that is ticked leads to a place that is there.
    let page = sandbox.run("report --format html").code(0).stdout;
    let list = page.split("id=\"checklist\"").nth(1).unwrap().split("</section>").next().unwrap();
    let ticked = list.matches("class=\"ticked\"").count();
    let links: Vec<&str> =
        list.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(ticked >= 3 && links.len() >= ticked, "{ticked} {links:?}");
    for link in links {
        assert!(page.contains(&format!("id=\"{link}\"")), "{link}");
    }
}

/// A program or a request may change what was proved, unless it says that it does not. What opens a window does not.
#[tokio::test]
async fn what_a_program_may_have_changed_is_not_proved_by_a_check_before_it() {
    let settings = database("proofs").await;
    connect(&settings).await.execute("CREATE TABLE t (a int)").await.unwrap();
    let url = shared().url(settings.database());
    for (what, changes, is_proved) in
        [("silent", "", false), ("of app", "changes: app,", false), ("of none", "changes: none,", true)]
    {
        let sandbox = Sandbox::new().variable("APP_URL", url.expose());
        sandbox.plan(&format!(
            "secrets: {{ APP_URL: {{ env: APP_URL }} }}\n\
             databases: {{ app: {{ url: \"{{{{ secrets.APP_URL }}}}\" }} }}\n\
             windows:\n\
             \x20 closed: {{ open: {{ shell: {{ argv: ['true'], repeatable: true }} }}, close: {{ shell: {{ argv: ['true'], repeatable: true }} }} }}\n\
             steps:\n\
             \x20 - {{ id: proof, window: closed, verify: {{ database: app, checks: [ {{ name: one, sql: SELECT count(*) FROM t, expect: 0 }} ] }} }}\n\
             \x20 - {{ id: change, needs: [proof], shell: {{ argv: ['true'], {changes} repeatable: true }}, irreversible: it stays }}\n",
        ));
        sandbox.run("plan.yaml --reason r").code(0);
        let report = sandbox.run("report").code(0).stdout;
        let mark = if is_proved { "x" } else { " " };
        let line = format!("- [{mark}] The data is proved sound after the last change");
        assert!(report.contains(&line), "{what}: {report}");
    }
}

#[test]
fn the_checks_of_a_failed_step_are_in_it_too() {
    let sandbox = Sandbox::new();
    sandbox.plan(
        "steps:\n  - id: proof\n    verify: { checks: [ { name: the flag is there, file: { path: flag } } ] }\n",
    );
    sandbox.run("plan.yaml").code(4);
    sandbox.run("report").code(0).says("| `proof` | the flag is there | **failed** |");
}

/// Rows that should not be there are what somebody has to look at, on paper as in a browser.
#[tokio::test]
async fn the_rows_that_a_check_found_stand_in_every_report() {
    let settings = database("found_rows").await;
    let sandbox = Sandbox::new().variable("APP_URL", shared().url(settings.database()).expose());
    sandbox.plan(
        "secrets: { APP_URL: { env: APP_URL } }\n\
         databases: { app: { url: \"{{ secrets.APP_URL }}\" } }\n\
         steps:\n\
         \x20 - id: proof\n\
         \x20   verify:\n\
         \x20     database: app\n\
         \x20     checks: [ { name: orphans, sql: \"SELECT g AS id, '<b>' || g AS owner FROM generate_series(1, 30) g\", expect: empty } ]\n",
    );
    sandbox.run("plan.yaml --reason r").code(4);
    for (format, row) in [("markdown", "7   <b>7"), ("html", "7   &lt;b&gt;7"), ("json", "<b>7")] {
        let report = sandbox.run(&format!("report --format {format}")).code(0).says("30 rows").stdout;
        assert!(report.contains(row), "{format}: {report}");
        assert!(format == "json" || report.contains("and 10 more"), "{format}: {report}");
    }
}

#[test]
fn no_value_breaks_out_of_its_table() {
    let sandbox = Sandbox::new();
    sandbox.plan(
        "title: \"a | b <script>\u{202e}\"\nsteps:\n  - { id: a, notify: { channels: [console], message: m } }\n",
    );
    sandbox.run("plan.yaml --reason 'one | two\n# three <img> ![x](http://127.0.0.1/x)'").code(0);
    let report = sandbox.run("report").code(0).stdout;
    let reason = "| Reason | one \\| two # three &lt;img> ![x]\\(http://127.0.0.1/x) |";
    assert!(report.contains(reason), "{report}");
    assert!(!report.contains("<script>") && !report.contains("\n# three"), "{report}");
    // Nor does it turn the direction of reading.
    let page = sandbox.run("report --format html").code(0).stdout;
    assert!(report.contains('\u{fffd}') && page.contains('\u{fffd}'));
    assert!(!report.contains('\u{202e}') && !page.contains('\u{202e}'), "{report}");
}

#[test]
fn a_damaged_journal_is_named_and_not_resumed() {
    let sandbox = Sandbox::new();
    sandbox.plan("steps:\n  - { id: a, approve: { message: \"Go?\" } }\n");
    sandbox.run("plan.yaml").code(4);
    let journal = sandbox.state().join("runs").join(sandbox.only_run()).join("journal.db");
    let sound = std::fs::read(&journal).unwrap();
    let damage = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] = b'N';
        std::fs::write(&journal, bytes).unwrap();
    };
    // SQLite fills a page from its end: the first match is the question, the last is the plan in the first line.
    damage(sound.windows(3).position(|bytes| bytes == b"Go?").unwrap());
    sandbox.run("status --verify").code(1).says("the chain of the journal breaks at line");
    sandbox.run("resume").code(6).complains("is damaged");
    sandbox.run("logs plan").code(0).says("started by").complains("cannot be shown");
    damage(sound.windows(3).rposition(|bytes| bytes == b"Go?").unwrap());
    // Not a word of "every run is over" or "nothing was done": nobody can tell.
    for line in ["resume", "logs plan", "status plan"] {
        sandbox.run(line).code(6).complains("is damaged");
    }
}

/// The SQL of a report is what the server got, without secrets, and not the plan's template of it.
#[tokio::test]
async fn the_sql_that_was_sent_is_told_with_its_values() {
    let settings = database("sent").await;
    let url = shared().url(settings.database());
    // A short secret is found nowhere by its text.
    let sandbox = Sandbox::new()
        .variable("APP_URL", url.expose())
        .variable("PIN", "4711")
        .variable("TOKEN", "it's-a-long-token");
    sandbox.write(
        "mark.sql",
        "INSERT INTO t VALUES ({{ steps.made.row_count }}, {{ params.who }});\n-- the end\n",
    );
    sandbox.plan(
        "secrets: { APP_URL: { env: APP_URL }, PIN: { env: PIN }, TOKEN: { env: TOKEN } }\n\
         params: { who: { type: string, required: true } }\n\
         databases: { app: { url: \"{{ secrets.APP_URL }}\" } }\n\
         steps:\n\
         \x20 - { id: made, sql: { database: app, statement: 'CREATE TABLE t (a int, b text)' }, undo: { sql: { database: app, statement: DROP TABLE t } } }\n\
         \x20 - id: marked\n\
         \x20   sql: { database: app, file: mark.sql }\n\
         \x20   undo: { sql: { database: app, statement: \"DELETE FROM t WHERE b = {{ params.who }}\" } }\n\
         \x20 - { id: hidden, sql: { database: app, statement: \"INSERT INTO t SELECT 1, 'x' WHERE {{ secrets.PIN }} = {{ secrets.TOKEN }}\" }, undo: { sql: { database: app, statement: DELETE FROM t WHERE a = 1 } } }\n\
         \x20 - { id: go, approve: { message: Go on? } }\n\
         \x20 - { id: last, sql: { database: app, statement: SELECT 1, read_only: true } }\n",
    );
    sandbox.run("plan.yaml --reason r -p \"who=O'Brien\"").code(4);
    let report = sandbox.run("report --format json").code(0).json();
    let of = |report: &serde_json::Value, step: &str, undo: bool| {
        let all = report["statements"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["step"] == step && one["undo"] == undo).unwrap_or_default()
    };
    let marked = of(&report, "marked", false);
    assert_eq!(marked["sql"], "INSERT INTO t VALUES (0, 'O''Brien');\n-- the end\n", "{marked}");
    assert_eq!(marked["rows"], 1);
    let digest = runplan::plan::digest::hex(&sha2::Digest::finalize(sha2::Digest::chain_update(
        <sha2::Sha256 as sha2::Digest>::new(),
        marked["sql"].as_str().unwrap(),
    )));
    assert_eq!(marked["sha256"], digest);
    let hidden = of(&report, "hidden", false);
    assert_eq!(hidden["sql"], "INSERT INTO t SELECT 1, 'x' WHERE ‹secret PIN› = ‹secret TOKEN›");
    assert!(hidden["sha256"].is_null(), "a short secret could be guessed from it: {hidden}");
    assert_eq!(of(&report, "made", false)["as_written"], false);
    let text = sandbox.run("report").code(0).stdout;
    assert!(text.contains("VALUES (0, 'O''Brien')") && !text.contains("{{ params.who }}"), "{text}");
    let journal = sandbox.run("logs plan -v").code(0).stdout;
    assert!(
        journal.contains("sql_sent") && !journal.contains("4711") && !journal.contains("long-token"),
        "{journal}"
    );
    sandbox.run("undo plan --yes").code(1);
    let report = sandbox.run("report --format json").code(0).json();
    let undo = of(&report, "marked", true);
    assert_eq!(undo["sql"], "DELETE FROM t WHERE b = 'O''Brien'", "{report}");
}

#[test]
fn a_step_that_failed_and_was_left_by_the_undo_is_not_said_to_wait() {
    let sandbox = Sandbox::new();
    sandbox.plan(
        "steps:\n  - { id: one, shell: { argv: [echo, x], changes: none } }\n  \
         - { id: two, needs: [one], shell: { argv: ['false'], changes: none } }\n",
    );
    sandbox.run("plan.yaml").code(4);
    sandbox.run("undo plan --yes").code(1);
    sandbox.run("status").says("begun, and not done");
    let markdown = sandbox.run("report --format markdown").code(0).stdout;
    let row = markdown.lines().find(|line| line.starts_with("| `two`")).unwrap();
    assert!(row.contains("begun, and not done") && row.contains("exit code 1"), "{row}");
    let page = sandbox.run("report --format html").code(0).stdout;
    assert!(!page.contains("waiting in ") && page.contains("begun, and not done"), "{page}");
    // The legend's word for a time in which the run was parked.
    assert!(page.contains("url(#hatched)") && page.contains("<pattern id=\"hatched\""));
}

/// Its commands name the state directory where somebody has another one; that is no change to it.
#[test]
fn a_report_of_another_state_directory_is_one_document_on_every_way() {
    for place in ["other", "'an other'"] {
        let sandbox = Sandbox::new();
        sandbox.plan("steps:\n  - { id: go, approve: { message: m } }\n");
        sandbox.run(&format!("plan.yaml --state {place}")).code(4);
        for (format, name) in [("markdown", "a.md"), ("html", "a.html")] {
            let told = sandbox.run(&format!("report --state {place} --format {format}")).code(0).stdout;
            sandbox.run(&format!("report --state {place} --format {format} --out {name}")).code(0);
            assert_eq!(sandbox.read(name).trim_end(), told.trim_end());
            assert!(told.contains("runplan --state "), "{told}");
            sandbox.run(&format!("report --state {place} --verify {name}")).code(0).says("unchanged");
            sandbox.write(name, &told.replace("Not over", "Over").replace("Parked", "Done"));
            sandbox.run(&format!("report --state {place} --verify {name}")).code(1).says("CHANGED");
        }
        let run =
            sandbox.run(&format!("runs --state {place} --format json")).json()["runs"][0]["run"].clone();
        let kept = format!("{}/runs/{}/report.md", place.trim_matches('\''), run.as_str().unwrap());
        sandbox.run(&format!("report --state {place} --verify '{kept}'")).code(0).says("unchanged");
    }
}
