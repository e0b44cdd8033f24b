//! `runplan check`.

use super::error::Error;
use super::exit::Exit;
use super::files;
use crate::check;
use crate::plan::{Finding, Loaded};
use crate::terminal::{self, Screen, Tone};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

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
        let (mut errors, mut warnings) = (0, 0);
        let mut all: Vec<Value> = Vec::new();
        let mut unreadable = None;
        for path in &self.plans {
            let opened = match files::open(path, self.site.as_deref()) {
                Ok(opened) => opened,
                Err(error) if self.plans.len() > 1 => {
                    // The others are checked all the same.
                    terminal::error(screen, &error);
                    unreadable = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let found = findings(&opened.loaded);
            let (bad, odd): (Vec<_>, Vec<_>) = found.iter().partition(|finding| finding.is_error());
            errors += bad.len();
            warnings += odd.len();
            if screen.is_json() {
                if let Value::Array(list) =
                    terminal::findings_json(&found, &opened.loaded.sources)["findings"].take()
                {
                    all.extend(list);
                }
            } else {
                screen.error_unless_empty(&terminal::findings(screen, &found, &opened.loaded.sources));
                if found.is_empty() {
                    let steps = opened.loaded.flow.len();
                    let mark = screen.paint().of(Tone::Good, "ok");
                    screen.say(&format!("{mark}  {}  {steps} steps", path.display()));
                }
            }
        }
        if screen.is_json() {
            screen.document(&json!({ "format": 1, "findings": all }));
        } else if errors + warnings > 0 {
            screen.remark(&count(errors, warnings));
        }
        let failed = errors > 0 || unreadable.is_some() || (self.strict && warnings > 0);
        Ok(if failed { Exit::Invalid } else { Exit::Done })
    }
}

/// Everything that is wrong with a plan.
pub fn findings(loaded: &Loaded) -> Vec<Finding> {
    check::check(loaded, &check::CheckOptions::default())
}

/// `2 errors, 1 warning`
pub fn count(errors: usize, warnings: usize) -> String {
    let one = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    match (errors, warnings) {
        (errors, 0) => one(errors, "error"),
        (0, warnings) => one(warnings, "warning"),
        _ => format!("{}, {}", one(errors, "error"), one(warnings, "warning")),
    }
}

/// Shows what was found; stops a run when it must.
///
/// # Errors
/// There are errors, or warnings with `strict`.
pub fn stop_on(screen: &Screen, found: &[Finding], loaded: &Loaded, strict: bool) -> Result<(), Error> {
    let errors = found.iter().filter(|finding| finding.is_error()).count();
    let failed = if strict { found.len() } else { errors };
    if failed == 0 && screen.quiet {
        return Ok(());
    }
    if screen.is_json() {
        if failed > 0 {
            screen.document(&terminal::findings_json(found, &loaded.sources));
        }
    } else {
        screen.error_unless_empty(&terminal::findings(screen, found, &loaded.sources));
    }
    let what = loaded.sources.iter().next().map(|source| source.name.clone()).unwrap_or_default();
    match failed {
        0 => Ok(()),
        errors => Err(Error::Invalid { what, errors }),
    }
}
