//! `runplan doctor`: what this machine has and lacks for a rollback, before one is needed. Asks what `preflight` asks, for
//! everything that the site file names; changes nothing.

use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::surroundings::{self, Given};
use super::{exposure, files, launch, state_dir, stored};
use crate::clock;
use crate::plan::finding::Placed;
use crate::plan::{self, RunId};
use crate::postgres::Programs;
use crate::process::which;
use crate::report::amount;
use crate::steps::{self, PreflightOptions};
use crate::store::Store;
use crate::terminal::{Screen, Tone};
use clap::Args;
use miette::Diagnostic;
use serde::Serialize;
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Says what is wrong on this machine, and the command that mends it: programs, state, site file, databases, channels.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan doctor
  runplan doctor --site /etc/runplan/runplan.yaml
  runplan doctor --format json")]
pub struct Doctor {
    /// The site file, when it is not `runplan.yaml` here or above
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    /// Where PostgreSQL's client programs are
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
}

/// How one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Good,
    Warning,
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    about: String,
    health: Health,
    found: String,
    /// What mends it.
    mend: Option<String>,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, about: &str, found: impl Into<String>) {
        self.0.push(Finding {
            about: about.to_owned(),
            health: Health::Good,
            found: found.into(),
            mend: None,
        });
    }

    fn add(&mut self, health: Health, about: &str, found: impl Into<String>, mend: impl Into<String>) {
        let mend = Some(mend.into()).filter(|mend| !mend.is_empty());
        self.0.push(Finding { about: about.to_owned(), health, found: found.into(), mend });
    }
}

impl Doctor {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let mut found = Findings::default();
        found.good("runplan", env!("CARGO_PKG_VERSION"));
        programs(self.pg_bin.as_deref(), &mut found);
        shell(&mut found);
        state(globals, &mut found);
        self.site(globals, &mut found)?;
        let found = found.0;
        let bad = found.iter().filter(|finding| finding.health == Health::Bad).count();
        if screen.is_json() {
            screen.document(&json!({ "format": 1, "findings": found, "bad": bad }));
        } else {
            screen.text(&shown(screen, &found, bad));
        }
        Ok(if bad == 0 { Exit::Done } else { Exit::Preflight })
    }

    fn site(&self, globals: &Globals, found: &mut Findings) -> Result<(), Error> {
        let here = std::env::current_dir().unwrap_or_default().join("plan.yaml");
        let Some(path) = self.site.clone().or_else(|| files::find_site(&here)) else {
            found.add(
                Health::Warning,
                "site file",
                "there is no runplan.yaml here or above",
                "write one (its fields: runplan schema site), or name it with --site",
            );
            return Ok(());
        };
        let name = path.display().to_string();
        let text = match files::read(&path, "name another site file with --site") {
            Ok(text) => text,
            Err(error) => {
                found.add(Health::Bad, "site file", error.to_string(), help_of(&error));
                return Ok(());
            }
        };
        let site = Some((name.as_str(), text.as_str()));
        let empty =
            plan::load(("doctor", "runplan: 1\nname: doctor\nsteps: []\n"), site, &|_| Err(String::new()));
        let faults: Vec<Placed> = empty
            .findings
            .iter()
            .filter(|fault| fault.is_error() && fault.span.is_some_and(|span| span.file != plan::FileId(0)))
            .map(|fault| Placed::new(fault, &empty.sources))
            .collect();
        if !faults.is_empty() {
            broken(&name, &faults, found);
            return Ok(());
        }
        found.good("site file", name.clone());
        for open in exposure::of(&path, &empty) {
            found.add(Health::Warning, "secrets", open.found, open.mend);
        }
        let asking = asking(&empty);
        let loaded = plan::load(("doctor", &asking), site, &|_| Err(String::new()));
        let directory = path.parent().unwrap_or(Path::new("")).to_path_buf();
        self.ask(globals, loaded, directory, found)
    }

    /// What preflight says of a plan that uses everything of the site and changes nothing.
    fn ask(
        &self,
        globals: &Globals,
        loaded: plan::Loaded,
        directory: PathBuf,
        found: &mut Findings,
    ) -> Result<(), Error> {
        let shape = stored::shape_of(loaded)?;
        let store: Store = state_dir::open_to_read(globals)?;
        let run = RunId::new("doctor", clock::now(), rand::random());
        let given = Given { pg_bin: self.pg_bin.clone(), ..Given::default() };
        let world = surroundings::world(&run, &shape, directory, store.directory(&run), given)?;
        let answer = launch::runtime()?.block_on(steps::preflight(&world, &PreflightOptions::default()));
        for fact in &answer.facts {
            found.good(&fact.about, fact.text.clone());
        }
        for concern in &answer.findings {
            let health = if concern.stops() { Health::Bad } else { Health::Warning };
            let (about, mend) = match concern.step.as_ref().map(|step| step.as_str()) {
                // What a backup would need of a place that nobody has named yet.
                Some(step) if step.starts_with(DUMP) => continue,
                Some(step) => (step.trim_start_matches(ASK).trim_start_matches(TELL), concern.help.clone()),
                None => ("site", concern.help.clone()),
            };
            let mend = match concern.code.ends_with("::channel_unreachable") {
                true => UNREACHABLE.to_owned(),
                false => mend.unwrap_or_default(),
            };
            found.add(health, about, concern.message.clone(), mend);
        }
        Ok(())
    }
}

/// The steps that ask a database, dump it and tell a channel begin with these.
const ASK: &str = "of_";
const DUMP: &str = "dump_of_";
const TELL: &str = "by_";

const SHELL: &str = "bash";

const UNREACHABLE: &str =
    "start what listens there, or correct the channel in the site file; then runplan doctor again";

/// Faults that are told one by one; `check` tells them all.
const MOST_FAULTS: usize = 5;

fn broken(name: &str, faults: &[Placed], found: &mut Findings) {
    for fault in faults.iter().take(MOST_FAULTS) {
        let (line, column) = (fault.line.unwrap_or(1), fault.column.unwrap_or(1));
        let help = fault.help.clone().unwrap_or_default();
        found.add(Health::Bad, "site file", format!("{name}:{line}:{column}: {}", fault.message), help);
    }
    let count = amount::count(faults.len(), "error");
    found.add(Health::Warning, "site file", format!("{count} in it"), format!("runplan check {name}"));
}

/// A plan that asks every database something, dumps it and tells every channel something; it is never run.
fn asking(empty: &plan::Loaded) -> String {
    let mut text = "runplan: 1\nname: doctor\nsteps:\n".to_owned();
    for name in empty.databases().keys() {
        let _ = writeln!(
            text,
            "  - {{ id: {ASK}{name}, needs: [], verify: {{ database: {name}, checks: [{{ name: it answers, sql: SELECT 1, expect: {{ not: 0 }} }}] }} }}"
        );
    }
    for name in empty.databases().keys() {
        let _ = writeln!(
            text,
            "  - {{ id: {DUMP}{name}, needs: [], backup: {{ database: {name}, to: never-written.dump }} }}"
        );
    }
    for name in empty.channels().keys() {
        let _ = writeln!(
            text,
            "  - {{ id: {TELL}{name}, needs: [], notify: {{ channels: [{name}], message: \"?\" }} }}"
        );
    }
    text.push_str("  - { id: nothing, needs: [], notify: { channels: [console], message: \"?\" } }\n");
    text
}

fn programs(directory: Option<&Path>, found: &mut Findings) {
    let programs = Programs::new(directory.map(Path::to_path_buf), std::env::var_os("PATH"));
    let place = match directory {
        Some(directory) if !directory.is_dir() => format!("there is no directory {}", directory.display()),
        Some(directory) => format!("not in {}", directory.display()),
        None => "not on this machine".to_owned(),
    };
    for name in ["pg_dump", "pg_restore", "psql"] {
        let all: Vec<String> = programs
            .versions(name)
            .map(|program| format!("{} ({})", program.version, program.path.display()))
            .collect();
        if all.is_empty() {
            let mend = match directory {
                Some(_) => "name the directory that it is in with --pg-bin DIR, or leave --pg-bin out",
                None => {
                    "install PostgreSQL's client programs (Debian: apt install postgresql-client), or --pg-bin DIR"
                }
            };
            found.add(Health::Bad, name, place.clone(), mend);
        } else {
            found.good(name, all.join(", "));
        }
    }
    match programs.server_programs(None) {
        Ok(server) => found
            .good("rehearsals", format!("PostgreSQL {} ({})", server.version, server.directory.display())),
        Err(error) => found.add(
            Health::Warning,
            "rehearsals",
            error.to_string(),
            "install PostgreSQL's server programs (Debian: apt install postgresql), or --pg-bin DIR",
        ),
    }
}

/// What starts a script that names no other.
fn shell(found: &mut Findings) {
    match which(SHELL, std::env::var_os("PATH").unwrap_or_default()) {
        Some(path) => found.good(SHELL, path.display().to_string()),
        None => found.add(
            Health::Bad,
            SHELL,
            "not on PATH; every script of a step that names no other `shell` is started with it",
            "install bash, or add its directory to PATH",
        ),
    }
}

/// What an error says that is to be done.
fn help_of(error: &Error) -> String {
    error.help().map(|help| help.to_string()).unwrap_or_default()
}

/// Less room than that is none: a journal with what its steps print.
const LEAST_ROOM: u64 = 64 << 20;

fn state(globals: &Globals, found: &mut Findings) {
    let store = match state_dir::open(globals) {
        Ok(store) => store,
        Err(error) => return found.add(Health::Bad, "state", error.to_string(), help_of(&error)),
    };
    let (root, room) = (store.root().display(), store.room());
    if let Some(room) = room.filter(|room| *room < LEAST_ROOM) {
        let words = format!("{root}: {} free on its file system", amount::bytes(room));
        found.add(
            Health::Bad,
            "state",
            words,
            format!("make room there (df -h {root}; runplan runs prune), or name another place with --state"),
        );
    }
    match state_dir::unfinished(&store) {
        Ok(open) if open.is_empty() => found.good("state", store.root().display().to_string()),
        Ok(open) => {
            let runs: Vec<&str> = open.iter().map(|brief| brief.run.as_str()).collect();
            let words = format!("{}; not over: {}", store.root().display(), runs.join(", "));
            found.add(Health::Warning, "state", words, "runplan status");
        }
        Err(error) => found.add(Health::Bad, "state", error.to_string(), "runplan runs"),
    }
}

fn shown(screen: &Screen, found: &[Finding], bad: usize) -> String {
    let paint = screen.paint();
    let width = found.iter().map(|finding| finding.about.chars().count()).max().unwrap_or(0).min(24);
    let mut text = String::new();
    for finding in found {
        let (tone, word) = match finding.health {
            Health::Good => (Tone::Good, "ok      "),
            Health::Warning => (Tone::Caution, "warning "),
            Health::Bad => (Tone::Bad, "WRONG   "),
        };
        let _ = writeln!(text, "{}{:width$}  {}", paint.of(tone, word), finding.about, finding.found);
        if let Some(mend) = &finding.mend {
            let _ = writeln!(text, "        {:width$}  > {mend}", "");
        }
    }
    let verdict = match bad {
        0 => paint.of(Tone::Good, "this machine is ready"),
        _ => paint.of(Tone::Bad, &format!("{} to mend", amount::count(bad, "thing"))),
    };
    let _ = writeln!(text, "{verdict}");
    let _ = writeln!(text, "what the steps of one plan need: runplan preflight PLAN");
    text
}
