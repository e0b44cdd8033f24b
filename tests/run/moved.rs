//! A run that is carried to another machine: the old one refuses and says where it went, the new one goes on, a second one
//! does not.

use crate::support::cluster::{connect, database, shared};
use crate::support::sandbox::Sandbox;
use runplan::postgres::{Settings, claim};

/// A run parked at an approval, with an effect behind it.
async fn parked(stem: &str) -> (Sandbox, Settings) {
    let settings = database(stem).await;
    connect(&settings).await.execute("CREATE TABLE t (a int)").await.unwrap();
    let url = shared().url(settings.database());
    let sandbox = Sandbox::new().variable("APP_URL", url.expose());
    sandbox.plan(
        "secrets: { APP_URL: { env: APP_URL } }\n\
         databases: { app: { url: \"{{ secrets.APP_URL }}\" } }\n\
         steps:\n\
         \x20 - { id: one, sql: { database: app, statement: INSERT INTO t VALUES (1) }, irreversible: it stays }\n\
         \x20 - { id: told, shell: { argv: [echo, hello], changes: none } }\n\
         \x20 - { id: go, approve: { message: Go on? } }\n\
         \x20 - { id: two, sql: { database: app, statement: INSERT INTO t VALUES (2) }, irreversible: it stays }\n",
    );
    sandbox.run("plan.yaml").code(4);
    (sandbox, settings)
}

async fn count(settings: &Settings) -> String {
    connect(settings).await.one("SELECT count(*) FROM t").await.unwrap()
}

#[tokio::test]
async fn a_run_goes_on_where_it_was_imported_and_nowhere_else() {
    let (sandbox, settings) = parked("moved").await;
    // What a machine that is lost had on its disk before.
    copy(&sandbox.state(), &sandbox.path("lost"));
    sandbox.run("export plan --out moved.run").code(0).says("here nothing more is done").says("--takeover");
    for line in ["resume", "undo plan --yes", "approve plan go", "stop plan --for-good"] {
        sandbox.run(line).code(5).complains("was moved:").complains("moved.run").complains(" UTC, to go on");
    }
    sandbox.run("status").says("to go on elsewhere");
    sandbox.run("--state new import moved.run").code(2).complains("--takeover");
    let ran = sandbox.run("--state new import moved.run --takeover bastion-is-down").code(0);
    ran.says("is taken over").says("/new resume plan-");
    let server = connect(&settings.with_database("postgres")).await;
    let standing = claim::read(&server, settings.database()).await.unwrap().expect("a claim");
    assert_eq!(standing.epoch, 2);

    // The lost machine comes back and knows nothing of it.
    sandbox
        .run("--state lost resume")
        .code(5)
        .complains("was moved to")
        .complains("epoch 2")
        .complains("runplan resume plan-");
    sandbox.run("--state lost undo plan --yes --partly").code(5).complains("was moved to");
    // A second machine takes the file in, and a third time the first.
    sandbox.run("--state other import moved.run --takeover me-too").code(5).complains("was moved to");
    assert_eq!(sandbox.run("--state other runs --format json").code(0).json()["runs"], serde_json::json!([]));
    sandbox.run("--state new import moved.run --takeover again").code(6).complains("exists already");

    sandbox.run("--state new approve plan go").code(0);
    sandbox.run("--state new resume").code(0).says("Done after");
    assert_eq!(count(&settings).await, "2", "each once");
    sandbox.run("--state new logs plan told").code(0).says("hello");
    sandbox.run("--state new report").says("bastion-is-down");
    sandbox.run("--state new status --verify").code(0);
    assert_eq!(claim::read(&server, settings.database()).await.unwrap(), None);
}

#[tokio::test]
async fn a_run_is_taken_back_where_it_was() {
    let (sandbox, settings) = parked("moved_back").await;
    sandbox.run("export plan --out away.run").code(0);
    sandbox.run("export plan --out away.run").code(2).complains("is there already");
    sandbox.run("import away.run --takeover it-was-not-needed").code(0);
    sandbox.run("approve plan go").code(0);
    sandbox.run("resume").code(0);
    assert_eq!(count(&settings).await, "2");
    sandbox.run("export plan --out over.run").code(2).complains("is over");
}

/// The machine is lost in the middle of a step, and only its disk is left.
#[test]
fn a_run_that_was_interrupted_is_carried_with_what_is_not_settled() {
    let sandbox = Sandbox::new();
    sandbox.plan(
        "steps:\n\
         \x20 - { id: one, shell: { run: echo one >> log, changes: none } }\n\
         \x20 - { id: two, shell: { run: echo two >> log, changes: none } }\n",
    );
    sandbox.start_with("run plan.yaml", &[("RUNPLAN_FAILPOINT", "after_append:2")]).wait();
    sandbox.run("export plan --out lost.run").code(2).complains("step one was interrupted");
    sandbox.run("export plan --unsettled --out lost.run").code(0).says("here nothing more is done");
    sandbox.run("resume").code(5).complains("was moved:");
    sandbox.run("--state new import lost.run --takeover it-burned-down").code(0);
    sandbox.run("--state new resume").code(0);
    assert_eq!(sandbox.read("log"), "one\ntwo\n");
    sandbox.run("--state new status --verify").code(0);
}

#[tokio::test]
async fn a_damaged_file_is_not_taken_in() {
    let (sandbox, _settings) = parked("moved_damaged").await;
    sandbox.run("export plan --out whole.run").code(0);
    let whole = std::fs::read(sandbox.path("whole.run")).unwrap();
    let body = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut places: Vec<usize> = (body..whole.len()).step_by(whole.len() / 12 + 1).collect();
    places.push(whole.len() - 1);
    for at in places {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        std::fs::write(sandbox.path("bad.run"), flipped).unwrap();
        sandbox.run("--state new import bad.run --takeover x").code(6).complains("exported whole");
    }
    for cut in [0, body / 2, body, whole.len() - 1] {
        std::fs::write(sandbox.path("bad.run"), &whole[..cut]).unwrap();
        sandbox.run("--state new import bad.run --takeover x").code(6).complains("exported whole");
    }
    let longer = [whole.as_slice(), b"x"].concat();
    std::fs::write(sandbox.path("bad.run"), longer).unwrap();
    sandbox.run("--state new import bad.run --takeover x").code(6).complains("more in it");
    assert_eq!(sandbox.run("--state new runs --format json").code(0).json()["runs"], serde_json::json!([]));
    sandbox.run("--state new import whole.run --takeover x").code(0);
}

/// Who is second is told what was done, by whom, since when, and how to go on.
#[tokio::test]
async fn a_second_run_on_a_claimed_target_is_told_everything() {
    let (sandbox, settings) = parked("claimed_twice").await;
    let first = sandbox.only_run();
    let refused = sandbox.run("plan.yaml").code(5);
    let refused = refused
        .complains(&format!("is in the middle of run {first}"))
        .complains("began to change it with at 20");
    let refused = refused.complains("one, told").complains(&format!("runplan resume {first}"));
    refused.complains("its next command is `runplan approve");
    sandbox.run("stop plan --for-good").code(0);
    assert_eq!(count(&settings).await, "1");
    // Nothing had to be unlocked by hand.
    sandbox.run("plan.yaml").code(4);
    assert_eq!(count(&settings).await, "2");
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        let to = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn what_was_finished_elsewhere_is_not_done_once_more() {
    let (sandbox, settings) = parked("moved_over").await;
    copy(&sandbox.state(), &sandbox.path("lost"));
    copy(&sandbox.state(), &sandbox.path("late"));
    sandbox.run("export plan --out moved.run").code(0);
    sandbox.run("--state new import moved.run --takeover it-burned-down").code(0);
    sandbox.run("--state new approve plan go").code(0);
    sandbox.run("--state new resume").code(0);
    assert_eq!(count(&settings).await, "2");
    // The old machine's disk, and the file once more: nothing on the server speaks of the run any longer.
    sandbox.run("--state lost approve plan go").code(0);
    let refused = sandbox.run("--state lost resume").code(6);
    refused.complains("the mark that plan-").complains("ended from elsewhere").complains("--reclaim REASON");
    sandbox.run("--state lost undo plan --yes --partly").code(6).complains("ended from elsewhere");
    sandbox.run("--state third import moved.run --takeover again").code(6).complains("ended from elsewhere");
    assert_eq!(count(&settings).await, "2");
    sandbox.run("--state lost stop plan --for-good").code(0);
}

#[tokio::test]
async fn a_run_does_not_go_on_in_a_database_that_was_made_anew() {
    let (sandbox, settings) = parked("made_anew").await;
    let admin = connect(&settings.with_database("postgres")).await;
    let name = settings.database();
    for sql in [format!("DROP DATABASE {name} WITH (FORCE)"), format!("CREATE DATABASE {name}")] {
        admin.execute(&sql).await.unwrap();
    }
    connect(&settings).await.execute("CREATE TABLE t (a int)").await.unwrap();
    sandbox.run("approve plan go").code(0);
    sandbox.run("resume").code(6).complains("is gone").complains("another database");
    assert_eq!(count(&settings).await, "0");
    sandbox.run("resume --reclaim ' '").code(2).complains("no reason");
    sandbox.run("resume --reclaim 'restored by hand, one is there'").code(0);
    assert_eq!(count(&settings).await, "1");
    sandbox.run("report plan").code(0).says("restored by hand, one is there");
}

#[tokio::test]
async fn without_its_lock_a_run_does_nothing_outside_its_databases_either() {
    let settings = database("lock_outside").await;
    connect(&settings).await.execute("CREATE TABLE t (a int)").await.unwrap();
    let sandbox = Sandbox::new().variable("APP_URL", shared().url(settings.database()).expose());
    sandbox.plan(
        "secrets: { APP_URL: { env: APP_URL } }\n\
         databases: { app: { url: \"{{ secrets.APP_URL }}\" } }\n\
         steps:\n\
         \x20 - { id: one, sql: { database: app, statement: INSERT INTO t VALUES (1) }, irreversible: it stays }\n\
         \x20 - { id: slow, shell: { run: 'touch begun; until test -e flag; do sleep 0.05; done', changes: none } }\n\
         \x20 - { id: after, shell: { run: echo after >> log, changes: none } }\n",
    );
    let started = sandbox.start("plan.yaml");
    sandbox.until("it is in the middle", |sandbox| sandbox.exists("begun"));
    let admin = connect(&settings.with_database("postgres")).await;
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'runplan:%:lock' AND application_name LIKE '%{}%'",
        sandbox.only_run()
    );
    assert_eq!(admin.one(&end).await.unwrap(), "t");
    sandbox.write("flag", "");
    started.wait().code(4).says("is lost");
    assert!(!sandbox.exists("log"));
    sandbox.run("resume").code(0);
    assert_eq!(sandbox.read("log"), "after\n");
}

#[tokio::test]
async fn a_mark_whose_journal_is_lost_can_be_removed_by_hand_as_is_said() {
    let (sandbox, settings) = parked("mark_lost").await;
    std::fs::remove_dir_all(sandbox.state()).unwrap();
    let refused = sandbox.run("plan.yaml").code(5);
    let words = refused.all().split_whitespace().collect::<Vec<_>>().join(" ");
    let reset = claim::clear_sql(settings.database());
    assert!(words.contains("find out by hand what it did") && words.contains(&reset), "{words}");
    connect(&settings.with_database("postgres")).await.execute(&reset).await.unwrap();
    sandbox.run("plan.yaml").code(4);
}
