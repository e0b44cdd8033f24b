//! `runplan diff`.

use super::error::Error;
use super::exit::Exit;
use super::{check, files, stored, values};
use crate::plan::digest;
use crate::review::difference::{Difference, Sections, difference};
use crate::review::{self, Review, ReviewInput};
use crate::terminal::{self, Screen};
use clap::Args;
use std::path::{Path, PathBuf};

/// Shows what changed between two plans: steps, their final text, order, effects, guards, the point of no return.
///
/// Both plans are reviewed as a dry run does it, and the reviews are compared: comments, layout and the order of keys do
/// not count. Nothing is touched. Ends with 0 whether they differ or not, with --exit-code with 1 when they do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan diff old.yaml new.yaml
  runplan diff old.yaml new.yaml --format markdown    for a pull request
  runplan diff old.yaml new.yaml -q --exit-code       in a script")]
pub struct Diff {
    /// The plan as it was
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The plan as it is
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// The site file of both, when it is not `runplan.yaml` beside or above each
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    /// End with 1 when they differ
    #[arg(long)]
    exit_code: bool,
}

impl Diff {
    pub fn run(self, screen: &Screen) -> Result<Exit, Error> {
        let (old, old_parts) = self.review(screen, &self.old)?;
        let (new, new_parts) = self.review(screen, &self.new)?;
        let found: Difference = difference((&old, &old_parts), (&new, &new_parts));
        if !screen.quiet {
            terminal::difference(screen, &found);
        }
        Ok(if self.exit_code && !found.equal { Exit::Failed } else { Exit::Done })
    }

    fn review(&self, screen: &Screen, path: &Path) -> Result<(Review, Sections), Error> {
        let loaded = files::open(path, self.site.as_deref())?.loaded;
        let errors: Vec<_> =
            check::findings(&loaded).into_iter().filter(|finding| finding.is_error()).collect();
        check::stop_on(screen, &errors, &loaded, false)?;
        let parts = digest::of_parts(&loaded);
        let shape = stored::shape_of(loaded)?;
        let (params, missing) = values::defaults(&shape.plan);
        let input = ReviewInput { params, missing, ..ReviewInput::default() };
        Ok((review::review(&shape.loaded, &shape.graph, &input), parts))
    }
}
