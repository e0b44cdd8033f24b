//! `runplan report`.

use super::command::Globals;
use super::death;
use super::error::Error;
use super::exit::Exit;
use super::files;
use super::signatures;
use super::state_dir;
use super::stored::Stored;
use super::verified;
use crate::report::{Report as Document, html, markdown};
use crate::terminal::{Format, Screen};
use clap::Args;
use std::path::PathBuf;

/// Makes the incident report of a run: what happened, what it cost, what is kept, the checklist, the timeline.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan report k7f3 > incident.md
  runplan report k7f3 --format html --out incident.html    one file for a browser, without network
  runplan report k7f3 --format json
  runplan report k7f3 --signatures signed/                 the signed decisions, for ssh-keygen -Y verify
  runplan report --verify incident.html                    does it belong to the journal, was it changed?")]
pub struct Report {
    /// The run: its id, or the beginning or end of it; without it the last one
    run: Option<String>,
    /// Writes it to a file that is not there yet, instead of to the terminal
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Says whether a report belongs to its journal and whether it was changed since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["run", "out"])]
    verify: Option<PathBuf>,
    /// Writes the signed decisions to a new directory, for `ssh-keygen -Y verify`
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "verify"])]
    signatures: Option<PathBuf>,
}

impl Report {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let store = state_dir::open_to_read(globals)?;
        if let Some(path) = &self.verify {
            return verified::show(screen, &store, path);
        }
        let run = state_dir::meant_or_last(&store, self.run.as_deref(), "report")?;
        let stored = Stored::read(&store, &run)?;
        let report = Document::of(&stored.state, &stored.records);
        if let Some(directory) = &self.signatures {
            signatures::export(screen, &report, directory)?;
            return Ok(Exit::Done);
        }
        let text = match screen.format {
            Format::Json => json(&report),
            Format::Html => page(&report, &stored)?,
            _ => markdown(&report),
        };
        // One document, wherever it goes: its commands are those that can be typed.
        let text = match screen.format {
            Format::Json => text,
            _ => screen.placed(&text).into_owned(),
        };
        if let Some(died) = death::words(screen, &store, &stored) {
            screen.warn(&died);
        }
        match &self.out {
            Some(path) => {
                files::create(path, &text)?;
                screen.remark(&format!("the report is in {}", path.display()));
            }
            None => screen.text(text.trim_end_matches('\n')),
        }
        Ok(Exit::Done)
    }
}

/// A report as an object.
pub fn json(report: &Document) -> String {
    let mut text = serde_json::to_string_pretty(report).unwrap_or_default();
    text.push('\n');
    text
}

/// A report as a page.
///
/// # Errors
/// The page cannot be made: a fault of the program.
pub fn page(report: &Document, stored: &Stored) -> Result<String, Error> {
    html(report, &stored.state).map_err(|error| Error::Unusable { why: format!("no page: {error}") })
}
