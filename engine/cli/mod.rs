//! The commands: one file for each, its arguments, its help, its function. From the arguments to the exit code.
//! Must never print by itself (that is terminal/'s) nor decide what a run does (that is run/'s).

mod actor;
mod agent;
mod amend;
mod backups;
mod bare;
mod beginning;
mod check;
mod command;
mod completions;
mod death;
mod decision;
mod decision_file;
mod diff;
mod difference;
mod doctor;
mod error;
mod exit;
mod explain;
mod export;
mod exposure;
mod failure;
mod files;
mod graph;
mod hidden;
mod import;
mod incident;
mod keys;
mod launch;
mod leftover;
mod likeness;
mod logs;
mod man;
mod matrix;
mod named;
mod new;
mod panic;
mod past;
mod post;
mod preflight;
mod progress;
mod prune;
mod reason;
mod rehearse;
mod report;
mod resume;
mod run;
mod runs;
mod runs_prune;
mod schema;
mod served;
mod signals;
mod signatures;
mod stage;
mod state_dir;
mod status;
mod stored;
mod surroundings;
mod telling;
mod undo;
mod values;
mod verified;
mod watch;

pub use bare::with_command;
pub use command::Cli;
pub use error::Error;
pub use exit::Exit;
pub use failure::{Failure, failures};

use crate::terminal::{self, Color, Format, Look, Screen};
use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;

/// The program.
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    panic::catch(|| hidden::run(&args).unwrap_or_else(|| visible(args)))
}

fn visible(args: Vec<OsString>) -> ExitCode {
    let wants_json = bare::wants_json(&args);
    match Cli::try_parse_from(bare::with_command(args)) {
        Ok(cli) => {
            let screen = Screen::new(cli.globals.look());
            if terminal::mend() {
                screen.remark("a killed runplan had left this terminal without an echo; it is as before");
            }
            match cli.command.run(&screen, &cli.globals) {
                Ok(exit) => exit.into(),
                Err(error) => {
                    terminal::error(&screen, &error);
                    error.exit().into()
                }
            }
        }
        Err(error) => usage(&error, wants_json).into(),
    }
}

/// Help, the version, or what is wrong with the arguments.
fn usage(error: &clap::Error, wants_json: bool) -> Exit {
    let format = if wants_json { Format::Json } else { Format::Human };
    let screen = Screen::new(Look { format, color: Color::Auto, ..Look::default() });
    if !error.use_stderr() {
        let styled = error.render();
        let text = if screen.paint().colour { styled.ansi().to_string() } else { styled.to_string() };
        screen.text(&text);
        return Exit::Done;
    }
    if wants_json {
        terminal::error(&screen, &Error::Usage { message: first_line(error), help: None });
    } else {
        let styled = error.render();
        let text = if screen.error_paint().colour { styled.ansi().to_string() } else { styled.to_string() };
        screen.error(&text);
    }
    Exit::Usage
}

fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
