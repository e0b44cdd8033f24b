//! What is asked of the real systems before a run: against real servers, files and programs.

mod copies;
mod needs;
mod outside;
mod pooler;
mod privileges;
mod read_only;
mod servers;
mod statements;
mod writable;

use crate::support::cluster::{connect, shared, unique};
use crate::support::stage::Stage;
use runplan::postgres::{Connection, Settings, escape_identifier};
use runplan::steps::{Concern, Preflight, PreflightOptions, preflight};

/// Everything that was found, as text: for messages of a failed test too.
fn shown(all: &Preflight) -> String {
    let concerns = all.findings.iter().map(|concern| {
        let step = concern.step.as_ref().map(ToString::to_string).unwrap_or_default();
        let help = concern.help.clone().unwrap_or_default();
        format!("{} {:?} {step}: {}\n    {help}\n", concern.short_code(), concern.severity, concern.message)
    });
    let facts = all.facts.iter().map(|fact| format!("{}: {}\n", fact.about, fact.text));
    concerns.chain(facts).collect()
}

async fn ask(stage: &Stage) -> Preflight {
    preflight(&stage.world, &PreflightOptions::default()).await
}

/// The concerns of a code.
fn of<'a>(all: &'a Preflight, code: &str) -> Vec<&'a Concern> {
    all.findings.iter().filter(|concern| concern.short_code() == code).collect()
}

/// The only concern of a code.
#[track_caller]
fn one<'a>(all: &'a Preflight, code: &str) -> &'a Concern {
    match of(all, code).as_slice() {
        [one] => one,
        several => panic!("{} of {code}:\n{}", several.len(), shown(all)),
    }
}

#[track_caller]
fn has_fact(all: &Preflight, about: &str, part: &str) {
    let found = all.facts.iter().any(|fact| fact.about == about && fact.text.contains(part));
    assert!(found, "no fact of {about} with `{part}`:\n{}", shown(all));
}

/// The codes, errors first, each once.
fn codes(all: &Preflight) -> Vec<&str> {
    let mut codes: Vec<&str> = all.findings.iter().map(Concern::short_code).collect();
    codes.dedup();
    codes
}

/// A role that may log in and nothing else, and its way into a database.
async fn role(admin: &Connection, database: &Settings) -> (String, Settings) {
    let name = unique("plain_role");
    admin
        .execute(&format!("CREATE ROLE {} LOGIN PASSWORD 'secret'", escape_identifier(&name)))
        .await
        .unwrap();
    (name.clone(), login(&name, shared().port(), database.database()))
}

fn login(role: &str, port: u16, database: &str) -> Settings {
    let url = format!("postgresql://{role}:secret@127.0.0.1:{port}/{database}?sslmode=disable");
    Settings::parse(&url, &|_| None).unwrap()
}

async fn run(settings: &Settings, sql: &str) {
    connect(settings).await.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// The block of a plan that names its only database.
const APP: &str = "databases:\n  app: { url: postgresql://unused }\n";
