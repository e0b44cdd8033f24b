//! `runplan undo` and what leads to one, with the real program: the newest first, only what was done, with what was recorded;
//! killed in the middle and gone on with; a failure, a deadline, another's claim.

use crate::support::cluster::{self, shared};
use crate::support::sandbox::Sandbox;
use runplan::postgres::Settings;
use rustix::process::Signal;

/// A step that writes its name into `log`, and an undo that writes what the step gave.
fn step(id: &str, more: &str, undo: &str) -> String {
    format!(
        "  - id: {id}\n{more}    shell: {{ run: 'echo {id} >> log; echo made-by-{id}', changes: none }}\n    \
         undo: {{ shell: {{ run: '{undo}', env: {{ GIVEN: '{{{{ steps.{id}.stdout }}}}' }}, changes: none, repeatable: true }} }}\n"
    )
}

fn tell(id: &str) -> String {
    format!("echo undo {id} of $GIVEN >> log")
}

#[test]
fn the_newest_first_only_what_was_done_with_what_it_gave() {
    let sandbox = Sandbox::new();
    let plan: String = ["one", "two", "three"].iter().map(|id| step(id, "", &tell(id))).collect();
    let never = step("never", "    when: '1 > 2'\n", &tell("never"));
    let fails = "  - { id: fails, shell: { run: 'exit 3', changes: none } }\n";
    sandbox.plan(&format!("steps:\n{plan}{never}{fails}"));
    sandbox.run("plan.yaml").code(4);
    let shown = sandbox.run("undo plan --dry-run").code(0).says("in this order");
    let at = |id: &str| shown.stdout.find(&format!("  {id} ")).unwrap_or_else(|| panic!("{}", shown.all()));
    assert!(at("three") < at("two") && at("two") < at("one"), "{}", shown.all());
    assert!(!shown.stdout.contains("never") && !shown.stdout.contains("fails"), "{}", shown.all());
    assert_eq!(sandbox.read("log"), "one\ntwo\nthree\n", "a dry run touches nothing");
    sandbox.run("undo plan --to nothing --yes").code(2).complains("nothing");
    sandbox.run("undo plan --to fails --yes").code(2).complains("is not done");
    let json = sandbox.run("undo plan --yes --format json");
    let last = json.lines().pop().unwrap();
    assert_eq!(last["result"], "undone", "{}", json.all());
    assert_eq!(
        sandbox.read("log"),
        "one\ntwo\nthree\nundo three of made-by-three\nundo two of made-by-two\nundo one of made-by-one\n"
    );
    sandbox.run("undo plan --yes").code(0).says("is undone already: everything it did was reversed");
}

#[test]
fn before_it_begins_it_says_what_has_no_way_back() {
    let sandbox = Sandbox::new();
    let gone = "  - { id: gone, shell: { run: 'echo gone >> log' } }\n";
    sandbox.plan(&format!("steps:\n{}{gone}", step("one", "", &tell("one"))));
    sandbox.run("plan.yaml").code(0);
    let shown = sandbox.run("undo plan --dry-run").code(0).says("CANNOT be undone");
    shown.complains("step gone has no way back: the undo stops there (nothing is undone)");
    let run = sandbox.only_run();
    let refused = sandbox.run("undo plan --yes").code(2);
    refused.complains("gone has no way back, so nothing was undone");
    assert_eq!(sandbox.step("gone"), "done");
    sandbox.run("undo plan --partly --yes").code(4).says("could not be undone");
    assert_eq!(sandbox.step("gone"), "undo_failed");
    sandbox.run("undo plan --dry-run").code(0).says("gone  its undo failed, and comes first");
    let line = format!("resolve {run} gone --skip --reason 'it stays as it is'");
    sandbox.run("status").code(0).says(&line);
    sandbox.run(&line).code(0);
    let mut ended = sandbox.run("resume").code(1);
    ended = ended.says("what it did was reversed except gone (skipped)").says("1 skipped in the undo (gone)");
    assert!(!ended.all().contains("everything it did"), "{}", ended.all());
    sandbox.run("report").says("except gone (skipped)");
    assert_eq!(sandbox.read("log"), "one\ngone\nundo one of made-by-one\n");
    assert_eq!((sandbox.step("one"), sandbox.step("gone")), ("undone".into(), "left".into()));
}

/// The door is opened again before the step without a way back comes: it would be closed once more, and stay so.
#[test]
fn an_undo_that_would_leave_it_closed_is_not_begun() {
    let sandbox = Sandbox::new();
    let end =
        |word: &str| format!("{{ shell: {{ run: 'echo {word} >> log', changes: none, repeatable: true }} }}");
    let gone = "  - { id: gone, window: calm, shell: { run: 'echo gone >> log' } }\n";
    sandbox.plan(&format!(
        "windows: {{ calm: {{ open: {}, close: {} }} }}\nsteps:\n{gone}",
        end("shut"),
        end("opened")
    ));
    sandbox.run("plan.yaml").code(0);
    let closed = "the application would be CLOSED to traffic";
    sandbox.run("undo plan --dry-run").code(0).complains(closed);
    sandbox.run("undo plan --yes").code(2).complains(closed).complains("--to gone --yes");
    assert_eq!(sandbox.read("log"), "shut\ngone\nopened\n", "nothing was undone");
    sandbox.run("undo plan --to gone --yes").complains(closed);
    assert_eq!(sandbox.read("log"), "shut\ngone\nopened\nshut\n", "asked for in so many words");
}

#[test]
fn killed_in_the_middle_it_goes_on_backwards() {
    let sandbox = Sandbox::new();
    let slow = "touch begun; until [ -e go ]; do sleep 0.02; done; echo undo two >> log";
    sandbox.plan(&format!(
        "steps:\n{}{}{}",
        step("one", "", &tell("one")),
        step("two", "", slow),
        step("three", "", &tell("three"))
    ));
    sandbox.run("plan.yaml").code(0);
    let engine = sandbox.start("undo plan --yes");
    sandbox.until("the undo of two", |sandbox| sandbox.exists("begun"));
    engine.signal(Signal::KILL);
    engine.wait();
    assert_eq!(sandbox.step("two"), "undoing");
    sandbox.write("go", "");
    let json = sandbox.run("resume --format json");
    assert_eq!(json.lines().pop().unwrap()["result"], "undone", "{}", json.all());
    let log = sandbox.read("log");
    let lines: Vec<&str> = log.lines().skip(3).collect();
    assert_eq!(lines, ["undo three of made-by-three", "undo two", "undo one of made-by-one"]);
}

#[test]
fn an_undo_that_fails_parks_with_advice_and_is_tried_again() {
    let sandbox = Sandbox::new();
    let picky = "[ -e mended ] && echo undo two >> log";
    sandbox.plan(&format!("steps:\n{}{}", step("one", "", &tell("one")), step("two", "", picky)));
    sandbox.run("plan.yaml").code(0);
    sandbox
        .run("undo plan --yes")
        .code(4)
        .says("two could not be undone")
        .says("--retry --reason 'the cause is mended'");
    assert_eq!((sandbox.step("one"), sandbox.step("two")), ("done".into(), "undo_failed".into()));
    sandbox.write("mended", "");
    sandbox.run("resolve plan two --retry --reason 'the file is there now'").code(0);
    sandbox.run("resume");
    assert_eq!(sandbox.read("log"), "one\ntwo\nundo two\nundo one of made-by-one\n");
}

#[test]
fn a_failure_takes_everything_back_where_the_plan_says_so() {
    let sandbox = Sandbox::new();
    sandbox.plan(&format!(
        "on_failure: undo\nsteps:\n{}{}  - {{ id: bad, shell: {{ run: 'exit 3', changes: none }} }}\n",
        step("one", "", &tell("one")),
        step("two", "", &tell("two"))
    ));
    let json = sandbox.run("plan.yaml --format json");
    assert_eq!(json.lines().pop().unwrap()["result"], "undone", "{}", json.all());
    assert_eq!(sandbox.read("log"), "one\ntwo\nundo two of made-by-two\nundo one of made-by-one\n");
}

#[test]
fn what_is_in_doubt_is_settled_before_the_undo() {
    let sandbox = Sandbox::new();
    let waits = "touch begun; until [ -e go ]; do sleep 0.02; done; echo two >> log; echo made-by-two";
    let two = format!(
        "  - id: two\n    shell: {{ run: '{waits}', changes: none }}\n    \
         undo: {{ shell: {{ run: '{}', env: {{ GIVEN: '{{{{ steps.two.stdout }}}}' }}, changes: none }} }}\n",
        tell("two")
    );
    sandbox.plan(&format!("steps:\n{}{two}", step("one", "", &tell("one"))));
    let engine = sandbox.start("plan.yaml");
    sandbox.until("step two", |sandbox| sandbox.exists("begun"));
    engine.signal(Signal::KILL);
    engine.wait();
    let shown = sandbox.run("undo plan --dry-run").code(0);
    shown.complains("not known yet whether two took effect: that is settled first");
    sandbox.write("go", "");
    let json = sandbox.run("undo plan --yes --format json");
    assert_eq!(json.lines().pop().unwrap()["result"], "undone", "{}", json.all());
    assert_eq!(sandbox.read("log"), "one\ntwo\nundo two of made-by-two\nundo one of made-by-one\n");
}

#[test]
fn a_deadline_parks_and_handlers_are_told_of_every_parking() {
    let sandbox = Sandbox::new();
    let handlers = "handlers: { parked: [ { shell: { run: 'echo parked >> told', changes: none } } ] }\n";
    sandbox.plan(&format!(
        "{handlers}limits: {{ deadline: 1s }}\nsteps:\n  \
         - {{ id: slow, shell: {{ run: 'sleep 1.2; echo slow >> log', changes: none }} }}\n  \
         - {{ id: next, shell: {{ run: '[ -e mended ] && echo next >> log', changes: none }} }}\n"
    ));
    sandbox.run("plan.yaml").code(4).says("deadline");
    assert_eq!((sandbox.read("log"), sandbox.step("next")), ("slow\n".to_owned(), "waiting".into()));
    assert_eq!(sandbox.read("told"), "parked\n");
    // Who resumes after the deadline wants it to go on; a step that fails parks too.
    sandbox.run("resume").code(4).says("step next failed");
    assert_eq!(sandbox.read("told"), "parked\nparked\n");
    sandbox.write("mended", "");
    sandbox.run("resume").code(0);
    assert_eq!(
        (sandbox.read("log"), sandbox.read("told")),
        ("slow\nnext\n".into(), "parked\nparked\n".into())
    );
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn on(settings: &Settings) -> Sandbox {
    Sandbox::new().variable("DATABASE_URL", shared().url(settings.database()).expose())
}

/// Two people, two state directories, one database.
#[test]
fn of_two_runs_against_one_database_one_is_told_who_has_it() {
    let settings = block(cluster::database("undo_two"));
    block(async { cluster::connect(&settings).await.execute("CREATE TABLE t (a int)").await.unwrap() });
    let plan = "secrets: { DATABASE_URL: { env: DATABASE_URL } }\n\
        databases: { app: { url: \"{{ secrets.DATABASE_URL }}\" } }\nsteps:\n  \
        - id: wrote\n    sql: { database: app, statement: INSERT INTO t VALUES (1) }\n    \
          undo: { sql: { database: app, statement: DELETE FROM t WHERE a = 1 } }\n  \
        - id: held\n    shell: { run: 'touch begun; until [ -e go ]; do sleep 0.02; done', changes: none }\n";
    let (mine, yours) = (on(&settings), on(&settings));
    mine.plan(plan);
    yours.plan(plan);
    let first = mine.start("plan.yaml");
    mine.until("the held step", |mine| mine.exists("begun"));
    let run = mine.only_run();
    let refused = yours.run("plan.yaml").code(5);
    // The id may be broken over lines.
    let words: String = refused.stderr.chars().filter(|c| !c.is_whitespace() && *c != '│').collect();
    assert!(words.contains(&run) && words.contains("nothingwasdone"), "who holds it: {}", refused.stderr);
    mine.write("go", "");
    first.wait().code(0);
    let count =
        || block(async { cluster::connect(&settings).await.one("SELECT count(*) FROM t").await.unwrap() });
    assert_eq!(count(), "1");
    yours.write("go", "");
    yours.run("plan.yaml").code(0);
    assert_eq!(count(), "2");
}

/// The first step has failed, and with that nothing was done: the undo ends the run, and the next one may begin.
#[test]
fn an_undo_of_nothing_lets_go_of_the_target() {
    let settings = block(cluster::database("undo_nothing"));
    let table = "CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1)";
    block(async { cluster::connect(&settings).await.execute(table).await.unwrap() });
    let plan = "secrets: { DATABASE_URL: { env: DATABASE_URL } }\n\
        databases: { app: { url: \"{{ secrets.DATABASE_URL }}\" } }\nsteps:\n  \
        - { id: wrong, sql: { database: app, statement: INSERT INTO t VALUES (1) } }\n";
    let (mine, yours) = (on(&settings), on(&settings));
    mine.plan(plan);
    yours.plan(plan);
    mine.run("plan.yaml").code(4).says("or end it, and let go of its targets: runplan undo");
    yours.run("plan.yaml").code(5);
    mine.run("undo plan").code(2).complains("nobody confirmed");
    mine.run("undo plan --dry-run").code(0).says("has done nothing that could be undone");
    mine.run("undo plan --yes").code(1).says("Undone");
    yours.run("plan.yaml").code(4);
    yours.run("undo plan --yes").code(1);
    yours.run("undo plan --yes").code(0).says("is undone already: everything it did was reversed");
}

fn asked(settings: &Settings, sql: &str) -> String {
    block(async { cluster::connect(settings).await.one(sql).await.unwrap() })
}

/// What was written since a swap is shown, and lost only by whoever names that very loss.
#[test]
fn an_undo_that_would_lose_writes_wants_their_code() {
    let settings = block(crate::steps::backup::sample("undo_loss"));
    let sandbox = Sandbox::new().variable("DATABASE_URL", shared().url(settings.database()).expose());
    sandbox.plan(
        "secrets: { DATABASE_URL: { env: DATABASE_URL } }\ndatabases: { app: { url: \"{{ secrets.DATABASE_URL }}\" } }\nsteps:\n  \
         - { id: saved, backup: { database: app, to: backups } }\n  \
         - { id: restored, restore: { from: \"{{ steps.saved.path }}\", database: app } }\n  \
         - { id: switched, swap: { database: app, with: \"{{ steps.restored.database }}\", keep_old: 1h }, unguarded: test }\n",
    );
    sandbox.run("plan.yaml --yes").code(0);
    let run = sandbox.only_run();
    asked(
        &settings,
        "INSERT INTO messages (body) SELECT 'after ' || n FROM generate_series(1, 4) n; SELECT 1",
    );
    sandbox.run("undo plan --dry-run").code(0).complains(
        "if anybody has written to app since it was swapped in, the undo of switched stops and asks",
    );
    let refused = sandbox
        .run("undo plan --yes")
        .code(4)
        .says(
            "was written to since the swap: 4 rows were inserted, changed or deleted (4 of public.messages)",
        )
        .says("against the old database going back would lose 4 rows of messages");
    let text = refused.all();
    let code = text
        .split("--accept-loss ")
        .nth(1)
        .unwrap_or_else(|| panic!("{text}"))
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(sandbox.step("switched"), "undo_failed");
    assert_eq!(asked(&settings, "SELECT count(*) FROM messages"), "104", "nothing was done");
    // A code of something else, then one that more writes have outrun.
    sandbox
        .run(&format!("resolve {run} switched --retry --accept-loss 00000000 --reason 'a guess'"))
        .complains(&format!("is not the code of the loss that is asked about; that is {code}"));
    let agree = format!("resolve {run} switched --retry --accept-loss {code} --reason 'it may be lost'");
    sandbox.run("status").says("somebody has to agree to what that would lose").says(&agree);
    asked(&settings, "INSERT INTO messages (body) VALUES ('one more') RETURNING body");
    sandbox
        .run(&format!("resolve {run} switched --retry --accept-loss {code} --reason 'the four are copied'"))
        .code(0);
    let outrun = sandbox.run("resume").code(4).says("5 rows were inserted");
    assert_eq!(asked(&settings, "SELECT count(*) FROM messages"), "105");
    let text = outrun.all();
    let code = text
        .split("--accept-loss ")
        .nth(1)
        .unwrap_or_else(|| panic!("{text}"))
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    sandbox
        .run(&format!("resolve {run} switched --retry --accept-loss {code} --reason 'all five are copied'"))
        .code(0);
    sandbox.run("resume");
    assert_eq!(sandbox.step("switched"), "undone");
    assert_eq!(asked(&settings, "SELECT count(*) FROM messages"), "100", "the old database is back");
    let report = sandbox.run(&format!("report {run} --format markdown")).all();
    assert!(
        report.contains(&format!("what was written since the swap is lost, as agreed ({code})")),
        "{report}"
    );
    assert!(report.contains("all five are copied"), "{report}");
}

#[test]
fn an_undo_as_far_as_was_asked_says_what_is_still_done() {
    let sandbox = Sandbox::new();
    let plan: String = ["one", "two", "three"].iter().map(|id| step(id, "", &tell(id))).collect();
    sandbox.plan(&format!("steps:\n{plan}"));
    sandbox.run("plan.yaml").code(0);
    let run = sandbox.only_run();
    let undone = sandbox.run("undo plan --to two --yes").code(1);
    undone.says("still done: one, two").says(&format!("runplan undo {run}"));
    let undone = sandbox.run("undo plan --yes").code(1);
    assert!(!undone.stdout.contains("still done"), "{}", undone.all());
    assert!(sandbox.read("log").ends_with("undo two of made-by-two\nundo one of made-by-one\n"));
}

#[test]
fn what_is_next_is_what_the_status_says() {
    let sandbox = Sandbox::new();
    let fails = "test -e mended && echo mended >> log";
    let plan =
        [step("one", "", fails), "  - { id: go, needs: [], approve: { message: Go on? } }\n".to_owned()];
    sandbox.plan(&format!("limits: {{ parallel: 2 }}\nsteps:\n{}", plan.concat()));
    sandbox.run("plan.yaml").code(4);
    sandbox.run("undo plan --yes").code(4).says("runplan resolve");
    let run = sandbox.only_run();
    sandbox.write("mended", "");
    let said = sandbox.run("resolve plan one --retry --reason mended").code(0);
    said.says(&format!("next: runplan resume {run}"));
    sandbox.run("status plan").says(&format!("runplan resume {run}"));
    sandbox.run("resume plan").code(1);
    assert_eq!(sandbox.read("log"), "one\nmended\n");
}

#[test]
fn a_file_that_is_not_there_is_not_imported() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run("import nowhere.run --takeover test").code(6);
    ran.complains("there is no file nowhere.run");
}

#[test]
fn without_its_head_a_run_goes_on_by_the_word_of_a_person_only() {
    let sandbox = Sandbox::new();
    let fails = "  - { id: fails, shell: { run: 'test -e mended', changes: none } }\n";
    sandbox.plan(&format!("steps:\n{}{fails}", step("one", "", &tell("one"))));
    sandbox.run("plan.yaml").code(4);
    let head = sandbox.state().join("runs").join(sandbox.only_run()).join("head");
    std::fs::remove_file(&head).unwrap();
    sandbox.write("mended", "");
    for _ in 0..2 {
        sandbox.run("status plan --verify").code(1).says("the head");
        let ran = sandbox.run("resume plan").code(6);
        ran.complains("the head of").complains("--without-head");
        sandbox.run("undo plan --yes").code(6).complains("the head of");
    }
    sandbox.run("resume plan --without-head compared").code(0).complains("answers for it: compared");
    sandbox.run("status plan --verify").code(0);
    sandbox.run("report plan").says("answers for it: compared");
    assert_eq!(sandbox.read("log"), "one\n");
}
