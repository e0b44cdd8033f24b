//! What came of many interruptions, as a table; and how to play one of them again.
#![allow(clippy::print_stdout, reason = "the tables are what is looked at")]

use super::case::Verdict;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The verdicts, in the order of the cases' names.
#[derive(Default)]
pub struct Table {
    verdicts: Vec<(String, Verdict)>,
}

impl Table {
    pub fn add(&mut self, name: &str, verdict: Verdict) {
        self.verdicts.push((name.to_owned(), verdict));
    }

    /// One row for each place: `forward/after_append`.
    pub fn print(&self, title: &str, seed: u64) {
        let mut rows = BTreeMap::<&str, [usize; 7]>::new();
        for (name, verdict) in &self.verdicts {
            let place = name.rsplit_once('/').map_or(name.as_str(), |(place, _)| place);
            let parked = verdict.parked.len();
            let counts = [
                1,
                verdict.kills,
                verdict.lost.len(),
                verdict.doubled.len(),
                parked,
                verdict.wrong.len(),
                verdict.took.as_millis() as usize,
            ];
            for (sum, count) in rows.entry(place).or_default().iter_mut().zip(counts) {
                *sum += count;
            }
        }
        let mut text = format!("\n{title} (seed {seed})\n");
        let head = ["cases", "kills", "lost", "doubled", "parked", "wrong", "ms each"];
        let _ = write!(text, "{:<34}", "place");
        for head in head {
            let _ = write!(text, "{head:>9}");
        }
        let mut sums = [0; 7];
        for (place, counts) in &rows {
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            line(&mut text, place, counts);
        }
        line(&mut text, "all", &sums);
        println!("{text}");
    }

    /// Everything that is not as it must be, with the command that plays it again.
    pub fn faults(&self, seed: u64) -> Vec<String> {
        let bad = self.verdicts.iter().filter(|(_, verdict)| !verdict.is_good());
        bad.map(|(name, verdict)| {
            let cut = |lines: &[String]| -> Vec<String> {
                lines.iter().map(|line| line.chars().take(1500).collect()).collect()
            };
            format!(
                "make chaos SEED={seed} CASE={name}\n  interrupted after event {}\n  lost {:?}\n  doubled {:?}\n  \
                 parked {:?}\n  wrong {:#?}",
                verdict.at,
                verdict.lost,
                verdict.doubled,
                verdict.parked,
                cut(&verdict.wrong)
            )
        })
        .collect()
    }

    /// What was asked or refused, and how often.
    pub fn parked(&self) -> BTreeMap<String, usize> {
        let mut parked = BTreeMap::new();
        for what in self.verdicts.iter().flat_map(|(_, verdict)| &verdict.parked) {
            *parked.entry(what.clone()).or_default() += 1;
        }
        parked
    }
}

fn line(text: &mut String, place: &str, counts: &[usize; 7]) {
    let _ = write!(text, "\n{place:<34}");
    for count in &counts[..6] {
        let _ = write!(text, "{count:>9}");
    }
    let _ = write!(text, "{:>9}", counts[6] / counts[0].max(1));
}
