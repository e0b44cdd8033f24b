//! `runplan graph`.

use super::check;
use super::error::Error;
use super::exit::Exit;
use super::files;
use crate::graph;
use crate::plan::Flow;
use crate::report;
use crate::terminal::Screen;
use clap::{Args, ValueEnum};
use serde_json::json;
use std::path::PathBuf;

/// Draws the order of a plan's steps.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan graph plans/scenario-2.yaml
  runplan graph plans/scenario-2.yaml --as mermaid > scenario-2.mmd")]
pub struct Graph {
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// text or mermaid
    #[arg(long = "as", value_enum, default_value = "text", value_name = "FORM", hide_possible_values = true)]
    form: Form,
    /// The site file, when it is not `runplan.yaml` beside or above the plan
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Text,
    Mermaid,
}

impl Graph {
    pub fn run(self, screen: &Screen) -> Result<Exit, Error> {
        let loaded = files::open(&self.plan, self.site.as_deref())?.loaded;
        let found = check::findings(&loaded);
        let errors: Vec<_> = found.into_iter().filter(|finding| finding.is_error()).collect();
        check::stop_on(screen, &errors, &loaded, false)?;
        let Ok(graph) = graph::Graph::new(&loaded.flow) else {
            // A cycle is an error of the check.
            return Err(Error::Invalid { what: self.plan.display().to_string(), errors: 1 });
        };
        if screen.is_json() {
            let steps: Vec<_> = loaded
                .flow
                .steps()
                .iter()
                .map(|step| {
                    json!({
                        "id": step.id.value.as_str(),
                        "kind": step.action.kind().word(),
                        "needs": Flow::needs(step).map(|need| need.as_str()).collect::<Vec<_>>(),
                    })
                })
                .collect();
            screen.document(&json!({ "format": 1, "steps": steps }));
            return Ok(Exit::Done);
        }
        screen.text(&match self.form {
            Form::Text => report::waves(&loaded.flow, &graph),
            Form::Mermaid => report::mermaid(&loaded.flow),
        });
        Ok(Exit::Done)
    }
}
