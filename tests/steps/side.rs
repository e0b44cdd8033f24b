//! Whose side database is, between CREATE DATABASE and the comment that says so: only what CREATE DATABASE itself set tells.

use super::backup::{fill, sample};
use super::swap::{maintenance, oid_of, stage};
use crate::support::cluster::{connect, options};
use crate::support::stage::{Stage, done, failed};
use runplan::clock;
use runplan::postgres::{Cluster, Connection};
use runplan::run::Outcome;
use runplan::steps::{Attempt, Sent};
use std::time::Duration;

/// The name that the interrupted attempt journaled.
async fn chosen(stage: &mut Stage) -> String {
    stage.done("saved").await;
    stage.act_until("restored", "side_chosen", true).await;
    stage.restart().await;
    stage.facts("restored", 1)[0].data["name"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_strangers_empty_database_without_a_comment_is_never_taken() {
    let settings = sample("side_stranger").await;
    let server = maintenance(&settings).await;
    for like in ["", " CONNECTION LIMIT 5", " CONNECTION LIMIT 2147483647"] {
        let mut stage = stage(&settings);
        let name = chosen(&mut stage).await;
        server.execute(&format!("CREATE DATABASE {name}{like}")).await.unwrap();
        let oid = oid_of(&server, &name).await;
        let settled = stage.settle("restored").await;
        let Outcome::Unknown(evidence) = &settled else { panic!("{settled:?}") };
        assert!(evidence.message.contains("not this step's"), "{evidence:?}");
        assert_eq!(failed(stage.undo("restored").await).code, "runplan::restore::not_ours");
        assert_eq!(oid_of(&server, &name).await, oid, "it is still there");
        server.execute(&format!("DROP DATABASE {name}")).await.unwrap();
        stage.end().await;
    }
}

/// No crash is needed: another may be quicker with the name, after it was found free.
#[tokio::test]
async fn who_takes_the_name_just_before_keeps_it() {
    let settings = sample("side_race").await;
    let server = maintenance(&settings).await;
    let mut stage = stage(&settings);
    stage.done("saved").await;
    let attempt = stage.attempt("restored", 1);
    let (send, postgres) = (attempt.send.clone(), settings.with_database("postgres"));
    let attempt = Attempt {
        send: std::sync::Arc::new(move |step, number, sent| {
            if let Sent::Fact { fact, .. } = &sent
                && fact.name == "side_chosen"
            {
                let create = format!("CREATE DATABASE {}", fact.data["name"].as_str().unwrap());
                let postgres = postgres.clone();
                let stranger = std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async { connect(&postgres).await.execute(&create).await.map(drop) })
                });
                stranger.join().unwrap().unwrap();
            }
            send(step, number, sent);
        }),
        ..attempt
    };
    let failure = failed(runplan::steps::act(&attempt).await);
    assert!(failure.message.contains("already exists"), "{failure:?}");
    let name = stage.facts("restored", 1)[0].data["name"].as_str().unwrap().to_owned();
    assert!(oid_of(&server, &name).await.is_some(), "the stranger's database is gone");
    drop(attempt);
    stage.restart().await;
    assert!(matches!(stage.settle("restored").await, Outcome::Unknown(_)));
    assert!(oid_of(&server, &name).await.is_some(), "the stranger's database is gone");
}

#[tokio::test]
async fn what_was_made_and_not_yet_marked_is_known_and_dropped() {
    let cluster = Cluster::start(options()).unwrap();
    let server = connect(&cluster.settings("postgres").unwrap()).await;
    server.execute("CREATE DATABASE app").await.unwrap();
    let app = cluster.settings("app").unwrap();
    fill(&app).await;
    let mut stage = stage(&app);
    stage.done("saved").await;
    // The claim is a comment too, and is there already; the side's waits, and never comes.
    let world = &stage.world;
    let target = world.targets.find(world, &runplan::plan::Text::made("app")).await.unwrap();
    world.targets.claim(world, &target).await.unwrap();
    let holder = connect(&cluster.settings("postgres").unwrap()).await;
    holder.execute("BEGIN; LOCK TABLE pg_catalog.pg_shdescription IN EXCLUSIVE MODE").await.unwrap();
    let waits = "query LIKE 'COMMENT ON DATABASE %_rp_k7f3%' AND wait_event_type = 'Lock' \
         AND pid <> pg_backend_pid()";
    let one_waits = format!("SELECT count(*) = 1 FROM pg_stat_activity WHERE {waits}");
    tokio::select! {
        outcome = stage.act("restored") => panic!("{outcome:?}"),
        () = until(&server, &one_waits) => {}
    }
    let ended = format!("SELECT count(pg_terminate_backend(pid, 20000)) FROM pg_stat_activity WHERE {waits}");
    assert_eq!(server.one(&ended).await.unwrap(), "1");
    holder.execute("ROLLBACK").await.unwrap();
    let bare =
        "SELECT shobj_description(oid, 'pg_database') IS NULL FROM pg_database WHERE datname = 'app_rp_k7f3'";
    assert_eq!(server.one(bare).await.unwrap(), "t", "it is there without a comment");
    stage.restart().await;
    let settled = stage.settle("restored").await;
    assert!(matches!(settled, Outcome::Again(_)), "{settled:?}");
    assert_eq!(oid_of(&server, "app_rp_k7f3").await, None);
    // The next attempt's is one that anybody may use.
    done(runplan::steps::act(&stage.attempt("restored", 2)).await);
    let limit = "SELECT datconnlimit FROM pg_database WHERE datname = 'app_rp_k7f3'";
    assert_eq!(server.one(limit).await.unwrap(), "-1");
}

async fn until(server: &Connection, condition: &str) {
    while server.one(condition).await.unwrap() != "t" {
        clock::sleep(Duration::from_millis(5)).await;
    }
}
