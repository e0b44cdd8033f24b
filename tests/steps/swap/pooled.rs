//! With PgBouncer between the application and the server: its clients wait, and are let go on whatever happens.

use super::{Clients, Seen, maintenance, sample, stage_of};
use crate::support::bouncer::Bouncer;
use crate::support::cluster::{connect, shared};
use crate::support::stage::{Stage, done, failed};
use runplan::postgres::{Connection, Pooler, Settings};

const MORE: &str = "ignore_startup_parameters = options";

fn stage(settings: &Settings, bouncer: &Bouncer) -> Stage {
    let more = format!("    pooler: {{ admin_url: \"{}\" }}\n", bouncer.url("pgbouncer"));
    stage_of(settings, &more).set()
}

async fn is_paused(bouncer: &Bouncer, database: &str) -> bool {
    let pooler = Pooler::connect(&bouncer.settings("pgbouncer"), "test").await.unwrap();
    pooler.pools(database).await.unwrap().iter().any(|pool| pool.paused)
}

#[tokio::test]
async fn clients_through_it_see_no_error_at_all() {
    let settings = sample("swap_pooled").await;
    let bouncer = Bouncer::start(shared(), "*", "transaction", MORE);
    let stage = stage(&settings, &bouncer);
    for id in ["saved", "restored"] {
        stage.done(id).await;
    }
    connect(&settings).await.execute("INSERT INTO messages (body) VALUES ('lost')").await.unwrap();
    stage.done("frozen").await;
    let clients = Clients::start(&bouncer.settings(settings.database()));
    runplan::clock::sleep(std::time::Duration::from_millis(300)).await;
    let outputs = stage.done("switched").await;
    for Seen { counts, longest, errors } in clients.stop().await {
        assert_eq!(
            (counts, errors),
            (vec!["101".to_owned(), "100".to_owned()], 0),
            "longest wait {longest:?}"
        );
        println!("held for {} ms, longest wait of a client {longest:?}", outputs["downtime_ms"]);
    }
    assert!(!is_paused(&bouncer, settings.database()).await);
    let through = connect(&bouncer.settings(settings.database())).await;
    done(stage.undo("switched").await);
    assert_eq!(
        through.one("SELECT count(*) FROM messages").await.unwrap(),
        "101",
        "the same client, back again"
    );
    assert!(!is_paused(&bouncer, settings.database()).await);
}

#[tokio::test]
async fn one_with_a_connection_for_each_client_holds_only_new_ones() {
    let settings = sample("swap_pooled_session").await;
    let bouncer = Bouncer::start(shared(), "*", "session", MORE);
    let stage = stage(&settings, &bouncer);
    let idle = connect(&bouncer.settings(settings.database())).await;
    for id in ["saved", "restored", "switched"] {
        stage.done(id).await;
    }
    assert!(idle.one("SELECT 1").await.is_err(), "its session on the old database was ended");
    connect(&bouncer.settings(settings.database())).await.one("SELECT 1").await.unwrap();
    assert!(!is_paused(&bouncer, settings.database()).await);
}

#[tokio::test]
async fn a_swap_that_fails_lets_them_go_on() {
    let settings = sample("swap_pooled_failed").await;
    let bouncer = Bouncer::start(shared(), "*", "transaction", MORE);
    let stage = stage(&settings, &bouncer);
    let through = connect(&bouncer.settings(settings.database())).await;
    for id in ["saved", "restored", "frozen"] {
        stage.done(id).await;
    }
    connect(&settings).await.execute("BEGIN READ WRITE; DELETE FROM messages; COMMIT").await.unwrap();
    assert_eq!(failed(stage.act("switched").await).code, "runplan::swap::written");
    assert!(stage.facts("switched", 1).iter().any(|fact| fact.name == "pausing"), "it had been paused");
    assert!(!is_paused(&bouncer, settings.database()).await);
    assert_eq!(through.one("SELECT count(*) FROM messages").await.unwrap(), "0");
}

#[tokio::test]
async fn a_program_killed_while_they_wait_lets_them_go_on_when_it_is_back() {
    let settings = sample("swap_pooled_killed").await;
    let name = settings.database().to_owned();
    let bouncer = Bouncer::start(shared(), "*", "transaction", MORE);
    let mut stage = stage(&settings, &bouncer);
    let through = connect(&bouncer.settings(&name)).await;
    for id in ["saved", "restored"] {
        stage.done(id).await;
    }
    // Somebody holds the database's lock, so that the swap stands while it has the clients wait.
    let server = maintenance(&settings).await;
    server.execute(&format!("BEGIN; COMMENT ON DATABASE {name} IS 'held'")).await.unwrap();
    let attempt = stage.attempt("switched", 1);
    let paused = async {
        let renaming = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'ALTER DATABASE \"{name}\" RENAME%' AND wait_event_type = 'Lock'"
        );
        let look = maintenance(&settings).await;
        while !is_paused(&bouncer, &name).await || look.one(&renaming).await.unwrap() == "0" {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        outcome = runplan::steps::act(&attempt) => panic!("it ended: {outcome:?}"),
        () = paused => {}
    }
    drop(attempt);
    assert!(is_paused(&bouncer, &name).await, "nobody is there to let them go on");
    server.execute("ROLLBACK").await.unwrap();
    stage.restart().await;
    let settled = stage.settle("switched").await;
    assert!(matches!(&settled, runplan::run::Outcome::Again(_)), "{settled:?}");
    assert!(!is_paused(&bouncer, &name).await);
    assert_eq!(through.one("SELECT count(*) FROM messages").await.unwrap(), "100");
    stage.done("switched").await;
    assert_eq!(through.one("SELECT count(*) FROM messages").await.unwrap(), "100");
}

#[tokio::test]
async fn one_that_cannot_be_told_stops_the_swap_before_anything_is_renamed() {
    let settings = sample("swap_pooled_gone").await;
    let more = "    pooler: { admin_url: \"postgresql://postgres@127.0.0.1:1/pgbouncer\" }\n";
    let stage = stage_of(&settings, more).set();
    for id in ["saved", "restored"] {
        stage.done(id).await;
    }
    let failure = failed(stage.act("switched").await);
    assert!(
        failure.message.starts_with("the pooler could not be paused; nothing was renamed: "),
        "{failure:?}"
    );
    // A server is not a pooler.
    let url = shared().url("postgres");
    let more =
        "    pooler: { admin_url: \"{{ secrets.CONSOLE }}\" }\nsecrets: { CONSOLE: { env: UNUSED } }\n";
    let other =
        stage_of(&settings, more).secret("CONSOLE", url.expose()).run("test-20261122-0311-zzzz").set();
    stage.end().await;
    for id in ["saved", "restored"] {
        other.done(id).await;
    }
    let failure = failed(other.act("switched").await);
    assert!(failure.message.starts_with("the pooler could not be paused"), "{failure:?}");
    assert!(Connection::connect(&settings, "app").await.is_ok());
}
