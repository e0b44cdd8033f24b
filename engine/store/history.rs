//! How long steps took before, for estimates. One line a run, appended under a lock, never synced, bounded;
//! a line that cannot be read is passed over: nothing depends on it.

use super::Error;
use crate::run::BeganWith;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FILE: &str = "history.jsonl";
/// Beyond this size the older half goes.
const LARGEST: u64 = 4 * 1024 * 1024;
/// A median of more says no more.
const RUNS: usize = 20;

/// How long one run took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    pub plan: String,
    /// Of the plan without its parameters.
    pub digest: String,
    pub at: Timestamp,
    pub rehearsal: bool,
    pub total_ms: u64,
    /// Closed to traffic; nothing if there was no window.
    pub downtime_ms: Option<u64>,
    /// Each step that was done, in milliseconds.
    pub steps: Vec<(String, u64)>,
    /// What the parameters were; nothing in lines of older versions.
    #[serde(default)]
    pub params: BTreeMap<String, Valued>,
    /// Of a rehearsal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_with: Option<BeganWith>,
}

impl Timing {
    /// A rehearsal without rows shows that a plan works, not how long it takes.
    pub fn has_rows(&self) -> bool {
        self.began_with.as_ref().is_none_or(|began| began.rows)
    }

    /// Whether it was given other values than these. One that is not known on either side is not compared.
    fn has_others(&self, values: &BTreeMap<String, Valued>) -> bool {
        values.iter().any(|(name, is)| self.params.get(name).is_some_and(|was| was != is))
    }
}

/// The value of a parameter, as it can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Valued {
    pub sha256: String,
    /// How large the file is that it names.
    pub bytes: Option<u64>,
}

/// How long a step took before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Median {
    /// In milliseconds.
    pub ms: u64,
    /// Of how many.
    pub runs: usize,
    /// Of rehearsals, not of real runs.
    pub rehearsed: bool,
    /// They were given other values.
    pub other_values: bool,
}

/// What earlier runs let one expect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Estimates {
    /// For each step the median: of real runs of this very plan, else of the plan as it was before, else of rehearsals.
    /// For a rehearsal, those come first; and before all of them those that were given the same values.
    pub steps: BTreeMap<String, Median>,
    /// The last rehearsal of this very plan; one with rows comes before one without.
    pub rehearsal: Option<Timing>,
}

pub(super) fn record(root: &Path, timing: &Timing) -> Result<(), Error> {
    let path = root.join(FILE);
    let append = || {
        let mut file = File::options().read(true).append(true).create(true).mode(0o600).open(&path)?;
        file.lock()?;
        if file.metadata()?.len() > LARGEST {
            forget(&mut file)?;
        }
        let mut line = serde_json::to_vec(timing)?;
        line.push(b'\n');
        file.write_all(&line)
    };
    append().map_err(|error| Error::io(&path, &error))
}

/// Keeps the newer half.
fn forget(file: &mut File) -> std::io::Result<()> {
    let mut text = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut text)?;
    let middle = text.len() / 2;
    let cut = text[middle..].iter().position(|&byte| byte == b'\n').map_or(text.len(), |at| middle + at + 1);
    file.set_len(0)?;
    file.write_all(&text[cut..])
}

pub(super) fn estimates(
    root: &Path,
    (plan, digest): (&str, &str),
    values: &BTreeMap<String, Valued>,
    rehearsing: bool,
) -> Result<Estimates, Error> {
    let path = root.join(FILE);
    let text = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Estimates::default()),
        text => text.map_err(|error| Error::io(&path, &error))?,
    };
    let lines = text.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let mut timings: Vec<Timing> = lines.filter(|timing: &Timing| timing.plan == plan).collect();
    // The newest first, whatever order they were written in.
    timings.sort_by_key(|timing| std::cmp::Reverse(timing.at));
    let rehearsals = timings.iter().filter(|timing| timing.rehearsal && timing.digest == digest);
    // The first of those that are equal.
    let rehearsal = rehearsals.min_by_key(|timing| !timing.has_rows()).cloned();
    timings.retain(Timing::has_rows);
    let (others, alike): (Vec<_>, Vec<_>) = timings.into_iter().partition(|timing| timing.has_others(values));
    let mut steps = medians(&others, digest, rehearsing);
    steps.values_mut().for_each(|median| median.other_values = true);
    steps.extend(medians(&alike, digest, rehearsing));
    Ok(Estimates { steps, rehearsal })
}

fn medians(timings: &[Timing], digest: &str, rehearsing: bool) -> BTreeMap<String, Median> {
    let mut steps = BTreeMap::new();
    for (rehearsed, same) in
        [(rehearsing, true), (rehearsing, false), (!rehearsing, true), (!rehearsing, false)]
    {
        let mut found: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let fits = |timing: &&Timing| timing.rehearsal == rehearsed && (timing.digest == digest) == same;
        for timing in timings.iter().filter(fits) {
            for (step, ms) in &timing.steps {
                found.entry(step).or_default().push(*ms);
            }
        }
        for (step, mut all) in found {
            all.truncate(RUNS);
            all.sort_unstable();
            let median = Median { ms: all[all.len() / 2], runs: all.len(), rehearsed, other_values: false };
            steps.entry(step.to_owned()).or_insert(median);
        }
    }
    steps
}
