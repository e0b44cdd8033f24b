//! `runplan PLAN ...` means `runplan run PLAN ...`. Must never guess: only what looks like a file is taken for a plan,
//! everything else is left for the parser to refuse with its suggestions.

use super::command::Cli;
use clap::{ArgAction, CommandFactory};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The arguments, with `run` put in where a plan stands in a command's place.
pub fn with_command(mut args: Vec<OsString>) -> Vec<OsString> {
    let cli = Cli::command();
    if let Some(first) = first_word(&cli, &args)
        && cli.find_subcommand(first).is_none()
        && first != "help"
        && is_plan(first)
    {
        args.insert(1, OsString::from("run"));
    }
    args
}

/// Whether `--format json` was asked for; known before the arguments are understood.
pub fn wants_json(args: &[OsString]) -> bool {
    args.iter().any(|arg| arg == "--format=json")
        || args.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
}

/// The first argument that is neither an option nor an option's value.
fn first_word<'a>(cli: &clap::Command, args: &'a [OsString]) -> Option<&'a OsStr> {
    let run = cli.find_subcommand("run");
    let options: Vec<&clap::Arg> =
        cli.get_arguments().chain(run.into_iter().flat_map(clap::Command::get_arguments)).collect();
    let mut rest = args.iter().skip(1);
    while let Some(arg) = rest.next() {
        let text = arg.to_string_lossy();
        if text == "--" {
            return None;
        }
        let Some(option) = text.strip_prefix('-').filter(|name| !name.is_empty()) else { return Some(arg) };
        let takes_value = |found: Option<&&clap::Arg>| {
            found.is_some_and(|arg| matches!(arg.get_action(), ArgAction::Set | ArgAction::Append))
        };
        let value_follows = match option.strip_prefix('-') {
            Some(long) => {
                !long.contains('=') && takes_value(options.iter().find(|arg| arg.get_long() == Some(long)))
            }
            // `-p a=b`, but not `-pa=b`.
            None => {
                let mut letters = option.chars();
                let short = letters.next();
                letters.next().is_none() && takes_value(options.iter().find(|arg| arg.get_short() == short))
            }
        };
        if value_follows {
            rest.next();
        }
    }
    None
}

fn is_plan(word: &OsStr) -> bool {
    let text = word.to_string_lossy();
    let path = Path::new(word);
    text.contains('/') || path.extension().is_some_and(|end| end == "yaml" || end == "yml") || path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(line: &str) -> String {
        let args = line.split(' ').map(OsString::from).collect();
        let args: Vec<String> =
            with_command(args).into_iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        args.join(" ")
    }

    #[test]
    fn a_plan_in_a_commands_place_is_run() {
        assert_eq!(rewritten("runplan plans/x.yaml --dry-run"), "runplan run plans/x.yaml --dry-run");
        assert_eq!(
            rewritten("runplan --format json -p a=b --reason why x.yaml"),
            "runplan run --format json -p a=b --reason why x.yaml"
        );
        assert_eq!(rewritten("runplan --plain ./x"), "runplan run --plain ./x");
    }

    #[test]
    fn everything_else_is_left_alone() {
        for line in [
            "runplan",
            "runplan check x.yaml",
            "runplan statsu",
            "runplan --help",
            "runplan help run",
            "runplan --reason a/b",
            "runplan run x.yaml",
            "runplan -- x.yaml",
        ] {
            assert_eq!(rewritten(line), line);
        }
    }
}
