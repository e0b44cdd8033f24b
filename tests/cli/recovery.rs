//! What keeps a run from going on: said as docs/recovery.md says it; and the ways on, killed in the middle.

use super::refusals::why;
use crate::support::backup;
use crate::support::cluster::{connect, database, options, programs, shared};
use crate::support::refusals::{prove_rows, recovery};
use crate::support::sandbox::Sandbox;
use runplan::postgres::{Cluster, Connection, Settings, claim};

type Said = Vec<(&'static str, String)>;

/// A plan whose first step has changed the database, parked at an approval.
fn parked(url: &str) -> Sandbox {
    let sandbox = Sandbox::new().variable("APP_URL", url);
    sandbox.plan(
        "secrets: { APP_URL: { env: APP_URL } }\n\
         databases: { app: { url: \"{{ secrets.APP_URL }}\" } }\n\
         steps:\n\
         \x20 - { id: one, sql: { database: app, statement: INSERT INTO t VALUES (1) }, irreversible: it stays }\n\
         \x20 - { id: go, approve: { message: Go on? } }\n\
         \x20 - { id: two, sql: { database: app, statement: INSERT INTO t VALUES (2) }, irreversible: it stays }\n",
    );
    sandbox.run("plan.yaml").code(4);
    sandbox
}

async fn with_table(settings: &Settings) -> Connection {
    let connection = connect(settings).await;
    connection.execute("CREATE TABLE t (a int)").await.unwrap();
    connection
}

async fn databases() -> Said {
    let settings = database("recovery").await;
    let admin = connect(&settings.with_database("postgres")).await;
    with_table(&settings).await;
    let sandbox = parked(shared().url(settings.database()).expose());
    let second = beside(&sandbox);
    let mut said = vec![
        ("held", why(&second, "plan.yaml")),
        ("reclaim_blank", why(&sandbox, "resume --reclaim ' '")),
        ("no_way_back", why(&sandbox, "undo plan --yes")),
    ];
    admin.execute(&claim::clear_sql(settings.database())).await.unwrap();
    said.push(("claim_gone", why(&sandbox, "resume")));
    sandbox.run("export plan --out run.file").code(0);
    said.push(("takeover_blank", why(&sandbox, "import run.file --takeover ' '")));
    taken_over_without_its_mark(&sandbox, &second);
    said
}

/// The commands that the refusal names work where it was imported.
fn taken_over_without_its_mark(sandbox: &Sandbox, second: &Sandbox) {
    let import = format!("import {} --takeover moved", sandbox.path("run.file").display());
    second.run(&import).code(6).complains("the mark that").complains("--reclaim");
    second.run("status plan").says("step go waits");
    second.run("resume plan").code(6).complains("the mark that");
    second.run("resume plan --reclaim 'the row is there'").code(4);
    let third = beside(sandbox);
    third.run(&format!("{import} --reclaim ' '")).code(2).complains("has no reason");
    third.run(&format!("{import} --reclaim looked")).complains("moved to");
}

/// Somebody else's state, and the same plan.
fn beside(sandbox: &Sandbox) -> Sandbox {
    let second = Sandbox::new().variable("APP_URL", sandbox.value("APP_URL"));
    second.write("plan.yaml", &sandbox.read("plan.yaml"));
    second
}

async fn servers() -> Said {
    let mut cluster = Cluster::start(options()).unwrap();
    let app = cluster.settings("postgres").unwrap();
    with_table(&app).await;
    let mut sandbox = parked(cluster.url("postgres").expose());
    backup::copy(&mut cluster);
    sandbox.run("approve plan go").code(0);
    sandbox.run("resume").code(0);
    backup::set_back(&mut cluster);
    let mut said = vec![("set_back", why(&sandbox, "undo plan --yes --partly"))];
    sandbox.run("undo plan --yes --partly --reclaim 'only one is there'").code(4);
    // The address leads to another server, which has such a database.
    let other = database("recovery_other").await;
    sandbox.set("APP_URL", shared().url(other.database()).expose());
    said.push(("other_server", why(&sandbox, "resume --reclaim looked")));
    said
}

/// A step that is done, and one that fails until `mended` is there.
fn failing() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.plan(PLAN);
    sandbox.run("plan.yaml -p word=hello -p other=a").code(4);
    sandbox
}

const PLAN: &str = "params:\n  word: { type: string, required: true }\n  other: { type: string, default: a }\nsteps:\n  \
    - { id: one, shell: { run: 'echo one >> log', changes: none }, \
        undo: { shell: { run: 'echo undo {{ params.word }} >> log', changes: none } } }\n  \
    - { id: two, shell: { run: 'test -e mended && echo two {{ params.other }} >> log', changes: none } }\n  \
    - { id: three, shell: { run: 'echo three >> log', changes: none } }\n";

fn heads() -> Said {
    let sandbox = failing();
    let head = sandbox.state().join("runs").join(sandbox.only_run()).join("head");
    std::fs::write(&head, "").unwrap();
    let mut said = vec![
        ("head_unusable", why(&sandbox, "resume")),
        ("without_head_blank", why(&sandbox, "resume --without-head ' '")),
    ];
    std::fs::remove_file(&head).unwrap();
    said.push(("head_gone", why(&sandbox, "resume")));
    said
}

fn amendments() -> Said {
    let sandbox = failing();
    let one = PLAN.lines().find(|line| line.contains("id: one")).unwrap();
    let mut said = vec![("amend_value", why(&sandbox, "resume --amend -p word=goodbye"))];
    sandbox.plan(&PLAN.replace("echo one", "echo other"));
    said.push(("amend_changed", why(&sandbox, "resume --amend")));
    sandbox.plan(&PLAN.replace(&format!("{one}\n"), ""));
    said.push(("amend_removed", why(&sandbox, "resume --amend")));
    assert_eq!(sandbox.read("log"), "one\n");
    said
}

#[tokio::test]
async fn what_keeps_a_run_from_going_on_is_said_as_the_table_says() {
    let said = [databases().await, servers().await, heads(), amendments()].concat();
    prove_rows(&recovery(), &said);
}

/// Changed, added, removed, and with other values, as long as it was not done.
#[test]
fn what_was_not_done_is_amended_and_what_was_done_stays() {
    let sandbox = failing();
    let three = PLAN.lines().find(|line| line.contains("id: three")).unwrap();
    let new = "  - { id: new, shell: { run: 'echo new >> log', changes: none } }";
    sandbox.plan(&PLAN.replace(three, new).replace("echo two", "echo second"));
    sandbox.write("mended", "");
    let amended = sandbox.run("resume --amend -p other=b").code(0).says("The plan is amended");
    for words in ["two", "three", "new"] {
        assert!(amended.stdout.contains(words), "{words}: {}", amended.all());
    }
    assert_eq!(sandbox.read("log"), "one\nsecond b\nnew\n");
    let report = sandbox.run("report plan").code(0);
    for words in ["step new is new", "step three is gone", "parameter other"] {
        assert!(report.stdout.contains(words), "{words}: {}", report.all());
    }
    sandbox.run("undo plan --yes --partly");
    assert!(sandbox.read("log").ends_with("undo hello\n"), "{}", sandbox.read("log"));
}

/// Killed when the word was taken and is not written down yet: it is wanted again. Killed just after: it is kept.
#[test]
fn who_answers_for_a_journal_without_its_head_is_never_forgotten() {
    for (place, wanted_again) in [("before_append", true), ("after_commit", true), ("after_append", false)] {
        for empty in [false, true] {
            let sandbox = failing();
            let run = sandbox.state().join("runs").join(sandbox.only_run());
            let next: u64 = rusqlite::Connection::open(run.join("journal.db"))
                .and_then(|journal| {
                    journal.query_row("SELECT max(seq) + 1 FROM journal", [], |row| row.get(0))
                })
                .unwrap();
            match empty {
                true => std::fs::write(run.join("head"), "").unwrap(),
                false => std::fs::remove_file(run.join("head")).unwrap(),
            }
            let at = format!("{place}:{next}");
            let killed = sandbox
                .start_with("resume --without-head 'compared it'", &[("RUNPLAN_FAILPOINT", &at)])
                .wait();
            assert_eq!(killed.code, None, "{}", killed.all());
            sandbox.write("mended", "");
            if wanted_again {
                sandbox.run("resume").code(6).complains("the head of").complains("--without-head");
                sandbox
                    .run("status plan --verify")
                    .code(1)
                    .says("the head that says which line was the last");
                sandbox.run("resume --without-head 'compared it'").code(0);
            } else {
                sandbox.run("resume").code(0);
            }
            sandbox.run("status plan --verify").code(0);
            sandbox.run("report plan").code(0).says("answers for it: compared it");
            assert_eq!(sandbox.read("log"), "one\ntwo a\nthree\n");
        }
    }
}

/// The command that is shown goes on with the programs that the run was begun with.
#[tokio::test]
async fn a_run_goes_on_with_the_programs_that_it_was_told_of() {
    let settings = database("pg_bin").await;
    let sandbox = Sandbox::new().variable("APP_URL", shared().url(settings.database()).expose());
    sandbox.plan(
        "secrets: { APP_URL: { env: APP_URL } }\n\
         databases: { app: { url: \"{{ secrets.APP_URL }}\" } }\n\
         steps:\n\
         \x20 - { id: go, approve: { message: Go on? } }\n\
         \x20 - { id: saved, backup: { database: app, to: ./backups, format: custom } }\n\
         \x20 - { id: again, approve: { message: And on? } }\n\
         \x20 - { id: kept, backup: { database: app, to: ./kept, format: custom } }\n",
    );
    let server = programs().server_programs(None).unwrap().directory;
    std::fs::create_dir(sandbox.path("bin")).unwrap();
    for name in ["pg_dump", "pg_restore", "psql"] {
        std::os::unix::fs::symlink(server.join(name), sandbox.path("bin").join(name)).unwrap();
    }
    sandbox.run("plan.yaml --pg-bin bin").code(4);
    sandbox.run("approve plan go --comment fine").code(0);
    std::fs::remove_file(sandbox.path("bin/pg_dump")).unwrap();
    sandbox.run("resume").code(4).says("pg_dump for PostgreSQL").says("is not on this machine");
    sandbox.run(&format!("resume --pg-bin {}", server.display())).code(4).says("And on?");
    // What was named last holds.
    sandbox.run("approve plan again --comment fine").code(0);
    sandbox.run("resume").code(0);
    assert_eq!(sandbox.run("logs --format json").stdout.matches("programs_named").count(), 1);
}
