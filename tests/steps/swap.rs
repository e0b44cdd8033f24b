//! Swapping on a real server: names, settings, sessions, writers, and the way back.

mod blocked;
mod pooled;
mod replicas;
mod written;

use super::backup::{fill, sample};
use crate::support::cluster::{connect, options};
use crate::support::stage::{Setting, Stage, done, failed, plan};
use runplan::postgres::{Cluster, ClusterOptions, Connection, Settings};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A server of its own with these settings, and a filled database on it.
async fn filled(settings: &[(&str, &str)]) -> (Cluster, Connection, Settings) {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let cluster = Cluster::start(ClusterOptions { settings, ..options() }).unwrap();
    let server = connect(&cluster.settings("postgres").unwrap()).await;
    server.execute("CREATE DATABASE app").await.unwrap();
    let app = cluster.settings("app").unwrap();
    fill(&app).await;
    (cluster, server, app)
}

/// Saved, restored, frozen, swapped.
pub fn stage(settings: &Settings) -> Stage {
    stage_of(settings, "").set()
}

/// With more said of the database.
pub fn stage_of(settings: &Settings, more: &str) -> Setting {
    plan(&format!(
        "databases:
  app:
    url: unused
{more}steps:
  - id: saved
    backup: {{ database: app, to: ./backups }}
  - id: restored
    restore: {{ from: '{{{{ steps.saved.path }}}}', database: app }}
  - id: frozen
    freeze: {{ database: app, quiet: 300ms }}
  - id: switched
    swap: {{ database: app, with: '{{{{ steps.restored.database }}}}', keep_old: 7d }}
"
    ))
    .database("app", settings)
}

pub async fn maintenance(settings: &Settings) -> Connection {
    connect(&settings.with_database("postgres")).await
}

pub async fn oid_of(server: &Connection, name: &str) -> Option<String> {
    server.value(&format!("SELECT (SELECT oid FROM pg_database WHERE datname = '{name}')")).await.unwrap()
}

#[tokio::test]
async fn the_side_takes_the_name_and_what_belongs_to_it() {
    let settings = sample("swap").await;
    let name = settings.database().to_owned();
    let server = maintenance(&settings).await;
    server
        .execute(&format!(
            "ALTER DATABASE {name} SET search_path = \"$user\", public, 'odd, one';
             ALTER DATABASE {name} SET work_mem = '5MB';
             ALTER DATABASE {name} CONNECTION LIMIT 50;
             COMMENT ON DATABASE {name} IS 'the shop';
             REVOKE CONNECT ON DATABASE {name} FROM PUBLIC;
             GRANT CONNECT ON DATABASE {name} TO pg_monitor"
        ))
        .await
        .unwrap();
    let before = about(&server, &name).await;
    let stage = stage(&settings);
    stage.done("saved").await;
    let side = stage.done("restored").await["database"].as_str().unwrap().to_owned();
    connect(&settings).await.execute("INSERT INTO escrows (buyer_id) VALUES (1)").await.unwrap();
    stage.done("frozen").await;
    let (live_oid, side_oid) = (oid_of(&server, &name).await, oid_of(&server, &side).await);
    let outputs = stage.done("switched").await;
    let old = outputs["old_database"].as_str().unwrap();
    assert_eq!(oid_of(&server, &name).await, side_oid);
    assert_eq!(oid_of(&server, old).await, live_oid);
    assert_eq!(about(&server, &name).await, before);
    let app = connect(&settings).await;
    assert_eq!(app.one("SELECT count(*) FROM escrows").await.unwrap(), "100");
    app.execute("INSERT INTO escrows (buyer_id) VALUES (1)").await.unwrap();
    assert_eq!(app.one("SELECT max(id) FROM escrows").await.unwrap(), "102", "101 was given out before");
    assert!(outputs["downtime_ms"].as_u64().unwrap() < 5_000);
    app.execute("DELETE FROM escrows WHERE id = 102").await.unwrap();
    drop(app);
    // It was written to, so the way back is shut, until somebody agrees to that very loss.
    let failure = failed(stage.undo("switched").await);
    assert_eq!(failure.code, "runplan::swap::written");
    for said in [
        "2 rows were inserted, changed or deleted (2 of public.escrows); swapping back would lose that",
        "against the old database going back would bring back 1 row of escrows: see ",
    ] {
        assert!(failure.message.contains(said), "{}", failure.message);
    }
    println!("{}\n  help: {}", failure.message, failure.help.as_ref().unwrap());
    let open = format!("SELECT datallowconn FROM pg_database WHERE datname = '{old}'");
    assert_eq!(server.one(&open).await.unwrap(), "f", "it was open for the comparison only");
    let help = failure.help.unwrap();
    let code = help.split("--accept-loss ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let agreed = |code: &str| runplan::steps::Attempt {
        undoing: true,
        accepted_loss: Some(code.to_owned()),
        ..stage.attempt("switched", 1)
    };
    assert_eq!(failed(runplan::steps::undo(&agreed("00000000")).await).code, "runplan::swap::written");
    connect(&settings).await.execute("DELETE FROM messages WHERE body LIKE '%7'").await.unwrap();
    let failure = failed(runplan::steps::undo(&agreed(&code)).await);
    assert!(
        failure.message.contains("12 rows were"),
        "more was written than was agreed to: {}",
        failure.message
    );
    let help = failure.help.unwrap();
    let code = help.split("--accept-loss ").nth(1).unwrap().split(' ').next().unwrap();
    done(runplan::steps::undo(&agreed(code)).await);
    assert_eq!(oid_of(&server, &name).await, live_oid);
    assert_eq!(connect(&settings).await.one("SELECT count(*) FROM messages").await.unwrap(), "100");
}

#[tokio::test]
async fn undo_swaps_back() {
    let settings = sample("swap_undo").await;
    let name = settings.database().to_owned();
    let server = maintenance(&settings).await;
    let stage = stage(&settings);
    for id in ["saved", "restored", "frozen"] {
        stage.done(id).await;
    }
    let before = (oid_of(&server, &name).await, about(&server, &name).await);
    stage.done("switched").await;
    done(stage.undo("switched").await);
    assert_eq!((oid_of(&server, &name).await, about(&server, &name).await), before);
    done(stage.undo("frozen").await);
    done(stage.undo("restored").await);
    let app = connect(&settings).await;
    app.execute("INSERT INTO messages (body) VALUES ('alive')").await.unwrap();
    let left = format!("SELECT count(*) FROM pg_database WHERE datname ~ '^{name}(_rp_|_old_|$)'");
    assert_eq!(server.one(&left).await.unwrap(), "1");
}

#[tokio::test]
async fn what_the_server_forgot_is_not_called_written_and_own_writes_are_named() {
    let settings = sample("swap_forgot").await;
    let text = "databases: { app: { url: unused } }
steps:
  - { id: saved, backup: { database: app, to: ./backups } }
  - { id: restored, restore: { from: '{{ steps.saved.path }}', database: app } }
  - { id: switched, swap: { database: app, with: '{{ steps.restored.database }}', keep_old: 7d } }
  - { id: added, sql: { database: app, statement: \"INSERT INTO messages (body) VALUES ('a')\" } }
";
    let stage = plan(text).database("app", &settings).set();
    for id in ["saved", "restored", "switched", "added"] {
        stage.done(id).await;
    }
    let app = connect(&settings).await;
    app.execute("DELETE FROM messages WHERE body = 'a'").await.unwrap();
    drop(app);
    let said = failed(stage.undo("switched").await).message;
    assert!(
        said.contains("2 of public.messages") && said.contains("of this run added writes there too"),
        "{said}"
    );
    assert!(
        said.contains("none of it is left in a row; against the old database going back would change no row"),
        "{said}"
    );
    // As a crash of the server does.
    let reset = connect(&settings).await;
    reset.execute("SELECT pg_stat_reset()").await.unwrap();
    drop(reset);
    let failure = failed(stage.undo("switched").await);
    assert_eq!(failure.code, "runplan::swap::unproved");
    assert!(
        failure.message.contains("has forgotten what was written to")
            && !failure.message.contains("would lose"),
        "{failure:?}"
    );
    let code =
        failure.help.unwrap().split("--accept-loss ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    done(stage.undo_accepting("switched", Some(code)).await);
}

#[tokio::test]
async fn a_write_after_the_freeze_is_noticed() {
    let settings = sample("swap_written").await;
    let stage = stage(&settings);
    for id in ["saved", "restored", "frozen"] {
        stage.done(id).await;
    }
    let sneaky = connect(&settings).await;
    sneaky.execute("SET default_transaction_read_only = off").await.unwrap();
    sneaky.execute("DELETE FROM messages").await.unwrap();
    let failure = failed(stage.act("switched").await);
    assert_eq!(failure.code, "runplan::swap::written");
    assert!(failure.message.contains("since the freeze"), "{}", failure.message);
}

/// Two runs have swapped one after the other.
#[tokio::test]
async fn the_run_that_has_to_be_undone_first_is_named() {
    let settings = sample("swap_twice").await;
    let mut first = stage(&settings);
    for id in ["saved", "restored", "frozen", "switched"] {
        first.done(id).await;
    }
    assert_eq!(first.world.targets.release(&first.world).await, Vec::<String>::new());
    first.restart().await;
    let later = "test-20261122-0412-m9x2";
    let second = stage_of(&settings, "").run(later).set();
    for id in ["saved", "restored", "frozen", "switched"] {
        second.done(id).await;
    }
    let failure = failed(first.undo("switched").await);
    assert_eq!(failure.code, "runplan::swap::later");
    assert!(failure.message.contains(&format!("run {later} has swapped")), "{}", failure.message);
    assert!(failure.help.unwrap().contains(&format!("runplan undo {later}")));
}

/// What belongs to a database and not to its content; not the run's claim, nor the freeze.
async fn about(server: &Connection, name: &str) -> Vec<Option<String>> {
    let row = server
        .row(&format!(
            "SELECT shobj_description(oid, 'pg_database'), datacl, datconnlimit, datallowconn,
             (SELECT array_agg(c ORDER BY c) FROM pg_db_role_setting, unnest(setconfig) c WHERE setdatabase = d.oid
              AND c !~ '^(runplan|default_transaction)') FROM pg_database d WHERE datname = '{name}'"
        ))
        .await
        .unwrap();
    row.values
}

/// What a client saw.
struct Seen {
    counts: Vec<String>,
    longest: std::time::Duration,
    errors: usize,
}

/// A client as applications have them: one query after the other, connecting anew after an error.
async fn client(settings: Settings, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen { counts: Vec::new(), longest: std::time::Duration::ZERO, errors: 0 };
    let mut session = None;
    let mut since = runplan::clock::Stopwatch::start();
    while !stop.load(Ordering::Relaxed) {
        if session.is_none() {
            session = Connection::connect(&settings, "application").await.ok();
        }
        let Some(connection) = &session else {
            seen.errors += 1;
            continue;
        };
        match connection.one("SELECT count(*) FROM messages").await {
            Ok(count) => {
                seen.longest = seen.longest.max(since.elapsed());
                since = runplan::clock::Stopwatch::start();
                if seen.counts.last() != Some(&count) {
                    seen.counts.push(count);
                }
            }
            Err(_) => {
                seen.errors += 1;
                session = None;
            }
        }
    }
    seen
}

/// Three clients that go on until they are stopped.
struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<Seen>>,
}

impl Clients {
    fn start(settings: &Settings) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let one = || {
            let (settings, stop) = (settings.clone(), stop.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(client(settings, stop))
            })
        };
        let threads = (0..3).map(|_| one()).collect();
        Self { stop, threads }
    }

    async fn stop(self) -> Vec<Seen> {
        runplan::clock::sleep(std::time::Duration::from_millis(200)).await;
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}

#[tokio::test]
async fn looping_clients_see_the_old_then_the_new_and_nothing_else() {
    let settings = sample("swap_clients").await;
    let stage = stage(&settings);
    for id in ["saved", "restored"] {
        stage.done(id).await;
    }
    connect(&settings).await.execute("INSERT INTO messages (body) VALUES ('lost')").await.unwrap();
    stage.done("frozen").await;
    let clients = Clients::start(&settings);
    runplan::clock::sleep(std::time::Duration::from_millis(200)).await;
    let outputs = stage.done("switched").await;
    for Seen { counts, longest, .. } in clients.stop().await {
        assert_eq!(counts, ["101", "100"], "longest wait {longest:?}");
        println!("downtime {} ms, longest wait of a client {longest:?}", outputs["downtime_ms"]);
    }
    assert!(outputs["sessions_ended"].as_u64().unwrap() >= 1);
    let old = outputs["old_database"].as_str().unwrap();
    let left = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{old}'");
    assert_eq!(maintenance(&settings).await.one(&left).await.unwrap(), "0");
    assert!(
        Connection::connect(&settings.with_database(old), "application").await.is_err(),
        "the old one is closed"
    );
}

#[tokio::test]
async fn what_would_break_a_swap_is_said_in_exact_words() {
    let settings = sample("swap_refused").await;
    let stage = stage(&settings);
    for id in ["saved", "restored", "frozen"] {
        stage.done(id).await;
    }
    let side =
        stage.world.results.value().get_attr("restored").unwrap().get_attr("database").unwrap().to_string();
    let server = maintenance(&settings).await;
    let comment = format!("COMMENT ON DATABASE {side} IS 'something else'");
    server.execute(&comment).await.unwrap();
    let failure = failed(stage.act("switched").await);
    assert_eq!(failure.code, "runplan::swap::refused");
    let said = format!("{side} is not marked as a restored copy of {}", settings.database());
    assert!(failure.message.contains(&said), "{}", failure.message);
}

/// A filled database, as a superuser and as its owner, who may make databases and end sessions, and no more.
async fn owned(stem: &str) -> (Settings, Settings) {
    let settings = sample(stem).await;
    let name = settings.database().to_owned();
    let server = maintenance(&settings).await;
    let role = format!("{name}_owner");
    server
        .execute(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'a secret word' CREATEDB; GRANT pg_signal_backend TO {role};
             ALTER DATABASE {name} OWNER TO {role}; COMMENT ON DATABASE {name} IS 'the shop'"
        ))
        .await
        .unwrap();
    let inside = connect(&settings).await;
    inside
        .execute(&format!(
            "ALTER SCHEMA public OWNER TO {role}; ALTER TABLE users OWNER TO {role};
             ALTER TABLE escrows OWNER TO {role}; ALTER TABLE messages OWNER TO {role}"
        ))
        .await
        .unwrap();
    drop(inside);
    let host = settings.hosts()[0].clone();
    let url = format!("postgres://{role}:a%20secret%20word@{}:{}/{name}", host.name, host.port);
    let owner = Settings::parse(&url, &|_| None).unwrap();
    (settings, owner)
}

#[tokio::test]
async fn an_owner_without_superuser_rights_can_do_it_all() {
    let (settings, owner) = owned("swap_owner").await;
    let name = settings.database().to_owned();
    let server = maintenance(&settings).await;
    let mut stage = stage(&owner);
    for id in ["saved", "restored", "frozen", "switched"] {
        stage.done(id).await;
    }
    let about =
        format!("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{name}'");
    assert!(
        server.one(&about).await.unwrap().starts_with("the shop\nrunplan.claim="),
        "the claim went with the name"
    );
    // The run was over and let go of its target: whoever undoes it claims it anew, in the comment that is carried over.
    assert_eq!(stage.world.targets.release(&stage.world).await, Vec::<String>::new());
    assert_eq!(server.one(&about).await.unwrap(), "the shop");
    stage.restart().await;
    for id in ["switched", "frozen", "restored", "saved"] {
        done(stage.undo(id).await);
    }
    assert_eq!(stage.world.targets.release(&stage.world).await, Vec::<String>::new());
    assert_eq!(server.one(&about).await.unwrap(), "the shop");
}
