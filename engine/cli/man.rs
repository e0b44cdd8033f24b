//! `runplan man`.

use super::command::Cli;
use super::error::Error;
use super::exit::Exit;
use super::files;
use crate::terminal::Screen;
use clap::{Args, CommandFactory};
use std::path::PathBuf;

/// Prints the manual page of the program or of one command; or writes all of them into a directory.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan man | man -l -
  runplan man resume | man -l -
  runplan man --out ~/.local/share/man/man1")]
pub struct Man {
    /// A command; without it the program's own page
    command: Option<String>,
    /// Write every page into this directory, which must be there
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

impl Man {
    pub fn run(self, screen: &Screen) -> Result<Exit, Error> {
        let mut program = Cli::command();
        program.build();
        if let Some(directory) = &self.out {
            let shown: Vec<_> =
                program.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
            for command in std::iter::once(program.clone()).chain(shown) {
                let name = name_of(&command);
                files::create(&directory.join(format!("{name}.1")), &page(command, &name)?)?;
            }
            screen.say(&format!("the pages are in {}", directory.display()));
            return Ok(Exit::Done);
        }
        let command = match &self.command {
            None => program,
            Some(name) => program.find_subcommand(name).cloned().ok_or_else(|| {
                Error::usage_with(format!("there is no command {name}"), "`runplan --help` lists them")
            })?,
        };
        let name = name_of(&command);
        screen.text(&page(command, &name)?);
        Ok(Exit::Done)
    }
}

fn name_of(command: &clap::Command) -> String {
    match command.get_name() {
        "runplan" => "runplan".to_owned(),
        name => format!("runplan-{name}"),
    }
}

fn page(command: clap::Command, name: &str) -> Result<String, Error> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command)
        .title(name.to_uppercase())
        .render(&mut text)
        .map_err(|error| Error::usage(format!("the page cannot be made: {error}")))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
