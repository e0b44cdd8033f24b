//! `runplan runs`.

use super::command::Globals;
use super::error::Error;
use super::exit::Exit;
use super::state_dir;
use crate::run::Finish;
use crate::store::Brief;
use crate::terminal::{self, Screen};
use clap::Args;
use serde_json::{Value, json};

/// Lists the runs, the newest last.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan runs
  runplan runs --open           only those that are not over
  runplan runs --format json")]
pub struct Runs {
    /// Only runs that are not over
    #[arg(long)]
    open: bool,
}

impl Runs {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let store = state_dir::open_to_read(globals)?;
        let briefs = if self.open { state_dir::unfinished(&store)? } else { store.list()? };
        if screen.is_json() {
            let runs: Vec<Value> = briefs.iter().map(as_json).collect();
            screen.document(&json!({ "format": 1, "runs": runs }));
        } else if briefs.is_empty() {
            screen.say("no runs yet");
        } else {
            show(screen, &briefs);
        }
        Ok(Exit::Done)
    }
}

fn as_json(brief: &Brief) -> Value {
    let summary = brief.summary.as_ref();
    json!({
        "run": brief.run.as_str(),
        "plan": summary.map(|summary| summary.plan.as_str().to_owned()),
        "rehearsal": summary.map(|summary| summary.rehearsal),
        "phase": summary.map(|summary| summary.phase.word()),
        "result": summary.and_then(|summary| summary.finished).map(|(_, result)| result.word()),
        "started_at": summary.map(|summary| summary.started_at.to_string()),
        "finished_at": summary.and_then(|summary| summary.finished).map(|(at, _)| at.to_string()),
        "parked": summary.and_then(|summary| summary.parked.as_ref()).map(|why| json!({
            "why": why.words(), "command": why.command(&brief.run),
        })),
        "problem": brief.problem,
    })
}

/// A table of runs.
pub fn show(screen: &Screen, briefs: &[Brief]) {
    let rows = briefs.iter().map(|brief| {
        let (began, state, reason) = match &brief.summary {
            Some(summary) => {
                let state = match (summary.finished, &summary.parked) {
                    (Some((_, Finish::Done)), _) => "done".to_owned(),
                    (Some((_, result)), _) => result.word().to_owned(),
                    (None, Some(why)) => format!("parked: {}", why.words()),
                    (None, None) if summary.rehearsal => "under way or killed".to_owned(),
                    (None, None) => format!("under way or interrupted ({})", summary.phase.word()),
                };
                let state = if summary.rehearsal { format!("rehearsal: {state}") } else { state };
                (terminal::day(screen, summary.started_at), state, summary.reason.clone().unwrap_or_default())
            }
            None => (String::new(), brief.problem.clone().unwrap_or_default(), String::new()),
        };
        vec![brief.run.to_string(), began, state, reason]
    });
    screen.text(&terminal::table(screen, &["run", "started", "state", "reason"], rows.collect::<Vec<_>>()));
}
