//! `runplan check`.

use super::error::Error;
use super::exit::Exit;
use super::files;
use crate::check;
use crate::plan::{FileId, Finding, Loaded};
use crate::report::amount;
use crate::terminal::{self, Screen, Tone};
use clap::Args;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Checks plans without running them: every fault in one pass, each at its place.
///
/// Needs no server and no secret, and touches nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan check plans/*.yaml
  runplan check plans/scenario-2.yaml --strict       warnings count as errors
  runplan check plans/scenario-2.yaml --format json  for CI")]
pub struct Check {
    /// The plans
    #[arg(required = true, value_name = "PLAN")]
    plans: Vec<PathBuf>,
    /// The site file, when it is not `runplan.yaml` beside or above the plan
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    /// Warnings count as errors
    #[arg(long)]
    strict: bool,
}

impl Check {
    pub fn run(self, screen: &Screen) -> Result<Exit, Error> {
        let mut tally = Tally::default();
        for path in &self.plans {
            match files::open(path, self.site.as_deref()) {
                Ok(opened) => tally.add(screen, path, opened.loaded),
                // The others are checked all the same.
                Err(error) if self.plans.len() > 1 => {
                    terminal::error(screen, &error);
                    tally.unreadable += 1;
                }
                Err(error) => return Err(error),
            }
        }
        if screen.is_json() {
            screen.document(&json!({ "format": 1, "findings": tally.all }));
        } else if tally.errors + tally.warnings > 0 {
            screen.remark(&count(tally.errors, tally.warnings));
        }
        let failed = tally.errors + tally.unreadable > 0 || (self.strict && tally.warnings > 0);
        Ok(if failed { Exit::Invalid } else { Exit::Done })
    }
}

/// What was found in all of the files.
#[derive(Default)]
struct Tally {
    errors: usize,
    warnings: usize,
    unreadable: usize,
    all: Vec<Value>,
    /// A fault of a site file is a fault of each of its plans, and told once.
    told: HashSet<(String, &'static str, usize)>,
}

impl Tally {
    fn add(&mut self, screen: &Screen, path: &Path, loaded: Loaded) {
        let mut found = findings(&loaded);
        let is_sound = found.is_empty();
        found.retain(|finding| {
            let Some(span) = finding.span else { return true };
            let file = loaded.sources.get(span.file).map(|source| source.name.clone()).unwrap_or_default();
            self.told.insert((file, finding.code, span.start)) || span.file == FileId(0)
        });
        let errors = found.iter().filter(|finding| finding.is_error()).count();
        self.errors += errors;
        self.warnings += found.len() - errors;
        if screen.is_json() {
            self.all.extend(terminal::findings_list(&found, &loaded.sources));
            return;
        }
        screen.error_unless_empty(&terminal::findings(screen, &found, &loaded.sources));
        if is_sound {
            let steps = amount::count(loaded.flow.len(), "step");
            screen.say(&format!("{}  {}  {steps}", screen.paint().of(Tone::Good, "ok"), path.display()));
        }
    }
}

/// Everything that is wrong with a plan.
pub fn findings(loaded: &Loaded) -> Vec<Finding> {
    check::check(loaded, &check::CheckOptions::default())
}

/// `2 errors, 1 warning`
fn count(errors: usize, warnings: usize) -> String {
    let parts = [(errors, "error"), (warnings, "warning")];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    parts.map(|(number, word)| amount::count(*number, word)).collect::<Vec<_>>().join(", ")
}

/// Shows the errors and stops there; warnings are only counted, for `check` shows them.
///
/// # Errors
/// There are errors, or warnings with `strict`.
pub fn stop_on(screen: &Screen, found: &[Finding], loaded: &Loaded, strict: bool) -> Result<(), Error> {
    let what = loaded.sources.iter().next().map(|source| source.name.clone()).unwrap_or_default();
    let stops: Vec<Finding> = found.iter().filter(|finding| strict || finding.is_error()).cloned().collect();
    let warnings = found.len() - stops.len();
    if stops.is_empty() {
        if warnings > 0 && !screen.is_json() {
            let count = amount::count(warnings, "warning");
            screen.remark(&format!("{count} in {what}; `runplan check {what}` shows them"));
        }
        return Ok(());
    }
    match screen.is_json() {
        true => screen.document(&terminal::findings_json(&stops, &loaded.sources)),
        false => screen.error_unless_empty(&terminal::findings(screen, &stops, &loaded.sources)),
    }
    Err(Error::Invalid { what, errors: stops.len() })
}
