//! `runplan schema`.

use super::error::Error;
use super::exit::Exit;
use crate::plan;
use crate::terminal::Screen;
use clap::{Args, ValueEnum};

/// Prints the JSON Schema of plans or of the site file, for editors.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan schema > plan.schema.json
  runplan schema site > site.schema.json

In a plan, the first line makes editors use it:
  # yaml-language-server: $schema=./plan.schema.json")]
pub struct Schema {
    /// Of which file
    #[arg(value_enum, default_value = "plan", value_name = "plan|site", hide_possible_values = true)]
    of: Of,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Of {
    Plan,
    Site,
}

impl Schema {
    pub fn run(self, screen: &Screen) -> Result<Exit, Error> {
        screen.document(&match self.of {
            Of::Plan => plan::schema::plan(),
            Of::Site => plan::schema::site(),
        });
        Ok(Exit::Done)
    }
}
