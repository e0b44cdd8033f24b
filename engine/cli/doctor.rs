//! `runplan doctor`: what this machine has and lacks for a rollback, before one is needed. Asks what `preflight` asks, for
//! everything that the site file names; changes nothing.

use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::surroundings::{self, Given};
use super::{files, launch, state_dir, stored};
use crate::clock;
use crate::plan::{self, RunId};
use crate::postgres::Programs;
use crate::steps::{self, PreflightOptions};
use crate::store::Store;
use crate::terminal::{Screen, Tone};
use clap::Args;
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
        programs(&Programs::new(self.pg_bin.clone(), std::env::var_os("PATH")), &mut found);
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
                "runplan new --help; or name it with --site",
            );
            return Ok(());
        };
        let text = files::read(&path, "name another site file with --site")?;
        let name = path.display().to_string();
        let site = Some((name.as_str(), text.as_str()));
        let empty =
            plan::load(("doctor", "runplan: 1\nname: doctor\nsteps: []\n"), site, &|_| Err(String::new()));
        let errors = empty.findings.iter().filter(|finding| {
            finding.is_error() && finding.span.is_some_and(|span| span.file != plan::FileId(0))
        });
        let errors = errors.count();
        if errors > 0 {
            let faults = crate::report::amount::count(errors, "error");
            found.add(
                Health::Bad,
                "site file",
                format!("{name} has {faults}"),
                format!("runplan check {name}"),
            );
            return Ok(());
        }
        found.good("site file", name.clone());
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
            let about = concern.step.as_ref().map_or("site", |step| step.as_str().trim_start_matches("of_"));
            found.add(health, about, concern.message.clone(), concern.help.clone().unwrap_or_default());
        }
        Ok(())
    }
}

/// A plan that asks every database something and tells every channel something; it is never run.
fn asking(empty: &plan::Loaded) -> String {
    let mut text = "runplan: 1\nname: doctor\nsteps:\n".to_owned();
    for name in empty.databases().keys() {
        let _ = writeln!(
            text,
            "  - {{ id: of_{name}, needs: [], verify: {{ database: {name}, checks: [{{ name: it answers, sql: SELECT 1, expect: {{ not: 0 }} }}] }} }}"
        );
    }
    for name in empty.channels().keys() {
        let _ = writeln!(
            text,
            "  - {{ id: by_{name}, needs: [], notify: {{ channels: [{name}], message: \"?\" }} }}"
        );
    }
    text.push_str("  - { id: nothing, needs: [], notify: { channels: [console], message: \"?\" } }\n");
    text
}

fn programs(programs: &Programs, found: &mut Findings) {
    for name in ["pg_dump", "pg_restore", "psql"] {
        match programs.find(name, 0) {
            Ok(_) => {
                let all: Vec<String> = programs
                    .versions(name)
                    .map(|program| format!("{} ({})", program.version, program.path.display()))
                    .collect();
                found.good(name, all.join(", "));
            }
            Err(_) => found.add(
                Health::Bad,
                name,
                "not on this machine",
                "install PostgreSQL's client programs (Debian: apt install postgresql-client), or --pg-bin DIR",
            ),
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

fn state(globals: &Globals, found: &mut Findings) {
    let store = match state_dir::open(globals) {
        Ok(store) => store,
        Err(error) => {
            let mend = "name a directory on a local disk of yours with --state or RUNPLAN_STATE";
            return found.add(Health::Bad, "state", error.to_string(), mend);
        }
    };
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
        _ => paint.of(Tone::Bad, &format!("{} to mend", crate::report::amount::count(bad, "thing"))),
    };
    let _ = writeln!(text, "{verdict}");
    text
}
