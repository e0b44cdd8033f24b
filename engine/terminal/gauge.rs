//! How far long work is, and how long the rest of it takes at the pace of the last minute. Pure: it is told the time.

use super::plain::how_far;
use crate::steps::Progress;
use jiff::Timestamp;
use std::collections::VecDeque;

/// The pace is that of so many samples, a second or more from each other.
const SAMPLES: usize = 60;
const APART_MS: i128 = 1000;
/// A pace that was measured over less is none.
const LEAST_MS: i128 = 2000;

#[derive(Debug, Clone)]
pub struct Gauge {
    pub progress: Progress,
    at: Timestamp,
    samples: VecDeque<(Timestamp, u64)>,
}

impl Gauge {
    pub fn new(progress: Progress, at: Timestamp) -> Self {
        let samples = VecDeque::from([(at, progress.done)]);
        Self { progress, at, samples }
    }

    /// What was said next. Other work has a pace of its own.
    pub fn tell(&mut self, progress: Progress, at: Timestamp) {
        if progress.doing != self.progress.doing || progress.done < self.progress.done {
            *self = Self::new(progress, at);
            return;
        }
        let is_apart = self.samples.back().is_none_or(|(last, _)| ms(*last, at) >= APART_MS);
        if is_apart {
            self.samples.push_back((at, progress.done));
        }
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
        (self.progress, self.at) = (progress, at);
    }

    /// `1.2 GB of 4.0 GB (30 %)`
    pub fn words(&self) -> String {
        how_far(&self.progress)
    }

    /// From 0 to 1.
    pub fn part(&self) -> Option<f64> {
        let total = self.progress.total.filter(|total| *total > 0)?;
        Some(self.progress.done.min(total) as f64 / total as f64)
    }

    /// Milliseconds to the end of this work.
    pub fn left(&self, now: Timestamp) -> Option<u64> {
        let rest = self.progress.total?.checked_sub(self.progress.done).filter(|rest| *rest > 0)?;
        let (began, from) = self.samples.front()?;
        let (time, done) = (ms(*began, self.at), self.progress.done.checked_sub(*from)?);
        if time < LEAST_MS || done == 0 {
            return None;
        }
        let left = i128::from(rest) * time / i128::from(done) - ms(self.at, now);
        u64::try_from(left.max(0)).ok()
    }
}

fn ms(from: Timestamp, to: Timestamp) -> i128 {
    to.duration_since(from).as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::Unit;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn said(doing: &str, done: u64) -> Progress {
        Progress { doing: doing.to_owned(), done, total: Some(1000), unit: Unit::Bytes }
    }

    #[test]
    fn the_rest_goes_by_the_last_minute() {
        let mut gauge = Gauge::new(said("dumping", 0), at(0));
        assert_eq!(gauge.left(at(0)), None);
        // Slow at first, then ten a second.
        gauge.tell(said("dumping", 10), at(100));
        (101..=160)
            .for_each(|second| gauge.tell(said("dumping", 10 + (second - 100) as u64 * 10), at(second)));
        assert_eq!(gauge.progress.done, 610);
        assert_eq!(gauge.left(at(160)), Some(39_000));
        assert_eq!(gauge.left(at(165)), Some(34_000));
        assert_eq!(gauge.left(at(900)), Some(0));
        assert_eq!(gauge.words(), "610 B of 1.0 kB (61 %)");
        gauge.tell(said("reading back", 1), at(161));
        assert_eq!((gauge.left(at(161)), gauge.part()), (None, Some(0.001)));
    }
}
