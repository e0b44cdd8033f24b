//! `runplan completions`.

use super::command::Cli;
use super::error::Error;
use super::exit::Exit;
use crate::terminal::Screen;
use clap::{Args, CommandFactory};

/// Prints a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan completions bash > ~/.local/share/bash-completion/completions/runplan
  runplan completions zsh > ~/.zfunc/_runplan
  runplan completions fish > ~/.config/fish/completions/runplan.fish")]
pub struct Completions {
    /// bash, zsh, fish, elvish or powershell
    #[arg(value_enum, hide_possible_values = true)]
    shell: clap_complete::Shell,
}

impl Completions {
    pub fn run(self, screen: &Screen) -> Result<Exit, Error> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "runplan", &mut script);
        screen.text(&String::from_utf8_lossy(&script));
        Ok(Exit::Done)
    }
}
