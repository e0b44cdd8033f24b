//! `runplan new`.

use super::error::Error;
use super::exit::Exit;
use crate::plan::Name;
use crate::terminal::{Screen, Tone};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Writes a plan to start from.
///
/// The plan is whole: it passes `check`, and what is yours to decide is marked with FILL IN. Nothing is overwritten.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan new clean_up
  runplan new plans/bad-deploy --from scenario-2

To start from:
  blank              one step
  scenario-1         a migration failed midway
  scenario-2         data corruption: restore beside, prove, swap
  scenario-3         the schema does not fit after a rollback
  method-1           take the newest Prisma migration back
  method-2           a person restores the platform's backup
  method-3           restore a backup made by hand, beside or in place
  method-4           point-in-time recovery by the platform
  guarded-migration  Prisma migrations, tried, read and backed up before
  verify-suite       everything that is looked at after a rollback, the application included")]
pub struct New {
    /// The plan's name, or the path of its file
    #[arg(value_name = "NAME")]
    name: PathBuf,
    /// What to start from
    #[arg(long, value_enum, default_value = "blank", value_name = "SCENARIO", hide_possible_values = true)]
    from: From,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum From {
    Blank,
    #[value(name = "scenario-1")]
    Scenario1,
    #[value(name = "scenario-2")]
    Scenario2,
    #[value(name = "scenario-3")]
    Scenario3,
    #[value(name = "method-1")]
    Method1,
    #[value(name = "method-2")]
    Method2,
    #[value(name = "method-3")]
    Method3,
    #[value(name = "method-4")]
    Method4,
    GuardedMigration,
    VerifySuite,
}

impl From {
    fn text(self) -> &'static str {
        match self {
            Self::Blank => include_str!("templates/blank.yaml"),
            Self::Scenario1 => shipped(include_str!("../../plans/scenario-1.yaml")),
            Self::Scenario2 => shipped(include_str!("../../plans/scenario-2.yaml")),
            Self::Scenario3 => shipped(include_str!("../../plans/scenario-3.yaml")),
            Self::Method1 => shipped(include_str!("../../plans/method-1.yaml")),
            Self::Method2 => include_str!("templates/method-2.yaml"),
            Self::Method3 => shipped(include_str!("../../plans/method-3.yaml")),
            Self::Method4 => include_str!("templates/method-4.yaml"),
            Self::GuardedMigration => shipped(include_str!("../../plans/guarded-migration.yaml")),
            Self::VerifySuite => shipped(include_str!("../../plans/verify-suite.yaml")),
        }
    }

    /// The plans that it uses; they must stand beside it.
    fn used(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Scenario2 => &[
                ("maintenance-on.yaml", include_str!("../../plans/maintenance-on.yaml")),
                ("maintenance-off.yaml", include_str!("../../plans/maintenance-off.yaml")),
            ],
            _ => &[],
        }
    }
}

/// A shipped plan without its rehearsal, whose files are its own.
fn shipped(plan: &'static str) -> &'static str {
    plan.split_once("\n# How it is rehearsed").map_or(plan, |(plan, _)| plan)
}

impl New {
    pub fn run(self, screen: &Screen) -> Result<Exit, Error> {
        let path = match self.name.extension() {
            Some(end) if end == "yaml" || end == "yml" => self.name.clone(),
            _ => PathBuf::from(format!("{}.yaml", self.name.display())),
        };
        let text = plan(self.from.text(), Some(&name(&path)?), &path);
        super::files::create(&path, &text)?;
        let beside = |name: &str| path.parent().unwrap_or(Path::new("")).join(name);
        let used: Vec<_> = self.from.used().iter().map(|(name, text)| (beside(name), text)).collect();
        // One that is there is somebody's own by now.
        let missing: Vec<_> = used.iter().filter(|(path, _)| !path.exists()).collect();
        for (path, text) in &missing {
            super::files::create(path, &plan(text, None, path))?;
        }
        let shown = path.display().to_string();
        let shown = shlex::try_quote(&shown).map_or(shown.clone(), std::borrow::Cow::into_owned);
        let next = next(self.from, &path, &shown);
        if screen.is_json() {
            let commands: Vec<&String> = next.iter().map(|(command, _)| command).collect();
            let uses: Vec<&PathBuf> = missing.iter().map(|(path, _)| path).collect();
            screen.document(&json!({ "format": 1, "file": path, "uses": uses, "next": commands }));
            return Ok(Exit::Done);
        }
        screen.say(&format!("{} {}", screen.paint().of(Tone::Good, "written:"), path.display()));
        for (path, _) in missing {
            screen.say(&format!("{} {}", screen.paint().of(Tone::Good, "written:"), path.display()));
        }
        let width = next.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
        for (command, why) in next {
            screen.say(&format!("  {command:width$}  {}", screen.paint().of(Tone::Faint, why)));
        }
        Ok(Exit::Done)
    }
}

/// `bad-deploy.yaml` holds the plan `bad_deploy`.
fn name(path: &Path) -> Result<Name, Error> {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name = stem.replace(['-', ' ', '.'], "_");
    Name::parse(&name).ok_or_else(|| {
        let help = "a name begins with a letter; letters, digits, `-` and `_` follow";
        Error::usage_with(format!("`{stem}` cannot be the name of a plan"), help)
    })
}

/// The template under its new name, if it gets one, pointing to the schema that is there.
fn plan(text: &str, name: Option<&Name>, path: &Path) -> String {
    let directory = path.parent().unwrap_or(Path::new(""));
    let places = ["plan.schema.json", "schemas/plan.schema.json", "../schemas/plan.schema.json"];
    let schema = places.iter().find(|place| directory.join(place).is_file()).unwrap_or(&places[0]);
    let schema = if schema.starts_with('.') { (*schema).to_owned() } else { format!("./{schema}") };
    let mut name = name;
    let lines = text.lines().enumerate().map(|(at, line)| match line {
        _ if at == 0 => format!("# yaml-language-server: $schema={schema}\n"),
        line => match name.take_if(|_| line.starts_with("name: ")) {
            Some(name) => format!("name: {name}\n"),
            None => format!("{line}\n"),
        },
    });
    lines.collect()
}

fn next(from: From, path: &Path, shown: &str) -> Vec<(String, &'static str)> {
    let mut next = Vec::new();
    if from.text().contains("FILL IN") {
        next.push((format!("grep -n 'FILL IN' {shown}"), "what is yours to decide"));
    }
    let directory = path.parent().unwrap_or(Path::new(""));
    if !plan(from.text(), None, path).lines().next().is_some_and(|line| {
        line.split_once("$schema=").is_some_and(|(_, schema)| directory.join(schema).is_file())
    }) {
        let schema = directory.join("plan.schema.json");
        next.push((format!("runplan schema > {}", schema.display()), "completion and help in an editor"));
    }
    next.push((format!("runplan check {shown}"), "every fault at its place"));
    next.push((format!("runplan {shown} --dry-run"), "what it would do; touches nothing"));
    next
}
