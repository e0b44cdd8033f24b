//! `runplan report`.

use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::state_dir::{self, Meant};
use super::stored::Stored;
use crate::report::{Report as Document, markdown};
use crate::terminal::{Format, Screen};
use clap::Args;

/// Makes the incident report of a run: what happened, what it cost, what is kept, the checklist, the timeline.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan report k7f3 > incident.md
  runplan report k7f3 --format json")]
pub struct Report {
    /// The run: its id, or the beginning or end of it; without it the last one
    run: Option<String>,
}

impl Report {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let store = state_dir::open_to_read(globals)?;
        let run = match (&self.run, state_dir::meant(&store, self.run.as_deref())?) {
            (_, Meant::One(run)) => run,
            (_, Meant::Several(_)) => {
                let help = "name one: runplan report RUN; `runplan runs` lists them";
                return Err(Error::usage_with("several runs are not over", help));
            }
            (_, Meant::None) => match store.list()?.pop() {
                Some(last) => last.run,
                None => return Err(Error::usage("there are no runs yet")),
            },
        };
        let stored = Stored::read(&store, &run)?;
        let report = Document::of(&stored.state, &stored.records);
        match screen.format {
            Format::Json => screen.document(&serde_json::to_value(&report).unwrap_or_default()),
            _ => screen.text(&markdown(&report)),
        }
        Ok(Exit::Done)
    }
}
