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
  runplan man runs prune | man -l -
  runplan man --out ~/.local/share/man/man1")]
pub struct Man {
    /// A command, and the command below it; without one the program's own page
    command: Vec<String>,
    /// Write every page into this directory, which must be there
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

impl Man {
    pub fn run(self, screen: &Screen) -> Result<Exit, Error> {
        let mut program = Cli::command();
        program.build();
        if let Some(directory) = &self.out {
            for (name, command) in pages("runplan", &program) {
                files::create(&directory.join(format!("{name}.1")), &page(command, &name)?)?;
            }
            screen.say(&format!("the pages are in {}", directory.display()));
            return Ok(Exit::Done);
        }
        let mut command = &program;
        for name in &self.command {
            command =
                command.find_subcommand(name).filter(|below| !below.is_hide_set()).ok_or_else(|| {
                    let said = format!("there is no command {}", self.command.join(" "));
                    Error::usage_with(said, "`runplan --help` lists them")
                })?;
        }
        let name: Vec<&str> =
            ["runplan"].into_iter().chain(self.command.iter().map(String::as_str)).collect();
        screen.text(&page(command.clone(), &name.join("-"))?);
        Ok(Exit::Done)
    }
}

/// The command and all below it, each with the name of its page.
fn pages(name: &str, command: &clap::Command) -> Vec<(String, clap::Command)> {
    let below = command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help");
    let below = below.flat_map(|below| pages(&format!("{name}-{}", below.get_name()), below));
    std::iter::once((name.to_owned(), command.clone())).chain(below).collect()
}

fn page(command: clap::Command, name: &str) -> Result<String, Error> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command)
        .title(name.to_uppercase())
        .render(&mut text)
        .map_err(|error| Error::usage(format!("the page cannot be made: {error}")))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
