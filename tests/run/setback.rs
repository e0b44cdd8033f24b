//! A server that is set back under its run: put there anew from a copy that was made between two steps, or promoted.

use crate::support::backup;
use crate::support::cluster::{connect, options};
use crate::support::sandbox::{Ran, Sandbox, Started};
use crate::support::standby::Standby;
use runplan::clock;
use runplan::postgres::{Cluster, ClusterOptions, Connection};
use rustix::process::Signal;
use std::time::Duration;

async fn server() -> Cluster {
    let settings = [("wal_level", "replica"), ("max_wal_senders", "4")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::start(ClusterOptions { settings, ..options() }).unwrap();
    connect(&cluster.settings("postgres").unwrap()).await.execute("CREATE DATABASE app").await.unwrap();
    connect(&cluster.settings("app").unwrap()).await.execute("CREATE TABLE t (a int)").await.unwrap();
    cluster
}

async fn rows(cluster: &Cluster) -> String {
    let look = connect(&cluster.settings("app").unwrap()).await;
    look.one("SELECT string_agg(a::text, ' ' ORDER BY a) FROM t").await.unwrap()
}

fn sql(id: &str, a: u32) -> String {
    format!(
        "  - id: {id}\n    sql: {{ database: app, statement: INSERT INTO t VALUES ({a}) }}\n    \
         undo: {{ sql: {{ database: app, statement: DELETE FROM t WHERE a = {a} }} }}\n"
    )
}

fn approve(id: &str) -> String {
    format!("  - {{ id: {id}, approve: {{ message: Go on? }} }}\n")
}

/// A program that goes on when the test says so.
fn program(id: &str, more: &str) -> String {
    format!(
        "  - {{ id: {id}, shell: {{ run: 'touch {id}; until [ -e {id}.go ]; do sleep 0.02; done', {more} }}, unguarded: test }}\n"
    )
}

fn plan(cluster: &Cluster, steps: &[String]) -> Sandbox {
    let sandbox = Sandbox::new().variable("APP_URL", cluster.url("app").expose());
    sandbox.plan(&format!(
        "secrets: {{ APP_URL: {{ env: APP_URL }} }}\ndatabases: {{ app: {{ url: \"{{{{ secrets.APP_URL }}}}\" }} }}\nsteps:\n{}",
        steps.concat()
    ));
    sandbox
}

fn kill(started: Started) -> Ran {
    started.signal(Signal::KILL);
    started.wait()
}

/// One is done, the copy is made, two is done, and the run is killed in what follows.
async fn killed_after_a_copy() -> (Cluster, Sandbox) {
    let mut cluster = server().await;
    let steps = [
        sql("one", 1),
        approve("go"),
        sql("two", 2),
        program("slow", "changes: none, repeatable: true"),
        sql("three", 3),
    ];
    let sandbox = plan(&cluster, &steps);
    sandbox.run("plan.yaml").code(4);
    backup::copy(&mut cluster);
    sandbox.run("approve plan go").code(0);
    let started = sandbox.start("resume");
    sandbox.until("it is in the middle", |sandbox| sandbox.exists("slow"));
    kill(started);
    assert_eq!(rows(&cluster).await, "1 2");
    (cluster, sandbox)
}

#[tokio::test]
async fn a_server_that_was_put_there_from_a_copy_is_not_gone_on_with() {
    let (mut cluster, sandbox) = killed_after_a_copy().await;
    backup::set_back(&mut cluster);
    assert_eq!(rows(&cluster).await, "1", "what the journal calls done is not there");
    sandbox.write("slow.go", "");
    for line in ["resume", "undo plan --yes", "resume --wait"] {
        let refused =
            sandbox.run(line).code(6).complains("the server of `app` was set back to before what plan-");
        refused.complains("ends at").complains("nothing was done").complains("--reclaim REASON");
    }
    assert_eq!(rows(&cluster).await, "1");
    connect(&cluster.settings("app").unwrap()).await.execute("INSERT INTO t VALUES (2)").await.unwrap();
    sandbox.run("resume --reclaim ' '").code(2).complains("`--reclaim` has no reason");
    // And killed again: what somebody answered for once is not asked again.
    sandbox
        .start_with(
            "resume --reclaim 'two is written again by hand'",
            &[("RUNPLAN_FAILPOINT", "after_append:20")],
        )
        .wait();
    sandbox.run("resume").code(0);
    assert_eq!(rows(&cluster).await, "1 2 3");
    sandbox.run("report plan").code(0).says("two is written again by hand");
    sandbox.run("status plan --verify").code(0);
}

/// Hours later the server has written more than was lost; and an undo of a run that is over asks, too.
#[tokio::test]
async fn a_server_that_went_on_since_is_known_by_its_transactions() {
    let (mut cluster, sandbox) = killed_after_a_copy().await;
    sandbox.write("slow.go", "");
    sandbox.run("resume").code(0);
    backup::set_back(&mut cluster);
    let look = connect(&cluster.settings("app").unwrap()).await;
    look.execute("CREATE TABLE other (a text)").await.unwrap();
    for _ in 0..60 {
        look.execute("INSERT INTO other SELECT repeat('x', 500) FROM generate_series(1, 200)").await.unwrap();
    }
    let refused = sandbox.run("undo plan --yes").code(6).complains("was set back");
    refused.complains("calls transaction");
    sandbox.run("undo plan --yes --reclaim 'two and three are not there'").code(1);
    assert_eq!(sandbox.step("one"), "undone");
}

#[tokio::test]
async fn on_a_promoted_standby_the_run_goes_on() {
    let mut cluster = server().await;
    let standby = Standby::start(&cluster);
    let mut sandbox = plan(&cluster, &[sql("one", 1), approve("go"), sql("two", 2)]);
    sandbox.run("plan.yaml").code(4);
    let lsn = connect(&cluster.settings("app").unwrap())
        .await
        .one("SELECT pg_current_wal_flush_lsn()")
        .await
        .unwrap();
    let there = standby.settings("app");
    let copy = loop {
        if let Ok(copy) = Connection::connect(&there, "test").await
            && copy.one(&format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'")).await.unwrap() == "t"
        {
            break copy;
        }
        clock::sleep(Duration::from_millis(20)).await;
    };
    cluster.stop_server(runplan::postgres::Stop::Immediate).unwrap();
    copy.execute("SELECT pg_promote()").await.unwrap();
    sandbox.set("APP_URL", &standby.url("app"));
    sandbox.run("approve plan go").code(0);
    sandbox.run("resume").code(0);
    assert_eq!(connect(&there).await.one("SELECT count(*) FROM t").await.unwrap(), "2");
}

/// A step that replaces the server by an older one means to: what was known of the old one holds no more.
#[tokio::test]
async fn behind_a_step_that_replaces_the_server_its_place_in_time_is_taken_anew() {
    let mut cluster = server().await;
    let steps = [
        sql("one", 1),
        approve("go"),
        sql("two", 2),
        program("replaced", "replaces: app"),
        sql("three", 3),
        approve("last"),
        sql("four", 4),
    ];
    let sandbox = plan(&cluster, &steps);
    sandbox.run("plan.yaml").code(4);
    backup::copy(&mut cluster);
    sandbox.run("approve plan go").code(0);
    let started = sandbox.start("resume");
    sandbox.until("it is being replaced", |sandbox| sandbox.exists("replaced"));
    backup::set_back(&mut cluster);
    sandbox.write("replaced.go", "");
    started.wait().code(4);
    assert_eq!(rows(&cluster).await, "1 3");
    sandbox.run("approve plan last").code(0);
    backup::set_back(&mut cluster);
    sandbox.run("resume").code(6).complains("was set back");
}

/// Until the new server answers, it is told what is waited for, and what the old one says.
#[tokio::test]
async fn the_wait_for_a_new_server_says_what_for() {
    let mut cluster = server().await;
    let sandbox = plan(&cluster, &[sql("one", 1), program("replaced", "replaces: app"), sql("two", 2)]);
    backup::copy(&mut cluster);
    let started = sandbox.start("run plan.yaml");
    sandbox.until("it is being replaced", |sandbox| sandbox.exists("replaced"));
    sandbox.write("replaced.go", "");
    sandbox.until("it says what it waits for", |sandbox| {
        let file = format!("runplan/runs/{}/progress.json", sandbox.only_run());
        sandbox.exists(&file)
            && sandbox
                .read(&file)
                .contains("waiting for the new server behind app (last: the server behind app is still")
    });
    backup::set_back(&mut cluster);
    started.wait().code(0);
    assert_eq!(rows(&cluster).await, "2");
}
