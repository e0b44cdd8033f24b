//! An `undo` that has to be tried again: an author's, and the built-in ones of processes that died in them.

use super::backup::sample;
use super::swap::{self, maintenance, oid_of};
use crate::support::chance::{Chance, seed};
use crate::support::cluster::connect;
use crate::support::stage::{Stage, done, failed, plan};
use runplan::clock;
use runplan::run::Outcome;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn an_undo_that_failed_runs_again_under_the_same_attempt() {
    let stage = plan(
        "steps:
  - id: made
    shell: { argv: [\"true\"] }
    undo: { shell: { run: \"test -e mended; echo again\" } }",
    )
    .set();
    done(stage.act("made").await);
    for _ in 0..2 {
        let failed = stage.undo("made").await;
        assert!(matches!(&failed, Outcome::Failed(why) if why.message.contains("exit code 1")), "{failed:?}");
    }
    std::fs::write(stage.path("mended"), "").unwrap();
    let outputs = done(stage.undo("made").await);
    assert_eq!(outputs["stdout"], "again\n");
}

/// A rename that somebody began and never ended holds the names: it is the undo's own, of a process that is gone.
#[tokio::test]
async fn the_session_of_a_dead_undo_that_still_renames_is_ended_first() {
    let settings = sample("undo_orphan").await;
    let server = maintenance(&settings).await;
    let mut stage = swap::stage(&settings);
    let live = oid_of(&server, settings.database()).await;
    for id in ["saved", "restored", "frozen"] {
        stage.done(id).await;
    }
    stage.done("switched").await;
    let side = oid_of(&server, settings.database()).await;
    assert_ne!(live, side);
    // As a server sees it whose client vanished: the transaction is open, and nobody will end it.
    let orphan = maintenance(&settings).await;
    let rename = format!("ALTER DATABASE {} RENAME TO undo_orphan_moved", settings.database());
    orphan.execute("BEGIN").await.unwrap();
    orphan.execute(&rename).await.unwrap();
    stage.remember("switched", 1, "undo.renamer", json!(orphan.backend()));
    stage.restart().await;
    done(stage.undo("switched").await);
    assert_eq!(oid_of(&server, settings.database()).await, live);
    assert!(orphan.execute("COMMIT").await.is_err(), "its session is gone");
    assert_eq!(oid_of(&server, "undo_orphan_moved").await, None);
    done(stage.undo("frozen").await);
    done(stage.undo("restored").await);
}

#[tokio::test]
async fn no_secret_is_in_what_a_built_in_undo_says() {
    let settings = sample("undo_secretive").await;
    let server = maintenance(&settings).await;
    let name = settings.database().to_owned();
    let stage = swap::stage_of(&settings, "").secret("NAME", &name).set();
    for id in ["saved", "restored", "frozen"] {
        stage.done(id).await;
    }
    let old = stage.done("switched").await["old_database"].as_str().unwrap().to_owned();
    let clean = |text: &str| assert!(!text.contains(&name) && text.contains("[redacted]"), "{text}");
    // Named neither as before nor as after: its facts name the databases.
    server.execute(&format!("ALTER DATABASE {old} RENAME TO {name}_elsewhere")).await.unwrap();
    match stage.undo("switched").await {
        Outcome::Unknown(evidence) => evidence.facts.iter().for_each(|fact| clean(fact)),
        other => panic!("{other:?}"),
    }
    // Gone: the failure names it.
    server.execute(&format!("DROP DATABASE {name}_elsewhere")).await.unwrap();
    let failure = failed(stage.undo("switched").await);
    assert_eq!(failure.code, "runplan::swap::old_gone");
    clean(&failure.message);
}

/// Where a process dies.
#[derive(Debug, Clone)]
enum Death {
    Fact { step: &'static str, fact: &'static str, durable: bool },
    After { step: &'static str, delay: Duration },
}

const NEWEST_FIRST: [&str; 4] = ["switched", "frozen", "restored", "saved"];

/// Undoes a step whose undo loses something, by somebody who agrees to exactly that.
async fn undone(stage: &Stage, id: &str, death: Option<&Death>) {
    let dying = |wanted: &str| match death {
        Some(Death::Fact { step, fact, durable }) if *step == id && *fact == wanted => Some(*durable),
        _ => None,
    };
    let mut loss = None;
    if id == "switched" {
        if let Some(durable) = dying("undo.opening") {
            stage.undo_dying(id, "undo.opening", durable, None).await;
        }
        let help = failed(stage.undo(id).await).help.unwrap();
        loss = help.split("--accept-loss ").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned);
        assert!(loss.is_some(), "{help}");
        if let Some(durable) = dying("undo.renamer") {
            stage.undo_dying(id, "undo.renamer", durable, loss.clone()).await;
        }
    }
    if let Some(Death::After { step, delay }) = death
        && *step == id
    {
        tokio::select! {
            _ = stage.undo_accepting(id, loss.clone()) => {}
            () = clock::sleep(*delay) => {}
        }
    }
    // The last time as by a process that died before it could say that it was done.
    for _ in 0..2 {
        let outcome = stage.undo_accepting(id, loss.clone()).await;
        assert!(matches!(outcome, Outcome::Done(_) | Outcome::Skipped(_)), "{id} {death:?}: {outcome:?}");
    }
}

/// The process dies at every fact that an undo notes, before the fact is durable and after, and at random instants; the
/// next one ends the work, and all is as it was before the run.
#[tokio::test]
async fn a_built_in_undo_that_dies_anywhere_is_ended_by_the_next() {
    let settings = sample("undo_dies").await;
    let name = settings.database();
    let server = maintenance(&settings).await;
    let live = oid_of(&server, name).await;
    let databases = format!("SELECT string_agg(datname, ' ') FROM pg_database WHERE datname ~ '^{name}'");
    let open = format!("SELECT datallowconn FROM pg_database WHERE datname = '{name}'");
    let facts = ["undo.opening", "undo.loss", "undo.renamer"];
    let at = facts.iter().flat_map(|fact| [true, false].map(|durable| (*fact, durable)));
    let mut deaths: Vec<Option<Death>> =
        at.map(|(fact, durable)| Some(Death::Fact { step: "switched", fact, durable })).collect();
    let mut chance = Chance::new(seed());
    for step in NEWEST_FIRST.into_iter().cycle().take(8) {
        deaths.push(Some(Death::After { step, delay: Duration::from_millis(chance.below(60) as u64) }));
    }
    deaths.push(None);
    for death in deaths {
        let mut stage = swap::stage(&settings);
        for id in NEWEST_FIRST.iter().rev() {
            stage.done(id).await;
        }
        connect(&settings).await.execute("INSERT INTO messages (body) VALUES ('after')").await.unwrap();
        for id in NEWEST_FIRST {
            undone(&stage, id, death.as_ref()).await;
        }
        stage.restart().await;
        assert_eq!(oid_of(&server, name).await, live, "{death:?}");
        assert_eq!(server.one(&databases).await.unwrap(), name, "{death:?}");
        assert_eq!(server.one(&open).await.unwrap(), "t", "{death:?}");
        let left = std::fs::read_dir(stage.path("backups")).map_or(0, |files| files.count());
        assert_eq!(left, 0, "{death:?}");
        if death.is_none() {
            let noted = stage.facts("switched", 1).into_iter().map(|fact| fact.name);
            // Where the server stands is noted with the end, and nobody waits for that.
            let waited = |name: &String| name.starts_with("undo.") && name != "undo.position";
            let noted: Vec<String> = noted.filter(waited).collect();
            assert_eq!(noted, facts, "every fact of an undo is a place to die at");
        }
        stage.end().await;
    }
}
