//! Whose a database is: proved before every effect of every kind of step, lost in every way.

use super::backup::sample;
use super::swap::stage as swap_stage;
use crate::support::cluster::{connect, database, options, shared};
use crate::support::stage::{Stage, done, failed, plan};
use runplan::plan::Text;
use runplan::postgres::{Cluster, ClusterOptions, Settings, claim};
use runplan::steps::{Hold, Refused};
use std::sync::Arc;

async fn claimed(stage: &Stage, name: &str) -> Arc<Hold> {
    let world = &stage.world;
    let target = world.targets.find(world, &Text::made(name)).await.unwrap();
    world.targets.claim(world, &target).await.unwrap()
}

/// A step of every kind that changes a database, each certainly without effect when it fails.
const ALL: [&str; 6] = [
    "sql: { database: app, statement: CREATE TABLE made (a int) }",
    "sql: { database: app, statement: CREATE TABLE made (a int), transaction: false, probe: { sql: SELECT 1 WHERE false, expect: empty } }",
    "freeze: { database: app, quiet: 1s }",
    "shell: { argv: [touch, made], changes: app }",
    "http: { method: POST, url: 'http://127.0.0.1:9/', changes: app }",
    "restore: { from: nothing.sql, database: app }",
];

fn every(settings: &Settings) -> Stage {
    let steps: Vec<String> =
        ALL.iter().enumerate().map(|(at, step)| format!("  - {{ id: s{at}, {step} }}\n")).collect();
    let text = format!("databases: {{ app: {{ url: unused }} }}\nsteps:\n{}", steps.concat());
    plan(&text).database("app", settings).file("nothing.sql", "CREATE TABLE t (a int);\n").set()
}

async fn refuse_all(stage: &Stage, settings: &Settings, code: &str, word: &str) {
    for (at, step) in ALL.iter().enumerate() {
        let failure = failed(stage.act(&format!("s{at}")).await);
        assert_eq!(failure.code, code, "{step}: {failure:?}");
        assert!(failure.message.contains(word) && failure.permanent, "{step}: {failure:?}");
    }
    let look = connect(settings).await;
    assert_eq!(look.one("SELECT to_regclass('made') IS NULL").await.unwrap(), "t");
    assert_eq!(look.one("SHOW default_transaction_read_only").await.unwrap(), "off");
    assert!(!stage.path("made").exists());
}

#[tokio::test]
async fn without_the_lock_no_step_of_any_kind_acts() {
    let settings = database("lock_ended").await;
    let stage = every(&settings);
    let hold = claimed(&stage, "app").await;
    let admin = connect(&settings.with_database("postgres")).await;
    admin.one(&format!("SELECT pg_terminate_backend({})", hold.lock.pid())).await.unwrap();
    refuse_all(&stage, &settings, "runplan::postgres::lock_lost", "is lost").await;
}

#[tokio::test]
async fn under_a_raised_epoch_no_step_of_any_kind_acts() {
    let settings = database("epoch_raised").await;
    let stage = every(&settings);
    let hold = claimed(&stage, "app").await;
    let admin = connect(&settings.with_database("postgres")).await;
    let own = claim::read(&admin, settings.database()).await.unwrap().expect("a claim");
    let raised = claim::Claim { epoch: own.epoch + 1, host: "elsewhere".to_owned(), ..own.clone() };
    claim::write(&admin, settings.database(), Some(&own), &raised, "true").await.unwrap();
    refuse_all(&stage, &settings, "runplan::target::taken_over", "was moved to elsewhere").await;
    // Whoever takes it over ends the sessions of the machine that had it.
    admin.one(&format!("SELECT pg_terminate_backend({})", hold.lock.pid())).await.unwrap();
    refuse_all(&stage, &settings, "runplan::target::taken_over", "was moved to elsewhere").await;
    drop(hold);
    // What was there is left to whoever has it now.
    assert_eq!(stage.world.targets.release(&stage.world).await, Vec::<String>::new());
    assert_eq!(claim::read(&admin, settings.database()).await.unwrap(), Some(raised));
}

#[tokio::test]
async fn with_the_claim_removed_no_step_of_any_kind_acts() {
    let settings = database("claim_removed").await;
    let stage = every(&settings);
    claimed(&stage, "app").await;
    let admin = connect(&settings.with_database("postgres")).await;
    admin.execute(&claim::clear_sql(settings.database())).await.unwrap();
    refuse_all(&stage, &settings, "runplan::target::lost", "was removed").await;
}

/// A swap looks for it in the transaction that renames.
#[tokio::test]
async fn a_swap_without_its_claim_renames_nothing() {
    let settings = sample("swap_claim").await;
    let stage = swap_stage(&settings);
    for id in ["saved", "restored", "frozen"] {
        stage.done(id).await;
    }
    let admin = connect(&settings.with_database("postgres")).await;
    let name = settings.database();
    let oid = format!("SELECT oid FROM pg_database WHERE datname = '{name}'");
    let before = admin.one(&oid).await.unwrap();
    let own = claim::read(&admin, name).await.unwrap().expect("a claim");
    let raised = claim::Claim { epoch: own.epoch + 1, ..own.clone() };
    claim::write(&admin, name, Some(&own), &raised, "true").await.unwrap();
    assert_eq!(failed(stage.act("switched").await).code, "runplan::target::taken_over");
    assert_eq!(admin.one(&oid).await.unwrap(), before);
    claim::write(&admin, name, Some(&raised), &own, "true").await.unwrap();
    done(stage.act("switched").await);
    assert_ne!(admin.one(&oid).await.unwrap(), before);
    assert_eq!(claim::read(&admin, name).await.unwrap(), Some(own), "the claim goes with the name");
}

/// Wherever their plans stand while they work, two runs meet at one lock.
#[tokio::test]
async fn two_maintenance_databases_are_no_way_round_the_lock() {
    let (settings, other) = (database("places").await, database("places_other").await);
    let text = |maintenance: &str| {
        format!(
            "databases: {{ app: {{ url: unused, maintenance: {maintenance} }} }}\nsteps:\n  \
             - {{ id: s, sql: {{ database: app, statement: CREATE TABLE made (a int) }} }}\n"
        )
    };
    let first = plan(&text("template1")).database("app", &settings).set();
    let second =
        plan(&text(other.database())).database("app", &settings).run("test-20261122-0312-m2p8").set();
    done(first.act("s").await);
    let Err(Refused::Held(holder)) = second.world.targets.hold(&second.world, "app").await else {
        panic!("both have it");
    };
    assert!(
        holder.message.contains("of alice (uid 1000) on laptop") && holder.message.contains("its state in "),
        "{holder:?}"
    );
    assert_eq!(holder.run.as_deref(), Some("test-20261122-0311-k7f3"));
    first.end().await;
    connect(&settings).await.execute("DROP TABLE made").await.unwrap();
    done(second.act("s").await);
}

#[tokio::test]
async fn two_names_for_one_database_are_held_once() {
    let settings = database("two_names").await;
    let stage = plan(
        "databases: { app: { url: unused }, same: { url: unused } }\nsteps:\n  \
         - { id: one, sql: { database: app, statement: CREATE TABLE one (a int) } }\n  \
         - { id: two, sql: { database: same, statement: CREATE TABLE two (a int) } }\n",
    )
    .database("app", &settings)
    .database("same", &settings)
    .set();
    stage.done("one").await;
    stage.done("two").await;
    assert_eq!(stage.world.targets.held().await.len(), 1, "and asked once");
    stage.end().await;
    let admin = connect(&shared().settings("postgres").unwrap()).await;
    assert_eq!(claim::read(&admin, settings.database()).await.unwrap(), None);
}

/// Whether the claim stands is asked in the session that holds the lock; where none does, nothing is taken.
#[tokio::test]
async fn a_target_is_taken_with_no_more_sessions_than_its_lock_needs() {
    let settings = vec![("log_connections".to_owned(), "on".to_owned())];
    let cluster = Cluster::start(ClusterOptions { settings, ..options() }).unwrap();
    let admin = connect(&cluster.settings("postgres").unwrap()).await;
    admin.execute("CREATE DATABASE app").await.unwrap();
    let app = cluster.settings("app").unwrap();
    let mut stage = every(&app);
    let sessions = || {
        let log = std::fs::read_to_string(cluster.directory().join("server.log")).unwrap();
        log.lines().filter(|line| line.contains("connection authorized")).count()
    };
    let before = sessions();
    let refused = stage.world.targets.hold_claimed(&stage.world, "app").await;
    assert!(matches!(refused, Err(Refused::Unclaimed(_))));
    assert!(stage.world.targets.held().await.is_empty());
    assert_eq!(sessions() - before, 2, "to find the place, and to hold the lock there");
    claimed(&stage, "app").await;
    stage.restart().await;
    let before = sessions();
    assert!(stage.world.targets.hold_claimed(&stage.world, "app").await.is_ok());
    assert_eq!(sessions() - before, 2);
}

/// The claim says where its run is found: whose account, on which host, in which state directory.
#[tokio::test]
async fn a_claim_says_whose_it_is_and_where_its_state_is() {
    let settings = database("claim_says").await;
    let stage = every(&settings);
    claimed(&stage, "app").await;
    let admin = connect(&settings.with_database("postgres")).await;
    let claim = claim::read(&admin, settings.database()).await.unwrap().expect("a claim");
    assert_eq!(claim.by(), "alice (uid 1000) on laptop");
    let state = stage.path("state").display().to_string();
    assert_eq!(claim.state.as_deref(), Some(state.as_str()));
    let second = plan("databases: { app: { url: unused } }\nsteps:\n  - { id: s, sql: { database: app, statement: SELECT 1 } }\n")
        .database("app", &settings)
        .run("test-20261122-0312-m2p8")
        .set();
    let pid = stage.world.targets.held().await[0].lock.pid();
    drop(stage);
    while admin.one(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}")).await.unwrap() != "0"
    {
        tokio::task::yield_now().await;
    }
    let Err(Refused::Held(holder)) = second.world.targets.hold(&second.world, "app").await else {
        panic!("both have it");
    };
    assert!(
        holder.message.contains("which alice (uid 1000) on laptop began to change it with"),
        "{holder:?}"
    );
    assert!(holder.message.ends_with(&format!("its state in {state}")), "{holder:?}");
    assert!(
        holder.help.contains(&format!("runplan resume test-20261122-0311-k7f3 --state {state}")),
        "{holder:?}"
    );
}
