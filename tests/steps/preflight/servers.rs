//! Which server it is, who has it, what would stop a swap.

use super::{APP, ask, codes, has_fact, of, one, shown};
use crate::support::cluster::{connect, database, options, shared};
use crate::support::stage::{Setting, plan};
use runplan::postgres::claim::{self, Claim};
use runplan::postgres::{Acquired, Cluster, ClusterOptions, Settings, Stop, TargetLock, identity};
use runplan::steps::{PreflightOptions, preflight};

const CHANGE: &str =
    "steps:\n  - { id: changed, sql: { database: app, statement: CREATE TABLE t (a int) } }\n";
const SWAP: &str = r#"
steps:
  - { id: side, restore: { from: backup.sql, database: app } }
  - { id: switched, swap: { database: app, with: "{{ steps.side.database }}" } }
"#;

fn swap(database: &str, settings: &Settings) -> Setting {
    plan(&format!("{database}{SWAP}")).database("app", settings).file("backup.sql", "SELECT 1;")
}

#[tokio::test]
async fn a_pinned_server_is_compared_and_retargeting_is_said() {
    let settings = database("preflight_pinned").await;
    let known = identity::read(&connect(&settings).await).await.unwrap();
    let pinned = |identifier: &str, name: &str| {
        let expect = format!(
            "expect: {{ environment: production, host: 127.0.0.1, database: {name}, system_identifier: \"{identifier}\" }}"
        );
        let text = format!("databases:\n  app:\n    url: postgresql://unused\n    {expect}\n{CHANGE}");
        plan(&text).database("app", &settings).set()
    };
    let right = ask(&pinned(&known.system_identifier, settings.database())).await;
    assert_eq!(codes(&right), Vec::<&str>::new(), "{}", shown(&right));
    has_fact(&right, "app", &format!("database {} (oid {})", settings.database(), known.database_oid));

    let wrong = pinned("7301234567890123456", "other");
    let all = ask(&wrong).await;
    let messages: Vec<&str> = of(&all, "wrong_target").iter().map(|one| one.message.as_str()).collect();
    assert_eq!(messages.len(), 2, "{}", shown(&all));
    assert!(messages[1].contains("(production)") && messages[1].contains("expects 7301234567890123456"));
    let accepted =
        PreflightOptions { accept: vec!["wrong_target".to_owned()], ..PreflightOptions::default() };
    assert!(!preflight(&wrong.world, &accepted).await.may_start(), "only --retarget changes the server");
    let retarget = PreflightOptions { retarget: true, ..PreflightOptions::default() };
    let all = preflight(&wrong.world, &retarget).await;
    assert!(all.may_start() && of(&all, "retargeted").len() == 2, "{}", shown(&all));
}

#[tokio::test]
async fn the_run_stands_on_another_database_than_the_one_it_renames() {
    let settings = database("preflight_standing").await;
    let on = |name: &str| format!("databases: {{ app: {{ url: unused, maintenance: {name} }} }}");
    let all = ask(&swap(&on(settings.database()), &settings).set()).await;
    let said = one(&all, "maintenance_is_target");
    assert!(said.message.contains("which switched cannot close or rename from within"), "{said:?}");
    assert!(said.is_final());
    let all = ask(&swap(&on("postgres"), &settings).set()).await;
    assert!(of(&all, "maintenance_is_target").is_empty(), "{}", shown(&all));
    // Whoever renames nothing may stand there.
    let plain = plan(&format!("{}\n{CHANGE}", on(settings.database()))).database("app", &settings).set();
    let all = ask(&plain).await;
    assert!(all.may_start(), "{}", shown(&all));
}

#[tokio::test]
async fn a_plan_that_ran_on_one_server_does_not_run_on_another_by_itself() {
    let settings = database("preflight_seen").await;
    let here = identity::read(&connect(&settings).await).await.unwrap().system_identifier;
    let stage = plan(&format!("{APP}{CHANGE}")).database("app", &settings).set();
    let seen = |servers: &[&str]| {
        let runs = servers.iter().enumerate().map(|(n, server)| ((*server).to_owned(), format!("run-{n}")));
        PreflightOptions { seen: [("app".to_owned(), runs.collect())].into(), ..PreflightOptions::default() }
    };
    let elsewhere = seen(&["7301234567890123456"]);
    let all = preflight(&stage.world, &elsewhere).await;
    assert!(!all.may_start(), "{}", shown(&all));
    assert!(
        one(&all, "wrong_target").message.contains("run run-0 of this very plan was on 7301234567890123456")
    );
    let all = preflight(&stage.world, &PreflightOptions { retarget: true, ..elsewhere }).await;
    assert!(all.may_start() && of(&all, "retargeted").len() == 1, "{}", shown(&all));
    let all = preflight(&stage.world, &seen(&[&here, "7301234567890123456"])).await;
    assert!(all.may_start(), "{}", shown(&all));
    has_fact(&all, "app", "the same server as in run run-0");
}

#[tokio::test]
async fn a_server_that_does_not_answer_and_a_database_that_is_not_there() {
    let settings = database("preflight_absent").await;
    let nobody = Settings::parse("postgresql://x@127.0.0.1:1/app", &|_| None).unwrap();
    let stage = plan(&format!("{APP}{CHANGE}")).database("app", &nobody).set();
    let all = ask(&stage).await;
    assert_eq!(codes(&all), ["runplan::postgres::unreachable"], "{}", shown(&all));
    assert!(all.findings[0].message.contains("app: nothing listens on 127.0.0.1:1"));
    let absent = settings.with_database("no_such_database");
    let stage = plan(&format!("{APP}{CHANGE}")).database("app", &absent).set();
    assert_eq!(codes(&ask(&stage).await), ["runplan::postgres::no_database"]);
}

#[tokio::test]
async fn a_template_is_not_swapped() {
    let settings = database("preflight_template").await;
    let admin = connect(&settings.with_database("postgres")).await;
    admin.execute(&format!("ALTER DATABASE {} IS_TEMPLATE true", settings.database())).await.unwrap();
    let all = ask(&swap(APP, &settings).set()).await;
    assert!(one(&all, "template_database").message.contains("is a template database"), "{}", shown(&all));
    assert!(!all.may_start());
    admin.execute(&format!("ALTER DATABASE {} IS_TEMPLATE false", settings.database())).await.unwrap();
}

#[tokio::test]
async fn another_run_has_the_database() {
    let settings = database("preflight_held").await;
    let stage = plan(&format!("{APP}{CHANGE}")).database("app", &settings).set();
    assert!(ask(&stage).await.may_start());
    let standing = settings.with_database("postgres");
    let acquired = TargetLock::acquire(&standing, settings.database()).await.unwrap();
    let Acquired::Held(lock) = acquired else { panic!("{acquired:?}") };
    let all = ask(&stage).await;
    let held = one(&all, "target_held");
    assert!(held.message.contains(&format!("(session {}", lock.pid())) && all.is_held(), "{held:?}");
    lock.release().await.unwrap();

    // Its own lock is no obstacle.
    let Ok(_own) = stage.world.targets.hold(&stage.world, "app").await else { panic!("not held") };
    assert!(ask(&stage).await.may_start());

    let theirs = Claim {
        run: "other-20261122-0311-abcd".to_owned(),
        operator: "bob".to_owned(),
        host: "bastion".to_owned(),
        since: "2026-11-22T03:11:00Z".to_owned(),
        epoch: 1,
        doing: Some("switched".to_owned()),
        uid: None,
        state: None,
    };
    claim::write(&connect(&settings).await, settings.database(), None, &theirs, "true").await.unwrap();
    let all = ask(&stage).await;
    let held = one(&all, "target_held");
    assert!(held.message.contains("other-20261122-0311-abcd (started by bob on bastion"), "{held:?}");
    assert!(held.help.as_deref().unwrap().contains("runplan resume other-20261122-0311-abcd"), "{held:?}");
    // Who only reads is not held up.
    let reads = format!(
        "{APP}steps:\n  - {{ id: read, sql: {{ database: app, read_only: true, statement: SELECT 1 }} }}\n"
    );
    assert!(ask(&plan(&reads).database("app", &settings).set()).await.may_start());
}

#[tokio::test]
async fn what_stops_a_swap_is_named() {
    let settings = [("max_prepared_transactions", "2"), ("wal_level", "logical"), ("max_wal_senders", "4")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::start(ClusterOptions { settings, ..options() }).unwrap();
    let admin = connect(&cluster.settings("postgres").unwrap()).await;
    admin.execute("CREATE DATABASE app").await.unwrap();
    let app = cluster.settings("app").unwrap();
    let stage = swap(APP, &app).set();
    assert!(ask(&stage).await.may_start());

    let inside = connect(&app).await;
    inside.execute("CREATE TABLE t (a int)").await.unwrap();
    inside.execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'half'").await.unwrap();
    inside
        .execute("CREATE SUBSCRIPTION follows CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false)")
        .await
        .unwrap();
    inside.execute("COMMIT PREPARED 'half'").await.unwrap();
    inside.one("SELECT pg_create_logical_replication_slot('changes', 'pgoutput')").await.unwrap();
    inside.execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'it''s'").await.unwrap();
    let all = ask(&stage).await;
    assert_eq!(codes(&all), ["prepared_transaction", "subscription", "logical_slot"], "{}", shown(&all));
    assert!(one(&all, "prepared_transaction").help.as_deref().unwrap().contains("ROLLBACK PREPARED 'it''s'"));
    assert!(one(&all, "subscription").message.contains("follows"));
    assert!(one(&all, "logical_slot").message.contains("changes would stay with the old database"));
    // Another database of the server is not concerned.
    admin.execute("CREATE DATABASE other").await.unwrap();
    let other = swap(APP, &cluster.settings("other").unwrap()).set();
    assert!(ask(&other).await.may_start(), "{}", shown(&ask(&other).await));
    drop(inside);
    let accept = ["prepared_transaction", "subscription"].map(str::to_owned).to_vec();
    let options = PreflightOptions { accept, ..PreflightOptions::default() };
    assert!(preflight(&stage.world, &options).await.may_start());
}

#[tokio::test]
async fn a_standby_is_only_read() {
    let mut cluster = Cluster::start(options()).unwrap();
    cluster.stop_server(Stop::Fast).unwrap();
    std::fs::write(cluster.directory().join("data/standby.signal"), "").unwrap();
    cluster.start_server().unwrap();
    let settings = cluster.settings("postgres").unwrap();
    let all = ask(&plan(&format!("{APP}{CHANGE}")).database("app", &settings).set()).await;
    let standby = one(&all, "standby");
    assert!(standby.message.contains("is a standby, and changed would change it"), "{standby:?}");
    let reads = "steps:\n  - { id: read, sql: { database: app, read_only: true, statement: SELECT 1 } }\n";
    let all = ask(&plan(&format!("{APP}{reads}")).database("app", &settings).set()).await;
    assert!(all.may_start(), "{}", shown(&all));
    has_fact(&all, "app", "a standby");
}

#[tokio::test]
async fn a_replica_that_nobody_declared() {
    let settings = [("wal_level", "replica"), ("max_wal_senders", "4")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::start(ClusterOptions { settings, ..options() }).unwrap();
    let app = cluster.settings("postgres").unwrap();
    let bin = crate::support::cluster::programs().find("pg_receivewal", 13).unwrap();
    let directory = tempfile::tempdir().unwrap();
    // pg_receivewal streams as a replica does.
    let mut command = runplan::process::plain::command(&bin.path);
    command.arg("-D").arg(directory.path()).arg("--no-loop").stderr(std::process::Stdio::null());
    for (name, value) in app.client_environment() {
        command.env(name, value.expose());
    }
    let mut receiver = command.spawn().unwrap();
    let admin = connect(&app).await;
    while admin.one("SELECT count(*) FROM pg_stat_replication").await.unwrap() == "0" {
        assert!(receiver.try_wait().unwrap().is_none(), "pg_receivewal ended");
        tokio::task::yield_now().await;
    }
    let all = ask(&swap(APP, &app).set()).await;
    let ignored = swap("databases:\n  app: { url: postgresql://unused, replicas: ignore }\n", &app).set();
    let fine = ask(&ignored).await;
    receiver.kill().unwrap();
    receiver.wait().unwrap();
    assert!(one(&all, "replicas_undeclared").message.contains("pg_receivewal"), "{}", shown(&all));
    assert!(fine.may_start(), "{}", shown(&fine));
}

#[tokio::test]
async fn what_stands_around_a_database_answers_and_is_what_it_is_said_to_be() {
    let settings = database("preflight_around").await;
    let url = shared().url(settings.database());
    let block = "databases:\n  app:\n    url: postgresql://unused\n    replicas: [\"{{ secrets.REPLICA }}\", \"postgresql://x@127.0.0.1:1/app\"]\n    \
         pooler: { admin_url: \"postgresql://x@127.0.0.1:1/pgbouncer\" }\nsecrets:\n  REPLICA: { env: UNUSED }\n";
    let stage = swap(block, &settings).secret("REPLICA", url.expose()).set();
    let all = ask(&stage).await;
    let replicas: Vec<&str> = of(&all, "replica").iter().map(|one| one.message.as_str()).collect();
    assert!(replicas.len() == 2 && replicas[0].ends_with("it is no standby"), "{}", shown(&all));
    assert!(replicas[1].contains("127.0.0.1:1 cannot be waited for: nothing listens"), "{}", shown(&all));
    assert!(one(&all, "pooler_unreachable").message.contains("127.0.0.1:1"));
    assert!(!shown(&all).contains(shared().password().expose()));
}

#[tokio::test]
async fn one_database_under_two_names_is_refused() {
    let (app, other) = (database("preflight_twin").await, database("preflight_no_twin").await);
    let text = "databases: { app: { url: postgresql://unused }, staging: { url: postgresql://unused } }
steps:
  - { id: staged, sql: { database: staging, statement: CREATE TABLE t (a int) } }
  - { id: deployed, sql: { database: app, statement: CREATE TABLE t (a int) }, needs: [staged] }
";
    let with = |staging: &Settings| plan(text).database("app", &app).database("staging", staging).set();
    let same = with(&app);
    let all = ask(&same).await;
    let concern = one(&all, "same_database");
    assert!(concern.message.starts_with("app and staging are the same database"), "{}", concern.message);
    assert!(!all.may_start());
    let accept = PreflightOptions { accept: vec!["same_database".to_owned()], ..PreflightOptions::default() };
    assert!(preflight(&same.world, &accept).await.may_start(), "it may be meant");
    let all = ask(&with(&other)).await;
    assert!(of(&all, "same_database").is_empty() && all.may_start(), "{}", shown(&all));
}
