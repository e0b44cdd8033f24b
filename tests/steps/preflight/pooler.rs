//! A connection pooler in the server's place is noticed, in each of its modes.

use super::{APP, ask, codes, one, shown};
use crate::support::bouncer::Bouncer;
use crate::support::cluster::{database, shared};
use crate::support::stage::plan;
use runplan::postgres::Settings;

const STEPS: &str =
    "steps:\n  - { id: changed, sql: { database: app, statement: CREATE TABLE t (a int) } }\n";

fn bouncer(mode: &str, more: &str) -> Bouncer {
    Bouncer::start(shared(), "*", mode, more)
}

async fn through(bouncer: &Bouncer, database: &str) -> runplan::steps::Preflight {
    let url = format!("postgresql://postgres@127.0.0.1:{}/{database}?sslmode=disable", bouncer.port());
    let settings = Settings::parse(&url, &|_| None).unwrap();
    ask(&plan(&format!("{APP}{STEPS}")).database("app", &settings).set()).await
}

#[tokio::test]
async fn one_that_refuses_settings() {
    let settings = database("preflight_pooled").await;
    let all = through(&bouncer("transaction", ""), settings.database()).await;
    assert_eq!(codes(&all), ["pooled"], "{}", shown(&all));
    assert!(!all.may_start());
}

#[tokio::test]
async fn one_that_swallows_them() {
    let settings = database("preflight_pooled").await;
    for (mode, how) in [
        ("transaction", "share a server process"),
        ("session", "a new session is served by an older server process"),
    ] {
        let bouncer = bouncer(mode, "ignore_startup_parameters = options");
        let all = through(&bouncer, settings.database()).await;
        let pooled = one(&all, "pooled");
        assert!(pooled.message.contains(how), "{mode}: {pooled:?}");
        assert!(pooled.help.as_deref().unwrap().contains("pooler: {admin_url}"));
    }
}
