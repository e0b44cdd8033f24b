//! Rehearsals that begin with a backup or a clone, what is remembered of them, and what a killed one leaves.
#![allow(clippy::disallowed_methods, reason = "pg_dump is run as a user would run it")]

use crate::support::cluster::{connect, database, programs, shared, unique};
use crate::support::sandbox::Sandbox;
use runplan::postgres::Settings;
use rustix::process::Signal;

const PLAN: &str = r#"
secrets: { URL: { file: url } }
databases: { app: { url: "{{ secrets.URL }}" } }
params: { wanted: { type: integer, default: 3 } }
steps:
  - { id: there, verify: { database: app, checks: [ { name: users, sql: SELECT count(*) FROM users, expect: "{{ params.wanted }}" } ] } }
  - id: changed
    sql: { database: app, statement: "UPDATE users SET name = 'x' WHERE id = 1" }
    irreversible: a test
  - { id: told, shell: { argv: ["false"], changes: none, repeatable: true } }
"#;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A database whose tables belong to a role that no other server has, and whose policy names another.
fn owned(stem: &str) -> Settings {
    runtime().block_on(async {
        let settings = database(stem).await;
        let role = unique("rehearsal_owner");
        connect(&settings)
            .await
            .execute(&format!(
                "CREATE ROLE {role}; CREATE ROLE {role}_reader; CREATE TABLE users (id int PRIMARY KEY, name text);
                 INSERT INTO users SELECT n, 'u' || n FROM generate_series(1, 3) n;
                 CREATE POLICY reads ON users TO {role}_reader USING (true);
                 ALTER TABLE users OWNER TO {role}; GRANT SELECT ON users TO {role} WITH GRANT OPTION"
            ))
            .await
            .unwrap();
        settings
    })
}

fn dump(settings: &Settings, arguments: &[&str]) {
    let program = programs().find("pg_dump", 0).unwrap();
    let variables =
        settings.client_environment().into_iter().map(|(name, value)| (name, value.expose().to_owned()));
    let output = std::process::Command::new(program.path).args(arguments).envs(variables).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn names(settings: &Settings) -> String {
    let sql = "SELECT string_agg(name, ' ' ORDER BY id) FROM users";
    runtime().block_on(async { connect(settings).await.one(sql).await.unwrap() })
}

#[test]
fn it_begins_with_a_backup_and_is_remembered() {
    let settings = owned("rehearse_from");
    let sandbox = Sandbox::new();
    sandbox.plan(PLAN);
    // The real database is neither needed nor reached.
    sandbox.write("url", "postgresql://127.0.0.1:1/app");
    sandbox
        .run("rehearse plan.yaml")
        .code(3)
        .complains("does not say how it is rehearsed")
        .complains("--from FILE");
    sandbox.run("rehearse plan.yaml --from nothing.sql").code(2).complains("is not there");
    sandbox.run("plan.yaml --dry-run --estimates").code(0).says("never rehearsed");
    let stable = sandbox.run("plan.yaml --dry-run").code(0).stdout;
    for (name, format) in [("a.sql", "-Fp"), ("a.custom", "-Fc"), ("a.dir", "-Fd")] {
        let file = sandbox.path(name);
        dump(&settings, &[format, &format!("--file={}", file.display())]);
        sandbox
            .run(&format!("rehearse plan.yaml --from {name} --plain"))
            .code(0)
            .says("app begins with")
            .says("no stand-in for this step");
    }
    sandbox.run("rehearse plan.yaml --from app=a.custom -p wanted=4").code(1).says("wanted: 4");
    sandbox
        .run("plan.yaml --dry-run --estimates")
        .code(0)
        .says("rehearsed ")
        .says(" ago on a.dir of ")
        .says("estimate");
    assert!(!sandbox.run("plan.yaml --dry-run --estimates").stdout.contains("other values"));
    sandbox.run("plan.yaml --dry-run --estimates -p wanted=2").says("3 rehearsals with other values");
    assert_eq!(sandbox.run("plan.yaml --dry-run").code(0).stdout, stable, "the review itself is stable");

    sandbox.write("url", shared().url(settings.database()).expose());
    sandbox.run("preflight plan.yaml").code(0).says(" ago on a.dir of ").says("returns about");
    sandbox.run("preflight plan.yaml -p wanted=2").code(0).says(", with another wanted: ");
    assert_eq!(names(&settings), "u1 u2 u3");
}

#[test]
fn a_clone_is_read_and_nothing_else() {
    let settings = owned("rehearse_clone");
    let space = unique("rehearsal_space");
    runtime().block_on(async {
        let app = connect(&settings).await;
        app.execute("SET allow_in_place_tablespaces = on").await.unwrap();
        app.execute(&format!("CREATE TABLESPACE {space} LOCATION ''")).await.unwrap();
        app.execute(&format!("CREATE TABLE apart (a int) TABLESPACE {space}")).await.unwrap();
    });
    let sandbox = Sandbox::new();
    sandbox.plan(PLAN);
    sandbox.write("url", shared().url(settings.database()).expose());
    // Without rows nobody knows how long it takes.
    sandbox.run("rehearse plan.yaml --clone schema -p wanted=0 --plain").code(0);
    sandbox
        .run("preflight plan.yaml")
        .says("never rehearsed with rows, only rehearsed")
        .says("on a clone without rows");
    assert!(!sandbox.run("plan.yaml --dry-run --estimates").stdout.contains("estimate"));
    sandbox.run("rehearse plan.yaml --clone data --plain").code(0).says("definitions and rows");
    let events = sandbox.run("rehearse plan.yaml --clone schema -p wanted=0 --format json").code(0).lines();
    let started = events.iter().filter(|event| event["kind"] == "run_started").count();
    assert_eq!((started, &events.last().unwrap()["kind"]), (1, &"summary".into()), "{events:?}");
    assert_eq!(names(&settings), "u1 u2 u3");
    // In the plan itself.
    sandbox.plan(&format!("{PLAN}rehearsal: {{ load: {{ app: {{ clone: data }} }} }}\n"));
    sandbox.run("rehearse plan.yaml --plain").code(0).says("definitions and rows");
    sandbox.plan(&format!("{PLAN}rehearsal: {{ load: {{ app: {{ seed: seed.sql }} }} }}\n"));
    sandbox
        .write("seed.sql", "CREATE TABLE users (id int, name text); INSERT INTO users VALUES (1), (2), (3)");
    sandbox.run("rehearse plan.yaml --plain").code(0);
}

#[test]
fn the_next_rehearsal_cleans_up_after_a_killed_one() {
    let sandbox = Sandbox::new();
    sandbox.plan(
        "databases: { app: { url: postgresql://unused } }\nsteps:\n  \
         - { id: saved, backup: { database: app, to: \"{{ params.to }}\" } }\n  \
         - { id: slow, sql: { database: app, read_only: true, statement: SELECT pg_sleep(600) } }\n\
         params: { to: { type: path, default: backups } }\n\
         rehearsal: { params: { to: \"{{ rehearsal.dir }}/backups\" } }\n",
    );
    let killed = sandbox.start("rehearse plan.yaml --plain");
    let is_slow = |sandbox: &Sandbox| {
        let Ok(mut runs) = std::fs::read_dir(sandbox.state().join("runs")) else { return false };
        runs.next().is_some_and(|run| {
            let ran = sandbox.run(&format!("logs {}", run.unwrap().file_name().display()));
            ran.stdout.contains("slow") && ran.stdout.contains("saved")
        })
    };
    sandbox.until("the slow step", is_slow);
    let run = sandbox.only_run();
    let place = sandbox.state().join("runs").join(&run).join("rehearsal");
    assert!(place.is_dir());
    killed.signal(Signal::KILL);
    let _ = killed.wait();
    // Whoever looks at it is told what it is and what removes what it left.
    let status = sandbox.run(&format!("status {run}")).code(0).says("a rehearsal").says("was killed");
    let status = status.says("the next `runplan rehearse`");
    assert!(!status.stdout.contains("runplan resume"), "{}", status.stdout);
    assert!(!status.stdout.contains("backups are gone"), "{}", status.stdout);
    let runs = sandbox.run("runs").code(0).says("rehearsal: killed");
    assert!(!runs.stdout.contains("runplan resume"), "{}", runs.stdout);
    sandbox.run(&format!("resume {run}")).complains("rehears");
    sandbox
        .plan("steps:\n  - { id: hello, notify: { channels: [console], message: hello } }\nrehearsal: {}\n");
    sandbox
        .run("rehearse plan.yaml --plain")
        .code(0)
        .complains(&format!("rehearsal {run} was killed: its backups are removed, it is over"));
    assert!(!place.exists());
    sandbox.run(&format!("status {run} --format json")).says("\"finished\"");
    let again = sandbox.run("rehearse plan.yaml --plain").code(0);
    assert!(!again.stderr.contains("was killed"), "{}", again.stderr);
}

#[test]
fn lists_that_only_the_values_give_are_rehearsed_copy_by_copy() {
    let sandbox = Sandbox::new();
    let settings = owned("rehearse_lists");
    sandbox.write("url", shared().url(settings.database()).expose()).plan(
        "secrets: { URL: { file: url } }\ndatabases: { app: { url: \"{{ secrets.URL }}\" } }\n\
         params: { tables: { type: list, required: true } }\nsteps:\n  \
         - { id: call, for_each: \"{{ params.tables }}\", shell: { argv: [\"false\"], changes: none, repeatable: true } }\n  \
         - id: there\n    for_each: \"{{ params.tables }}\"\n    \
         verify: { database: app, checks: [ { name: n, sql: \"SELECT {{ each.value }}\", expect: \"{{ each.value }}\" } ] }\n\
         rehearsal:\n  params: { tables: [one, two] }\n  secrets: { URL: none }\n  stand_ins:\n    \
         - { step: call, with: { shell: { argv: [touch, \"{{ rehearsal.dir }}/../{{ each.value }}\"], changes: none, repeatable: true } } }\n",
    );
    let ran = sandbox.run("rehearse plan.yaml").code(0);
    ran.says("call[one]").says("call[two]").says("there[one]").says("there[two]");
    // Preflight asks for each of them too.
    let found = sandbox.run("preflight plan.yaml -p tables=a,b --format json").json();
    let about = found["facts"].to_string();
    assert!(about.contains("there[b]") && !about.contains("there[…]"), "{found:#}");
}
