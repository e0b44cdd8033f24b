//! The command line as a whole: the global options and the list of commands.

use super::error::Error;
use super::exit::Exit;
use super::{
    actor, backups, check, completions, decision, diff, doctor, explain, export, graph, import, logs, man,
    new, post, preflight, prune, rehearse, report, resume, run, runs, schema, state_dir, status, undo, watch,
};
use crate::terminal::{Color, Format, Look, Screen};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Runs database rollbacks that are written as code.
///
/// A plan is a YAML file: a graph of steps with typed parameters. runplan checks it, shows exactly what it would do,
/// runs it with a durable journal, goes on after any interruption, undoes it, and leaves a report.
#[derive(Debug, Parser)]
#[command(
    name = "runplan",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    disable_help_subcommand = false,
    max_term_width = 100,
    override_usage = "runplan [OPTIONS] PLAN [--dry-run]\n       runplan [OPTIONS] COMMAND ...",
    after_help = "\
Examples:
  runplan plans/scenario-2.yaml --dry-run        what it would do; touches nothing
  runplan plans/scenario-2.yaml -p backup=b.sql  run it
  runplan status                                 what is going on
  runplan watch                                  the same, as it happens
  runplan resume                                 go on after an interruption

Exit codes: 0 done, 1 the run failed, 2 wrong usage, 3 the plan is invalid, 4 parked (it can be
resumed), 5 someone else holds the run or the target, 6 a reason not to start, 70 a bug."
)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Globals {
    /// Who reads the output: human or json; markdown where it applies, html of `report`, svg and mermaid of `graph`
    #[arg(long, global = true, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    pub format: Option<Format>,
    /// Colours: auto, always, never; `NO_COLOR` is honoured
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "WHEN",
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub color: Color,
    /// Say only what went wrong, and the result
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; twice: everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Never draw over a line: for logs and screen readers
    #[arg(long, global = true)]
    pub plain: bool,
    /// Where runs are kept [default: the user's state directory]
    #[arg(long, global = true, env = "RUNPLAN_STATE", hide_env_values = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

impl Globals {
    pub fn look(&self) -> Look {
        Look {
            format: self.format.unwrap_or_default(),
            color: self.color,
            quiet: self.quiet,
            verbose: self.verbose,
            plain: self.plain,
            place: self.state.as_deref().and_then(state_dir::place_of),
            me: Some(actor::whoami().name),
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Run(run::Run),
    Check(check::Check),
    Preflight(preflight::Preflight),
    Rehearse(rehearse::Rehearse),
    Resume(resume::Resume),
    Undo(undo::Undo),
    Approve(decision::Approve),
    Reject(decision::Reject),
    Resolve(post::Resolve),
    Stop(post::Stop),
    Export(export::Export),
    Import(import::Import),
    Status(status::Status),
    Watch(watch::Watch),
    Runs(runs::Runs),
    Logs(logs::Logs),
    Report(report::Report),
    Backups(backups::Backups),
    Prune(prune::Prune),
    Graph(graph::Graph),
    Diff(diff::Diff),
    New(new::New),
    Schema(schema::Schema),
    Explain(explain::Explain),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        if globals.format == Some(Format::Html) && !matches!(self, Self::Report(_)) {
            return Err(Error::usage_with(
                "--format html is for `report` alone",
                "human, json or markdown can be had here",
            ));
        }
        if let Some(picture) = globals.format.filter(|format| matches!(format, Format::Mermaid | Format::Svg))
            && !matches!(self, Self::Graph(_))
        {
            let name = if picture == Format::Svg { "svg" } else { "mermaid" };
            return Err(Error::usage_with(
                format!("--format {name} is for `graph` alone"),
                "human, json or markdown can be had here",
            ));
        }
        match self {
            Self::Run(command) => command.run(screen, globals),
            Self::Check(command) => command.run(screen),
            Self::Preflight(command) => command.run(screen, globals),
            Self::Rehearse(command) => command.run(screen, globals),
            Self::Resume(command) => command.run(screen, globals),
            Self::Undo(command) => command.run(screen, globals),
            Self::Approve(command) => command.run(screen, globals),
            Self::Reject(command) => command.run(screen, globals),
            Self::Resolve(command) => command.run(screen, globals),
            Self::Stop(command) => command.run(screen, globals),
            Self::Export(command) => command.run(screen, globals),
            Self::Import(command) => command.run(screen, globals),
            Self::Status(command) => command.run(screen, globals),
            Self::Watch(command) => command.run(screen, globals),
            Self::Runs(command) => command.run(screen, globals),
            Self::Logs(command) => command.run(screen, globals),
            Self::Report(command) => command.run(screen, globals),
            Self::Backups(command) => command.run(screen, globals),
            Self::Prune(command) => command.run(screen, globals),
            Self::Graph(command) => command.run(screen),
            Self::Diff(command) => command.run(screen),
            Self::New(command) => command.run(screen),
            Self::Schema(command) => command.run(screen),
            Self::Explain(command) => command.run(screen),
            Self::Doctor(command) => command.run(screen, globals),
            Self::Completions(command) => command.run(screen),
            Self::Man(command) => command.run(screen),
        }
    }
}
