//! `runplan graph`.

use super::error::Error;
use super::exit::Exit;
use super::{check, files, stored, values};
use crate::report;
use crate::review::{self, Review, ReviewInput};
use crate::terminal::{Format, Screen};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Draws the order of a plan's steps: what each does to the world, the windows, the approvals, the point of no return.
///
/// As text, as a Mermaid flowchart, or as an SVG picture that opens in every browser and prints well.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan graph plans/scenario-2.yaml
  runplan graph plans/scenario-2.yaml --format svg > scenario-2.svg
  runplan graph plans/scenario-2.yaml --format mermaid > scenario-2.mmd")]
pub struct Graph {
    /// The plan
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// The site file, when it is not `runplan.yaml` beside or above the plan
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
}

impl Graph {
    pub fn run(self, screen: &Screen) -> Result<Exit, Error> {
        let loaded = files::open(&self.plan, self.site.as_deref())?.loaded;
        let errors: Vec<_> =
            check::findings(&loaded).into_iter().filter(|finding| finding.is_error()).collect();
        check::stop_on(screen, &errors, &loaded, false)?;
        let shape = stored::shape_of(loaded)?;
        let (params, missing) = values::defaults(&shape.plan);
        let input = ReviewInput { params, missing, ..ReviewInput::default() };
        let review = review::review(&shape.loaded, &shape.graph, &input);
        match screen.format {
            Format::Human | Format::Html => screen.text(&report::waves(&review)),
            Format::Svg => screen.text(&report::svg(&review)),
            Format::Mermaid => screen.text(&report::mermaid(&review)),
            Format::Markdown => screen.text(&format!("```mermaid\n{}```\n", report::mermaid(&review))),
            Format::Json => screen.document(&graph(&review)),
        }
        Ok(Exit::Done)
    }
}

fn graph(review: &Review) -> serde_json::Value {
    let steps: Vec<_> = review
        .steps
        .iter()
        .map(|step| {
            json!({
                "id": step.id, "kind": step.kind, "title": step.title, "needs": step.needs, "wave": step.wave,
                "window": step.window, "effect": step.effect,
            })
        })
        .collect();
    json!({ "format": 1, "waves": review.waves, "steps": steps, "no_return": review.no_return })
}
