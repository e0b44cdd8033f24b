//! How long a step took before, and how much that is worth: the median of so many runs, or only of rehearsals, or with other values.

use crate::plan::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual {
    /// The median, in milliseconds.
    pub ms: u64,
    /// Of how many.
    pub runs: usize,
    /// Of rehearsals, on a throw-away server; else of real runs.
    pub rehearsed: bool,
    /// They were given other values, maybe a backup of another size.
    pub other_values: bool,
}

impl Usual {
    /// `3 runs`, `1 rehearsal`, `1 run with other values`
    pub fn source(self) -> String {
        let word = if self.rehearsed { "rehearsal" } else { "run" };
        let many = if self.runs == 1 { "" } else { "s" };
        let with = if self.other_values { " with other values" } else { "" };
        format!("{} {word}{many}{with}", self.runs)
    }

    /// `3m12s, the median of 3 runs`
    pub fn words(self) -> String {
        let time = match self.ms {
            ms @ 0..1000 => format!("{ms} ms"),
            ms @ 1000..10_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
            ms => Duration::from_ms(ms / 1000 * 1000).to_string(),
        };
        match self.runs {
            1 => format!("{time}, as in {}", self.source()),
            _ => format!("{time}, the median of {}", self.source()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_says_what_it_is_worth() {
        let usual = |runs, rehearsed| Usual { ms: 192_000, runs, rehearsed, other_values: false }.words();
        assert_eq!(usual(3, false), "3m12s, the median of 3 runs");
        let short = |ms| Usual { ms, runs: 2, rehearsed: false, other_values: false }.words();
        assert_eq!(short(1_116), "1.1s, the median of 2 runs");
        assert_eq!(short(83_999), "1m23s, the median of 2 runs");
        assert_eq!(usual(1, true), "3m12s, as in 1 rehearsal");
        let other = Usual { ms: 5, runs: 1, rehearsed: true, other_values: true };
        assert_eq!(other.words(), "5 ms, as in 1 rehearsal with other values");
    }
}
