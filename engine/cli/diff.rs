//! `runplan diff`.

use super::error::Error;
use super::exit::Exit;
use super::values::{self, ValueArgs};
use super::{check, files, stored};
use crate::check::Resolved;
use crate::plan::Finding;
use crate::plan::digest;
use crate::review::difference::{Difference, Sections, difference};
use crate::review::{self, Review, ReviewInput};
use crate::run::Shape;
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
  runplan diff old.yaml new.yaml -p severity=high     with values, for both
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
    #[command(flatten)]
    values: ValueArgs,
    /// End with 1 when they differ
    #[arg(long)]
    exit_code: bool,
}

impl Diff {
    pub fn run(self, screen: &Screen) -> Result<Exit, Error> {
        let (old, new) = (self.read(screen, &self.old)?, self.read(screen, &self.new)?);
        self.prove(screen, &old, &new)?;
        let (old, old_parts) = review(screen, old)?;
        let (new, new_parts) = review(screen, new)?;
        let found: Difference = difference((&old, &old_parts), (&new, &new_parts));
        if !screen.quiet {
            terminal::difference(screen, &found);
        }
        Ok(if self.exit_code && !found.equal { Exit::Failed } else { Exit::Done })
    }

    fn read(&self, screen: &Screen, path: &Path) -> Result<Read, Error> {
        let loaded = files::open(path, self.site.as_deref())?.loaded;
        let errors: Vec<_> =
            check::findings(&loaded).into_iter().filter(|finding| finding.is_error()).collect();
        check::stop_on(screen, &errors, &loaded, false)?;
        let parts = digest::of_parts(&loaded);
        let shape = stored::shape_of(loaded)?;
        let values = self.values.resolve(screen, &shape.plan)?;
        Ok(Read { shape, parts, values })
    }

    /// A value is for both plans; one of them need not have the parameter.
    fn prove(&self, screen: &Screen, old: &Read, new: &Read) -> Result<(), Error> {
        let elsewhere = |finding: &Finding, other: &Read| {
            finding.code == UNKNOWN && !other.values.findings.iter().any(|known| known == finding)
        };
        let of = |one: &Read, other: &Read| -> Vec<Finding> {
            one.values.findings.iter().filter(|finding| !elsewhere(finding, other)).cloned().collect()
        };
        let mut found = of(old, new);
        found.extend(of(new, old).into_iter().filter(|finding| !old.values.findings.contains(finding)));
        values::stop_on(screen, &found, "both plans")
    }
}

/// Told of a value that a plan has no parameter for.
const UNKNOWN: &str = "runplan::check::unknown_value";

/// A plan without errors, and the values it is given.
struct Read {
    shape: Shape,
    parts: Sections,
    values: Resolved,
}

fn review(screen: &Screen, read: Read) -> Result<(Review, Sections), Error> {
    let Read { shape, parts, values } = read;
    let shape = stored::with_values(screen, shape, &values.values)?;
    let input = ReviewInput { params: values.values, missing: values.missing, ..ReviewInput::default() };
    Ok((review::review(&shape.loaded, &shape.graph, &input), parts))
}
